"""Any two values of a group's runs against each other: options and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dashboard.experiments.figures import LOG_RATIO
from dashboard.shared import formats, palette, run_labels, store, url_state
from dashboard.shared.figures import layout, log_ticks, rounded
from simclr.results import wording
from simclr.results.groups import Group
from simclr.results.index import Summary
from simclr.run_table import columns
from simclr.run_table.columns import Column
from simclr.run_table.late_values import LateValues

NUMBERS = ("share", "number", "seconds")
READ_SECONDS = 0.5  # then the rest of the options is read behind the page


def offered(group: Group) -> dict[str, Column]:
    """The numbers in which the group's runs differ, by name: figures, then options."""
    late = store.late_values()
    names = columns.names()
    late.read(group.members, names, READ_SECONDS)
    known = [column for name in names if (column := columns.find(name)) is not None and column.kind in NUMBERS]
    return {
        column.name: column
        for column in known
        if column.name != "age" and len({_value(column, item, late) for item in group.members} - {None}) > 1
    }


def _value(column: Column, item: Summary, late: LateValues) -> float | None:
    found = late.value(column, item)
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found)
    return float(found) if is_number else None


def label(column: Column) -> str:
    """What a value is called in a list, and at its axis."""
    return wording.capital(columns.MEASURE_LABELS.get(column.name, column.label))


def of_runs(group: Group, x: Column, y: Column) -> dict[str, Any]:
    """A point for each run that has both; it leads to the run, and has the colour of how it was trained."""
    late = store.late_values()
    late.read(group.members, (x.name, y.name))
    known = [(item, _value(x, item, late), _value(y, item, late)) for item in reversed(group.members)]
    points = [(item, across, up) for item, across, up in known if across is not None and up is not None]
    data = []
    for arm in dict.fromkeys(item.arm for item, *_ in points):
        own = [point for point in points if point[0].arm == arm]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": run_labels.KIND_LABELS["pretrain"] if arm is None else wording.ARM_NAMES[arm],
                "x": rounded([_shown(x, across) for _, across, _ in own]),
                "y": rounded([_shown(y, up) for *_, up in own]),
                "text": [item.title for item, *_ in own],
                "customdata": [url_state.address("run", id=item.id) for item, *_ in own],
                "marker": {"color": palette.ARM_COLORS[arm] if arm else palette.PALETTE[0], "size": 9, "opacity": 0.8},
                "hovertemplate": "%{text}<br>%{x}, %{y}<extra></extra>",
            }
        )
    figure: dict[str, Any] = {"data": data, "layout": layout(title(x), title(y), legend=len(data) > 1)}
    figure["layout"]["hovermode"] = "closest"
    for axis, column, values in (("xaxis", x, [point[1] for point in points]), ("yaxis", y, [p[2] for p in points])):
        figure["layout"][axis].pop("rangemode", None)
        figure["layout"][axis]["ticksuffix"] = " %" if column.kind == "share" else ""
        if values and min(values) > 0 and max(values) / min(values) >= LOG_RATIO:
            ticks = log_ticks([_shown(column, value) for value in values])
            figure["layout"][axis] |= {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    return figure


def _shown(column: Column, value: float) -> float:
    return 100 * value if column.kind == "share" else value


def title(column: Column) -> str:
    """What an axis of these values is called."""
    return label(column) + (", seconds" if column.kind == "seconds" else "")


def caption(group: Group, figure: dict[str, Any]) -> str:
    """How many runs there are to see."""
    num_points = sum(len(trace["x"]) for trace in figure["data"])
    left = len(group.members) - num_points
    text = f"{formats.thousands(num_points)} runs; a click opens one."
    return f"{text} {formats.thousands(left)} others have not both values." if left else text


def start_names(known: Sequence[str], axes: Sequence[str], measure: str) -> tuple[str, str]:
    """What is shown first: the option that the group varies, against its measure."""
    x = next((axis for axis in axes if axis in known), next((name for name in known if name != measure), ""))
    y = measure if measure in known else next((name for name in known if name != x), x)
    return x, y
