"""Figures from metrics: columns in, plotly's `data` and `layout` as plain values out. Imports no streamlit.

Colours `muted` and `primary` are names that the page's theme fills in. A line's colour says which run it belongs to;
validation is drawn solid with its points, training thin, so that the two are told apart without a second colour.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from simclr.curves.metric_info import LINE_LABELS, METRICS, SECOND_LINES
from simclr.curves.smoothing import Columns, points, thin
from simclr.results.statistics import Spread

DASHES = ("solid", "dash", "dashdot", "longdash")
X_LABELS = {"epoch": "Epoch", "step": "Step", "time": "Minutes of training"}


def rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def line_trace(
    x: Sequence[float],
    y: Sequence[float],
    name: str,
    color: str,
    *,
    width: float = 2.0,
    dash: str = "solid",
    opacity: float = 1.0,
    percent: bool = False,
    digits: int = 3,
    markers: bool = False,
    **more: Any,
) -> dict[str, Any]:
    x, y = thin(x, y)
    shown = [100 * value for value in y] if percent else y
    template = "%{y:.1f} %" if percent else f"%{{y:.{digits}f}}"
    return {
        "type": "scatter",
        "mode": "lines+markers" if markers or len(x) == 1 else "lines",
        "x": rounded(x),
        "y": rounded(shown),
        "name": name,
        "line": {"color": color, "width": width, "dash": dash},
        "marker": {"color": color, "size": 4.5},
        "opacity": opacity,
        "hovertemplate": template + "<extra>%{fullData.name}</extra>",
        **more,
    }


def spread_line(
    points: Sequence[tuple[float, Spread]], name: str, color: str, hrefs: Sequence[str] | None = None
) -> dict[str, Any]:
    """Means over the seeds, with their deviation where there are several; a point leads to its address."""
    means = [each.mean for _, each in points]
    trace = line_trace([x for x, _ in points], means, name, color, width=2.4, percent=True, markers=True)
    trace["marker"] = {"color": color, "size": 8}
    if hrefs is not None:
        trace["customdata"] = list(hrefs)
    deviations = [100 * (each.deviation or 0) for _, each in points]
    if any(deviations):
        trace["error_y"] = {"array": rounded(deviations), "color": color, "thickness": 1.4, "width": 4}
    return trace


def layout(
    x_title: str, y_title: str = "", *, percent: bool = False, log: bool = False, legend: bool = True
) -> dict[str, Any]:
    """What all figures share: quiet grid, legend above, one hover box for all lines."""
    return {
        "margin": {"l": 48, "r": 12, "t": 30 if legend else 10, "b": 40},
        "hovermode": "x unified",
        "dragmode": "zoom",
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        "xaxis": {"title": {"text": x_title}, "rangemode": "tozero", "hoverformat": ".4~g"},
        "yaxis": {
            "title": {"text": y_title},
            "type": "log" if log else "linear",
            "ticksuffix": " %" if percent else "",
            "nticks": 6,
            **({"tickformat": "~g"} if log else {}),
        },
    }


def log_ticks(values: Sequence[float], limit: int = 6) -> list[float]:
    """Round numbers across `values` for a logarithmic axis: 1, 2, 5 of each power of ten, fewer where they crowd."""
    positive = [value for value in values if value > 0]
    if not positive:
        return []
    low, high = min(positive), max(positive)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**power for power in powers for digit in digits]
        ticks = [tick for tick in ticks if low / 1.3 <= tick <= high * 1.3]
        if len(ticks) <= limit:
            break
    return ticks


def run_figure(
    columns: Columns, metric: str, color: str, *, chance: float | None = None, x: str = "epoch"
) -> dict[str, Any]:
    """One metric of one run: training thin, validation solid, and the level of chance where there is one."""
    spec = METRICS[metric]
    data, furthest = [], 1.0
    for name in spec.suffixes:
        xs, ys = points(columns, name, x)
        if not xs:
            continue
        furthest = max(furthest, xs[-1])
        training = name.startswith("train/")
        second = name in SECOND_LINES
        data.append(
            line_trace(
                xs,
                ys,
                LINE_LABELS[name],
                color,
                width=1.4 if training or second else 2.2,
                opacity=0.55 if training else 1.0,
                dash="dot" if second else "solid",
                percent=spec.percent,
                digits=spec.digits,
                markers=name.startswith("val/") and len(xs) <= 60,
            )
        )
    figure: dict[str, Any] = {
        "data": data,
        "layout": layout(X_LABELS[x], percent=spec.percent, log=spec.log, legend=len(data) > 1),
    }
    if spec.log:
        shown = [value for trace in data for value in trace["y"]] + ([chance] if chance is not None else [])
        figure["layout"]["yaxis"]["tickvals"] = log_ticks(shown)
    if metric == "lr":
        figure["layout"]["yaxis"]["tickformat"] = "~e"
    # "no better than chance" is judged by the rank; at a low temperature a network that knows nothing lies above this
    if chance is not None and data:
        add_chance(figure, metric, chance, furthest)
    return figure


def add_chance(figure: dict[str, Any], metric: str, chance: float, furthest: float) -> None:
    """Adds to a figure of a metric a dashed line, named, where a model that knows nothing stands; to x = `furthest`."""
    spec, level = METRICS[metric], "equal similarities" if metric == "loss" else "chance"
    figure["data"].append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, furthest],
            "y": [chance, chance],
            "name": level,
            "hoverinfo": "skip",
            "showlegend": False,
            "line": {"color": "muted", "width": 1.2, "dash": "dash"},
        }
    )
    figure["layout"]["annotations"] = [
        {
            "text": f"{level} {chance:.3g}" + (" %" if spec.percent else ""),
            "showarrow": False,
            "xref": "paper",
            "x": 1,
            "xanchor": "right",
            "y": math.log10(chance) if spec.log else chance,
            "yanchor": "bottom",
        }
    ]


def follow_film(figure: dict[str, Any], film: str, places: Sequence[float], frame: int, color: str) -> None:
    """Gives a figure a cursor that goes along with a film on the same page.

    Args:
        film: key of the map that plays it. places: the cursor's x at each frame. frame: that is shown.
    """
    at = places[frame]
    line = {"width": 2, "color": color}
    cursor = {"type": "line", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": line}
    figure["layout"] |= {"shapes": [cursor], "meta": {"follow": film, "places": list(places)}}


def dashes(colors: Sequence[str]) -> list[str]:
    """A dash for each line, solid for the first of its colour, so that lines of one colour are told apart."""
    seen: Counter[str] = Counter()
    found = []
    for color in colors:
        found.append(DASHES[seen[color] % len(DASHES)])
        seen[color] += 1
    return found
