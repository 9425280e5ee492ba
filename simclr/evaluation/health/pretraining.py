"""The verdict on a pre-training, from the rows of `health.jsonl` and the columns of `metrics.csv`.

A run without the former is judged by the latter alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simclr.evaluation.health import collapse, courses, loss, ranks
from simclr.evaluation.health.records import Columns, by_epoch
from simclr.evaluation.health.rule import Rule, Verdict
from simclr.runs.health_log import Row

WAITING = Rule("waiting", "wait", "No verdict yet", "Said until an epoch is over and validated.")
# in the order in which they are asked
RULES = (
    loss.DIVERGED,
    WAITING,
    loss.NOT_NORMALISED,
    collapse.COLLAPSE,
    collapse.NARROW_CONE,
    ranks.CHANCE,
    ranks.UNLEARNED,
    collapse.SAME,
    collapse.NARROW_H,
    courses.OVERFITTING,
    courses.FORGETTING,
    collapse.NARROW_Z,
    courses.PLATEAU,
    courses.SETTLED,
    ranks.UNKNOWN,
    ranks.EARLY,
    ranks.LEARNING,
    ranks.UNPROVEN,
)


def verdict(
    rows: Sequence[Row], records: Columns, config: Mapping[str, Any], reason: str = "", *, ended: bool = False
) -> Verdict:
    """How the pre-training does, by the first rule that applies; the worst come first.

    Args:
        rows: of its `health.jsonl`; may be empty.
        records: columns of its `metrics.csv`, equally long, NaN where a row has no value.
        config: its options; `batch_size`, `temperature` and `epochs` are used.
        reason: that its status gives for an end: `diverged` where it was ended for that.
        ended: no further epoch is to come.
    """
    known = by_epoch(rows, records, config, ended)
    if (found := loss.diverged(known, reason)) is not None:
        return found
    if not len(known):
        return WAITING.found(
            "It ended within its first epoch, which is too early for a verdict."
            if ended
            else f"The first epoch is going on; whether it learns can be said after epoch {ranks.FIRST_EPOCHS}."
        )
    rules = (
        loss.not_normalised,
        collapse.collapse,
        ranks.chance,
        ranks.unlearned,
        collapse.same_views,
        collapse.narrow_h,
        courses.overfitting,
        courses.forgetting,
        collapse.narrow_z,
        courses.plateau,
        ranks.early,
    )
    for rule in rules:
        if (found := rule(known)) is not None:
            return found
    return ranks.learning(known)
