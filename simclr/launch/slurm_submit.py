"""Submits runs to Slurm, for the first time or to be resumed (no torch).

A run is the same folder and the same training as on one machine; `slurm_allocation` is what its job runs. Its own
`status.json` says how it goes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simclr import runs
from simclr.config import ConfigError, RunConfig
from simclr.launch import duplicates, slurm_client, slurm_runs, spawn
from simclr.launch.slurm_options import SlurmOptions, load_options
from simclr.launch.slurm_script import job_script
from simclr.runs import Run, slurm_state


def submit(config: RunConfig, runs_dir: Path, options: SlurmOptions, **meta: Any) -> Run:
    """Creates a run and submits it to Slurm.

    The same options submitted again within seconds give the first run.

    Args:
        config: checked options.
        runs_dir: where run folders are; all nodes must see it under this path.
        options: what to request.
        meta: further entries of `meta.json`, such as `experiment` and `recipe`.

    Raises:
        ConfigError: if Slurm refuses or does not answer, or the folder cannot be written; no run folder is left.
    """
    runs_dir = runs_dir.resolve()
    key = duplicates.submission_key(f"slurm {options!r}", config, meta)
    with spawn.locked(runs_dir / slurm_state.FOLDER):  # a double click or two tabs submit it once
        if (same := duplicates.recent_duplicate(key, runs_dir)) is not None:
            return same
        return _create(config, runs_dir, options, (), None, wish=key, **meta)


def submit_behind(
    config: RunConfig,
    runs_dir: Path,
    options: SlurmOptions,
    behind: Iterable[str] = (),
    has_gpus: bool | None = None,
    **meta: Any,
) -> Run:
    """Creates a run and submits it to Slurm, to begin once other jobs have ended.

    With `after` in `meta`, the id of another run, it begins only if that is finished. If that one has ended otherwise,
    the run is made as a stopped one, to be resumed with it.

    Args:
        config: checked options.
        runs_dir: where run folders are; all nodes must see it under this path.
        options: what to request.
        behind: numbers of jobs that have to end before, in whatever way.
        has_gpus: whether the partition has GPUs; None: it is asked.
        meta: further entries of `meta.json`.

    Raises:
        ConfigError: as `submit`; also if it comes after a run that is not finished and does not run in Slurm.
    """
    runs_dir = runs_dir.resolve()
    with spawn.locked(runs_dir / slurm_state.FOLDER):
        return _create(config, runs_dir, options, behind, has_gpus, **meta)


def _create(
    config: RunConfig,
    runs_dir: Path,
    options: SlurmOptions,
    behind: Iterable[str],
    has_gpus: bool | None,
    **meta: Any,
) -> Run:
    """Creates a run and submits it; of one that Slurm refuses no folder is left. Call it under the lock."""
    first = {"state": "queued", "backend": "slurm", "queued": time.time()}
    run = spawn.create(config, runs_dir, first, slurm=options.model_dump(mode="json"), **meta)
    if not can_begin(run):
        runs.update_status(run.path, **slurm_state.UNBEGUN)
        return run
    try:
        job_id = _submit_job(run, config, options, dependency(run, behind), has_gpus)
    except ConfigError:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    _keep_number(run, job_id)
    return run


def can_begin(run: Run) -> bool:
    """Whether a run comes after none, or after one that is finished or will be without anyone's doing."""
    before = run.waits_for
    return before is None or before.status.is_active


def dependency(run: Run, behind: Iterable[str] = ()) -> str:
    """What sbatch takes as `--dependency`: the job of the run that has to be finished before, and other jobs.

    The first has to end well (`afterok`), which one that Slurm queues again does at its last end. An unknown job counts
    as one that has ended well, so that the job itself looks again, see `slurm_allocation`.

    Args:
        behind: numbers of jobs that have to end before, in whatever way.

    Raises:
        ConfigError: if the run that has to be finished is neither that nor waits or runs in Slurm.
    """
    parts, first = [], ""
    if (before := run.waits_for) is not None:
        status = before.status
        if not status.is_active:
            how = "is not there any more" if not before.path.is_dir() else f"is {status.state}"
            raise ConfigError(f"{run.id} begins when {before.id} is finished, which {how}: resume that one first.")
        if status.backend != "slurm" or not (first := status.job_id):
            raise ConfigError(
                f"{run.id} begins when {before.id} is finished, which has no job in Slurm; allowed: once it is."
            )
        parts.append(f"afterok:{first}")
    others = [job_id for job_id in dict.fromkeys(behind) if job_id not in ("", first)]
    return ",".join([*parts, *([f"afterany:{':'.join(others)}"] if others else [])])


class _Taken(Exception):
    """Another job has begun the run meanwhile."""


def _keep_number(run: Run, job_id: str) -> None:
    """Writes the number of a run's job.

    If another job has begun with the run meanwhile, that of a submission whose process was killed, this one is
    cancelled.
    """

    def check() -> None:
        if runs.read_status(run.path).job_id not in ("", job_id):
            raise _Taken

    try:
        runs.change_status(run.path, {"job_id": job_id}, check)
    except _Taken:
        with contextlib.suppress(slurm_client.SlurmError):
            slurm_client.call("scancel", job_id, seconds=slurm_client.CALL_SECONDS)


def resubmit(
    run: Run, options: SlurmOptions | None = None, behind: Iterable[str] = (), has_gpus: bool | None = None
) -> None:
    """Submits a run again that was stopped or failed; it resumes from its last checkpoint, in the same folder.

    Also one whose submission was killed half-way: the job of that is found by its name, if there is one.

    Args:
        options: what to request; unset: the same as before, or the user's last if there are none.
        behind: numbers of jobs that have to end before it begins, in whatever way.
        has_gpus: whether the partition has GPUs; None: it is asked.

    Raises:
        ConfigError: if it is active or finished, comes after a run that has to be resumed first, or Slurm refuses or
            does not answer; it stays as it is then.
    """
    with spawn.locked(run.path.parent / slurm_state.FOLDER):
        before = runs.read_status(run.path)
        unsent = slurm_state.is_unsent(before)
        if not unsent:
            spawn.check_resumable(run)
        spawn.check_own(run)  # its options hold shell lines, which must be this user's
        if unsent and slurm_runs.adopt([run]):
            return
        config = runs.load_config(run)
        if options is None:
            options = kept_options(run) or load_options()[0]
        needed = dependency(run, behind)

        def check() -> None:
            if not (unsent and slurm_state.is_unsent(runs.read_status(run.path))):
                spawn.check_ended(run)

        changes = spawn.restart_fields(run.status) | {"queued": time.time(), "created": time.time(), "device": ""}
        runs.change_status(run.path, changes | {"state": "queued", "backend": "slurm"}, check)
        try:
            job_id = _submit_job(run, config, options, needed, has_gpus)
        except ConfigError:
            runs.update_status(run.path, **{name: getattr(before, name) for name in before.__dataclass_fields__})
            raise
        _keep_number(run, job_id)
        runs.add_meta(run.path, slurm=options.model_dump(mode="json"))
        with spawn.as_config_error(f"{run.id} was handed in, and cannot be marked as started here"):
            runs.seal(run.path)


def kept_options(run: Run) -> SlurmOptions | None:
    """What a run of this user last asked of Slurm; None where it tells nothing."""
    kept = run.meta.get("slurm")
    if kept and runs.is_own(run.path):
        with contextlib.suppress(ValidationError, TypeError):
            return SlurmOptions(**kept)
    return None


def _submit_job(
    run: Run, config: RunConfig, options: SlurmOptions, dependency: str = "", has_gpus: bool | None = None
) -> str:
    """Submits the job of a run, and keeps its script beside what it prints; returns the job's number."""
    if shutil.which("sbatch") is None:
        raise ConfigError("backend is slurm, and there is no Slurm here; allowed: local.")
    script = job_script(run, config, options, dependency, has_gpus)
    # What another job around this process has set is for its own steps.
    foreign = {name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_CONF"}
    foreign.add(slurm_client.TIME_FORMAT)
    try:
        said = slurm_client.call("sbatch", "--parsable", seconds=slurm_client.CALL_SECONDS, given=script, unset=foreign)
    except slurm_client.SlurmError as error:
        timed_out = str(error) == f"sbatch {slurm_client.NO_ANSWER}"
        raise ConfigError(f"Slurm does not take the run: {'it does not answer' if timed_out else error}.") from None
    last = slurm_client.last_line(said)  # a site may greet before it
    job_id = last.partition(";")[0]  # behind it the cluster's name
    if not job_id.isdecimal():
        raise ConfigError(f"Slurm does not take the run: sbatch says {last[:200]!r}; allowed: a job's number.")
    with contextlib.suppress(OSError):  # for who wants to know what was requested
        (run.path.parent / slurm_state.FOLDER / f"{job_id}.sh").write_text(script)
    return job_id
