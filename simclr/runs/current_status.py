"""The status of a run or job, corrected by what this machine knows of its processes (no torch)."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path

from simclr.hardware import processes
from simclr.runs import slurm_state
from simclr.runs.status import Status, read_status

# A run without a supervisor counts as starting for so long: more than a start takes on a loaded machine.
START_LIMIT_SECONDS = 30.0
# A process that lives but writes nothing, or finishes no step, for so long gets a warning.
QUIET_SECONDS = 30.0
STALL_SECONDS, STALL_STEPS = 300.0, 20
# A run on another machine whose heartbeat, one a second, is missing for so long counts as lost.
SILENCE_LIMIT_SECONDS = 300.0
CRASHED = "The process ended without saying why; the end of the log may tell."


def current_status(folder: Path) -> Status:
    """The status as the machine shows it: failed (crashed) if the process is gone, stopping if a stop was requested."""
    status = read_status(folder)
    if status.is_active and status.backend == "slurm":
        return slurm_state.corrected(status, slurm_state.last_query_time(folder.parent))
    if not status.is_active or status.state == "queued":
        return status
    if status.host and status.host != socket.gethostname():
        # The processes of another machine cannot be seen from here, only their heartbeat.
        silence = time.time() - max(status.heartbeat or 0.0, status.created or 0.0)
        if silence < SILENCE_LIMIT_SECONDS:
            return status
        sentence = f"It ran on {status.host}, and nothing was heard of it for {silence / 60:,.0f} minutes."
        return replace(status, state="failed", reason="lost", error=sentence, eta_seconds=None)
    rebooted = bool(status.boot) and status.boot != processes.boot_id()
    trainer_alive, supervisor_alive = processes_alive(status)
    # in both directions: a clock that was set back must not keep it starting
    is_new = abs(time.time() - (status.created or 0)) < START_LIMIT_SECONDS
    starting = status.pid is None and not rebooted and (supervisor_alive or (status.supervisor_pid is None and is_new))
    if not trainer_alive and not starting:
        # Meanwhile it may have written how it ended, or have been resumed; reading again costs nothing.
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
    """Whether the main process of a local run is alive on this machine, and whether its supervisor is."""
    if status.host not in ("", socket.gethostname()) or status.boot not in ("", processes.boot_id()):
        return False, False
    trainer_alive = processes.is_alive(status.pid, status.process_start)
    return trainer_alive, processes.is_alive(status.supervisor_pid, status.supervisor_start)


def stalled(status: Status, now: float | None = None) -> str:
    """One sentence if a run's process is alive but makes no progress, else an empty string.

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
