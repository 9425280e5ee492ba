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
        guests: for M images `names`, `tiles` (M, S, S, 3) uint8, `points` of each panel (M, 2), None where it
            has no encoder for them, and `is_exact`: they stand where the maps put them, and not among their neighbours.
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
        "points": tuple(None if points is None else _named(arrays, points, "f4") for points in guests["points"]),
        "exact": bool(guests["is_exact"]),
    }
    return about, arrays


def described_tug(tug: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, Arrays]:
    """An image that is changed step by step, as `described_guests` describes images.

    Args:
        tug: `first`, the operation to begin with; where it is not computed, perhaps `problem`, why it cannot be. Else
            also `row` among the images of the maps, -1 for one that a user gave, `name`, `operations` (name, label,
            texts of the L strengths, rest, mark), `tiles` (P, L, 3, S, S) uint8, `sample` (images behind averages),
            `how` (how the places came about), and for each panel `points` (P, L, 2), `moved` (P, L), `neighbors` and
            `similarities` (P, L, K), `is_exact`, and `average` (P,); or `missing`, why it has none of these.
    """
    arrays: Arrays = {}
    if tug is None or "tiles" not in tug:
        return None if tug is None else dict(tug), arrays
    tiles = np.asarray(tug["tiles"])
    num_operations, num_strengths, _, side, _ = tiles.shape
    sheet = tiles.transpose(0, 3, 1, 4, 2).reshape(num_operations * side, num_strengths * side, 3)
    types = {"points": "f4", "moved": "f4", "neighbors": "i4", "similarities": "f4"}
    about = {name: value for name, value in tug.items() if name not in ("tiles", "panels")}
    about |= {
        "operations": tuple(tug["operations"]),
        "sheet": _sheet(arrays, sheet, "webp", quality=QUALITY),
        "side": side,
        "panels": tuple(
            dict(panel)
            if "missing" in panel
            else {
                "arrays": {name: _named(arrays, panel[name], dtype) for name, dtype in types.items()},
                "exact": bool(panel["is_exact"]),
                "average": tuple(float(value) for value in panel["average"]),
            }
            for panel in tug["panels"]
        ),
    }
    return about, arrays
