"""Which test images of a run are training images, or nearly: looked for with an encoder, and kept with the run.

Torch is imported inside the functions.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.config import ConfigError, FinetuneConfig, images_may_have_moved
from simclr.embeddings import networks, references
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection, SelectedImages
from simclr.evaluation.leaks import record
from simclr.evaluation.leaks.record import Leaks
from simclr.hardware import devices
from simclr.launch import jobs
from simclr.runs import Run
from simclr.runs.status import Report, no_report

if TYPE_CHECKING:
    from torch import Tensor

    from simclr.evaluation.leaks.search import CheckedImages

JOB_NAME = "leaks"


def load_images(run: Run, choice: ImageSelection, report: Report = no_report) -> CheckedImages:
    """The test images of a run and its training and validation images, as its training cuts them.

    Args:
        choice: of it, where the images lie now, or which other data set they are.

    Raises:
        ConfigError: if there are no test images, or the data set is not here.
    """
    from simclr.data import identity, loading, memory
    from simclr.evaluation.leaks import search

    config = runs.load_config(run)
    max_bytes = memory.memory_limit(config.memory_share)
    if choice.other is not None:
        name = choice.other.dataset
        data = loading.load_other_data(config, name, cut=True, progress=report, max_bytes=max_bytes)
    else:
        config = config if choice.place is None else identity.moved_config(config, choice.place)
        name = str(config.dataset)
        with images_may_have_moved(is_named=choice.place is not None):
            data = loading.load_run_data(config, progress=report, max_bytes=max_bytes)
    found = search.checked_images(data)
    if found is None:
        raise ConfigError(f"dataset is {name}, which has no test images; allowed: a data set with some.")
    return found


def check(model: EncoderRef, choice: ImageSelection, report: Report = no_report) -> tuple[Leaks, NDArray[np.uint8]]:
    """Looks for copies with an encoder.

    Returns:
        What was found, and the images of the first pairs, as `record.write` takes them.

    Raises:
        ConfigError: if the images or the weights are not here, or are not those of its network.
    """
    import torch

    from simclr.evaluation import protocols
    from simclr.evaluation.leaks import search

    images = load_images(model.run, choice, report)
    config = runs.load_config(model.run)
    logits: dict[str, NDArray[np.float32] | None] = {}
    with references.open_weights(model) as weights:
        features = []
        for split in (images.test, *images.training):
            what = f"features of the {'validation' if split.name == 'val' else split.name} images"
            what = what.replace("train ", "training ")
            chosen = SelectedImages(split, [], None)
            rows, logits[split.name] = networks.features_of(model, weights, chosen, partial(report, what))
            features.append(torch.from_numpy(rows))
        sha256 = weights.sha256 if weights is not None and model.what == "weights" else ""
    used = None
    if isinstance(config, FinetuneConfig) and images.data.train.labels is not None and choice.other is None:
        used = protocols.labelled_split(config, images.data).ids
    answers = logits["test"] if choice.other is None and model.what == "weights" else None
    right, known = _right(images, features[0], features[1], answers)
    return search.find_copies(
        images, features, model=model.what, weights=sha256, right=right, used=used, known=known, report=report
    )


def _right(
    images: CheckedImages, test: Tensor, train: Tensor, logits: NDArray[np.float32] | None
) -> tuple[dict[str, NDArray[np.bool_]], Tensor | None]:
    """Whether each test image is classified as what it is: by the run's classifier, else by its nearest neighbours.

    Returns:
        These by protocol, and the nearest training image of each test image where it was found on the way.
    """
    import torch

    from simclr.evaluation import knn

    labels = images.test.labels
    if labels is None or images.data.classes is None:
        return {}, None
    if logits is not None:
        return {"classifier": logits.argmax(axis=1) == labels.numpy()}, None
    if images.data.train.labels is None:
        return {}, None
    nearest: list[Tensor] = []
    predicted = knn.knn_predict(train, images.data.train.labels, test, len(images.data.classes), nearest=nearest)
    return {"knn": (predicted == labels).numpy()}, torch.cat(nearest)


def check_and_keep(run: Run, choice: ImageSelection, report: Report = no_report) -> Leaks:
    """Looks for copies with a run's own encoder and keeps what is found; of another data set nothing is kept.

    Raises:
        ConfigError: as `check`; if it cannot be written.
    """
    found, sheet = check(EncoderRef(run), choice, report)
    if choice.other is None:
        record.write(run.computed, found, sheet)
    return found


# --- the job ----------------------------------------------------------------------------------------------------------


def start_job(run: Run, runs_dir: Path, dataset: str = "") -> Path:
    """Starts looking in the background, or gives the job that does so already.

    Args:
        dataset: where the run's images lie now; empty: where they lay when it was trained.

    Raises:
        ConfigError: if the folder of jobs cannot be written.
    """
    arguments = ["leaks", run.id, "--runs_dir", str(runs_dir.resolve())]
    arguments += ["--dataset", dataset] if dataset else []
    return jobs.start(JOB_NAME, _request(run), arguments, runs_dir, devices.ANY)


def find_job(run: Run, runs_dir: Path) -> Path | None:
    """The newest job for this run, whatever became of it."""
    return jobs.find(JOB_NAME, _request(run), runs_dir)


def _request(run: Run) -> dict[str, Any]:
    return {"leaks": str(run.computed.resolve())}
