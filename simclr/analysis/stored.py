"""Results about what an encoder makes of augmented images: computed once, kept with its run.

They are named by their content (weights, images, options):

    RUN/embeddings/lab/
        profile-<key>.json    mean similarity of an image and its changed self, by operation and strength
        factors-<key>.json    how well the factors of `shapes` can be read from the features
        images-<key>.npy      (N, 3, S, S) uint8, what a profile was asked for

What takes long is a job. No torch until something is computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.analysis import factors
from simclr.analysis.encoders import load_encoder, model_values
from simclr.analysis.factors import RIDGE_STRENGTHS, factor_probe
from simclr.analysis.invariance import STRENGTHS, invariance
from simclr.config import not_written
from simclr.data import shapes
from simclr.embeddings import references
from simclr.embeddings.neighbors import Progress
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.stored import digest
from simclr.files import safe_read, writing
from simclr.launch import jobs
from simclr.models.weights import Weights

FOLDER = "lab"
JOB_NAME = "lab"
KINDS = ("profile", "factors")
FORMAT = 3  # part of the key: raise it when what is stored changes its meaning
MAX_PROFILE_IMAGES = 64


def images_key(images: NDArray[np.uint8]) -> str:
    """Changes with any pixel."""
    found = hashlib.sha256(repr(images.shape).encode())
    found.update(np.ascontiguousarray(images).tobytes())
    return found.hexdigest()[:16]


def result_path(model: EncoderRef, kind: str, images: str = "") -> Path:
    """Where a result of a model with the weights it has now lies, or will lie. images: `images_key`, for a profile.

    Raises:
        ConfigError: if the model has no such weights.
    """
    with references.open_weights(model) as weights:
        return _path_for(model, weights, kind, images)


def _path_for(model: EncoderRef, weights: Weights | None, kind: str, images: str) -> Path:
    values = model_values(model, weights) | {"format": FORMAT, "kind": kind, "images": images}
    probe = factors.NUM_TRAIN, factors.NUM_TEST, RIDGE_STRENGTHS, shapes.DATA_SEED
    options: Any = STRENGTHS if kind == "profile" else probe
    return model.run.computed / runs.EMBEDDINGS / FOLDER / f"{kind}-{digest(values | {'options': options})}.json"


def load(path: Path) -> dict[str, Any] | None:
    """A result that was computed before; None where there is none, or it is damaged."""
    values = safe_read.json_dict(path)
    return values if isinstance(values.get("layers"), dict) else None


def keep_images(model: EncoderRef, images: NDArray[np.uint8]) -> Path:
    """Writes the images of a profile where the job finds them, with the run of `model`.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    path = model.run.computed / runs.EMBEDDINGS / FOLDER / f"images-{images_key(images)}.npy"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            writing.write_array(path, images)
    except OSError as error:
        raise not_written(f"{path.parent} cannot be written", error) from None
    return path


def compute(
    model: EncoderRef, kind: str, images: NDArray[np.uint8] | None = None, report: Progress = lambda share: None
) -> dict[str, Any]:
    """A result of `KINDS`, from what is kept or computed now and kept.

    Args:
        images: (N, 3, S, S), of a profile.

    Raises:
        ConfigError: if the model cannot be loaded, or the folder cannot be written.
    """
    with references.open_weights(model) as weights:
        path = _path_for(model, weights, kind, images_key(images) if images is not None else "")
        if (found := load(path)) is None:
            encoder = load_encoder(model, weights)
    if found is None:
        if kind == "profile":
            assert images is not None
            found = invariance(encoder, images, report)
        else:
            found = factor_probe(encoder, report)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            writing.write_atomically(path, json.dumps(found | {"model": model.reference, "versions": runs.versions()}))
        except OSError as error:
            raise not_written(f"{path.parent} cannot be written", error) from None
    report(1.0)
    return found


# --- jobs -----------------------------------------------------------------------------------------------------------


def request_of(models: Iterable[EncoderRef], kind: str, images: str = "") -> dict[str, Any]:
    """What a job is asked for: the files it is to write."""
    return {"results": [str(result_path(model, kind, images)) for model in models]}


def start_job(models: Sequence[EncoderRef], kind: str, images: NDArray[np.uint8] | None, runs_dir: Path) -> Path:
    """Starts computing in the background, or gives the job that does so already.

    Raises:
        ConfigError: if weights are missing, or a folder cannot be written.
    """
    key = images_key(images) if images is not None else ""
    names = []
    for model in models:
        # an untrained network is found by the run it belongs to
        host = model.run.id + (f"@{model.checkpoint}" if model.checkpoint else "")
        names.append(f"{references.UNTRAINED}:{model.run.id}" if model.what == references.UNTRAINED else host)
    arguments = ["lab", *names, "--what", kind, "--runs_dir", str(runs_dir.resolve())]
    if images is not None:
        arguments += ["--images", str(keep_images(models[0], images).resolve())]
    return jobs.start(JOB_NAME, request_of(models, kind, key), arguments, runs_dir)


def last_duration(kind: str, runs_dir: Path) -> tuple[float, int] | None:
    """How many seconds the last job of a kind took here that came to its end, and for how many encoders."""
    for job in jobs.all_of(JOB_NAME, runs_dir):
        results = safe_read.json_dict(job / jobs.REQUEST).get("results")
        names = [Path(str(each)).name for each in results] if isinstance(results, list) else []
        if not names or not all(name.startswith(f"{kind}-") for name in names):
            continue
        status = runs.Run(job).status
        if status.state == "finished" and status.elapsed_seconds is not None:
            return status.elapsed_seconds, len(names)
    return None


def find_job(models: Sequence[EncoderRef], kind: str, images: str, runs_dir: Path) -> Path | None:
    return jobs.find(JOB_NAME, request_of(models, kind, images), runs_dir)
