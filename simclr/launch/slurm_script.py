"""The script of a Slurm job: what it requests, and the one command that it runs (no torch).

https://slurm.schedmd.com/sbatch.html
"""

from __future__ import annotations

import shlex
import sys

from simclr import PACKAGE
from simclr.config import ConfigError, RunConfig
from simclr.launch import slurm_client
from simclr.launch.slurm_allocation import TIME_LIMIT_SIGNAL
from simclr.launch.slurm_options import SlurmOptions
from simclr.runs import Run, slurm_state

MARGIN_SECONDS = 300  # before the time limit the run is told to save, or a quarter of a short limit


def job_script(
    run: Run, config: RunConfig, options: SlurmOptions, dependency: str = "", has_gpus: bool | None = None
) -> str:
    """The text that sbatch takes: one task for each device.

    Args:
        dependency: as sbatch takes it; empty: none.
        has_gpus: whether the partition has GPUs; None: it is asked.

    Raises:
        ConfigError: if a path has a line break or control sign in it.
    """
    for path in (str(run.path), sys.executable, str(PACKAGE)):
        if not path.isprintable():  # a line break would be a line of the script
            raise ConfigError(f"The path is {path!r}; allowed for Slurm: one without line breaks and control signs.")
    requests = {
        f"#SBATCH --{name}={shlex.quote(str(value))}" for name, value in _requests(run, config, options).items()
    }
    if dependency:
        # else a job that can never begin stays in Slurm's queue until someone finds it
        requests |= {f"#SBATCH --dependency={dependency}", "#SBATCH --kill-on-invalid-dep=yes"}
    if _wants_gpus(config, options, has_gpus):
        requests.add(f"#SBATCH --gres=gpu:{config.devices}")
    lines = [
        "#!/bin/bash",
        *sorted(requests),
        "#SBATCH --requeue",
        # Slurm reads no further than the first command
        *sorted(options.extra_lines, key=lambda line: not line.startswith("#SBATCH")),
        f"export PYTHONPATH={shlex.quote(str(PACKAGE.parent))}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONUNBUFFERED=1",
        shlex.join(["exec", sys.executable, "-m", "simclr.slurm_job", str(run.path)]),
    ]
    return "\n".join(lines) + "\n"


def _requests(run: Run, config: RunConfig, options: SlurmOptions) -> dict[str, str | int]:
    """Options of sbatch."""
    wanted: dict[str, str | int | None] = {
        "job-name": run.id,  # Lightning takes a job of the name bash or interactive for a shell
        "partition": options.partition,
        "time": options.time_minutes,
        "nodes": config.num_nodes,
        "ntasks-per-node": config.devices,
        "cpus-per-task": options.cpus_per_task,
        "mem": f"{round(options.memory_gib * 1024)}M" if options.memory_gib is not None else None,
        "account": options.account,
        "qos": options.qos,
        "signal": f"{TIME_LIMIT_SIGNAL.name.removeprefix('SIG')}@{min(MARGIN_SECONDS, options.time_minutes * 60 // 4)}",
        # not in the run's folder, which may be gone when the job begins; the training's output goes to its log
        "output": str(run.path.parent / slurm_state.FOLDER / "%j.txt"),
        "open-mode": "append",  # a job that is queued again
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _wants_gpus(config: RunConfig, options: SlurmOptions, has_gpus: bool | None) -> bool:
    if config.accelerator != "auto":
        return config.accelerator == "gpu"
    return partition_has_gpus(options.partition) if has_gpus is None else has_gpus


def partition_has_gpus(partition: str | None) -> bool:
    """Whether a partition, or the cluster's default one, has GPUs."""
    return any(
        found.has_gpus
        for found in slurm_client.available_partitions()
        if (found.name == partition if partition else found.is_default)
    )
