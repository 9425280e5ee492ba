"""Which pixel values a folder's images use: the depth they were taken with, not that of the files they are kept in."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simclr.data.folders import decoding
from simclr.files.names import readable

# The largest value of 8 bits, and of the depths that cameras and scanners keep in 16 bits or in floats.
DEPTHS = (255, 1023, 4095, 16383, 65535)
LOW_DEPTHS = (1, 3, 7, 15, 31, 63)  # of 8 bits of which the upper ones are never used, as in masks and digits
NUM_SAMPLES = 64  # images that are decoded to find the range
NUM_VALUES = 1 << 16  # of each, evenly spaced, that are compared with each other
FEW = 0.001  # of the values may be those of broken pixels, at one end and at the other
FAR = 4.0  # spans of all other values between them and one that means something else
MIN_DISTINCT = 16  # other values that have to be there for that: labels have few
SPARSE = 0.25  # of a depth; values that span less are stretched to what there is


def find_range(folder: Path, paths: Sequence[str]) -> tuple[float, float] | None:
    """The range of `find_range_said` alone."""
    return find_range_said(folder, paths)[0]


def find_range_said(folder: Path, paths: Sequence[str]) -> tuple[tuple[float, float] | None, str]:
    """The range of values that a folder's images use, as the depth they were taken with where that fits.

    Looks at images evenly spaced over the folder. None where all is as the format says: 8 bits that are used, or 16.

    Values far from all others are no part of it: marks of missing data (-9999, 65535) and broken pixels.

    Args:
        folder: that the paths start from.
        paths: of its training images.

    Returns:
        The range, and a sentence on values that are no part of it, or that are shown the other way round; empty where
        there are none.
    """
    indices = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), NUM_SAMPLES)).astype(int))
    order = np.random.default_rng(0).permutation(indices)  # classes lie side by side, and one may be dark
    files = [folder / paths[index] for index in order]
    deep = [file for file in files if decoding.is_deep(file)]
    turned = [file for file in deep if decoding.is_turned_round(file)]
    low, high, is_whole = np.inf, -np.inf, True
    seen: list[NDArray] = []
    for file in deep or files:  # those of 8 bits tell nothing of the deeper ones
        with contextlib.suppress(*decoding.DAMAGE):
            values = decoding.stored_values(file)
            finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
                is_whole &= values.dtype.kind != "f" or bool((finite == finite.round()).all())
                if deep:
                    flat = finite.reshape(-1).astype(np.float64)
                    seen.append(flat[:: max(1, flat.size // NUM_VALUES)])
            if not deep and high > LOW_DEPTHS[-1]:
                return None, ""  # as nearly all folders after one image
    if high < low:
        return None, ""
    if not deep:
        return _low_depth(low, high), ""
    kept_low, kept_high = _without_far(low, high, np.sort(np.concatenate(seen)))
    far = [f"{value:,.6g}" for value, kept in ((low, kept_low), (high, kept_high)) if value != kept]
    said = f"Values far from all others ({' and '.join(far)}) are no part of that range." if far else ""
    if turned:
        said = f"{said} Files that say so ({readable(turned[0].name)}) have it the other way round.".lstrip()
    return _depth(kept_low, kept_high, is_whole), said


def _without_far(low: float, high: float, values: NDArray[np.float64]) -> tuple[float, float]:
    """The lowest and the highest value, without those that lie far from nearly all.

    Args:
        low, high: of all values.
        values: (n,) many of them, in order.
    """
    for _ in range(2):  # one mark at each end
        for mark, others in ((low, values[values > low]), (high, values[values < high])):
            if not others.size or len(np.unique(others)) < MIN_DISTINCT:
                continue
            first, last = others[int(FEW * others.size)], others[-1 - int(FEW * others.size)]
            span = last - first
            if mark == low and first - low > FAR * span > 0:
                low, values = float(others[0] if first - others[0] <= FAR * span else first), others
            elif mark == high and high - last > FAR * span > 0:
                high, values = float(others[-1] if others[-1] - last <= FAR * span else last), others
    return low, high


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
