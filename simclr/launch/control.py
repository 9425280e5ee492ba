"""Stops and resumes a run, whether it runs on this machine, waits in the queue, or runs in Slurm (no torch)."""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

from simclr import runs
from simclr.config import ConfigError
from simclr.files import safe_read
from simclr.hardware import processes
from simclr.launch import queue, spawn
from simclr.runs import Run
from simclr.runs.status import Status


def resume(run: Run) -> None:
    """Resumes a run from its last checkpoint, in the same folder and in the background; returns at once.

    A run without a checkpoint starts again from the beginning.

    Raises:
        ConfigError: if it is active or finished, or the folder of its images is gone.
    """
    spawn.check_resumable(run)
    spawn.check_own(run)
    if run.status.backend == "slurm":
        from simclr.launch import slurm_submit

        slurm_submit.resubmit(run)
        return
    spawn.check_data_is_here(run)
    spawn.check_exited(run)
    spawn.begin(run, run.status.device, lambda: spawn.check_ended(run))  # another tab may have been faster


def request_stop(folder: Path) -> Status:
    """Asks a run or job to stop: checkpoint, then exit. Returns at once; the supervisor ends it after the grace time.

    Raises:
        ConfigError: if it is not active, or runs on another machine.
    """
    status = runs.current_status(folder)
    if not status.is_active:
        raise ConfigError(f"{folder.name} is {status.state}; allowed: a run that is active.")
    if status.backend == "slurm":
        from simclr.launch import slurm_runs

        slurm_runs.cancel(Run(folder))
        return runs.current_status(folder)
    if status.state == "queued":
        try:
            queue.drop(Run(folder), folder.parent)
        except ConfigError:
            if runs.read_status(folder).state == "queued":
                raise
            return request_stop(folder)  # it has begun meanwhile
        return replace(status, state="stopped", reason="taken out of the queue", queued=None)
    if status.host and status.host != socket.gethostname():
        raise ConfigError(f"{folder.name} runs on {status.host}; it can be stopped there.")
    with spawn.as_config_error(f"{folder.name} cannot be stopped"):
        if status.stop_requested is None:
            runs.update_status(folder, stop_requested=time.time())
        # The supervisor passes the request on. If there is none (any more), another one is started.
        if status.pid is not None and not runs.processes_alive(status)[1] and runs.is_own(folder):
            with safe_read.open_to_append(folder / runs.LOG) as log:
                spawn.detach([sys.executable, "-m", "simclr.supervisor", str(folder)], log=log)
    return runs.current_status(folder)


def stop(folder: Path, grace_seconds: float = runs.STOP_GRACE_SECONDS) -> Status:
    """Stops a run and waits until its processes have ended; after the grace time its process group is killed."""
    if runs.read_status(folder).backend == "slurm":
        from simclr.launch import slurm_runs

        return slurm_runs.stop(Run(folder), grace_seconds)
    status = request_stop(folder)
    if not folder.is_dir():  # it waited, and is in the trash now
        return status
    deadline = time.monotonic() + grace_seconds
    while status.is_active and time.monotonic() < deadline:
        time.sleep(processes.POLL_SECONDS)
        status = runs.current_status(folder)
    if status.is_active and status.pid is not None and runs.processes_alive(status)[0] and runs.is_own(folder):
        processes.end_group(status.pid, status.process_start)
    spawn.wait_for_exit(status)
    return runs.current_status(folder)
