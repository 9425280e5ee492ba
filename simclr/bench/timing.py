"""Seconds of candidates that take turns, how they compare, and the row that reports it."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torchvision


@dataclass(frozen=True)
class Row:
    """One line of the result: a figure, and how it compares.

    ratio: times better than `against`, above 1 is better: best turn against best turn. low, high: the middle half of
    the ratios of `repeats` turns. None for a figure without a comparison.
    """

    part: str
    what: str
    figure: float
    unit: str
    against: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    repeats: int = 1
    note: str = ""

    def text(self) -> str:
        line = f"{self.what:<66} {self.figure:>12,.4g} {self.unit:<16}"
        if self.note:
            line += f" {self.note}"
        if self.ratio is not None:
            spread = f" ({self.low:.2f} to {self.high:.2f}, n {self.repeats})" if self.repeats > 1 else ""
            line += f" {self.ratio:>7.2f} x {self.against}{spread}"
        return line.rstrip()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "lightning": L.__version__,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds_of(function: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def take_turns(
    candidates: Mapping[str, Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Seconds of each candidate in each of `repeats` turns, after one that does not count."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(repeats + 1):
        for name, function in candidates.items():
            seconds = seconds_of(function, clock)
            if turn:
                found[name].append(seconds)
    return found


def speedup(mine: list[float], others: list[float]) -> dict[str, Any]:
    """How many times faster `mine` is: best turn against best turn, and the quartiles over all turns.

    A disturbed turn is slower, never faster, and with several threads by up to a hundred times.
    """
    ratios = np.divide(others, mine)
    low, high = np.quantile(ratios, (0.25, 0.75))
    return {"ratio": min(others) / min(mine), "low": float(low), "high": float(high)}
