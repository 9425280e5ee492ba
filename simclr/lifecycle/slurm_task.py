"""A task of a Slurm job: trains a run (no torch before the training itself).

The script of a job runs one line, whether the run begins, was queued again or was resumed: a small process on the first
node that starts a task for each device, see `launch.slurm_allocation`.

    python -m simclr.slurm_job FOLDER             the job: starts the tasks and waits for their end
    python -m simclr.slurm_job FOLDER --task      a task: trains, from the last checkpoint if there is one
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from simclr import runs
from simclr.config import ConfigError
from simclr.files import safe_read
from simclr.hardware import devices, ranks
from simclr.launch.slurm_allocation import SlurmAllocation, run_job
from simclr.runs import Run
from simclr.runs.status import ACTIVE, Status

WATCH_SECONDS = 1.0  # less than the next start takes


def _exit_if_replaced(folder: Path) -> None:
    """Ends this process once another one trains in its folder: a node that Slurm gave up may be alive."""
    mine = False
    while True:
        time.sleep(WATCH_SECONDS)
        status = runs.read_status(folder)
        if (status.pid, status.host) == (os.getpid(), socket.gethostname()):
            mine = True
        elif mine and status.state in ACTIVE and status.state != "queued":
            with contextlib.suppress(OSError), safe_read.open_to_append(folder / runs.LOG) as log:
                node = os.environ.get("SLURMD_NODENAME", "this machine")
                log.write(f"Slurm has started this run anew; {node}, given up before, leaves it alone\n".encode())
            os._exit(1)


def run_task(folder: Path) -> int:
    """Trains in one task of the job; returns the exit status."""
    # Blocked until the training handles them: until then they would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, *SlurmAllocation.signals))
    try:
        run = Run(folder)
        if not runs.is_run_folder(folder):
            raise ConfigError(f"{os.uname().nodename} does not see {folder}; allowed: a folder that all nodes share.")
        config = runs.load_config(run)
        if config.num_threads is None and (cpus := os.environ.get("SLURM_CPUS_PER_TASK", "")).isdecimal():
            config = config.model_copy(update={"num_threads": int(cpus)})
        devices.hide_unused_gpus(config.accelerator)
        from simclr.lifecycle.train import train, train_worker  # loads torch

        if not ranks.place(config).is_main:
            return train_worker(
                config, runs_dir=folder.parent, run_dir=folder, resume=True, stop_policy=SlurmAllocation(folder)
            )
        threading.Thread(target=_exit_if_replaced, args=(folder,), name="watch", daemon=True).start()
        run = train(config, runs_dir=folder.parent, run_dir=folder, resume=True, stop_policy=SlurmAllocation(folder))
    except ConfigError as error:
        print(error, file=sys.stderr, flush=True)
        return runs.BAD_INPUT_EXIT_CODE
    return _exit_code(run.status)


def _exit_code(status: Status) -> int:
    return {"finished": 0, "stopped": runs.STOPPED_EXIT_CODE, "queued": runs.STOPPED_EXIT_CODE}.get(status.state, 1)


def main(arguments: list[str]) -> int:
    folder, *more = arguments
    return run_task(Path(folder)) if more == ["--task"] else run_job(Path(folder))
