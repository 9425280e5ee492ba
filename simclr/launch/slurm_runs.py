"""Follows the Slurm runs of a folder: writes what Slurm reports of their jobs, and cancels them (no torch).

A run writes its own status. Slurm's report stands beside it, for when the run cannot write: while it waits, and when it
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

ENDED_SECONDS = 600.0  # after its end, a job is not queried any more


def refresh(runs_dir: Path) -> None:
    """Queries Slurm once for all unfinished runs of the folder, and writes what it reports.

    Without such a run there is no query. Never fails; takes at most some seconds.
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
    """Since the query the job has begun, or the run was submitted again or has ended."""


def _write(run: Run, before: Status, job: slurm_client.Job) -> None:
    """Writes what Slurm reports of a job, if it has changed."""
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


# Status files of runs that need no query any more, as they were then.
_finished: dict[Path, tuple[int, int]] = {}


def _unfinished(runs_dir: Path) -> list[tuple[Run, Status]]:
    """The Slurm runs of the folder that have not written how they ended; no examples."""
    found = []
    for run in runs.list_runs(runs_dir):
        path = run.path / runs.STATUS
        with contextlib.suppress(OSError):
            stat = path.stat()
            signature = (stat.st_mtime_ns, stat.st_size)
            if run.is_example or _finished.get(path) == signature:
                continue
            status = runs.read_status(run.path)
            ended_long_ago = status.job_state in slurm_state.ENDS and time.time() - stat.st_mtime > ENDED_SECONDS
            if status.backend == "slurm" and status.is_active and not ended_long_ago:
                found.append((run, status))
            elif status.backend != "slurm" or ended_long_ago or not status.is_active:
                _finished[path] = signature
    return found


def cancel(run: Run) -> None:
    """Cancels a run's job: a waiting one ends at once, a training one after its checkpoint.

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
