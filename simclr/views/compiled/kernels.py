"""Views of images on a CPU, compiled by numba: each image passes through all operations while a cache holds it.

The formulas are those of `resampling`, `color` and `blur`, which a GPU follows; a test compares the two. Every image is
computed by itself, in one order, so that its views are equal to the bit whatever else is drawn and by how many threads.

All arrays are contiguous, and indices are int64. Numbers of an image's operations: see `Factors` in `factors.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from simclr.files import compiled

Array = np.ndarray
Number = float | np.floating[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

# What other files say is written here again, for numba makes code anew where this file has changed, and there alone; a
# test compares them.
RED, GREEN, BLUE = (np.float32(weight) for weight in (0.2989, 0.587, 0.114))  # `color.GRAY_WEIGHTS`
CONTRAST, SATURATION, HUE = 1, 2, 3  # places in `factors.JITTER_PARTS`
ZERO, ONE, TWO, THREE = (np.float32(number) for number in range(4))
CROPPED, FINISHED = 1, 2  # the halves of `draw`: crop, resize and mirror; colours and blur
# Sums may be taken in any order, which lets them be computed eight at a time; infinities and NaN stay what they are.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


def _is_kept() -> bool:
    """Whether there is a folder that keeps what is compiled; without one each process compiles for itself."""
    try:
        compiled.find_folder()
    except OSError:
        return False
    return True


_CACHE = _is_kept()


def _compiled(function: Function) -> Function:
    made = numba.njit(nogil=True, fastmath=_FAST, error_model="numpy", cache=_CACHE)(function)
    return cast("Function", made)


# --- crop, resize and mirror -----------------------------------------------------------------------------------------


@_compiled
def _find_neighbours(start: int, length: int, size: int, is_mirrored: bool, first: Array, weights: Array) -> None:
    """Of each output pixel the first input pixel that it mixes, and the weights of that one and of those after it.

    first: (size,), weights: (K, size), both written. Antialiased: the triangle is as wide as pixels shrink.
    """
    num = weights.shape[0]
    step = length / size
    reach = max(step, 1.0)
    for index in range(size):
        place = ((size - 1 - index if is_mirrored else index) + 0.5) * step - 0.5  # 0: the middle of the first pixel
        low = min(max(math.floor(place - reach) + 1, 0), length - num)
        total = 0.0
        for k in range(num):
            weight = max(0.0, 1.0 - abs(low + k - place) / reach)
            weights[k, index] = weight
            total += weight
        for k in range(num):
            weights[k, index] /= total
        first[index] = start + low


@_compiled
def _num_neighbours(length: int, size: int) -> int:
    return min(length, 2 if length <= size else math.ceil(2 * length / size) + 1)


@_compiled
def _crop(image: Array, box: Array, is_mirrored: bool, scale: Number, view: Array) -> None:
    """Writes a box of an image (C, H, W), times `scale`, to a view (C, S, S)."""
    size = view.shape[1]
    top, left, height, width = box[0], box[1], box[2], box[3]
    rows, columns = np.empty(size, np.int64), np.empty(size, np.int64)
    row_weights = np.empty((_num_neighbours(height, size), size), np.float32)
    column_weights = np.empty((_num_neighbours(width, size), size), np.float32)
    _find_neighbours(top, height, size, False, rows, row_weights)
    _find_neighbours(0, width, size, is_mirrored, columns, column_weights)
    num_columns = len(column_weights)
    mixed = np.empty(width, np.float32)
    for y in range(size):
        for channel in range(image.shape[0]):
            mixed[:] = ZERO
            for k in range(len(row_weights)):
                weight = row_weights[k, y] * scale
                if weight != 0:
                    line = image[channel, rows[y] + k, left : left + width]
                    for x in range(width):
                        mixed[x] += np.float32(line[x]) * weight
            out = view[channel, y]
            if num_columns == 2:
                for x in range(size):
                    out[x] = mixed[columns[x]] * column_weights[0, x] + mixed[columns[x] + 1] * column_weights[1, x]
            else:
                for x in range(size):
                    total = ZERO
                    for k in range(num_columns):
                        total += mixed[columns[x] + k] * column_weights[k, x]
                    out[x] = total


@_compiled
def crop(images: Array, scale: Number, source: Array, boxes: Array, is_mirrored: Array, views: Array) -> None:
    """Writes the box `boxes[i]` of image `source[i]` to view i.

    images: (N, C, H, W) uint8 or float32. scale: what pixels are multiplied by. boxes: (M, 4) top, left, height, width.
    views: (M, C, S, S) float32.
    """
    for i in range(len(views)):
        _crop(images[source[i]], boxes[i], is_mirrored[i], scale, views[i])


# --- colours ---------------------------------------------------------------------------------------------------------


@_compiled
def _blend(red: Array, green: Array, blue: Array, factor: Number, luma_share: Number, more: Number) -> None:
    """A line of pixels times `factor`, with a share of its luma and one number for all; cut to 0..1."""
    for x in range(len(red)):
        other = (RED * red[x] + GREEN * green[x] + BLUE * blue[x]) * luma_share + more
        red[x] = min(max(red[x] * factor + other, ZERO), ONE)
        green[x] = min(max(green[x] * factor + other, ZERO), ONE)
        blue[x] = min(max(blue[x] * factor + other, ZERO), ONE)


@_compiled
def _shift_hue(red: Array, green: Array, blue: Array, sixths: Number) -> None:
    """Shifts the hue of a line of pixels by sixths of the colour circle, as `color` explains it."""
    for x in range(len(red)):
        high = max(max(red[x], green[x]), blue[x])
        low = min(min(red[x], green[x]), blue[x])
        chroma = high - low
        half, top = THREE * chroma, low + TWO * chroma
        away = green[x] + blue[x] - red[x] + high - TWO * low  # from red, times chroma
        hue = (away if green[x] >= blue[x] else -away) + chroma * sixths
        red[x] = min(max(abs(abs(hue) - half) + low - chroma, low), high)
        green[x] = min(max(top - abs(abs(hue + chroma) - half), low), high)
        blue[x] = min(max(top - abs(abs(hue - chroma) - half), low), high)


@_compiled
def _jitter(red: Array, green: Array, blue: Array, part: int, factor: Number, mean: Number) -> None:
    """One part of the jitter on a line of pixels. mean: luma of the whole image, which contrast needs."""
    if part == CONTRAST:
        _blend(red, green, blue, factor, ZERO, (ONE - factor) * mean)
    elif part == HUE:
        _shift_hue(red, green, blue, factor)
    else:
        _blend(red, green, blue, factor, ONE - factor if part == SATURATION else ZERO, ZERO)


@_compiled
def _luma(red: Array, green: Array, blue: Array) -> Number:
    """Sum over a line of pixels."""
    total = ZERO
    for x in range(len(red)):
        total += RED * red[x] + GREEN * green[x] + BLUE * blue[x]
    return total


@_compiled
def _color(view: Array, order: Array, factors: Array, is_jittered: bool, is_gray: bool) -> None:
    """Jitter and grey of one view (3, S, S), in two passes: contrast is known when all before it is done."""
    red, green, blue = view[0], view[1], view[2]
    size = view.shape[1]
    num = len(order) if is_jittered else 0
    before = 0  # parts of the first pass
    while before < num and order[before] != CONTRAST:
        before += 1
    total = 0.0
    for y in range(size):
        for k in range(before):
            _jitter(red[y], green[y], blue[y], order[k], factors[order[k]], ZERO)
        if before < num:
            total += float(_luma(red[y], green[y], blue[y]))
    mean = np.float32(total / (size * size))
    for y in range(size):
        for k in range(before, num):
            _jitter(red[y], green[y], blue[y], order[k], factors[order[k]], mean)
    if is_gray:
        for y in range(size):
            for x in range(size):
                red[y, x] = RED * red[y, x] + GREEN * green[y, x] + BLUE * blue[y, x]
            green[y], blue[y] = red[y], red[y]


# --- blur ------------------------------------------------------------------------------------------------------------


@_compiled
def _blur(view: Array, weights: Array, other: Array, wide: Array) -> None:
    """Blurs a view (C, H, W). weights: (R + 1,) of a pixel and of those up to R away, on each side.

    other: (H, W), wide: (W + 2 R,), to work in.
    """
    reach = len(weights) - 1
    height, width = view.shape[1:]
    for channel in range(len(view)):
        plane = view[channel]
        for y in range(height):
            for x in range(width):
                wide[reach + x] = plane[y, x]
            for k in range(1, reach + 1):  # mirrored at the border
                wide[reach - k] = plane[y, k]
                wide[reach + width - 1 + k] = plane[y, width - 1 - k]
            for x in range(width):
                other[y, x] = weights[0] * wide[reach + x]
            for k in range(1, reach + 1):
                for x in range(width):
                    other[y, x] += weights[k] * (wide[reach + x - k] + wide[reach + x + k])
        for y in range(height):
            for x in range(width):
                plane[y, x] = weights[0] * other[y, x]
            for k in range(1, reach + 1):
                above, below = abs(y - k), height - 1 - abs(height - 1 - y - k)
                for x in range(width):
                    plane[y, x] += weights[k] * (other[above, x] + other[below, x])


@_compiled
def blur(shares: Array, views: Array) -> None:
    """Blurs views (M, C, H, W) in place. shares: (M, R + 1) of weights beside each other; where all are 0 it stays."""
    height, width = views.shape[2:]
    most = shares.shape[1]
    other, wide = np.empty((height, width), np.float32), np.empty(width + 2 * most, np.float32)
    weights = np.empty(most, np.float32)
    for i in range(len(views)):
        num, total = 0, 0.0
        for k in range(most):
            if shares[i, k] > 0:
                num = k + 1
                total += shares[i, k] * (2 if k else 1)
        for k in range(num):
            weights[k] = shares[i, k] / total
        if num:
            _blur(views[i], weights[:num], other, wide)


# --- all of them -----------------------------------------------------------------------------------------------------


@_compiled
def draw(
    images: Array,
    scale: Number,
    halves: int,
    source: Array,
    boxes: Array,
    is_mirrored: Array,
    order: Array,
    factors: Array,
    is_jittered: Array,
    is_gray: Array,
    shares: Array,
    views: Array,
) -> None:
    """Draws views: as `crop`, then jitter, grey and `blur`.

    halves: CROPPED, FINISHED or their sum. order: (M, 4) the parts of the jitter. factors: (M, 4) float32, one of each
    part, that of hue in sixths of the circle.
    """
    for i in range(len(views)):
        if halves & CROPPED:
            _crop(images[source[i]], boxes[i], is_mirrored[i], scale, views[i])
        if halves & FINISHED:
            _color(views[i], order[i], factors[i], is_jittered[i], is_gray[i])
            blur(shares[i : i + 1], views[i : i + 1])
