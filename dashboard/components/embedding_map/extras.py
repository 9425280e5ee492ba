"""What the maps show besides their own images: images that a user gave, and one that is changed step by step."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dashboard.components.arrays import reference

Arrays = dict[str, NDArray[np.generic]]
QUALITY = 92  # of WebP: pictures that are looked at, not measured


def _named(arrays: Arrays, values: ArrayLike, dtype: str) -> str:
    array = np.asarray(values, dtype=dtype)
    found = reference(array)
    arrays[found] = array
    return found


def _sheet(arrays: Arrays, pixels: NDArray[np.uint8], kind: str, **options: Any) -> str:
    """Puts a picture (H, W, 3) among the arrays, as the bytes of its file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return _named(arrays, np.frombuffer(stream.getvalue(), dtype=np.uint8), "u1")


def described_guests(guests: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, Arrays]:
    """Images that stand on the maps as guests, with each array replaced by its name, and the arrays by name.

    Args:
        guests: for M images `names`, `tiles` (M, S, S, 3) uint8, `points` of each panel (M, 2), and `is_exact`: they
            stand where the maps put them, and not among their neighbours.
    """
    arrays: Arrays = {}
    if guests is None:
        return None, arrays
    tiles = np.asarray(guests["tiles"])
    sheet = tiles.transpose(1, 0, 2, 3).reshape(tiles.shape[1], -1, 3)  # side by side
    about = {
        "names": tuple(guests["names"]),
        "sheet": _sheet(arrays, sheet, "png", compress_level=1),
        "side": int(tiles.shape[1]),
        "points": tuple(_named(arrays, points, "f4") for points in guests["points"]),
        "exact": bool(guests["is_exact"]),
    }
    return about, arrays
