"""What the Embeddings page shows, as plain values: points, colours, numbers and neighbours. Imports no streamlit."""

from __future__ import annotations

import base64
import colorsys
import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import reduce
from simclr.embeddings import Embedding

SHEET_CACHE = Path(__file__).parent / "static" / "cache"
MAX_CACHED_SHEETS = 60
NUM_NEIGHBORS = 8

# Petroff 2021 ("Accessible color sequences for data visualization"): ten colours told apart with every common colour
# blindness.
PALETTE = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
CYCLIC = ("hue", "background")  # shares of the colour circle: 0 and 1 are the same
FACTOR_LABELS = {
    "hue": "Hue of the shape",
    "background": "Hue of the background",
    "size": "Size",
    "position_x": "Position, left to right",
    "position_y": "Position, bottom to top",
    "rotation": "Rotation in degrees",
}
CLASS = "class"


def category_colors(count: int) -> list[str]:
    """A colour for each of `count` categories; beyond ten they can no longer all be told apart."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    colors = []
    for number in range(count):
        lightness = (0.42, 0.55, 0.68)[number % 3]
        red, green, blue = colorsys.hls_to_rgb((number * 0.618034) % 1.0, lightness, 0.65)
        colors.append(f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}")
    return colors


def factor_label(name: str) -> str:
    return FACTOR_LABELS.get(name) or name.replace("_", " ").capitalize()


def color_choices(embedding: Embedding) -> dict[str, str]:
    """What points can be coloured by: name to label. A factor that only repeats the class is left out."""
    found = {CLASS: "Class"} if embedding.labels is not None else {}
    for name, values in embedding.factors.items():
        is_words = values.dtype.kind in "US"
        if is_words and embedding.labels is not None and set(values.tolist()) <= set(embedding.classes):
            continue
        found[name] = factor_label(name)
    return found


def color_of(embedding: Embedding, name: str) -> dict[str, Any]:
    """The colouring by class or a factor, as the component takes it; by nothing if there is no such name."""
    color: dict[str, Any] = {"label": "", "kind": "none", "names": [], "colors": [], "low": 0.0, "high": 1.0}
    values: NDArray[Any] = np.zeros(embedding.num_images)
    if name == CLASS and embedding.labels is not None:
        names = embedding.classes
        color |= {"label": "Class", "kind": "class", "names": names, "colors": category_colors(len(names))}
        values = embedding.labels
    elif name in embedding.factors and embedding.factors[name].dtype.kind in "US":
        words, values = np.unique(embedding.factors[name], return_inverse=True)
        names = [str(word) for word in words]
        color |= {
            "label": factor_label(name),
            "kind": "category",
            "names": names,
            "colors": category_colors(len(names)),
        }
    elif name in embedding.factors:
        values = embedding.factors[name].astype(np.float64)
        cyclic = name in CYCLIC
        low, high = (0.0, 1.0) if cyclic else (float(values.min()), float(values.max()))
        color |= {"label": factor_label(name), "kind": "cycle" if cyclic else "number", "low": low, "high": high}
    return color | {"values": values}


def panel(
    embedding: Embedding, method: str, points: NDArray[np.float32], title: str, subtitle: str, note: str = ""
) -> dict:
    """One side: its map and the numbers beside it."""
    stats = []
    if embedding.knn_accuracy is not None:
        stats.append({
            "value": f"{100 * embedding.knn_accuracy:.1f} %", "label": "kNN accuracy",
            "help": f"Share of these images whose class their {reduce.NUM_NEIGHBORS} nearest others vote for. Measured "
            "on the features themselves, not on the map; each image is left out in its turn.",
        })  # fmt: skip
    kept = embedding.map_provenance(method).get("neighbors_kept")
    if isinstance(kept, (int, float)):
        stats.append({
            "value": f"{100 * kept:.0f} %", "label": f"of neighbours kept by {reduce.LABELS[method]}",
            "help": f"Share of the {reduce.NUM_NEIGHBORS} nearest neighbours in the features that are also among the "
            f"{reduce.NUM_NEIGHBORS} nearest on the map: how far the picture can be trusted.",
        })  # fmt: skip
    return {
        "title": title, "subtitle": subtitle, "points": points, "stats": stats, "note": note,
    }  # fmt: skip


def fact_text(value: Any) -> str:
    return str(value) if isinstance(value, str) else f"{float(value):.3g}"


def details(embeddings: list[Embedding], units: list[NDArray[np.float32]], image: int) -> dict[str, Any] | None:
    """The chosen image and its nearest neighbours in the features of both models; None if it is not there.

    Args:
        units: per model the features at length 1, from `reduce.unit_rows`.
        image: its number in the data set.
    """
    places = np.flatnonzero(embeddings[0].ids == image)
    if not len(places):
        return None
    index = int(places[0])
    neighbors = []
    for unit in units:
        near, similarity = reduce.neighbors(unit, index, NUM_NEIGHBORS)
        neighbors.append([[int(place), round(float(value), 4)] for place, value in zip(near, similarity, strict=True)])
    shown = color_choices(embeddings[0])
    facts = [
        [label, fact_text(embeddings[0].factors[name][index].item())] for name, label in shown.items() if name != CLASS
    ]
    return {"index": index, "facts": facts, "neighbors": neighbors}


def payload(
    embeddings: list[Embedding], panels: list[dict[str, Any]], color: dict[str, Any], sheets: list[str]
) -> dict[str, Any]:
    """Everything the component draws, without the chosen image."""
    first = embeddings[0]
    colors = category_colors(len(first.classes))
    tile = {name: first.provenance["thumbnails"][name] for name in ("side", "columns", "per_sheet")}
    return {
        "panels": panels,
        "ids": first.ids,
        "labels": first.labels,
        "classes": [{"name": name, "color": color} for name, color in zip(first.classes, colors, strict=True)],
        "color": color,
        "sheets": sheets,
        "tile": tile,
        "split": {"val": "validation", "train": "training"}.get(first.provenance["split"], "test"),
    }


def sheet_addresses(embedding: Embedding, prefix: str = "") -> list[str]:
    """Puts the sheets of thumbnails where the server can serve them, and returns their addresses.

    Named by content, so that the browser fetches each once. Where that folder cannot be written, the sheets go along
    with the page.
    """
    found = []
    for number, path in enumerate(embedding.sheets):
        name = f"images-{embedding.provenance['images']}-{embedding.provenance['thumbnails']['side']}-{number}.png"
        target = SHEET_CACHE / name
        try:
            if not target.exists():
                SHEET_CACHE.mkdir(parents=True, exist_ok=True)
                beside = SHEET_CACHE / f".{name}.{os.getpid()}"
                shutil.copyfile(path, beside)
                os.replace(beside, target)
                _forget_old_sheets()
            found.append("/".join(["", *filter(None, [prefix.strip("/")]), "app/static/cache", name]))
        except OSError:
            found.append("data:image/png;base64," + base64.b64encode(path.read_bytes()).decode())
    return found


def _forget_old_sheets() -> None:
    def age(path: Path) -> float:
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
        return 0.0

    for path in sorted(SHEET_CACHE.glob("images-*.png"), key=age, reverse=True)[MAX_CACHED_SHEETS:]:
        path.unlink(missing_ok=True)
