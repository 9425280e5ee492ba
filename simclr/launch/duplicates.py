"""Finds a run that was submitted twice, by a double click or in two tabs (no torch)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simclr import config as cfg
from simclr import runs
from simclr.config import RunConfig
from simclr.runs import Run

# Within this time the same options for the same device are one submission.
ONCE_SECONDS = 5.0


def submission_key(target: str, config: RunConfig, meta: dict[str, Any]) -> str:
    """Names what is submitted: the same options and metadata for the same target. `meta.json` keeps it as `wish`."""
    return hashlib.sha256(f"{target} {meta} {cfg.to_yaml(config)}".encode()).hexdigest()[:16]


def recent_runs(runs_dir: Path) -> Iterator[Run]:
    """The runs that were created within the last seconds, newest first."""
    since = time.time() - ONCE_SECONDS
    first_id = time.strftime("%Y%m%d-%H%M%S", time.localtime(since))
    for run in runs.list_runs(runs_dir):
        if run.id >= first_id and since < run.created <= time.time():
            yield run


def recent_duplicate(key: str, runs_dir: Path) -> Run | None:
    """The run that was submitted with the same key within the last seconds and is still active."""
    for run in recent_runs(runs_dir):
        if run.meta.get("wish") == key:
            return run if run.status.is_active else None
    return None
