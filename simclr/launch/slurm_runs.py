"""Follows the Slurm runs of a folder: writes what Slurm says of their jobs, and cancels them (no torch).

What Slurm says is written beside what the run says itself, for where the run cannot speak: while it waits, and when it
was ended from outside.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from simclr import runs
from simclr.config import ConfigError
from simclr.launch import slurm_client
from simclr.runs import Run, slurm_state
from simclr.runs.status import Status

ENDED_SECONDS = 600.0  # after its end, Slurm is asked after a job no longer


def refresh(runs_dir: Path) -> None:
    """Asks Slurm once after all runs of the folder that have not ended by their own word, and writes what it says.

    Where there is no such run nothing is asked. Never fails; takes at most some seconds.
    """
    with contextlib.suppress(OSError):
        unfinished = [(run, status) for run, status in _unfinished(runs_dir) if status.job_id]
        jobs: dict[str, slurm_client.Job] | None
        if shutil.which("squeue") is None:  # the folder comes from elsewhere
            unfinished = [(run, status) for run, status in unfinished if slurm_state.is_given_up(status, runs_dir)]
            jobs = {status.job_id: slurm_client.Job(slurm_state.UNKNOWN) for _, status in unfinished}
        elif (
            unfinished
            and (jobs := slurm_client.query_jobs({status.job_id: _known(status) for _, status in unfinished}))
            is not None
        ):
            folder = runs_dir / slurm_state.FOLDER
            folder.mkdir(exist_ok=True)
            (folder / slurm_state.LAST_QUERY).touch()
        for run, status in unfinished:
            job = slurm_client.Job(slurm_state.UNREACHABLE) if jobs is None else jobs[status.job_id]
            with contextlib.suppress(OSError):
                _write(run, status, job)


def _known(status: Status) -> slurm_client.Job:
    return slurm_client.Job(status.job_state, status.job_reason)


class _Outdated(Exception):
    """Since Slurm was asked, the job has begun or the run was handed in again or has ended."""


def _write(run: Run, before: Status, job: slurm_client.Job) -> None:
    """Writes what Slurm says of a job, if that is news."""
    if (job.state, job.reason) == (before.job_state, before.job_reason):
        return
    if before.job_state in slurm_state.ENDS and job.state in (slurm_state.UNKNOWN, slurm_state.UNREACHABLE):
        return

    def check() -> None:
        now = runs.read_status(run.path)
        if not now.is_active or (now.job_id, _known(now)) != (before.job_id, _known(before)):
            raise _Outdated

    with contextlib.suppress(_Outdated):
        runs.change_status(run.path, {"job_state": job.state, "job_reason": job.reason}, check)


# Runs that need no asking any more, by their status file as it was then.
_over: dict[Path, tuple[int, int]] = {}


def _unfinished(runs_dir: Path) -> list[tuple[Run, Status]]:
    """The folder's own Slurm runs that have not ended by their own word."""
    found = []
    for run in runs.list_runs(runs_dir):
        path = run.path / runs.STATUS
        with contextlib.suppress(OSError):
            stat = path.stat()
            signature = (stat.st_mtime_ns, stat.st_size)
            if run.is_example or _over.get(path) == signature:
                continue
            status = runs.read_status(run.path)
            long_over = status.job_state in slurm_state.ENDS and time.time() - stat.st_mtime > ENDED_SECONDS
            if status.backend == "slurm" and status.is_active and not long_over:
                found.append((run, status))
            elif status.backend != "slurm" or long_over or not status.is_active:
                _over[path] = signature
    return found


# --- ending ---------------------------------------------------------------------------------------------------------


def cancel(run: Run) -> None:
    """Has Slurm end a run's job: one that waits at once, one that trains after its checkpoint.

    Raises:
        ConfigError: if it is not active, or Slurm does not answer.
    """
    status = run.status
    if not status.is_active:
        raise ConfigError(f"{run.id} is {status.state}; allowed: a run that is active.")
    if not runs.is_own(run.path):  # the number may be that of any other job
        if status.state == "queued":
            runs.update_status(run.path, state="stopped", reason="taken out of the queue")
            return
        raise ConfigError(
            f"{run.id} was not started here, so its Slurm job {status.job_id} is left alone; if it is yours: "
            f"scancel {status.job_id}."
        )
    if not status.job_id:
        raise ConfigError(f"{run.id} is being handed to Slurm; try again in a moment.")
    runs.update_status(run.path, stop_requested=status.stop_requested or time.time())
    try:
        slurm_client.call("scancel", status.job_id, seconds=slurm_client.CALL_SECONDS)
    except slurm_client.SlurmError as error:
        if "Invalid job id" not in str(error):
            runs.update_status(run.path, stop_requested=status.stop_requested)
            raise ConfigError(f"{run.id} could not be cancelled: {error}.") from None
    before = runs.read_status(run.path)
    if before.is_active and (jobs := slurm_client.query_jobs({status.job_id: _known(before)})) is not None:
        _write(run, before, jobs[status.job_id])


def stop(run: Run, seconds: float) -> Status:
    """Cancels a run and waits until it has ended, at most `seconds`.

    Raises:
        ConfigError: as `cancel`.
    """
    cancel(run)
    deadline = time.monotonic() + seconds
    while run.status.is_active and time.monotonic() < deadline:
        time.sleep(0.5)
        refresh(run.path.parent)
    return run.status
