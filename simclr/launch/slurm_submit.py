"""Submits runs to Slurm, for the first time or to be resumed (no torch).

A run is the same folder and the same training as on one machine; `slurm_allocation` is what its job runs. Its own
`status.json` says how it goes.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simclr import PACKAGE, runs
from simclr.config import ConfigError, RunConfig
from simclr.launch import duplicates, slurm_client, spawn
from simclr.launch.slurm_options import SlurmOptions, load_options
from simclr.runs import Run, slurm_state

MARGIN_SECONDS = 300  # before the time limit the run is told to save, or a quarter of a short limit


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
        first = {"state": "queued", "backend": "slurm", "queued": time.time()}
        run = spawn.create(config, runs_dir, first, wish=key, slurm=options.model_dump(mode="json"), **meta)
        try:
            job_id = _submit_job(run, config, options)
        except ConfigError:
            shutil.rmtree(run.path, ignore_errors=True)
            raise
        runs.update_status(run.path, job_id=job_id)
    return run


def resubmit(run: Run, options: SlurmOptions | None = None) -> None:
    """Submits a run again that was stopped or failed; it resumes from its last checkpoint, in the same folder.

    Args:
        options: what to request; unset: the same as before, or the user's last if there are none.

    Raises:
        ConfigError: if it is active or finished, or Slurm refuses or does not answer; it stays as it is then.
    """
    with spawn.locked(run.path.parent / slurm_state.FOLDER):
        spawn.check_resumable(run)
        spawn.check_own(run)  # its options hold shell lines, which must be this user's
        config = runs.load_config(run)
        before = runs.read_status(run.path)
        if options is None and (kept := run.meta.get("slurm")):
            with contextlib.suppress(ValidationError, TypeError):
                options = SlurmOptions(**kept)
        options = options or load_options()[0]
        changes = spawn.restart_fields(run.status) | {"queued": time.time(), "created": time.time(), "device": ""}
        runs.change_status(run.path, changes | {"state": "queued", "backend": "slurm"}, lambda: spawn.check_ended(run))
        try:
            job_id = _submit_job(run, config, options)
        except ConfigError:
            runs.update_status(run.path, **{name: getattr(before, name) for name in before.__dataclass_fields__})
            raise
        runs.update_status(run.path, job_id=job_id)
        runs.add_meta(run.path, slurm=options.model_dump(mode="json"))
        with spawn.as_config_error(f"{run.id} was handed in, and cannot be marked as started here"):
            runs.seal(run.path)


def _submit_job(run: Run, config: RunConfig, options: SlurmOptions) -> str:
    """Has submitit write the job's script and submit it; returns the job's number."""
    import submitit  # takes a while, and only few need it

    class Executor(submitit.SlurmExecutor):
        script: Path | None = None

        def _make_submission_command(self, submission_file_path: Path) -> list[str]:
            """sbatch with a time limit, and without what another job around this process has set for its own steps."""
            self.script = submission_file_path
            foreign = [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_CONF"]
            unset = " ".join(f"--unset={name}" for name in foreign)
            sbatch = f"timeout {slurm_client.CALL_SECONDS:.0f} sbatch {shlex.quote(str(submission_file_path))}"
            return ["sh", "-c", f"exec env {unset} {sbatch} 2>&1"]  # as one stream: submitit prints the other

    folder = run.path.parent / slurm_state.FOLDER
    for path in (str(run.path), sys.executable, str(PACKAGE)):
        if not path.isprintable():  # a line break would be a line of the script
            raise ConfigError(f"The path is {path!r}; allowed for Slurm: one without line breaks and control signs.")
    try:
        executor = Executor(folder)
        executor.update_parameters(**_parameters(run, config, options))
    except RuntimeError:
        raise ConfigError("backend is slurm, and there is no Slurm here; allowed: local.") from None
    try:
        job = executor._submit_command(shlex.join(["exec", sys.executable, "-m", "simclr.slurm_job", str(run.path)]))
    except submitit.core.utils.FailedJobError as error:
        said = slurm_client.last_line(getattr(error.__cause__, "output", "") or str(error))
        timed_out = getattr(error.__cause__, "returncode", 0) == 124  # timeout's
        raise ConfigError(f"Slurm does not take the run: {'it does not answer' if timed_out else said}.") from None
    except (submitit.core.utils.FailedSubmissionError, OSError) as error:
        raise ConfigError(f"The run could not be handed to Slurm: {error}.") from None
    finally:
        if executor.script is not None:  # renamed to the job's number; this is only its first name
            executor.script.unlink(missing_ok=True)
    return str(job.job_id)


def _parameters(run: Run, config: RunConfig, options: SlurmOptions) -> dict[str, Any]:
    """Parameters of the job's script, as submitit names them: one task for each device."""
    root = str(PACKAGE.parent)
    seconds = options.time_minutes * 60
    more: dict[str, Any] = {
        # not in the run's folder, which may be gone when the job begins; the training's output goes to its log
        "output": str(run.path.parent / slurm_state.FOLDER / "%j.txt"),
        "requeue": True,
    }
    if config.accelerator == "gpu" or (config.accelerator == "auto" and _has_gpus(options.partition)):
        more["gres"] = f"gpu:{config.devices}"
    return {
        "job_name": run.id,  # Lightning takes a job of the name bash or interactive for a shell
        "partition": options.partition,
        "time": options.time_minutes,
        "nodes": config.num_nodes,
        "ntasks_per_node": config.devices,
        "cpus_per_task": options.cpus_per_task,
        "mem": f"{round(options.memory_gib * 1024)}M" if options.memory_gib is not None else None,
        "account": options.account,
        "qos": options.qos,
        "signal_delay_s": min(MARGIN_SECONDS, seconds // 4),
        "stderr_to_stdout": True,
        "wckey": None,
        "use_srun": False,
        "additional_parameters": more,
        "setup": [
            *sorted(options.extra_lines, key=lambda line: not line.startswith("#SBATCH")),
            f"export PYTHONPATH={shlex.quote(root)}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONUNBUFFERED=1",
        ],
    }


def _has_gpus(partition: str | None) -> bool:
    return any(
        found.has_gpus
        for found in slurm_client.available_partitions()
        if (found.name == partition if partition else found.is_default)
    )
