"""Figures over several runs: mean and spread, intervals, and differences that are paired by seed.

Two kinds of uncertainty are kept apart. What another seed would change is estimated from the seeds themselves, by
Student's t interval. What other test images would change is estimated from their number, by Wilson's interval. Neither
is given where there is too little to say it from.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

MIN_FOR_INTERVAL = 3  # of two seeds the interval is 18 times as wide as their distance suggests: it says nothing
CONFIDENCE = 0.95
Seed = TypeVar("Seed", bound=Hashable)


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


@dataclass(frozen=True)
class Difference:
    """A mean difference of runs that are paired, as by seed.

    Attributes:
        mean: the mean of the differences, one for each pair.
        deviation: their sample standard deviation; None of one pair.
        num: the number of pairs.
        low, high: the ends of the 95 % interval of the mean; None of fewer than `MIN_FOR_INTERVAL` pairs.
        p: how probable a mean at least as far from 0 is where there is no difference (two-sided); None likewise.
    """

    mean: float
    deviation: float | None
    num: int
    low: float | None = None
    high: float | None = None
    p: float | None = None


def difference(values: Sequence[float], confidence: float = CONFIDENCE) -> Difference | None:
    """The mean of differences with Student's t interval; None of no value.

    The interval has its confidence where the differences are normal and independent. Equal differences have an
    interval of length 0: whoever rounds them before has to say so.

    Args:
        values: one difference for each pair.
        confidence: 0 to 1: in how many of many experiments the interval shall hold the true mean.
    """
    if not values:
        return None
    if len(values) < 2:
        return Difference(values[0], None, 1)
    mean, deviation = mean_and_std(values)
    if len(values) < MIN_FOR_INTERVAL:
        return Difference(mean, deviation, len(values))
    from scipy.special import stdtr, stdtrit  # takes a tenth of a second, which most who import this do not need

    error = deviation / math.sqrt(len(values))
    reach = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * error
    p = 2 * float(stdtr(len(values) - 1, -abs(mean) / error)) if error > 0 else 0.0 if mean else 1.0
    return Difference(mean, deviation, len(values), mean - reach, mean + reach, p)


def paired(
    values: Mapping[Seed, float], baseline: Mapping[Seed, float], confidence: float = CONFIDENCE
) -> Difference | None:
    """By how much `values` are above `baseline`, over the seeds that both have; None where they share none.

    Args:
        values: a figure by seed.
        baseline: the same figure of what it is compared with.
        confidence: of the interval.
    """
    return difference([values[seed] - baseline[seed] for seed in values if seed in baseline], confidence)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Probabilities corrected for their number, so that with no difference anywhere one in twenty families of
    comparisons claims one (Holm 1979).

    Args:
        p_values: of each comparison, 0 to 1; those that are None are not counted and stay None.

    Returns:
        The adjusted probabilities in the same order.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))  # never smaller than that of a smaller p
        adjusted[place] = largest
    return adjusted


def image_interval(accuracy: float, num_images: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Where the accuracy on all images of their kind may lie, from a sample of them: Wilson's interval (Wilson 1927).

    Args:
        accuracy: share that is right, 0 to 1.
        num_images: number of images it was measured on, at least 1.
        confidence: of the interval.

    Returns:
        Its two ends, 0 to 1.

    Raises:
        ValueError: if the accuracy or the number of images is out of range.
    """
    if not 0 <= accuracy <= 1 or num_images < 1:
        raise ValueError(f"accuracy is {accuracy}, num_images is {num_images}; allowed: 0 to 1, and at least 1.")
    from scipy.special import ndtri

    z = float(ndtri((1 + confidence) / 2))
    shrink = 1 + z * z / num_images
    center = (accuracy + z * z / (2 * num_images)) / shrink
    reach = z / shrink * math.sqrt(accuracy * (1 - accuracy) / num_images + z * z / (4 * num_images**2))
    return max(0.0, center - reach), min(1.0, center + reach)
