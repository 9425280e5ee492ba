"""Features h of encoders on the same plain images, and maps of them: computed once, kept in the run's folder.

    RUN/embeddings/<split>-<num_images>-<key>/
        provenance.json     weights, data, split, seed, versions, numbers measured on the features
        features.npy        (N, num_features) float32, the layer h
        ids.npy  labels.npy (N,) int64; labels are missing where the images have no classes
        factors.npz         recorded factors of variation, each (N,)
        thumbnails-0.png    the images as sheets of tiles
        <method>-<hash>.npy (N, 2) float32 and its .json: a map and what it was made with

The key follows from the content: the bytes of the weights, the data, the split, how many images and the seed that
chose them. So opening a map again is immediate, and a network that was trained on is never taken for the one before.
Here is what can be asked for and read, without torch; `simclr.embed` computes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simclr import config as cfg
from simclr import launch, reduce, runs
from simclr.config import ConfigError
from simclr.runs import Run

PROVENANCE, FEATURES, IDS, LABELS, FACTORS = "provenance.json", "features.npy", "ids.npy", "labels.npy", "factors.npz"
REQUEST = "request.json"
JOB_NAME = "embed"
FORMAT = 1  # part of the key: raise it when what is stored changes its meaning

SPLITS = ("auto", "test", "val", "train")
CHECKPOINTS = ("best", "last")
# Not runs, but worth comparing one with: its network before training, and no network at all.
UNTRAINED, PIXELS = "untrained", "pixels"
DEFAULT_IMAGES = 2000
KEPT_JOBS = 20


# --- what is asked for ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """Which images and which weights.

    split: `auto` is test, else val, else train, whichever the data have first.
    num_images: at most this many, stratified by class; None: all.
    seed: of the choice of images and of the maps.
    checkpoint: `best`, `last`, or None for the final weights, and the last checkpoint of a run without them.
    """

    split: str = "auto"
    num_images: int | None = DEFAULT_IMAGES
    seed: int = 0
    checkpoint: str | None = None


@dataclass(frozen=True)
class Model:
    """One side of a comparison: a run's weights, or its network untrained, or its images' pixels."""

    run: Run
    what: Literal["weights", "untrained", "pixels"] = "weights"

    @property
    def name(self) -> str:
        return {"weights": self.run.name, UNTRAINED: "the untrained network", PIXELS: "raw pixels"}[self.what]


def resolve_models(names: Sequence[str], runs_dir: Path) -> list[Model]:
    """The models that RUN arguments name: runs, `untrained` and `pixels`; the first run lends those its data.

    Raises:
        ConfigError: if one names nothing, or none is a run.
    """
    found = [None if name in (UNTRAINED, PIXELS) else runs.find(name, runs_dir) for name in names]
    host = next((run for run in found if run is not None), None)
    if host is None:
        raise ConfigError(
            f"RUN is {', '.join(names)}; allowed: at least one run, whose data and network are then used."
        )
    return [
        Model(run) if run is not None else Model(host, name)  # type: ignore[arg-type]
        for name, run in zip(names, found, strict=True)
    ]


def weights_path(run: Run, checkpoint: str | None = None) -> Path:
    """The file with an encoder's weights that a run has.

    Raises:
        ConfigError: if it has none yet.
    """
    folder = run.path / runs.CHECKPOINTS
    last, best = folder / runs.LAST_CHECKPOINT, folder / runs.BEST_CHECKPOINT
    if run.kind == "finetune" and run.config.get("freeze_encoder") and run.config.get("augmentation") is None:
        last = best = run.model_path  # its checkpoints hold the head alone; the encoder never changed
    order = {None: (run.model_path, last), "best": (best,), "last": (last,)}[checkpoint]
    for path in order:
        if path.is_file():
            return path
    if checkpoint is None:
        raise ConfigError(
            f"{run.id} is {run.status.state} and has no weights yet; allowed: a run that has trained an epoch."
        )
    raise ConfigError(
        f"checkpoint is {checkpoint}, which {run.id} does not have; allowed: one that was saved, or unset."
    )


def has_weights(run: Run) -> bool:
    """True if features can be computed from this run."""
    if run.kind not in cfg.MODELS:
        return False
    with contextlib.suppress(ConfigError):
        weights_path(run)
        return True
    return False


@lru_cache(maxsize=256)
def _hash_of(path: str, modified: int, size: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file; read again only when its time or size changed."""
    stat = path.stat()
    return _hash_of(str(path), stat.st_mtime_ns, stat.st_size)


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


def key_values(model: Model, choice: Choice) -> dict[str, Any]:
    values: dict[str, Any] = {
        "format": FORMAT,
        "data": data_identity(model.run, choice.split),
        "split": choice.split,
        "num_images": choice.num_images,
        "seed": choice.seed,
        "model": model.what,
    }
    if model.what != PIXELS:
        values["network"] = {name: model.run.config.get(name) for name in ("backbone", "image_size")}
    if model.what == "weights":
        values["weights"] = file_hash(weights_path(model.run, choice.checkpoint))
    elif model.what == UNTRAINED:
        values["weights_seed"] = model.run.config.get("seed")
    return values


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:12]


def embedding_folder(model: Model, choice: Choice) -> Path:
    """Where the features of `model` on the images of `choice` lie, or will lie.

    Raises:
        ConfigError: if the run has no weights.
    """
    number = "all" if choice.num_images is None else choice.num_images
    return model.run.path / runs.EMBEDDINGS / f"{choice.split}-{number}-{_digest(key_values(model, choice))}"


# --- reading (no torch) ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Embedding:
    """Features of one model on N images, as they lie on disk.

    features: (N, D) float32. ids: (N,) places in the data set's own list. labels: (N,) or None.
    factors: name -> (N,), numbers or words.
    """

    folder: Path
    features: NDArray[np.float32]
    ids: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    factors: dict[str, NDArray[Any]]
    provenance: dict[str, Any]

    @property
    def num_images(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> list[str]:
        return [str(name) for name in self.provenance.get("classes") or []]

    @property
    def knn_accuracy(self) -> float | None:
        """Leave-one-out kNN accuracy of the features, 0..1; None without classes."""
        return self.provenance.get("knn_accuracy")

    @property
    def sheets(self) -> list[Path]:
        return [self.folder / name for name in self.provenance["thumbnails"]["sheets"]]

    def map_path(self, method: str) -> Path:
        """Where the map by `method` lies, or will lie; its name tells its parameters apart."""
        chosen = reduce.parameters(method, self.num_images, int(self.provenance["seed"]))
        return self.folder / f"{method}-{_digest({'method': method, **chosen})}.npy"

    def map(self, method: str) -> NDArray[np.float32] | None:
        """The map (N, 2) by `method`; None if it was not computed, or is damaged."""
        try:
            points = np.load(self.map_path(method), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return points if points.shape == (self.num_images, 2) and np.isfinite(points).all() else None

    def map_provenance(self, method: str) -> dict[str, Any]:
        return _read_json(self.map_path(method).with_suffix(".json"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def load_embedding(folder: Path) -> Embedding | None:
    """What lies in a folder of features; None if it is missing, damaged or not whole."""
    provenance = _read_json(folder / PROVENANCE)
    try:
        features = np.load(folder / FEATURES, mmap_mode="r", allow_pickle=False)
        ids = np.load(folder / IDS, allow_pickle=False)
        labels = np.load(folder / LABELS, allow_pickle=False) if (folder / LABELS).exists() else None
        with np.load(folder / FACTORS, allow_pickle=False) as found:
            factors = {name: found[name] for name in found.files}
        sheets = [folder / str(name) for name in provenance["thumbnails"]["sheets"]]
        int(provenance["seed"])
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None
    arrays = [ids, *factors.values()] + ([labels] if labels is not None else [])
    if features.ndim != 2 or any(array.shape != (len(features),) for array in arrays):
        return None
    if not all(path.is_file() for path in sheets):
        return None
    return Embedding(folder, features, ids, labels, factors, provenance)


def find_embedding(model: Model, choice: Choice) -> Embedding | None:
    """The features of `model` on these images if they were computed before; None otherwise."""
    try:
        return load_embedding(embedding_folder(model, choice))
    except (ConfigError, OSError):
        return None


def same_images(first: Embedding, second: Embedding) -> bool:
    """True if both were computed on the very same images, by number and by content."""
    return first.provenance.get("images") == second.provenance.get("images") and np.array_equal(first.ids, second.ids)


# --- jobs (no torch) ------------------------------------------------------------------------------------------------


def request_of(names: Sequence[str], choice: Choice, methods: Sequence[str], runs_dir: Path) -> dict[str, Any]:
    """What a job is asked for, so that a second window or click finds the job instead of starting another."""
    models = resolve_models(names, runs_dir)
    check_same_data(models, choice)
    return {
        "models": list(names),
        "methods": list(methods),
        "folders": [str(embedding_folder(model, choice)) for model in models],
    }


def start_job(names: Sequence[str], choice: Choice, methods: Sequence[str], runs_dir: Path) -> Path:
    """Starts computing in the background, or returns the folder of the job that does so already.

    Raises:
        ConfigError: if the runs cannot be compared, or the folder cannot be written.
    """
    request = request_of(names, choice, methods, runs_dir)
    (runs_dir / runs.JOBS).mkdir(parents=True, exist_ok=True)
    with runs.locked(runs_dir / runs.JOBS):
        job = find_job(request, runs_dir)
        if job is not None and runs.current_status(job).is_active:
            return job
        _forget_old_jobs(runs_dir)
        number = "all" if choice.num_images is None else str(choice.num_images)
        arguments = ["embed", *names, "--split", choice.split, "--num_images", number, "--seed", str(choice.seed)]
        arguments += ["--method", ",".join(methods), "--runs_dir", str(runs_dir.resolve())]
        arguments += ["--checkpoint", choice.checkpoint] if choice.checkpoint else []
        job = launch.start_job(JOB_NAME, arguments, runs_dir)
        runs.write_atomically(job / REQUEST, json.dumps(request))
    return job


def find_job(request: dict[str, Any], runs_dir: Path) -> Path | None:
    """The newest job with this request, whatever became of it."""
    return next((job for job in _jobs(runs_dir) if _read_json(job / REQUEST) == request), None)


def _jobs(runs_dir: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted((runs_dir / runs.JOBS).glob(f"*-{JOB_NAME}-*"), reverse=True)
    return []


def _forget_old_jobs(runs_dir: Path) -> None:
    """Removes the folders of jobs that ended long ago; what they computed lies with the runs."""
    for job in _jobs(runs_dir)[KEPT_JOBS:]:
        if not runs.current_status(job).is_active:
            shutil.rmtree(job, ignore_errors=True)
