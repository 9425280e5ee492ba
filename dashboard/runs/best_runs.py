"""The best run of each data set: the figures in one line, and opened a table that leads to the runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.components.table import table
from dashboard.shared import formats, run_labels, store, url_state
from simclr.results.index import Summary
from simclr.results.wording import capital
from simclr.run_table import arrange, columns
from simclr.run_table.arrange import Best

NUM_NAMED = 3  # data sets in the closed line; opened there are all
COLUMNS: list[dict[str, Any]] = [
    {"key": "name", "label": "Run and its data"},
    {"key": "accuracy", "label": "Best", "align": "right", "help": "Among all runs on these data so measured."},
    {"key": "measure", "label": "Measured by", "rank": 2},
    {"key": "kind", "label": "Kind", "rank": 2},
]
_kept: dict[Path, tuple[Sequence[Summary], list[Best]]] = {}
_lock = threading.Lock()


def section(everything: Sequence[Summary]) -> None:
    """Draws it; nothing while no data set has two runs that can be compared.

    Args:
        everything: all runs, newest first.
    """
    if not (found := _best(everything)):
        return
    with st.expander(escape.markdown(line(found)), icon=":material/star:", key="best-runs"):
        table(COLUMNS, rows(found), key="best-runs-table")


def _best(everything: Sequence[Summary]) -> list[Best]:
    """The best by each measure, kept while no run has changed: there may be ten thousand."""
    folder = store.runs_dir()
    with _lock:
        kept = _kept.get(folder)
    if kept is not None and len(kept[0]) == len(everything) and all(map(_is_same, kept[0], everything)):
        return kept[1]
    found = arrange.best_by_dataset(everything, store.late_values().value)
    with _lock:
        _kept.clear()
        _kept[folder] = everything, found
    return found


def _is_same(one: Summary, other: Summary) -> bool:
    return one is other


def line(found: Sequence[Best]) -> str:
    """`Best: cifar10 75.7 %, shapes 95.2 % and 6 more data sets`, each by its first measure."""
    first: dict[str, Best] = {}
    for each in found:
        first.setdefault(each.dataset, each)
    named = [f"{name} {formats.percent(each.accuracy)}" for name, each in list(first.items())[:NUM_NAMED]]
    more = len(first) - len(named)
    return f"Best: {', '.join(named)}" + (f" and {more} more data set{'s' if more > 1 else ''}" if more else "")


def rows(found: Sequence[Best]) -> list[dict[str, Any]]:
    """A row for each data set and measure; the figures of the closed line stand out."""
    shown = []
    for number, each in enumerate(found):
        is_first = not number or found[number - 1].dataset != each.dataset
        is_last = number + 1 == len(found) or found[number + 1].dataset != each.dataset
        shown.append(
            {
                "href": url_state.address("run", id=each.run.id),
                "tight": not is_last,
                "name": {"text": each.run.title, "title": each.run.id, "sub": each.dataset},
                "accuracy": {
                    "text": formats.percent(each.accuracy),
                    "sort": each.accuracy,
                    "sub": columns.SHORT_LABELS[each.measure],
                    "strong": is_first,
                },
                "measure": {"text": capital(columns.MEASURE_LABELS[each.measure])},
                "kind": {"text": run_labels.KIND_LABELS[each.run.kind]},
            }
        )
    return shown
