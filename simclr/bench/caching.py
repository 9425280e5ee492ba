"""What gradient caching costs in time and saves in memory."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from simclr.bench.peak_memory import peak_memory
from simclr.bench.step import STEP, own_steps, step_peak
from simclr.bench.timing import Row, speedup


def measure(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """A batch of 1,024 in micro-batches of 64: memory and time against the whole batch at once."""
    memory = {micro: peak_memory(step_peak, batch_size=1024, micro_batch_size=micro) for micro in (None, 64)}
    ratio = memory[None] / memory[64]
    what = "a step, batch 1024 in chunks of 64"
    yield Row("caching", f"peak memory of {what}", memory[64], "MiB", "at once", ratio, ratio, ratio)
    options = STEP | {"backbone": "resnet_tiny", "batch_size": 1024}
    seconds: dict[int | None, list[float]] = {None: [], 64: []}
    for _ in range(max(2, repeats // 2)):
        for micro, found in seconds.items():
            found.append(statistics.median(own_steps(4, micro_batch_size=micro, **options).step_seconds()))
    yield Row(
        "caching",
        f"time of {what}",
        min(seconds[64]),
        "s",
        "at once",
        **speedup(seconds[64], seconds[None]),
        repeats=len(seconds[64]),
    )
