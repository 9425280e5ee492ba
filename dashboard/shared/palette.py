"""Colours of runs and of states, the same on all pages."""

from __future__ import annotations

STATE_COLORS = {
    "queued": "gray",
    "starting": "blue",
    "running": "blue",
    "stopping": "orange",
    "stopped": "gray",
    "finished": "green",
    "failed": "red",
}
# Told apart with every common colour blindness, on white and on near-black alike.
PALETTE = ("#4c6ef5", "#e07b28", "#159a74", "#c75fa1", "#2f9fd0", "#d64f48", "#ad8f1c", "#8468d8")
