"""The two maps of the Embeddings page as plain values: points, images and neighbours. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.embeddings import colors
from dashboard.maps import map_images
from dashboard.shared.palette import GREY, RING
from simclr.embeddings import compare, projections
from simclr.embeddings.projections import Projection
from simclr.embeddings.stored import Embedding

Points = NDArray[np.float32]

MAX_SHOWN = 24  # neighbours shown of an image, however many are compared


def maps(embeddings: Sequence[Embedding], asked: Projection) -> list[Points] | None:
    """The maps of all models, the others turned to lie as the first does; None if one is missing."""
    found = [points for item in embeddings if (points := item.map(asked)) is not None]
    if len(found) < len(embeddings):
        return None
    return [found[0], *(projections.align(found[0], points) for points in found[1:])]


def payload(
    embeddings: Sequence[Embedding],
    panels: Sequence[dict[str, Any]],
    color: dict[str, Any],
    sheets: list[str],
    search: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything the component draws and searches, without the chosen image."""
    first = embeddings[0]
    return {
        "panels": list(panels),
        "ids": first.ids,
        "labels": first.labels,
        "classes": map_images.classes_of(first.classes),
        "color": color,
        "sheets": sheets,
        "tile": map_images.tile_of(first.provenance["thumbnails"]),
        "split": map_images.split_name(first.provenance["split"]),
        "search": search,
    }


def nearest(embeddings: Sequence[Embedding], row: int, k: int) -> list[list[tuple[int, float, bool]]]:
    """Per model the k nearest of an image by cosine: row, similarity, and whether it is among those of all models."""
    found = [item.neighbors[row, :k] for item in embeddings]
    common = set(found[0].tolist()).intersection(*(near.tolist() for near in found[1:]))
    return [
        [
            (int(place), round(float(similarity), 4), len(embeddings) > 1 and int(place) in common)
            for place, similarity in zip(near, item.similarities[row, :k], strict=True)
        ]
        for item, near in zip(embeddings, found, strict=True)
    ]


def facts(embeddings: Sequence[Embedding], titles: Sequence[str], row: int, k: int, judge: str) -> list[list[str]]:
    """What is known of an image, as label and text: its factors, what each model takes it for, how much they agree."""
    first = embeddings[0]
    found = [[text, fact_text(first.factors[name][row].item())] for name, text in colors.factors(first).items()]
    if judge in colors.judges(embeddings):
        found += [
            [f"{colors.JUDGES[judge]}, {title}", first.classes[int(item.predictions[judge][row])]]
            for item, title in zip(embeddings, titles, strict=True)
        ]
    if len(embeddings) == 2:
        near = [item.neighbors[row : row + 1, :k] for item in embeddings]
        common = int(compare.shared(*near)[0])
        found.append(["Shared neighbours", f"{common} of {near[0].shape[1]}"])
    return found


def fact_text(value: Any) -> str:
    return str(value) if isinstance(value, str) else f"{float(value):.3g}"


def details(
    embeddings: Sequence[Embedding], titles: Sequence[str], image: int, k: int, judge: str = "knn"
) -> dict[str, Any] | None:
    """The chosen image and its nearest neighbours in the features of all models; None if it is not there.

    Args:
        image: its number in the data set.
        k: neighbours compared; at most `MAX_SHOWN` of them are shown.
    """
    row = map_images.row_of(embeddings[0].ids, image)
    if row < 0:
        return None
    near = [[list(entry) for entry in each[:MAX_SHOWN]] for each in nearest(embeddings, row, k)]
    return {"index": row, "facts": facts(embeddings, titles, row, k, judge), "neighbors": near}


# --- in space -------------------------------------------------------------------------------------------------------

VIRIDIS = "Viridis"
CYCLE = [[place / 6, f"hsl({60 * place}, 65%, 55%)"] for place in range(7)]


def space_figure(
    points: Points,
    color: dict[str, Any],
    place: int,
    texts: Sequence[str],
    chosen: NDArray[np.int64],
    opened: int = -1,
) -> dict[str, Any]:
    """A map (N, 3) as plotly's `data` and `layout`: what is chosen in colour, the rest grey; the open image ringed.

    Args:
        color: as `embedding_colors.color_of` gives it. place: number of the panel.
        texts: (N,) shown where one points. chosen: rows; none: all are in colour. opened: a row, -1 for none.
    """
    values = color["values"][place] if isinstance(color["values"], list) else color["values"]
    is_shown = np.ones(len(points), dtype=bool)
    if len(chosen):
        is_shown[:] = False
        is_shown[chosen] = True
    data = []
    if not is_shown.all():
        data.append(_cloud(points, np.flatnonzero(~is_shown), texts, "not selected", {"color": GREY, "opacity": 0.15}))
    if color["names"]:
        data += [
            _cloud(points, np.flatnonzero(is_shown & (values == group)), texts, name, {"color": shade})
            for group, (name, shade) in enumerate(zip(color["names"], color["colors"], strict=True))
        ]
        if (is_shown & (values < 0)).any():
            data.append(_cloud(points, np.flatnonzero(is_shown & (values < 0)), texts, "unknown", {"color": GREY}))
    else:
        rows = np.flatnonzero(is_shown)
        marker: dict[str, Any] = {"color": "primary"}
        if color["label"]:
            marker = {
                "color": [float(f"{value:.4g}") if np.isfinite(value) else None for value in values[rows]],
                "cmin": color["low"],
                "cmax": color["high"],
                "colorscale": CYCLE if color["kind"] == "cycle" else VIRIDIS,
                "showscale": True,
                "colorbar": {"thickness": 8, "len": 0.6, "tickformat": ".0%" if color["kind"] == "share" else "~g"},
            }
        data.append(_cloud(points, rows, texts, color["label"] or "images", marker))
    if opened >= 0:
        ring = {"color": "rgba(0,0,0,0)", "size": 12, "opacity": 1, "line": {"width": 3, "color": RING}}
        data.append(_cloud(points, np.array([opened]), texts, "open image", ring) | {"showlegend": False})
    axis = {
        "title": {"text": ""},
        "showticklabels": False,
        "showspikes": False,
        "gridcolor": GREY,
        "zerolinecolor": GREY,
        "linecolor": GREY,
    }
    layout = {
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "showlegend": bool(color["names"]),
        "legend": {"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "itemsizing": "constant"},
        "scene": {
            "xaxis": axis,
            "yaxis": axis,
            "zaxis": axis,
            "aspectmode": "data",
            "dragmode": "orbit",
            "camera": {"eye": {"x": 1.0, "y": 1.0, "z": 0.7}},
        },
    }
    return {"data": data, "layout": layout}


def _cloud(
    points: Points, rows: NDArray[np.int64], texts: Sequence[str], name: str, marker: dict[str, Any]
) -> dict[str, Any]:
    axes = {axis: [float(f"{value:.4g}") for value in points[rows, number]] for number, axis in enumerate("xyz")}
    return {
        "type": "scatter3d",
        "mode": "markers",
        "name": name,
        **axes,
        "text": [texts[row] for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 2.6, "opacity": 0.85, **marker},
    }


# --- images ---------------------------------------------------------------------------------------------------------


def sheets_of(embedding: Embedding) -> list[str]:
    """The addresses of an embedding's sheets."""
    side = embedding.provenance["thumbnails"]["side"]
    return map_images.sheet_addresses(embedding.sheets, str(embedding.provenance["images"]), side)
