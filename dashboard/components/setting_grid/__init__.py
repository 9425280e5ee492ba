"""Settings on two axes: each cell has its figure, is shaded by it, and leads to the runs behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.components import registered


def setting_grid(
    rows: list[str],
    columns: list[str],
    cells: list[list[dict[str, Any] | None]],
    key: str,
    pictures: Mapping[str, str] | None = None,
) -> None:
    """Draws a grid that is as wide as the page allows and scrolls within itself where that is too narrow.

    Args:
        rows, columns: their labels.
        cells: for each row one for each column: `text`, `sub`, `value` from 0 to 1 that shades it, `href`, `title`, and
            `best` where it is marked; None where there is none.
        key: names the grid.
        pictures: of labels, as addresses that hold them.
    """
    registered("setting_grid")(
        key=key,
        data={
            "rows": tuple(rows),
            "columns": tuple(columns),
            "cells": tuple(map(tuple, cells)),
            "pictures": dict(pictures or {}),
        },
    )
