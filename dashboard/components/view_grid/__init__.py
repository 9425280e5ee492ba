"""Images with two random views each, and a strip to choose images from; one sprite, drawn by the browser."""

from __future__ import annotations

from typing import Any

from dashboard.components import registered


def view_grid(data: dict[str, Any], key: str) -> None:
    """Draws rows of original, view 1 and view 2, or updates those drawn before under `key`.

    Args:
        data: `sprite` (address of one picture with three tiles a row), `rows` (title, boxes of both crops as shares
            left, top, width, height of the original or None, and for both what was done, as names and values),
            `revision`.
    """
    registered("view_grid")(key=key, data={"mode": "views", **data})


def picker(data: dict[str, Any], key: str) -> None:
    """Draws a strip of images to click; the session's state of `key` keeps `picked`, the numbers of those chosen.

    Args:
        data: `sprite` (one row of tiles), `items` (number, title), `picked` (numbers), `most` (how many at once).
    """
    registered("view_grid")(
        key=key, data={"mode": "picker", **data}, default={"picked": None}, on_picked_change=lambda: None
    )
