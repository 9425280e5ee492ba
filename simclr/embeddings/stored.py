"""Features of encoders on the same plain images, and maps of them: computed once, kept in the run's folder.

    RUN/embeddings/<split>-<num_images>-<key>/
        provenance.json     weights, data, split, seed, versions, numbers measured on the features
        features.npy        (N, num_features) float32, the layer h or z
        ids.npy  labels.npy (N,) int64; labels are missing where the images have no classes
        factors.npz         recorded factors of variation, each (N,)
        neighbors.npy  similarities.npy    (N, K) int32 and float32: the nearest by cosine, the most similar first
        predictions.npz     classes by number, each (N,): knn, linear, and a classifier's own
        labelled.npy        (N,) bool: the run trained on the label of this image; of training images alone
        thumbnails-0.png    the images as sheets of tiles
        <map>-<hash>.npy    (N, 2 or 3) float32 and its .json: a map, what it was made with, how far it can be trusted
        pair-<hash>.npy     (N,) float32 and its .json: what these features and those of another model have in common

The key follows from the content: the bytes of the weights, the data, the split, the layer, how many images and the
seed that chose them. So opening a map again is immediate, and a network that was trained on is never taken for the one
before. Here is what can be asked for and read, without torch; `embed` computes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.embeddings import compare, projections
from simclr.embeddings.projections import Nearest, Projection
from simclr.files import safe_read
from simclr.hardware import devices
from simclr.launch import jobs
from simclr.models.weights import Weights
from simclr.runs import Run

if TYPE_CHECKING:
    import pandas

PROVENANCE, FEATURES, IDS, LABELS, FACTORS = "provenance.json", "features.npy", "ids.npy", "labels.npy", "factors.npz"
NEIGHBORS, SIMILARITIES = "neighbors.npy", "similarities.npy"
PREDICTIONS, LABELLED = "predictions.npz", "labelled.npy"
JOB_NAME = "embed"
FORMAT = 3  # part of the key: raise it when what is stored changes its meaning
PREPROCESSING = "resized to image_size, then normalized; not augmented"

SPLITS = ("auto", "test", "val", "train")
CHECKPOINTS = ("best", "last", "epoch-N")
LAYERS = ("h", "z")
# Not runs, but worth comparing one with: its network before training, and no network at all.
UNTRAINED, PIXELS = "untrained", "pixels"
DEFAULT_IMAGES = 10_000
KEPT_NEIGHBORS = 100  # of each image; more are looked for only where a map asks for them

Layer = Literal["h", "z"]


# --- what is asked for ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """Which images.

    split: `auto` is test, else val, else train, whichever the data have first.
    num_images: at most this many, stratified by class; None: all.
    seed: of the choice of images and of the maps.
    """

    split: str = "auto"
    num_images: int | None = DEFAULT_IMAGES
    seed: int = 0


@dataclass(frozen=True)
class Model:
    """One side of a comparison: a run's weights, or its network untrained, or its images' pixels.

    checkpoint: `best`, `last` or `epoch-N`; None: the final weights, and the last checkpoint of a run without them.
    layer: the representation h, or the projector's z, which only pre-trainings have.
    """

    run: Run
    what: Literal["weights", "untrained", "pixels"] = "weights"
    checkpoint: str | None = None
    layer: Layer = "h"

    @property
    def name(self) -> str:
        """For people."""
        parts = [{"weights": self.run.name, UNTRAINED: "the untrained network", PIXELS: "raw pixels"}[self.what]]
        if self.checkpoint and self.what == "weights":
            epoch = self.checkpoint.removeprefix("epoch-")
            parts.append(f"epoch {epoch}" if epoch != self.checkpoint else f"{self.checkpoint} checkpoint")
        if self.layer != "h":
            parts.append(f"layer {self.layer}")
        return ", ".join(parts)

    @property
    def reference(self) -> str:
        """The text by which `resolve_models` finds it again."""
        parts = [self.run.id if self.what == "weights" else self.what]
        parts += [self.checkpoint] if self.checkpoint and self.what == "weights" else []
        return "@".join([*parts, *([self.layer] if self.layer != "h" else [])])


def is_checkpoint(word: str) -> bool:
    """True for `best`, `last` and `epoch-` with a number."""
    return word in CHECKPOINTS[:2] or re.fullmatch(r"epoch-[1-9]\d{0,8}", word) is not None


def resolve_models(
    names: Sequence[str], runs_dir: Path, checkpoint: str | None = None, layer: Layer = "h"
) -> list[Model]:
    """The models that RUN arguments name: runs, `untrained` and `pixels`; the first run lends those its data.

    A name may end in a checkpoint and a layer of its own, `RUN@epoch-8@z`; else `checkpoint` and `layer` hold.

    Raises:
        ConfigError: if one names nothing, or none is a run.
    """
    taken_apart = [_split_reference(name, checkpoint, layer) for name in names]
    found = [None if name in (UNTRAINED, PIXELS) else runs.find(name, runs_dir) for name, *_ in taken_apart]
    host = next((run for run in found if run is not None), None)
    if host is None:
        raise ConfigError(
            f"RUN is {', '.join(names)}; allowed: at least one run, whose data and network are then used."
        )
    return [
        Model(run, "weights", *rest) if run is not None else Model(host, name, None, rest[1])  # type: ignore[arg-type]
        for run, (name, *rest) in zip(found, taken_apart, strict=True)
    ]


def _split_reference(text: str, checkpoint: str | None, layer: Layer) -> tuple[str, str | None, Layer]:
    while "@" in text:
        rest, _, word = text.rpartition("@")
        if word in LAYERS:
            layer = word  # type: ignore[assignment]
        elif is_checkpoint(word):
            checkpoint = word
        else:
            break
        text = rest
    return text, checkpoint, layer


def checkpoints_of(run: Run) -> list[str]:
    """The checkpoints of a run that a Model may name: `best` and `last` first, then epochs in order."""
    if _has_head_alone(run):
        return []
    folder = run.path / runs.CHECKPOINTS
    epochs = [path.stem for path in folder.glob("epoch-*.ckpt") if is_checkpoint(path.stem)]
    found = [name for name in CHECKPOINTS[:2] if (folder / f"{name}.ckpt").is_file()]
    return found + sorted(epochs, key=lambda name: int(name.removeprefix("epoch-")))


def layers_of(model: Model) -> tuple[Layer, ...]:
    """`h`, and `z` where there is a projector."""
    return LAYERS if model.what != PIXELS and model.run.kind == "pretrain" else ("h",)  # type: ignore[return-value]


def _has_head_alone(run: Run) -> bool:
    """True if a run's checkpoints hold nothing but the head, since its encoder never changed."""
    return run.kind == "finetune" and bool(run.config.get("freeze_encoder")) and run.config.get("augmentation") is None


def weights_path(run: Run, checkpoint: str | None = None) -> Path:
    """The file with an encoder's weights that a run has.

    Raises:
        ConfigError: if it has none yet.
    """
    folder = run.path / runs.CHECKPOINTS
    last, best = folder / runs.LAST_CHECKPOINT, folder / runs.BEST_CHECKPOINT
    if _has_head_alone(run):
        last = best = run.model_path
    named = {None: (run.model_path, last), "best": (best,), "last": (last,)}
    for path in named.get(checkpoint) or (folder / f"{checkpoint}.ckpt",):
        if path.is_file():
            return path
    if checkpoint is None:
        raise ConfigError(
            f"{run.id} is {run.status.state} and has no weights yet; allowed: a run that has trained an epoch."
        )
    there = ", ".join(checkpoints_of(run)) or "none is kept"
    raise ConfigError(
        f"checkpoint is {checkpoint}, which {run.id} does not have; allowed: one that was saved ({there}), or unset."
    )


def has_weights(run: Run) -> bool:
    """True if features can be computed from this run."""
    if run.kind not in cfg.MODELS:
        return False
    with contextlib.suppress(ConfigError):
        weights_path(run)
        return True
    return False


@contextlib.contextmanager
def open_weights(model: Model) -> Iterator[Weights | None]:
    """The weights of a model; those of its run for an untrained network, whose stem they tell. None where none are.

    Raises:
        ConfigError: if a model that is to have weights has none.
    """
    path = None
    if model.what == "weights":
        path = weights_path(model.run, model.checkpoint)
    elif model.what == UNTRAINED and has_weights(model.run):
        path = weights_path(model.run)
    try:
        weights = Weights(path) if path is not None else None
    except OSError as error:
        raise ConfigError(f"RUN has the weights {path}, which cannot be read: {error.strerror}.") from None
    try:
        yield weights
    finally:
        if weights is not None:
            weights.close()


def data_identity(run: Run, split: str) -> dict[str, Any]:
    """The options that decide which images a split holds, and how they are drawn or stored."""
    options = run.config
    dataset = str(options.get("dataset"))
    found: dict[str, Any] = {"dataset": dataset}
    is_folder = dataset not in cfg.DATASETS
    if is_folder:
        found["dataset"] = str(Path(dataset).expanduser().resolve())
    if is_folder or dataset == "shapes":  # others keep their own size
        found["image_size"] = options.get("image_size")
    if is_folder or split in ("val", "train"):
        found["seed"] = options.get("seed")
    if split in ("val", "train"):
        found |= {name: options.get(name) for name in ("limit_images", "val_fraction")}
        if dataset == "stl10" and (split == "train" or options.get("limit_images") is not None):
            found["unlabelled_images"] = "used" if run.kind == "pretrain" else "left out"
    return found


def check_same_data(models: Sequence[Model], choice: Choice) -> None:
    """Raises ConfigError with one sentence if the models cannot be shown the same images."""
    first = models[0]
    mine = data_identity(first.run, choice.split)
    for other in models[1:]:
        theirs = data_identity(other.run, choice.split)
        for name, value in mine.items():
            if theirs.get(name) != value:
                raise ConfigError(
                    f"{name} is {theirs.get(name)} in {other.run.id} and {value} in {first.run.id}; "
                    "allowed: runs that can be shown the same images."
                )


def key_values(model: Model, choice: Choice, weights: Weights | None) -> dict[str, Any]:
    """Everything that decides which features `embedding_folder` stands for. weights: of `open_weights`."""
    values: dict[str, Any] = {
        "format": FORMAT,
        "data": data_identity(model.run, choice.split),
        "split": choice.split,
        "num_images": choice.num_images,
        "seed": choice.seed,
        "model": model.what,
        "layer": model.layer,
        "preprocessing": PREPROCESSING,
    }
    if model.what != PIXELS:
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


def embedding_folder(model: Model, choice: Choice) -> Path:
    """Where the features of `model`, with the weights it has now, on the images of `choice` lie, or will lie.

    Raises:
        ConfigError: if the run has no such weights or layer.
    """
    with open_weights(model) as weights:
        return folder_for(model, choice, weights)


def folder_for(model: Model, choice: Choice, weights: Weights | None) -> Path:
    """The same with weights that were opened before."""
    if model.layer not in layers_of(model):
        of = {PIXELS: "raw pixels do", UNTRAINED: "this network does"}.get(model.what, f"{model.run.id} does")
        raise ConfigError(f"layer is {model.layer}, which {of} not have; allowed: h, or a pre-training's projector.")
    own, *others = (_folder_named(model, replace(choice, split=split), weights) for split in _same_splits(choice.split))
    return own if own.is_dir() else next((path for path in others if _is_of_test(path)), own)


def _same_splits(split: str) -> tuple[str, ...]:
    """`auto` and `test` are the same images wherever data have test images."""
    return {"auto": ("auto", "test"), "test": ("test", "auto")}.get(split, (split,))


def _is_of_test(folder: Path) -> bool:
    return safe_read.json_dict(folder / PROVENANCE).get("split") == "test"


def _folder_named(model: Model, choice: Choice, weights: Weights | None) -> Path:
    number = "all" if choice.num_images is None else choice.num_images
    return model.run.path / runs.EMBEDDINGS / f"{choice.split}-{number}-{digest(key_values(model, choice, weights))}"


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Embedding:
    """Features of one model on N images, as they lie on disk.

    features: (N, D) float32. ids: (N,) places in the data set's own list. labels: (N,) or None.
    factors: name -> (N,), numbers or words. near: the nearest by cosine, `KEPT_NEIGHBORS` or all others.
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

    @property
    def num_images(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> list[str]:
        return [str(name) for name in self.provenance.get("classes") or []]

    @property
    def neighbors(self) -> NDArray[np.int32]:
        """(N, K) places of the nearest images by cosine of the features, the most similar first."""
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
    def sheets(self) -> list[Path]:
        return sheet_paths(self.folder, self.provenance)

    def map_path(self, asked: str | Projection) -> Path:
        """Where a map lies, or will lie; its name tells its parameters apart."""
        asked = projections.projection(asked)
        chosen = asked.parameters(self.num_images, int(self.provenance["seed"]))
        chosen |= {"features": self.provenance.get("features_sha256")}  # the folder may be written anew meanwhile
        name = asked.method + ("-3d" if asked.dims == 3 else "")
        return self.folder / f"{name}-{digest({'method': asked.method, 'dims': asked.dims, **chosen})}.npy"

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
    return found if found.dtype.kind == "f" else None


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

    try:
        features, ids = load(FEATURES, "f", mmap=True), load(IDS, "iu")
        labels, labelled = load_if_there(LABELS, "iu"), load_if_there(LABELLED, "b")
        near = Nearest(load(NEIGHBORS, "iu", mmap=True), load(SIMILARITIES, "f", mmap=True))
        factors = safe_read.read_arrays(folder / FACTORS)
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
    if not all(path.is_file() for path in sheets):
        return None
    if safe_read.json_dict(folder / PROVENANCE) != provenance:  # it was written anew while it was read
        return None
    return Embedding(folder, features, ids, labels, factors, provenance, near, predictions, labelled)


def find_embedding(model: Model, choice: Choice) -> Embedding | None:
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

    agreement: (N,) float32, Jaccard index of each image's k nearest neighbours in both, 0..1.
    chance_jaccard: about what neighbours drawn by lot would give on average. linear_cka: 0..1.
    """

    agreement: NDArray[np.float32]
    k: int
    mean_jaccard: float
    chance_jaccard: float
    linear_cka: float


def pair_path(first: Embedding, second: Embedding) -> Path:
    """Where the pair's numbers lie, or will lie: beside the features of one of both."""
    hashes = {str(item.provenance.get("features_sha256")): item.folder for item in (first, second)}
    return hashes[min(hashes)] / f"pair-{digest({'features': sorted(hashes), 'k': projections.NUM_NEIGHBORS})}.npy"


def find_pair(first: Embedding, second: Embedding) -> Pair | None:
    """The numbers about two models if they were computed before; None otherwise."""
    path = pair_path(first, second)
    about, agreement = safe_read.json_dict(path.with_suffix(".json")), _array(path)
    if agreement is None or agreement.shape != (first.num_images,):
        return None
    try:
        return Pair(agreement, *(about[name] for name in ("k", "mean_jaccard", "chance_jaccard", "linear_cka")))
    except KeyError:
        return None


# --- tables to take along -------------------------------------------------------------------------------------------


def table(
    embeddings: Sequence[Embedding], asked: str | Projection, names: Sequence[str] | None = None,
    points: Sequence[NDArray[np.float32]] | None = None,
) -> pandas.DataFrame:  # fmt: skip
    """One row for each image: id, class, factors, and per model where it lies, what is predicted and what is right.

    Args:
        embeddings: of the same images.
        asked: whose map; coordinates of a map that is missing are left out.
        names: of the models, before their columns. Default: `left` and `right` of two, else `model_1` and so on.
        points: coordinates to write instead, such as a map that was turned to lie as the other does.

    Returns:
        Columns `id`, `class`, `factor:...`, and for each model `... x`, `... y`, `... z` of a map in space,
        `... knn class`, `... knn right` (also of `linear` and `classifier`), `... labelled`, and of two models
        `agreement`, 0..1.
    """
    import pandas

    first = embeddings[0]
    if names is None:
        names = (
            ["left", "right"] if len(embeddings) == 2 else [f"model_{place + 1}" for place in range(len(embeddings))]
        )
    classes = np.array([*first.classes, ""], dtype=object)  # the last stands for none
    columns: dict[str, Any] = {"id": first.ids}
    if first.labels is not None:
        columns["class"] = classes[first.labels]
    columns |= {f"factor:{name}": values for name, values in first.factors.items()}
    for place, (name, embedding) in enumerate(zip(names, embeddings, strict=True)):
        found = points[place] if points is not None else embedding.map(asked)
        if found is not None:
            columns |= {f"{name} {axis}": found[:, number] for number, axis in enumerate("xyz"[: found.shape[1]])}
        for kind, predicted in embedding.predictions.items():
            columns[f"{name} {kind} class"] = classes[predicted]
            columns[f"{name} {kind} right"] = predicted == first.labels
        if embedding.labelled is not None:
            columns[f"{name} labelled"] = embedding.labelled
    if len(embeddings) == 2:
        columns["agreement"] = compare.agreement(embeddings[0].neighbors, embeddings[1].neighbors)
    return pandas.DataFrame(columns)


def write_csv(frame: pandas.DataFrame, target: Path | IO[Any]) -> None:
    """Writes a table as CSV, in UTF-8 and without a row number."""
    frame.to_csv(target, index=False, encoding="utf-8")


def write_parquet(frame: pandas.DataFrame, target: Path | IO[bytes]) -> None:
    """Writes a table as Parquet."""
    frame.to_parquet(target, index=False)


# --- jobs -----------------------------------------------------------------------------------------------------------


def request_of(
    names: Sequence[str], choice: Choice, methods: Sequence[str | Projection], runs_dir: Path
) -> dict[str, Any]:
    """What a job is asked for, so that a second window or click finds the job instead of starting another."""
    models = resolve_models(names, runs_dir)
    check_same_data(models, choice)
    return {
        "models": list(names),
        "methods": [projections.projection(asked).text for asked in methods],
        "folders": [str(embedding_folder(model, choice)) for model in models],
    }


def start_job(names: Sequence[str], choice: Choice, methods: Sequence[str | Projection], runs_dir: Path) -> Path:
    """Starts computing in the background, or returns the folder of the job that does so already.

    Raises:
        ConfigError: if the runs cannot be compared, or the folder cannot be written.
    """
    request = request_of(names, choice, methods, runs_dir)
    number = "all" if choice.num_images is None else str(choice.num_images)
    arguments = ["embed", *names, "--split", choice.split, "--num_images", number, "--seed", str(choice.seed)]
    arguments += ["--method", ",".join(request["methods"]) or "none", "--runs_dir", str(runs_dir.resolve())]
    return jobs.start(JOB_NAME, request, arguments, runs_dir, devices.ANY)


def find_job(request: dict[str, Any], runs_dir: Path) -> Path | None:
    """The newest job with this request, whatever became of it."""
    return jobs.find(JOB_NAME, request, runs_dir)
