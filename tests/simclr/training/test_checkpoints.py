"""Checkpoint files: whole or absent at every moment, the one before kept, the damaged one passed over."""

import contextlib
import os
import threading

import pytest
import torch

from simclr import runs
from simclr.config import ConfigError
from simclr.training import checkpoints
from simclr.training.checkpoints import (
    Checkpoints,
    DivergedError,
    StopAndTimedCheckpoints,
    StopRequested,
    load_last,
    publish,
    save_atomically,
)


def write(folder, step, *more_names):
    fresh = folder / runs.FRESH_CHECKPOINT
    save_atomically({"step": step}, fresh)
    publish(fresh, more_names)


def step_of(path):
    return torch.load(path, weights_only=True)["step"]


def test_the_one_before_is_kept_and_best_stays_what_it_was(tmp_path):
    write(tmp_path, 1, runs.BEST_CHECKPOINT, "epoch-1.ckpt")
    write(tmp_path, 2)
    write(tmp_path, 3)
    found = {path.name: step_of(path) for path in tmp_path.iterdir()}
    assert found == {"last.ckpt": 3, "previous.ckpt": 2, "best.ckpt": 1, "epoch-1.ckpt": 1}


@pytest.mark.parametrize("where", ["os.link", "os.replace"])
@pytest.mark.parametrize("call", range(6))
def test_a_crash_between_any_two_steps_leaves_a_whole_checkpoint(tmp_path, monkeypatch, where, call):
    write(tmp_path, 1)
    write(tmp_path, 2, runs.BEST_CHECKPOINT)
    name = where.split(".")[1]
    real, count = getattr(os, name), 0

    def crashing(*arguments, **more):
        nonlocal count
        count += 1
        if count == call + 1:
            raise KeyboardInterrupt  # no handler of the code under test catches it
        return real(*arguments, **more)

    monkeypatch.setattr(checkpoints.os, name, crashing)
    with contextlib.suppress(KeyboardInterrupt):
        write(tmp_path, 3, runs.BEST_CHECKPOINT)
    monkeypatch.undo()
    found = load_last(tmp_path)
    assert found is not None
    assert found[1]["step"] in (2, 3)
    assert step_of(tmp_path / runs.BEST_CHECKPOINT) in (2, 3)
    write(tmp_path, 4)
    assert load_last(tmp_path)[1]["step"] == 4


def test_a_file_system_without_hard_links_gets_copies(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(checkpoints.os, "link", refuse)
    write(tmp_path, 1, runs.BEST_CHECKPOINT)
    write(tmp_path, 2)
    assert {path.name: step_of(path) for path in tmp_path.iterdir()} == {
        "last.ckpt": 2,
        "previous.ckpt": 1,
        "best.ckpt": 1,
    }


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_torn_checkpoint_falls_back_to_the_one_before(tmp_path, capsys, share):
    write(tmp_path, 1)
    write(tmp_path, 2)
    last = tmp_path / runs.LAST_CHECKPOINT
    content = last.read_bytes()
    last.unlink()
    last.write_bytes(content[: int(len(content) * share)])
    path, found = load_last(tmp_path)
    assert (path.name, found["step"]) == ("previous.ckpt", 1)
    assert capsys.readouterr().out == "last.ckpt is damaged; going on from previous.ckpt, the one before it\n"


def test_nothing_and_nothing_readable_are_told_apart(tmp_path):
    assert load_last(tmp_path) is None
    for name in runs.RESUMABLE_CHECKPOINTS:
        (tmp_path / name).write_bytes(b"torn")
    with pytest.raises(ConfigError, match=r"last.ckpt and previous.ckpt are damaged .*; start the run anew\."):
        load_last(tmp_path)


def test_a_full_disk_leaves_the_last_whole(tmp_path, monkeypatch):
    write(tmp_path, 1)

    def full(content, stream):
        stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, 2)
    monkeypatch.undo()
    assert load_last(tmp_path)[1]["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("is_main", [True, False])
def test_only_the_main_process_clears_what_was_not_published(tmp_path, is_main):
    """Another process may end a moment before the main one gives the fresh file its name."""

    class Trainer:
        is_global_zero = is_main

    fresh = tmp_path / runs.FRESH_CHECKPOINT
    fresh.write_bytes(b"whole, not yet published")
    keeper = StopAndTimedCheckpoints(threading.Event(), Checkpoints(tmp_path, lambda measured: None), 0)
    keeper.on_exception(Trainer(), None, StopRequested())
    assert fresh.exists() is not is_main


def test_weights_that_are_no_numbers_never_become_a_checkpoint(tmp_path):
    class Trainer:
        global_step = 7
        lightning_module = torch.nn.Linear(2, 2)

    with torch.no_grad():
        Trainer.lightning_module.weight[0, 0] = float("inf")
    with pytest.raises(DivergedError, match=r"not finite after step 7\. Likely causes: a learning rate"):
        Checkpoints(tmp_path, lambda measured: None).save(Trainer())
    assert list(tmp_path.iterdir()) == []
