"""Trainings and jobs on a pretended GPU: devices agree, and no step dispatches or waits more than it may.

`BOUNDS` are what was counted; lower them with what brings a count down. `walks.py` names what is walked through,
`counted.py` the single functions. Nothing here says that it works on a GPU, or how fast.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simclr.bench import budget

# Of a step without a row of metrics: operations dispatched on cuda tensors, waits of the host.
BOUNDS = {
    "whole": (338, 0),
    "bf16-mixed": (418, 0),
    "16-mixed": (376, 1),  # torch's scaler asks whether gradients are finite, before an optimizer that is not fused
    "32-true": (315, 0),
    "streamed": (337, 0),
    "micro-batched": (695, 0),
    "resumed": (338, 0),
    "fine-tuned": (189, 0),
    "frozen": (25, 0),
    "scratch": (189, 0),
}
FUNCTION_BOUNDS = {
    "views of 512 images, 32 px": (118, 0),
    "views of 512 images, 32 px, with blur": (142, 0),
    "views of 256 images, 224 px, with blur": (142, 0),
    "views of 256 images, 224 of 336 px, with blur": (158, 0),
    "contrastive loss of 1,024 rows": (66, 0),
    "LARS, ResNet-18": (19, 0),
    "AdamW, ResNet-18": (4, 0),
    "ResNet-18, forward and backward, bf16": (208, 0),
}
# Waits over a whole training of two epochs of seven steps, kNN, film, health and test figures included.
WHOLE_WAITS = 900
WALKS = [*BOUNDS, "embedded", "evaluated", "mixed", "functions"]
MORE = ("16-mixed", "32-true", "streamed", "micro-batched", "scratch")  # variants of a training; each takes its time
pytestmark = pytest.mark.timeout(900)  # the first test waits for all walks


def run(runs_dir: Path, *names: str) -> dict:
    """What each of these walks did, in processes of their own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "SIMCLR_RUNS_DIR": str(runs_dir)}
    command = [sys.executable, str(Path(__file__).with_name("walks.py")), str(runs_dir), *names]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    return run(tmp_path_factory.mktemp("pretended") / "runs", *(name for name in WALKS if name not in MORE))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return run(tmp_path_factory.mktemp("pretended") / "runs", *MORE)


@pytest.fixture
def walked(request):
    """What was found on the walks, of which those that a slow test looks at are made for it alone."""
    name = getattr(request.node, "callspec", None)
    return request.getfixturevalue("others" if name is not None and name.params.get("name") in MORE else "quick")


def marked(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in MORE else name for name in names]


@pytest.mark.parametrize("name", marked(WALKS))
def test_it_comes_to_its_end(walked, name):
    found = walked[name]
    assert found["state"] == "finished", f"{found.get('error')}\n{found.get('log')}"
    assert found.get("device", "gpu:0") == "gpu:0"


def test_tensors_of_two_devices_do_not_meet(walked):
    assert "found at least two devices, cuda:0 and cpu" in walked["mixed"]["raised"]


@pytest.mark.parametrize("name", marked(BOUNDS))
def test_a_step_dispatches_and_waits_no_more_than_it_may(walked, name):
    operations, waits = BOUNDS[name]
    plain = walked[name]["plain"]
    assert len(plain) >= 2, "no step to look at"
    for step in plain:
        assert step["operations"] <= operations, step["lines"]
        assert sum(step["waits"].values()) <= waits, step["waits"]


@pytest.mark.parametrize("name", FUNCTION_BOUNDS)
def test_a_function_dispatches_and_waits_no_more_than_it_may(walked, name):
    operations, waits = FUNCTION_BOUNDS[name]
    found = walked["functions"]["functions"][name]
    assert 0 < found["operations"] <= operations, found["lines"]
    assert sum(found["waits"].values()) <= waits, found["waits"]


def test_auto_means_bfloat16_on_a_card_that_has_it(walked):
    assert walked["whole"]["precision"] == "bf16-mixed"
    assert walked["resumed"]["before"] == "stopped"


def test_waits_of_a_whole_training(walked):
    assert sum(walked["whole"]["total"]["waits"].values()) <= WHOLE_WAITS, walked["whole"]["total"]["waits"]


def test_the_budget_of_a_step_counts_the_same_operations():
    counted = {
        "step": BOUNDS["bf16-mixed"][0],
        "views": FUNCTION_BOUNDS["views of 512 images, 32 px"][0],
        "loss": FUNCTION_BOUNDS["contrastive loss of 1,024 rows"][0],
    }
    assert counted == budget.OPERATIONS
