"""Thumbnails: the images of a split as sprite sheets, which maps and films show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from simclr.data.splits import Split
from simclr.views import augment, resampling, sheets

TILE_SIDE, SHEET_COLUMNS = 64, 50  # a thumbnail's largest side; tiles in a row and rows in a sheet


def tiles_of(images: Tensor, side: int) -> NDArray[np.uint8]:
    """(n, 3, side, side) of images (n, 3, S, S) uint8."""
    if images.shape[-1] != side:
        images = augment.to_bytes(resampling.resize(augment.to_float(images), side))
    return images.numpy()


def write_sheets(split: Split, folder: Path) -> dict[str, Any]:
    """Writes the images of a split as sprite sheets (PNG); returns their names and how tiles lie on them."""
    side = min(TILE_SIDE, split.image_size)
    per_sheet = SHEET_COLUMNS * SHEET_COLUMNS
    names = []
    for number, start in enumerate(range(0, split.num_images, per_sheet)):
        part = split.take(range(start, min(start + per_sheet, split.num_images)))
        tiles = np.concatenate([tiles_of(batch, side) for batch in part.batches()])
        names.append(sheets.name_of(number))
        sheets.write_sheet(tiles, SHEET_COLUMNS, folder / names[-1])
    return {"side": side, "columns": SHEET_COLUMNS, "per_sheet": per_sheet, "sheets": names}
