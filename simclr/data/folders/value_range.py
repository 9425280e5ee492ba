"""Which pixel values a folder's images use: the depth they were taken with, not that of the files they are kept in."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simclr.data.folders import decoding

# The largest value of 8 bits, and of the depths that cameras and scanners keep in 16 bits or in floats.
DEPTHS = (255, 1023, 4095, 16383, 65535)
LOW_DEPTHS = (1, 3, 7, 15, 31, 63)  # of 8 bits of which the upper ones are never used, as in masks and digits
NUM_SAMPLES = 64  # images that are decoded to find the range
SPARSE = 0.25  # of a depth; values that span less are stretched to what there is


def find_range(folder: Path, paths: Sequence[str]) -> tuple[float, float] | None:
    """The range of values that a folder's images use, as the depth they were taken with where that fits.

    Looks at images evenly spaced over the folder. None where all is as the format says: 8 bits that are used, or 16.

    Args:
        folder: that the paths start from.
        paths: of its training images.
    """
    indices = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), NUM_SAMPLES)).astype(int))
    order = np.random.default_rng(0).permutation(indices)  # classes lie side by side, and one may be dark
    files = [folder / paths[index] for index in order]
    deep = [file for file in files if decoding.is_deep(file)]
    low, high, is_whole = np.inf, -np.inf, True
    for file in deep or files:  # those of 8 bits tell nothing of the deeper ones
        with contextlib.suppress(*decoding.DAMAGE):
            values = decoding.stored_values(file)
            finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
                is_whole &= values.dtype.kind != "f" or bool((finite == finite.round()).all())
            if not deep and high > LOW_DEPTHS[-1]:
                return None  # as nearly all folders after one image
    if high < low:
        return None
    return _depth(low, high, is_whole) if deep else _low_depth(low, high)


def _low_depth(low: float, high: float) -> tuple[float, float] | None:
    if high <= low:  # of one colour each: nothing to stretch
        return None
    return 0.0, float(next(top for top in LOW_DEPTHS if top >= high))


def _depth(low: float, high: float, is_whole: bool) -> tuple[float, float] | None:
    """The range of values beyond 8 bits: a usual depth, or what there is where that uses little of one."""
    if not is_whole and -1 <= low < 0 and high <= 1:
        return -1.0, 1.0
    tops = DEPTHS if is_whole and high > 1 else (1, *DEPTHS)
    top = next((top for top in tops if top >= high), None)
    if top is not None and low >= 0 and (high - low >= SPARSE * top or high <= low):
        return 0.0, float(top)
    return (low, high) if high > low else None
