"""The rows of a table of runs: which runs, in which groups, what a group says together, and which run is the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simclr.results.index import Summary
from simclr.results.statistics import Spread, spread
from simclr.run_table import columns
from simclr.run_table.columns import Column
from simclr.run_table.run_filter import Value

NONE = "none"  # of a group whose runs have no value


@dataclass(frozen=True)
class RowGroup:
    """Runs that have the same value of what the table is grouped by.

    Attributes:
        key: tells it from the others.
        label: that value, as text.
        members: of the runs that pass the filter, newest first.
        spreads: for each accuracy column mean and deviation by measure, as one column may hold several.
    """

    key: str
    label: str
    members: tuple[Summary, ...]
    spreads: Mapping[str, Mapping[str, Spread]]


def grouped(items: Sequence[Summary], by: Column, shown: Sequence[Column], value: Value) -> list[RowGroup]:
    """The groups of some runs, that with the newest run first; runs without a value come last.

    Args:
        by: whose values make the groups.
        shown: the columns, of which the accuracies get mean and deviation.
    """
    found: dict[str, list[Summary]] = {}
    labels: dict[str, str] = {}
    for item in items:
        key, label = _place(by, item, value)
        found.setdefault(key, []).append(item)
        labels[key] = label
    ordered = sorted(found, key=lambda key: key == NONE)  # stable
    return [
        RowGroup(
            key,
            labels[key],
            tuple(found[key]),
            {column.name: spreads(found[key], column, value) for column in shown if column.is_accuracy},
        )
        for key in ordered
    ]


def _place(by: Column, item: Summary, value: Value) -> tuple[str, str]:
    if by.name == "group" and item.group is not None:
        return f"= {item.group.id}", item.group.title
    own = value(by, item)
    if own is None or own in ("", ()):
        return NONE, ""
    if by.kind == "words":
        own = ", ".join(own)
    text = f"{own:g}" if isinstance(own, float) else str(own)
    return f"= {text}", text


def spreads(items: Iterable[Summary], column: Column, value: Value) -> dict[str, Spread]:
    """Mean and deviation of an accuracy, of each measure apart."""
    found: dict[str, list[float]] = {}
    for item in items:
        own = value(column, item)
        if own is not None:
            found.setdefault(columns.measure_of(column.name, item), []).append(own)
    return {measure: whole for measure, values in found.items() if (whole := spread(values)) is not None}


@dataclass(frozen=True)
class Best:
    """The best run of a data set by one measure, among at least two."""

    dataset: str
    measure: str
    run: Summary
    accuracy: float


# Best so far on validation images, and the figures on test images: a measure is compared with itself alone.
BEST_BY = ("test_top1", "test_linear", "test_knn", "best_knn")


def best_by_dataset(items: Iterable[Summary], value: Value, names: Sequence[str] = BEST_BY) -> list[Best]:
    """Of each data set and measure the run with the highest accuracy, data sets in alphabetical order.

    Of a measure that a single run has been measured by, none is best. Of equal ones the older is.

    Args:
        items: newest first.
        names: the measures, of which `accuracy` is none.
    """
    tops: dict[tuple[str, str], tuple[float, Summary]] = {}
    counts: dict[tuple[str, str], int] = {}
    found = [columns.FIGURES[name] for name in names]
    for item in items:
        if not item.dataset:
            continue
        for column in found:
            own = value(column, item)
            if own is None:
                continue
            place = item.dataset, column.name
            counts[place] = counts.get(place, 0) + 1
            if place not in tops or own >= tops[place][0]:
                tops[place] = own, item
    return [
        Best(dataset, measure, item, accuracy)
        for (dataset, measure), (accuracy, item) in sorted(
            tops.items(), key=lambda pair: (pair[0][0], names.index(pair[0][1]))
        )
        if counts[dataset, measure] > 1
    ]


def baseline_values(item: Summary, shown: Iterable[Column], value: Value) -> dict[str, tuple[float, str]]:
    """What the accuracies of other runs are compared with: for each column the baseline's own, and its measure."""
    found: dict[str, tuple[float, str]] = {}
    for column in shown:
        own: Any = value(column, item) if column.is_accuracy else None
        if own is not None:
            found[column.name] = own, columns.measure_of(column.name, item)
    return found
