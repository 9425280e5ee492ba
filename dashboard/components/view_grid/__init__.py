"""Images with their random views, one image step by step, colour histograms, and a strip to choose images from.

Pictures come as sprites, which the browser cuts into tiles.
"""

from __future__ import annotations

from typing import Any

from dashboard.components import registered


def view_grid(mode: str, data: dict[str, Any], key: str) -> None:
    """Draws one of three figures, or updates the one drawn before under `key`.

    Args:
        mode: `views`: rows of original, view 1 and view 2; `steps`: both views of one image after each operation;
            `shortcut`: colour histograms of pairs of crops.
        data: what `sample_images` and `shortcut` return, each with its `revision`. With `views` goes
            `originals` (a sprite, one column) and perhaps `names` of the two columns beside it, with `steps`
            `original`, with `shortcut` `arms` (their two titles).
    """
    registered("view_grid")(key=key, data={"mode": mode, **data})


def picker(data: dict[str, Any], key: str) -> None:
    """Draws a strip of images to click; the session's state of `key` keeps `picked`, the numbers of those chosen.

    Args:
        data: `sprite` (one row of tiles), `items` (number, title), `picked` (numbers), `most` (how many at once).
    """
    registered("view_grid")(
        key=key, data={"mode": "picker", **data}, default={"picked": None}, on_picked_change=lambda: None
    )
