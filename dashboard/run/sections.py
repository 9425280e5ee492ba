"""What lies below a run's answer, a tab each. One is drawn at a time, so that the page is short and opens fast."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.run import details_panel, final_test, health_panel, progress_panel
from dashboard.run.view_state import VIEW, write_address
from dashboard.shared import store, url_state
from simclr.results import index
from simclr.runs import Run

Draw = Callable[[Run, index.Summary], None]

# name in the address: label, what it draws
TABS: dict[str, tuple[str, Draw]] = {
    "curves": ("Curves", lambda run, summary: progress_panel.curves(run.id, summary.is_active)),
    "health": ("Health", lambda run, summary: health_panel.section(run.id, summary.is_active)),
    "test": ("Test", lambda run, _: final_test.section(run)),
    "options": ("Options", lambda run, _: details_panel.options(run)),
    "log": ("Log", details_panel.log),
    "reproduce": ("Reproduce", lambda run, _: details_panel.origin(run)),
}
WAITING = ("options", "reproduce")  # of a run that has not begun


def tabs_of(run: Run, summary: index.Summary) -> list[str]:
    """Those that have something to show, in their order."""
    if summary.state == "queued":
        return list(WAITING)
    missing = set()
    if summary.kind != "pretrain" or summary.state == "starting":
        missing.add("health")
    if summary.is_active or not final_test.is_there(run):
        missing.add("test")
    return [name for name in TABS if name not in missing]


def first_of(run: Run, summary: index.Summary, names: list[str]) -> str:
    """The tab that is open at first: the one that the address names, else the one a reader needs first."""
    usual = "log" if summary.state == "failed" else names[0]
    if not (asked := VIEW["tab"]):
        return "health" if VIEW["epoch"] and "health" in names else usual
    if asked in names:
        return asked
    why = "has nothing to show for this run" if asked in TABS else url_state.none_of(names)
    url_state.say_instead("tab", asked, why, TABS[usual][0].lower())
    VIEW["tab"] = ""
    return usual


@st.fragment
def sections(run_id: str) -> None:
    """The tabs; a click on one draws them alone."""
    run = store.find(run_id)
    if run is None:
        return
    summary = store.get().summary(run)
    names = tabs_of(run, summary)
    labels = [TABS[name][0] for name in names]
    first = first_of(run, summary, names)
    key = f"tabs-{run.id}-{'-'.join(names)}"  # others are other tabs

    def moved() -> None:
        VIEW["tab"] = names[labels.index(st.session_state[key])]

    opened = st.tabs(labels, default=TABS[first][0], key=key, on_change=moved)
    write_address("sections")
    for name, tab in zip(names, opened, strict=True):
        if tab.open:
            with tab:
                TABS[name][1](run, summary)
