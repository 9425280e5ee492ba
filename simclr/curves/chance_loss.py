"""A contrastive loss that stands still where guessing has it, recognized by its value (no torch).

NT-Xent of N images is ln(2N - 1) when all similarities are equal: 2N views, and the one pair among the 2N - 1 others.
The code of SupCon (Khosla et al. 2020) multiplies the loss by temperature / 0.07.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from simclr.curves import log_tables
from simclr.curves.curve_sources import LOG, Source

BASE_TEMPERATURE = 0.07
TEMPERATURES = (None, 0.1, 0.5, 0.2)  # None: not scaled
USUAL_SIZES = tuple(2**power for power in range(4, 15))
# Beyond these the values of neighbouring sizes cannot be told from each other.
OTHER_SIZES = (*range(8, 65), *(3 * 2**power for power in range(5, 12)), 100, 200, 500, 1000)
MIN_POINTS = 10
FLAT = 0.01  # of the value: between the lowest and the highest of the second half
CLOSE = 5e-4  # of the value: between the mean of the second half and that of guessing


def guess_of(values: NDArray[np.float64]) -> tuple[float, int, float | None] | None:
    """Where a loss stands still, as guessing has it: its value, the images of a batch, and the temperature that scales.

    Args:
        values: (n,) of the loss, in order; NaN where a row has none.

    Returns:
        None where it moves, or its value is none that guessing gives.
    """
    values = values[np.isfinite(values)]
    if len(values) < MIN_POINTS:
        return None
    late = values[len(values) // 2 :]
    level = float(late.mean())
    if level <= 0 or np.ptp(late) > FLAT * level:
        return None
    for sizes in (USUAL_SIZES, OTHER_SIZES):
        for temperature in TEMPERATURES:
            scale = 1.0 if temperature is None else temperature / BASE_TEMPERATURE
            for size in sizes:
                if abs(scale * math.log(2 * size - 1) - level) <= CLOSE * level:
                    return level, size, temperature
    return None


def sentences(sources: Sequence[Source]) -> Iterator[str]:
    """One sentence for each loss of another program's log that stands at guessing."""
    for source in sources:
        if source.kind != LOG:
            continue
        names = [name for name in log_tables.metric_names(source.metrics_path) if "loss" in name.lower()]
        for name, values in log_tables.read_columns(source.metrics_path, names).items():
            if (found := guess_of(values)) is not None:
                level, size, temperature = found
                scale = f", times {temperature:g} / {BASE_TEMPERATURE:g} as SupCon's code has it" if temperature else ""
                yield (
                    f"{source.title}: {name} stands at {level:.3f}. A contrastive loss has that value as long as "
                    f"nothing is learned: ln(2 x {size} - 1) with {size} images in a batch{scale}."
                )
