"""Figures of one run, of its health and its test, as plain values. Imports no streamlit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dashboard.shared import figures, palette
from simclr.curves import smoothing
from simclr.runs import health_log
from simclr.runs.health_log import LayerStats, Row

POSITIVE, NEGATIVE, CURSOR = palette.PALETTE[0], palette.PALETTE[1], palette.GREY
FIRST_COLOR, LAST_COLOR = NEGATIVE, POSITIVE  # of the path; both are seen on white and on near-black
BAR_HEIGHT, MARGINS = 26, 70  # pixels, of a figure with a bar for each class
SPECTRUM_FLOOR = 1e-8  # of the first singular value: what lies below is rounding


# --- health ---------------------------------------------------------------------------------------------------------


def with_cursor(figure: dict[str, Any], epoch: int) -> dict[str, Any]:
    """The figure with a line at an epoch."""
    line = {
        "type": "line",
        "yref": "paper",
        "x0": epoch,
        "x1": epoch,
        "y0": 0,
        "y1": 1,
        "line": {"width": 1.5, "color": CURSOR},
    }
    figure["layout"]["shapes"] = [line]
    return figure


def plane(columns: smoothing.Columns, epoch: int) -> dict[str, Any] | None:
    """The path in the plane of uniformity and alignment, with the epoch as colour; None without both."""
    found: dict[int, tuple[float, float]] = {}
    for number, x, y in zip(
        *(columns.get(name, ()) for name in ("epoch", "val/uniformity", "val/alignment")), strict=False
    ):
        if math.isfinite(number) and math.isfinite(x) and math.isfinite(y):
            found[int(number)] = x, y
    if not found:
        return None
    epochs = sorted(found)
    kept = [epochs[place] for place in np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), 300)).astype(int))]
    xs, ys = ([round(found[number][axis], 5) for number in kept] for axis in (0, 1))
    shared = {"type": "scatter", "x": xs, "y": ys, "showlegend": False}
    data: list[dict[str, Any]] = [
        {**shared, "mode": "lines", "line": {"color": "muted", "width": 1}, "hoverinfo": "skip"},
        {
            **shared,
            "mode": "markers",
            "customdata": kept,
            "marker": {
                "color": kept,
                "size": 6,
                "colorscale": [[0, FIRST_COLOR], [1, LAST_COLOR]],
                "cmin": epochs[0],
                "cmax": max(epochs[-1], epochs[0] + 1),
            },
            "hovertemplate": "epoch %{customdata}: uniformity %{x:.3f}, alignment %{y:.3f}<extra></extra>",
        },
    ]
    if epoch in found:
        x, y = found[epoch]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [round(x, 5)],
                "y": [round(y, 5)],
                "hoverinfo": "skip",
                "showlegend": False,
                "marker": {"color": "primary", "size": 15, "symbol": "circle-open", "line": {"width": 2.5}},
            }
        )
    layout = figures.layout("Uniformity", "Alignment", legend=False)
    layout["hovermode"] = "closest"
    layout["xaxis"] = {"title": {"text": "Uniformity"}, "nticks": 6}
    if len(kept) == 1:  # one point alone would have an axis of a millionth
        layout["xaxis"]["range"] = [xs[0] - 0.5, xs[0] + 0.5]
        layout["yaxis"] = {**layout.get("yaxis", {}), "range": [ys[0] - 0.5, ys[0] + 0.5]}
    ends = [epochs[0], epochs[-1]] if len(epochs) > 1 else epochs
    layout["annotations"] = [
        {"text": f"epoch {number}", "x": found[number][0], "y": found[number][1], "showarrow": False, "yshift": 13}
        for number in ends
    ]
    return {"data": data, "layout": layout}


def histograms(rows: Sequence[Row], epoch: int) -> dict[str, Any] | None:
    """Shares of positive and of negative pairs by similarity, axes fixed over all epochs; None where none were kept."""
    row = next((row for row in rows if row.epoch == epoch and row.positive and row.negative), None)
    if row is None:
        return None
    edges = np.linspace(-1, 1, health_log.NUM_BINS + 1)
    middles = ((edges[:-1] + edges[1:]) / 2).round(4).tolist()
    highest = max(max(_shares(counts), default=0) for item in rows for counts in (item.positive, item.negative))
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": middles,
            "y": _shares(counts),
            "name": name,
            "fill": "tozeroy",
            "line": {"color": color, "width": 1.6, "shape": "hvh"},
            "fillcolor": _transparent(color),
            "hovertemplate": "%{y:.2f} %<extra>%{fullData.name}</extra>",
        }
        for name, color, counts in (
            ("Different images", NEGATIVE, row.negative),
            ("Same image", POSITIVE, row.positive),
        )
    ]
    layout = figures.layout("Cosine similarity of z", "Pairs", percent=True)
    layout["xaxis"] = {"title": {"text": "Cosine similarity of z"}, "range": [-1, 1], "hoverformat": ".2f"}
    layout["yaxis"] |= {"range": [0, 1.05 * highest]}
    layout["annotations"] = [
        {
            "text": separation(row),
            "showarrow": False,
            "xref": "paper",
            "x": 0.01,
            "xanchor": "left",
            "yref": "paper",
            "y": 1,
            "yanchor": "top",
        }
    ]
    return {"data": data, "layout": layout}


def separation(row: Row) -> str:
    """How far positives and negatives are apart, in a few words; empty where it is not known."""
    if row.overlap is None:
        return ""
    return f"overlap {row.overlap:.2f}" + (f", d′ {row.d_prime:.2f}" if row.d_prime is not None else "")


def _shares(counts: Sequence[float]) -> list[float]:
    """Counts in per cent."""
    total = sum(counts) or 1.0
    return [round(100 * count / total, 4) for count in counts]


def _transparent(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.25)"


def spectrum(rows: Sequence[Row], epoch: int) -> dict[str, Any] | None:
    """Singular values of the covariance of h and z relative to the largest; None where none were kept."""
    row = next((row for row in rows if row.epoch == epoch), None)
    if row is None:
        return None
    data = []
    first = rows[0] if rows[0].epoch != epoch else None
    for item, opacity in ((first, 0.3), (row, 1.0)):
        for name, color in (("h", POSITIVE), ("z", NEGATIVE)):
            if item is None or not (line := _relative(getattr(item, name)))[0]:
                continue
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines" if len(line[0]) > 1 else "markers",
                    "x": line[0],
                    "y": line[1],
                    "opacity": opacity,
                    "name": name if item is row else f"{name}, epoch {item.epoch}",
                    "showlegend": item is row,
                    "line": {"color": color, "width": 2 if item is row else 1.4},
                    "marker": {"color": color, "size": 5},
                    "hovertemplate": "%{y:.2~g}<extra>%{fullData.name}</extra>",
                }
            )
    if not data:
        return None
    layout = figures.layout("Direction, the strongest first", "Relative singular value", log=True)
    layout["yaxis"] |= {
        "range": [math.log10(SPECTRUM_FLOOR), 0.2],
        "tickvals": [1, 1e-2, 1e-4, 1e-6, 1e-8],
        "tickformat": "~e",
    }
    return {"data": data, "layout": layout}


def _relative(layer: LayerStats) -> tuple[list[int], list[float]]:
    """Direction numbers from 1 and squared singular values as shares of the first; empty for a collapsed layer."""
    if not layer.singular or layer.singular[0] <= 0:
        return [], []
    places = health_log.spectrum_indices(layer.num_singular) + 1
    shares = [(value / layer.singular[0]) ** 2 for value in layer.singular]
    kept = [(int(x), float(f"{y:.4g}")) for x, y in zip(places, shares, strict=True) if y >= SPECTRUM_FLOOR]
    return [x for x, _ in kept], [y for _, y in kept]


def spread(rows: Sequence[Row], epoch: int) -> dict[str, Any] | None:
    """Std of the features at length 1 times sqrt(d), for h and z by epoch; None where it was not kept."""
    data: list[dict[str, Any]] = []
    for name, color in (("h", POSITIVE), ("z", NEGATIVE)):
        found = [
            (row.epoch, layer.std * math.sqrt(layer.dim))
            for row in rows
            if (layer := getattr(row, name)).std is not None
        ]
        if found:
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers" if len(found) <= 60 else "lines",
                    "x": [x for x, _ in found],
                    "y": [round(y, 4) for _, y in found],
                    "name": name,
                    "line": {"color": color, "width": 2},
                    "marker": {"color": color, "size": 4.5},
                    "hovertemplate": "%{y:.3f}<extra>%{fullData.name}</extra>",
                }
            )
    if not data:
        return None
    layout = figures.layout(figures.X_LABELS["epoch"])
    layout["yaxis"] |= {"range": [0, 1.12]}
    data.append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, rows[-1].epoch],
            "y": [1, 1],
            "hoverinfo": "skip",
            "showlegend": False,
            "line": {"color": "muted", "width": 1.2, "dash": "dash"},
        }
    )
    layout["annotations"] = [
        {
            "text": "spread evenly",
            "showarrow": False,
            "xref": "paper",
            "x": 1,
            "xanchor": "right",
            "y": 1,
            "yanchor": "bottom",
        }
    ]
    return with_cursor({"data": data, "layout": layout}, epoch)


# --- the final test -------------------------------------------------------------------------------------------------


def per_class(classes: Sequence[str], accuracies: Sequence[float], color: str) -> dict[str, Any]:
    """Test accuracy of each class, the best on top."""
    pairs = sorted(zip(accuracies, classes, strict=True), key=lambda pair: pair[0])
    figure: dict[str, Any] = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": figures.rounded([100 * value for value, _ in pairs]),
                "y": [name for _, name in pairs],
                "marker": {"color": color},
                "text": [f"{100 * value:.0f} %" for value, _ in pairs],
                "textposition": "auto",
                "hovertemplate": "%{x:.1f} %<extra>%{y}</extra>",
            }
        ],
        "layout": figures.layout("Test accuracy", percent=False, legend=False),
    }
    figure["layout"] |= {"hovermode": "closest", "bargap": 0.35}
    figure["layout"]["xaxis"] |= {"range": [0, 100], "ticksuffix": " %"}
    # a tick for each class: plotly would leave out every other name where it finds them crowded
    figure["layout"]["yaxis"] |= {"type": "category", "showgrid": False, "tickmode": "linear", "dtick": 1, "tick0": 0}
    return figure


def per_class_height(num_classes: int) -> int:
    """Pixels in which each class has its name."""
    return max(320, BAR_HEIGHT * num_classes + MARGINS)
