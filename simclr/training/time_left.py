"""How long a training will still take, from what its parts took so far (arithmetic alone; the clock is the caller's).

Steps, validations, kNN probes and what comes between two epochs happen at different rates, and the test comes once, at
the end: each has its own number left and its own cost. What was not measured yet is guessed by the images that it
passes through the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

# What is older than this counts little: the machine may be shared with others now.
MEMORY_SECONDS = 300.0
# A step passes images forward and backward, which costs three times as much.
BACKWARD = 3
# And reading one from its file, roughly, as much as so many passes forward: a guess until it is measured.
READING = 2


@dataclass
class Stage:
    """One kind of work.

    total, done: how often it happens in the whole training, and how often it did.
    images: that it passes forward through the network, or what costs as much.
    """

    total: int
    images: float = 0.0
    done: int = 0
    _count: float = 0.0
    _seconds: float = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        """Takes in that it happened `count` times, in `seconds` together."""
        self.done += count
        self.measure(seconds, count)

    def measure(self, seconds: float, count: int = 1) -> None:
        """The same of a trial, which is no part of the training."""
        kept = math.exp(-seconds / MEMORY_SECONDS)
        fresh = (1.0 - kept) * MEMORY_SECONDS / seconds if seconds > 0 else 1.0  # its own beginning is older too
        self._count = self._count * kept + count * fresh
        self._seconds = self._seconds * kept + seconds * fresh

    @property
    def cost(self) -> float | None:
        """Seconds each time, as measured lately."""
        return self._seconds / self._count if self._count else None

    @property
    def image_cost(self) -> float | None:
        """Seconds for an image forward, as far as this part tells."""
        return None if self.cost is None or not self.images else self.cost / self.images


class TimeLeft:
    """Adds up what is left of a training.

    Args:
        parts: by name; those that tell best what an image costs come first.
    """

    def __init__(self, **parts: Stage) -> None:
        self.parts = parts

    def __getitem__(self, name: str) -> Stage:
        return self.parts[name]

    def seconds(self) -> float | None:
        """How long it will take; None before enough was measured to tell."""
        price = next((part.image_cost for part in self.parts.values() if part.image_cost is not None), None)
        total = 0.0
        for part in self.parts.values():
            num_left = max(0, part.total - part.done)
            cost = part.cost
            if cost is None and part.images and num_left:
                if price is None:
                    return None
                cost = part.images * price
            total += num_left * (cost or 0.0)
        return total if any(part.cost is not None for part in self.parts.values()) else None

    def state_dict(self) -> dict[str, list[float]]:
        """What was measured, for a run that is resumed."""
        return {name: [part._count, part._seconds] for name, part in self.parts.items()}

    def load_state_dict(self, state: Mapping[str, list[float]]) -> None:
        for name, (count, seconds) in state.items():
            if name in self.parts:
                self.parts[name]._count, self.parts[name]._seconds = count, seconds


def duration_text(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def rate_text(images_per_second: float) -> str:
    """`1,940 images/s`; below ten with two digits, `0.34 images/s`: large images on a CPU take seconds each."""
    number = f"{images_per_second:,.0f}" if images_per_second >= 10 else f"{images_per_second:.2g}"
    return f"{number} images/s"
