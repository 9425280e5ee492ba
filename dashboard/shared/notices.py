"""Runs that ended while a session looked on: each is told once, by the browser, where its user wants that."""

from __future__ import annotations

import streamlit as st

from dashboard.components.run_notices import Ended, run_notices
from dashboard.shared import formats, run_labels, store
from simclr.results import index

MOST = 20  # of those that ended before; the browser knows which it has told


def show() -> None:
    """The switch, while a run is going on, and the runs that have ended since the session began."""
    active = {item.id for item in store.get().summaries() if item.is_active}
    gone = st.session_state.setdefault("active-runs", set()) - active
    ended: list[Ended] = st.session_state.setdefault("ended-runs", [])
    ended += [of(store.get().summary(run)) for run_id in sorted(gone) if (run := store.find(run_id)) is not None]
    del ended[:-MOST]
    st.session_state["active-runs"] = active
    run_notices(bool(active), ended)


def of(summary: index.Summary) -> Ended:
    """The notice of a run's end."""
    status = summary.status
    state = run_labels.STATE_LABELS.get(status.state, status.state)
    text = f"{state} after {formats.duration(index.elapsed(status))}"
    if status.error:
        text = f"{state}: {status.error}"
    elif summary.accuracy is not None:
        text += f", {'kNN accuracy' if summary.kind == 'pretrain' else 'accuracy'} {formats.percent(summary.accuracy)}"
    return Ended(summary.id, status.ended or 0.0, summary.title, text, f"run?id={summary.id}")
