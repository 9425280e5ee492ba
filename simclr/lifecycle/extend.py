"""Trains a run longer that has come to the end of its options: checked, recorded, and left to a resume (no torch).

The learning rate of each further step is the one which that step has in a training of the new length. A cosine that had
come to its end is therefore higher again where the training goes on; nothing restarts. So all that follows depends on
the options and the step alone, and a run that is killed in its extension resumes exactly.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, PretrainConfig, RunConfig
from simclr.launch import spawn
from simclr.lifecycle.counts import steps_in_epoch
from simclr.models.weights import Weights
from simclr.runs import Run, extensions
from simclr.runs.extensions import Extension
from simclr.runs.status import Status

OPTIONS = ("epochs", "max_steps")
REASON = "to be trained longer"


def extend(run: Run, epochs: str | int | None, max_steps: str | int | None = None) -> None:
    """Gives a run that has come to its end a later one, so that a resume goes on with it.

    What was measured on its weights, and the weights themselves, are set aside (`simclr.runs.extensions`). If it is
    killed in between, the run resumes to its old end, and can be extended again.

    Args:
        epochs, max_steps: the options from now on; None: as they are. The same as now: nothing is done.

    Raises:
        ConfigError: with one sentence, if an option is wrong, leaves nothing to train, or the run has not come to its
            end.
    """
    longer, status = check(run, epochs, max_steps), run.status
    if longer is None:
        return
    with spawn.as_config_error(f"{run.id} cannot be extended"):
        runs.change_status(run.path, {"state": "stopped", "reason": REASON}, lambda: _check_end(run, run.status))
        known = [entry for entry in extensions.extensions_of(run) if entry.step < status.step]
        aside = extensions.earlier_folder(run, status.step)
        digest = _digest(run.model_path) or _digest(aside / runs.MODEL)  # the second where this was killed before
        entry = Extension(status.step, status.epoch, longer.epochs, longer.max_steps, time.time(), digest)
        runs.add_meta(run.path, **{extensions.EXTENDED: extensions.as_meta([*known, entry])})
        for name in (runs.MODEL, runs.TEXT_ENCODER, runs.EVALUATION, runs.LEAKS):
            if (run.path / name).is_file():
                aside.mkdir(parents=True, exist_ok=True)
                os.replace(run.path / name, aside / name)
        runs.write_config(run.path, longer)  # from here on it is extended


def can_be_extended(run: Run) -> bool:
    """Whether some later end would do."""
    status = run.status
    try:
        return check(run, 100_000, None if run.config.get("max_steps") is None else status.step + 1) is not None
    except ConfigError:
        return False


def check(run: Run, epochs: str | int | None, max_steps: str | int | None = None) -> RunConfig | None:
    """The options of a run with a later end; None if it has that end already, and was stopped or killed on the way.

    Raises:
        ConfigError: with one sentence; see `extend`.
    """
    if run.is_example:
        raise ConfigError(f"{run.id} is an example, to be looked at; clone it to train one like it for longer.")
    config, status = runs.load_config(run), run.status
    given = {name: value for name, value in (("epochs", epochs), ("max_steps", max_steps)) if value is not None}
    longer: RunConfig = cfg.build(type(config), run.config | given)
    if _is_on_its_way(run, config, longer):
        return None
    _check_end(run, status)
    if (group := run.group) is not None:
        raise ConfigError(
            f"{run.id} belongs to the group {group.id}, whose runs are compared after equal budgets; allowed: a run of "
            "its own, such as a clone with more epochs."
        )
    if not runs.has_checkpoint(run.path):
        raise ConfigError(f"{run.id} has no checkpoint to go on from; allowed: a run with {runs.LAST_CHECKPOINT}.")
    per_epoch = steps_in_epoch(run, config)
    num_steps = min(longer.epochs * per_epoch, longer.max_steps or sys.maxsize)
    if num_steps <= status.step:
        raise ConfigError(_too_few(run, status, longer, per_epoch, given))
    return _with_same_first_steps(config, longer, status.step, num_steps)


def _too_few(run: Run, status: Status, longer: RunConfig, per_epoch: int, given: dict[str, Any]) -> str:
    """Which option leaves nothing to train, and from where on it would do."""
    trained = f"{status.epoch:,} epoch{'' if status.epoch == 1 else 's'} ({status.step:,} steps)"
    ends = {"epochs": longer.epochs * per_epoch <= status.step}
    ends["max_steps"] = longer.max_steps is not None and longer.max_steps <= status.step
    # the one that was given is named first: it is the one that its user has in mind
    name = next(name for name in (*given, "epochs", "max_steps") if ends[name])
    least = status.step + 1 if name == "max_steps" else status.step // per_epoch + 1
    also = "" if name in given else " as well"
    value = getattr(longer, name)
    return f"{name} is {value} and {run.id} has trained {trained}; allowed{also}: {name} from {least:,} on."


def _is_on_its_way(run: Run, config: RunConfig, longer: RunConfig) -> bool:
    """Whether an ended run was extended to this end before, and has not come to it."""
    if run.status.state not in ("stopped", "failed") or not extensions.extensions_of(run):
        return False
    return (config.epochs, config.max_steps) == (longer.epochs, longer.max_steps)


def _is_at_its_end(status: Status) -> bool:
    return 0 < status.steps <= status.step


def _check_end(run: Run, status: Status) -> None:
    """Raises ConfigError unless a run has made all steps that it was to make."""
    if status.is_active:
        raise ConfigError(f"{run.id} is {status.state}; allowed: a run that has ended.")
    if _is_at_its_end(status):
        return
    where = f"after {status.step:,} of {status.steps:,} steps"
    if status.state == "finished" and run.config.get("early_stopping_patience") is not None:
        raise ConfigError(
            f"{run.id} was ended {where} by early_stopping_patience {run.config['early_stopping_patience']}, which "
            "more epochs do not change; allowed: a run that its epochs or max_steps have ended."
        )
    raise ConfigError(
        f"{run.id} is {status.state} {where}; allowed: a run that has made all its steps. Resume it without epochs and "
        "max_steps first."
    )


def _with_same_first_steps(before: RunConfig, longer: RunConfig, step: int, num_steps: int) -> RunConfig:
    """The options with as many first steps of small views as the run had: large ones are not followed by small ones."""
    if not isinstance(before, PretrainConfig) or not (number := before.num_initial_steps(step)):
        return longer
    return longer.model_copy(update={"initial_size_share": number / num_steps})


def _digest(path: Path) -> str:
    """The hash of a file of weights; empty where there is none."""
    with contextlib.suppress(OSError), contextlib.closing(Weights(path)) as weights:
        return weights.sha256
    return ""
