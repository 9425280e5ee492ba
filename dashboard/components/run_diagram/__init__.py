"""A figure of what a run does to an image: boxes from left to right, on a phone from top to bottom, each a link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dashboard.components import registered


def run_diagram(stages: Sequence[dict[str, Any]], key: str, *, wanted: bool, on_wanted: Callable[[], None]) -> None:
    """Draws the stages, or updates those drawn before under `key`.

    Args:
        stages: each with `title`, `note` (below it), `href`, `about` (what it is, for those who hear the page) and, as
            they are known: `images` (addresses), `network` (its name), `vectors` (values -1..1), `matrix`
            (similarities), `value` (a number in words), `shares` (names with shares 0..1). `empty` names what will be
            drawn there: `image`, `images`, `vector`, `vectors`, `matrix` or
            `shares`.
        wanted: what is to be drawn is not computed yet.
        on_wanted: called once when a browser has such a figure in sight.
    """
    data = {"stages": tuple(stages), "wanted": wanted}
    registered("run_diagram")(key=key, data=data, on_wanted_change=on_wanted)
