"""Reads and writes `metrics.csv`: rows are appended whole, and an incomplete line is left out (no torch).

Three readers, each much faster than the others at its task: `MetricsTail` follows a growing file, `read_columns` reads
some columns of any program's file, `newest_figures` the latest values of many small files.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from simclr.files import safe_read, writing

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from numpy.typing import NDArray

ROWS_AT_ONCE = 10_000  # that are Python's own floats for a moment
MAX_TAILS = 64  # growing files of which what was read is kept
PRETRAIN_METRICS = (
    "epoch",
    "step",
    "lr",
    "train/loss",
    "train/top1",
    "train/top5",
    "train/mean_rank",
    "val/loss",
    "val/top1",
    "val/top5",
    "val/mean_rank",
    "val/knn_top1",
    "val/alignment",
    "val/uniformity",
    "val/positive_similarity",
    "val/negative_similarity",
    "val/effective_rank",
    "val/effective_rank_z",
    "perf/images_per_second",
    "perf/seconds",
    "perf/cpu_seconds",
)
FINETUNE_METRICS = (
    "epoch",
    "step",
    "lr",
    "train/loss",
    "train/top1",
    "train/top5",
    "val/loss",
    "val/top1",
    "val/top5",
    "perf/images_per_second",
    "perf/seconds",
    "perf/cpu_seconds",
)


class MetricsLog:
    """Appends whole rows to `metrics.csv`, with the columns fixed from the start.

    Lightning's own CSV logger deletes the file on resume, rewrites it when a new metric appears and holds back 100
    rows; this one keeps the format and none of that.

    Args:
        path: the file; started empty unless `keep_steps` is given.
        columns: names in order.
        keep_steps: on resume, rows up to this step are kept, also those of a version that had other columns.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], keep_steps: int | None = None) -> None:
        self.path, self.columns = path, columns
        if keep_steps is not None and path.exists():
            self._cut(keep_steps)
        else:
            writing.write_atomically(path, _line(columns))

    def _cut(self, keep_steps: int) -> None:
        text = safe_read.read_bytes(self.path, safe_read.MAX_TABLE_BYTES).decode(errors="replace")
        header, *lines = text.split("\n")[:-1] or [""]  # no incomplete line
        before = header.split(",")
        kept = [line for line in lines if _step_of(line, before) <= keep_steps]
        if tuple(before) != self.columns:
            rows = [dict(zip(before, line.split(","), strict=True)) for line in kept]
            kept = [",".join(row.get(name, "") for name in self.columns) for row in rows]
        writing.write_atomically(self.path, _line(self.columns) + "".join(f"{line}\n" for line in kept))

    def append(self, row: Mapping[str, float | int]) -> None:
        unknown = set(row) - set(self.columns)
        assert not unknown, f"no column for {unknown}"
        writing.append_text(self.path, _line(_cell(row[name]) if name in row else "" for name in self.columns))


def _step_of(line: str, columns: Sequence[str]) -> float:
    """The step of a row; infinite where the line is no row of these columns."""
    cells = line.split(",")
    try:
        return float(cells[columns.index("step")]) if len(cells) == len(columns) else math.inf
    except ValueError:
        return math.inf


def _line(cells: Iterable[str]) -> str:
    return ",".join(cells) + "\n"


def _cell(value: float | int) -> str:
    return str(value) if isinstance(value, int) else f"{value:.7g}"


# --- reading --------------------------------------------------------------------------------------------------------


class MetricsTail:
    """Reads a growing `metrics.csv` by its new lines only; an incomplete last line is read once it is complete.

    `columns` maps each name to doubles, NaN where a row has no value; all are equally long. As Python's own floats a
    million rows would keep 600 MiB.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: dict[str, array[float]] = {}
        self._offset = 0
        self._identity: tuple[int, int] | None = None
        self._size = -1
        self._mtime = -1
        self._lock = threading.Lock()

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def refresh(self) -> bool:
        """Reads what was written since the last call; returns True if there was anything new."""
        with self._lock:
            return self._refresh()

    def _refresh(self) -> bool:
        try:
            stat = self.path.stat()
        except OSError:
            return self._forget()
        identity = (stat.st_dev, stat.st_ino)
        if identity == self._identity and stat.st_size == self._size and stat.st_mtime_ns == self._mtime:
            return False
        if identity != self._identity or stat.st_size < self._offset:
            self.columns, self._offset = {}, 0  # another file, or one that was cut back for a resume
        try:
            with safe_read.open_file(self.path, safe_read.MAX_TABLE_BYTES) as stream:
                stream.seek(self._offset)
                was_read = self._take(stream)
        except OSError:
            return self._forget()
        self._identity, self._size, self._mtime = identity, stat.st_size, stat.st_mtime_ns
        return was_read

    def _take(self, stream: IO[bytes]) -> bool:
        """Takes in all whole lines from here on; returns True if there are any."""
        start, rows = self._offset, []
        for line in stream:
            if not line.endswith(b"\n"):
                break
            self._offset += len(line)
            text = line[:-1].decode("utf-8", errors="replace")
            if not text:
                continue
            row = _cells(text)  # line by line, so that garbage spoils only its own line
            if not self.columns and len(text) <= safe_read.MAX_HEADER_BYTES:
                self.columns = {name: array("d") for name in dict.fromkeys(row) if name}
            elif self.columns and len(row) == len(self.columns):
                rows.append([_number(cell) if cell else math.nan for cell in row])
            if len(rows) == ROWS_AT_ONCE:
                self._extend(rows)
                rows = []
        self._extend(rows)
        return self._offset > start

    def _extend(self, rows: Sequence[Sequence[float]]) -> None:
        for values, more in zip(self.columns.values(), zip(*rows, strict=True), strict=False):
            values.extend(more)

    def _forget(self) -> bool:
        had = bool(self.columns)
        self.columns, self._offset, self._identity, self._size = {}, 0, None, -1
        return had


_tails: OrderedDict[Path, MetricsTail] = OrderedDict()
_tails_lock = threading.Lock()


def live_columns(path: Path) -> dict[str, array[float]]:
    """Copies of a `metrics.csv`'s columns, equally long and up to date; of a growing file only new lines are read."""
    with _tails_lock:
        tail = _tails.pop(path, None) or MetricsTail(path)
        _tails[path] = tail
        while len(_tails) > MAX_TAILS:
            _tails.popitem(last=False)
    tail.refresh()
    # A row is appended column by column: a reader in another thread may see the last one half taken in.
    columns = dict(tail.columns)
    length = min((len(values) for values in columns.values()), default=0)
    return {name: values[:length] for name, values in columns.items()}


def signature(path: Path | str) -> tuple[int, int] | None:
    """Modification time and size, which change with the file; None if there is no file."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def metric_names(path: Path) -> tuple[str, ...]:
    """The names in the first line of a CSV file, each once; none if the first line is incomplete."""
    return _names(path, signature(path))


@lru_cache(maxsize=1024)
def _names(path: Path, _signature: tuple[int, int] | None) -> tuple[str, ...]:
    try:
        with safe_read.open_file(path, safe_read.MAX_TABLE_BYTES) as stream:
            line = stream.readline(safe_read.MAX_HEADER_BYTES)
        if not line.endswith(b"\n"):
            return ()
    except OSError:
        return ()
    names = _cells(line.decode("utf-8", errors="replace").lstrip("\ufeff").rstrip("\n"))
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def has_rows(path: Path) -> bool:
    """Whether anything was recorded: a whole row below the names of the columns."""
    return _has_rows(path, signature(path))


@lru_cache(maxsize=1024)
def _has_rows(path: Path, _signature: tuple[int, int] | None) -> bool:
    with contextlib.suppress(OSError), safe_read.open_file(path, safe_read.MAX_TABLE_BYTES) as stream:
        head = stream.readline(safe_read.MAX_HEADER_BYTES)
        row = stream.readline(safe_read.MAX_HEADER_BYTES)
        while row.endswith(b"\n"):
            if row.count(b",") == head.count(b",") and row.strip(b",\r\n"):
                return True
            row = stream.readline(safe_read.MAX_HEADER_BYTES)
    return False


def read_columns(path: Path, names: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """The asked columns of a CSV file as equally long arrays, NaN where a row holds no number.

    Columns that the file lacks are left out, and so are incomplete lines.
    """
    import pandas

    known = metric_names(path)
    wanted = set(names) & set(known)
    if not wanted:
        return {}
    try:
        block = safe_read.read_bytes(path, safe_read.MAX_TABLE_BYTES)
    except OSError:
        return {}
    block = block[: block.rfind(b"\n") + 1]
    if b'"' not in block:  # commas then only separate cells, and a line with another number of them is incomplete
        lines = block.split(b"\n")
        commas = lines[0].count(b",")
        block = b"\n".join([line for line in lines if line.count(b",") == commas]) + b"\n"
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):  # the second for a file with an unclosed quotation mark
        try:
            frame = pandas.read_csv(
                io.BytesIO(block),
                usecols=lambda name: str(name).strip() in wanted,
                on_bad_lines="skip",
                encoding="utf-8-sig",
                encoding_errors="replace",
                low_memory=False,
                quoting=quoting,
                index_col=False,
            )
        except (ValueError, OverflowError):  # also pandas' own errors of parsing
            continue
        return {str(name).strip(): _numbers(frame[name]) for name in frame.columns}
    return {}


def _numbers(column: pandas.Series) -> NDArray[np.float64]:
    """The cells of a table's column; NaN for what is no number."""
    import pandas

    try:
        return pandas.to_numeric(column, errors="coerce").to_numpy(dtype="float64")
    except OverflowError:  # a cell of 400 digits is an integer, which no float holds
        return pandas.to_numeric(column.astype(str), errors="coerce").to_numpy(dtype="float64")


def newest_figures(path: Path) -> tuple[float | None, float | None]:
    """The newest loss (of the validation images, else in training) and the best kNN accuracy of a `metrics.csv`.

    Reading whole columns would be several times slower for most runs, and the dashboard may read 500 files.
    """
    names = ("train/loss", "val/loss", "val/knn_top1")
    found: dict[str, float | None] = dict.fromkeys(names)
    try:
        with io.TextIOWrapper(
            safe_read.open_file(path, safe_read.MAX_TABLE_BYTES), encoding="utf-8", errors="replace", newline=""
        ) as stream:
            header = stream.readline(safe_read.MAX_HEADER_BYTES).rstrip("\r\n").split(",")
            indices = {name: header.index(name) for name in names if name in header}
            num_commas, needed = len(header) - 1, max(indices.values(), default=0) + 1
            for line in stream:
                if line.count(",") != num_commas or not line.endswith("\n"):  # incomplete, or garbage
                    continue
                cells = line.split(",", needed)
                for name, index in indices.items():
                    if cells[index] and math.isfinite(value := _number(cells[index])):
                        before = found[name]
                        found[name] = max(value, before) if name == "val/knn_top1" and before is not None else value
    except OSError:
        pass
    loss = found["val/loss"]
    return found["train/loss"] if loss is None else loss, found["val/knn_top1"]


def _cells(line: str) -> list[str]:
    if '"' not in line:  # as in all our rows, and many times faster
        return line.rstrip("\r").split(",")
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
