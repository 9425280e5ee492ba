"""Where images come from: a list that can be read in any order, and arrays as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK = 256  # images between two reports of progress

Progress = Callable[[str, float], None]
Indices = NDArray[np.int64]


class Source(Protocol):
    """A list of images that can be read in any order."""

    side: int

    @property
    def whole(self) -> Tensor | None:
        """All rows, where they lie in memory as they are to be read; else None."""

    def __len__(self) -> int: ...

    def read(self, rows: Indices) -> Tensor:
        """Images (n, 3, side, side) uint8 of some rows."""

    def load(self, rows: Indices, progress: Progress | None) -> Tensor:
        """The same for many rows at once, with progress."""


class ArraySource:
    """Rows of arrays (N, 3, side, side) laid end to end; memory-mapped ones are read only where asked."""

    def __init__(self, *arrays: NDArray[np.uint8]) -> None:
        self.arrays = arrays
        self.side = int(arrays[0].shape[-1])
        self.starts = np.cumsum([0, *(len(array) for array in arrays)])

    @property
    def whole(self) -> Tensor | None:
        first = self.arrays[0]
        is_plain = first.flags.c_contiguous and first.flags.writeable and not isinstance(first, np.memmap)
        return torch.from_numpy(first) if is_plain and len(self.arrays) == 1 else None

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, rows: Indices) -> Tensor:
        if len(self.arrays) == 1 and len(rows) == len(self) and (np.diff(rows) == 1).all():
            return torch.from_numpy(np.array(self.arrays[0], order="C"))
        images = np.empty((len(rows), 3, self.side, self.side), dtype=np.uint8)
        for chunk in chunk_slices(len(rows)):  # a second copy is made of no more than a chunk
            for array, start, end in zip(self.arrays, self.starts[:-1], self.starts[1:], strict=True):
                here = (rows[chunk] >= start) & (rows[chunk] < end)
                images[chunk][here] = array[rows[chunk][here] - start]
        return torch.from_numpy(images)

    def load(self, rows: Indices, progress: Progress | None) -> Tensor:
        return self.read(rows)


def chunk_slices(count: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
