"""What maps show of images, as plain values: their thumbnails, classes and places. Imports no streamlit."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dashboard.components import served
from dashboard.shared import palette
from simclr.files import safe_read, writing

MAX_CACHED_SHEETS = 60
SPLIT_NAMES = {"val": "validation", "train": "training"}


def split_name(split: str) -> str:
    return SPLIT_NAMES.get(split, "test")


def classes_of(names: Sequence[str]) -> list[dict[str, str]]:
    shades = palette.category_colors(len(names))
    return [{"name": name, "color": color} for name, color in zip(names, shades, strict=True)]


def tile_of(thumbnails: dict[str, Any]) -> dict[str, int]:
    return {name: thumbnails[name] for name in ("side", "columns", "per_sheet")}


def row_of(ids: NDArray[np.int64], image: int) -> int:
    """The row of an image by its number in the data set; -1 if it is not there."""
    places = np.flatnonzero(ids == image)
    return int(places[0]) if len(places) else -1


def sheet_addresses(sheets: Sequence[Path], images: str, side: int) -> list[str]:
    """Puts the sheets of thumbnails where the server can serve them, and returns their addresses.

    Named by content, so that the browser fetches each once. Where that folder cannot be written, the sheets go along
    with the page.

    Args:
        images: a name of what is on them. side: of a tile, in pixels.
    """
    found = []
    for number, path in enumerate(sheets):
        name = f"images-{re.sub('[^0-9A-Za-z]', '', images)}-{side}-{number}.png"
        try:
            folder = served.sheet_folder()
            target = folder / name
            if not target.exists():
                folder.mkdir(parents=True, exist_ok=True)
                with writing.replacing(target, sync=False) as stream:
                    stream.write(safe_read.read_bytes(path, safe_read.MAX_SHEET_BYTES))
                _forget_old_sheets(folder)
            found.append(served.address(name))
        except OSError:
            with contextlib.suppress(OSError):
                content = safe_read.read_bytes(path, safe_read.MAX_SHEET_BYTES)
                found.append("data:image/png;base64," + base64.b64encode(content).decode())
    return found


def contact_sheet(tiles: NDArray[np.uint8], side: int, columns: int = 3, gap: int = 3) -> NDArray[np.uint8]:
    """Images (n, 3, S, S) in a square, (H, W, 4), each `side` pixels wide."""
    count = -(-len(tiles) // columns)
    # between the images the page is seen
    found = Image.new("RGBA", (columns * (side + gap) - gap, count * (side + gap) - gap))
    for place, tile in enumerate(tiles):
        image = Image.fromarray(tile.transpose(1, 2, 0)).resize((side, side))
        found.paste(image, (place % columns * (side + gap), place // columns * (side + gap)))
    return np.asarray(found)


def _forget_old_sheets(folder: Path) -> None:
    def age(path: Path) -> float:
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
        return 0.0

    for path in sorted(folder.glob("images-*.png"), key=age, reverse=True)[MAX_CACHED_SHEETS:]:
        path.unlink(missing_ok=True)
