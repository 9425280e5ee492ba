"""What the Curves page shows: in the address, in the session, and in its widgets."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote, unquote

import streamlit as st

from simclr.results.curve_sources import Source

MAX_RUNS = 200
X = {"epoch": "Epoch", "step": "Step", "time": "Time"}
SPLITS = {"both": "Both", "train": "Training", "val": "Validation"}
SEEDS = {"each": "Each run", "std": "Mean ± std", "range": "Mean, min–max"}
CHOICE = "curves_choice"  # the session's own copy: widgets forget when another page is shown
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
    "generation": 0,
}


# --- what is shown: address, session, widgets ----------------------------------------------------------------------


def choice() -> dict[str, Any]:
    """What is shown: the address first, then what this session chose before."""
    kept = st.session_state.setdefault(CHOICE, dict(FIRST))
    given = {name: st.query_params.get_all(name) for name in st.query_params if name in (*FIRST, "metric")}
    if given and given != st.session_state.get("curves_address"):
        kept["generation"] += 1
        kept |= read_address(given)
    return kept


def read_address(given: dict[str, list[str]]) -> dict[str, Any]:
    """The choices that an address makes; what it does not name is as at first, and what makes no sense too."""
    one = {name: values[-1] for name, values in given.items() if values}
    found: dict[str, Any] = {name: value for name, value in FIRST.items() if name not in ("generation", "folder")}
    if "runs" in one:
        found["runs"] = [unquote(run_id) for run_id in one["runs"].split(",") if run_id]
    if given.get("metric"):
        found["metrics"] = given["metric"]
    for name, allowed in (("x", X), ("splits", SPLITS), ("seeds", SEEDS)):
        if one.get(name) in allowed:
            found[name] = one[name]
    found["log"], found["log_x"] = one.get("log") == "true", one.get("log_x") == "true"
    found["large"] = one.get("large", "")
    found["folder"] = one.get("folder", "")
    try:
        smoothing = float(one.get("smoothing", 0))
    except ValueError:
        smoothing = 0.0
    found["smoothing"] = min(0.99, max(0.0, round(smoothing, 2))) if math.isfinite(smoothing) else 0.0
    return found


def write_address(kept: dict[str, Any], metrics: list[str]) -> None:
    """Puts the view into the address; what is as at first is left out."""
    query: dict[str, str | list[str]] = {
        "runs": ",".join(quote(run_id, safe="/") for run_id in kept["runs"]),
        "metric": metrics,
    }
    query |= {name: kept[name] for name in ("x", "splits", "seeds", "folder", "large") if kept[name] != FIRST[name]}
    query |= {name: "true" for name in ("log", "log_x") if kept[name]}
    if kept["smoothing"]:
        query["smoothing"] = f"{kept['smoothing']:.2f}"
    address = {name: [value] if isinstance(value, str) else value for name, value in query.items()}
    address = {name: values for name, values in address.items() if values}
    if address != {name: st.query_params.get_all(name) for name in st.query_params}:
        st.query_params.from_dict(query)
    st.session_state["curves_address"] = address


def apply_widget_state(kept: dict[str, Any], known: dict[str, Source]) -> None:
    """Takes over from two widgets what is needed before they are drawn: the runs ticked, and what is drawn as one."""
    kept["seeds"] = st.session_state.get(f"curves-seeds-{kept['generation']}") or kept["seeds"]
    state = st.session_state.get(f"curves-runs-{kept['generation']}")
    picked = state.get("picked") if state else None
    if picked is not None:
        kept["runs"] = [str(run_id) for run_id in picked]
    kept["runs"] = [run_id for run_id in kept["runs"] if run_id in known][:MAX_RUNS]
