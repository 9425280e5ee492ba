"""The cards of two encoders (`disagreement`), computed once by a job and kept beside their features (no torch).

    RUN/embeddings/<features or film>/disagreement-<key>.json

The key follows from all that the cards depend on: both features, images, classes, factors, and the version of the
rules. Which encoder comes first does not matter. Of an example the file lies beside the user's runs.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.analysis import disagreement
from simclr.analysis.disagreement import Card
from simclr.analysis.traits import Trait
from simclr.config import ConfigError, not_written
from simclr.embeddings import stored
from simclr.embeddings.stored import Embedding
from simclr.files import safe_read, writing
from simclr.films import film
from simclr.films.film import Film
from simclr.launch import jobs
from simclr.runs import film_frames
from simclr.views import appearance

JOB_NAME = "disagree"
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Sides:
    """Two encoders' features of the same images.

    folders: where they lie, those of embeddings or of films. digests: change with any number of the features.
    features: reads those of one side, (N, D). labels, classes, factors: as `disagreement.find_cards` takes them.
    measured: gives what the images look like; empty where that cannot be told.
    images: changes with any image.
    """

    folders: tuple[Path, Path]
    digests: tuple[str, str]
    num_images: int
    images: str
    features: Callable[[int], Floats] = field(compare=False)
    measured: Callable[[], dict[str, Any]] = field(compare=False)
    labels: NDArray[np.integer[Any]] | None = field(default=None, compare=False)
    classes: tuple[str, ...] = ()
    factors: Mapping[str, NDArray[Any]] = field(default_factory=dict, compare=False)

    @property
    def order(self) -> tuple[int, int]:
        """Which of both comes first in what is kept."""
        return (0, 1) if self.digests[0] <= self.digests[1] else (1, 0)

    @property
    def path(self) -> Path:
        """Where the cards lie, or will lie."""
        found = hashlib.sha256()
        if self.labels is not None:
            found.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        for name, values in sorted(self.factors.items()):
            found.update(f"{name} {values.dtype} ".encode() + np.ascontiguousarray(values).tobytes())
        key = {
            "rules": [disagreement.VERSION, appearance.VERSION],
            "features": sorted(self.digests),
            "images": self.images,
            "classes": self.classes,
            "labels and factors": found.hexdigest(),
        }
        path = self.folders[self.order[0]] / f"disagreement-{stored.digest(key)}.json"
        return path if path.is_file() else runs.computed_beside(path.parent) / path.name  # it may have been shipped


def of_embeddings(first: Embedding, second: Embedding) -> Sides:
    """Those of two stored embeddings of the same images."""
    both = first, second
    return Sides(
        (first.folder, second.folder),
        (str(first.provenance.get("features_sha256")), str(second.provenance.get("features_sha256"))),
        first.num_images,
        str(first.provenance.get("images")),
        lambda side: both[side].features,
        lambda: stored.measured_of(first),
        first.labels,
        tuple(first.classes),
        first.factors,
    )


def of_films(first: Film, second: Film) -> Sides:
    """Those of the last frames of two films of the same images."""
    both = first, second
    ours, theirs = (_digest_of_frame(str(item.folder), *item.stamp(item.epochs[-1])) for item in both)
    return Sides(
        (first.folder, second.folder),
        (ours, theirs),
        first.num_images,
        str(first.about.get("images")),
        lambda side: both[side].features(both[side].epochs[-1]),
        lambda: _measured_of(first),
        first.labels,
        tuple(first.classes),
        first.factors,
    )


@lru_cache(maxsize=64)
def _digest_of_frame(folder: str, epoch: int, modified: int, size: int) -> str:
    """Of the bytes, so that a copied film has its cards; read again when the file has changed."""
    content = safe_read.read_bytes(film_frames.frame_path(Path(folder), epoch), safe_read.MAX_ARRAY_BYTES)
    return hashlib.sha256(content).hexdigest()


def _measured_of(item: Film) -> dict[str, NDArray[np.float32]]:
    try:
        return appearance.measure_sheets(item.sheets, item.about["thumbnails"], item.num_images)
    except (OSError, ValueError):
        return {}


def of_folders(first: Path, second: Path) -> Sides:
    """Those of two folders of features, or of two films.

    Raises:
        ConfigError: if they are none, damaged, of different kinds or of different images.
    """
    films = [_film_in(folder) for folder in (first, second)]
    embeddings = [stored.load_embedding(folder) for folder in (first, second)]
    if films[0] is not None and films[1] is not None:
        one, other = films[0], films[1]
        is_same = np.array_equal(one.ids, other.ids) and one.about.get("images") == other.about.get("images")
        found = of_films(one, other)
    elif embeddings[0] is not None and embeddings[1] is not None:
        is_same = stored.same_images(embeddings[0], embeddings[1])
        found = of_embeddings(embeddings[0], embeddings[1])
    else:
        raise ConfigError(
            f"RUN is {first} and {second}; allowed: two runs, or two folders of features or of films that are whole."
        )
    if not is_same:
        raise ConfigError(f"RUN is {first} and {second}, which show different images; allowed: two of the same images.")
    return found


def _film_in(folder: Path) -> Film | None:
    is_film = folder.name == film_frames.FILM and (folder / film_frames.ABOUT).is_file()
    return film.load(runs.Run(folder.parent.parent), min_frames=1) if is_film else None


# --- kept -----------------------------------------------------------------------------------------------------------


def load(sides: Sides) -> list[Card] | None:
    """The cards if they were computed before; None where they were not, or are damaged."""
    values = safe_read.json_dict(sides.path)
    try:
        found = [_card(each, sides.num_images) for each in values["cards"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return [replace(card, together=sides.order[card.together]) for card in found]


def compute(sides: Sides) -> list[Card]:
    """The cards, from what is kept or computed now and kept.

    Raises:
        ConfigError: if there are too few images, features cannot be read, or the folder cannot be written.
    """
    if (found := load(sides)) is not None:
        return found
    if sides.num_images < disagreement.MIN_IMAGES:
        raise ConfigError(f"num_images is {sides.num_images}; allowed: at least {disagreement.MIN_IMAGES}.")
    begun = time.perf_counter()
    one, other = sides.order
    try:
        features = sides.features(one), sides.features(other)
    except (OSError, ValueError):
        raise ConfigError(f"The features in {sides.folders[one]} or {sides.folders[other]} cannot be read.") from None
    if not features[0].shape[1] or not features[1].shape[1]:
        raise ConfigError("These maps came without features; they are computed from the weights and the data set.")
    cards = disagreement.find_cards(features, sides.labels, sides.classes, sides.factors, sides.measured())
    values = {
        "features": [sides.folders[side].name for side in sides.order],
        "runs": [sides.folders[side].parent.parent.name for side in sides.order],
        "features_digests": [sides.digests[side] for side in sides.order],
        "cards": [_values(card) for card in cards],
        "seconds": round(time.perf_counter() - begun, 3),
        "versions": runs.versions(),
        "created": time.time(),
    }
    try:
        sides.path.parent.mkdir(parents=True, exist_ok=True)
        writing.write_atomically(sides.path, json.dumps(values, indent=1))
    except OSError as error:
        raise not_written(f"{sides.path.parent} cannot be written", error) from None
    return [replace(card, together=sides.order[card.together]) for card in cards]


def _values(card: Card) -> dict[str, Any]:
    return {
        "together": card.together,
        "rows": card.rows.tolist(),
        "similarity": card.similarity,
        "elsewhere": card.elsewhere,
        "spread": card.spread,
        "num_groups": card.num_groups,
        "p": card.p,
        "traits": [{"name": trait.name, "text": trait.text, "p": trait.p} for trait in card.traits],
    }


def _card(values: Mapping[str, Any], num_images: int) -> Card:
    """Raises KeyError, TypeError or ValueError if it is damaged."""
    rows = np.array(values["rows"])
    if rows.ndim != 1 or not len(rows) or rows.dtype.kind != "i" or rows.min() < 0 or rows.max() >= num_images:
        raise ValueError("rows")
    together, spread, num_groups = (values[name] for name in ("together", "spread", "num_groups"))
    numbers = [float(values[name]) for name in ("similarity", "elsewhere", "p")]
    if together not in (0, 1) or not all(type(each) is int for each in (together, spread, num_groups)):
        raise ValueError("counts")
    if not all(math.isfinite(each) for each in numbers):
        raise ValueError("numbers")
    traits = tuple(Trait(str(each["name"]), str(each["text"]), float(each["p"])) for each in values["traits"])
    similarity, elsewhere, p = numbers
    return Card(together, rows.astype(np.int64), similarity, elsewhere, spread, num_groups, p, traits)


# --- jobs -----------------------------------------------------------------------------------------------------------


def request_of(sides: Sides) -> dict[str, Any]:
    """What a job is asked for: the file it is to write."""
    return {"result": str(sides.path)}


def start_job(sides: Sides, runs_dir: Path) -> Path:
    """Starts computing in the background, or gives the folder of the job that does so already.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    folders = [str(folder.resolve()) for folder in sides.folders]
    return jobs.start(
        JOB_NAME, request_of(sides), ["disagree", *folders, "--runs_dir", str(runs_dir.resolve())], runs_dir
    )


def find_job(sides: Sides, runs_dir: Path) -> Path | None:
    """The newest job with this request, whatever became of it."""
    return jobs.find(JOB_NAME, request_of(sides), runs_dir)
