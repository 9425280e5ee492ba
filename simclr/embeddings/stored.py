"""Features of encoders on the same plain images, and maps of them: computed once, kept in the run's folder.

    RUN/embeddings/<split>-<num_images>-<key>/
        provenance.json     weights, data, split, seed, versions, numbers measured on the features
        features.npy        (N, num_features) float32, the layer h or z
        ids.npy  labels.npy (N,) int64; labels are missing where the images have no classes
        factors.npz         recorded factors of variation, each (N,)
        measured.npz        what the images look like (`views.appearance`), each (N,) float16; not in older folders
        neighbors.npy  similarities.npy    (N, K) int32 and float32: the nearest by cosine, the most similar first
        predictions.npz     classes by number, each (N,): knn, linear, and a classifier's own
        labelled.npy        (N,) bool: the run trained on the label of this image; of training images alone
        thumbnails-0.png    the images as sheets of tiles
        <map>-<hash>.npy    (N, 2 or 3) float32 and its .json: a map, what it was made with, how far it can be trusted
        pair-<hash>.npy     (N,) float32 and its .json: what these features and those of another model have in common

The key follows from the content: the bytes of the weights, the data, the split, the layer, how many images and the
seed that chose them. So opening a map again is immediate, and a network that was trained on is never taken for the one
before. Here it is read and written, without torch; `embed` computes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.config import ConfigError
from simclr.embeddings import projections
from simclr.embeddings.measures import Measured
from simclr.embeddings.neighbors import Nearest
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import ADDED, PIXELS, UNTRAINED, EncoderRef, layers_of, open_weights
from simclr.embeddings.selection import ImageSelection, SelectedImages, data_identity
from simclr.evaluation.knn import NUM_NEIGHBORS
from simclr.files import safe_read, writing
from simclr.models.weights import Weights, file_hash
from simclr.views import appearance

PROVENANCE, FEATURES, IDS, LABELS, FACTORS = "provenance.json", "features.npy", "ids.npy", "labels.npy", "factors.npz"
NEIGHBORS, SIMILARITIES = "neighbors.npy", "similarities.npy"
PREDICTIONS, LABELLED, MEASURED = "predictions.npz", "labelled.npy", "measured.npz"
SHIPPED = "shipped"  # in the provenance of maps that came with an example: without features and pictures (`shipped`)
FORMAT = 3  # part of the key: raise it when what is stored changes its meaning
PREPROCESSING = "resized to image_size, then normalized; not augmented"


def key_values(model: EncoderRef, choice: ImageSelection, weights: Weights | None) -> dict[str, Any]:
    """Everything that decides which features `embedding_folder` stands for. weights: of `open_weights`."""
    values: dict[str, Any] = {
        "format": FORMAT,
        "data": data_identity(model.run, choice.split, choice.other),
        "split": choice.split,
        "num_images": choice.num_images,
        "seed": choice.seed,
        "model": model.what,
        "layer": model.layer,
        "preprocessing": PREPROCESSING,
    }
    if choice.among:
        values["among"] = [item.digest for item in choice.among]
    if model.added is not None:
        values["added"] = model.added.digest
    elif model.what != PIXELS:
        values["network"] = {name: model.run.config.get(name) for name in ("backbone", "image_size")}
    if model.what == "weights":
        assert weights is not None
        values["weights"] = weights.sha256
    elif model.what == UNTRAINED:
        values |= {"weights_seed": model.run.config.get("seed"), "has_weights": weights is not None}
    return values


def digest(values: dict[str, Any]) -> str:
    """The part of a file's name that stands for what it was made from."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:12]


def embedding_folder(model: EncoderRef, choice: ImageSelection) -> Path:
    """Where the features of `model`, with the weights it has now, on the images of `choice` lie, or will lie.

    Raises:
        ConfigError: if the run has no such weights or layer.
    """
    with open_weights(model) as weights:
        return folder_for(model, choice, weights)


def folder_for(
    model: EncoderRef, choice: ImageSelection, weights: Weights | None, *, with_features: bool = False
) -> Path:
    """The same with weights that were opened before.

    Args:
        with_features: not the maps alone that came with an example.
    """
    if model.layer not in layers_of(model):
        of = {PIXELS: "raw pixels do", UNTRAINED: "this network does", ADDED: f"{model.reference} do"}.get(
            model.what, f"{model.run.id} does"
        )
        raise ConfigError(f"layer is {model.layer}, which {of} not have; allowed: h, or a pre-training's projector.")
    choices = [replace(choice, split=split) for split in _same_splits(choice.split)]
    names = [_folder_name(model, each, weights) for each in choices]
    places = [model.run.computed / runs.EMBEDDINGS, model.run.path / runs.EMBEDDINGS]  # the same but for examples
    if model.added is not None:
        places = [model.added.folder / runs.EMBEDDINGS]
    own, others = ([place / name for name in part for place in places] for part in (names[:1], names[1:]))
    if (found := next((path for path in own if path.is_dir()), None)) is not None:
        return found
    is_own = choice.other is None and not choice.among
    if model.run.is_example and model.added is None and not with_features and is_own:
        others += [places[1] / shipped_name(model, each, weights) for each in choices]
    return next((path for path in others if _is_of_test(path)), own[0])


def _same_splits(split: str) -> tuple[str, ...]:
    """`auto` and `test` are the same images wherever data have test images."""
    return {"auto": ("auto", "test"), "test": ("test", "auto")}.get(split, (split,))


def _is_of_test(folder: Path) -> bool:
    return safe_read.json_dict(folder / PROVENANCE).get("split") == "test"


def _folder_name(model: EncoderRef, choice: ImageSelection, weights: Weights | None) -> str:
    return _name_by(key_values(model, choice, weights), choice)


def shipped_name(model: EncoderRef, choice: ImageSelection, weights: Weights | None) -> str:
    """The name of the folder of an example's features: wherever their data set lies, it is the same."""
    values = key_values(model, choice, weights)
    values["data"] = values["data"] | {"dataset": Path(str(model.run.config.get("dataset"))).name}
    return _name_by(values, choice)


def _name_by(values: dict[str, Any], choice: ImageSelection) -> str:
    number = "all" if choice.num_images is None else choice.num_images
    return f"{choice.split}-{number}-{digest(values)}"


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Embedding:
    """Features of one model on N images, as they lie on disk.

    features: (N, D) float32. ids: (N,) indices in the data set's own list. labels: (N,) or None.
    factors: recorded, name -> (N,), numbers or words. measured: from the pixels, name -> (N,) float32, empty in folders
    of older versions, of which `measured_of` gives them. near: the nearest by cosine, `KEPT_NEIGHBORS` or all others.
    predictions: `knn`, `linear`, `classifier` -> (N,) classes by number, as far as there are any. labelled: (N,) bool,
    True where the run trained on the label of the image; None unless these are its training images.
    """

    folder: Path
    features: NDArray[np.float32]
    ids: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    factors: dict[str, NDArray[Any]]
    provenance: dict[str, Any]
    near: Nearest
    predictions: dict[str, NDArray[np.int64]]
    labelled: NDArray[np.bool_] | None
    measured: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> list[str]:
        return [str(name) for name in self.provenance.get("classes") or []]

    @property
    def neighbors(self) -> NDArray[np.int32]:
        """(N, K) indices of the nearest images by cosine of the features, the most similar first."""
        return self.near.indices

    @property
    def similarities(self) -> NDArray[np.float32]:
        """(N, K) cosines of `neighbors`."""
        return self.near.similarities

    @property
    def numbers(self) -> dict[str, Any]:
        """Numbers measured on the features, as `embed` wrote them: accuracies 0..1, silhouettes -1..1."""
        found = self.provenance.get("numbers")
        return found if isinstance(found, dict) else {}

    @property
    def knn_accuracy(self) -> float | None:
        """Leave-one-out kNN accuracy of the features, 0..1; None without classes."""
        return self.numbers.get("knn_accuracy")

    @property
    def shared_images(self) -> tuple[int, int] | None:
        """How many images of the split added embeddings have, of how many; None where they have all, or there are none.

        No other image is chosen then.
        """
        found = self.provenance.get("shared_images")
        is_pair = isinstance(found, list) and len(found) == 2 and all(type(number) is int for number in found)
        return (found[0], found[1]) if is_pair else None  # type: ignore[index]

    @property
    def is_shipped(self) -> bool:
        """Whether it came with an example: `features` are (N, 0) then, and pictures are read from the data set."""
        return self.provenance.get(SHIPPED) is True

    @property
    def pictures(self) -> Path:
        """Where the thumbnails lie; of what came with an example beside the user's runs, one folder for all models."""
        if not self.is_shipped:
            return self.folder
        return (
            runs.computed_beside(self.folder).parents[2] / f"pictures-{digest({'images': self.provenance['images']})}"
        )

    @property
    def sheets(self) -> list[Path]:
        """The images as sheets of tiles; none of what came with an example before its pictures are read."""
        paths = sheet_paths(self.pictures, self.provenance)
        return paths if not self.is_shipped or all(path.is_file() for path in paths) else []

    def map_path(self, asked: str | Projection) -> Path:
        """Where a map lies, or will lie; its name tells its parameters apart. It may have come with an example."""
        asked = projections.projection(asked)
        chosen = asked.parameters(self.num_images, int(self.provenance["seed"]))
        chosen |= {"features": self.provenance.get("features_sha256")}  # the folder may be written again meanwhile
        name = asked.method + ("-3d" if asked.dims == 3 else "")
        path = self.folder / f"{name}-{digest({'method': asked.method, 'dims': asked.dims, **chosen})}.npy"
        return path if path.is_file() else runs.computed_beside(self.folder) / path.name

    def map(self, asked: str | Projection) -> NDArray[np.float32] | None:
        """The map (N, dims); None if it was not computed, or is damaged."""
        points = _array(self.map_path(asked))
        shape = (self.num_images, projections.projection(asked).dims)
        return points if points is not None and points.shape == shape and np.isfinite(points).all() else None

    def map_provenance(self, asked: str | Projection) -> dict[str, Any]:
        """What a map was made with, and the numbers of `compare.map_numbers` about it."""
        return safe_read.json_dict(self.map_path(asked).with_suffix(".json"))


def _array(path: Path) -> NDArray[Any] | None:
    try:
        found = safe_read.read_array(path)
    except (OSError, ValueError):
        return None
    return found.astype(np.float32, copy=False) if found.dtype.kind == "f" else None


def sheet_paths(folder: Path, about: Mapping[str, Any]) -> list[Path]:
    """The sheets of thumbnails in a folder; `about` says which, and how the tiles lie on them.

    Raises:
        ValueError: if it does not, or names files elsewhere.
    """
    tiles = about.get("thumbnails")
    if not isinstance(tiles, dict) or not isinstance(names := tiles.get("sheets"), list):
        raise ValueError("no thumbnails")
    numbers = [tiles.get(name) for name in ("side", "columns", "per_sheet")]
    if not all(type(number) is int and 0 < number < 10**6 for number in numbers):
        raise ValueError("no place of the tiles")
    if not all(isinstance(name, str) and re.fullmatch(r"[\w-]+\.png", name) for name in names):
        raise ValueError("sheets that are no names of pictures")
    return [folder / name for name in names]


def load_embedding(folder: Path) -> Embedding | None:
    """What lies in a folder of features; None if it is missing, damaged or not whole."""
    provenance = safe_read.json_dict(folder / PROVENANCE)

    def load(name: str, kinds: str, mmap: bool = False) -> Any:
        found = safe_read.read_array(folder / name, mmap)
        if found.dtype.kind not in kinds:
            raise ValueError(f"{name} holds {found.dtype}")
        return found

    def load_if_there(name: str, kinds: str) -> Any:
        return load(name, kinds) if (folder / name).exists() else None

    is_shipped = provenance.get(SHIPPED) is True
    try:
        ids = load(IDS, "iu")
        features = np.empty((len(ids), 0), np.float32) if is_shipped else load(FEATURES, "f", mmap=True)
        labels, labelled = load_if_there(LABELS, "iu"), load_if_there(LABELLED, "b")
        near = Nearest(load(NEIGHBORS, "iu", mmap=True), load(SIMILARITIES, "f", mmap=True))
        factors = {} if is_shipped else safe_read.read_arrays(folder / FACTORS)
        predictions = safe_read.read_arrays(folder / PREDICTIONS)
        sheets = sheet_paths(folder, provenance)
        int(provenance["seed"])
    except (OSError, ValueError, OverflowError, KeyError, TypeError):
        return None
    lists = [ids, *factors.values(), *predictions.values()]
    lists += [array for array in (labels, labelled) if array is not None]
    if features.ndim != 2 or any(array.shape != (len(features),) for array in lists):
        return None
    if any(array.ndim != 2 or len(array) != len(features) for array in near):
        return None
    if not is_shipped and not all(path.is_file() for path in sheets):
        return None
    if safe_read.json_dict(folder / PROVENANCE) != provenance:  # it was written again while it was read
        return None
    measured = _read_measured(folder, len(features))
    if is_shipped:  # small numbers on disk; here they are those of all others
        ids, labels = ids.astype(np.int64), None if labels is None else labels.astype(np.int64)
        near = Nearest(near.indices.astype(np.int32), near.similarities.astype(np.float32))
        predictions = {name: values.astype(np.int64) for name, values in predictions.items()}
    return Embedding(folder, features, ids, labels, factors, provenance, near, predictions, labelled, measured)


def _read_measured(folder: Path, num_images: int) -> dict[str, NDArray[np.float32]]:
    """What was measured of the images; empty where it is missing, damaged, or was measured by another version."""
    try:
        found = safe_read.read_arrays(folder / MEASURED)
    except (OSError, ValueError):
        return {}
    version = found.pop("version", np.array(0))
    is_whole = set(found) == set(appearance.MEASURES) and all(
        array.dtype.kind == "f" and array.shape == (num_images,) and np.isfinite(array).all()
        for array in found.values()
    )
    if not is_whole or version.shape or version.item() != appearance.VERSION:
        return {}
    return {name: array.astype(np.float32) for name, array in found.items()}


def measured_of(embedding: Embedding) -> dict[str, NDArray[np.float32]]:
    """What the images look like; where it was not kept, measured now from the thumbnails, and empty without them."""
    if embedding.measured:
        return embedding.measured
    try:
        return appearance.measure_sheets(embedding.sheets, embedding.provenance["thumbnails"], embedding.num_images)
    except (OSError, ValueError):
        return {}


def find_embedding(model: EncoderRef, choice: ImageSelection) -> Embedding | None:
    """The features of `model` on these images if they were computed before; None otherwise."""
    try:
        return load_embedding(embedding_folder(model, choice))
    except (ConfigError, OSError):
        return None


def same_images(first: Embedding, second: Embedding) -> bool:
    """True if both were computed on the very same images, by number and by content."""
    return first.provenance.get("images") == second.provenance.get("images") and np.array_equal(first.ids, second.ids)


@dataclass(frozen=True)
class Pair:
    """What two models make of the same images, whichever of them comes first.

    neighbor_jaccard: (N,) float32, Jaccard index of each image's k nearest neighbours in both, 0..1.
    chance_jaccard: about what neighbours drawn at random would give on average. linear_cka: 0..1.
    """

    neighbor_jaccard: NDArray[np.float32]
    k: int
    mean_jaccard: float
    chance_jaccard: float
    linear_cka: float


def pair_path(first: Embedding, second: Embedding) -> Path:
    """Where the pair's numbers lie, or will lie: beside the features of one of both."""
    hashes = {str(item.provenance.get("features_sha256")): item.folder for item in (first, second)}
    path = hashes[min(hashes)] / f"pair-{digest({'features': sorted(hashes), 'k': NUM_NEIGHBORS})}.npy"
    return path if path.is_file() else runs.computed_beside(path.parent) / path.name


def find_pair(first: Embedding, second: Embedding) -> Pair | None:
    """The numbers about two models if they were computed before; None otherwise."""
    path = pair_path(first, second)
    about, jaccard = safe_read.json_dict(path.with_suffix(".json")), _array(path)
    if jaccard is None or jaccard.shape != (first.num_images,):
        return None
    try:
        return Pair(jaccard, *(about[name] for name in ("k", "mean_jaccard", "chance_jaccard", "linear_cka")))
    except KeyError:
        return None


# --- writing --------------------------------------------------------------------------------------------------------


def save_embedding(
    folder: Path,
    model: EncoderRef,
    weights: Weights | None,
    choice: ImageSelection,
    pictures: SelectedImages,
    images: str,
    features: NDArray[np.float32],
    measured: Measured,
) -> None:
    """Writes a whole folder aside and puts it in place in one step. images: the digest of `pictures`."""
    from simclr.views import thumbnails

    aside = folder.parent / f".{folder.name}.{os.getpid()}.{uuid.uuid4().hex[:6]}"
    try:
        aside.mkdir(parents=True)
        arrays: dict[str, NDArray[Any] | None] = {
            FEATURES: features,
            IDS: pictures.ids,
            LABELS: pictures.labels,
            NEIGHBORS: measured.near.indices,
            SIMILARITIES: measured.near.similarities,
            LABELLED: measured.labelled,
        }
        for name, array in arrays.items():
            if array is not None:
                np.save(aside / name, array)
        np.savez(aside / FACTORS, **pictures.chosen.factors)  # type: ignore[arg-type]
        np.savez(aside / PREDICTIONS, **measured.predictions)  # type: ignore[arg-type]
        tiles = thumbnails.write_sheets(pictures.chosen, aside)
        looks = appearance.measure_sheets(sheet_paths(aside, {"thumbnails": tiles}), tiles, len(pictures.ids))
        save_measured(aside, looks)
        keys = key_values(model, choice, weights)
        path = weights.path if weights is not None and model.what == "weights" else None
        provenance = {
            "run": model.run.id if model.added is None else model.added.name,
            "model": model.what,
            "weights": str(path.relative_to(model.run.path)) if path is not None else None,
            "checkpoint": model.checkpoint,
            "weights_sha256": keys.get("weights"),
            "backbone": model.run.config.get("backbone") if model.added is None else None,
            "data": keys["data"],
            "split": pictures.chosen.name,
            "num_images": len(pictures.ids),
            "num_images_asked": choice.num_images,
            "seed": choice.seed,
            "layer": model.layer,
            "num_features": int(features.shape[1]),
            "image_size": model.run.config.get("image_size"),
            "preprocessing": PREPROCESSING if model.added is None else None,
            "added": None if model.added is None else {"name": model.added.name, "digest": model.added.digest},
            "shared_images": pictures.shared,
            "images": images,
            "features_sha256": file_hash(aside / FEATURES),
            "classes": pictures.classes,
            "numbers": measured.numbers,
            "thumbnails": tiles,
            "versions": runs.versions(),
            "git_commit": runs.git_commit(),
            "created": time.time(),
        }
        writing.write_atomically(aside / PROVENANCE, json.dumps(provenance, indent=1))
        if folder.exists():  # damaged, or of images that have changed since
            os.replace(folder, old := folder.parent / f".old-{uuid.uuid4().hex[:8]}")
            shutil.rmtree(old, ignore_errors=True)
        os.replace(aside, folder)
    except OSError as error:
        if load_embedding(folder) is None:  # else another process was quicker
            raise ConfigError(f"{folder.parent} cannot be written: {error.strerror}.") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def save_measured(folder: Path, measured: Mapping[str, NDArray[np.floating[Any]]]) -> None:
    """Keeps what the images look like."""
    arrays: dict[str, Any] = {name: array.astype(np.float16) for name, array in measured.items()}
    with writing.replacing(folder / MEASURED, sync=False) as stream:
        np.savez(stream, version=np.array(appearance.VERSION), **arrays)


def save_array(path: Path, values: NDArray[Any], about: dict[str, Any]) -> None:
    """Writes an array and, before it, what it was made with: whoever finds the array finds that too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writing.write_atomically(path.with_suffix(".json"), json.dumps(about, indent=1))
    writing.write_array(path, values)
