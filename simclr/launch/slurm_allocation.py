"""The part of a run inside one Slurm job: starts the tasks on its first node and writes how they ended (no torch)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from simclr import runs
from simclr.files import safe_read
from simclr.hardware import rank_messages
from simclr.launch import slurm_client, supervisor
from simclr.runs import Run, slurm_state

TIME_LIMIT_SIGNAL = signal.SIGUSR2  # the one that the script requests from Slurm
SEEN_SECONDS = 60.0  # a shared disk shows what another node has written so late at most
SIGNAL_SECONDS = 5.0  # one task may get it a little before another
# Ends of an allocation after which the run is queued again.
REQUEUED = {
    "timed out": "requeued at the time limit",
    "preempted": "requeued after preemption",
    "requeued": "requeued",  # by Slurm itself, as after the failure of a node
}


def job_id() -> str:
    return os.environ.get("SLURM_JOB_ID", "")


def run_job(folder: Path) -> int:
    """Starts the tasks on all nodes, waits for them, and writes what they have not; returns the exit status."""
    for number in (signal.SIGTERM, TIME_LIMIT_SIGNAL):  # for the tasks; this process waits for their end
        signal.signal(number, lambda *_: None)
    status = runs.read_status(folder)
    if not runs.is_run_folder(folder):
        print(f"{folder} is not there any more, so there is nothing to train.", flush=True)
        return runs.BAD_INPUT_EXIT_CODE
    if status.job_id not in ("", job_id()):
        print(f"{folder.name} was handed in again as job {status.job_id}; this one has nothing to do.", flush=True)
        return 0
    if status.state == "finished":
        print(f"{folder.name} is finished; there is nothing to do.", flush=True)
        return 0
    if not _is_pretrained(folder):
        print(f"{folder.name}: {slurm_state.UNBEGUN['error']}", flush=True)
        runs.update_status(folder, **slurm_state.UNBEGUN, job_id=job_id(), ended=time.time())
        return 1
    with safe_read.open_to_append(folder / runs.LOG) as log:
        where = os.environ.get("SLURM_JOB_NODELIST", "")
        log.write(f"Slurm job {job_id()}{f', start {_restarts() + 1},' if _restarts() else ''} on {where}\n".encode())
        runs.update_status(
            folder,
            state="starting",
            reason="",
            error="",
            phase="",
            backend="slurm",
            job_id=job_id(),
            job_state="RUNNING",
            job_reason="",
            heartbeat=time.time(),
            pid=None,
            process_start=None,
        )
        command = ["srun", "--unbuffered", "--kill-on-bad-exit=1", "--wait=0"]
        if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):  # srun does not take it from the job by itself
            command.append(f"--cpus-per-task={cpus}")
        command += [sys.executable, "-m", "simclr.slurm_job", str(folder), "--task"]
        environment = rank_messages.fresh_environment(folder)
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment).returncode
        with contextlib.redirect_stdout(open(log.fileno(), "w", closefd=False)):
            _conclude(folder, code)
        rank_messages.remove(rank_messages.supervised_folder(folder))
    # a run that has saved and stopped has not failed
    return 0 if code == runs.STOPPED_EXIT_CODE else code if code >= 0 else 128 - code


def _is_pretrained(folder: Path) -> bool:
    """Whether the run that has to be finished before this one is.

    Slurm takes a job for done that saved and stopped, or that it has forgotten. What another node has written may take
    a while to be seen here.
    """
    deadline = time.monotonic() + SEEN_SECONDS
    while (before := Run(folder).waits_for) is not None:
        if not before.status.is_active or time.monotonic() > deadline:
            return False
        time.sleep(1.0)
    return True


def _conclude(folder: Path, code: int) -> None:
    """Has the job queued again if its run asked for that, and writes how it ended if the run has not."""
    status = runs.read_status(folder)
    if status.job_id != job_id() or not status.is_active or not folder.is_dir():
        return
    known = pending_outcome()
    stopped = known == "cancelled" or status.stop_requested is not None
    if status.state != "queued" and known and not stopped:
        return  # Slurm ends the job, and knows why
    if status.state == "queued":
        if known == "requeued":
            return
        try:
            if stopped:
                raise slurm_client.SlurmError("it was cancelled")
            print(f"{status.reason}: it goes on from its last checkpoint in some minutes", flush=True)
            slurm_client.call("scontrol", "requeue", job_id(), seconds=slurm_client.CALL_SECONDS)
        except slurm_client.SlurmError as error:
            reason = next((why for why, words in REQUEUED.items() if words == status.reason), "cancelled")
            runs.update_status(
                folder,
                state="stopped",
                reason="on request" if stopped else reason,
                ended=time.time(),
                error="" if stopped else f"It has saved, and was not queued again: {error}.",
            )
        return
    code = code if code <= 128 else 128 - code
    ended: dict[str, Any] = {"exit_code": code if code >= 0 else None, "signal": -code if code < 0 else None}
    ended |= {"ended": time.time(), "eta_seconds": None, "phase": ""} | supervisor.describe_end(folder, status, code)
    runs.update_status(folder, **ended)


def _restarts() -> int:
    """How often Slurm had queued this job again when it began."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def pending_outcome() -> str:
    """What Slurm is about to do with this job: a key of `REQUEUED`, `cancelled`, or empty if it does not tell."""
    try:
        facts = slurm_client.parse_job_details(slurm_client.call("scontrol", "--oneliner", "show", "job", job_id()))
    except slurm_client.SlurmError:
        return ""
    return parse_pending_outcome(facts, _restarts())


def parse_pending_outcome(facts: dict[str, str], restarts: int) -> str:
    """The same from the details of a job that has been restarted `restarts` times before."""
    if int(facts.get("Restarts", 0)) > restarts:  # counted as soon as a node fails, or someone requeues it
        return "requeued"
    if facts.get("PreemptTime", "None") != "None":
        return "preempted"
    if facts.get("Reason") == "TimeLimit":
        return "timed out"
    return "" if facts.get("JobState", "RUNNING") == "RUNNING" else "cancelled"


class SlurmAllocation:
    """The stop policy of a task: time limits and preemptions cut a run into several allocations.

    Args:
        folder: the run's.
    """

    signals: tuple[int, ...] = (TIME_LIMIT_SIGNAL,)  # that ask for a stop, besides the usual ones

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checkpoint = self._saved()

    def _saved(self) -> int:
        with contextlib.suppress(OSError):
            return (self.folder / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).stat().st_mtime_ns
        return 0

    def final_status(self, received: set[int]) -> dict[str, Any]:
        """State, reason and sentence for a run that was asked to stop and has saved.

        Args:
            received: the signals that this process was sent; grows meanwhile.
        """
        deadline = time.monotonic() + SIGNAL_SECONDS
        while not received and time.monotonic() < deadline:
            time.sleep(0.05)
        known = pending_outcome() or ("timed out" if TIME_LIMIT_SIGNAL in received else "")
        if runs.read_status(self.folder).stop_requested is not None:
            known = ""
        if known not in REQUEUED:
            return {"state": "stopped", "reason": known or "on request", "exit_code": runs.STOPPED_EXIT_CODE}
        if known == "timed out" and self._saved() == self._checkpoint:
            sentence = "The time limit of its Slurm job came before it had done a step; allow it more minutes."
            return {"state": "failed", "reason": known, "error": sentence, "exit_code": 1}
        return {"state": "queued", "reason": REQUEUED[known], "queued": time.time()}
