"""Figures of the Results page, as plain values. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.shared.figures import X_LABELS, dashes, layout, line_trace, rounded
from simclr.results.metric_info import LINE_LABELS, METRICS, SECOND_LINES
from simclr.results.smoothing import Columns, points


def overlay(runs: Sequence[tuple[str, str, Columns]], metric: str) -> dict[str, Any]:
    """One metric of several runs (name, colour, columns) by epoch: training dotted, validation solid.

    A run has one entry in the legend, which hides and shows all its lines. Runs that share a colour are told apart
    by their dashes.
    """
    spec = METRICS[metric]
    data: list[dict[str, Any]] = []
    for index, ((name, color, columns), dash) in enumerate(
        zip(runs, dashes([color for _, color, _ in runs]), strict=True)
    ):
        listed = False
        for suffix in spec.suffixes:
            xs, ys = points(columns, suffix)
            if not xs:
                continue
            training = suffix.startswith("train/")
            label = f"{name} · {LINE_LABELS[suffix].lower()}" if len(spec.suffixes) > 1 else name
            look: dict[str, Any] = {"percent": spec.percent, "digits": spec.digits, "legendgroup": f"run-{index}"}
            own_dash = "dot" if training or suffix in SECOND_LINES else dash
            data.append(
                line_trace(
                    xs, ys, label, color, width=1.6 if training else 2.2, dash=own_dash, **look, showlegend=False
                )
            )
            if not listed:
                listed = True
                # The entry itself is an empty solid line, so that it looks alike whichever lines the run has.
                data.append(
                    line_trace([], [], name, color, dash=dash, **look, showlegend=True) | {"x": [None], "y": [None]}
                )
    return {"data": data, "layout": layout(X_LABELS["epoch"], spec.label, percent=spec.percent, legend=bool(data))}


def label_efficiency(arms: Sequence[tuple[str, str, Sequence[tuple[float, float]]]]) -> dict[str, Any]:
    """Test accuracy against the share of labels used, one line per arm (label, colour, (fraction, accuracy) pairs).

    With a single share there is no line to draw: the arms stand side by side as bars.
    """
    data = []
    fractions = sorted({fraction for _, _, pairs in arms for fraction, _ in pairs})
    if len(fractions) == 1:
        return _bars([(label, color, pairs[0][1]) for label, color, pairs in arms if pairs])
    for label, color, pairs in arms:
        if pairs:
            ordered = sorted(pairs)
            data.append(
                line_trace(
                    [a for a, _ in ordered],
                    [b for _, b in ordered],
                    label,
                    color,
                    width=2.4,
                    percent=True,
                    markers=True,
                )
                | {"marker": {"color": color, "size": 8}}
            )
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


def _bars(arms: Sequence[tuple[str, str, float]]) -> dict[str, Any]:
    """Test accuracies side by side, where there is one label fraction and so no line to draw."""
    values = rounded([100 * value for _, _, value in arms])
    figure: dict[str, Any] = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": values[::-1],
                "y": [label for label, _, _ in arms][::-1],
                "marker": {"color": [color for _, color, _ in arms][::-1]},
                "text": [f"{100 * value:.1f} %" for _, _, value in arms][::-1],
                "textposition": "outside",
                "cliponaxis": False,
                "hoverinfo": "skip",
            }
        ],
        "layout": layout("Test accuracy", legend=False),
    }
    figure["layout"] |= {"hovermode": "closest", "bargap": 0.45}
    figure["layout"]["xaxis"] |= {"range": [0, 100], "ticksuffix": " %"}
    figure["layout"]["yaxis"] |= {"type": "category", "showgrid": False}
    return figure
