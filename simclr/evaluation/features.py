"""Features of plain images: what an encoder makes of each, with nothing drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from simclr.data.splits import Split
from simclr.data.transfer import to_device
from simclr.models import compute
from simclr.views import augment, resampling

EVALUATION_BATCH_SIZE = 512


def plain_batches(
    split: Split, size: int, device: torch.device, batch_size: int = EVALUATION_BATCH_SIZE
) -> Iterator[Tensor]:
    """The split's images in order, as an encoder is given them: (n, 3, size, size), normalized."""
    for batch in split.batches(batch_size):
        images = augment.to_float(to_device(batch, device))
        yield augment.normalize(resampling.resize(images, size))


def outputs_by_batch(
    network: Callable[[Tensor], Tensor], batches: Iterable[Tensor], device: torch.device, precision: str = "32-true"
) -> Iterator[Tensor]:
    """(n, D) float32 outputs of a network for one batch after the other of images (n, 3, S, S), without gradient.

    Args:
        network: its BatchNorm must be in eval mode.
        precision: as a run's options name it, but not `auto`.
    """
    dtype = compute.AUTOCAST[precision]
    for images in batches:
        with (
            torch.no_grad(),
            torch.autocast(device_type=device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None),
        ):
            h = network(images.contiguous(memory_format=torch.channels_last)).flatten(1)
            h = h.to(torch.float32, copy=True)  # a CUDA graph overwrites its result
        yield h


def features_of(
    network: Callable[[Tensor], Tensor],
    split: Split,
    size: int,
    *,
    device: torch.device,
    precision: str = "32-true",
    on_batch: Callable[[int], None] | None = None,
) -> Tensor:
    """(N, D) float32 outputs of a network for the split's plain images, on `device`.

    Args:
        network: takes (n, 3, size, size) normalized images; its BatchNorm must be in eval mode.
        size: side of what it is given, in pixels.
        precision: as a run's options name it, but not `auto`.
        on_batch: called after each batch with its number of images; may raise to end the work.
    """
    found = []
    for h in outputs_by_batch(network, plain_batches(split, size, device), device, precision):
        found.append(h)
        if on_batch is not None:
            on_batch(len(h))
    return torch.cat(found)
