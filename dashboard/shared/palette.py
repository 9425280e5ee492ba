"""Colours of runs and of states, the same on all pages."""

from __future__ import annotations

from typing import Literal

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
# Told apart with every common colour blindness, on white and on near-black alike.
GREY, RING = "#8a94a6", "#e76300"  # what is not meant; around what is
# Petroff 2021 ("Accessible color sequences for data visualization"): ten colours told apart with every common colour
# blindness.
CATEGORIES = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    RING,
    "#b9ac70",
    "#717581",
    "#92dadd",
)
PALETTE = ("#4c6ef5", "#e07b28", "#159a74", "#c75fa1", "#2f9fd0", "#d64f48", "#ad8f1c", "#8468d8")
