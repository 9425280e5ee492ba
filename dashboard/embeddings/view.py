"""The two maps of the Embeddings page as plain values: points, images and neighbours. Imports no streamlit."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.embeddings import colors
from dashboard.shared.palette import GREY, RING
from simclr.embeddings import compare, projections
from simclr.embeddings.projections import Projection
from simclr.embeddings.stored import Embedding
from simclr.files import safe_read, writing

Points = NDArray[np.float32]

SHEET_CACHE = Path(__file__).parents[1] / "static" / "cache"
MAX_CACHED_SHEETS = 60
MAX_SHOWN = 24  # neighbours shown of an image, however many are compared
SPLIT_NAMES = {"val": "validation", "train": "training"}


def split_name(split: str) -> str:
    return SPLIT_NAMES.get(split, "test")


def maps(embeddings: Sequence[Embedding], asked: Projection) -> list[Points] | None:
    """The maps of all models, the others turned to lie as the first does; None if one is missing."""
    found = [points for item in embeddings if (points := item.map(asked)) is not None]
    if len(found) < len(embeddings):
        return None
    return [found[0], *(projections.align(found[0], points) for points in found[1:])]


def classes_of(names: Sequence[str]) -> list[dict[str, str]]:
    shades = colors.category_colors(len(names))
    return [{"name": name, "color": color} for name, color in zip(names, shades, strict=True)]


def tile_of(thumbnails: dict[str, Any]) -> dict[str, int]:
    return {name: thumbnails[name] for name in ("side", "columns", "per_sheet")}


def payload(
    embeddings: Sequence[Embedding], panels: Sequence[dict[str, Any]], color: dict[str, Any], sheets: list[str]
) -> dict[str, Any]:
    """Everything the component draws, without the chosen image."""
    first = embeddings[0]
    return {
        "panels": list(panels),
        "ids": first.ids,
        "labels": first.labels,
        "classes": classes_of(first.classes),
        "color": color,
        "sheets": sheets,
        "tile": tile_of(first.provenance["thumbnails"]),
        "split": split_name(first.provenance["split"]),
    }


def row_of(ids: NDArray[np.int64], image: int) -> int:
    """The row of an image by its number in the data set; -1 if it is not there."""
    places = np.flatnonzero(ids == image)
    return int(places[0]) if len(places) else -1


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
    row = row_of(embeddings[0].ids, image)
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
                "color": [float(f"{value:.4g}") for value in values[rows]],
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


def sheet_addresses(sheets: Sequence[Path], images: str, side: int, prefix: str = "") -> list[str]:
    """Puts the sheets of thumbnails where the server can serve them, and returns their addresses.

    Named by content, so that the browser fetches each once. Where that folder cannot be written, the sheets go along
    with the page.

    Args:
        images: a name of what is on them. side: of a tile, in pixels.
    """
    found = []
    for number, path in enumerate(sheets):
        name = f"images-{re.sub('[^0-9A-Za-z]', '', images)}-{side}-{number}.png"
        target = SHEET_CACHE / name
        try:
            if not target.exists():
                SHEET_CACHE.mkdir(parents=True, exist_ok=True)
                with writing.replacing(target, sync=False) as stream:
                    stream.write(safe_read.read_bytes(path, safe_read.MAX_SHEET_BYTES))
                _forget_old_sheets()
            found.append("/".join(["", *filter(None, [prefix.strip("/")]), "app/static/cache", name]))
        except OSError:
            with contextlib.suppress(OSError):
                content = safe_read.read_bytes(path, safe_read.MAX_SHEET_BYTES)
                found.append("data:image/png;base64," + base64.b64encode(content).decode())
    return found


def sheets_of(embedding: Embedding, prefix: str = "") -> list[str]:
    """The addresses of an embedding's sheets."""
    side = embedding.provenance["thumbnails"]["side"]
    return sheet_addresses(embedding.sheets, str(embedding.provenance["images"]), side, prefix)


def _forget_old_sheets() -> None:
    def age(path: Path) -> float:
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
        return 0.0

    for path in sorted(SHEET_CACHE.glob("images-*.png"), key=age, reverse=True)[MAX_CACHED_SHEETS:]:
        path.unlink(missing_ok=True)
