"""The script for the first minutes on a GPU, rehearsed without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("first_minutes.py")


def played(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("where", ["cpu", "pretended"])
def test_it_is_rehearsed(where):
    done = played("--rehearse", where)
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout.partition("\nprocessor ")[2]
    for name in (
        "auto precision",
        "fine tuning",
        "out of memory",
        "bf16 peak",
        "views, no blur",
        "on paper: the whole",
    ):
        assert f"ok     {name}" in table


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    done = played()
    assert done.returncode == 1
    assert done.stderr == "No GPU: torch finds none that it can use here; --rehearse cpu tries this script.\n"
