"""A machine for tests of the New run page: what is started there stays in the queue, whatever this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import supervise_nothing

from dashboard.new_run import compute_target
from simclr.hardware import devices
from simclr.launch import queue, slurm_client, spawn


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runs folder; no process is started, and there are neither GPUs nor Slurm."""
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setattr(spawn, "_supervise", supervise_nothing)
    monkeypatch.setattr(queue, "_has_scheduler", lambda *_: True)
    monkeypatch.setattr(devices, "_gpus", list)
    monkeypatch.setattr(slurm_client, "available_partitions", list)
    compute_target.cluster.clear()
    return tmp_path
