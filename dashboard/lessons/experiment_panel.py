"""The runs of a lesson: started by a click, watched, stopped, resumed; and what is read out of their features."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.components import escape
from dashboard.shared import jobs, run_actions, store, ui, url_state
from simclr import runs
from simclr.config import ConfigError
from simclr.lessons import answers, experiment, shelf
from simclr.lessons.answers import Answers
from simclr.lessons.lesson import Lesson
from simclr.runs import Run

States = tuple[str, ...]


def start(name: str) -> None:
    """Starts what is lacking; the page then shows it."""
    with ui.report_errors():
        if (lesson := shelf.find(name, store.runs_dir())) is not None:
            experiment.start(lesson, store.runs_dir())


def stop(name: str) -> None:
    with ui.report_errors():
        if (lesson := shelf.find(name, store.runs_dir())) is not None:
            experiment.stop(lesson, store.runs_dir())


def states(there: Mapping[str, Run | None]) -> States:
    """What the page is drawn for: it is drawn again when this changes."""
    return tuple("" if run is None else run.status.state for run in there.values())


def _line(title: str, run: Run | None) -> tuple[float, str]:
    """How far a run is, from 0 to 1, and in words."""
    if run is None:
        return 0.0, f"{title} · not started"
    status = run.status
    return status.progress, f"{title} · {run_actions.progress_words(status)}"


@st.fragment(run_every=1.0)
def watch(name: str, drawn: States) -> None:
    """How far the runs are; the page is drawn again when one begins or ends. It holds no widget that could be lost."""
    try:
        lesson = shelf.find(name, store.runs_dir())
    except ConfigError:
        lesson = None
    if lesson is None:
        st.rerun()
        return
    there = experiment.started(lesson, answers.read(lesson, store.runs_dir()), store.runs_dir())
    if states(there) != drawn:
        st.rerun()
    bars(lesson, there)


def bars(lesson: Lesson, there: Mapping[str, Run | None]) -> None:
    for name, each in lesson.runs.items():
        run = there[name]
        share, words = _line(each.title, run)
        st.progress(share, text=escape.markdown(words))
        if run is not None and (stalled := runs.stalled(run.status)):
            st.caption(f":orange[:material/hourglass_disabled:] {escape.markdown(stalled)}")


def failures(lesson: Lesson, there: Mapping[str, Run | None]) -> None:
    for name, run in there.items():
        if run is not None and run.status.state == "failed":
            why = run.status.error or "Its log tells more."
            st.error(escape.markdown(f"{lesson.runs[name].title} has failed. {why}"), icon=":material/error:")


def actions(lesson: Lesson, given: Answers, there: Mapping[str, Run | None]) -> None:
    """Start, stop, resume: one of them, as the runs are."""
    found = states(there)
    if any(run is not None and run.status.is_active for run in there.values()):
        st.button(
            "Stop",
            icon=":material/stop:",
            key="lesson-stop",
            disabled=all(state not in ("queued", "starting", "running") for state in found),
            on_click=stop,
            args=(lesson.name,),
        )
        return
    if all(state == "finished" for state in found):
        return
    is_new = not any(found)
    st.button(
        "Start the experiment" if is_new else "Resume",
        type="primary",
        icon=":material/play_arrow:" if is_new else ":material/resume:",
        key="lesson-start",
        disabled=not given.is_complete(lesson),
        help=None if given.is_complete(lesson) else "Keep your prediction first.",
        on_click=start,
        args=(lesson.name,),
    )
    if not is_new:
        st.caption("What was stopped or has failed goes on; what is not there any more is started again.")


def read_out(lesson: Lesson, known: Mapping[str, Run]) -> None:
    """The job that reads the factors out of the features, where the lesson asks for them."""
    try:
        models = experiment.not_read_out(lesson, known)
        job = experiment.read_out_job(models, store.runs_dir()) if models else None
    except ConfigError as error:
        st.error(escape.markdown(str(error)), icon=":material/error:")
        return
    if not models:
        return
    titles = {run.id: lesson.runs[name].title for name, run in known.items() if name in lesson.runs}
    if job is not None and runs.current_status(job).is_active:
        jobs.progress(str(job), titles)
        return
    jobs.offer(
        "Read the factors out of the features",
        "Some seconds: 4,000 generated shapes through each encoder, and a linear map for each factor.",
        job,
        lambda: experiment.read_out(lesson, store.runs_dir()),
        key="lesson-read-out",
    )


def draw(lesson: Lesson, given: Answers, there: Mapping[str, Run | None], known: Mapping[str, Run]) -> None:
    """The experiment of a lesson, as far as it is."""
    failures(lesson, there)
    if any(run is not None for run in there.values()):
        with st.container(border=True, key="lesson-runs", gap="small"):
            watch(lesson.name, states(there))
            links = " · ".join(
                f"[{escape.markdown(lesson.runs[name].title)}]({url_state.address('run', id=run.id)})"
                for name, run in there.items()
                if run is not None
            )
            st.caption(f"Their pages: {links}")
    actions(lesson, given, there)
    if all(name in known for name in lesson.read_out) and all(state == "finished" for state in states(there)):
        read_out(lesson, known)
