"""Figures of the Results page, as plain values. Imports no streamlit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.shared.figures import X_LABELS, layout, line_trace, rounded, spread_line
from simclr.curves import smoothing
from simclr.curves.metric_info import LINE_LABELS, METRICS
from simclr.curves.smoothing import Columns
from simclr.results import wording
from simclr.results.convergence import Convergence
from simclr.results.statistics import Spread

BAND_ALPHA = 0.14
MARKED = "top1"  # the metric in which levels are reached


@dataclass(frozen=True)
class Arm:
    """One way of training: the columns of each seed, and how soon they reached the level."""

    name: str
    color: str
    seeds: tuple[Columns, ...]
    reached: Convergence | None = None


def overlay(arms: Sequence[Arm], metric: str) -> dict[str, Any]:
    """One metric of several arms by step: training thin, validation thick; over several seeds mean and deviation.

    An arm has one entry in the legend, which hides and shows all its lines. Accuracies carry a thin line at 90 % of
    where from scratch ends, and a ring where each arm comes to it.
    """
    spec = METRICS[metric]
    data: list[dict[str, Any]] = []
    for number, arm in enumerate(arms):
        look: dict[str, Any] = {"percent": spec.percent, "digits": spec.digits, "legendgroup": f"arm-{number}"}
        lines: list[dict[str, Any]] = []
        for suffix in spec.suffixes:
            measured = [each for columns in arm.seeds if (each := smoothing.points(columns, suffix, "step"))[0]]
            if not measured:
                continue
            training, (xs, ys) = suffix.startswith("train/"), measured[0]
            if len(measured) > 1:
                found = smoothing.band([(np.array(x), np.array(y)) for x, y in measured])
                xs, ys = found.x.tolist(), found.mean.tolist()
                if not training:
                    lines.append(_band(found, arm.color, 100 if spec.percent else 1, look["legendgroup"]))
            label = f"{arm.name} · {LINE_LABELS[suffix].lower()}"
            more: dict[str, Any] = {"width": 2.2}
            if training:
                more = {"width": 1.2, "opacity": 0.45}
            lines.append(line_trace(xs, ys, label, arm.color, **more, **look, showlegend=False))
        if lines:
            # The entry itself is an empty solid line, so that it looks alike whichever lines the arm has.
            entry = line_trace([], [], arm.name, arm.color, **look, showlegend=True) | {"x": [None], "y": [None]}
            data += [*lines, entry]
    figure = {"data": data, "layout": layout(X_LABELS["step"], spec.label, percent=spec.percent, legend=bool(data))}
    if metric == MARKED and data:
        _mark(figure, arms)
    return figure


def _band(found: smoothing.Band, color: str, factor: float, group: str) -> dict[str, Any]:
    """One sample standard deviation to both sides of a mean."""
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    kept = smoothing.thinned(found.mean)
    x, low, high = found.x[kept], factor * found.low[kept], factor * found.high[kept]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": rounded([*x, *x[::-1]]),
        "y": rounded([*low, *high[::-1]]),
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},{BAND_ALPHA})",
        "line": {"width": 0, "color": color},
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": group,
    }


def _mark(figure: dict[str, Any], arms: Sequence[Arm]) -> None:
    """Adds the level, and a ring where each arm first is not below it; over several seeds at their mean."""
    level = next((arm.reached.level for arm in arms if arm.reached is not None and arm.reached.level), None)
    if level is None:
        return
    height = 100 * level.mean
    furthest = max(x for trace in figure["data"] for x in trace["x"] if x is not None)
    text = f"{wording.LEVEL} of where from scratch ends"
    figure["data"].append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, furthest],
            "y": [height, height],
            "name": text,
            "hoverinfo": "skip",
            "showlegend": False,
            "line": {"color": "muted", "width": 1},
        }
    )
    figure["layout"]["annotations"] = [
        {
            "text": f"{text}: {wording.share_text(level)}",
            "showarrow": False,
            "xref": "paper",
            "x": 1,
            "xanchor": "right",
            "y": height,
            "yanchor": "top",
        }
    ]
    for number, arm in enumerate(arms):
        reached = arm.reached
        if reached is None or reached.steps is None or reached.accuracy is None:
            continue
        several = reached.steps.deviation is not None
        figure["data"].append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [reached.steps.mean],
                "y": rounded([100 * reached.accuracy.mean]),
                "name": arm.name,
                "legendgroup": f"arm-{number}",
                "showlegend": False,
                "marker": {"symbol": "circle-open", "size": 11, "color": arm.color, "line": {"width": 2.4}},
                "error_x": {"array": [reached.steps.deviation or 0], "color": arm.color, "thickness": 1.4, "width": 4}
                | {"visible": several},
                "hovertemplate": f"{wording.LEVEL} of from scratch at step {wording.steps_text(reached)}"
                "<extra>%{fullData.name}</extra>",
            }
        )


def label_efficiency(arms: Sequence[tuple[str, str, Sequence[tuple[float, Spread]]]]) -> dict[str, Any]:
    """Test accuracy against the share of labels used, one line per arm (label, colour, (fraction, accuracy) pairs).

    Over several seeds it is their mean, with their standard deviation to both sides. With a single share there is no
    line to draw: the arms stand side by side as bars.
    """
    data = []
    fractions = sorted({fraction for _, _, pairs in arms for fraction, _ in pairs})
    if len(fractions) == 1:
        return _bars([(label, color, pairs[0][1]) for label, color, pairs in arms if pairs])
    for label, color, pairs in arms:
        if pairs:
            data.append(spread_line(sorted(pairs, key=lambda pair: pair[0]), label, color))
    figure: dict[str, Any] = {
        "data": data,
        "layout": layout("Share of the training labels", "Test accuracy", percent=True),
    }
    figure["layout"]["xaxis"] |= {
        "type": "log",
        "tickvals": fractions,
        "ticktext": [f"{100 * fraction:g} %" for fraction in fractions],
    }
    figure["layout"]["xaxis"].pop("rangemode")
    figure["layout"]["yaxis"]["rangemode"] = "tozero"
    return figure


def _bars(arms: Sequence[tuple[str, str, Spread]]) -> dict[str, Any]:
    """Test accuracies side by side, where there is one label fraction and so no line to draw.

    The axis begins at 0 and ends at the first ten that leaves room for the text behind the longest bar.
    """
    values = rounded([100 * value.mean for _, _, value in arms])
    furthest = min(100, 10 * math.ceil(0.13 * max(values) + 0.01))
    figure: dict[str, Any] = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": values[::-1],
                "y": [label for label, _, _ in arms][::-1],
                "marker": {"color": [color for _, color, _ in arms][::-1]},
                "text": [wording.share_text(value) for _, _, value in arms][::-1],
                "textposition": "outside",
                "cliponaxis": False,
                "hoverinfo": "skip",
            }
        ],
        "layout": layout("Test accuracy", legend=False),
    }
    figure["layout"] |= {"hovermode": "closest", "bargap": 0.45}
    figure["layout"]["xaxis"] |= {"range": [0, furthest], "ticksuffix": " %"}
    figure["layout"]["yaxis"] |= {"type": "category", "showgrid": False}
    return figure
