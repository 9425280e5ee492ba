"""Reads what other programs log while they train as columns of numbers: CSV of any kind, JSON (see `json_logs`),
trainer_state.json of the library transformers, and TensorBoard's event files where the package tensorboard is installed
(no torch).

Own runs have `runs.metrics_csv`, which is quicker. Nothing in a file is trusted: what is no number is left out.
"""

from __future__ import annotations

import csv
import importlib.util
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.curves import csv_records, json_logs
from simclr.files import safe_read
from simclr.runs import metrics_csv

TRAINER_STATE = "trainer_state.json"
EVENTS = "events.out.tfevents"
DELIMITERS = ",;\t|"
MAX_COLUMNS = 2000
LOOKED_AT = 200  # lines that tell how numbers are written
# What programs call the places of a row, in lower case, and what they are called here.
PLACES = {
    "epoch": ("epoch", "epochs", "current_epoch", "ep"),
    "step": ("step", "steps", "global_step", "trainer/global_step", "iteration", "iterations", "iter", "_step"),
}
PLACE_NAMES = frozenset(spelling for spellings in PLACES.values() for spelling in spellings)
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")
# Numbers that tell which sign stands before decimals, since no group of three digits begins or ends so.
SURE_COMMA = re.compile(r"[-+]?(?:0,\d+|\d{4,},\d+|\d+,(?:\d\d?|\d{4,})|[\d.]+\.\d{3},\d+)(?:[eE][-+]?\d+)?")
SURE_POINT = re.compile(r"[-+]?(?:0?\.\d+|\d{4,}\.\d+|\d+\.(?:\d\d?|\d{4,})|[\d,]+,\d{3}\.\d+)(?:[eE][-+]?\d+)?")
GROUPED = {",": re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"), ".": re.compile(r"[-+]?\d{1,3}(?:\.\d{3})+(?:,\d+)?")}
# As Python prints a tensor or an array of one number: tensor(2.5, device='cuda:0'), np.float64(2.5), [2.5].
WRAPPED = re.compile(
    r"(?:[A-Za-z_][\w.]*\(\[?|\[)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*\]?(?:,\s*\w+=[^)]*)?\)?"
)
SEPARATOR_LINE = re.compile(r"\"?sep=.?\"?", re.IGNORECASE)  # which spreadsheets put before the header
UNIT = re.compile(r"\s*(?:%|[a-zA-Zµ/]{1,8})")


class Unreadable(ValueError):
    """A file cannot be read as a log; the message says why."""


@dataclass(frozen=True)
class Table:
    """Columns by name, equally long, NaN where a row has no number; `epoch` and `step` are always among them.

    counted: which of these two the file does not have, so that they are the numbers of the rows, from 1.
    """

    columns: dict[str, NDArray[np.float64]]
    counted: tuple[str, ...] = ()


def kind_of(path: Path) -> str:
    """What a log is called on screen."""
    if path.name == TRAINER_STATE:
        return "Trainer state"
    if EVENTS in path.name:
        return "TensorBoard events"
    return "JSON log" if is_json(path) else "CSV log"


def is_json(path: Path) -> bool:
    """Whether a log begins as one in JSON does; such files are called as they like."""
    return path.suffix.lower() not in (".csv", ".tsv") and _begins_as_json(path, metrics_csv.signature(path))


@lru_cache(maxsize=4096)
def _begins_as_json(path: Path, _signature: Any) -> bool:
    return json_logs.begins(_decoded(_beginning(path, json_logs.BEGINNING_BYTES), is_json=True))


def _beginning(path: Path, num_bytes: int) -> bytes:
    """The first bytes of a file; none if it cannot be read."""
    try:
        with safe_read.open_file(path) as stream:
            return stream.read(num_bytes)
    except OSError:
        return b""


def read(path: Path) -> Table:
    """The table of a log, read again only when the file has changed.

    Raises:
        Unreadable: if it is none.
    """
    return _read(path, metrics_csv.signature(path))


@lru_cache(maxsize=16)
def _read(path: Path, _signature: Any) -> Table:
    try:
        if path.name == TRAINER_STATE:
            rows = _trainer_rows(path)
        elif EVENTS in path.name:
            rows = _event_rows(path)
        elif is_json(path):
            text = _decoded(safe_read.read_bytes(path, safe_read.MAX_TABLE_BYTES), is_json=True)
            rows = json_logs.rows(text, PLACE_NAMES)
        else:
            return _with_places(_csv_columns(path))
    except json_logs.NoRows as error:
        raise Unreadable(str(error)) from None
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from None
    return _with_places(_columns_of(rows))


def metric_names(path: Path) -> tuple[str, ...]:
    """Names of the columns that hold a number; none where the file is no log."""
    return _names(path, metrics_csv.signature(path))


@lru_cache(maxsize=1024)  # a page asks every log for them with each click, and few tables are kept
def _names(path: Path, _signature: Any) -> tuple[str, ...]:
    try:
        return tuple(read(path).columns)
    except Unreadable:
        return ()


def header_of(path: Path) -> tuple[str, ...]:
    """The names in the first line of a CSV file, whose rest is not read; none if it cannot be read.

    Of JSON those of `json_logs.names`.
    """
    beginning = _beginning(path, safe_read.MAX_HEADER_BYTES)
    if is_json(path):
        return json_logs.names(_decoded(beginning, is_json=True))
    lines = _table_lines(_decoded(beginning))[:1]
    return tuple(name for cells in _cells(lines, _delimiter(lines)) for name in cells) if lines else ()


def counted_by_header(path: Path) -> tuple[str, ...]:
    """Which places a CSV log does not have, as its first line tells, and one in JSON; see `Table.counted`."""
    if path.name == TRAINER_STATE or EVENTS in path.name:
        return ()
    if is_json(path):  # whose lines need not have the same names
        try:
            return read(path).counted
        except Unreadable:
            return ()
    names = {name.lower() for name in header_of(path)}
    return tuple(place for place, spellings in PLACES.items() if not names & set(spellings))


def lacks_reader(path: Path) -> bool:
    """Whether a log needs a package that is not installed."""
    return EVENTS in path.name and importlib.util.find_spec("tensorboard") is None


def has_rows(path: Path) -> bool:
    """Whether anything was recorded."""
    return any(name not in PLACES for name in metric_names(path))


def read_columns(path: Path, names: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """The asked columns, those that the file lacks left out."""
    try:
        columns = read(path).columns
    except Unreadable:
        return {}
    return {name: columns[name] for name in names if name in columns}


def _columns_of(rows: Sequence[Mapping[str, float]]) -> dict[str, NDArray[np.float64]]:
    names = list(dict.fromkeys(name for row in rows for name in row))[:MAX_COLUMNS]
    return {name: np.array([row.get(name, math.nan) for row in rows]) for name in names}


def _with_places(columns: dict[str, NDArray[np.float64]]) -> Table:
    """The columns that hold a number, with places under their names here; what is missing is counted."""
    columns = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    if not columns:
        raise Unreadable("it holds no column of numbers")
    places: dict[str, NDArray[np.float64]] = {}
    for place, spellings in PLACES.items():
        name = next((name for name in columns if name.strip().lower() in spellings), None)
        if name is not None:
            places[place] = columns.pop(name)
    num_rows = len(next(iter({**columns, **places}.values())))
    counted = tuple(place for place in PLACES if place not in places)
    places |= dict.fromkeys(counted, np.arange(1.0, num_rows + 1))
    return Table(places | columns, counted)


# --- CSV ------------------------------------------------------------------------------------------------------------


def _csv_columns(path: Path) -> dict[str, NDArray[np.float64]]:
    """Columns of a CSV file with any separator, in which a program that began to log more may have put another header.

    Without a header columns are called column 1, column 2 and so on.
    """
    lines = _table_lines(_decoded(safe_read.read_bytes(path, safe_read.MAX_TABLE_BYTES)))
    if not lines:
        raise Unreadable("it is empty")
    delimiter = _delimiter(lines)
    groups = _group_sign(lines, delimiter)
    rows: list[dict[str, float]] = []
    header: list[str] = []
    for cells in _cells(lines, delimiter):
        if not header:
            header = cells if not any(_number(cell, delimiter, groups) is not None for cell in cells) else []
            if header:
                continue
            header = [f"column {place + 1}" for place in range(len(cells))]
        elif _is_header(cells, header, delimiter):
            header = cells
            continue
        found = {}
        for name, cell in zip(header, cells, strict=False):
            number = _number(cell, delimiter, groups)
            if name and number is not None:
                found[name] = number
        if found:
            rows.append(found)
    return _columns_of(rows)


def _decoded(content: bytes, is_json: bool = False) -> str:
    """The text of a log: UTF-8, UTF-16 as spreadsheets export it, else what Windows writes in the west.

    Args:
        is_json: whether a last line without an end may be whole, as it tells itself.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    if content[1:4:2] == b"\0\0" or content[:3:2] == b"\0\0":  # no letter of a header is beyond Latin
        return content.decode("utf-16-le" if content[:1] != b"\0" else "utf-16-be", errors="replace")
    if is_json:
        return content.decode("utf-8-sig", errors="replace")
    content = content[: content.rfind(b"\n") + 1] or content  # an incomplete last line is still being written
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("utf-8-sig" if b"\0" in content else "cp1252", errors="replace")


def _table_lines(text: str) -> list[str]:
    """The rows of a table without comments before it; the last of these is the header where there is no other.

    A row has several lines where a quoted cell has.
    """
    lines = csv_records.lines_of(text)
    if lines and SEPARATOR_LINE.fullmatch(lines[0].strip()):
        lines = lines[1:]
    if not lines:
        return []
    num_comments = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    rows = lines[num_comments:] or lines
    delimiter = _delimiter(csv_records.joined(rows[:LOOKED_AT], DELIMITERS))
    rows = csv_records.joined(rows, delimiter) if delimiter in DELIMITERS else rows
    if not 0 < num_comments < len(lines):
        return rows
    first = next(iter(_cells(rows[:1], delimiter)), [])
    has_header = not any(_number(cell, delimiter) is not None for cell in first)
    return rows if has_header else [lines[num_comments - 1], *rows]


def _group_sign(lines: Sequence[str], delimiter: str) -> str:
    """The sign between groups of three digits, if the first lines tell surely that decimals have the other; else ""."""
    cells = [cell for row in _cells(lines[:LOOKED_AT], delimiter) for cell in row]
    has_comma = any(SURE_COMMA.fullmatch(cell) for cell in cells)
    has_point = any(SURE_POINT.fullmatch(cell) for cell in cells)
    if has_comma == has_point:
        return ""
    return "." if has_comma else ","


def _delimiter(lines: Sequence[str]) -> str:
    """The separator that the first lines agree on; a space where there is none."""
    first = [csv_records.unquoted(line) for line in lines[:20]]
    counts = {mark: min(line.count(mark) for line in first) for mark in DELIMITERS}
    if counts[";"] and counts[","]:  # commas are within numbers
        return ";"
    best = max(counts, key=lambda mark: counts[mark])
    if counts[best]:
        return best
    best = max(DELIMITERS, key=first[0].count)  # lines of different lengths
    return best if first[0].count(best) else " "


def _cells(lines: Sequence[str], delimiter: str) -> Iterable[list[str]]:
    for line in lines:
        line = line.lstrip("#").strip() if line.startswith("#") else line
        if delimiter == " ":
            yield line.split()[:MAX_COLUMNS]
            continue
        try:
            cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:
            continue
        yield [" ".join(cell.split("\n")).strip().strip('"') for cell in cells[:MAX_COLUMNS]]


def _is_header(cells: Sequence[str], header: Sequence[str], delimiter: str) -> bool:
    """Whether a later line names columns: texts alone, one of which was a name before, or is that of a place."""
    named = [cell for cell in cells if cell]
    if not named or named[0][0].isdigit() or any(_number(cell, delimiter) is not None for cell in named):
        return False
    return bool(set(named) & set(header)) or (len(named) > 1 and bool({cell.lower() for cell in named} & PLACE_NAMES))


def _number(cell: str, delimiter: str, groups: str = "") -> float | None:
    """The number in a cell, also before a unit; a share in per cent becomes a fraction. None where there is none.

    Args:
        groups: the sign between groups of three digits, where the file tells.
    """
    cell = cell.strip()
    if cell.endswith((")", "]")) and (wrapped := WRAPPED.fullmatch(cell)):
        cell = wrapped[1]
    if groups and GROUPED[groups].fullmatch(cell):
        cell = cell.replace(groups, "")
    if (delimiter != "," or groups == ".") and DECIMAL_COMMA.fullmatch(cell):
        cell = cell.replace(",", ".")
    match = NUMBER.match(cell)
    if match is None:
        return None
    rest = cell[match.end() :]
    if rest and not UNIT.fullmatch(rest):
        return None
    value = float(match[0])
    return value / 100 if rest.strip() == "%" else value


# --- others ---------------------------------------------------------------------------------------------------------


def _trainer_rows(path: Path) -> list[dict[str, float]]:
    """The history that `Trainer` of the library transformers keeps."""
    history = safe_read.json_dict(path).get("log_history")
    if not isinstance(history, list):
        raise Unreadable("it has no log_history")
    rows = []
    for entry in history:
        items = entry.items() if isinstance(entry, dict) else ()
        rows.append({str(name): number for name, value in items if (number := _finite(value)) is not None})
    return [row for row in rows if row]


def _finite(value: Any) -> float | None:
    number = safe_read.finite_number(value)
    return None if number is None else float(number)


def _event_rows(path: Path) -> list[dict[str, float]]:
    """The scalars of an event file, one row for each step."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util import tensor_util
    except ImportError:
        raise Unreadable("TensorBoard's event files need the package tensorboard: pip install tensorboard") from None
    rows: dict[int, dict[str, float]] = {}
    try:
        events = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                rows.setdefault(event.step, {})[tag] = float(event.value)
        for tag in events.Tags()["tensors"]:  # as TensorFlow 2 writes scalars
            for event in events.Tensors(tag):
                values = tensor_util.make_ndarray(event.tensor_proto)
                if values.size == 1 and values.dtype.kind in "fiu":
                    rows.setdefault(event.step, {})[tag] = float(values.reshape(-1)[0])
    except OSError:
        raise
    except Exception as error:  # a damaged file makes the reader raise anything
        raise Unreadable(f"it is damaged ({type(error).__name__})") from None
    return [{"step": float(step), **rows[step]} for step in sorted(rows)]
