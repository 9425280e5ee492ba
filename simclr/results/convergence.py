"""How soon a network is about as good as another will be: steps and seconds to a level of accuracy.

The other is from scratch, or in a group of runs whatever its settings are set against. The level is 90 % of the
validation accuracy with which it ends, each seed's own. A training reaches it at the
first validation that is not below: accuracies are taken as they were measured, not smoothed and not read between two
validations, so a number of steps is only as fine as the validations are (one an epoch). What pre-training took is in
none of the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from simclr.curves.curve_sources import options_of
from simclr.curves.smoothing import Columns, Floats
from simclr.results.statistics import Spread, spread
from simclr.runs import CONFIG, Run, metrics_csv

LEVEL_SHARE = 0.9  # of the accuracy with which from scratch ends
ACCURACY, KNN_ACCURACY = "val/top1", "val/knn_top1"  # of supervised runs, and of pre-trainings
Clock = Literal["cpu", "wall"]


# --- one training ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Validations:
    """What the validations of one training measured, in their order, as arrays of one length.

    steps: optimizer steps done. accuracies: 0..1. seconds, cpu_seconds: since the start; NaN where it is not known.
    """

    steps: Floats
    accuracies: Floats
    seconds: Floats
    cpu_seconds: Floats

    def __len__(self) -> int:
        return len(self.steps)


def validations(columns: Columns, accuracy: str = ACCURACY) -> Validations:
    """The validations among the rows of a `metrics.csv`; a row without a step, or with a torn number, is none.

    Args:
        accuracy: its column.
    """

    def column(name: str) -> Floats:
        found = np.full(length, np.nan)
        values = np.asarray(columns.get(name, ()), dtype=np.float64)[:length]
        found[: len(values)] = values
        return found

    length = len(columns.get(accuracy, ()))
    steps, accuracies = column("step"), column(accuracy)
    kept = np.isfinite(steps) & np.isfinite(accuracies)
    clocks = [_running_clock(column(f"perf/{name}"))[kept] for name in ("seconds", "cpu_seconds")]
    return Validations(steps[kept], accuracies[kept], *clocks)


def _running_clock(values: Floats) -> Floats:
    """A clock at each row: what it showed last, and on from there where a resumed run began it again at nothing."""
    known = np.flatnonzero(np.isfinite(values))
    found = np.full(len(values), np.nan)
    if not len(known):
        return found
    shown = values[known]
    turned_back = np.concatenate([[0.0], np.where(np.diff(shown) < 0, shown[:-1], 0.0)])
    total = shown + np.cumsum(turned_back)
    latest = np.searchsorted(known, np.arange(len(values)), side="right") - 1
    found[latest >= 0] = total[latest[latest >= 0]]
    return found


@dataclass(frozen=True)
class Reach:
    """The validation at which a training reached a level.

    accuracy: that it had then, 0..1. number: of the validation, from 0.
    """

    step: float
    accuracy: float
    seconds: float | None = None
    cpu_seconds: float | None = None
    number: int = 0


def first_reach(found: Validations, level: float) -> Reach | None:
    """The first validation that is not below `level`, also one at step 0; None if there is none."""
    places = np.flatnonzero(found.accuracies >= level)
    if not len(places):
        return None
    clocks = (float(values[places[0]]) for values in (found.seconds, found.cpu_seconds))
    seconds, cpu = (value if math.isfinite(value) else None for value in clocks)
    return Reach(float(found.steps[places[0]]), float(found.accuracies[places[0]]), seconds, cpu, int(places[0]))


@dataclass(frozen=True, eq=False)
class Training:
    """One training as it is compared.

    chance: accuracy of guessing, 0..1; None if the number of classes is not known.
    on_cpu: whether it trained on the processor alone, so that processor seconds are what it cost.
    batch_size: images in a step; 0 if it is not known.
    """

    measured: Validations
    is_finished: bool = True
    is_active: bool = False
    chance: float | None = None
    on_cpu: bool = True
    batch_size: int = 0


def training(run: Run) -> Training:
    """A run as it is compared, a pre-training by its kNN accuracy; its file is read again only when it has changed."""
    state, meta, options = run.status, run.meta, options_of(run.path / CONFIG)
    accuracy = KNN_ACCURACY if run.kind == "pretrain" else ACCURACY
    measured = _read(run.metrics_path, metrics_csv.signature(run.metrics_path), state.is_active, accuracy)
    if _began_after_features(options, measured):
        measured = replace(measured, seconds=np.full(len(measured), np.nan))
    num_classes, num_images, batch_size = meta.get("num_classes"), meta.get("num_train_images"), 0
    if isinstance(size := options.get("batch_size"), int):
        batch_size = min(size, num_images) if isinstance(num_images, int) else size
    return Training(
        measured,
        state.state == "finished",
        state.is_active,
        1 / num_classes if isinstance(num_classes, int) and num_classes > 1 else None,
        meta.get("device") == "CPU",
        batch_size,
    )


def _began_after_features(options: Mapping[str, Any], measured: Validations) -> bool:
    """Whether the clock left out the pass that computes a head's features, by far the most of what it costs.

    So it was before processor seconds were counted.
    """
    is_head = options.get("freeze_encoder") is True and not any(name.startswith("augmentation.") for name in options)
    return is_head and not np.isfinite(measured.cpu_seconds).any()


@lru_cache(maxsize=4000)
def _read(path: Path, _signature: object, is_active: bool, accuracy: str) -> Validations:
    if is_active:  # by its new lines only
        return validations(metrics_csv.live_columns(path), accuracy)
    tail = metrics_csv.MetricsTail(path)
    tail.refresh()
    return validations(tail.columns, accuracy)


# --- two trainings of one seed --------------------------------------------------------------------------------------

# Why there is no level to reach, or nothing that could reach it.
Missing = Literal["", "not finished", "not validated", "chance", "not measured"]
REASONS: dict[Missing, str] = {
    "not finished": "from scratch has not finished",
    "not validated": "from scratch has no validation accuracy",
    "chance": f"{LEVEL_SHARE:.0%} of where from scratch ends is no better than guessing".replace("%", " %"),
    "not measured": "it has no validation accuracy",
}


@dataclass(frozen=True)
class Pair:
    """A training and the one from scratch with the same seed and labels.

    level: accuracy to be reached, 0..1; None where there is none. missing: why there is nothing to compare.
    ours, scratch: where they reached it. num_steps: that ours has done, and may go on from if `is_going_on`.
    batch_sizes: images in a step of each.
    """

    level: float | None = None
    ours: Reach | None = None
    scratch: Reach | None = None
    num_steps: float = 0.0
    is_going_on: bool = False
    missing: Missing = ""
    can_use_cpu: bool = False
    batch_sizes: tuple[int, int] = (0, 0)

    def seconds(self, clock: Clock) -> tuple[float | None, float | None]:
        """Of ours and of from scratch, by that clock."""
        name = "cpu_seconds" if clock == "cpu" else "seconds"
        ours, scratch = (None if reach is None else getattr(reach, name) for reach in (self.ours, self.scratch))
        return ours, scratch


def level_of(scratch: Training) -> tuple[float | None, Missing]:
    """The accuracy to be reached, or why there is none: it takes the end of a training that was validated."""
    if not scratch.is_finished:
        return None, "not finished"
    if not len(scratch.measured):
        return None, "not validated"
    level = LEVEL_SHARE * float(scratch.measured.accuracies[-1])
    if level <= (scratch.chance or 0.0):  # a network that knows nothing is there before its first step
        return None, "chance"
    return level, ""


def pair(ours: Training, scratch: Training) -> Pair:
    """Where both reached 90 % of the accuracy with which from scratch ended."""
    num_steps = float(ours.measured.steps[-1]) if len(ours.measured) else 0.0
    level, missing = level_of(scratch)
    if level is not None and not len(ours.measured) and not ours.is_active:
        missing = "not measured"
    if level is None or missing:
        return Pair(level, num_steps=num_steps, is_going_on=ours.is_active, missing=missing)
    reaches = first_reach(ours.measured, level), first_reach(scratch.measured, level)
    counted = all(reach is None or reach.cpu_seconds is not None for reach in reaches)
    is_cpu = ours.on_cpu and scratch.on_cpu and counted
    batch_sizes = ours.batch_size, scratch.batch_size
    return Pair(level, *reaches, num_steps, ours.is_active, can_use_cpu=is_cpu, batch_sizes=batch_sizes)


def ratio(ours: float | None, scratch: float | None) -> float | None:
    """Ours as a share of from scratch; None where one is missing, or from scratch needed nothing."""
    return None if ours is None or not scratch else ours / scratch


# --- over the seeds -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Convergence:
    """What a way of training took to the level, over the seeds.

    Means and deviations are over the seeds that reached it, and say nothing of the others: those have to be told too.

    steps, seconds: until the level. accuracy: then, 0..1. step_ratio, second_ratio: as shares of what from scratch
    took, seed by seed.
    num_pairs: seeds that could be compared. num_reached: of them, those that reached the level. num_going_on: those
    that may still. num_steps: after which the others gave up, the most of any. missing: why seeds could not be
    compared. batch_sizes: images in a step, of ours and of from scratch, where they differ: their steps do not compare.
    """

    steps: Spread | None
    step_ratio: Spread | None
    seconds: Spread | None
    second_ratio: Spread | None
    level: Spread | None
    accuracy: Spread | None
    num_pairs: int
    num_reached: int
    num_going_on: int
    num_steps: float
    missing: tuple[Missing, ...] = ()
    batch_sizes: tuple[int, int] | None = None


def clock_of(pairs: Sequence[Pair]) -> Clock:
    """Processor seconds where every pair that came to the level has them; else seconds of training, so that no table
    mixes the two. One that has not come to it yet, as a run that waits, has no seconds to be told."""
    compared = [item for item in pairs if not item.missing and item.ours is not None]
    return "cpu" if compared and all(item.can_use_cpu for item in compared) else "wall"


def over_seeds(pairs: Sequence[Pair], clock: Clock) -> Convergence:
    """What the pairs of all seeds say together."""
    compared = [item for item in pairs if not item.missing]
    reached = [item for item in compared if item.ours is not None]
    left = [item for item in compared if item.ours is None]
    times = [item.seconds(clock) for item in reached]
    return Convergence(
        steps=spread(item.ours.step for item in reached if item.ours is not None),
        step_ratio=spread(
            ratio(item.ours.step, item.scratch.step)
            for item in reached
            if item.ours is not None and item.scratch is not None
        ),
        seconds=spread(ours for ours, _ in times),
        second_ratio=spread(ratio(*both) for both in times),
        level=spread(item.level for item in compared),
        accuracy=spread(item.ours.accuracy for item in reached if item.ours is not None),
        num_pairs=len(compared),
        num_reached=len(reached),
        num_going_on=sum(item.is_going_on for item in left),
        num_steps=max((item.num_steps for item in left), default=0.0),
        missing=tuple(dict.fromkeys(item.missing for item in pairs if item.missing)),
        batch_sizes=next((each for item in compared if 0 not in (each := item.batch_sizes) and len({*each}) > 1), None),
    )
