"""Will it fit, and how long will it take: measured by itself once the options stand still, or by a click."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import streamlit as st

from dashboard.components import escape
from dashboard.new_run import compute_target, folder_reading
from dashboard.new_run.own import dialog
from dashboard.shared import form_fields, formats, forms, store, ui
from dashboard.shared.forms import Obstacle
from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, FinetuneConfig, RunConfig
from simclr.config.remedies import Remedy
from simclr.hardware import devices
from simclr.launch import control
from simclr.lifecycle import estimate, experiment
from simclr.lifecycle.estimate import Estimate
from simclr.results import index
from simclr.training.time_left import rate_text
from simclr.views import sample_images

LAST = "new_run_check"  # the folder of the newest answer shown, for when the options change
SETTLED_SECONDS = 2.0  # after the last change
_SHOWN, _BEGUN, _DROPPED = "new_run_check_shown", "new_run_check_begun", "new_run_check_dropped"


def section(config: RunConfig | None, target: str) -> None:
    """Button, progress or answer for these options; None while they are not valid."""
    job = None if config is None else estimate.find_job(config, target, store.runs_dir())
    status = None if job is None else runs.current_status(job)
    if job is not None and status is not None and status.is_active:
        progress(str(job))
        return
    found = None if job is None else estimate.load(job)
    if found is not None:
        st.session_state[LAST] = str(job)
        answer(found, estimate.fits_in(found, free_now(target)))
    elif status is not None and status.state == "failed":
        st.error(escape.markdown(status.error or "It could not be measured."), icon=":material/error:")
    elif before := estimate.load(Path(st.session_state.get(LAST, ""))):
        stale(before)
    is_new = job is None or str(job) in st.session_state.get(_DROPPED, ())
    if config is not None and is_new and is_at_hand(config):
        by_itself(config, target)
    st.button(
        "Check again" if found is not None else "Check memory and time",
        icon=":material/speed:",
        width="stretch",
        key="check",
        disabled=config is None,
        on_click=start,
        args=(config, target),
        help="Trains a few steps, which takes some seconds, and stores nothing.",
    )


def is_at_hand(config: RunConfig) -> bool:
    """Whether the images lie here and are soon looked through: nothing is downloaded, and no disk searched, unasked."""
    try:
        if isinstance(config, FinetuneConfig):
            run, _ = experiment.find(config.experiment_version, store.runs_dir(), needs_weights=False)
            config = experiment.inherit_options(config, run)
        if config.dataset in cfg.DATASETS:
            return config.dataset in sample_images.present(config.data_dir)
        return folder_reading.layout_of(config) is not None
    except ConfigError:
        return False


@st.fragment(run_every=1)
def by_itself(config: RunConfig, target: str) -> None:
    """Measures these options when they have stood still for a moment, unless that would disturb a run.

    Options that were left in the meantime are measured no further, and again when they come back.
    """
    if st.session_state.get(dialog.OPEN):  # other images are being chosen, and drawing the page again would disturb it
        return
    text = f"{target} {config.model_dump_json()}"
    shown, since = st.session_state.get(_SHOWN, ("", 0.0))
    if shown != text:
        shown, since = st.session_state[_SHOWN] = text, time.monotonic()
    if time.monotonic() - since < SETTLED_SECONDS or any(item.is_active for item in store.get().summaries()):
        return
    st.session_state[_SHOWN] = text, float("inf")  # what cannot be started is not tried again and again
    drop()
    with ui.report_errors():
        job = str(estimate.start_job(config, target, store.runs_dir()))
        st.session_state[_BEGUN] = job
        st.session_state.setdefault(_DROPPED, set()).discard(job)
    st.rerun()


def drop() -> None:
    """Ends a measurement that began by itself and is not over."""
    job = st.session_state.pop(_BEGUN, "")
    if job and runs.current_status(Path(job)).is_active:
        cancel(job)
        st.session_state.setdefault(_DROPPED, set()).add(job)


def free_now(target: str) -> int | None:
    """Bytes free where the run would start: of several GPUs the fewest, of any the most; None if it is not known."""
    found = devices.list_devices()
    names = devices.names_in(target)
    chosen = [device.free for device in found if device.name in names] if names else [d.free for d in found[:-1]]
    if not chosen or None in chosen:
        return None
    known = [free for free in chosen if free is not None]
    return min(known) if names else max(known)


def obstacle(config: RunConfig, target: str) -> Obstacle | None:
    """What the last measurement of these options found that keeps them from being started now; None if nothing does.

    Memory that other runs hold keeps none back: it waits for them, and the same may fit then.
    """
    job = estimate.find_job(config, target, store.runs_dir())
    status = None if job is None else runs.current_status(job)
    if job is None or status is None or status.is_active:
        return None
    if status.state == "failed" and status.reason == "bad input":
        return Obstacle(status.error, option=status.error.split(" ", 1)[0], is_said=True)
    found = estimate.load(job)
    if found is None or estimate.fits_in(found, free_now(target)):
        return None
    if compute_target.line(target, config.devices, forms.state()["edit"]).waits:
        return None
    option = "micro_batch_size" if found.micro_batch_size and not found.batch_size else "batch_size"
    number = getattr(found, option)
    text = f"It does not fit into memory; {number:,} would fit." if number else "It does not fit into memory."
    return Obstacle(text, option, Remedy(option, number) if number else None, is_said=True)


def start(config: RunConfig, target: str) -> None:
    with ui.report_errors():
        estimate.start_job(config, target, store.runs_dir())


def cancel(job: str) -> None:
    with contextlib.suppress(ConfigError):  # it ended in between
        control.request_stop(Path(job))


@st.fragment(run_every=1)
def progress(job: str) -> None:
    status = runs.current_status(Path(job))
    if not status.is_active:
        st.rerun()
    stopping = status.state == "stopping"
    with st.container(key="checking", gap="small"):
        text = "Stopping" if stopping else (status.phase or "starting").capitalize()
        st.progress(status.progress, text=f"{escape.markdown(text)}, {formats.duration(index.elapsed(status) or 0)}")
        st.button(
            "Cancel",
            icon=":material/close:",
            width="stretch",
            key="check-cancel",
            disabled=stopping,
            on_click=cancel,
            args=(job,),
        )


def answer(found: Estimate, fits: bool) -> None:
    """Memory and time with their uncertainty, and what to change where it does not fit."""
    with st.container(key="check-answer", gap="small"):
        if not fits:
            need, free = estimate.size_text(found.memory), estimate.size_text(found.free)
            hopeless = "" if found.batch_size or found.micro_batch_size else " A smaller batch would not help."
            st.error(
                f"It does not fit: it would take {need}, and {free} are free.{hopeless}", icon=":material/memory_alt:"
            )
            with st.container(horizontal=True, gap="small"):
                for option in ("batch_size", "micro_batch_size"):
                    if number := getattr(found, option):
                        label = "Use batch size" if option == "batch_size" else "Keep the batch, micro batch size"
                        use = Remedy(option, number)
                        st.button(f"{label} {number:,}", key=f"use-{option}", on_click=form_fields.use, args=(use,))
        with st.container(horizontal=True, gap="medium"):
            parts = " · ".join(f"{name} {formats.duration(seconds)}" for name, seconds in found.parts.items())
            st.metric("Time", formats.duration(found.seconds), width="content", help=escape.markdown(parts))
            if fits:
                st.metric("Memory", estimate.size_text(found.memory), width="content")
        lines = [f"{formats.duration(found.seconds_low)} to {formats.duration(found.seconds_high)}"]
        lines.append(rate_text(found.images_per_second))
        if found.fits:
            lines.append(f"{estimate.size_text(found.free)} free")
        st.caption(escape.markdown(" · ".join([*lines, f"measured {formats.ago(found.measured)}"])))
        if found.notes:
            st.caption(escape.markdown(" ".join(found.notes)))


def stale(found: Estimate) -> None:
    """An answer for other options than those shown."""
    fits = estimate.size_text(found.memory) if found.fits else "too much memory"
    st.caption(
        f"Before the last change it was {formats.duration(found.seconds)} and {fits}. The options are different now.",
        text_alignment="left",
    )
