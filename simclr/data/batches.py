"""Batches of positions for one epoch, and a split as a data set that gives whole batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simclr.config import ConfigError, num_batches
from simclr.data.folders.image_files import FileSource
from simclr.data.sampling import ORDER_STREAM
from simclr.data.splits import Split


class EpochBatches(torch.utils.data.Sampler[Any]):
    """Batches of positions for one epoch: `batch_sampler` of a DataLoader, or a plain iterable.

    The order is a permutation of all images, seeded by (`seed`, epoch). `drop_last` leaves an incomplete last batch out
    unless it is the only one. Without it, a last batch of one image (for each rank) joins the one before, unless
    `batch_size` is 1: BatchNorm has no variance in one value per channel, which is what small images leave. With
    several ranks each gets its share of every batch of `batch_size * num_ranks` positions, always equally many; an
    incomplete last one is filled up from the start of the order.

    skip: batches left out at the start of the next iteration only, to go on in the middle of an epoch; the length
    stays that of a whole epoch.
    images_per_epoch: where an epoch is not one pass over the images, how many it has. Passes follow each other, each in
        an order of its own, and an epoch may end within one; positions count on: those of pass p begin at p N, N the
        number of images.
    as_arrays: give NumPy arrays, for other processes: PyTorch sends each tensor as a file in shared memory.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
        rank: int = 0,
        num_ranks: int = 1,
        images_per_epoch: int | None = None,
    ) -> None:
        if num_images < 1 or batch_size < 1:
            raise ValueError(f"num_images is {num_images} and batch_size is {batch_size}; allowed: at least 1.")
        self.num_images, self.batch_size, self.seed = num_images, batch_size, seed
        self.images_per_epoch = images_per_epoch
        self.shuffle, self.drop_last, self.rank, self.num_ranks = shuffle, drop_last, rank, num_ranks
        self.epoch = 0
        self.skip = 0
        self.as_arrays = False

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return num_batches(
            self.images_per_epoch or self.num_images,
            self.batch_size,
            drop_last=self.drop_last,
            num_ranks=self.num_ranks,
        )

    def order(self) -> Tensor:
        """All positions of this epoch in its order."""
        if self.images_per_epoch is None:
            return torch.from_numpy(self._pass(self.epoch))
        first = self.epoch * self.images_per_epoch
        passes = range(first // self.num_images, -(-(first + self.images_per_epoch) // self.num_images))
        positions = np.concatenate([number * self.num_images + self._pass(number) for number in passes])
        start = first % self.num_images
        return torch.from_numpy(positions[start : start + self.images_per_epoch])

    def _pass(self, number: int) -> NDArray[np.int64]:
        """The images (N,) in the order in which this pass over them goes."""
        if not self.shuffle:
            return np.arange(self.num_images)
        return np.random.default_rng([ORDER_STREAM, self.seed, number]).permutation(self.num_images)

    def __iter__(self) -> Iterator[Any]:
        order, whole = self.order(), self.batch_size * self.num_ranks
        first, self.skip = self.skip, 0
        for number in range(first, len(self)):
            takes_rest = not self.drop_last and number == len(self) - 1
            batch = order[number * whole : None if takes_rest else (number + 1) * whole]
            if missing := -len(batch) % self.num_ranks:
                batch = torch.cat([batch, order.repeat(-(-missing // len(order)))[:missing]])
            batch = batch[self.rank :: self.num_ranks]
            yield batch.numpy() if self.as_arrays else batch


class SplitDataset(torch.utils.data.Dataset):
    """A split for a DataLoader with `batch_sampler=EpochBatches(...)` and `collate_fn=as_is`.

    Positions count on from one pass over the images to the next, where an epoch has several.

    One item is a whole batch: images (n, 3, S, S) uint8, their positions (n,) int64, and the rows that turned out to
    be broken since the last batch of this process, with the reason. An error of the user or the system comes as an
    exception in place of the batch: PyTorch would pass on only its text, inside a trace.

    A reading process hands images over in shared memory (/dev/shm), and as an array through its pipe where that is
    full, which costs two copies more. Everything else is an array: PyTorch gives each tensor a file there.
    """

    def __init__(self, split: Split) -> None:
        self.split = split
        self._num_told = 0

    def __len__(self) -> int:
        return self.split.num_images

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.split.images_at([position])[0], position

    def __getitems__(self, positions: Tensor | Sequence[int]) -> tuple[Any, Any, dict[int, str]] | Exception:
        positions = torch.as_tensor(positions, dtype=torch.int64)
        try:
            images = self.split.images_at(positions % self.split.num_images)  # of a later pass over them
        except (ConfigError, OSError, MemoryError) as error:
            return error
        broken = list(self.split.source.replaced.items()) if isinstance(self.split.source, FileSource) else []
        news, self._num_told = dict(broken[self._num_told :]), len(broken)
        if torch.utils.data.get_worker_info() is None:
            return images, positions, news
        try:
            return images.share_memory_(), positions.numpy(), news
        except RuntimeError:  # PyTorch would try again where the error is lost, and the batch would never come
            return images.numpy(), positions.numpy(), news


def as_is(batch: Any) -> Any:
    """Collate function for batches that are complete already."""
    return batch
