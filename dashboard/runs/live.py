"""What is going on now, on top of the Runs page: cards of active runs, and what went wrong of late."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import islice

import streamlit as st

from dashboard.components import escape
from dashboard.components.sparkline import sparkline
from dashboard.shared import formats, queue, run_actions, run_labels, store, ui, url_state
from simclr import runs
from simclr.curves import smoothing
from simclr.launch import queue as run_queue
from simclr.results import index
from simclr.runs import metrics_csv

MAX_LIVE_CARDS = 9
# Failures older than this are in the table only.
TROUBLE_SECONDS = 86_400
MAX_TROUBLES = 4


def headline(summary: index.Summary, columns: Mapping[str, Sequence[float]]) -> tuple[str, str, list[float]]:
    """Label, value and line of the number that tells most about a run that is going on."""
    for name, label in (("val/knn_top1", "kNN, validation"), ("val/top1", "Validation accuracy")):
        if (name == "val/top1") == (summary.kind == "pretrain"):
            continue
        values = smoothing.sparkline(columns.get(name, ()))
        if values:
            return label, formats.percent(values[-1]), [100 * value for value in values]
    values = smoothing.sparkline(columns.get("train/loss", ()))
    return "Loss", formats.decimal(values[-1] if values else None), values


@st.fragment(run_every=2)
def live_card(run_id: str, is_alone: bool = False) -> None:
    """The part of a card that moves. It holds no widget: a refresh could otherwise lose a click.

    Args:
        is_alone: the only card, which has the whole width: its figure and line stand side by side.
    """
    run = store.find(run_id)
    if run is None:
        st.caption("This run is not there any more.")
        return
    summary = store.get().summary(run)
    status = summary.status
    label, value, line = headline(summary, metrics_csv.live_columns(run.metrics_path))
    st.progress(status.progress)
    facts = [run_labels.KIND_LABELS[summary.kind]]
    if status.steps:
        facts.append(f"Epoch {status.epoch} of {status.epochs}")
    else:
        facts.append(status.phase.capitalize() or run_labels.STATE_LABELS[status.state])
    if status.images_per_second:
        facts.append(f"{formats.thousands(status.images_per_second)} images/s")
    if status.state == "stopping":
        facts.append(run_actions.stopping_text(status))
    elif status.eta_seconds is not None:
        facts.append(f"{formats.duration(status.eta_seconds)} left")
    if status.device:
        facts.append(queue.device_text(status.device))
    st.caption(escape.markdown(" · ".join(facts)))
    if stalled := runs.stalled(status):
        st.warning(escape.markdown(stalled), icon=":material/hourglass_disabled:")
    elif status.reason:
        st.caption(f":material/info: {escape.markdown(status.reason)}")
    figure, course = st.columns([1, 3], gap="medium") if is_alone else (st.container(), st.container())
    figure.metric(label, value)
    if len(line) > 1:
        with course:
            sparkline(line, f"{label} so far", key=f"line-{run_id}")


def card(summary: index.Summary, is_alone: bool) -> None:
    with st.container(border=True, key=f"card-{summary.id}", gap="small"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"**{escape.markdown(summary.title)}**", width="stretch")
            ui.state_badge(summary.status)
        live_card(summary.id, is_alone)
        with st.container(horizontal=True, gap="small"):
            if st.button("Open", key=f"open-{summary.id}", icon=":material/open_in_full:"):
                url_state.go("run", id=summary.id)
            stopping = summary.state == "stopping"
            if st.button(
                "Stopping" if stopping else "Stop",
                key=f"stop-{summary.id}",
                icon=":material/stop:",
                type="tertiary",
                disabled=stopping,
            ):
                run_actions.confirm_stop(summary.id)


def cards(active: list[index.Summary]) -> None:
    """Cards of the newest active runs."""
    with st.container(key="active"):
        for start in range(0, min(len(active), MAX_LIVE_CARDS), 3):
            shown = active[start : start + 3]
            columns = min(3, len(active))  # those of a last row are as wide as those above
            for column, item in zip(st.columns(columns, gap="medium"), shown, strict=False):
                with column:
                    card(item, is_alone=columns == 1)
    if len(active) > MAX_LIVE_CARDS:
        st.caption(f"{len(active) - MAX_LIVE_CARDS} more active runs are in the table.")


def troubles(found: list[index.Summary]) -> None:
    """Runs that failed of late: what went wrong, and the way on."""
    now = time.time()
    recent = [
        item
        for item in found
        if item.state == "failed"
        and not item.is_example
        and now - (item.status.ended or item.status.heartbeat or item.created) < TROUBLE_SECONDS
    ]
    pairs = ((item, run) for item in recent if (run := store.find(item.id)) and not run.meta.get("seen"))
    for item, run in islice(pairs, MAX_TROUBLES):
        with st.container(border=True, key=f"trouble-{item.id}", gap="small"):
            with st.container(
                horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"
            ):
                with st.container(horizontal=True, vertical_alignment="center", gap="small", width="stretch"):
                    st.markdown(f":red[:material/error:] **{escape.markdown(item.title)}**", width="content")
                    progress = f"epoch {item.status.epoch} of {item.status.epochs}"
                    st.caption(escape.markdown(f"{item.status.reason or 'failed'} · {progress}"), width="content")
                with st.container(horizontal=True, width="content", gap="small"):
                    if st.button("Open", key=f"trouble-open-{item.id}", icon=":material/open_in_full:"):
                        url_state.go("run", id=item.id)
                    if run_actions.resumable(run) and runs.is_own(
                        run.path
                    ):  # others on their own page, which says more
                        st.button(
                            run_actions.resume_label(run),
                            key=f"trouble-resume-{item.id}",
                            icon=":material/resume:",
                            on_click=queue.resume,
                            args=(item.id,),
                        )
                    st.button(
                        "Dismiss",
                        key=f"trouble-dismiss-{item.id}",
                        type="tertiary",
                        on_click=run_actions.dismiss_run,
                        args=(item.id,),
                    )
            st.markdown(escape.markdown(item.status.error or "It failed; its log tells more."))


def moving(found: list[index.Summary]) -> tuple[str, ...]:
    """What the page is drawn for: which runs are active, stopping, waiting in which order, or failed."""
    waits = [item for item in found if item.state == "queued"]
    order = [run.id for run in run_queue.entries(store.runs_dir())] if waits else []
    return (*sorted(f"{item.id} {item.state}" for item in found if item.is_active or item.state == "failed"), *order)


@st.fragment(run_every=2)
def watch(drawn: tuple[str, ...]) -> None:
    """Draws the page again when a run began, ended or got another place, here or in another window."""
    if moving(store.get().summaries()) != drawn:
        st.rerun()
