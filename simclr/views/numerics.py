"""What all operations share: planes, and how much work a device is given at once."""

from __future__ import annotations

import torch
from torch import Tensor


def in_bulk(device: torch.device) -> bool:
    """Whether few large operations are quicker than compiled code that draws one view after the other."""
    return device.type != "cpu"


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """(N,) to (N, 1, 1) on the device of `like`."""
    return values.to(like.device, non_blocking=True)[:, None, None]


def to_planes(images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 3, H, W) to planes, a copy (3, N, H, W), and scratch space for them."""
    planes = images.transpose(0, 1).clone(memory_format=torch.contiguous_format)
    return planes, planes.new_empty(7, *planes.shape[1:])


def to_images(planes: Tensor) -> Tensor:
    return planes.transpose(0, 1).contiguous()
