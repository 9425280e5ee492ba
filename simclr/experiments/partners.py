"""Starts the supervised runs that a pre-training is compared with (no torch)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, FinetuneConfig
from simclr.launch import queue
from simclr.results import arms
from simclr.results.index import Summary
from simclr.runs import Run


def config_of(run: Run, arm: str, label_fraction: float) -> FinetuneConfig:
    """The options of a partner of a pre-training.

    Raises:
        ConfigError: if the values do not make a valid run.
    """
    return arms.partner_config(run.config, run.id, arm, label_fraction, run.meta.get("recipe"))


def start_partner(run: Run, arm: str, label_fraction: float, runs_dir: Path) -> Run:
    """Starts a partner of a finished pre-training as soon as a device is free; a second click gives the first's run.

    Raises:
        ConfigError: if the values do not make a valid run, or the folder cannot be written.
    """
    config = config_of(run, arm, label_fraction)
    recipe = arms.guess_recipe(run.config, run.meta.get("recipe"))
    return queue.submit(config, runs_dir, experiment=run.id, recipe=recipe)


def partners_there(
    run: Run, label_fraction: float, summaries: Iterable[Summary], runs_dir: Path
) -> dict[str, Summary | None]:
    """The partner of each arm with the data, seed, labels and steps that `start_missing` would give it.

    The newest where there are several, one that has not failed or been stopped before one that has; None where there
    is none.

    Args:
        summaries: of the runs of `runs_dir`, newest first.

    Raises:
        ConfigError: if the values do not make a valid run.
    """
    found = [
        item for item in arms.partners_of(run.id, list(summaries)) if item.group is None or not item.group.is_variant
    ]
    there = {}
    for arm in arms.ARMS:
        wanted = cfg.to_dict(config_of(run, arm, label_fraction))
        same = [item for item in found if item.arm == arm and arms.same_comparison(wanted, _options(item, runs_dir))]
        there[arm] = arms.newest_partner(same, arm, label_fraction)
    return there


def start_missing(run: Run, label_fraction: float, runs_dir: Path, summaries: Iterable[Summary]) -> list[Run]:
    """Starts those of the three partners that are not there, or have failed or been stopped, one after the other.

    Raises:
        ConfigError: if the values do not make valid runs, or the folder cannot be written.
    """
    there = partners_there(run, label_fraction, summaries, runs_dir)
    return [start_partner(run, arm, label_fraction, runs_dir) for arm in arms.ARMS if is_missing(there[arm])]


def is_missing(partner: Summary | None) -> bool:
    return partner is None or partner.state in ("failed", "stopped")


def _options(item: Summary, runs_dir: Path) -> dict[str, Any]:
    """Complete, also of a run from before an option was there; none of a run whose options cannot be read."""
    try:
        run = Run((runs_dir / runs.EXAMPLES if item.is_example else runs_dir) / item.id)
        return cfg.to_dict(runs.load_config(run))
    except ConfigError:
        return {}
