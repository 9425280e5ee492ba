"""Below the curves: last and best values, and how the options differ."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components.table import table
from dashboard.curves import curve_data
from dashboard.curves.curve_data import group_title
from dashboard.shared import url_state
from simclr.curves import curve_lines, metric_info
from simclr.curves.curve_sources import Group, Source, alone
from simclr.results import comparisons
from simclr.results.statistics import mean_and_std

MAX_COLUMNS = 6  # runs side by side in the table of options; of more, values are counted


# --- below the charts ----------------------------------------------------------------------------------------------


@st.fragment(run_every=5)
def summary_table(groups: tuple[Group, ...], metrics: tuple[str, ...]) -> None:
    """Last and best values of each run, of a group of seeds their mean and standard deviation."""
    columns: list[dict[str, Any]] = [{"key": "run", "label": "Run"}]
    for number, metric in enumerate(metrics):
        spec = metric_info.spec_of(metric)
        rank = 1 if number == 0 else 2 if number < 3 else 3
        text = "The last value on validation images; of a run that has none, on training images."
        columns.append(
            {
                "key": f"{metric} last",
                "label": f"{spec.label}, last",
                "align": "right",
                "rank": max(2, rank),
                "help": text,
            }
        )
        if spec.better:
            text = f"The {'lowest' if spec.better == 'low' else 'highest'} on validation images, with its epoch."
            columns.append({"key": f"{metric} best", "label": "best", "align": "right", "rank": rank, "help": text})
    titles = [group.title for group in groups]
    rows = []
    for group in groups:
        row: dict[str, Any] = {"run": {"text": group_title(group, titles), "color": group.color, "title": group.id}}
        if len(group.members) == 1 and group.members[0].kind != "log":
            row["href"] = url_state.address("run", id=group.id)
        for metric in metrics:
            found = [curve_lines.values(source, metric) for source in group.members]
            row[f"{metric} last"] = value_cell([item.last for item in found], metric)
            row[f"{metric} best"] = value_cell([item.best for item in found], metric, strong=True)
            if found[0].last_is_training:
                row[f"{metric} last"]["sub"] = "training"
            if len(found) == 1 and found[0].best_epoch is not None:
                row[f"{metric} best"]["sub"] = f"epoch {found[0].best_epoch:.4g}"
        rows.append(row)
    table(columns, rows, key="curves-reached")


def value_cell(values: list[float | None], metric: str, strong: bool = False) -> dict[str, Any]:
    """A value, or mean ± sample standard deviation of several with how many there are."""
    known = [value for value in values if value is not None]
    if len(values) == 1 or len(known) < 2:
        value = known[0] if known else None
        return {"text": curve_data.value_text(value, metric), "sort": value, "strong": strong and value is not None}
    mean, deviation = mean_and_std(known)
    spread = curve_data.value_text(deviation, metric)
    text = f"{curve_data.value_text(mean, metric).removesuffix(' %')} ± {spread}"
    return {"text": text, "sort": mean, "sub": f"n = {len(known)}", "strong": strong}


def options_table(sources: list[Source]) -> None:
    """How the options of the chosen runs differ."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.header("Options that differ", anchor=False, width="content")
        everything = st.toggle("Show all options", key="curves-all-options")
    if len(sources) == 1 and not everything:
        st.caption("One run is chosen; with another, what differs stands here.")
        return
    rows, num_hidden = comparisons.differences(sources, everything)
    hidden = f"{num_hidden} option{'s' if num_hidden > 1 else ''} that only some of these runs have: not shown."
    if not rows:
        told = any(source.options for source in sources)
        st.caption("What these runs share of options is the same." if told else "None of these has told its options.")
        if num_hidden:
            st.caption(hidden)
        return
    columns: list[dict[str, Any]] = [{"key": "option", "label": "Option"}]
    if len(sources) <= MAX_COLUMNS:
        titles = [source.title for source in sources]
        columns += [
            {"key": f"run {number}", "label": group_title(group, titles)} for number, group in enumerate(alone(sources))
        ]
        cells = [{f"run {number}": {"text": text} for number, text in enumerate(texts)} for _, texts in rows]
    else:
        columns.append(
            {"key": "values", "label": "Values, and how many runs have them", "wrap": True, "sortable": False}
        )
        cells = [{"values": {"text": count_values(texts)}} for _, texts in rows]
    table(
        columns,
        [{"option": {"text": name}, **cell} for (name, _), cell in zip(rows, cells, strict=True)],
        key="curves-options",
    )
    if num_hidden:
        st.caption(hidden)


def count_values(texts: list[str]) -> str:
    """`0.5 (12), 0.07 (8)`: the values with how often each is there, the most frequent first."""
    times = {text: texts.count(text) for text in dict.fromkeys(texts)}
    ordered = sorted(times.items(), key=lambda pair: -pair[1])
    shown = ", ".join(f"{text} ({count})" for text, count in ordered[:8])
    return shown + (f" and {len(ordered) - 8} more" if len(ordered) > 8 else "")
