"""Jobs that a page waits for: offered, told of while they go on, and explained where they failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.shared import formats, queue, store, ui
from simclr import runs
from simclr.added import sets
from simclr.config import ConfigError
from simclr.embeddings import stored
from simclr.embeddings.projections import Projection
from simclr.hardware import devices
from simclr.launch import control
from simclr.report import made
from simclr.results import index, table_formats


@st.fragment(run_every=1)
def progress(job: str, names: Mapping[str, str], folders: Sequence[str] = (), first: Projection | None = None) -> None:
    """The job's bar and phase; the page is drawn again when it ends, and when there is something to look at meanwhile.

    Args:
        job: its folder.
        names: run id to what the page calls the run.
        folders: of features whose maps `first` the page does not show yet.
    """
    status = runs.current_status(Path(job))
    found = [stored.load_embedding(Path(folder)) for folder in folders]
    can_be_shown = first is not None and bool(folders) and all(item and item.map(first) is not None for item in found)
    if not status.is_active or can_be_shown:
        st.rerun()
    with st.container(border=True, key="embedding-job"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            phase = "Stopping" if status.state == "stopping" else status.phase or "Starting"
            for run_id, name in names.items():
                phase = phase.replace(run_id, name)
            with st.container(gap=None, width="stretch"):
                st.markdown(f"**{escape.markdown(phase)}**")
                the = "the " if status.device == devices.CPU else ""
                where = f", on {the}{queue.device_text(status.device)}" if status.device else ""
                st.caption(f"{formats.duration(index.elapsed(status) or 0)} so far{where}")
            if st.button(
                "Cancel", key="embedding-cancel", icon=":material/close:", disabled=status.state == "stopping"
            ):
                try:
                    control.request_stop(Path(job))
                except ConfigError:
                    st.rerun()  # it ended in between
        st.progress(status.progress)


def offer(title: str, caption: str, job: Path | None, start: Callable[[], Any], key: str) -> None:
    """The button that starts a job, with what became of the last one with this request.

    Args:
        start: raises ConfigError with one sentence where it cannot.
        key: of the button.
    """
    status = runs.current_status(job) if job is not None else None
    with st.container(border=True, key="embedding-offer"):
        if status is not None and job is not None and status.state == "failed":
            st.error(escape.markdown(status.error or "The computation failed."), icon=":material/error:")
            if log := runs.Run(job).log_tail(40):
                with st.expander("Log"):
                    st.code(log, language=None)
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(gap=None, width="stretch"):
                st.markdown(f"**{escape.markdown(title)}**")
                if status is not None and status.state == "stopped":
                    st.caption("It was cancelled; what was complete by then is kept.")
                st.caption(escape.markdown(caption))
            again = status is not None and status.state in ("failed", "stopped")
            if st.button("Try again" if again else "Compute", type="primary", key=key, icon=":material/play_arrow:"):
                try:
                    start()
                except ConfigError as error:
                    st.session_state["message"] = str(error)
                st.rerun()


# --- reports ----------------------------------------------------------------------------------------------------------


FORMS = {"csv": ("CSV", "csv"), "markdown": ("Markdown", "md"), "latex": ("LaTeX", "tex")}


def table_menu(rows: Callable[[], Sequence[Sequence[str]]], name: str) -> None:
    """The menu that gives a table as a file.

    Args:
        rows: makes the table, head first, when it is asked for.
        name: of the file, without its ending.
    """
    with st.popover("Table", icon=":material/download:"):
        st.caption("The table as a file. LaTeX takes the package booktabs.")
        with st.container(horizontal=True, gap="small"):
            for form, (label, ending) in FORMS.items():
                ui.download(
                    label,
                    partial(_table_text, form, rows),
                    file_name=f"{name}.{ending}",
                    mime="text/plain",
                    key=f"table-{form}",
                )


def _table_text(form: str, rows: Callable[[], Sequence[Sequence[str]]]) -> str:
    return table_formats.FORMATS[form](rows()) + "\n"


def report_menu(names: Sequence[str]) -> None:
    """The menu that makes a report of runs or groups in the background, and gives its file.

    Args:
        names: their ids.
    """
    with st.popover("Report", icon=":material/description:"):
        st.caption(
            "One HTML file that opens without a network: answer, options, curves, maps with their images, verdicts, "
            "and the commands that repeat it. Making it takes some ten seconds."
        )
        if added := [item.name for item in sets.find_all(store.runs_dir())]:
            names = [*names, *st.multiselect("With other encoders", added, key="report-others", placeholder="None")]
        job = made.find_job(names, store.runs_dir())
        path = made.file_of(job) if job is not None else None
        file = None
        if path is not None:
            about = path.stat()
            file = MadeFile(
                about.st_size,
                path.read_bytes,
                made.file_name(names),
                "text/html",
                f"Made {formats.ago(about.st_mtime)}.",
            )
        offer_file("report", job, file, ("Make the report", "Make it again"), partial(_make_report, tuple(names)))


@dataclass(frozen=True)
class MadeFile:
    """A file that a job has made. size: in bytes. about: a caption beneath its button."""

    size: int
    content: Callable[[], bytes]
    name: str
    mime: str
    about: str


def offer_file(
    name: str, job: Path | None, file: MadeFile | None, labels: tuple[str, str], start: Callable[[], None]
) -> None:
    """What a menu shows of a job that makes a file: its progress, why it failed, the file, and the starting button.

    Args:
        name: the first part of the keys of its buttons, and what it is called where it failed without a word.
        labels: of the starting button, before and after there is a file.
    """
    status = runs.current_status(job) if job is not None else None
    if job is not None and status is not None and status.is_active:
        progress(str(job), {})
        return
    if status is not None and status.state == "failed":
        st.error(escape.markdown(status.error or f"The {name} failed."), icon=":material/error:")
    if file is not None:
        ui.download(
            f"Download, {file.size / 1e6:.1f} MB",
            file.content,
            file_name=file.name,
            mime=file.mime,
            key=f"{name}-download",
            type="primary",
            icon=":material/download:",
            width="stretch",
        )
        st.caption(file.about)
    st.button(
        labels[file is not None],
        key=f"{name}-make",
        icon=":material/refresh:" if file is not None else ":material/play_arrow:",
        type="secondary" if file is not None else "primary",
        on_click=start,
        width="stretch",
    )


def _make_report(names: Sequence[str]) -> None:
    with ui.report_errors():
        made.start_job(names, store.runs_dir())
