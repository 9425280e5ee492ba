"""Resumes a run on another number of devices or machines, or on the CPU: checked and recorded (no torch)."""

from __future__ import annotations

from typing import Any

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, RunConfig
from simclr.launch import spawn
from simclr.lifecycle.counts import steps_in_epoch
from simclr.runs import Run

OPTIONS = ("devices", "num_nodes", "accelerator")


def check(run: Run, asked: dict[str, Any]) -> RunConfig:
    """The options of a run with these of `OPTIONS` instead.

    Raises:
        ConfigError: if one is wrong, the batch cannot be divided among so many processes, or an epoch would have
            another number of steps.
    """
    before = runs.load_config(run)
    config: RunConfig = cfg.build(type(before), run.config | asked)
    is_divided_anew = (config.devices, config.num_nodes) != (before.devices, before.num_nodes)
    if not (is_divided_anew and runs.is_begun(run.path)):
        return config
    had, has = (steps_in_epoch(run, one) for one in (before, config))
    if had != has:
        raise ConfigError(
            f"{' and '.join(f'{name} is {getattr(config, name)}' for name in asked)}, with which an epoch of {run.id} "
            f"has {has:,} steps where it had {had:,}; allowed: as before, or a new run."
        )
    return config


def change(run: Run, asked: dict[str, Any]) -> str:
    """Gives a run that is to be resumed other devices; returns what to say of it, empty where nothing changes.

    `meta.json` keeps what it began with (`asked`), so that it still counts as a run with those options.

    Raises:
        ConfigError: as `check`, or if its folder cannot be written.
    """
    before, config = runs.load_config(run), check(run, asked)
    changed = {name: getattr(config, name) for name in OPTIONS if getattr(config, name) != getattr(before, name)}
    if not changed:
        return ""
    kept = run.meta.get("asked")
    kept = kept if isinstance(kept, dict) else {}
    began = {name: getattr(before, name) for name in changed}
    # left to the machine, which divides its cores among the processes and may be another
    again = {name: kept[name] for name in ("num_threads", "num_workers") if name in kept}
    config = config.model_copy(update=again)
    with spawn.as_config_error(f"{run.id} cannot be given other devices"):
        runs.add_meta(run.path, asked=began | kept)
        runs.update_status(run.path, device="")  # those that it held
        runs.write_config(run.path, config)
    what = ", ".join(f"{name} {value} (was {began[name]})" for name, value in changed.items())
    return (
        f"It goes on with {what}: batches and views stay the same, and results agree up to rounding. Not those of "
        "networks with BatchNorm on several CPU processes, each of which has statistics of its own."
    )
