"""Small parts that pages share: page heads, badges, dialogs that ask first."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.shared import palette, run_labels, store
from simclr import runs
from simclr.config import ConfigError
from simclr.launch import control, spawn
from simclr.runs import Run
from simclr.runs.status import Status

STYLE = """
<style>
[data-testid="stMainBlockContainer"] { max-width: 78rem; padding-left: 2.5rem; padding-right: 2.5rem; }
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding-left: 1rem; padding-right: 1rem; }
}
[data-testid="stMain"] [data-testid="stPageLink-NavLink"],
[data-testid="stMain"] [data-testid="stPageLink-NavLink"] * { font-weight: 450; }
[data-testid="stMain"] [data-testid="stPageLink-NavLink"]:not(:hover) { background: transparent; }
[data-testid="stMetricValue"] { font-variant-numeric: tabular-nums; }
@media (min-width: 900px) {
  [data-testid="stColumn"]:has(.st-key-start-card) {
    position: sticky; top: 1rem; align-self: flex-start;
  }
}
.st-key-verdict p { font-size: 1.12rem; line-height: 1.5; }
[class*="st-key-health-"][class*="-text"] { min-width: min(20rem, 100%); }
.st-key-facts [data-testid="stMetric"] { padding-right: 1rem; }
[class*="st-key-queue-actions-"] { gap: 0 !important; }
[class*="st-key-queue-actions-"] button { min-width: 2.1rem; min-height: 2.1rem; justify-content: center; }
[class*="st-key-queue-actions-"] button:hover { background: color-mix(in srgb, currentColor 8%, transparent); }
[class*="st-key-queued-"] { padding: 0.15rem 0; }
[class*="st-key-queued-"] [class*="st-key-link-"] button p { font-weight: 600; }
[class*="st-key-queued-"] + [class*="st-key-queued-"] { border-top: 1px solid var(--st-border-color-light); }
[class*="st-key-card-"] { transition: border-color 120ms; }
[class*="st-key-card-"]:hover { border-color: color-mix(in srgb, var(--st-primary-color) 45%, transparent); }
</style>
"""


def style() -> None:
    """The few rules that the theme has no option for."""
    st.html(STYLE)
    st.logo(
        str(store.ROOT / "dashboard/static/logo.svg"),
        size="large",
        icon_image=str(store.ROOT / "dashboard/static/icon.png"),
    )


def head(title: str, caption: str = "") -> Any:
    """Title left, room for one action right; returns the container on the right."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        st.title(title, anchor=False, width="content")
        right = st.container(horizontal=True, width="content", gap="small")
    if caption:
        st.caption(caption)
    return right


def state_badge(status: Status) -> None:
    st.badge(
        run_labels.STATE_LABELS.get(status.state, status.state), color=palette.STATE_COLORS.get(status.state, "gray")
    )


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Turns what an action cannot do into the sentence that the next page run shows."""
    try:
        yield
    except ConfigError as error:
        st.session_state["message"] = str(error)
    except OSError as error:
        st.session_state["message"] = f"The runs folder does not take it: {error.strerror or error}."


def stop_run(run_id: str) -> None:
    """Stops a run, looked up again by its id at this moment: the page may be older than what it shows."""
    run = store.find(run_id)
    with report_errors():
        if run is not None:
            control.request_stop(run.path)


def stopping_text(status: Status) -> str:
    """How long a run that was asked to stop may still take to save."""
    left = runs.STOP_GRACE_SECONDS - max(0.0, time.time() - (status.stop_requested or time.time()))
    return f"saving, {left:.0f} s until it is killed" if left > 0 else "being killed"


def resumable(run: Run) -> bool:
    try:
        spawn.check_resumable(run)
    except ConfigError:
        return False
    return True


def resume_label(run: Run) -> str:
    return "Resume" if runs.has_checkpoint(run.path) else "Start again"


def dismiss_run(run_id: str) -> None:
    """A failure that its user knows of is not shown on top any more."""
    run = store.find(run_id)
    with report_errors():
        if run is not None:
            runs.add_meta(run.path, seen=True)


def delete_run(run_id: str) -> None:
    """Moves a run to the trash and remembers it, so that the Runs page can offer to undo it."""
    run = store.find(run_id)
    with report_errors():
        if run is not None:
            name = store.get().summary(run).title
            runs.delete(run, store.runs_dir())
            st.session_state["deleted"] = {"id": run.id, "name": name}


def save_details(run_id: str) -> None:
    run = store.find(run_id)
    if run is not None:
        kept = st.session_state
        tags = [tag.strip() for tag in kept[f"edit-tags-{run_id}"].split(",")]
        with report_errors():
            run.edit(
                name=kept[f"edit-name-{run_id}"].strip() or None,
                notes=kept[f"edit-notes-{run_id}"],
                tags=list(dict.fromkeys(tag for tag in tags if tag)),
            )


def _named(run_id: str) -> Run | None:
    """Says in a dialog which run is meant."""
    run = store.find(run_id)
    if run is None:
        st.write("This run is not there any more.")
    elif run.name != run.id:
        st.markdown(f"**{escape.markdown(run.name)}**  \n{escape.markdown(run.id)}")
    else:
        st.markdown(f"**{escape.markdown(run.id)}**")
    return run


@st.dialog("Stop this run?")
def confirm_stop(run_id: str) -> None:
    """Asks, then stops."""
    if _named(run_id) is None:
        return
    st.caption("It saves a checkpoint and ends; what was trained so far stays.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        no = st.button("Keep running", key="stop-no")
        yes = st.button(
            "Stop run", type="primary", key="stop-yes", icon=":material/stop:", on_click=stop_run, args=(run_id,)
        )
    if yes or no:
        st.rerun()


@st.dialog("Delete this run?")
def confirm_delete(run_id: str) -> None:
    """Asks, then moves the run to the trash, from where the Runs page can bring it back."""
    if _named(run_id) is None:
        st.switch_page(PAGE_RUNS)
    st.caption("Its weights, curves and log go to the trash of the runs folder; the next page offers to undo it.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="delete-no"):
            st.rerun()
        st.button(
            "Delete run",
            type="primary",
            key="delete-yes",
            icon=":material/delete:",
            on_click=delete_run,
            args=(run_id,),
        )
    if "message" in st.session_state:
        st.rerun()


@st.dialog("Name, notes and tags")
def edit_details(run_id: str) -> None:
    run = store.find(run_id)
    if run is None:
        st.write("This run is not there any more.")
        return
    own = "" if run.name == run.id else run.name
    st.text_input("Name", value=own, placeholder=run.id, max_chars=120, key=f"edit-name-{run_id}")
    st.text_area("Notes", value=run.notes, max_chars=10_000, key=f"edit-notes-{run_id}")
    words = "Words to find the run by, separated by commas."
    st.text_input("Tags", value=", ".join(run.tags), help=words, key=f"edit-tags-{run_id}")
    if st.button("Save", type="primary", key="edit-save", on_click=save_details, args=(run_id,)):
        st.rerun()


def show_message() -> None:
    """A sentence left by a dialog or an action of the run before."""
    if message := st.session_state.pop("message", None):
        st.error(escape.markdown(message), icon=":material/error:")


PAGE_RUNS, PAGE_RUN, PAGE_NEW = "runs/page.py", "run/page.py", "new_run/page.py"


def text_link(title: str, run_id: str, key: str = "") -> None:
    """A run's name that leads to its page."""
    if st.button(escape.markdown(title), key=f"link-{key}{run_id}", type="tertiary"):
        st.switch_page(PAGE_RUN, query_params={"id": run_id})


def open_run(run: Run) -> None:
    """Goes to the page of a run, named by its id."""
    st.switch_page(PAGE_RUN, query_params={"id": run.id})
