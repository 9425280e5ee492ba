"""Which process of a run this is, from what the launchers leave in the environment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from simclr import runs
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig, build
from simclr.hardware.ranks import Place, place

KNOWN = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "NODE_RANK",
    "TORCHELASTIC_RUN_ID",
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_NTASKS",
)


@pytest.fixture
def environment(monkeypatch):
    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)

    def put(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    return put


def config(devices=1, num_nodes=1):
    return PretrainConfig(devices=devices, num_nodes=num_nodes, batch_size=240)


def test_one_process_is_the_main_one(environment):
    assert place(config()) == Place(0, 1, "lightning")
    environment(SLURM_NTASKS=4, SLURM_PROCID=0)  # a batch script that did not call srun
    assert place(config()) == Place(0, 1, "lightning")
    environment(WORLD_SIZE=2, RANK=1)  # left over from something that is not torchrun
    assert place(config()).is_main


def test_processes_that_lightning_starts(environment):
    assert place(config(devices=2)) == Place(0, 2, "lightning")
    environment(LOCAL_RANK=1, NODE_RANK=0, WORLD_SIZE=2)
    assert place(config(devices=2)) == Place(1, 2, "lightning")
    environment(LOCAL_RANK=1, NODE_RANK=2, WORLD_SIZE=6)
    assert place(config(devices=2, num_nodes=3)) == Place(5, 6, "lightning")


def test_processes_of_torchrun_and_srun(environment):
    environment(TORCHELASTIC_RUN_ID="none", WORLD_SIZE=4, RANK=3)
    assert place(config(devices=2, num_nodes=2)) == Place(3, 4, "torchrun")
    with pytest.raises(ConfigError, match=r"^devices is 1 and num_nodes is 1, and torchrun started 4 processes; "):
        place(config())
    environment(WORLD_SIZE=1, SLURM_STEP_NUM_TASKS=2, SLURM_PROCID=1)
    assert place(config(num_nodes=2)) == Place(1, 2, "srun")
    with pytest.raises(ConfigError, match=r"srun started 2 processes; allowed: devices x num_nodes = 2\.$"):
        place(config(devices=2, num_nodes=2))


def test_a_batch_is_divided_evenly():
    assert build(PretrainConfig, {"batch_size": 12, "devices": 2, "num_nodes": 3}).batch_per_process == 2
    with pytest.raises(ConfigError, match=r"^batch_size is 10; allowed: a multiple of 4, .* such as 8\.$"):
        build(PretrainConfig, {"batch_size": 10, "devices": 4})
    with pytest.raises(ConfigError, match=r"^devices is 2 and num_nodes is 1; allowed: 1 and 1 with freeze_encoder"):
        build(FinetuneConfig, {"experiment_version": 1, "freeze_encoder": True, "devices": 2})


@pytest.mark.skipif(sys.platform != "linux", reason="a Linux system call")
def test_a_follower_ends_with_the_process_that_started_it():
    child = "from simclr.hardware import ranks; ranks.end_with_parent(); print('ready', flush=True); input()"
    parent = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}]); print(p.pid); p.wait()"
    started = subprocess.Popen(
        [sys.executable, "-u", "-c", parent],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env=os.environ | {"LOCAL_RANK": "1"},
    )
    pid = int(started.stdout.readline())
    assert started.stdout.readline() == "ready\n"
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    deadline = time.monotonic() + 60
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.05)


def test_it_needs_no_torch():
    code = "import simclr.hardware.ranks, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_that_comes_as_it_ends_does_not_change_how_it_ended(number):
    script = (
        "import atexit, runpy, sys; atexit.register(lambda: print('ending', flush=True) or input()); "
        "sys.argv = ['', 'nothing']; runpy.run_module('simclr', run_name='__main__')"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    while started.stdout.readline() != "ending\n":
        assert started.poll() is None
    started.send_signal(number)
    started.communicate("\n", timeout=60)
    assert started.returncode == runs.BAD_INPUT_EXIT_CODE
