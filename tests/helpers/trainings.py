"""Real trainings that several tests look at."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import flags
from dashboard_fixtures import make_run

from simclr import runs
from simclr.cli.main import main
from simclr.embeddings.selection import ImageSelection
from simclr.runs import Run
from simclr.training import callbacks


def rows_of(run):
    """Rows of `metrics.csv` without the columns that measure time."""
    with run.metrics_path.open() as stream:
        return [
            {name: text for name, text in row.items() if not name.startswith("perf/")} for row in csv.DictReader(stream)
        ]


SMALL = ImageSelection(num_images=60)


def trained_run(folder: Path, seed: int = 1, **options: Any) -> Run:
    """A finished run whose `model.pt` holds the weights that this seed gives; no training is needed for features."""

    from simclr.models import backbones

    values: dict[str, Any] = {"dataset": "shapes", "image_size": 16, "backbone": "resnet_tiny", "seed": seed}
    values |= {"accelerator": "cpu"} | options
    run = make_run(folder, epochs=1, **values)
    torch.manual_seed(100 + seed)
    encoder = backbones.build_encoder(values["backbone"], 16)
    torch.save(encoder.network.state_dict(), run.model_path)
    return run


@pytest.fixture
def stop_at(monkeypatch):
    """Lets this process get a SIGTERM, or another end, when a training has done so many steps."""

    def install(step, kind="SIGTERM"):
        original = callbacks.Recorder.on_train_batch_end

        def hook(self, trainer, *arguments):
            original(self, trainer, *arguments)
            if trainer.global_step == step:
                if kind == "SIGTERM":
                    os.kill(os.getpid(), signal.SIGTERM)
                else:
                    raise RuntimeError("pulled the plug")

        monkeypatch.setattr(callbacks.Recorder, "on_train_batch_end", hook)

    yield install
    monkeypatch.undo()


def run_and_find(runs_dir, command, options, expected=0):
    before = {run.id for run in runs.list_runs(runs_dir)}
    assert main([command, *flags(options)]) == expected
    (run,) = [run for run in runs.list_runs(runs_dir) if run.id not in before]
    return run


def assert_equal_ends(run, expected):
    assert run.status.state == "finished", run.status.error
    assert rows_of(run) == rows_of(expected)
    assert run.model_path.read_bytes() == expected.model_path.read_bytes()
    for path in (run.health_path, expected.health_path):
        assert path.is_file() == (run.kind == "pretrain")
    if run.kind == "pretrain":
        assert run.health_path.read_bytes() == expected.health_path.read_bytes()
    for key in ("test/loss", "test/top1", "confusion", "best_epoch"):
        assert run.evaluation.get(key) == expected.evaluation.get(key)
    assert run.status.step == expected.status.step


def interrupted(tiny_runs, command, options, stop_at, monkeypatch, step, kind="SIGTERM"):
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Recorder, "on_train_batch_end", callbacks.Recorder.on_train_batch_end)
        stop_at(step, kind)
        run = run_and_find(tiny_runs, command, options, expected=75 if kind == "SIGTERM" else 1)
    monkeypatch.undo()
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tiny_runs))
    assert (run.path / "checkpoints" / "last.ckpt").is_file()
    assert not run.model_path.exists()
    return run
