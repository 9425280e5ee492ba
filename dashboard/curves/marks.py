"""Where supervised runs come to 90 % of the accuracy with which from scratch ends, on the axis of the Curves page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simclr.curves import curve_lines
from simclr.curves.curve_sources import Group, Source
from simclr.results import convergence, wording
from simclr.results.convergence import ACCURACY, Pair
from simclr.results.statistics import spread
from simclr.runs import Run

METRIC = "top1"


def of(groups: Sequence[Group], view: curve_lines.View) -> dict[str, Any] | None:
    """The level, and a place for each group that comes to it, as the component takes them.

    None where it says nothing: without validation curves, and where not exactly one of the groups is from scratch.
    """
    scratch = [group for group in groups if all(source.kind == "scratch" for source in group.members)]
    if len(scratch) != 1 or "val" not in view.splits:
        return None
    partners = {_key(source): source for source in scratch[0].members}
    pairs = {
        group.id: [
            (source, pair)
            for source in group.members
            if (partner := partners.get(_key(source))) is not None and (pair := _pair(source, partner)) is not None
        ]
        for group in groups
    }
    level = spread(pair.level for each in pairs.values() for _, pair in each)
    if level is None or len([each for each in pairs.values() if each]) < 2:  # from scratch alone compares with nothing
        return None
    points = [
        {"x": x.mean, "y": 100 * y.mean, "color": group.color}
        for group in groups
        for x, y in [_place(pairs[group.id], view.x)]
        if x is not None and y is not None
    ]
    return {"level": 100 * level.mean, "text": f"{wording.LEVEL} of where from scratch ends", "points": points}


def _key(source: Source) -> tuple[Any, ...]:
    """What two runs share that train on the same labels for the same comparison."""
    labels = (source.options.get(name) for name in ("label_fraction", "labels_per_class", "subset_seed"))
    return source.experiment, repr(source.seed), *labels


def _pair(source: Source, partner: Source) -> Pair | None:
    if source.kind not in ("finetune", "scratch"):
        return None
    runs = [Run(each.metrics_path.parent) for each in (source, partner)]
    found = convergence.pair(*map(convergence.training, runs))
    return None if found.missing else found


def _place(pairs: Sequence[tuple[Source, Pair]], x: str) -> tuple[Any, Any]:
    """Where the curves of these cross the level, as means; None, None where none does."""
    places, heights = [], []
    for source, pair in pairs:
        xs, ys = curve_lines.points(source, [ACCURACY], x)[0]
        number = pair.ours.number if pair.ours is not None else None
        if number is not None and number < len(xs):
            places.append(float(xs[number]))
            heights.append(float(ys[number]))
    return spread(places), spread(heights)
