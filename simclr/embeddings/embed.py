"""Computes features of encoders on the same plain images, and maps of them.

What it writes, and how that is read again, stands in `stored`. Torch is imported inside the functions.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.config import ConfigError
from simclr.embeddings import compare, neighbors, projections, umap_server
from simclr.embeddings.measures import measure
from simclr.embeddings.neighbors import Progress
from simclr.embeddings.networks import features_of
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import (
    EncoderRef,
    open_weights,
)
from simclr.embeddings.selection import ImageSelection, check_same_data, for_models, load_selection
from simclr.embeddings.stored import (
    Embedding,
    find_pair,
    folder_for,
    load_embedding,
    pair_path,
    same_images,
    save_array,
    save_embedding,
)
from simclr.models.weights import Weights
from simclr.runs.status import Report, no_report

# Units of work, for a progress bar that moves evenly.
LOAD_WORK, FEATURE_WORK, MEASURE_WORK, PAIR_WORK = 10, 20, 8, 3
MAP_WORK, MAP_MEASURE_WORK = {"pca": 4, "umap": 36, "tsne": 60}, 4


class _Bar:
    """Adds up units of work and reports a phase with the share done."""

    def __init__(self, total: float, report: Report, check: Callable[[], None]) -> None:
        self._total, self._report, self._check, self._before = total, report, check, 0.0

    def part(self, phase: str, work: float) -> Progress:
        """Begins a part; the function it returns is told how much of the part is done, 0..1."""
        start = self._before
        self._before += work

        def set_share(share: float) -> None:
            self._check()
            self._report(phase, (start + work * min(1.0, share)) / self._total)

        set_share(0.0)
        return set_share


def compute(
    models: Sequence[EncoderRef],
    choice: ImageSelection,
    methods: Sequence[str | Projection] = ("pca",),
    *,
    report: Report = no_report,
    check: Callable[[], None] = lambda: None,
    job: Path | None = None,
) -> list[Embedding]:
    """Features of all models on the same images, maps of them, and numbers; only what is missing is computed.

    Args:
        report: called with what is going on, in words, and the share done, 0..1.
        check: called often; may raise to end the work. What was complete by then is kept.
        job: the folder of the job that this is; UMAP is then left to the process that keeps it compiled.

    Raises:
        ConfigError: if the runs' data differ, or weights, images or a layer are missing.
    """
    choice = for_models(models, choice)
    check_same_data(models, choice)
    asked = [projections.projection(method) for method in methods]
    with contextlib.ExitStack() as stack:
        # A run may go on training meanwhile: what is named now is what will be loaded.
        weights = [stack.enter_context(open_weights(model)) for model in models]
        bar, embeddings = _all_features(models, weights, choice, asked, report, check)
    number = embeddings[0].num_images
    if methods and number < projections.MIN_IMAGES:
        raise ConfigError(f"num_images is {number}; allowed: at least {projections.MIN_IMAGES}, or method none.")
    for place, embedding in enumerate(embeddings[1:], start=1):
        progress = bar.part("Comparing the neighbours", PAIR_WORK)
        for other in embeddings[:place]:
            if find_pair(other, embedding) is None:
                _compare(other, embedding, progress)
    for projection in asked:  # the first one of all models first: it can be looked at while the others are computed
        for model, embedding in zip(models, embeddings, strict=True):
            if embedding.map(projection) is None:
                _make_map(embedding, projection, model, bar, job)
    report("", 1.0)
    return embeddings


def _all_features(
    models: Sequence[EncoderRef],
    weights: Sequence[Weights | None],
    choice: ImageSelection,
    asked: Sequence[Projection],
    report: Report,
    check: Callable[[], None],
) -> tuple[_Bar, list[Embedding]]:
    """Features of all models, with a bar that has room for all that follows."""
    folders = [folder_for(model, choice, its) for model, its in zip(models, weights, strict=True)]
    found = [load_embedding(folder) for folder in folders]
    if any(item is not None and item.is_shipped for item in found) and not _is_complete(found, asked):
        folders = [
            folder_for(model, choice, its, with_features=True) for model, its in zip(models, weights, strict=True)
        ]
        found = [load_embedding(folder) for folder in folders]
    whole = [embedding for embedding in found if embedding is not None]
    # Images that changed on disk since one model saw them: all of them look again.
    pictures_needed = len(whole) < len(found) or any(not same_images(whole[0], other) for other in whole)
    new = sum(embedding is None for embedding in found)
    to_do = sum(
        MAP_WORK[projection.method] + MAP_MEASURE_WORK
        for embedding in found
        for projection in asked
        if embedding is None or embedding.map(projection) is None
    )
    total = pictures_needed * LOAD_WORK + new * (FEATURE_WORK + MEASURE_WORK) + to_do
    bar = _Bar(max(1, total + PAIR_WORK * (len(models) - 1)), report, check)

    if pictures_needed:
        pictures = load_selection(models[0].run, choice, bar.part("Reading the images", LOAD_WORK))
        check_same_data(models, replace(choice, split=pictures.chosen.name))  # `auto` has become one of them
        digest = pictures.digest
        for place, (model, folder) in enumerate(zip(models, folders, strict=True)):
            old = found[place]
            if old is None or old.provenance.get("images") != digest:
                work = (FEATURE_WORK, MEASURE_WORK) if old is None else (0, 0)
                progress = bar.part(f"Computing features of {model.name}", work[0])
                features, logits = features_of(model, weights[place], pictures, progress)
                progress = bar.part(f"Measuring the features of {model.name}", work[1])
                measured = measure(model, choice, pictures, features, logits, progress)
                target = runs.computed_beside(folder)  # not over what came with an example
                save_embedding(target, model, weights[place], choice, pictures, digest, features, measured)
                found[place] = load_embedding(target)
    embeddings = [embedding for embedding in found if embedding is not None]
    assert len(embeddings) == len(models)
    return bar, embeddings


def _is_complete(found: Sequence[Embedding | None], asked: Sequence[Projection]) -> bool:
    """Whether all that is asked for is there, so that nothing needs the features."""
    there = [item for item in found if item is not None]
    return (
        len(there) == len(found)
        and all(same_images(there[0], item) for item in there[1:])
        and all(item.map(projection) is not None for item in there for projection in asked)
        and all(
            find_pair(other, item) is not None for place, item in enumerate(there[1:], 1) for other in there[:place]
        )
    )


def _compare(first: Embedding, second: Embedding, progress: Progress) -> None:
    start = time.perf_counter()
    numbers, jaccard = compare.pair_numbers(
        np.array(first.features), np.array(second.features), [first.neighbors, second.neighbors], progress=progress
    )
    about = numbers | {
        "features": [item.folder.name for item in (first, second)],
        "features_sha256": [item.provenance.get("features_sha256") for item in (first, second)],
        "runs": [item.provenance.get("run") for item in (first, second)],
        "seconds": round(time.perf_counter() - start, 3),
        "versions": runs.versions(),
        "created": time.time(),
    }
    save_array(pair_path(first, second), jaccard, about)


# --- maps -----------------------------------------------------------------------------------------------------------


def _make_map(embedding: Embedding, projection: Projection, model: EncoderRef, bar: _Bar, job: Path | None) -> None:
    of = f"the {projection.label} map of {model.name}"
    progress = bar.part(f"Drawing {of}", MAP_WORK[projection.method])
    features, seed = np.array(embedding.features), int(embedding.provenance["seed"])
    package = projections.PACKAGES[projection.method]
    start = time.perf_counter()
    try:
        points = _draw(projection, embedding, features, seed, progress, job)
    except ImportError:
        raise ConfigError(
            f"method is {projection.method}, which needs the package {package}: pip install {package}."
        ) from None
    drawn = time.perf_counter()
    progress = bar.part(f"Measuring {of}", MAP_MEASURE_WORK)
    about = {
        "method": projection.method,
        "dims": projection.dims,
        "parameters": projection.parameters(embedding.num_images, seed),
        **compare.map_numbers(neighbors.unit_rows(features), embedding.near, points, progress=progress),
        "seconds": round(drawn - start, 3),
        "features": embedding.folder.name,
        "features_sha256": embedding.provenance.get("features_sha256"),
        "versions": runs.versions() | {package: metadata.version(package)},
        "created": time.time(),
    }
    save_array(embedding.map_path(projection), points, about)


def _draw(
    projection: Projection,
    embedding: Embedding,
    features: NDArray[np.float32],
    seed: int,
    progress: Progress,
    job: Path | None,
) -> NDArray[np.float32]:
    """The map; UMAP by the process that keeps it compiled, where there is a job and that process can."""
    near, wanted = embedding.near, projection.num_neighbors(embedding.num_images)
    if near.indices.shape[1] < wanted:
        near = neighbors.nearest(neighbors.unit_rows(features), wanted)
    if job is not None and projection.method == "umap":
        points = umap_server.draw(projection, features, near, seed, job, lambda _, share: progress(share))
        if points is not None and np.isfinite(points).all():
            return points
    return projections.reduce(projection, features, seed, progress, near)
