"""Images with two random views each, and a strip to choose images from; one sprite, drawn by the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


@st.cache_resource(max_entries=1, show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "simclr_view_grid",
        css=(HERE / "view_grid.css").read_text(encoding="utf-8"),
        js=(HERE / "view_grid.js").read_text(encoding="utf-8"),
        isolate_styles=False,
    )


def view_grid(data: dict[str, Any], key: str) -> None:
    """Draws rows of original, view 1 and view 2, or updates those drawn before under `key`.

    Args:
        data: `sprite` (address of one picture with three tiles a row), `rows` (title, boxes of both crops as shares
            left, top, width, height of the original or None, and for both what was done, as names and values),
            `revision`.
    """
    _component()(key=key, data={"mode": "views", **data})


def picker(data: dict[str, Any], key: str) -> None:
    """Draws a strip of images to click; the session's state of `key` keeps `picked`, the numbers of those chosen.

    Args:
        data: `sprite` (one row of tiles), `items` (number, title), `picked` (numbers), `most` (how many at once).
    """
    _component()(key=key, data={"mode": "picker", **data}, default={"picked": None}, on_picked_change=lambda: None)
