"""Series of one metric: where its points lie, smoothed, thinned, and the band over several runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_POINTS = 500
Columns = Mapping[str, Sequence[float] | NDArray[np.float64]]
Floats = NDArray[np.float64]


def points(columns: Columns, name: str, x: str = "epoch") -> tuple[list[float], list[float]]:
    """The finite values of one metric with their place on the x axis: `epoch`, `step` or `time` (minutes)."""
    xs, ys = finite_points(positions(columns, x), columns.get(name, ()))
    return xs.tolist(), ys.tolist()


def finite_points(places: Floats, values: ArrayLike) -> tuple[Floats, Floats]:
    """Those pairs of place and value of which both are finite numbers."""
    values = np.asarray(values, dtype=np.float64)
    count = min(len(places), len(values))
    kept = np.isfinite(places[:count]) & np.isfinite(values[:count])
    return places[:count][kept], values[:count][kept]


def positions(columns: Columns, x: str) -> Floats:
    """Where each row lies on the x axis; no rows where a log does not say.

    A row says only the epoch it belongs to. Training rows within one epoch are therefore spread by their step, so
    that a curve grows while an epoch is going on; a row at an epoch's end lies at that epoch's number.
    """
    if x == "step":
        return np.asarray(columns.get("step", ()), dtype=np.float64)
    return _minutes(columns) if x == "time" else _epochs(columns)


def _epochs(columns: Columns) -> Floats:
    """Epochs done at each row, with the fraction inside an epoch that its step says."""
    epochs = np.asarray(columns.get("epoch", ()), dtype=np.float64)
    steps = np.asarray(columns.get("step", ()), dtype=np.float64)
    if len(steps) != len(epochs):
        return epochs
    both = np.isfinite(epochs) & np.isfinite(steps)
    ordered = np.unique(epochs[both])
    if not len(ordered):
        return epochs
    last = {epoch: steps[both & (epochs == epoch)].max() for epoch in ordered[[0, 1, -2] if len(ordered) > 1 else [0]]}
    # an epoch with another after it is over, and so tells how many steps one has
    known = ordered[-2] if len(ordered) > 1 else ordered[0]
    first = 0 if ordered[0] == 0 else 1  # other programs' logs count epochs from 0, and most count steps so as well
    from_zero = first == 0 and len(ordered) > 2 and last[ordered[1]] - last[0] == last[0] + 1
    done = steps + 1 if from_zero else steps
    per_epoch = max(0.0, last[known] + from_zero) / max(1.0, known + 1 - first)
    return np.where(np.isfinite(steps), done / per_epoch, epochs) if per_epoch > 0 else epochs


def _minutes(columns: Columns) -> Floats:
    """Minutes since the start at each row; `perf/seconds` is filled in training rows and carried on from there."""
    seconds = np.asarray(columns.get("perf/seconds", ()), dtype=np.float64)
    if not np.isfinite(seconds).any():
        return np.empty(0)
    latest = np.maximum.accumulate(np.where(np.isfinite(seconds), np.arange(len(seconds)), -1))
    return np.where(latest < 0, 0.0, seconds[latest]) / 60


def thin(x: Sequence[float], y: Sequence[float], limit: int = MAX_POINTS) -> tuple[list[float], list[float]]:
    """At most `limit` points that keep every spike: the lowest and the highest of each stretch, and both ends."""
    if len(x) <= limit:
        return list(x), list(y)
    kept = thinned(np.asarray(y, dtype=np.float64), limit)
    return [x[i] for i in kept], [y[i] for i in kept]


def thinned(y: Floats, limit: int = MAX_POINTS, x: Floats | None = None) -> NDArray[np.intp]:
    """Numbers of the points that `thin` keeps.

    Args:
        y: the values.
        limit: how many points at most.
        x: their places, rising, for a logarithmic axis: its stretches are then equally wide on the screen.
    """
    count = len(y)
    if count <= limit:
        return np.arange(count)
    num_stretches = (limit - 2) // 2
    if x is None or x[-1] <= 0:
        # the last value fills the last rows up; it says nothing new
        length = -(-count // num_stretches)
        rows = np.pad(y, (0, length * num_stretches - count), mode="edge").reshape(num_stretches, length)
        starts = length * np.arange(num_stretches)
        kept = np.concatenate([[0, count - 1], starts + rows.argmin(axis=1), starts + rows.argmax(axis=1)])
        return np.unique(np.minimum(kept, count - 1))
    edges = np.searchsorted(x, np.geomspace(x[x > 0][0], x[-1], num_stretches + 1))
    edges[0], edges[-1] = 0, count
    found = {0, count - 1}
    for start, end in itertools.pairwise(edges):
        if start < end:
            found |= {int(start + y[start:end].argmin()), int(start + y[start:end].argmax())}
    return np.array(sorted(found))


def smooth(values: ArrayLike, weight: float) -> list[float]:
    """Exponential moving average with the start corrected; `weight` 0 gives the values themselves, below 1."""
    import pandas

    if not 0 <= weight < 1:
        raise ValueError(f"weight is {weight}; allowed: from 0 to below 1")
    return pandas.Series(values, dtype=np.float64).ewm(alpha=1 - weight).mean().tolist()


@dataclass(frozen=True)
class Band:
    """Mean over runs at each place, and the lowest and highest that the band around it reaches."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    num_runs: int


def band(lines: Sequence[tuple[Floats, Floats]], kind: str = "std", limit: int = 1000) -> Band:
    """Mean and band of several lines, over the stretch of x that all of them cover.

    Lines measured at other places are read between their points in a straight line. With one line the band is the
    line itself.

    Args:
        lines: places, rising, and values of each.
        kind: `std` is one sample standard deviation to both sides, `range` reaches from the lowest to the highest.
        limit: places at most.
    """
    lines = [(x, y) for x, y in lines if len(x)]
    if not lines:
        return Band(np.empty(0), np.empty(0), np.empty(0), np.empty(0), 0)
    start, end = max(x[0] for x, _ in lines), min(x[-1] for x, _ in lines)
    grid = np.unique(np.concatenate([x for x, _ in lines]))
    grid = grid[(grid >= start) & (grid <= end)]
    if len(grid) > limit:
        grid = grid[np.linspace(0, len(grid) - 1, limit).round().astype(int)]
    values = np.array([np.interp(grid, x, y) for x, y in lines])
    mean = values.mean(axis=0) if len(grid) else np.empty(0)
    if kind == "range" and len(grid):
        return Band(grid, mean, values.min(axis=0), values.max(axis=0), len(lines))
    deviation = values.std(axis=0, ddof=1) if len(lines) > 1 and len(grid) else np.zeros_like(mean)
    return Band(grid, mean, mean - deviation, mean + deviation, len(lines))


def sparkline(values: Sequence[float], limit: int = 60) -> list[float]:
    """The last finite values, thinned, for a line as small as a word."""
    finite = [value for value in values if math.isfinite(value)]
    return thin(list(range(len(finite))), finite, limit)[1]
