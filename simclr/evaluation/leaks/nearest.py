"""Test images that are training images, or nearly: the rule, exact search, and hashes (torch only while it computes).

An image's distance to another is one minus the cosine of their features h. A test image is a near copy where the
distance to its nearest training image is below `SHARE` of the median such distance. By this rule cleanlab's Datalab
finds near duplicates within one set, by cosine too, with 0.13 as the share. An exact copy has the same pixels, which a
hash tells without an encoder.

Cleanlab's median is over the images that it looks through. In a test set that is mostly copies it would be the distance
of a copy, and nothing would be found. So a sample of training images is measured too, each to its nearest other
training image, and the larger of the two medians counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# The largest of 0.05, 0.1, 0.13, 0.2, 0.3, 0.4 and 0.5 that finds at most 0.1 % of the test images of `shapes`, none of
# which is a copy. Larger shares find more planted copies: `simclr/recipes/README.md` states how many.
SHARE = 0.2
SAMPLE = 1000  # training images whose median is taken
SMALLEST_MEDIAN = 1e-9  # below it all images have the same features, and none is nearer than others
ROWS, COLUMNS = 1024, 8192  # of a block of similarities: 32 MiB in float32, however many images there are

Indices = NDArray[np.int64]
Progress = Callable[[float], None]


class Nearest(NamedTuple):
    """The nearest row of a bank to each query. indices: (Q,). distances: (Q,) float64, 1 - cosine, 0..2."""

    indices: Indices
    distances: NDArray[np.float64]


class Medians(NamedTuple):
    """Median nearest distances. test: of the test images. train: of a sample of the training images."""

    test: float
    train: float

    @property
    def counted(self) -> float:
        """The one of which a copy's distance is a small share."""
        return max(self.test, self.train)


def unit_rows(features: Tensor) -> Tensor:
    """Rows (N, D) as float32 of length 1; a row of zeros stays."""
    import torch.nn.functional as F

    return F.normalize(features.float(), dim=1, eps=1e-12)


def nearest(queries: Tensor, bank: Tensor, itself: Tensor | None = None, progress: Progress | None = None) -> Nearest:
    """The nearest row of `bank` to each of `queries` by cosine; every pair is looked at, a block at a time.

    The distance of the pair found is half the squared length of the difference of its rows, which keeps the digits of
    small distances that one minus a cosine in float32 loses.

    Args:
        queries: (Q, D) and bank: (M, D), of `unit_rows`, on one device.
        itself: (Q,) the row of the bank that each query is, and which does not count; None: none is.
    """
    import torch

    indices, distances = [], []
    for start in range(0, len(queries), ROWS):
        rows = queries[start : start + ROWS]
        best = torch.full((len(rows),), -torch.inf, device=rows.device)
        index = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        for first in range(0, len(bank), COLUMNS):
            similarity = rows @ bank[first : first + COLUMNS].T  # (r, c)
            if itself is not None:
                own = itself[start : start + ROWS].to(rows.device) - first
                place = own.clamp(0, similarity.shape[1] - 1)[:, None]  # of another column where it is not here
                other = torch.where(own[:, None] == place, -torch.inf, similarity.gather(1, place))
                similarity.scatter_(1, place, other)
            value, column = similarity.max(dim=1)
            index = torch.where(value > best, column + first, index)
            best = torch.maximum(best, value)
        indices.append(index)
        distances.append(0.5 * (rows.double() - bank[index].double()).square().sum(dim=1))
        if progress is not None:
            progress(min(1.0, (start + ROWS) / len(queries)))
    return Nearest(torch.cat(indices).cpu().numpy(), torch.cat(distances).cpu().numpy())


def of_known(queries: Tensor, bank: Tensor, indices: Tensor) -> Nearest:
    """The distances to rows of a bank that are known to be the nearest. indices: (Q,)."""
    distances = [
        0.5 * (rows.double() - bank[index].double()).square().sum(dim=1)
        for rows, index in zip(queries.split(ROWS), indices.split(ROWS), strict=True)
    ]
    import torch

    return Nearest(indices.cpu().numpy(), torch.cat(distances).cpu().numpy())


def nearer(first: Nearest, second: Nearest, num_first: int) -> Nearest:
    """The nearest of two banks, one after the other. num_first: rows of the first."""
    is_first = first.distances <= second.distances
    return Nearest(
        np.where(is_first, first.indices, second.indices + num_first),
        np.where(is_first, first.distances, second.distances),
    )


def median_within(bank: Tensor, seed: int = 0) -> float:
    """The median distance of up to `SAMPLE` rows of a bank, drawn by `seed`, each to its nearest other row."""
    import torch

    if len(bank) < 2:
        return 0.0
    chosen = np.sort(np.random.default_rng(seed).permutation(len(bank))[:SAMPLE])
    rows = torch.from_numpy(chosen).to(bank.device)
    return float(np.median(nearest(bank[rows], bank, rows).distances))


def is_near(distances: NDArray[np.float64], median: float, share: float = SHARE) -> NDArray[np.bool_]:
    """Which distances are below a share of the median; none where the median says that all images look alike."""
    if median < SMALLEST_MEDIAN:
        return np.zeros(len(distances), dtype=bool)
    return distances < share * median


# --- the same pixels ------------------------------------------------------------------------------------------------


def pixel_hashes(batches: Iterable[Tensor]) -> list[bytes]:
    """Of each image (C, H, W) uint8 a hash of its pixels: 16 bytes (BLAKE2b)."""
    found = []
    for batch in batches:
        for image in batch.cpu().contiguous().numpy():
            found.append(hashlib.blake2b(image.tobytes(), digest_size=16).digest())
    return found


def same_pixels(test: list[bytes], train: list[bytes]) -> Indices:
    """(len(test),) the first training image with the hash of each test image, -1 for none."""
    first: dict[bytes, int] = {}
    for index, value in enumerate(train):
        first.setdefault(value, index)
    return np.array([first.get(value, -1) for value in test], dtype=np.int64)


def pixel_difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[float, float]:
    """How two images (3, S, S) differ in brightness and in colour: root mean squares, 0..1.

    Colour is what is left of each channel after the luma is taken off (ITU-R BT.601).
    """
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)[:, None, None]
    images = [image.astype(np.float32) / 255 for image in (first, second)]
    lumas = [(image * weights).sum(axis=0) for image in images]
    colors = [image - luma for image, luma in zip(images, lumas, strict=True)]

    def rms(values: Any) -> float:
        return float(np.sqrt(np.mean(np.square(values))))

    return rms(lumas[0] - lumas[1]), rms(colors[0] - colors[1])
