"""Follows the Slurm runs of a folder: writes what Slurm reports of their jobs, and cancels them (no torch).

A run writes its own status. Slurm's report stands beside it, for when the run cannot write: while it waits, and when it
was ended from outside.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from simclr import runs
from simclr.config import ConfigError
from simclr.launch import slurm_client, spawn
from simclr.runs import Run, slurm_state
from simclr.runs.status import Status

UNSENT_SECONDS = slurm_client.CALL_SECONDS + 10  # after which nobody submits a run any more
ENDED_SECONDS = 600.0  # after its end, a job is not queried any more


def refresh(runs_dir: Path) -> None:
    """Queries Slurm once for all unfinished runs of the folder, and writes what it reports.

    Without such a run there is no query. Never fails; takes at most some seconds.
    """
    with contextlib.suppress(OSError):
        active = _unfinished(runs_dir)
        unfinished = [(run, status) for run, status in active if status.job_id]
        _adopt_forgotten([run for run, status in active if _is_forgotten(status)])
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


def _is_forgotten(status: Status) -> bool:
    """Whether what was about to submit a run must have been killed by now."""
    silent = time.time() - max(status.queued or 0.0, status.created or 0.0)
    return slurm_state.is_unsent(status) and silent > UNSENT_SECONDS


def _adopt_forgotten(forgotten: list[Run]) -> None:
    """Finds the jobs of runs whose submission was killed before it wrote their numbers."""
    if forgotten and shutil.which("squeue") is not None:
        adopt([run for run in forgotten if runs.is_own(run.path)])


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


def adopt(unsent: Sequence[Run]) -> list[Run]:
    """Gives runs without a job the jobs that have their names: what submitted them was killed before it wrote that.

    Call it while nobody submits, under the lock of Slurm's folder or long after.

    Returns:
        Those that have a job now; none if Slurm does not answer.
    """
    found = []
    with contextlib.suppress(slurm_client.SlurmError):
        jobs = slurm_client.jobs_named([run.id for run in unsent])
        for run in unsent:
            if job_id := jobs.get(run.id, ""):
                runs.update_status(run.path, job_id=job_id)
                found.append(run)
    return found


def cancel(run: Run) -> None:
    """Cancels a run's job: a waiting one ends at once, a training one after its checkpoint.

    Raises:
        ConfigError: if it is not active, or Slurm does not answer.
    """
    cancel_several([run])


def cancel_several(chosen: Sequence[Run]) -> None:
    """Cancels the jobs of several runs, those that wait first: none begins because another has ended.

    Raises:
        ConfigError: if one is not active or cannot be cancelled, or Slurm does not answer; the others are.
    """
    errors: list[ConfigError] = []
    known: dict[str, tuple[Run, Status]] = {}
    for run in chosen:
        try:
            status = _check_cancel(run)
        except ConfigError as error:
            errors.append(error)
            continue
        if status is not None:
            runs.update_status(run.path, stop_requested=status.stop_requested or time.time())
            known[status.job_id] = run, status
    waiting = sorted((number for number, (_, status) in known.items() if status.state == "queued"), key=int)[::-1]
    for part in (waiting, [number for number in known if number not in waiting]):
        for number, said in _scancel(part).items():
            run, status = known.pop(number)
            runs.update_status(run.path, stop_requested=status.stop_requested)
            errors.append(ConfigError(f"{run.id} could not be cancelled: {said}."))
    left = {number: (run, now) for number, (run, _) in known.items() if (now := runs.read_status(run.path)).is_active}
    if left and (jobs := slurm_client.query_jobs({number: _known(now) for number, (_, now) in left.items()})):
        for number, (run, now) in left.items():
            _write(run, now, jobs[number])
    if errors:
        raise errors[0]


def _check_cancel(run: Run) -> Status | None:
    """The status of a run whose job can be cancelled; None if there is no job of this user's to cancel.

    Raises:
        ConfigError: if it cannot.
    """
    status = run.status
    if not status.is_active:
        raise ConfigError(f"{run.id} is {status.state}; allowed: a run that is active.")
    if not runs.is_own(run.path):  # the number may be that of any other job
        if status.state == "queued":
            runs.update_status(run.path, state="stopped", reason="taken out of the queue")
            return None
        raise ConfigError(
            f"{run.id} was not started here, so its Slurm job {status.job_id} is left alone; if it is yours: "
            f"scancel {status.job_id}."
        )
    if not status.job_id:
        raise ConfigError(f"{run.id} is being handed to Slurm; try again in a moment.")
    return status


def _scancel(numbers: Sequence[str]) -> dict[str, str]:
    """Cancels jobs; gives what Slurm says of those that it does not cancel. One that it does not know has ended."""
    if not numbers:
        return {}
    try:
        slurm_client.call("scancel", *numbers, seconds=slurm_client.CALL_SECONDS)
        return {}
    except slurm_client.SlurmError as error:
        said = str(error)
    if len(numbers) == 1:
        return {} if "Invalid job id" in said else {numbers[0]: said}
    if said == f"scancel {slurm_client.NO_ANSWER}" or "Unable to contact" in said:
        return dict.fromkeys(numbers, said)
    return {number: words for one in numbers for number, words in _scancel([one]).items()}  # it speaks of one of them


def stop_unsent(run: Run) -> None:
    """Finds the job of a run whose submission was killed half-way, or makes it a stopped run if it has none.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    with spawn.locked(run.path.parent / slurm_state.FOLDER):  # nobody submits it now
        if slurm_state.is_unsent(runs.read_status(run.path)) and not adopt([run]):
            runs.update_status(run.path, state="stopped", reason="not submitted", queued=None)


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
