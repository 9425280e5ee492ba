"""Figures of the encoder part, as plain values. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.augmentations.encoder_choice import ChosenEncoder
from dashboard.shared import figures, palette
from simclr.analysis import factors, invariance
from simclr.data import shapes

CURVES = ("crop", "brightness", "contrast", "saturation", "hue", "blur")
SWITCHES = ("flip", "grayscale")
TITLES = {
    "crop": ("Crop", "area cut away", True),
    "brightness": ("Brightness", "factor 1 ± this", False),
    "contrast": ("Contrast", "factor 1 ± this", False),
    "saturation": ("Saturation", "factor 1 ± this", False),
    "hue": ("Hue", "turn of the colour circle, ±", False),
    "blur": ("Blur", "sigma, share of the side", True),
    "flip": ("Mirror", "", False),
    "grayscale": ("Grey", "", False),
}
FACTOR_TITLES = {
    "shape": "Shape",
    "hue": "Hue",
    "background": "Background hue",
    "size": "Size",
    "position_x": "Position, x",
    "position_y": "Position, y",
    "rotation": "Rotation",
}


def pairs_figure(
    titles: Sequence[str], pairs: NDArray[Any], others: NDArray[Any], color: str, layer: str
) -> dict[str, Any]:
    """Pairs as points, other images as the range from their 5th to their 95th percentile."""
    low, middle, high = np.percentile(others, [5, 50, 95], axis=1)
    places = list(range(len(titles)))
    layout = figures.layout("", f"Cosine similarity of {layer}")
    layout["xaxis"] = {
        "tickvals": places,
        "ticktext": list(titles),
        "tickangle": -35,
        "range": [-0.6, len(titles) - 0.4],
    }
    layout["margin"]["b"] = 80
    rounded = [[round(float(value), 4) for value in values] for values in (pairs, middle, high - middle, middle - low)]
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "x": places,
                "y": rounded[1],
                "name": "Views of other images",
                "marker": {"color": palette.GREY, "size": 12, "symbol": "line-ew-open", "line": {"width": 2}},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": rounded[2],
                    "arrayminus": rounded[3],
                    "color": palette.GREY,
                    "thickness": 5,
                    "width": 0,
                },
                "hovertemplate": "median %{y:.2f}<extra>%{fullData.name}</extra>",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "x": places,
                "y": rounded[0],
                "name": "Its other view",
                "marker": {"color": color, "size": 10},
                "hovertemplate": "%{y:.2f}<extra>%{fullData.name}</extra>",
            },
        ],
        "layout": layout,
    }


def _value(mean: float, others: float, scale: str) -> float | None:
    found = invariance.relative(mean, others) if scale == "relative" else mean
    return None if found is None else round(found, 4)


def _y_axis(scale: str) -> dict[str, Any]:
    return {
        "title": {"text": ""},
        "nticks": 5,
        "zeroline": scale == "relative",
        "zerolinecolor": palette.GREY,
        "range": [-0.45, 1.05] if scale == "relative" else None,
    }


def curve_figure(
    operation: str, wanted: Sequence[ChosenEncoder], measured: Sequence[dict[str, Any]], scale: str
) -> dict[str, Any]:
    """Similarity by strength, a line for each encoder; strength 0 is the image itself."""
    title, unit, is_share = TITLES[operation]
    layout = figures.layout(unit, legend=False)
    layout |= {"title": {"text": title, "x": 0.02, "font": {"size": 14}}, "yaxis": _y_axis(scale)}
    layout["margin"] = {"l": 40, "r": 8, "t": 32, "b": 40}
    if is_share:
        layout["xaxis"]["tickformat"] = ".0%"
    data = []
    for item, values in zip(wanted, measured, strict=True):
        y = [_value(1.0, values["others"], scale)]
        y += [_value(value, values["others"], scale) for value in values["curves"][operation]]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [0.0, *invariance.STRENGTHS[operation]],
                "y": y,
                "name": item.title,
                "line": {"color": item.color, "width": 2.2},
                "marker": {"size": 5},
                "hovertemplate": "%{y:.2f}<extra>%{fullData.name}</extra>",
            }
        )
    return {"data": data, "layout": layout}


def _bars(
    names: Sequence[str],
    wanted: Sequence[ChosenEncoder],
    values: Sequence[Sequence[float | None]],
    layout: dict[str, Any],
) -> dict[str, Any]:
    layout |= {"barmode": "group", "bargap": 0.3, "hovermode": "closest"}
    layout["xaxis"] = {"title": {"text": ""}}
    data = [
        {
            "type": "bar",
            "x": list(names),
            "y": list(heights),
            "name": item.title,
            "marker": {"color": item.color},
            "hovertemplate": "%{x}: %{y:.2f}<extra>%{fullData.name}</extra>",
        }
        for item, heights in zip(wanted, values, strict=True)
    ]
    return {"data": data, "layout": layout}


def switch_figure(wanted: Sequence[ChosenEncoder], measured: Sequence[dict[str, Any]], scale: str) -> dict[str, Any]:
    """The operations without a strength, as bars."""
    layout = figures.layout("", legend=False)
    layout |= {"title": {"text": "Mirror and grey", "x": 0.02, "font": {"size": 14}}, "yaxis": _y_axis(scale)}
    layout["margin"] = {"l": 40, "r": 8, "t": 32, "b": 30}
    heights = [
        [_value(values["curves"][operation][0], values["others"], scale) for operation in SWITCHES]
        for values in measured
    ]
    return _bars([TITLES[operation][0] for operation in SWITCHES], wanted, heights, layout)


def factor_figure(wanted: Sequence[ChosenEncoder], measured: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Accuracy or R² of each factor, bars for each encoder; what is below 0 is no better than a guess."""
    layout = figures.layout("", "Accuracy, R²", legend=False)
    layout["yaxis"]["range"] = [0, 1]
    layout["margin"] |= {"b": 60}
    heights = [[round(max(0.0, values[name]), 4) for name in factors.FACTORS] for values in measured]
    figure = _bars([FACTOR_TITLES[name] for name in factors.FACTORS], wanted, heights, layout)
    chance = 1 / len(set(shapes.CLASSES))
    figure["layout"]["shapes"] = [
        {
            "type": "line",
            "x0": -0.45,
            "x1": 0.45,
            "y0": chance,
            "y1": chance,
            "line": {"color": palette.GREY, "dash": "dash"},
        }
    ]
    figure["layout"]["annotations"] = [
        {"text": "chance", "showarrow": False, "x": 0.48, "y": chance, "xanchor": "left", "yanchor": "bottom"}
    ]
    return figure
