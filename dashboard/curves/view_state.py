"""What the Curves page shows, and how an address says it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import streamlit as st

from dashboard.shared import asked, url_state
from simclr.curves.curve_sources import Source

MAX_RUNS = 200
X = {"epoch": "Epoch", "step": "Step", "time": "Time"}
SPLITS = {"both": "Both", "train": "Training", "val": "Validation"}
SEEDS = {"each": "Each run", "std": "Mean ± std", "range": "Mean, min–max"}
FIRST = {
    "runs": None,
    "metrics": None,
    "x": "epoch",
    "splits": "both",
    "seeds": "each",
    "smoothing": 0.0,
    "log": False,
    "log_x": False,
    "large": "",
    "folder": "",
    "opened": "",
    "followed": None,
}


def read_address(given: url_state.Query) -> dict[str, Any]:
    """The choices that an address makes; what makes no sense is left out."""
    one = url_state.last_values(given)
    found: dict[str, Any] = {}
    if "runs" in one:
        found["runs"] = [unquote(run_id) for run_id in one["runs"].split(",") if run_id]
    if metrics := [name for name in given.get("metric", ()) if name]:
        found["metrics"] = metrics
    for name, allowed in (("x", X), ("splits", SPLITS), ("seeds", SEEDS)):
        if (word := asked.one_of(given, name, dict(zip(allowed, allowed, strict=True)), str(FIRST[name]))) is not None:
            found[name] = word
    for name in ("log", "log_x"):
        found[name] = asked.one_of(given, name, {"true": True, "false": False}, "false") or False
    found |= {name: one.get(name, "") for name in ("large", "folder")}
    found["smoothing"] = round(asked.number_in(given, "smoothing", 0, 0.99, "0") or 0.0, 2)
    return found


VIEW = url_state.View("curves", FIRST, read_address)


def write_address(metrics: list[str]) -> None:
    """Puts the view into the address; what is as at first is left out."""
    query: dict[str, str | list[str]] = {
        "runs": ",".join(quote(run_id, safe="/") for run_id in VIEW["runs"]),
        "metric": metrics,
    }
    query |= VIEW.changed("x", "splits", "seeds", "folder", "large", "log", "log_x")
    if VIEW["smoothing"]:
        query["smoothing"] = f"{VIEW['smoothing']:.2f}"
    url_state.write(query)


def take_picked(known: dict[str, Source]) -> None:
    """Takes over which runs are ticked, which is needed before their list is drawn."""
    state = st.session_state.get(VIEW.component_key("runs"))
    picked = state.get("picked") if state else None
    runs = VIEW["runs"] if picked is None else [str(run_id) for run_id in picked]
    VIEW["runs"] = [run_id for run_id in runs if run_id in known][:MAX_RUNS]
