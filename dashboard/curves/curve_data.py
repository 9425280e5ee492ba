"""What the Curves page lays over each other, with names and colours, and its lines as the browser takes them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.shared import formats, palette, run_labels, store
from simclr import runs
from simclr.curves import curve_lines, log_tables
from simclr.curves.curve_lines import Line, View
from simclr.curves.curve_sources import LOG, NOTHING, Group, Source
from simclr.curves.metric_info import LINE_LABELS, METRICS, SECOND_LINES, spec_of
from simclr.curves.other_logs import Log
from simclr.results import index


def of_runs(summaries: Sequence[index.Summary]) -> list[Source]:
    """Sources of runs, in the given order."""
    colors = store.colors(item.id for item in summaries)
    found = []
    for item in summaries:
        run = store.find(item.id)
        if run is None:
            continue
        what = run_labels.arm_text(item) or run_labels.KIND_LABELS[item.kind]
        seed = "" if item.seed is None else f"seed {item.seed}"
        sub = " · ".join(part for part in (what, item.dataset, seed) if part)
        words = " ".join((item.name, item.id, sub, item.backbone, run_labels.STATE_LABELS[item.state], *item.tags))
        experiment = item.id if item.kind == "pretrain" else Path(item.experiment).name if item.experiment else None
        found.append(
            Source(
                item.id,
                item.title,
                sub,
                item.kind,
                run.metrics_path,
                run.path / runs.CONFIG,
                colors[item.id],
                item.is_active,
                experiment,
                words.lower(),
            )
        )
    return found


def of_logs(logs: Sequence[Log]) -> list[Source]:
    """Sources of foreign logs, in the given order."""
    return [
        Source(
            log.id,
            log.title,
            log_text(log),
            LOG,
            log.file,
            log.options_path,
            palette.PALETTE[(number + 5) % len(palette.PALETTE)],
            words=f"{log.id} {log_tables.kind_of(log.file)}".lower(),
        )
        for number, log in enumerate(logs)
    ]


def log_text(log: Log) -> str:
    """What kind of log it is, and which places of its rows are counted since it has none."""
    kind = log_tables.kind_of(log.file)
    if log_tables.lacks_reader(log.file):
        return f"{kind} · needs the package tensorboard"
    counted = log_tables.counted_by_header(log.file)
    return f"{kind} · rows counted as {' and '.join(f'{place}s' for place in counted)}" if counted else kind


# --- lines for the browser -----------------------------------------------------------------------------------------


def lines(groups: Sequence[Group], metrics: Sequence[str], view: View, around: str = "std") -> list[dict[str, Any]]:
    """All lines of these groups, ready to be sent.

    Each has `chart` (the metric), `run` (the group's id), `part` (what of it, such as training), and packed `x` and
    `y`; with smoothing also `raw_x` and `raw_y`, over several runs `low` and `high`. `around` is the kind of band.
    """
    return [
        {"chart": line.metric, "run": group.id, **_sent(line)}
        for group, line in curve_lines.lines(groups, metrics, view, around)
    ]


@lru_cache(maxsize=curve_lines.MAX_LINES)
def _sent(line: Line) -> dict[str, Any]:
    spec = spec_of(line.metric)
    sent: dict[str, Any] = {
        "column": line.column,
        "part": LINE_LABELS.get(line.column, "") if len(spec.suffixes) > 1 else "",
        "faint": line.column.startswith("train/") or line.column in SECOND_LINES,
        "second": line.column in SECOND_LINES,
    }
    if line.num_runs is not None:
        sent["num_runs"] = line.num_runs
    for name in ("x", "y", "raw_x", "raw_y", "low", "high"):
        if (values := getattr(line, name)) is not None:
            sent[name] = packed(100 * values if spec.percent and not name.endswith("x") else values)
    return sent


def packed(values: NDArray[np.float64]) -> str:
    """Numbers as text for the browser: base64 of little-endian float32."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def value_text(value: float | None, metric: str) -> str:
    """A value as the page shows it: per cent, or with the digits that its metric deserves."""
    if value is None:
        return NOTHING
    if metric not in METRICS:
        return f"{value:.4g}"
    spec = METRICS[metric]
    if spec.digits > 4:  # a learning rate
        return f"{value:.3g}"
    return formats.percent(value) if spec.percent else f"{value:.{spec.digits}f}"


def group_title(group: Group, titles: list[str]) -> str:
    """A title that tells a group from the others shown, with how many runs it is the mean of."""
    if len(group.members) > 1:
        return f"{group.title}, n = {len(group.members)}"
    if titles.count(group.title) > 1:
        return f"{group.title} · {group.id.rpartition('-')[2]}" if "-" in group.id else group.id
    return group.title
