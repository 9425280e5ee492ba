"""What tests wait for, and runs in the background that are ended with the test."""

import os
import signal
import time

import psutil
import pytest
from conftest import TINY_PRETRAIN

from simclr import runs
from simclr.hardware import processes

LONG = TINY_PRETRAIN | {"epochs": 100_000, "knn_every_epochs": 0}
LIMIT = 90.0  # seconds for what takes a few on a free machine


def wait_for(condition, what, seconds=LIMIT):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


def wait_until_training(run):
    status = wait_for(lambda: ((s := run.status).step > 0 and s) or (not s.is_active and s), "the first step")
    assert status.state == "running", (status, run.log_tail())
    return status


def schedulers(runs_dir):
    """Living processes that start what waits in this folder's queue."""
    command = ["-m", "simclr.run_queue", str(runs_dir)]
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if (process.info["cmdline"] or [])[-3:] == command and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def group_of(pid):
    """Living processes of the group that `pid` leads."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (ProcessLookupError, psutil.Error):
            continue
    return found


@pytest.fixture
def background(tiny_runs):
    """The runs folder; whatever still runs in it at the end is killed."""
    yield tiny_runs
    for run in runs.list_runs(tiny_runs):
        status = runs.read_status(run.path)
        for pid, start in ((status.supervisor_pid, status.supervisor_start), (status.pid, status.process_start)):
            if processes.is_alive(pid, start):
                os.kill(pid, signal.SIGKILL)
