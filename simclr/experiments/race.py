"""Two networks side by side: SimCLR without labels, and the same network from scratch on few (no torch).

Both see as many images in as many epochs, keep the same validation images for their films, and share one place of a
device, so that they train at the same time. Each is a run like any other: a race is a from-scratch run whose
`meta.json` names, as `beside`, the pre-training that it trains beside.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, PretrainConfig
from simclr.hardware import devices
from simclr.launch import control, queue
from simclr.results import arms
from simclr.results.index import Summary
from simclr.runs import Run

LABEL_FRACTION = 0.01  # where the difference shows most; on all labels training from scratch wins early
NUM_FRAMES = 40  # of the film of each network, so that something moves every few seconds
# Options of a recipe's partner that the budget of the pre-training takes the place of.
BUDGET = ("epochs", "max_steps", "warmup_epochs", "early_stopping_patience")


class Race(NamedTuple):
    """The two runs."""

    simclr: Run
    scratch: Run


def options_of(recipe: str, changes: dict[str, Any] | None = None) -> PretrainConfig:
    """The pre-training of a race: a recipe with more frames.

    Args:
        recipe: a shipped recipe.
        changes: further options, such as `dataset`.

    Raises:
        ConfigError: if the values do not make a valid run.
    """
    values: dict[str, Any] = cfg.recipe(recipe) | {"film_frames": NUM_FRAMES} | (changes or {})
    config = cfg.build(PretrainConfig, values)
    assert isinstance(config, PretrainConfig)
    return config


def scratch_options(
    pretraining: dict[str, Any], run_id: str, label_fraction: float | str, recipe: str
) -> cfg.FinetuneConfig:
    """The from-scratch run beside a pre-training: its partner, with its budget of images.

    Raises:
        ConfigError: if the values do not make a valid run.
    """
    partner = cfg.to_dict(arms.partner_config(pretraining, run_id, "scratch", label_fraction, recipe))
    values = {name: value for name, value in partner.items() if name not in BUDGET}
    same = ("film_frames", "num_threads", "accelerator", "checkpoint_every_minutes")
    values |= {name: pretraining[name] for name in same if name in pretraining} | {"match_experiment": True}
    config = cfg.build(cfg.FinetuneConfig, values)
    assert isinstance(config, cfg.FinetuneConfig)
    return config


def start(
    recipe: str,
    runs_dir: Path,
    device: str = devices.ANY,
    *,
    label_fraction: float | str = LABEL_FRACTION,
    changes: dict[str, Any] | None = None,
) -> Race:
    """Starts both as soon as the device is free; a second click within seconds gives the first's.

    On a CPU each takes half of its cores.

    Raises:
        ConfigError: if the values do not make valid runs, there is no such device, or the folder cannot be written.
    """
    config = options_of(recipe, changes)
    device = devices.resolve_device(device, config)
    if device == devices.CPU and config.num_threads is None:
        config = config.model_copy(update={"num_threads": max(1, (os.cpu_count() or 1) // 2)})
    scratch_options(cfg.to_dict(config), "0", label_fraction, recipe)  # whatever is wrong is said before one starts
    first = queue.submit(config, runs_dir, device, recipe=recipe)
    options = scratch_options(first.config, first.id, label_fraction, recipe)
    second = queue.submit(options, runs_dir, device, recipe=recipe, experiment=first.id, beside=first.id)
    return Race(first, second)


def find(scratch: Run) -> Race | None:
    """The race that a from-scratch run is part of: with the pre-training it is compared with, if that is there."""
    experiment = scratch.meta.get("experiment")
    if scratch.kind != "scratch" or not isinstance(experiment, str):
        return None
    name = Path(experiment).name
    for folder in (scratch.path.parent, scratch.path.parent / runs.EXAMPLES):
        if runs.is_run_folder(folder / name):
            return Race(Run(folder / name), scratch)
    return None


def list_races(summaries: Iterable[Summary], runs_dir: Path, *, shipped: bool = False) -> list[Race]:
    """The races of a folder, newest first; or those that are shipped as examples."""
    folder = runs_dir / runs.EXAMPLES if shipped else runs_dir
    found = (Run(folder / item.id) for item in summaries if item.beside and item.is_example == shipped)
    return [race for run in found if (race := find(run)) is not None]


def stop(race: Sequence[Run]) -> None:
    """Asks both to stop; one that has ended stays as it is.

    Raises:
        ConfigError: if one cannot be stopped.
    """
    for run in reversed(race):  # the one that waits beside the other first, or it would begin alone
        if run.path.is_dir() and run.status.is_active:
            control.request_stop(run.path)


def resume(race: Sequence[Run]) -> None:
    """Resumes those that were stopped or failed, from their last checkpoints.

    Raises:
        ConfigError: if one cannot be resumed.
    """
    ended = [run for run in race if run.status.state in ("stopped", "failed")]
    if not ended:
        raise ConfigError("Both runs are active or finished; allowed: a race of which one was stopped or failed.")
    for run in ended:
        control.resume(run)
