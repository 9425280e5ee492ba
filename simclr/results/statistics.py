"""Figures over several runs: mean and spread, and what the labels save."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from simclr.results.tables import ArmRuns


def mean_and_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation of at least two values."""
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


@dataclass(frozen=True)
class Verdict:
    """Test accuracies 0..1 at one label fraction: the best that starts from the encoder, and from scratch."""

    fraction: float
    pretrained: float
    scratch: float

    @property
    def gain(self) -> float:
        return self.pretrained - self.scratch


def verdict(picked: ArmRuns) -> Verdict | None:
    """What the encoder is worth at the smallest label fraction where both sides have a result; None where none has."""
    for fraction in sorted({fraction for fraction, _ in picked}):
        reached = {arm: item.test_accuracy for (share, arm), item in picked.items() if share == fraction}
        scratch = reached.get("scratch")
        ours = [value for arm in ("frozen", "full") if (value := reached.get(arm)) is not None]
        if scratch is not None and ours:
            return Verdict(fraction, max(ours), scratch)
    return None
