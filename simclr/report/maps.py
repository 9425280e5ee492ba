"""Maps that runs have stored, with some of their images as one sheet for each data set (no torch)."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from simclr import runs
from simclr.curves import colors
from simclr.embeddings import projections, stored
from simclr.embeddings.stored import Embedding
from simclr.files import safe_read
from simclr.report.subjects import Line, Member
from simclr.results.index import short_dataset
from simclr.views import sheets

MOST_POINTS = 4000
MOST_ENCODERS = 6  # of a data set
LARGEST_TILE = 48  # pixels
SHEET_COLUMNS = 40
MOST_SHEET_BYTES = 3_000_000  # of all sheets of a report together
WEBP_QUALITY = 80
GRID = 65535  # places of points are whole numbers up to this
SPLIT_NAMES = {"val": "validation", "train": "training"}


@dataclass(frozen=True)
class Found:
    """A run's features on some images, and the maps of them that lie beside."""

    member: Member
    embedding: Embedding
    maps: dict[str, tuple[NDArray[np.float32], dict[str, Any]]]


def maps_of(lines: Sequence[Line], with_images: bool = True) -> list[dict[str, Any]]:
    """The maps of all runs that have stored some, those of the same images together."""
    found = [each for line in lines for member in line.members if (each := _newest(member)) is not None]
    together: list[list[Found]] = []
    for each in found:
        for other in together:
            if stored.same_images(other[0].embedding, each.embedding):
                other.append(each)
                break
        else:
            together.append([each])
    return [_of_images(group[:MOST_ENCODERS], MOST_SHEET_BYTES // len(together), with_images) for group in together]


def _newest(member: Member) -> Found | None:
    """The maps of the features that say most: of test images before others, of many before few."""
    folders = {member.run.path / runs.EMBEDDINGS, member.run.computed / runs.EMBEDDINGS}
    best: tuple[tuple[Any, ...], Found] | None = None
    for path in sorted(path for folder in folders for path in _folders(folder)):
        embedding = stored.load_embedding(path)
        if embedding is None or embedding.provenance.get("model") != "weights":
            continue
        kept = _maps_in(embedding)
        split = embedding.provenance.get("split")
        rank = (
            bool(kept),
            embedding.provenance.get("layer") == "h",
            embedding.provenance.get("checkpoint") is None,
            split in ("test", "auto"),
            embedding.num_images,
        )
        if kept and (best is None or rank > best[0]):
            best = rank, Found(member, embedding, kept)
    return best[1] if best is not None else None


def _folders(folder: Path) -> Iterable[Path]:
    try:
        return [path for path in folder.iterdir() if (path / stored.PROVENANCE).is_file()]
    except OSError:
        return []


def _maps_in(embedding: Embedding) -> dict[str, tuple[NDArray[np.float32], dict[str, Any]]]:
    """Method to the map on a plane, (N, 2), and what is known of it; that with the usual parameters first."""
    found = {}
    for method in projections.METHODS:
        points = embedding.map(method)
        if points is not None:
            found[method] = points, embedding.map_provenance(method)
            continue
        for path in sorted(embedding.folder.glob(f"{method}-*.json")):
            about = safe_read.json_dict(path)
            right = (about.get("method"), about.get("dims"), about.get("features_sha256"))
            if right != (method, 2, embedding.provenance.get("features_sha256")):
                continue
            try:
                points = safe_read.read_array(path.with_suffix(".npy")).astype(np.float32)
            except (OSError, ValueError):
                continue
            if points.shape == (embedding.num_images, 2) and np.isfinite(points).all():
                found[method] = points, about
                break
    return found


def _of_images(group: Sequence[Found], most_bytes: int, with_images: bool) -> dict[str, Any]:
    """Panels of the same images: what the script draws (`data`), and what the page says of it."""
    first = group[0].embedding
    rows = _chosen(first.num_images, MOST_POINTS)
    sheet = _sheet(group, rows, most_bytes) if with_images else None
    num_classes = len(first.classes)
    labels = first.labels if first.labels is not None else None
    has_classes = labels is not None and num_classes and int(labels.max(initial=0)) < num_classes
    shades = colors.category_colors(num_classes) if has_classes else [colors.PALETTE[0]]
    names = first.classes if has_classes else ["no class"]
    shown = [labels[row] for row in rows] if has_classes and labels is not None else [0] * len(rows)
    methods = [name for name in projections.METHODS if any(name in each.maps for each in group)]
    panels = []
    for each in group:
        drawn = {name: _packed(points[rows]) for name, (points, _) in each.maps.items()}
        notes = {name: _trust(about) for name, (_, about) in each.maps.items()}
        panels.append({"title": each.member.label, "about": _numbers(each.embedding), "maps": drawn, "notes": notes})
    split = SPLIT_NAMES.get(str(first.provenance.get("split")), "test")
    dataset = short_dataset(group[0].member.run.config.get("dataset"))
    return {
        "dataset": dataset,
        "split": split,
        "num_images": first.num_images,
        "num_points": len(rows),
        "num_tiles": 0 if sheet is None else sheet["count"],
        "methods": [{"key": name, "label": projections.LABELS[name]} for name in methods],
        "panels": [{"title": panel["title"], "about": panel["about"], "notes": panel["notes"]} for panel in panels],
        "classes": [{"name": name, "color": color} for name, color in zip(names, shades, strict=True)],
        "has_classes": bool(has_classes),
        "data": {
            "panels": [{"maps": panel["maps"], "notes": panel["notes"]} for panel in panels],
            "labels": [int(label) for label in shown],
            "ids": [int(first.ids[row]) for row in rows],
            "classes": names,
            "colors": shades,
            "sheet": sheet,
            "first": "umap" if "umap" in methods else methods[-1],
        },
    }


def _chosen(count: int, most: int) -> NDArray[np.int64]:
    """Rows at random, always the same; of few images all."""
    order = np.random.default_rng(0).permutation(count)
    return order[:most].astype(np.int64)


def _packed(points: NDArray[np.float32]) -> str:
    """Points as base64 of little-endian pairs of 16 bits, in a square whose y grows downwards."""
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max()) or 1.0
    placed = (points - (low + high) / 2) / size + 0.5
    placed[:, 1] = 1 - placed[:, 1]
    return base64.b64encode(np.clip(np.rint(GRID * placed), 0, GRID).astype("<u2").tobytes()).decode()


def _sheet(group: Sequence[Found], rows: NDArray[np.int64], most_bytes: int) -> dict[str, Any] | None:
    """The images at `rows` as one picture, fewer where it would grow too large; None where none are stored."""
    for each in group:
        paths = each.embedding.sheets
        if not paths:
            continue
        try:
            tiles = sheets.read_tiles(paths, each.embedding.provenance["thumbnails"], [int(row) for row in rows])
        except (OSError, ValueError, KeyError):
            continue
        while True:
            address = sheet_address(tiles)
            if len(address) <= most_bytes or len(tiles) <= SHEET_COLUMNS:
                break
            tiles = tiles[: max(SHEET_COLUMNS, int(0.9 * len(tiles) * most_bytes / len(address)))]
        side = min(tiles.shape[-1], LARGEST_TILE)
        return {"src": address, "side": side, "columns": SHEET_COLUMNS, "count": len(tiles)}
    return None


def sheet_address(tiles: NDArray[np.uint8], columns: int = SHEET_COLUMNS) -> str:
    """Images (n, 3, S, S) in rows of `columns`, as an address that holds the picture itself (WebP)."""
    side = min(tiles.shape[-1], LARGEST_TILE)
    picture = Image.new("RGB", (columns * side, -(-len(tiles) // columns) * side))
    for place, tile in enumerate(tiles):
        image = Image.fromarray(tile.transpose(1, 2, 0))
        if image.size[0] != side:
            image = image.resize((side, side), Image.Resampling.BOX)
        picture.paste(image, (place % columns * side, place // columns * side))
    stream = io.BytesIO()
    picture.save(stream, "webp", quality=WEBP_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def _numbers(embedding: Embedding) -> str:
    """What was measured on the features themselves, which no map bends."""
    value = safe_read.finite_number(embedding.knn_accuracy)
    return "" if value is None else f"kNN accuracy of these features, leaving one out: {100 * value:.1f} %"


def _trust(about: dict[str, Any]) -> str:
    """How far a map can be trusted."""
    kept, num = safe_read.finite_number(about.get("neighbors_kept")), safe_read.finite_number(about.get("k"))
    if kept is None or num is None:
        return ""
    return f"The map keeps {100 * kept:.0f} % of the {num:.0f} nearest neighbours of an image."
