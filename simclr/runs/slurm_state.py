"""Translates what Slurm reports of a job into the state of its run: why it waits, how it ended (no torch)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from simclr.runs.status import State, Status

# Written in place of a job's state if Slurm gives none.
UNREACHABLE, UNKNOWN = "UNREACHABLE", "UNKNOWN"  # the controller does not answer; nobody knows the job
NO_ANSWER = "Slurm's controller does not answer"

# How a job can end: state, reason and sentence for a run that has not written its own.
ENDS: dict[str, tuple[State, str, str]] = {
    "CANCELLED": ("stopped", "cancelled", ""),
    "PREEMPTED": ("stopped", "preempted", ""),
    "TIMEOUT": ("failed", "timed out", "The time limit of its Slurm job ended it before it could save."),
    "DEADLINE": ("failed", "timed out", "The deadline of its Slurm job ended it before it could save."),
    "NODE_FAIL": ("failed", "node failed", "A machine that it ran on failed."),
    "BOOT_FAIL": ("failed", "node failed", "A machine that it was to run on did not start."),
    "OUT_OF_MEMORY": (
        "failed",
        "out of memory",
        "It needed more memory than its Slurm job may use; ask for more, or try a smaller batch_size.",
    ),
    "FAILED": ("failed", "crashed", "Its Slurm job failed; the end of the log may tell more."),
    "COMPLETED": ("failed", "crashed", "Its Slurm job ended without the run's last word; the log may tell more."),
    "REVOKED": ("failed", "lost", "Slurm took its job back."),
}
# A run whose pre-training was not finished, so that it never began.
NOT_FINISHED = "pre-training not finished"
UNBEGUN: dict[str, Any] = {
    "state": "stopped",
    "reason": NOT_FINISHED,
    "error": "The pre-training that it begins after has failed or was stopped, so it was not started; resume both.",
}
NEVER = "DependencyNeverSatisfied"
WAITING = ("", "PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT")

# Why a job waits, by the beginning of Slurm's reason.
WAITS = {
    "Resources": "waits for free nodes",
    "Priority": "waits behind jobs of higher priority",
    "BeginTime": "waits for its time to begin",
    NEVER: "waits for a job that has failed",
    "Dependency": "waits for another job",
    "JobHeld": "is held; it has to be released",
    "launch failed": "is held, since it could not be started; it has to be released",
    "PartitionDown": "waits for its partition, which is down",
    "PartitionInactive": "waits for its partition, which takes no jobs",
    "PartitionNodeLimit": "asks for more nodes than its partition allows",
    "PartitionTimeLimit": "asks for more time than its partition allows",
    "PartitionConfig": "asks for more than its partition allows",
    "BadConstraints": "asks for what no node has",
    "ReqNodeNotAvail": "waits for nodes that are down or reserved",
    "NodeDown": "waits for nodes that are down",
    "Reserv": "waits for a reservation",
    "Licenses": "waits for a licence",
    "QOS": "waits for the limits of its quality of service",
    "Assoc": "waits for the limits of its account",
    "Max": "waits for the limits of its account",
    "InvalidAccount": "names an account that Slurm does not know",
    "InvalidQOS": "names a quality of service that Slurm does not know",
}

# After such a silence a run counts as not running if Slurm reports that its job waits, or knows no such job.
SILENCE_SECONDS = 30.0
# If a run is silent and Slurm is not queried for so long, the status says so.
LOST_SECONDS = 300.0
# From creating a run folder to the number of its job.
SUBMIT_SECONDS = 180.0
FOLDER, LAST_QUERY = ".slurm", "asked"  # beside the run folders: files of jobs, and when Slurm last answered


def last_query_time(runs_dir: Path) -> float:
    """When Slurm last answered about the runs of a folder, in seconds since the epoch; 0 if never."""
    try:
        return (runs_dir / FOLDER / LAST_QUERY).stat().st_mtime
    except OSError:
        return 0.0


def corrected(status: Status, asked: float, now: float | None = None) -> Status:
    """The status of a Slurm run that has not written how it ended, corrected by what Slurm last reported of its job.

    Args:
        status: as it was written. A fresh heartbeat counts more than Slurm's report, which may be older. Process
            numbers do not count: they are those of other machines.
        asked: when Slurm last answered about the folder's runs, seconds since the epoch.
        now: seconds since the epoch; for tests.
    """
    now = time.time() if now is None else now
    job = status.job_state
    silent = now - max(status.heartbeat or 0.0, status.created or 0.0)
    if job in ENDS and (job != "COMPLETED" or silent > SILENCE_SECONDS):  # its final status may not have arrived yet
        return _ended(status)
    if not status.job_id:
        if silent > SUBMIT_SECONDS:
            return _failed(status, "not submitted", "It was not handed to Slurm; what was about to do so has ended.")
        return replace(status, reason="being submitted")
    if job == UNREACHABLE:
        return replace(status, reason="; ".join(filter(None, (status.reason, NO_ANSWER))))
    if job == UNKNOWN and silent > SILENCE_SECONDS:
        return _failed(status, "lost", f"Slurm knows no job {status.job_id} any more, and the run says nothing.")
    waits = job in WAITING
    if status.state == "queued":
        if not waits and not status.reason:
            return replace(status, state="starting")
        reason = (status.reason or "pending", _why(status.job_reason) if waits else "")
        return replace(status, reason=": ".join(filter(None, reason)))
    if waits and job and silent > SILENCE_SECONDS:
        reason = ("requeued", _why(status.job_reason))
        return replace(status, state="queued", reason=": ".join(filter(None, reason)), eta_seconds=None)
    if silent > LOST_SECONDS and now - asked > LOST_SECONDS:  # until Slurm is queried again
        return replace(status, reason=f"nothing was heard of it for {silent / 60:,.0f} minutes")
    if status.stop_requested is not None:
        return replace(status, state="stopping")
    return replace(status, reason="suspended by Slurm") if job in ("SUSPENDED", "STOPPED") else status


def is_unsent(status: Status) -> bool:
    """Whether a Slurm run has no job yet: it is being submitted, or what was about to do so was killed.

    Args:
        status: as it was written.
    """
    return (status.backend, status.state, status.job_id) == ("slurm", "queued", "")


def is_given_up(status: Status, runs_dir: Path) -> bool:
    """Whether a run that was training is silent for long, and Slurm has not been queried for as long."""
    now = time.time()
    silent = now - max(status.heartbeat or 0.0, status.created or 0.0)
    trains = status.state != "queued" and status.job_state not in WAITING[1:]
    return trains and silent > LOST_SECONDS and now - last_query_time(runs_dir) > LOST_SECONDS


def _failed(status: Status, reason: str, sentence: str) -> Status:
    return replace(status, state="failed", reason=reason, error=sentence, eta_seconds=None, phase="")


def _ended(status: Status) -> Status:
    """The status of a run whose job ended before it could write how."""
    state, reason, sentence = ENDS[status.job_state]
    why, exit_code, number = parse_reason(status.job_reason)
    if status.job_state == "FAILED":
        if why == "JobLaunchFailure":
            reason, sentence = "not started", "Slurm could not start it; its node may not see the runs folder."
        elif number:
            reason, sentence = f"killed by signal {number}", f"Its processes were killed by signal {number}."
        elif exit_code:
            reason = f"exit status {exit_code}"
    if status.job_state == "CANCELLED" and why == NEVER:
        state, reason, sentence = UNBEGUN["state"], UNBEGUN["reason"], UNBEGUN["error"]
    elif state == "stopped":
        if status.state in ("running", "stopping"):
            sentence = "It was ended before it could save; what came after the last checkpoint is lost."
        if status.stop_requested is not None:
            reason = "on request"
    return replace(status, state=state, reason=reason, error=sentence, eta_seconds=None, phase="")


def _why(job_reason: str) -> str:
    """Why a job waits, in words: `Resources`, or with the time that is known `BeginTime 2026-11-25T16:17:40`."""
    name, _, moment = job_reason.partition(" ")
    if name == "BeginTime" and "T" in moment:
        return f"goes on after {moment.partition('T')[2]}"
    known = next((words for start, words in WAITS.items() if job_reason.startswith(start)), job_reason)
    return "" if name == "None" else known


def parse_reason(job_reason: str) -> tuple[str, int, int]:
    """Reason, exit status and signal of a job that has ended: `NonZeroExitCode 3:0`."""
    name, _, codes = job_reason.partition(" ")
    exit_code, _, number = codes.partition(":")
    return name, int(exit_code) if exit_code.isdecimal() else 0, int(number) if number.isdecimal() else 0
