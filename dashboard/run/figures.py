"""Figures of one run, as plain values. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.shared.figures import layout, rounded

BAR_HEIGHT, MARGINS = 26, 70  # pixels


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
                "text": [f"{100 * value:.0f} %" for value, _ in pairs],
                "textposition": "auto",
                "hovertemplate": "%{x:.1f} %<extra>%{y}</extra>",
            }
        ],
        "layout": layout("Test accuracy", percent=False, legend=False),
    }
    figure["layout"] |= {"hovermode": "closest", "bargap": 0.35}
    figure["layout"]["xaxis"] |= {"range": [0, 100], "ticksuffix": " %"}
    # a tick for each class: plotly would leave out every other name where it finds them crowded
    figure["layout"]["yaxis"] |= {"type": "category", "showgrid": False, "tickmode": "linear", "dtick": 1, "tick0": 0}
    return figure


def per_class_height(num_classes: int) -> int:
    """Pixels in which each class has its name."""
    return max(320, BAR_HEIGHT * num_classes + MARGINS)
