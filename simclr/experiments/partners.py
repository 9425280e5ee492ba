"""Starts the supervised runs that a pre-training is compared with (no torch)."""

from __future__ import annotations

from pathlib import Path

from simclr.launch import queue
from simclr.results import arms
from simclr.runs import Run


def start_partner(run: Run, arm: str, label_fraction: float, runs_dir: Path) -> Run:
    """Starts a partner of a finished pre-training as soon as a device is free; a second click gives the first's run.

    Raises:
        ConfigError: if the values do not make a valid run, or the folder cannot be written.
    """
    recipe = run.meta.get("recipe")
    config = arms.partner_config(run.config, run.id, arm, label_fraction, recipe)
    return queue.submit(config, runs_dir, experiment=run.id, recipe=arms.guess_recipe(run.config, recipe))
