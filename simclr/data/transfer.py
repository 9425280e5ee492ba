"""Copies to a GPU that nobody waits for."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """The same values on `device`; work goes on at once, whatever a GPU is doing.

    A GPU copies by itself only from pinned memory: for any other the host waits until it has done all it was given.
    """
    if device.type != "cuda" or values.device.type == "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def all_to_device(values: list[Tensor], device: torch.device) -> list[Tensor]:
    """Small tensors of the CPU in one copy: each one takes as long to begin as an operation does."""
    if device.type != "cuda":
        return [value.to(device) for value in values]
    parts = [value.contiguous().flatten().view(torch.uint8) for value in values]
    lengths = [len(part) + -len(part) % 8 for part in parts]  # each begins where numbers of 8 bytes may
    message = torch.empty(sum(lengths), dtype=torch.uint8, pin_memory=True)
    for part, place in zip(parts, message.split(lengths), strict=True):
        place[: len(part)] = part
    found = message.to(device, non_blocking=True).split(lengths)
    return [
        place[: len(part)].view(value.dtype).view(value.shape)
        for value, part, place in zip(values, parts, found, strict=True)
    ]
