"""Figures of a group: its settings on one axis or two, as plain values. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.shared import palette, url_state
from dashboard.shared.figures import layout, log_ticks, rounded, spread_line
from simclr.results import group_wording, groups, wording
from simclr.results.groups import Cell, Group
from simclr.sweeps.settings import AND

LOG_RATIO = 8.0  # values of an axis that lie so far apart are drawn on a logarithmic one


def address_of(cell: Cell) -> str:
    """Where a cell leads: to its run, or to the curves of its seeds."""
    ids = [item.id for item in cell.runs]
    return url_state.address("run", id=ids[0]) if len(ids) == 1 else url_state.address("curves", runs=",".join(ids))


def is_numeric(labels: Sequence[str]) -> bool:
    try:
        return all(float(label) == float(label) for label in labels)
    except ValueError:
        return False


def is_paired(labels: Sequence[str]) -> bool:
    """Whether an axis holds names alone and each two of them."""
    return any(AND in label for label in labels)


def by_axis(group: Group, axis: str, found: Sequence[Cell], name: str, color: str) -> dict[str, Any]:
    """Means with their deviation along an axis of numbers, and each seed as a small point.

    Args:
        name: of the line.
    """
    numbers = [float(label) for label in group.axes[axis]]
    known = [(float(cell.setting[axis]), cell) for cell in found if cell.spread is not None and axis in cell.setting]
    means = [(x, cell.spread) for x, cell in known if cell.spread is not None]
    data = [spread_line(means, name, color, [address_of(cell) for _, cell in known])]
    seeds = [(x, value) for x, cell in known for value in cell.values.values()]
    if len(seeds) > len(known):
        points = {
            "type": "scatter",
            "mode": "markers",
            "x": rounded([x for x, _ in seeds]),
            "y": rounded([100 * value for _, value in seeds]),
            "marker": {"color": color, "size": 5},
            "opacity": 0.4,
            "hoverinfo": "skip",
            "showlegend": False,
            "name": name,
        }
        data.insert(0, points)
    figure: dict[str, Any] = {"data": data, "layout": layout(axis, "Accuracy", percent=True, legend=False)}
    figure["layout"]["xaxis"].pop("rangemode")
    if min(numbers) > 0 and max(numbers) / min(numbers) >= LOG_RATIO:
        shown = numbers if len(numbers) <= 7 else log_ticks(numbers)
        figure["layout"]["xaxis"] |= {"type": "log", "tickvals": shown, "ticktext": [f"{value:g}" for value in shown]}
    elif len(numbers) <= 7:
        figure["layout"]["xaxis"] |= {"tickvals": numbers, "ticktext": list(group.axes[axis])}
    return figure


def grid_of(group: Group, found: Sequence[Cell]) -> dict[str, Any] | None:
    """The cells of a group on two axes, for `setting_grid`; None of a group that has not two."""
    axes = [axis for axis, labels in group.axes.items() if len(labels) > 1]
    if len(axes) == 1 and is_paired(group.axes[axes[0]]):
        (axis,) = axes
        names = list(dict.fromkeys(name for label in group.axes[axis] for name in label.split(AND)))
        by_pair = {tuple(sorted(cell.setting[axis].split(AND))): cell for cell in found if axis in cell.setting}

        def at(row: int, column: int) -> Cell | None:
            pair = {names[row], names[column]}
            return by_pair.get(tuple(sorted(pair))) if column >= row else None

        rows = columns = names
    elif len(axes) == 2:
        first, second = axes
        rows, columns = list(group.axes[first]), list(group.axes[second])
        by_place = {(cell.setting.get(first), cell.setting.get(second)): cell for cell in found}

        def at(row: int, column: int) -> Cell | None:
            return by_place.get((rows[row], columns[column]))
    else:
        return None
    means = [cell.spread.mean for cell in found if cell.spread is not None]
    low, high = min(means, default=0.0), max(means, default=1.0)
    best = groups.best(found)

    def shown(cell: Cell | None) -> dict[str, Any] | None:
        if cell is None:
            return None
        head = {"href": address_of(cell), "title": group_wording.cell_name(cell)}
        if cell.spread is None:
            return head | {"text": wording.NOTHING, "sub": cell.runs[0].state, "value": 0}
        sub = "" if cell.spread.deviation is None else f"± {100 * cell.spread.deviation:.1f}"
        value = (cell.spread.mean - low) / (high - low) if high > low else 0.5
        text = {"text": f"{100 * cell.spread.mean:.1f}", "sub": sub, "value": round(0.12 + 0.88 * value, 3)}
        return head | text | {"best": cell is best}

    return {
        "rows": [label if len(axes) == 1 else f"{axes[0]} {label}" for label in rows],
        "columns": [label if len(axes) == 1 else f"{axes[1]} {label}" for label in columns],
        "cells": [[shown(at(row, column)) for column in range(len(columns))] for row in range(len(rows))],
    }


def bars(found: Sequence[Cell], color: str) -> dict[str, Any]:
    """Settings that have no order, side by side, with their deviation."""
    known = [(cell, cell.spread) for cell in reversed(found) if cell.spread is not None]
    of_one_arm = len({cell.arm for cell in found}) == 1
    figure: dict[str, Any] = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": rounded([100 * each.mean for _, each in known]),
                "y": [short(cell, with_arm=not of_one_arm or not cell.setting) for cell, _ in known],
                "marker": {"color": color},
                "error_x": {
                    "array": rounded([100 * (each.deviation or 0) for _, each in known]),
                    "thickness": 1.4,
                    "width": 4,
                    "color": palette.GREY,
                },
                "hoverinfo": "skip",
            }
        ],
        "layout": layout("Accuracy", legend=False),
    }
    figure["layout"] |= {"hovermode": "closest", "bargap": 0.45}
    figure["layout"]["margin"]["l"] = 150
    figure["layout"]["xaxis"] |= {"range": [0, 100], "ticksuffix": " %"}
    figure["layout"]["yaxis"] |= {"type": "category", "showgrid": False}
    return figure


def short(cell: Cell, with_arm: bool = True) -> str:
    """A cell's values alone: `0.2, 10`."""
    parts = list(cell.setting.values())
    if cell.arm is not None and with_arm:
        parts.append(wording.ARM_NAMES[cell.arm])
    return ", ".join(parts) or "all seeds"


LABEL_AXES: dict[groups.LabelKind, str] = {
    "share": "Share of the training labels",
    "per class": "Labels of each class",
    "number": "Labels used",
}


def by_labels(found: Sequence[Cell]) -> dict[str, Any]:
    """Accuracy against the number of labels, a line for each arm with the deviation over seeds."""
    data: list[dict[str, Any]] = []
    kind = groups.label_kind(found)
    amounts = sorted({amount for cell in found if (amount := groups.label_amount(cell, kind))})
    for arm in dict.fromkeys(cell.arm for cell in found if cell.arm is not None):
        points = [
            (amount, cell.spread, address_of(cell))
            for cell in found
            if cell.arm == arm and cell.spread is not None and (amount := groups.label_amount(cell, kind))
        ]
        if points:
            points.sort(key=lambda point: point[0])
            line = [(amount, spread) for amount, spread, _ in points]
            hrefs = [href for *_, href in points]
            data.append(spread_line(line, wording.ARM_NAMES[arm], palette.ARM_COLORS[arm], hrefs))
    figure: dict[str, Any] = {"data": data, "layout": layout(LABEL_AXES[kind], "Accuracy", percent=True)}
    figure["layout"]["xaxis"].pop("rangemode")
    figure["layout"]["xaxis"] |= {
        "type": "log" if len(amounts) > 1 else "linear",
        "tickvals": amounts,
        "ticktext": [f"{100 * amount:g} %" if kind == "share" else f"{amount:,g}" for amount in amounts],
    }
    figure["layout"]["yaxis"]["rangemode"] = "tozero"
    return figure
