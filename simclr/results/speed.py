"""How many images per second a run trained on, over its whole training."""

from __future__ import annotations

import numpy as np

from simclr.results.smoothing import Columns
from simclr.runs.status import Status


def mean_images_per_second(status: Status, columns: Columns) -> float | None:
    """All images trained on by the seconds of their steps; None before the first row.

    A run from before these were counted has only the speed of each row: as the rows of an epoch cover as many steps
    each, their times are as the inverse of their speeds.

    Args:
        columns: of its `metrics.csv`.
    """
    if status.mean_images_per_second is not None:
        return status.mean_images_per_second
    speeds = np.asarray(columns.get("perf/images_per_second", ()), dtype=np.float64)
    steps = np.asarray(columns.get("step", ()), dtype=np.float64)
    if len(speeds) != len(steps):
        return None
    kept = np.isfinite(steps) & np.isfinite(speeds) & (speeds > 0)
    done = np.diff(steps[kept], prepend=0.0)
    if not len(done) or not (done > 0).any():
        return None
    done = np.clip(done, 0, None)
    return float(done.sum() / (done / speeds[kept]).sum())
