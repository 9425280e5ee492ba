"""What the table of runs sends to the browser: the runs that pass the filter, in few bytes."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dashboard.components.run_table import packing
from dashboard.shared import palette, run_labels, url_state
from simclr.results import wording
from simclr.results.index import Summary
from simclr.run_table import arrange, columns, run_filter
from simclr.run_table.columns import Column
from simclr.run_table.late_values import LateValues
from simclr.run_table.run_filter import Filter

MAX_ROWS = 10_000  # that a browser is sent; of more those that come first in the chosen order
MAX_TAGS = 100
ACTIVE, EXAMPLE = 1, 2  # flags of a row
COLORS = {run_labels.STATE_LABELS[state]: color for state, color in palette.STATE_COLORS.items()}
RANKS = {"accuracy": 0, "state": 1, "kind": 2, "dataset": 2, "epoch": 2, "started": 2}
NOTES = {"best_knn": "val kNN", "test_top1": "test"}  # of the column that holds both


def sub_of(item: Summary) -> str:
    """What stands beside a run's name."""
    sub = ""
    if item.arm and item.name == item.id:
        sub = run_labels.arm_text(item)
    if item.is_example:
        sub = f"Example · {sub}" if sub else "Example"
    return sub


def note_of(name: str, item: Summary) -> str:
    """What stands small beside a figure."""
    if name == "accuracy":
        return NOTES[columns.measure_of(name, item)] if item.accuracy is not None else ""
    return item.status.reason if name == "state" and item.state in ("failed", "queued") else ""


def shown(column: Column, value: Any) -> Any:
    """A value as a number, or as the text that is shown."""
    if value is None or value == "" or value == ():
        return None
    if column.name == "state":
        return run_labels.STATE_LABELS[value]
    if column.name == "kind":
        return run_labels.KIND_LABELS[value]
    if column.name == "arm":
        return run_labels.ARM_LABELS.get(value, value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if column.kind == "words":
        return ", ".join(value)
    if column.kind == "text" and isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, (int, float)) else str(value)[:200]


def cells_of(column: Column, items: Sequence[Summary], late: LateValues) -> dict[str, Any]:
    """One column of the rows."""
    values = [shown(column, late.value(column, item)) for item in items]
    if column.kind == "text":
        values = [None if value is None else str(value) for value in values]
        if not any(values):
            return {"values": [None] * len(values)}
    if column.name == "epoch":
        found = packing.packed([value or None for value in values])
        return found | {"notes": [item.status.epochs for item in items]}
    if column.name in ("accuracy", "state"):
        return packing.packed(values, [note_of(column.name, item) for item in items])
    return packing.packed(values)


def rows(items: Sequence[Summary], cells: dict[str, dict[str, Any]], places: Sequence[int]) -> str:
    """The rows as JSON text.

    Args:
        cells: by column. places: of each row's group.
    """
    found = {
        "ids": [item.id for item in items],
        "titles": [item.title for item in items],
        "subs": [sub_of(item) for item in items],
        "flags": [ACTIVE * item.is_active + EXAMPLE * item.is_example for item in items],
        "cells": cells,
        "groups": list(places),
    }
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def kind_of(column: Column, cells: dict[str, Any]) -> str:
    """How the browser writes a column's values."""
    special = {"state": "state", "epoch": "epochs", "loss": "loss"}
    if column.name in special:
        return special[column.name]
    if "words" in cells or column.kind in ("text", "words"):
        return "words"
    return column.kind


def heads(
    chosen: Sequence[Column],
    cells: dict[str, dict[str, Any]],
    everything: Sequence[Summary],
    baseline: Summary | None,
    late: LateValues,
) -> list[dict[str, Any]]:
    """The columns, the name first.

    Args:
        cells: by column. everything: the runs among which the best are found.
        baseline: with which the accuracies are compared.
    """
    found: list[dict[str, Any]] = [
        {"name": "name", "label": "Run", "kind": "name", "help": "", "rank": 1},
    ]
    values = {} if baseline is None else arrange.baseline_values(baseline, chosen, late.value)
    for column in chosen:
        head = {
            "name": column.name,
            "label": column.label,
            "kind": kind_of(column, cells[column.name]),
            "help": column.help,
            "rank": RANKS.get(column.name, 1 if column.is_accuracy else 3),
        }
        if column.is_accuracy:
            head["best"] = best_marks(column, everything, late)
        if column.name in values:
            own, measure = values[column.name]
            head["baseline"] = [own, note_place(column, cells[column.name], measure)]
        found.append(head)
    return found


def note_place(column: Column, cells: dict[str, Any], measure: str) -> int:
    """Where the browser finds a measure among the notes of a column; -1 where the column has one measure alone."""
    if column.name != "accuracy":
        return -1
    found = cells.get("noteWords", [])
    return found.index(NOTES[measure]) if NOTES[measure] in found else -2


def best_marks(column: Column, everything: Sequence[Summary], late: LateValues) -> dict[str, str]:
    """The best run of each data set by what a column shows, with the sentence that says so."""
    names = tuple(NOTES) if column.name == "accuracy" else (column.name,)
    return {
        best.run.id: f"The highest {columns.MEASURE_LABELS[best.measure]} of all runs on {best.dataset}"
        for best in arrange.best_by_dataset(everything, late.value, names)
    }


def group_heads(groups: Sequence[arrange.RowGroup], by: Column) -> list[dict[str, Any]]:
    """What stands at the head of each group."""
    found = []
    for group in groups:
        spreads = {}
        for name, measures in group.spreads.items():
            if not measures:
                continue
            texts = []
            for measure, spread in sorted(measures.items(), key=lambda pair: columns.ACCURACIES.index(pair[0])):
                note = f"{NOTES[measure]} " if name == "accuracy" else ""
                texts.append(f"{note}{wording.share_text(spread)} (n {spread.num})")
            spreads[name] = {"texts": texts, "mean": next(iter(measures.values())).mean}
        label = group.label if group.key != arrange.NONE else f"No {by.label.lower()}"
        if by.name == "kind":
            label = run_labels.KIND_LABELS.get(label, label)
        elif by.name == "state":
            label = run_labels.STATE_LABELS.get(label, label)
        elif by.is_option or by.kind == "number":
            label = f"{by.name} {group.label or 'not given'}"
        found.append({"key": group.key, "label": label, "count": len(group.members), "spreads": spreads})
    return found


def cut(items: list[Summary], sort: str, late: LateValues) -> list[Summary]:
    """At most `MAX_ROWS` runs: those that come first in the order of the table, which is kept as it was."""
    if len(items) <= MAX_ROWS:
        return items
    column = columns.find(sort.removeprefix("-"), late.more)
    ordered = list(items)
    if column is not None:
        keys = {item.id: late.value(column, item) for item in items}
        known = [item for item in items if keys[item.id] is not None]
        is_number = all(isinstance(keys[item.id], (int, float)) for item in known)
        known.sort(
            key=lambda item: keys[item.id] if is_number else str(keys[item.id]).lower(), reverse=sort.startswith("-")
        )
        ordered = [*known, *(item for item in items if keys[item.id] is None)]
    kept = {item.id for item in ordered[:MAX_ROWS]}
    return [item for item in items if item.id in kept]


def of_kinds(found: Sequence[Summary], kinds: Sequence[str], states: Sequence[str]) -> list[Summary]:
    """The runs of some kinds and states; none chosen lets everything pass."""
    return [
        item
        for item in found
        if (not kinds or item.kind in kinds) and (not states or ("active" if item.is_active else item.state) in states)
    ]


@dataclass(frozen=True)
class Asked:
    """What a table is to show.

    Attributes:
        filter: that runs have to pass. kinds, states: of which they have to be one; none: any.
        columns: names of those beside the run's name.
        group: name of what rows are grouped by; empty: of nothing.
        sort: name of a column, with a minus sign where the largest comes first; empty: newest first.
        baseline: id of the run that accuracies are compared with; empty: with none.
    """

    filter: Filter
    kinds: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    columns: tuple[str, ...] = columns.DEFAULT
    group: str = ""
    sort: str = ""
    baseline: str = ""


class _Answer(NamedTuple):
    everything: Sequence[Summary]
    version: int  # of what was read late
    num_passing: int
    data: dict[str, Any]


MAX_KEPT = 12  # answers, for as many views: most refreshes find nothing new
_kept: OrderedDict[tuple[Path, Asked], _Answer] = OrderedDict()
_lock = threading.Lock()


def data(asked: Asked, everything: Sequence[Summary], late: LateValues) -> tuple[int, dict[str, Any]]:
    """How many runs pass, and the table as its component draws it; without `answer`.

    Args:
        everything: all runs, newest first.
    """
    place = late.folder, asked
    with _lock:
        kept = _kept.get(place)
    if (
        kept is not None
        and kept.version == late.version
        and len(kept.everything) == len(everything)
        and all(one is other for one, other in zip(kept.everything, everything, strict=True))
    ):
        return kept.num_passing, kept.data
    answer = _Answer(everything, late.version, *_data(asked, everything, late))
    if "age" not in (*asked.columns, *asked.filter.names, asked.group, asked.sort.removeprefix("-")):
        with _lock:
            _kept[place] = answer
            _kept.move_to_end(place)
            if len(_kept) > MAX_KEPT:
                _kept.popitem(last=False)
    return answer.num_passing, answer.data


def _data(asked: Asked, everything: Sequence[Summary], late: LateValues) -> tuple[int, dict[str, Any]]:
    of_kind = of_kinds(everything, asked.kinds, asked.states)
    passing = run_filter.passing(asked.filter, of_kind, late.value, late.more)
    chosen = [column for name in asked.columns if (column := columns.find(name, late.more)) is not None]
    by = columns.find(asked.group, late.more) if asked.group else None
    baseline = next((item for item in everything if item.id == asked.baseline), None) if asked.baseline else None
    items = cut(passing, asked.sort, late)
    groups = None if by is None else arrange.grouped(items, by, chosen, late.value)
    places: list[int] = []
    if groups is not None:
        place_of = {item.id: number for number, group in enumerate(groups) for item in group.members}
        places = [place_of[item.id] for item in items]
    cells = {column.name: cells_of(column, items, late) for column in chosen}
    return len(passing), {
        "name": "runs",
        "mode": "runs",
        "columns": heads(chosen, cells, everything, baseline, late),
        "isUsual": asked.columns == columns.DEFAULT,
        "rows": rows(items, cells, places),
        "groups": None if groups is None or by is None else group_heads(groups, by),
        "total": len(everything),
        "sort": asked.sort,
        "tags": sorted({tag for item in everything for tag in item.tags})[:MAX_TAGS],
        "baseline": None if baseline is None else {"id": baseline.id, "title": baseline.title},
        "colors": COLORS,
        "pages": {name: url_state.address(name) for name in ("run", "curves", "embeddings")},
    }
