"""Curves of runs and logs: points, lines, last and best values, and all of it as CSV.

A line is computed once and kept until its file changes, so that a refresh costs what the running trainings wrote.
"""

from __future__ import annotations

import csv
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from simclr.curves import log_tables
from simclr.curves import smoothing as series
from simclr.curves.curve_sources import LOG, Group, Source
from simclr.curves.metric_info import METRICS, Metric, spec_of
from simclr.curves.smoothing import Columns, Floats
from simclr.runs import metrics_csv
from simclr.runs.status import Status

PLACES = ("epoch", "step", "perf/seconds", "perf/cpu_seconds")  # columns that say where a row lies
MAX_TABLES, MAX_LINES = 400, 8000
Value = TypeVar("Value")


# --- metrics -------------------------------------------------------------------------------------------------------


def offered(sources: Iterable[Source]) -> list[str]:
    """What can be drawn of these sources: known metrics by their keys, other columns under their own names."""
    columns: dict[str, None] = {}
    for source in sources:
        names = log_tables.metric_names if source.kind == LOG else metrics_csv.metric_names
        columns |= dict.fromkeys(names(source.metrics_path))
    known = {name: key for key, spec in METRICS.items() for name in spec.suffixes}
    found = {known.get(name, name) for name in columns}
    others = [name for name in columns if name not in known and name not in PLACES]
    return [key for key in METRICS if key in found] + others


def first_metrics(sources: Sequence[Source], known: Sequence[str]) -> list[str]:
    """Four metrics to begin with: those that tell most of the first source's kind."""
    usual = ["loss", "top1"]
    if sources and sources[0].kind == "pretrain":
        usual = ["loss", "knn_top1", "top1", "effective_rank"]
    elif sources and sources[0].kind == LOG:
        own = offered(sources[:1])
        usual = [name for name in own if spec_of(name).better] or own
    return [name for name in usual if name in known][:4] or list(known[:4])


# --- points --------------------------------------------------------------------------------------------------------


class _Latest(Generic[Value]):
    """Values by key, each of one revision, the least used thrown away."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[Any, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, revision: Any, make: Callable[[], Value]) -> Value:
        with self._lock:
            found = self._kept.get(key)
            if found is not None and found[0] == revision:
                self._kept.move_to_end(key)
                return found[1]
        value = make()
        with self._lock:
            self._kept[key] = (revision, value)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return value


@dataclass(frozen=True, eq=False)
class Line:
    """One column of a metric, of a run or over several, thinned: places `x`, rising, and values `y`.

    With smoothing `raw_x` and `raw_y` are as measured. Over several runs `y` is their mean, `low` and `high` are the
    ends of the band around it, and `num_runs` is how many have this column. Fractions are 0..1.
    """

    metric: str
    column: str
    x: Floats
    y: Floats
    raw_x: Floats | None = None
    raw_y: Floats | None = None
    low: Floats | None = None
    high: Floats | None = None
    num_runs: int | None = None


@dataclass
class _Table:
    """What was asked of one metrics file so far: where all rows lie, and of each column the cells with a number."""

    rows: dict[str, Floats]
    cells: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = field(default_factory=dict)
    places: dict[str, Floats] = field(default_factory=dict)


_tables: _Latest[_Table] = _Latest(MAX_TABLES)
_lines: _Latest[Line | None] = _Latest(MAX_LINES)


def _single(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """In single precision; what is too large for it is infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def points(source: Source, columns: Sequence[str], x: str, others: Iterable[str] = ()) -> list[tuple[Floats, Floats]]:
    """Of each column its finite values with their places on the axis `x`, the places rising.

    `others` are columns that will be asked for next: a file is read once for all of them.
    """
    revision = metrics_csv.signature(source.metrics_path)
    table = _tables.get(source.metrics_path, revision, lambda: _Table({}))
    missing = [name for name in {*columns, *others} if name not in table.cells]
    if not table.cells.keys() >= set(columns):
        wanted = missing if table.rows else {*missing, *PLACES}
        if source.kind == LOG:
            read = log_tables.read_columns(source.metrics_path, wanted)
        elif source.is_active:
            whole = metrics_csv.live_columns(source.metrics_path)
            read = {name: np.asarray(whole[name], dtype=np.float64) for name in wanted if name in whole}
        else:
            read = metrics_csv.read_columns(source.metrics_path, wanted)
        table.rows = table.rows or {name: read[name] for name in PLACES if name in read}
        for name in missing:
            values = _single(read.get(name, np.empty(0)))
            kept = np.flatnonzero(np.isfinite(values)).astype(np.int32)
            table.cells[name] = kept, values[kept]
    if x not in table.places:
        table.places[x] = series.positions(table.rows, x)
    found = []
    for name in columns:
        rows, cells = table.cells[name]
        inside = rows < len(table.places[x])
        xs, ys = series.finite_points(table.places[x][rows[inside]], cells[inside])
        if (np.diff(xs) < 0).any():  # a program that started again in the same file goes back
            order = np.argsort(xs, kind="stable")
            xs, ys = xs[order], ys[order]
        found.append((xs, ys))
    return found


@dataclass(frozen=True)
class View:
    """How lines are drawn."""

    x: str = "epoch"
    smoothing: float = 0.0
    log_x: bool = False
    splits: tuple[str, ...] = ("train", "val")
    limit: int = series.MAX_POINTS

    def columns(self, spec: Metric) -> list[str]:
        """The columns of a metric that are shown: a training or validation column only where that is wanted."""
        return [
            name
            for name in spec.suffixes
            if name.partition("/")[0] not in ("train", "val") or name.partition("/")[0] in self.splits
        ]


def lines(groups: Sequence[Group], metrics: Sequence[str], view: View, around: str = "std") -> list[tuple[Group, Line]]:
    """All lines of these groups, each with the group it belongs to; of an unchanged file the same object again.

    Args:
        around: the kind of band around the mean of several runs, `std` or `range`.
    """
    found = []
    others = tuple(name for metric in metrics for name in spec_of(metric).suffixes)
    for group in groups:
        revision = group.revision
        for metric in metrics:
            for name in view.columns(spec_of(metric)):
                key = (tuple(source.metrics_path for source in group.members), metric, name, view, around)
                line = _lines.get(key, revision, partial(_line, group, metric, name, view, around, others))
                if line is not None:
                    found.append((group, line))
    return found


def _line(group: Group, metric: str, name: str, view: View, around: str, others: Sequence[str]) -> Line | None:
    measured = [points(source, [name], view.x, others)[0] for source in group.members]
    measured = [(xs, ys) for xs, ys in measured if len(xs)]
    if not measured:
        return None
    smoothed = measured
    if view.smoothing:
        smoothed = [(xs, np.array(series.smooth(ys, view.smoothing))) for xs, ys in measured]

    def thinned(xs: Floats, ys: Floats, *more: Floats) -> list[Floats]:
        kept = series.thinned(ys, view.limit, xs if view.log_x else None)
        return [values[kept] for values in (xs, ys, *more)]

    if len(group.members) > 1:
        band = series.band(smoothed, around)
        if not len(band.x):
            return None
        x, y, low, high = thinned(band.x, band.mean, band.low, band.high)
        if band.num_runs == 1:
            return Line(metric, name, x, y, num_runs=1)
        return Line(metric, name, x, y, low=low, high=high, num_runs=band.num_runs)
    x, y = thinned(*smoothed[0])
    raw_x, raw_y = thinned(*measured[0]) if view.smoothing else (None, None)
    return Line(metric, name, x, y, raw_x, raw_y)


# --- numbers beside the curves -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Values:
    """The last value of a metric, its best with the epoch it belongs to; None where there is none."""

    last: float | None = None
    best: float | None = None
    best_epoch: float | None = None
    last_is_training: bool = False


def values(source: Source, metric: str) -> Values:
    """Last and best of a metric: on validation images where it is measured there; the best only there."""
    spec = spec_of(metric)
    judged = next((name for name in spec.suffixes if not name.startswith("train/")), None)
    other = next((name for name in spec.suffixes if name.startswith("train/")), None)
    if judged is not None:
        xs, ys = points(source, [judged], "epoch")[0]
        if not len(ys):  # a log without epochs
            xs, ys = points(source, [judged], "step")[0]
        if len(ys):
            if spec.better is None:
                return Values(last=float(ys[-1]))
            place = int(ys.argmin() if spec.better == "low" else ys.argmax())
            return Values(float(ys[-1]), float(ys[place]), float(xs[place]))
    if other is not None:
        ys = points(source, [other], "step")[0][1]
        if len(ys):
            return Values(last=float(ys[-1]), last_is_training=True)
    return Values()


# --- export --------------------------------------------------------------------------------------------------------


def csv_text(groups: Sequence[Group], metrics: Sequence[str], view: View, around: str = "std") -> str:
    """The lines shown as CSV, one measured point a row (not thinned), fractions as in the files.

    Several runs drawn as one give their mean with the ends of the band; a run alone also the smoothed value.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    place = {"time": "minutes"}.get(view.x, view.x)
    writer.writerow(["run", "name", "num_runs", "metric", "column", place, "value", "smoothed", "low", "high"])
    for group in groups:
        for metric in metrics:
            for name in view.columns(spec_of(metric)):
                measured = [line for source in group.members if len((line := points(source, [name], view.x)[0])[0])]
                if not measured:
                    continue
                head = [" ".join(source.id for source in group.members), group.title, len(measured), metric, name]
                smoothed = [(xs, np.array(series.smooth(ys, view.smoothing))) for xs, ys in measured]
                if len(group.members) > 1:
                    band = series.band(smoothed, around)
                    rows: Any = zip(band.x, band.mean, band.low, band.high, strict=True)
                    writer.writerows([*head, _short(x), _short(y), "", _short(a), _short(b)] for x, y, a, b in rows)
                    continue
                rows = zip(*measured[0], smoothed[0][1] if view.smoothing else [""] * len(measured[0][0]), strict=True)
                writer.writerows([*head, _short(x), _short(y), z if z == "" else _short(z), "", ""] for x, y, z in rows)
    return stream.getvalue()


def _short(value: float) -> str:
    return f"{value:.7g}"


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
