"""Sprite sheets: images side by side in one picture, written and read back (no torch)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from simclr.files import safe_read


def name_of(number: int) -> str:
    """The file of a sheet."""
    return f"thumbnails-{number}.png"


def write_sheet(images: NDArray[np.uint8], columns: int, path: Path) -> None:
    """Writes images (n, 3, S, S) in rows of `columns` as one PNG."""
    count, _, side, _ = images.shape
    num_rows = -(-count // columns)
    sheet = np.zeros((num_rows * columns, side, side, 3), dtype=np.uint8)
    sheet[:count] = images.transpose(0, 2, 3, 1)
    sheet = sheet.reshape(num_rows, columns, side, side, 3).swapaxes(1, 2)
    Image.fromarray(sheet.reshape(num_rows * side, columns * side, 3)).save(path, compress_level=4)


def read_tiles(sheets: Sequence[Path], tiles: Mapping[str, Any], rows: Sequence[int]) -> NDArray[np.uint8]:
    """(n, 3, S, S): the images at `rows`, whose sheets are opened once each.

    Args:
        tiles: how they lie there, as `thumbnails.write_sheets` says it: `side`, `columns` and `per_sheet`.

    Raises:
        OSError, ValueError: if a sheet is missing, damaged, or does not hold these images.
    """
    side, columns, per_sheet = (int(tiles[name]) for name in ("side", "columns", "per_sheet"))
    found = np.empty((len(rows), 3, side, side), dtype=np.uint8)
    opened: dict[int, NDArray[np.uint8]] = {}
    for place, row in enumerate(rows):
        number, at = divmod(int(row), per_sheet)
        if not 0 <= number < len(sheets):
            raise ValueError(f"image {row} lies on no sheet")
        if number not in opened:
            opened[number] = _pixels(sheets[number])
        top, left = at // columns * side, at % columns * side
        tile = opened[number][top : top + side, left : left + side]
        if tile.shape != (side, side, 3):
            raise ValueError(f"image {row} lies outside of its sheet")
        found[place] = tile.transpose(2, 0, 1)
    return found


def _pixels(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) of a sheet."""
    content = safe_read.read_bytes(path, safe_read.MAX_SHEET_BYTES)
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image.convert("RGB"))
    except (SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises besides for damaged content
        raise ValueError(f"{path.name} is no whole picture: {error}") from None
