"""Figures of one run, as plain values. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.shared.figures import layout, rounded


def per_class(classes: Sequence[str], accuracies: Sequence[float], color: str) -> dict[str, Any]:
    """Test accuracy of each class, the best on top."""
    pairs = sorted(zip(accuracies, classes, strict=True), key=lambda pair: pair[0])
    figure: dict[str, Any] = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": rounded([100 * value for value, _ in pairs]),
                "y": [name for _, name in pairs],
                "marker": {"color": color},
                "hovertemplate": "%{x:.1f} %<extra>%{y}</extra>",
            }
        ],
        "layout": layout("Test accuracy", percent=False, legend=False),
    }
    figure["layout"] |= {"hovermode": "closest", "bargap": 0.35}
    figure["layout"]["xaxis"] |= {"range": [0, 100], "ticksuffix": " %"}
    figure["layout"]["yaxis"] |= {"type": "category", "showgrid": False}
    return figure


def confusion(classes: Sequence[str], counts: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Shares of each true class (row) that were given each answer (column), in per cent."""
    shares = [[100 * value / max(1, sum(line)) for value in line] for line in counts]
    figure: dict[str, Any] = {
        "data": [
            {
                "type": "heatmap",
                "z": [rounded(line) for line in shares],
                "x": list(classes),
                "y": list(classes),
                "zmin": 0,
                "zmax": 100,
                "colorscale": [[0, "rgba(76,110,245,0.03)"], [1, "rgba(76,110,245,1)"]],
                "showscale": False,
                "xgap": 1,
                "ygap": 1,
                "hovertemplate": "%{y} taken for %{x}: %{z:.1f} %<extra></extra>",
            }
        ],
        "layout": layout("Answer", "True class", legend=False),
    }
    figure["layout"]["hovermode"] = "closest"
    figure["layout"]["xaxis"] = {"title": {"text": "Answer"}, "type": "category", "showgrid": False}
    figure["layout"]["yaxis"] = {
        "title": {"text": "True class"},
        "type": "category",
        "autorange": "reversed",
        "showgrid": False,
    }
    return figure
