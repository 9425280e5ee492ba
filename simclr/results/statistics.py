"""Figures over several runs: mean and spread."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def mean_and_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation of at least two values."""
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of `num` values; one value alone has no deviation."""

    mean: float
    deviation: float | None = None
    num: int = 1


def spread(values: Iterable[float | None]) -> Spread | None:
    """The spread of those values that are there; None where none is."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Spread(known[0]) if known else None
    return Spread(*mean_and_std(known), len(known))
