"""How long several runs take together: the button, its progress and its answer."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.new_run import preflight
from dashboard.shared import formats, store, ui
from simclr import runs
from simclr.config import RunConfig
from simclr.lifecycle import estimate
from simclr.sweeps import cost
from simclr.sweeps.settings import Sweep


def section(config: RunConfig, sweep: Sweep, target: str) -> None:
    """What the last measurement of this sweep found, and how to measure it; until then, what that of one run says."""
    job = cost.find_job(sweep, target, store.runs_dir())
    status = None if job is None else runs.current_status(job)
    if job is not None and status is not None and status.is_active:
        preflight.progress(str(job))
        return
    found = None if job is None else cost.load(job)
    if found is not None and job is not None:
        measured = formats.ago((job / cost.COST).stat().st_mtime)
        st.info(escape.markdown(f"{found.sentence()} Measured {measured}."), icon=":material/schedule:")
    elif status is not None and status.state == "failed":
        st.error(escape.markdown(status.error or "It could not be measured."), icon=":material/error:")
    elif not sweep.arms and (one := _of_one(config, target)) is not None:
        number = sum(1 for _ in sweep.members())
        st.caption(f"One after the other about {formats.duration(number * one)}, if all take as long as one.")
    st.button(
        "Measure again" if found is not None else "Measure the time of all",
        icon=":material/speed:",
        width="stretch",
        key="check-all",
        on_click=_start,
        args=(sweep, target),
        help=f"Trains a few steps of each kind of run, {cost.MOST_MEASURED} at most, some half a minute each. Runs are "
        "of one kind if they cost the same.",
    )


def _start(sweep: Sweep, target: str) -> None:
    with ui.report_errors():
        cost.start_job(sweep, target, store.runs_dir())


def _of_one(config: RunConfig, target: str) -> float | None:
    """Seconds of one run where it was measured."""
    job = estimate.find_job(config, target, store.runs_dir())
    found = None if job is None else estimate.load(job)
    return None if found is None else found.seconds
