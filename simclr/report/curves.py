"""Curves of a report's runs, as plotly takes them: validation of all lines, training too where there are few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simclr.curves import curve_lines
from simclr.curves.curve_lines import View
from simclr.curves.curve_sources import Group
from simclr.curves.metric_info import LINE_LABELS, METRICS, Metric, chance_level
from simclr.report.subjects import Line

POINTS = 240  # of a line
MOST_WITH_TRAINING = 4  # lines beside which training is drawn, too
KINDS = {  # which metrics, in which order, and what the part says of itself
    "pretrain": (
        "Pre-training",
        "The network learns without labels: it has to find the other view of each image in its batch. The kNN "
        "accuracy on validation images shows after each epoch how well its features tell the classes apart.",
        ("knn_top1", "loss", "top1", "effective_rank", "alignment", "uniformity"),
    ),
    "supervised": (
        "Training with labels",
        "A classifier learns from the labelled images, on top of the pre-trained encoder or from scratch.",
        ("top1", "loss"),
    ),
}
TEXTS = {  # what a metric is called and means for the one kind of run; others as on all pages
    ("pretrain", "knn_top1"): ("kNN accuracy on validation images", METRICS["knn_top1"].help),
    ("pretrain", "loss"): (
        "NT-Xent loss",
        "In nats; lower is better. It compares only at the same batch size and temperature.",
    ),
    ("pretrain", "top1"): (
        "Contrastive top-1 accuracy",
        "How often the other view of the same image is the most similar of all views in the batch.",
    ),
    ("pretrain", "effective_rank"): (
        "Effective rank of the features",
        "How many directions the encoder's features really use; near 1 means collapse (Roy and Vetterli 2007).",
    ),
    ("supervised", "top1"): ("Accuracy on validation images", "How often the most likely class is right."),
    ("supervised", "loss"): ("Cross-entropy loss", "In nats; lower is better."),
}


def parts_of(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The curves of each kind of run that has any: title, sentence, legend and figures."""
    found = []
    for kind, (title, sentence, metrics) in KINDS.items():
        own = [line for line in lines if line.kind == kind]
        groups = {line.label: _group(line) for line in own}
        figures = [figure for name in metrics if (figure := _figure(own, groups, name)) is not None]
        drawn = {label for figure in figures for label in figure.pop("drawn")}
        if not figures:
            continue
        several = any(len(line.members) > 1 for line in own)
        text = f"{sentence} "
        if len(own) <= MOST_WITH_TRAINING:
            text += "Thick lines: validation images; thin lines: training. "
        else:
            text += "All lines: validation images. "
        if several:
            text += "Lines of several seeds are their mean; the band is one standard deviation on validation images. "
        legend = [
            {"label": _legend_label(line), "color": line.color, "dash": line.dash}
            for line in own
            if line.label in drawn and len(own) > 1
        ]
        found.append({"kind": kind, "title": title, "sentence": text.strip(), "legend": legend, "figures": figures})
    return found


def _legend_label(line: Line) -> str:
    return f"{line.label} (n {len(line.members)})" if len(line.members) > 1 else line.label


def _group(line: Line) -> Group:
    members = tuple(member.source(line.color) for member in line.members)
    return Group(line.label, line.label, line.color, members)


def _figure(lines: Sequence[Line], groups: dict[str, Group], name: str) -> dict[str, Any] | None:
    """One metric of all lines; None where none has it."""
    spec = METRICS[name]
    splits = ("train", "val") if len(lines) <= MOST_WITH_TRAINING else ("val",)
    view = View(splits=splits, limit=POINTS)
    data: list[dict[str, Any]] = []
    drawn = set()
    for line in lines:
        for _, found in curve_lines.lines([groups[line.label]], [name], view):
            if found.column == "val/effective_rank_z":
                continue
            drawn.add(line.label)
            data += _traces(line, found, spec)
    if not data:
        return None
    axis: dict[str, Any] = {"title": {"text": ""}, "nticks": 6, "ticksuffix": " %" if spec.percent else ""}
    if spec.log:
        axis |= {"type": "log", "tickformat": "~g"}
    layout: dict[str, Any] = {"xaxis": {"title": {"text": "Epoch"}, "rangemode": "tozero"}, "yaxis": axis}
    if (chance := _chance(lines, name)) is not None:
        layout["shapes"] = [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": chance, "y1": chance, "line": {"dash": "dash"}}
        ]
    title, about = TEXTS.get((lines[0].kind, name), (spec.label, spec.help))
    if chance is not None:
        what = "equal similarities" if name == "loss" else "guessing"
        about += f" Dashed: {what}, {chance:.3g}{' %' if spec.percent else ''}."
    return {"title": title, "about": about, "figure": {"data": data, "layout": layout}, "drawn": drawn}


def _traces(line: Line, found: curve_lines.Line, spec: Metric) -> list[dict[str, Any]]:
    scale = 100 if spec.percent else 1
    x, y = _rounded(found.x), _rounded(scale * found.y)
    training = found.column.startswith("train/")
    part = LINE_LABELS.get(found.column, "") if len(spec.suffixes) > 1 else ""
    name = plain(", ".join(word for word in (line.label, part.lower()) if word))
    shown = "%{y:.1f} %" if spec.percent else f"%{{y:.{spec.digits}f}}"
    traces: list[dict[str, Any]] = []
    if found.low is not None and found.high is not None and not training:  # two bands in one colour hide each other
        band = _rounded(scale * found.low), _rounded(scale * found.high)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [*x, *reversed(x)],
                "y": [*band[1], *reversed(band[0])],
                "fill": "toself",
                "fillcolor": line.color,
                "line": {"width": 0},
                "opacity": 0.16,
                "hoverinfo": "skip",
            }
        )
    traces.append(
        {
            "type": "scatter",
            "mode": "lines+markers" if len(x) == 1 else "lines",
            "x": x,
            "y": y,
            "name": name,
            "line": {"color": line.color, "width": 1.1 if training else 2, "dash": line.dash},
            "marker": {"color": line.color, "size": 5},
            "opacity": 0.5 if training else 1,
            "hovertemplate": f"{shown}<extra>{name}</extra>",
        }
    )
    return traces


def _chance(lines: Sequence[Line], name: str) -> float | None:
    """Where a network that knows nothing stands, if that is the same for all of them."""
    levels = {chance_level(name, member.run.config) for line in lines for member in line.members}
    return levels.pop() if len(levels) == 1 else None


def _rounded(values: Any) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def plain(text: str) -> str:
    """Text that plotly reads neither as HTML nor as a template."""
    return text.translate({ord(sign): f"&#{ord(sign)};" for sign in "&<>{%"})


def missing(lines: Sequence[Line]) -> str:
    """Why there are no curves, in a sentence."""
    states = {member.summary.state for line in lines for member in line.members}
    if states == {"queued"}:
        return "No curves: no run has started yet."
    if "failed" in states:
        return "No curves: what has failed did so before its first figures."
    return "No curves: no run has written figures yet."
