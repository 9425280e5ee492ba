"""Repeats a run with other seeds: it and its supervised runs become a group, which is completed (no torch)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, PretrainConfig
from simclr.hardware import devices
from simclr.results import arms
from simclr.results.index import LabelShare, Summary
from simclr.runs import Run
from simclr.sweeps import on_slurm, start, sweep_file
from simclr.sweeps.settings import NOT_AN_AXIS, Sweep, to_plain


def base_of(config: PretrainConfig, recipe: str) -> dict[str, str]:
    """Where a pre-training differs from a recipe, as texts by dotted name, for the base of a sweep."""
    own = cfg.differences(config, cfg.build(PretrainConfig, cfg.recipe(recipe)))
    return {option: cfg.option_text(value) for option, value in own.items() if option not in NOT_AN_AXIS}


def source_of(run: Run, find: Callable[[str], Run | None]) -> Run | None:
    """The pre-training that is repeated with a run: itself, or that of a supervised run; None where it is not there.

    Args:
        find: gives a run by its id.
    """
    found = run if run.kind == "pretrain" else find(run.experiment or "")
    return found if found is not None and found.kind == "pretrain" else None


def sweep_of_run(run: Run, seeds: Sequence[int], partners: Sequence[Summary] = ()) -> Sweep:
    """The sweep that has a pre-training's options, and the arms and label fractions of its supervised runs.

    Args:
        run: a pre-training.
        seeds: of the sweep.
        partners: supervised runs of it.

    Raises:
        ConfigError: if its options cannot be read, or it is no pre-training.
    """
    config = runs.load_config(run)
    if not isinstance(config, PretrainConfig):
        raise ConfigError(f"{run.id} is a {run.kind} run; allowed: a pre-training, whose supervised runs go with it.")
    recipe = arms.guess_recipe(run.config, run.meta.get("recipe"))
    plain: dict[str, Any] = {
        "title": f"Seeds of {run.name}"[:120],
        "base": {"recipe": recipe} | base_of(config, recipe),
        "seeds": list(seeds),
    }
    known = [item for item in partners if item.arm in arms.ARMS and item.labels is not None]
    if known:
        plain["arms"] = sorted({str(item.arm) for item in known})
        for name in ("label_fraction", "labels_per_class"):
            if values := sorted({value for item in known if (value := getattr(item, name))}):
                plain[name if name.endswith("class") else f"{name}s"] = values
    return sweep_file.parse(plain)


def repeat(
    run: Run, number: int, runs_dir: Path, summaries: Sequence[Summary], target: start.Target | None = None
) -> str:
    """Queues or submits a pre-training with `number` further seeds, and its supervised runs with each of them.

    The run itself and the newest of its supervised runs of each kind are in the group too, unless they are shipped
    examples, which are not changed; then its own seed is trained again.

    Args:
        run: a pre-training; one that is in a group is repeated with all of that.
        number: of further seeds, the lowest that are not there.
        summaries: of the runs of `runs_dir`, newest first.
        target: a device of this machine, or Slurm; None: Slurm with the same options if the run went there, else any
            device.

    Returns:
        The id of the group.

    Raises:
        ConfigError: if it is no pre-training, its options are not valid any more, or the folder cannot be written.
    """
    if (place := run.group) is not None and not run.is_example:
        start.add_seeds(place.id, number, runs_dir, target)
        return place.id
    seed = run.config.get("seed")
    own = int(seed) if type(seed) is int else 0
    further = [other for other in range(number + 1) if other != own][:number]
    partners = [item for item in arms.partners_of(run.id, summaries) if item.seed == own]
    sweep = sweep_of_run(run, [own, *further], partners)
    if run.is_example:
        return start.start(sweep, runs_dir, target or devices.ANY)
    target = target or on_slurm.target_of([run])
    if target is None or isinstance(target, str):
        start.check_data(sweep, sweep.members())  # before it is made a group of one
    group_id = start.new_group_id(sweep.title)
    entry = {"id": group_id, "title": sweep.title, "setting": {}, "sweep": to_plain(replace(sweep, seeds=(own,)))}
    taken: set[tuple[str | None, LabelShare | None]] = set()
    runs.add_meta(run.path, group=entry)
    for item in partners:
        kind = item.arm, item.labels
        if not item.is_example and item.group is None and kind not in taken:
            taken.add(kind)
            runs.add_meta(runs_dir / item.id, group=entry)
    start.complete(group_id, runs_dir, target, sweep)
    return group_id
