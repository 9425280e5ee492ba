"""What all operations share: planes, sums that are equal to the bit, and how much work a device is given at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# From this size on, a CPU mixes few neighbouring pixels; below it multiplies by a matrix.
MATRIX_SIZE = 64


def in_bulk(device: torch.device) -> bool:
    """Whether few large operations are quicker than many that fit a cache."""
    return device.type != "cpu"


def bmm(left: Tensor, right: Tensor, out: Tensor) -> None:
    """`torch.bmm` whose products are equal to the bit for any batch and number of threads.

    A library may share one matrix among threads, and a block that is cut at an edge gives other sums. With a multiple
    of 16 rows and columns no block is cut, so matrices are padded with zeros to that.
    """
    more_rows, more_columns = -left.shape[1] % 16, -right.shape[2] % 16
    if left.device.type == "cpu" and (more_rows or more_columns):
        left, right = F.pad(left, (0, 0, 0, more_rows)), F.pad(right, (0, more_columns))
    elif out.is_contiguous():
        torch.bmm(left, right, out=out)
        return
    out.copy_(torch.bmm(left, right)[:, : out.shape[1], : out.shape[2]])


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """(N,) to (N, 1, 1) on the device of `like`."""
    return values.to(like.device, non_blocking=True)[:, None, None]


def to_planes(images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 3, H, W) to planes, a copy (3, N, H, W), and scratch space for them."""
    planes = images.transpose(0, 1).clone(memory_format=torch.contiguous_format)
    return planes, planes.new_empty(7, *planes.shape[1:])


def to_images(planes: Tensor) -> Tensor:
    return planes.transpose(0, 1).contiguous()
