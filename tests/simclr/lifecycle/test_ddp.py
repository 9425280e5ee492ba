"""Several real processes train as one: the same losses, one set of files, one end."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import TINY, TINY_PRETRAIN, flags, make_folder
from trainings import rows_of

from simclr import runs
from simclr.hardware import rank_messages
from simclr.runs import health_log

# Without BatchNorm, whose statistics are each process's own on a CPU, two processes are one up to rounding.
OPTIONS = TINY_PRETRAIN | {
    "backbone": "squeezenet1_1",
    "image_size": 32,
    "epochs": 2,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "evaluate": False,
}
LONG = TINY_PRETRAIN | {"limit_images": 300, "epochs": 3, "evaluate": False}


def command(options, *before, name="pretrain"):
    return [sys.executable, *before, "-m", "simclr", name, *flags(options)]


def start(arguments, runs_dir, **more):
    environment = os.environ | {"SIMCLR_RUNS_DIR": str(runs_dir), "OMP_NUM_THREADS": "1"} | more
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def finish(process, code=0):
    said, _ = process.communicate(timeout=200)
    assert process.returncode == code, said
    return said


def only_run(runs_dir):
    (run,) = runs.list_runs(runs_dir)
    return run


def train(runs_dir, options, *before):
    finish(start(command(options, *before), runs_dir))
    run = only_run(runs_dir)
    assert run.status.state == "finished", run.log_tail()
    return run


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return train(tmp_path_factory.mktemp("one"), OPTIONS)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return train(tmp_path_factory.mktemp("two"), OPTIONS | {"devices": 2})


def values(run):
    return {name: [value for value in column if value == value] for name, column in run.metrics().items()}


def test_two_processes_train_as_one(one, two):
    assert not [name for name in values(one) if len(values(one)[name]) != len(values(two)[name])]
    for name, column in values(one).items():
        if not name.startswith("perf/"):
            assert values(two)[name] == pytest.approx(column, rel=2e-3, abs=2e-3), name
    for own, other in zip(health_log.read(one.health_path), health_log.read(two.health_path), strict=True):
        assert (own.epoch, own.step, own.candidates, own.images) == (
            other.epoch,
            other.step,
            other.candidates,
            other.images,
        )
        assert other.h.singular == pytest.approx(own.h.singular, rel=1e-2, abs=1e-3)
    first, second = (torch.load(run.model_path, weights_only=True) for run in (one, two))
    moved = torch.cat([(first[key] - second[key]).flatten() for key in first]).norm()
    assert moved < 1e-3 * torch.cat([first[key].flatten() for key in first]).norm()


def test_two_processes_mix_their_batches_as_one(tmp_path):
    """MixUp and CutMix take the image before each from the whole batch, wherever that is."""
    options = TINY | {"backbone": "squeezenet1_1", "image_size": 32, "optimizer": "sgd", "learning_rate": 0.01}
    options |= {"random_weight_init": True, "mixup_alpha": 1, "cutmix_alpha": 1, "film_frames": 0}
    found = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        finish(start(command(options | {"devices": number}, name="finetune"), folder))
        found.append(values(only_run(folder)))
    one_image = 1 / 16  # of a batch: rounding may turn an answer of this network, which has learned next to nothing
    for name, column in found[0].items():
        if not name.startswith("perf/"):
            off = one_image if "top" in name else 2e-3
            assert found[1][name] == pytest.approx(column, rel=2e-3, abs=off), name


def test_the_main_process_alone_writes(two):
    steps = [
        step for step, loss in zip(two.metrics()["step"], two.metrics()["train/loss"], strict=True) if loss == loss
    ]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert {path.name for path in two.path.iterdir() if not path.name.startswith(".")} == {
        "config.yaml",
        "status.json",
        "metrics.csv",
        "health.jsonl",
        "meta.json",
        "data.json",
        "log.txt",
        "checkpoints",
        "model.pt",
        "embeddings",
    }
    log = two.log_path.read_text()
    assert log.count("epoch 1/2") == log.count("epoch 2/2") == 1
    assert (two.config["devices"], two.config["batch_size"], two.config["num_threads"]) == (2, 16, 1)


@pytest.mark.slow
def test_each_process_chooses_how_many_read_its_images(tmp_path):
    """The main process says and records its own choice; who reads an image changes no byte."""
    folder = make_folder(tmp_path / "set", {"a": 60, "b": 60})
    found = []
    for number_word in ("0", "auto"):
        runs_dir = tmp_path / number_word
        runs_dir.mkdir()
        streamed = {"dataset": str(folder), "memory_share": 0, "limit_images": 110, "num_workers": number_word}
        found.append(train(runs_dir, OPTIONS | streamed | {"devices": 2}))
    given, chosen = found
    assert isinstance(chosen.config["num_workers"], int)
    assert chosen.log_path.read_text().count("was chosen by measuring") == 1
    assert rows_of(chosen) == rows_of(given)
    assert chosen.model_path.read_bytes() == given.model_path.read_bytes()


@pytest.mark.slow
def test_torchrun_gives_the_same_bytes(two, tmp_path):
    before = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    run = train(tmp_path, OPTIONS | {"devices": 2}, *before)
    assert rows_of(run) == rows_of(two)
    assert run.model_path.read_bytes() == two.model_path.read_bytes()
    assert run.health_path.read_bytes() == two.health_path.read_bytes()


@pytest.mark.slow
def test_two_machines_by_hand_give_the_same_bytes(two, tmp_path):
    """The same command on each, with what says where the first is and which this one is."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    options = OPTIONS | {"num_nodes": 2}
    other = start(command(options), tmp_path / "elsewhere", NODE_RANK="1", **where)
    finish(start(command(options), tmp_path / "here", NODE_RANK="0", **where))
    assert finish(other) == ""
    assert not (tmp_path / "elsewhere").exists()
    assert rows_of(only_run(tmp_path / "here")) == rows_of(two)
    assert only_run(tmp_path / "here").model_path.read_bytes() == two.model_path.read_bytes()


def test_bad_input_is_told_once(tmp_path):
    said = finish(start(command(OPTIONS | {"devices": 3}), tmp_path), code=2)
    assert said == "batch_size is 16; allowed: a multiple of 3, the processes that share it, such as 15.\n"
    before = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    process = start(command(OPTIONS, *before), tmp_path)
    assert "torchrun started 2 processes; allowed: devices x num_nodes = 2." in finish(process, code=1)
    assert list(tmp_path.iterdir()) == []


def wait_for_step(process, runs_dir, step):
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        found = [run for run in runs.list_runs(runs_dir) if len(run.metrics().get("step", ())) >= step]
        if found:
            return found[0]
        time.sleep(0.05)


def children(pid):
    import psutil

    return psutil.Process(pid).children(recursive=True)


def wait_for_end(others):
    deadline = time.monotonic() + 30
    while [child for child in others if child.is_running() and child.status() != "zombie"]:
        assert time.monotonic() < deadline, "a process was left over"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_stop_takes_both_along_and_both_go_on(tmp_path):
    """SIGTERM to the main process alone, in micro-batches and with a timed checkpoint besides."""
    options = LONG | {"devices": 2, "micro_batch_size": 4, "checkpoint_every_minutes": 0.01}
    expected = train(tmp_path / "whole", options)
    process = start(command(options), tmp_path / "stopped")
    run = wait_for_step(process, tmp_path / "stopped", 9)
    others = children(process.pid)
    assert others
    os.kill(process.pid, signal.SIGTERM)
    said = finish(process, code=runs.STOPPED_EXIT_CODE)
    assert "Traceback" not in said
    assert (run.status.state, run.status.reason) == ("stopped", "on request")
    wait_for_end(others)
    assert len(rows_of(run)) < len(rows_of(expected))
    finish(start([sys.executable, "-m", "simclr", "resume", str(run.path)], tmp_path / "stopped"))
    assert rows_of(run) == rows_of(expected)
    assert run.model_path.read_bytes() == expected.model_path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["main", "other"])
def test_a_killed_process_takes_the_others_along(tmp_path, victim):
    process = start(command(LONG | {"devices": 2, "epochs": 200}), tmp_path)
    run = wait_for_step(process, tmp_path, 20)
    others = children(process.pid)
    os.kill(process.pid if victim == "main" else others[0].pid, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for_end(others)
    assert run.status.state == "failed"
    if victim == "other":
        assert run.status.reason == rank_messages.LOST
        assert run.status.error.startswith("Process 1 of this run ended without a word")
    assert (run.path / "checkpoints" / "last.ckpt").is_file()
