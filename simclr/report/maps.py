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
from simclr.added.sets import AddedSet
from simclr.curves import colors
from simclr.embeddings import projections, stored
from simclr.embeddings.references import ADDED
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
    """The features of a run or of another encoder on some images, and the maps of them that lie beside.

    title: whose they are. dataset: whose the images are. rank: higher where they say more.
    """

    title: str
    dataset: str
    embedding: Embedding
    maps: dict[str, tuple[NDArray[np.float32], dict[str, Any]]]
    rank: tuple[Any, ...]


def maps_of(lines: Sequence[Line], with_images: bool = True, added: Sequence[AddedSet] = ()) -> list[dict[str, Any]]:
    """The stored maps of runs, and of embeddings that were added, those of the same images together.

    Of what has maps of several choices of images, those are taken that runs and other encoders have both.
    """
    others = [_of_added(item) for item in added]
    beside = [each.embedding for several in others for each in several]
    found = [best for line in lines for member in line.members if (best := _best(_of_run(member), beside))]
    beside = [each.embedding for each in found]
    found += [best for several in others if (best := _best(several, beside))]
    together: list[list[Found]] = []
    for each in found:
        for other in together:
            if stored.same_images(other[0].embedding, each.embedding):
                other.append(each)
                break
        else:
            together.append([each])
    return [_of_images(_not_too_many(group), MOST_SHEET_BYTES // len(together), with_images) for group in together]


def _of_run(member: Member) -> list[Found]:
    """All that a run has of its weights."""
    folders = {member.run.path / runs.EMBEDDINGS, member.run.computed / runs.EMBEDDINGS}
    return _all_of(folders, "weights", member.label, str(member.run.config.get("dataset") or ""))


def _of_added(item: AddedSet) -> list[Found]:
    return _all_of({item.folder / runs.EMBEDDINGS}, ADDED, item.name, item.dataset)


def _all_of(folders: Iterable[Path], model: str, title: str, dataset: str) -> list[Found]:
    """Features that have a map, with their rank: of test images before others, of many before few."""
    found = []
    for path in sorted(path for folder in folders for path in _folders(folder)):
        embedding = stored.load_embedding(path)
        if embedding is None or embedding.provenance.get("model") != model:
            continue
        split = embedding.provenance.get("split")
        rank = (
            embedding.provenance.get("layer") == "h",
            embedding.provenance.get("checkpoint") is None,
            split in ("test", "auto"),
            embedding.num_images,
        )
        if kept := _maps_in(embedding):
            found.append(Found(title, dataset, embedding, kept, rank))
    return found


def _best(several: Sequence[Found], beside: Sequence[Embedding]) -> Found | None:
    """What says most, before all on images that others have too."""

    def rank(each: Found) -> tuple[Any, ...]:
        return any(stored.same_images(each.embedding, other) for other in beside), *each.rank

    return max(several, key=rank, default=None)


def _not_too_many(group: Sequence[Found]) -> list[Found]:
    """The first, and all other encoders, which were asked for by their names."""
    added = [each for each in group if each.embedding.provenance.get("model") == ADDED][: MOST_ENCODERS - 1]
    networks = [each for each in group if each.embedding.provenance.get("model") != ADDED]
    return [*networks[: MOST_ENCODERS - len(added)], *added]


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
        panels.append({"title": each.title, "about": _numbers(each, group), "maps": drawn, "notes": notes})
    split = SPLIT_NAMES.get(str(first.provenance.get("split")), "test")
    dataset = short_dataset(group[0].dataset)
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


def _numbers(each: Found, group: Sequence[Found]) -> str:
    """What was measured on the features themselves, which no map bends; of another encoder also beside the first."""
    said = []
    value = safe_read.finite_number(each.embedding.knn_accuracy)
    if value is not None:
        said.append(f"kNN accuracy of these features, leaving one out: {100 * value:.1f} %")
    first = group[0]
    pair = stored.find_pair(first.embedding, each.embedding) if each is not first else None
    if pair is not None and each.embedding.provenance.get("model") == ADDED:
        shared, chance = 100 * pair.mean_jaccard, 100 * pair.chance_jaccard
        said.append(
            f"beside {first.title}, the {pair.k} nearest neighbours have a Jaccard index of {shared:.1f} % (by chance "
            f"{chance:.1f} %), and linear CKA is {pair.linear_cka:.2f}"
        )
    return "; ".join(said)


def _trust(about: dict[str, Any]) -> str:
    """How far a map can be trusted."""
    kept, num = safe_read.finite_number(about.get("neighbors_kept")), safe_read.finite_number(about.get("k"))
    if kept is None or num is None:
        return ""
    return f"The map keeps {100 * kept:.0f} % of the {num:.0f} nearest neighbours of an image."
