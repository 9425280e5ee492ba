"""Colours of states, and those that pages share with reports."""

from __future__ import annotations

from typing import Literal

from simclr.curves.colors import ARM_COLORS, CATEGORIES, GREY, PALETTE, RING, category_colors

__all__ = ["ARM_COLORS", "CATEGORIES", "GREY", "PALETTE", "RING", "STATE_COLORS", "BadgeColor", "category_colors"]

BadgeColor = Literal["red", "orange", "green", "blue", "gray"]
STATE_COLORS: dict[str, BadgeColor] = {
    "queued": "gray",
    "starting": "blue",
    "running": "blue",
    "stopping": "orange",
    "stopped": "gray",
    "finished": "green",
    "failed": "red",
}
