"""What the factors of shapes are in words: size, colour, shape and background of each image (no torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from simclr.config.words import COLORS, SHAPES, combination
from simclr.data.shapes import SIZE_RANGE

FIELDS = ("size", "color", "shape", "ground")  # the columns of facts


def facts_of(factors: Mapping[str, NDArray]) -> NDArray[np.int64]:
    """(N, 4) of the factors of N shapes: indices into `SIZES`, `COLORS`, `SHAPES` and, of the background, `COLORS`.

    A hue is named after the nearest of six evenly spaced ones; a shape is large in the upper half of its sizes.
    """
    size = np.asarray(factors["size"]) > sum(SIZE_RANGE) / 2
    number_of = {name: number for number, name in enumerate(SHAPES)}
    shape = [number_of[str(name)] for name in factors["shape"]]
    hues = (np.floor(np.asarray(factors[name]) * len(COLORS) + 0.5) % len(COLORS) for name in ("hue", "background"))
    color, ground = hues
    return np.stack([size, color, shape, ground], axis=1).astype(np.int64)


def is_held_out(facts: NDArray[np.int64], held_out: Sequence[str]) -> NDArray[np.bool_]:
    """(N,) whether each image with `facts` (N, 4) shows one of the combinations of colour and shape."""
    found = np.zeros(len(facts), dtype=bool)
    for color, shape in map(combination, held_out):
        found |= (facts[:, 1] == color) & (facts[:, 2] == shape)
    return found
