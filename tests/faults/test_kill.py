"""kill -9 at a random moment, resume: the same bytes and the same rows as a run that nothing happened to."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from conftest import TINY, TINY_PRETRAIN, flags, make_folder
from trainings import rows_of

from simclr import runs

# 16 batches in an epoch, a row after each; a checkpoint within the epoch every 0.3 s
PRETRAIN = TINY_PRETRAIN | {"limit_images": 300, "epochs": 6, "checkpoint_every_minutes": 0.005}
SCRATCH = TINY | {
    "limit_images": 300,
    "epochs": 6,
    "checkpoint_every_minutes": 0.005,
    "backbone": "resnet_tiny",
    "random_weight_init": True,
}
# Of the random moments; $SIMCLR_FAULT_SEED repeats them.
SEED = int(os.environ.get("SIMCLR_FAULT_SEED") or random.SystemRandom().randrange(10**6))


def start(runs_dir, *arguments):
    environment = os.environ | {"SIMCLR_RUNS_DIR": str(runs_dir), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "simclr", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def finish(process):
    said, _ = process.communicate(timeout=250)
    assert process.returncode == 0, said
    return said


def whole(runs_dir, command, options):
    finish(start(runs_dir, command, *flags(options)))
    (run,) = runs.list_runs(runs_dir)
    assert run.status.state == "finished", run.log_tail()
    return run


def kill_after(process, runs_dir, generator, most=40):
    """kill -9 up to `most` rows after there was a checkpoint and it trained; False if the run was quicker."""
    before = {path.stat().st_ino for path in runs_dir.glob("*/metrics.csv")}  # a resume writes it anew
    rows, offset = generator.randint(1, most), generator.uniform(0, 0.01)  # a step takes longer
    print(f"seed {SEED}: kill -9 after {rows} rows and {offset:.4f} s")
    deadline = time.monotonic() + 120
    while not (
        found := [
            path
            for path in runs_dir.glob("*/metrics.csv")
            if path.stat().st_ino not in before and (path.parent / "checkpoints/last.ckpt").is_file()
        ]
    ):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.001)
    (metrics,) = found
    last = metrics.read_bytes().count(b"\n") + rows
    while process.poll() is None and metrics.read_bytes().count(b"\n") < last:
        time.sleep(0.001)
    time.sleep(offset)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def assert_equal_ends(run, expected):
    assert run.status.state == "finished", run.log_tail()
    assert rows_of(run) == rows_of(expected)
    steps = [
        step for step, loss in zip(run.metrics()["step"], run.metrics()["train/loss"], strict=True) if loss == loss
    ]
    assert steps == sorted(set(steps))
    assert run.model_path.read_bytes() == expected.model_path.read_bytes()
    for path in (run.health_path, expected.health_path):
        assert path.is_file() == (run.kind == "pretrain")
    if run.kind == "pretrain":
        assert run.health_path.read_bytes() == expected.health_path.read_bytes()
    ends = [{key: value for key, value in r.evaluation.items() if "/" in key} for r in (run, expected)]
    assert ends[0] == ends[1]


@pytest.mark.slow
def test_a_killed_run_ends_as_if_nothing_had_been(tmp_path):
    expected = whole(tmp_path / "whole", "pretrain", PRETRAIN)
    killed_dir = tmp_path / "killed"
    # of 102 rows: even if the checkpoint is the one of the first epoch, 40 are left
    generator = random.Random(SEED)
    assert kill_after(start(killed_dir, "pretrain", *flags(PRETRAIN)), killed_dir, generator), "it ended before"
    (run,) = runs.list_runs(killed_dir)
    assert (run.status.state, run.status.reason) == ("failed", "crashed")
    assert not run.model_path.exists()
    finish(start(killed_dir, "resume", run.path))
    assert_equal_ends(run, expected)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["pretrain", "streamed", "scratch", "mixed"])
def test_ten_kills_at_random_moments(tmp_path, what):
    generator = random.Random(SEED)
    options = SCRATCH if what in ("scratch", "mixed") else PRETRAIN
    if what == "mixed":
        options = options | {"mixup_alpha": 0.2, "cutmix_alpha": 1, "mix_probability": 0.8}
    if what == "streamed":
        folder = make_folder(tmp_path / "images", {"a": 150, "b": 150})
        options = options | {"dataset": str(folder), "memory_share": 0, "num_workers": 2}
    command = "finetune" if what in ("scratch", "mixed") else "pretrain"
    options = options | {"epochs": 40}
    expected = whole(tmp_path / "whole", command, options)
    runs_dir = tmp_path / "killed"
    process, kills = start(runs_dir, command, *flags(options)), 0
    while kills < 10:
        if not kill_after(process, runs_dir, generator):
            break
        kills += 1
        (run,) = runs.list_runs(runs_dir)
        process = start(runs_dir, "resume", run.path)
    finish(process)
    (run,) = runs.list_runs(runs_dir)
    assert kills == 10
    assert_equal_ends(run, expected)
