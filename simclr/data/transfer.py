"""Copies to a GPU that the host does not wait for."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """The same values on `device`; work goes on at once, whatever a GPU is doing.

    Only copies from pinned memory are asynchronous: for any other the host waits until the GPU has done all its work.
    """
    if device.type != "cuda" or values.device.type == "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def all_to_device(values: list[Tensor], device: torch.device) -> list[Tensor]:
    """Small CPU tensors in one copy: each copy takes as long to start as an operation."""
    if device.type != "cuda":
        return [value.to(device) for value in values]
    parts = [value.contiguous().flatten().view(torch.uint8) for value in values]
    lengths = [len(part) + -len(part) % 8 for part in parts]  # each begins where numbers of 8 bytes may
    message = torch.empty(sum(lengths), dtype=torch.uint8, pin_memory=True)
    for part, slot in zip(parts, message.split(lengths), strict=True):
        slot[: len(part)] = part
    found = message.to(device, non_blocking=True).split(lengths)
    return [
        slot[: len(part)].view(value.dtype).view(value.shape)
        for value, part, slot in zip(values, parts, found, strict=True)
    ]
