"""The status of a run or job, corrected by what this machine knows of its processes (no torch)."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path

from simclr.hardware import processes
from simclr.runs import slurm_state
from simclr.runs.status import Status, read_status

# A supervisor that was asked for and never showed itself: longer than its start takes on a loaded machine.
START_LIMIT_SECONDS = 30.0
# A living process that is silent, or comes no step further, for so long is worth a warning.
QUIET_SECONDS = 30.0
STALL_SECONDS, STALL_STEPS = 300.0, 20
# A run of another machine that writes no heartbeat, one a second, for so long is given up.
SILENCE_LIMIT_SECONDS = 300.0
CRASHED = "The process ended without saying why; the end of the log may tell."


def current_status(folder: Path) -> Status:
    """The status corrected by the machine: a vanished process is failed (crashed), a stop on its way is stopping."""
    status = read_status(folder)
    if status.is_active and status.backend == "slurm":
        return slurm_state.corrected(status, slurm_state.last_asked(folder.parent))
    if not status.is_active or status.state == "queued":
        return status
    if status.host and status.host != socket.gethostname():
        # Another machine's processes cannot be seen from here, only that they say something now and then.
        silent = time.time() - max(status.heartbeat or 0.0, status.created or 0.0)
        if silent < SILENCE_LIMIT_SECONDS:
            return status
        sentence = f"It ran on {status.host}, and nothing was heard of it for {silent / 60:,.0f} minutes."
        return replace(status, state="failed", reason="lost", error=sentence, eta_seconds=None)
    rebooted = bool(status.boot) and status.boot != processes.boot_id()
    trainer, supervisor = processes_alive(status)
    # on either side, lest a clock that was set back keeps it starting for as long
    is_new = abs(time.time() - (status.created or 0)) < START_LIMIT_SECONDS
    starting = status.pid is None and not rebooted and (supervisor or (status.supervisor_pid is None and is_new))
    if not trainer and not starting:
        # Its last word may have come, or it has been resumed meanwhile; reading again costs nothing.
        again = read_status(folder)
        if not again.is_active:
            return again
        if (again.pid, again.supervisor_pid, again.state) != (status.pid, status.supervisor_pid, status.state):
            return current_status(folder)
        reason = "the machine was restarted" if rebooted else "crashed"
        sentence = "The machine was restarted while the run was going on." if rebooted else CRASHED
        return replace(again, state="failed", reason=reason, error=again.error or sentence, eta_seconds=None)
    if status.stop_requested is not None:
        return replace(status, state="stopping")
    return status


def processes_alive(status: Status) -> tuple[bool, bool]:
    """Whether the main process of a local run and its supervisor live, on this machine and since it was started."""
    if status.host not in ("", socket.gethostname()) or status.boot not in ("", processes.boot_id()):
        return False, False
    trainer = processes.is_alive(status.pid, status.process_start)
    return trainer, processes.is_alive(status.supervisor_pid, status.supervisor_start)


def stalled(status: Status, now: float | None = None) -> str:
    """One sentence if a run's process lives and does not get on, else an empty string.

    Args:
        status: as `current_status` gives it.
        now: seconds since the epoch.
    """
    if status.state not in ("running", "stopping") or status.heartbeat is None:
        return ""
    now = time.time() if now is None else now
    if now - status.heartbeat > QUIET_SECONDS:
        return (
            f"Its process lives, but was last heard of {_minutes(now - status.heartbeat)} ago: it may be suspended, or "
            "wait for a disk."
        )
    if not status.phase.startswith("training") or status.progressed is None or status.started is None:
        return ""
    usual = (status.seconds_before + status.progressed - status.started) / status.step if status.step else 0.0
    silence = now - status.progressed
    if silence <= max(STALL_SECONDS, STALL_STEPS * usual):
        return ""
    often = f", where one usually takes {usual:.2g} s" if usual > 0 else ""
    return f"No step was finished for {_minutes(silence)}{often}; the end of the log may tell what it waits for."


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:,.0f} minutes"
