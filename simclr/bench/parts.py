"""What things cost, measured side by side: augmentation, loss, step, memory, probe, maps, reading, table of runs.

    python -m simclr bench                       every part, under five minutes on two CPU cores
    python -m simclr bench --only loss,step --against lightly
    python -m simclr bench --only accuracy --data FOLDER --repeats 3 --against lightly
    python -m simclr bench --only listing        a folder of 1.3 million files, some minutes
    python -m simclr bench --gpu                 what a GPU gives, in two minutes
    python -m simclr bench --plot costs.html     tables and curves of time and memory against size

Absolute times mean little on shared machines. So the candidates of a comparison take turns in one process. A ratio is
that of the best turns; the middle half of the ratios of single turns is printed beside it. CPU seconds of a single
thread are the least disturbed clock; with several threads, or on a GPU, it is the wall clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from simclr.bench import accuracy, augmentation, budget, caching, listing, loss, reading, run_table, step
from simclr.bench.features import maps, probe
from simclr.bench.timing import Row

# Each takes the peers to compare with and the number of turns, and yields its rows.
PARTS: dict[str, Callable[[tuple[str, ...], int], Iterator[Row]]] = {
    "augmentation": augmentation.measure,
    "loss": loss.measure,
    "step": step.measure,
    "caching": caching.measure,
    "probe": probe.measure,
    "maps": maps.measure,
    "reading": reading.measure,
    "budget": budget.measure,
    "table": run_table.measure,
}
# Half an hour a turn, with a folder of images, and minutes with a million files: measured where they are asked for.
ON_REQUEST: dict[str, Callable[..., Iterator[Row]]] = {"listing": listing.measure, "accuracy": accuracy.measure}
