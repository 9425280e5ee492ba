"""What can be done with a run from several pages: stop, dismiss, delete, edit; and the dialogs that ask first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import streamlit as st

from dashboard.components import escape
from dashboard.shared import formats, run_labels, store, url_state
from dashboard.shared.ui import report_errors
from simclr import runs
from simclr.config import ConfigError
from simclr.launch import control, spawn
from simclr.runs import Run, metrics_csv
from simclr.runs.status import Status


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


def progress_words(status: Status) -> str:
    """How far a run is: `epoch 3 of 20 · 1 min 10 s left`, `loading libraries`, `finished`."""
    if status.state == "stopping":
        return stopping_text(status)
    if not status.is_active:
        return run_labels.STATE_LABELS[status.state].lower()
    if not status.steps:
        return status.phase or status.reason or run_labels.STATE_LABELS[status.state].lower()
    left = f" · {formats.duration(status.eta_seconds)} left" if status.eta_seconds is not None else ""
    return f"epoch {status.epoch} of {status.epochs}{left}"


def resumable(run: Run) -> bool:
    """Whether a run can be gone on with. Its options are checked once for each state of its files, for pages ask with
    every click."""
    state = run.status.state
    if state not in ("stopped", "failed"):
        return False
    files = tuple(metrics_csv.signature(run.path / name) for name in (runs.STATUS, runs.CONFIG, runs.META))
    return _resumable(run.path, state, files)


@lru_cache(maxsize=256)
def _resumable(path: Path, _state: str, _files: tuple[tuple[int, int] | None, ...]) -> bool:
    try:
        spawn.check_resumable(Run(path))
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
            remember_deleted([run.id], name)


def remember_deleted(run_ids: list[str], name: str) -> None:
    """Lets the Runs page offer to bring runs back; `name` is what to call them."""
    st.session_state["deleted"] = {"ids": run_ids, "name": name}


def restore_runs(run_ids: list[str]) -> int:
    """Brings runs back from the trash; returns how many. What cannot be brought back is said on the next page."""
    return each_by_id(run_ids, runs.restore)


def each_by_id(run_ids: Sequence[str], change: Callable[[str, Path], object]) -> int:
    """Does something with one run of the trash after the other; returns how many took it. One that does not costs only
    itself, and is said on the next page.

    Args:
        change: takes the id and the runs folder, and raises ConfigError with one sentence.
    """
    problems, count = [], 0
    for run_id in run_ids:
        try:
            change(run_id, store.runs_dir())
            count += 1
        except ConfigError as error:
            problems.append(str(error))
    say_problems(problems)
    return count


def say_problems(problems: Sequence[str]) -> None:
    """Leaves the first of some sentences for the page that is drawn next, and how many others there are."""
    if problems:
        more = f" {len(problems) - 1} others likewise." if len(problems) > 1 else ""
        st.session_state["message"] = problems[0] + more


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
        url_state.go_instead("")
        return
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
