"""Beside a figure: how many of its test images are copies of training images, or that nothing was looked for."""

from __future__ import annotations

import contextlib
from pathlib import Path

import streamlit as st

from dashboard.components import escape
from dashboard.shared import store, ui, url_state
from simclr import runs
from simclr.analysis.leaks import copies
from simclr.embeddings import references, selection
from simclr.evaluation.leaks import record
from simclr.evaluation.leaks.record import Leaks
from simclr.runs import Run

PAGE = "copies/page.py"
BADGE = ":orange-badge[:material/content_copy: Copies in the test images]"


def read(run: Run) -> Leaks | None:
    """What was found for a run, as `record.read` gives it; a file is read again only when it has changed."""
    return next((found for file in _files(run) if (found := _read(*file)) is not None), None)


def has_record(run: Run) -> bool:
    """Whether there is something to be read; nothing is held of what was found."""
    return any(_is_record(*file) for file in _files(run))


def _files(run: Run) -> list[tuple[str, int, int]]:
    """Where it may lie, with what changes when the file does."""
    found = []
    for folder in dict.fromkeys((run.computed, run.path)):
        with contextlib.suppress(OSError):
            about = (path := folder / record.FILE).stat()
            found.append((str(path), about.st_mtime_ns, about.st_size))
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _read(path: str, modified: int, size: int) -> Leaks | None:
    return record.read_file(Path(path))


@st.cache_resource(max_entries=2000, show_spinner=False)
def _is_record(path: str, modified: int, size: int) -> bool:
    return record.read_file(Path(path)) is not None


def record_for(run: Run) -> tuple[Run, Leaks] | None:
    """What was found for a run, else for the pre-training that it belongs to where both have the same test images."""
    if (found := read(run)) is not None:
        return run, found
    source = store.find(run.experiment or "") if run.kind in ("finetune", "scratch") else None
    if source is None or (found := read(source)) is None:
        return None
    mine, theirs = (selection.comparable_data(each, "test") for each in (run, source))
    return None if selection.difference(mine, theirs) else (source, found)


def can_be_checked(run: Run) -> bool:
    """Whether there are weights, and test images that were looked at."""
    return references.has_weights(run) and any(name.startswith("test/") for name in run.evaluation)


def show(run: Run, key: str) -> None:
    """One line with the way to the pairs, or the button that looks for them; nothing of a run that was not tested.

    Args:
        key: of the button.
    """
    both = record_for(run)
    if both is not None:
        _found(*both, of_other=both[0].id != run.id)
    elif can_be_checked(run):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"{key}-line"):
            st.caption(
                ":material/content_copy: The test images were not checked for copies of training images.",
                width="content",
            )
            job = copies.find_job(run, store.runs_dir())
            active = job is not None and runs.current_status(job).is_active
            label = "Being checked" if active else "Check for copies"
            if st.button(label, key=key, type="tertiary", icon=":material/play_arrow:"):
                if not active:
                    start(run.id)
                url_state.go("copies", id=run.id)


def _found(run: Run, found: Leaks, *, of_other: bool) -> None:
    text = escape.markdown(record.sentence(found))
    where = f" By the features of {escape.markdown(run.name)}." if of_other else ""
    with st.container(gap=None, key=f"copies-{run.id}"):
        if not found.num_copies:
            st.caption(f":material/check: {text}{where}", width="content")
            return
        st.markdown(f"{BADGE} {text}{where}")
        st.page_link(PAGE, label="See the pairs", icon=":material/compare:", query_params={"id": run.id})


def start(run_id: str, dataset: str = "") -> None:
    """Starts looking for copies in the background."""
    run = store.find(run_id)
    if run is not None:
        with ui.report_errors():
            copies.start_job(run, store.runs_dir(), dataset)
