"""A grid of plotly charts, one metric each, over the same runs; kept alive, so that zoom survives every refresh.

The grid is drawn once with all its lines. A refresh sends only the lines that changed since, through a second,
invisible mount, and redraws the charts they belong to, one after another, so that the page answers in between.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from dashboard.components import registered
from dashboard.components.live_chart import plotly_url


def curve_grid(data: dict[str, Any], key: str) -> str:
    """Draws the grid, or updates the one drawn before under `key`; returns the revision that updates refer to.

    The id of the enlarged chart is kept as `large` in the session's state of `key`.

    Args:
        data: `charts` (each with `id`, `title`, `help`, `empty`, `percent`, `digits` or None, `log`, `log_x`, `better`,
            and `marks` or None: `level`, `text`, `points` of `x`, `y`, `color`), `runs` (`id`, `title`, `color`,
            `dash`), `lines` as `curve_data.lines` gives them, `x_title`, `x_name`, `height` and `large_height` in
            pixels, `large` (the chart that is enlarged at first, by its id, or an empty string).
        key: names the component.
    """
    text = json.dumps(data, sort_keys=True, allow_nan=False)
    base = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    registered("curve_grid")(
        key=key,
        data={"mode": "grid", "key": key, "base": base, "plotly": plotly_url(), **data},
        default={"large": data["large"]},
        on_large_change=lambda: None,
    )
    return base


def update_grid(lines: list[dict[str, Any]], base: str, key: str) -> None:
    """Hands lines that changed to the grid `key`, if it still shows what `curve_grid` returned `base` for."""
    registered("curve_grid")(
        key=f"{key}-update", data={"mode": "update", "key": key, "base": base, "lines": lines}, height=1
    )
