"""The package is replaced by the next version while runs of the version before go on and wait."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from conftest import TINY_PRETRAIN
from waiting import background, schedulers, wait_for, wait_until_training  # noqa: F401

from simclr import PACKAGE, runs

BEFORE = "e1b65bf4ff28ab8115e6ffbd05a7160f1fd7f329"  # the last one whose modules all lay in one folder
START = """
import json, sys
from pathlib import Path
from simclr import config as cfg, launch, run_queue
options, runs_dir = json.loads(sys.argv[1]), Path(sys.argv[2])
print(launch.start(cfg.build(cfg.PretrainConfig, options | {"version": 0}), runs_dir).path)
print(run_queue.submit(cfg.build(cfg.PretrainConfig, options | {"version": 1, "epochs": 1}), runs_dir).path)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with the package of the version before."""
    command = ["git", "-C", str(PACKAGE.parent), "archive", BEFORE, "simclr"]
    found = subprocess.run(command, capture_output=True)
    if found.returncode:
        pytest.skip("the history of this checkout does not go back so far")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(tmp_path / "tree", filter="data")
    return tmp_path / "tree"


@pytest.mark.parametrize("has_scheduler", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_run_that_goes_on_ends_well_and_starts_the_one_that_waits(tree, background, has_scheduler):
    environment = os.environ | {"PYTHONPATH": str(tree)}
    options = TINY_PRETRAIN | {"epochs": 60}
    command = [sys.executable, "-c", START, json.dumps(options), str(background)]
    started = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tree, check=True)
    going, waiting = (runs.find(line, background) for line in started.stdout.split())
    status = wait_until_training(going)
    assert waiting.status.state == "queued"

    (tree / "simclr").rename(tree / "before")
    shutil.copytree(PACKAGE, tree / "simclr", ignore=shutil.ignore_patterns("__pycache__"))
    if not has_scheduler:  # only the supervisor of the run that goes on is left to start the next one
        wait_for(lambda: schedulers(background), "the queue's process")[0].kill()
    step = going.status.step
    assert status.step <= step < status.steps  # it is in the middle

    assert wait_for(lambda: (s := going.status).exit_code is not None and s, "the end").state == "finished"
    assert going.model_path.is_file()
    assert wait_for(lambda: (s := waiting.status).exit_code is not None and s, "the next one's end").state == "finished"
