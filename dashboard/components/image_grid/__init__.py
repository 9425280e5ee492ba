"""Images from sheets of tiles, each a button that says which one was clicked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dashboard.components import registered


def image_grid(
    items: Sequence[dict[str, Any]],
    key: str,
    *,
    sheets: Sequence[str],
    tile: dict[str, int],
    on_click: Callable[[], None],
    side: int = 48,
    max_height: int | None = None,
) -> None:
    """Draws images, or updates those drawn before under `key`; a click sets `clicked`, an item's id, in its state.

    Args:
        items: each with `row` (its place on the sheets), `id`, `name` (what it is called), and where wanted `caption`
            (below it), `color` (a dot before it), `mark` (true: it stands out), `open` (it is shown elsewhere).
        sheets: their addresses. tile: side, columns and per_sheet of the sheets.
        on_click: called before the page is drawn again.
        side: of an image, in pixels. max_height: in pixels; more is scrolled.
    """
    data = {
        "items": tuple(items),
        "sheets": tuple(sheets),
        "tile": tile,
        "side": side,
        "height": max_height or 0,
    }
    registered("image_grid")(key=key, data=data, on_clicked_change=on_click)
