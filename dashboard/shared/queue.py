"""Runs that wait or go on, as pages show them: for what, in which order, what can be done about it, and their ends."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import streamlit as st

from dashboard.components import escape
from dashboard.components.run_notices import Ended, run_notices
from dashboard.shared import formats, run_labels, store, ui, url_state
from simclr import runs
from simclr.hardware import devices
from simclr.launch import control, queue, spawn
from simclr.lifecycle import extend
from simclr.results import index
from simclr.runs import Run

NUM_SHOWN = 4
MOST_ENDED = 20
POLL_SECONDS = 5.0
ORDINALS = ("next", "2nd", "3rd")


def device_text(device: str) -> str:
    """`CPU`, `GPU 0`, `GPU 0 and 1`, `any GPU`."""
    names = devices.names_in(device)
    if names == [devices.CPU]:
        return "CPU"
    numbers = [name.removeprefix("gpu:") for name in names]
    return f"GPU {' and '.join(filter(None, [', '.join(numbers[:-1]), numbers[-1]]))}" if numbers else "any GPU"


def ordinal(place: int) -> str:
    return ORDINALS[place] if place < len(ORDINALS) else f"{place + 1}th"


def look_after_runs() -> None:
    """Makes sure that what waits or runs elsewhere is looked after.

    The queue's scheduler may have been killed, or the machine restarted. Slurm is asked by a thread, for all its jobs
    at once, so that no page waits for a controller that does not answer.
    """
    active = [item.status for item in store.get().summaries() if item.is_active]
    if any((status.state, status.backend) == ("queued", "local") for status in active):
        queue.ensure_scheduler(store.runs_dir())
    if any(status.backend == "slurm" for status in active):
        _slurm_poll(str(store.runs_dir())).start()


def tell_of_ends() -> None:
    """The browser's notices: the switch for them, and the runs that have ended since the session began."""
    active = {item.id for item in store.get().summaries() if item.is_active}
    gone = st.session_state.setdefault("active-runs", set()) - active
    ended: list[Ended] = st.session_state.setdefault("ended-runs", [])
    ended += [_notice(store.get().summary(run)) for run_id in sorted(gone) if (run := store.find(run_id)) is not None]
    del ended[:-MOST_ENDED]  # the browser knows which it has told
    st.session_state["active-runs"] = active
    run_notices(bool(active), ended)


def _notice(summary: index.Summary) -> Ended:
    """The notice of a run's end."""
    status = summary.status
    state = run_labels.STATE_LABELS.get(status.state, status.state)
    text = f"{state} after {formats.duration(index.elapsed(status))}"
    if status.error:
        text = f"{state}: {status.error}"
    elif summary.accuracy is not None:
        text += f", {'kNN accuracy' if summary.kind == 'pretrain' else 'accuracy'} {formats.percent(summary.accuracy)}"
    return Ended(summary.id, status.ended or 0.0, summary.title, text, f"run?id={summary.id}")


class _Poll:
    """Asks Slurm about one runs folder, by one thread at a time and not more often than every few seconds."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self._asked = 0.0
        self._guard = threading.Lock()

    def start(self) -> None:
        if time.monotonic() - self._asked > POLL_SECONDS and self._guard.acquire(blocking=False):
            self._asked = time.monotonic()
            threading.Thread(target=self._ask, name="slurm", daemon=True).start()

    def _ask(self) -> None:
        from simclr.launch import slurm_runs  # only where there are such runs

        try:
            slurm_runs.refresh(self.runs_dir)
        finally:
            self._guard.release()


@st.cache_resource(max_entries=4, show_spinner=False)
def _slurm_poll(runs_dir: str) -> _Poll:
    return _Poll(Path(runs_dir))


def sentence(run: Run) -> str:
    """What a waiting run waits for, and who stands before it."""
    status = run.status
    if not runs.is_own(run.path):
        return "It was not put into the queue here, so nothing starts it."
    if (before := run.waits_for) is not None:
        return _waits_for(before)
    waiting = queue.entries(store.runs_dir())
    ids = [entry.id for entry in waiting]
    place = ids.index(run.id) if run.id in ids else 0
    names = devices.names_in(status.device)
    holders = {
        holder.id: store.get().summary(holder)
        for name, found in queue.device_usage(store.runs_dir()).items()
        if not names or name in names
        for holder in found
    }
    text = f"Waiting for {device_text(status.device)}: {ordinal(place)} of {len(waiting)} in the queue."
    for holder in list(holders.values())[:2]:
        left = f", {formats.duration(holder.status.eta_seconds)} left" if holder.status.eta_seconds is not None else ""
        text += f" {holder.title} holds it{left}."
    if any(not names or name in names for name in queue.jobs_on(store.runs_dir())):
        text += " A job of the dashboard uses it until it ends."
    return text


def _waits_for(before: Run) -> str:
    """What is to be said of a run that starts when another is finished."""
    if not runs.is_run_folder(before.path):
        return f"It was to start after {before.id}, which is not there any more; take it out of the queue."
    summary = store.get().summary(before)
    if summary.is_active:
        return f"It starts when {summary.title} is finished."
    ended = "has failed" if summary.state == "failed" else "was stopped"
    return f"It starts when {summary.title} is finished, which {ended}: resume that one first."


def move(run_id: str, place: int) -> None:
    with ui.report_errors():
        queue.move(run_id, place, store.runs_dir())


def drop(run_id: str) -> None:
    """Takes a waiting run out; one that never began goes to the trash, from where the next page can bring it back."""
    run = store.find(run_id)
    if run is None:
        return
    with ui.report_errors():
        name = store.get().summary(run).title
        queue.drop(run, store.runs_dir())
        if store.find(run_id) is None:
            st.session_state["deleted"] = {"ids": [run_id], "name": name}


def section() -> None:
    """The waiting runs in order, each with its place, and buttons to change that."""
    waiting = queue.entries(store.runs_dir())
    if not waiting:
        return
    with st.container(border=True, key="queue", gap="small"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.header("Queue", anchor=False, width="content")
            st.caption(
                f"{len(waiting)} run{'s' if len(waiting) > 1 else ''} waiting; each starts when its device is free, "
                "whether or not this page is open.",
                width="content",
            )
        if obstacle := queue.blocking_reason(store.runs_dir()):
            st.warning(escape.markdown(obstacle), icon=":material/hard_drive:")
        everything = len(waiting) <= NUM_SHOWN + 2 or st.session_state.get("queue-all", False)
        for place, run in enumerate(waiting if everything else waiting[:NUM_SHOWN]):
            _row(run, place, len(waiting))
        if len(waiting) > NUM_SHOWN + 2:
            st.toggle(f"Show all {len(waiting)}", key="queue-all")


def _row(run: Run, place: int, count: int) -> None:
    summary = store.get().summary(run)
    facts = [
        run_labels.KIND_LABELS[summary.kind],
        summary.dataset,
        summary.backbone,
        device_text(summary.status.device),
    ]
    if not runs.is_own(run.path):
        facts.append("not started here")
    if runs.is_begun(run.path):
        facts.append(f"goes on from epoch {summary.status.epoch}")
    with st.container(
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
        gap="small",
        key=f"queued-{run.id}",
    ):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width="stretch"):
            st.markdown(f":gray[{place + 1}]", width=24)
            with st.container(horizontal=True, vertical_alignment="center", gap="small", width="stretch"):
                ui.text_link(summary.title, run.id)
                st.caption(" · ".join(escape.markdown(fact) for fact in facts if fact), width="content")
        with st.container(horizontal=True, width="content", gap="small", key=f"queue-actions-{run.id}"):
            actions = (
                ("up", ":material/arrow_upward:", "Earlier", move, (run.id, place - 1), place == 0),
                ("down", ":material/arrow_downward:", "Later", move, (run.id, place + 1), place == count - 1),
            )
            for name, icon, text, action, arguments, disabled in actions:
                st.button(
                    "",
                    icon=icon,
                    key=f"queue-{name}-{run.id}",
                    help=text,
                    type="tertiary",
                    on_click=action,
                    args=arguments,
                    disabled=disabled,
                )
            if st.button(
                "",
                icon=":material/edit:",
                key=f"queue-edit-{run.id}",
                help="Change its options",
                type="tertiary",
                disabled=runs.is_begun(run.path),
            ):
                url_state.go("new-run", edit=run.id)
            st.button(
                "",
                icon=":material/close:",
                key=f"queue-drop-{run.id}",
                help="Take it out of the queue",
                type="tertiary",
                on_click=drop,
                args=(run.id,),
            )


def allow(run_id: str) -> None:
    """Lets a waiting run begin whose folder comes from elsewhere."""
    run = store.find(run_id)
    if run is not None:
        with ui.report_errors():
            queue.allow(run)


def train_longer(run_id: str, **later: int) -> None:
    """Gives a run that has come to its end a later one, and goes on with it when its device is free.

    Args:
        later: `epochs` or `max_steps`, in all.
    """
    run = store.find(run_id)
    if run is None or run.status.is_active:
        return
    with ui.report_errors():
        spawn.check_own(run)
        spawn.check_exited(run)
        extend.extend(run, later.get("epochs"), later.get("max_steps"))
        resume(run_id)


def resume(run_id: str, even_foreign: bool = False) -> None:
    """Goes on with a run when its device is free; a second click, or another tab's, finds it on its way.

    Args:
        even_foreign: its user has said so where the folder comes from elsewhere.
    """
    run = store.find(run_id)
    if run is None or run.status.is_active:
        return
    with ui.report_errors():
        if even_foreign:
            spawn.check_resumable(run)
            spawn.allow(run)
        if run.status.backend == "slurm":
            control.resume(run)
        else:
            queue.resubmit(run)
