"""Computes features of encoders on the same plain images, and maps of them: the command `embed`.

What it writes, and how that is read again, stands in `stored`. Torch is imported inside the functions.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.embeddings import compare, umap_server
from simclr.embeddings import projections as reduce
from simclr.embeddings.projections import Nearest, Projection
from simclr.embeddings.stored import (
    CHECKPOINTS,
    DEFAULT_IMAGES,
    FACTORS,
    FEATURES,
    IDS,
    KEPT_NEIGHBORS,
    LABELLED,
    LABELS,
    LAYERS,
    NEIGHBORS,
    PIXELS,
    PREDICTIONS,
    PREPROCESSING,
    PROVENANCE,
    SIMILARITIES,
    SPLITS,
    Choice,
    Embedding,
    Layer,
    Model,
    check_same_data,
    find_pair,
    folder_for,
    is_checkpoint,
    key_values,
    load_embedding,
    open_weights,
    pair_path,
    resolve_models,
    same_images,
)
from simclr.files import writing
from simclr.launch import jobs
from simclr.models.weights import Weights, file_hash
from simclr.runs import Run

if TYPE_CHECKING:
    from simclr.data.splits import Split

MAX_PIXEL_SIDE = 32  # raw pixels are compared at this side at most
LINEAR_PROTOCOL = (
    "Multinomial logistic regression on standardized features, L2 strength 1e-3: the images are cut into two halves in "
    "class proportion, and each half is judged by the regression fitted on the other."
)

# Units of work, for a progress bar that moves evenly.
LOAD_WORK, FEATURE_WORK, MEASURE_WORK, PAIR_WORK = 10, 20, 8, 3
MAP_WORK, MAP_MEASURE_WORK = {"pca": 4, "umap": 36, "tsne": 60}, 4

Report = Callable[[str, float], None]
Stopped = jobs.Stopped


@dataclass(frozen=True)
class _Pictures:
    """The chosen images of a split and everything recorded about them."""

    chosen: Split
    classes: list[str]
    bank: Split | None  # of training images: all that have a class

    @property
    def ids(self) -> NDArray[np.int64]:
        return self.chosen.ids.numpy()

    @property
    def labels(self) -> NDArray[np.int64] | None:
        return None if self.chosen.labels is None else self.chosen.labels.numpy()

    @property
    def digest(self) -> str:
        """Changes with any pixel or number of any image."""
        from simclr.data.splits import images_digest

        return images_digest(self.chosen, self.ids.tobytes())


class _Bar:
    """Adds up units of work and reports a phase with the share done."""

    def __init__(self, total: float, report: Report, check: Callable[[], None]) -> None:
        self._total, self._report, self._check, self._before = total, report, check, 0.0

    def part(self, phase: str, work: float) -> Callable[[float], None]:
        """Begins a part; the function it returns is told how much of the part is done, 0..1."""
        start = self._before
        self._before += work

        def set_share(share: float) -> None:
            self._check()
            self._report(phase, (start + work * min(1.0, share)) / self._total)

        set_share(0.0)
        return set_share


def compute(
    models: Sequence[Model], choice: Choice, methods: Sequence[str | Projection] = ("pca",), *,
    report: Report = lambda phase, share: None, check: Callable[[], None] = lambda: None, job: Path | None = None,
) -> list[Embedding]:  # fmt: skip
    """Features of all models on the same images, maps of them, and numbers; only what is missing is computed.

    Args:
        report: called with what is going on, in words, and the share done, 0..1.
        check: called often; may raise to end the work. What was complete by then is kept.
        job: the folder of the job that this is; UMAP is then left to the process that keeps it compiled.

    Raises:
        ConfigError: if the runs' data differ, or weights, images or a layer are missing.
    """
    check_same_data(models, choice)
    asked = [reduce.projection(method) for method in methods]
    with contextlib.ExitStack() as stack:
        # A run may go on training meanwhile: what is named now is what will be loaded.
        weights = [stack.enter_context(open_weights(model)) for model in models]
        bar, embeddings = _all_features(models, weights, choice, asked, report, check)
    _check_num_images(embeddings[0].num_images, methods)
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
    models: Sequence[Model], weights: Sequence[Weights | None], choice: Choice, asked: Sequence[Projection],
    report: Report, check: Callable[[], None],
) -> tuple[_Bar, list[Embedding]]:  # fmt: skip
    """Features of all models, with a bar that has room for all that follows."""
    folders = [folder_for(model, choice, its) for model, its in zip(models, weights, strict=True)]
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
        pictures = load_pictures(models[0].run, choice, bar.part("Reading the images", LOAD_WORK))
        check_same_data(models, replace(choice, split=pictures.chosen.name))  # `auto` has become one of them
        digest = pictures.digest
        for place, (model, folder) in enumerate(zip(models, folders, strict=True)):
            old = found[place]
            if old is None or old.provenance.get("images") != digest:
                work = (FEATURE_WORK, MEASURE_WORK) if old is None else (0, 0)
                progress = bar.part(f"Computing features of {model.name}", work[0])
                features, logits = _features(model, weights[place], pictures, progress)
                progress = bar.part(f"Measuring the features of {model.name}", work[1])
                measured = _measure(model, choice, pictures, features, logits, progress)
                _save(folder, model, weights[place], choice, pictures, digest, features, measured)
                found[place] = load_embedding(folder)
    embeddings = [embedding for embedding in found if embedding is not None]
    assert len(embeddings) == len(models)
    return bar, embeddings


def _check_num_images(number: int, methods: Sequence[Any]) -> None:
    if methods and number < reduce.MIN_IMAGES:
        raise ConfigError(f"num_images is {number}; allowed: at least {reduce.MIN_IMAGES}, or method none.")


def load_pictures(run: Run, choice: Choice, progress: Callable[[float], None] = lambda share: None) -> _Pictures:
    """The chosen images of a run's data, and everything recorded about them."""
    import torch

    from simclr.data import loading, memory
    from simclr.data.sampling import EMBEDDING_STREAM, stratified_order

    config = runs.load_config(run)
    max_bytes = memory.memory_limit(config.memory_share)
    loaded = loading.load_run_data(config, progress=lambda what, share: progress(share), max_bytes=max_bytes)
    order = ("test", "val", "train") if choice.split == "auto" else (choice.split,)
    splits = {"test": loaded.test, "val": loaded.val, "train": loaded.train}
    split = next((splits[name] for name in order if splits[name] is not None), None)
    if split is None:
        there = ", ".join(name for name, part in splits.items() if part is not None)
        raise ConfigError(f"split is {choice.split}, which {config.dataset} does not have; allowed: {there}.")
    labels = None if split.labels is None else split.labels.numpy()
    strata = labels if labels is not None else np.zeros(split.num_images, dtype=np.int64)
    positions = np.arange(split.num_images)
    if choice.num_images is not None and choice.num_images < split.num_images:
        positions = np.sort(stratified_order(strata, choice.seed, EMBEDDING_STREAM)[: choice.num_images])
    chosen = split.take(torch.from_numpy(positions)).kept(max_bytes)
    progress(1.0)
    classes = list(loaded.classes or []) if labels is not None else []
    return _Pictures(chosen, classes, loaded.probe if split.name == "train" else None)


# --- features -------------------------------------------------------------------------------------------------------


def _features(
    model: Model, weights: Weights | None, pictures: _Pictures, progress: Callable[[float], None]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """(N, D) float32, the layer of each plain image, BatchNorm in eval mode; and (N, K), the logits of a classifier."""
    import torch

    from simclr.views import augment, resampling

    config = model.run.config
    size = int(config.get("image_size") or pictures.chosen.image_size)
    device = _device(model.run)
    network: Any = torch.nn.Flatten()
    head: Any = None
    if model.what == PIXELS:
        size = min(size, MAX_PIXEL_SIDE)
    else:
        try:
            network, head = (part and part.to(device).eval() for part in network_of(model, size, weights))
        except ConfigError as error:
            # Said from the view of a training, where a weights file is an experiment.
            raise ConfigError(str(error).replace("experiment_version is", "RUN has the weights", 1)) from None
    found, logits = [], []
    with torch.inference_mode():
        for batch in pictures.chosen.batches():
            x = augment.normalize(resampling.resize(augment.to_float(batch.to(device)), size))  # (n, 3, size, size)
            h = network(x).flatten(1).float()
            out = head(h).float().cpu() if head is not None else None
            found.append(out if out is not None and model.layer == "z" else h.cpu())
            if out is not None and model.layer == "h":
                logits.append(out)
            progress(sum(map(len, found)) / len(pictures.ids))
    features: NDArray[np.float32] = torch.cat(found).numpy()
    if not np.isfinite(features).all():
        raise ConfigError(
            f"RUN is {model.run.id}, whose network gives values that are no numbers; allowed: one that did not diverge."
        )
    return features, torch.cat(logits).numpy() if logits else None


def _device(run: Run) -> Any:
    """The first GPU that this process may use, unless the run kept off GPUs; the queue hides those it needs itself."""
    from simclr.models import compute as models_compute

    return models_compute.device_here(run.config.get("accelerator"))


def network_of(model: Model, size: int, weights: Weights | None) -> tuple[Any, Any]:
    """The encoder, and what stands on it: the projector where z is asked for, a trained classifier, or None.

    Args:
        weights: of `embeddings.open_weights`.

    Raises:
        ConfigError: if the weights are not those of this network.
    """
    import torch

    from simclr.models import backbones, heads, state_dicts

    run, config = model.run, model.run.config
    state = weights.read_state() if weights is not None else {}
    torch.manual_seed(int(config.get("seed") or 0))  # the untrained network is the one its training began with
    encoder = backbones.build_encoder(str(config["backbone"]), size, small_stem=state_dicts.has_small_stem(state))
    head: Any = None
    if model.layer == "z" or (run.kind != "pretrain" and model.what == "weights"):
        options: Any = runs.load_config(run)
        if model.layer == "z":
            head = heads.projection_head(encoder.num_features, options.hidden_dim, options.projection_dim)
        elif options.num_classes:
            head = heads.classifier(encoder.num_features, options.num_classes, options.head, options.hidden_dim)
    if model.what == "weights" and weights is not None:
        state_dicts.load_encoder(encoder, state, weights.path)
        if head is not None and not _load_head(head, state, encoder.classifier_name):
            if model.layer == "z":
                raise ConfigError(f"layer is z, whose weights {weights.path} does not hold; allowed: h.")
            head = None
    return encoder.network, head


def _load_head(head: Any, state: Any, classifier_name: str) -> bool:
    """Loads what stands on the encoder: under the classifier's name in `model.pt`, under `head` in a checkpoint.

    Returns:
        False if neither is there, in these shapes.
    """
    wanted = {key: value.shape for key, value in head.state_dict().items()}
    for prefix in (f"{classifier_name}.", "head."):
        found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if {key: value.shape for key, value in found.items()} == wanted:
            head.load_state_dict(found)
            return True
    return False


@dataclass(frozen=True)
class _Measured:
    """What is kept beside the features: it is cheap once they are there."""

    near: Nearest
    predictions: dict[str, NDArray[np.int64]]
    labelled: NDArray[np.bool_] | None
    numbers: dict[str, Any]


def _measure(
    model: Model, choice: Choice, pictures: _Pictures, features: NDArray[np.float32],
    logits: NDArray[np.float32] | None, progress: Callable[[float], None],
) -> _Measured:  # fmt: skip
    unit, labels = reduce.unit_rows(features), pictures.labels
    near = reduce.nearest(unit, KEPT_NEIGHBORS, lambda share: progress(0.5 * share))
    predictions: dict[str, NDArray[np.int64]] = {}
    numbers: dict[str, Any] = {}
    if labels is not None and len(labels) > 1:
        predictions["knn"] = compare.knn_votes(near, labels)
        numbers["knn_k"] = min(reduce.NUM_NEIGHBORS, len(labels) - 1)
        if len(np.unique(labels)) > 1:
            silhouettes = compare.silhouettes(unit, labels)
            numbers["silhouette"] = float(silhouettes.mean())
            numbers["silhouette_per_class"] = [
                float(silhouettes[labels == number].mean()) if (labels == number).any() else None
                for number in range(len(pictures.classes))
            ]
        predictions["linear"] = _linear_votes(
            features, labels, choice.seed, lambda s: progress(0.5 + 0.5 * s), _device(model.run)
        )
        numbers["linear_protocol"] = LINEAR_PROTOCOL
        if logits is not None and logits.shape[1] == len(pictures.classes):
            predictions["classifier"] = logits.argmax(axis=1).astype(np.int64)
        numbers |= {f"{kind}_accuracy": float((found == labels).mean()) for kind, found in predictions.items()}
    return _Measured(near, predictions, _labelled(model.run, pictures), numbers)


def _linear_votes(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    seed: int,
    progress: Callable[[float], None],
    device: Any = "cpu",
) -> NDArray[np.int64]:
    """(N,) the class that each image gets from a linear probe that was fitted on the half that the image is not in."""
    import torch

    from simclr.data.sampling import HALVES_STREAM, ranks_in_class
    from simclr.evaluation import probes

    ranks, _ = ranks_in_class(labels, np.random.default_rng([HALVES_STREAM, seed]))
    in_second = (ranks + labels) % 2 == 1  # every other class begins with the second half: both are of one size
    x, y = torch.from_numpy(features).to(device), torch.from_numpy(labels).to(device)
    found = np.zeros(len(labels), dtype=np.int64)
    for number, half in enumerate((in_second, ~in_second)):
        if half.any() and not half.all():
            fitted, judged = (torch.from_numpy(np.flatnonzero(part)).to(device) for part in (~half, half))
            probe = probes.linear_probe(x[fitted], y[fitted], None, int(labels.max()) + 1)
            with torch.inference_mode():
                found[half] = probe(x[judged]).argmax(dim=1).cpu().numpy()
        progress((number + 1) / 2)
    return found


def _labelled(run: Run, pictures: _Pictures) -> NDArray[np.bool_] | None:
    """(N,) True where a fine-tuned or from-scratch run trained on the label; None for other runs and other images."""
    from simclr.data.splits import label_subset

    if pictures.bank is None or run.kind not in ("finetune", "scratch"):
        return None
    assert pictures.bank.labels is not None
    share, seed = float(run.config.get("label_fraction") or 1.0), int(run.config.get("seed") or 0)
    used = pictures.bank.ids[label_subset(pictures.bank.labels, share, seed)]
    found: NDArray[np.bool_] = np.isin(pictures.ids, used.numpy())
    return found


# --- writing --------------------------------------------------------------------------------------------------------


def _save(
    folder: Path, model: Model, weights: Weights | None, choice: Choice, pictures: _Pictures, digest: str,
    features: NDArray[np.float32], measured: _Measured,
) -> None:  # fmt: skip
    """Writes a whole folder aside and puts it in place in one step."""
    from simclr.views import thumbnails

    aside = folder.parent / f".{folder.name}.{os.getpid()}.{uuid.uuid4().hex[:6]}"
    try:
        aside.mkdir(parents=True)
        arrays: dict[str, NDArray[Any] | None] = {
            FEATURES: features, IDS: pictures.ids, LABELS: pictures.labels, NEIGHBORS: measured.near.indices,
            SIMILARITIES: measured.near.similarities, LABELLED: measured.labelled,
        }  # fmt: skip
        for name, array in arrays.items():
            if array is not None:
                np.save(aside / name, array)
        np.savez(aside / FACTORS, **pictures.chosen.factors)  # type: ignore[arg-type]
        np.savez(aside / PREDICTIONS, **measured.predictions)  # type: ignore[arg-type]
        keys = key_values(model, choice, weights)
        path = weights.path if weights is not None and model.what == "weights" else None
        provenance = {
            "run": model.run.id,
            "model": model.what,
            "weights": str(path.relative_to(model.run.path)) if path is not None else None,
            "checkpoint": model.checkpoint,
            "weights_sha256": keys.get("weights"),
            "backbone": model.run.config.get("backbone"),
            "data": keys["data"],
            "split": pictures.chosen.name,
            "num_images": len(pictures.ids),
            "num_images_asked": choice.num_images,
            "seed": choice.seed,
            "layer": model.layer,
            "num_features": int(features.shape[1]),
            "image_size": model.run.config.get("image_size"),
            "preprocessing": PREPROCESSING,
            "images": digest,
            "features_sha256": file_hash(aside / FEATURES),
            "classes": pictures.classes,
            "numbers": measured.numbers,
            "thumbnails": thumbnails.write_sheets(pictures.chosen, aside),
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


def _save_array(path: Path, values: NDArray[Any], about: dict[str, Any]) -> None:
    """Writes an array and, before it, what it was made with: whoever finds the array finds that too."""
    writing.write_atomically(path.with_suffix(".json"), json.dumps(about, indent=1))
    beside = path.with_name(f".{path.stem}.{os.getpid()}.npy")
    try:
        np.save(beside, values)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _compare(first: Embedding, second: Embedding, progress: Callable[[float], None]) -> None:
    start = time.perf_counter()
    numbers, agreement = compare.pair_numbers(
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
    _save_array(pair_path(first, second), agreement, about)


# --- maps -----------------------------------------------------------------------------------------------------------


def _make_map(embedding: Embedding, projection: Projection, model: Model, bar: _Bar, job: Path | None) -> None:
    of = f"the {projection.label} map of {model.name}"
    progress = bar.part(f"Drawing {of}", MAP_WORK[projection.method])
    features, seed = np.array(embedding.features), int(embedding.provenance["seed"])
    start = time.perf_counter()
    try:
        points = _draw(projection, embedding, features, seed, progress, job)
    except ImportError:
        package = reduce.PACKAGES[projection.method]
        raise ConfigError(
            f"method is {projection.method}, which needs the package {package}: pip install {package}."
        ) from None
    drawn = time.perf_counter()
    progress = bar.part(f"Measuring {of}", MAP_MEASURE_WORK)
    about = {
        "method": projection.method,
        "dims": projection.dims,
        "parameters": projection.parameters(embedding.num_images, seed),
        **compare.map_numbers(reduce.unit_rows(features), embedding.near, points, progress=progress),
        "seconds": round(drawn - start, 3),
        "features": embedding.folder.name,
        "features_sha256": embedding.provenance.get("features_sha256"),
        "versions": runs.versions() | _map_versions(projection.method),
        "created": time.time(),
    }
    _save_array(embedding.map_path(projection), points, about)


def _draw(
    projection: Projection, embedding: Embedding, features: NDArray[np.float32], seed: int,
    progress: Callable[[float], None], job: Path | None,
) -> NDArray[np.float32]:  # fmt: skip
    """The map; UMAP by the process that keeps it compiled, where there is a job and that process can."""
    near, wanted = embedding.near, projection.num_neighbors(embedding.num_images)
    if near.indices.shape[1] < wanted:
        near = reduce.nearest(reduce.unit_rows(features), wanted)
    if job is not None and projection.method == "umap":
        points = umap_server.draw(projection, features, near, seed, job, lambda _, share: progress(share))
        if points is not None and np.isfinite(points).all():
            return points
    return reduce.reduce(projection, features, seed, progress, near)


def _map_versions(method: str) -> dict[str, str]:
    from importlib import metadata

    return {reduce.PACKAGES[method]: metadata.version(reduce.PACKAGES[method])}


# --- the command ----------------------------------------------------------------------------------------------------


def add_arguments(parser: Any) -> None:
    """Declares the options of `python -m simclr embed`."""
    parser.add_argument(
        "RUN", nargs="+", type=str,
        help="Runs by id, unique beginning or folder; also: untrained (the network before training), pixels. Each may "
        "end in a checkpoint and a layer of its own, as in RUN@epoch-8@z.",
    )  # fmt: skip
    numbers = {name: option for options in reduce.OPTIONS.values() for name, option in options.items()}
    texts = {
        "checkpoint": "best, last or epoch-N. Default: the final weights, else the last checkpoint.",
        "layer": "h, the representation, or z, the projector's output, of pre-trainings. Default: h.",
        "split": "auto, test, val or train. Default: auto, the test images where there are any, else val, else train.",
        "num_images": f"How many images, in class proportion, or all. Default: {DEFAULT_IMAGES}.",
        "method": "pca, umap, tsne, several separated by commas, or none. Default: pca.",
        "dims": "2 or 3: maps on a plane or in space. Default: 2.",
        **{name: f"{option.help} Default: {option.default:g}." for name, option in numbers.items()},
        "seed": "Chooses the images, and starts the maps. Default: 0.",
    }
    jobs.add_options(parser, texts)


def _whole_number(name: str, text: Any, low: int, high: int) -> int:
    try:
        number = int(str(text))
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        more = " or all" if name == "num_images" else ""
        raise ConfigError(f"{name} is {text}; allowed: a whole number from {low:,} to {high:,}{more}.")
    return number


def _word(name: str, text: Any, words: Sequence[str]) -> str:
    word = str(text).strip().lower()
    if word not in words:
        raise ConfigError(f"{name} is {text}; allowed: {', '.join(words)}{cfg.nearest_name(word, words) or '.'}")
    return word


def parse(options: Any) -> tuple[Choice, tuple[Projection, ...], str | None, Layer]:
    """The images and the maps that text options name, and the checkpoint and layer of models that name none.

    Raises:
        ConfigError: with one sentence for the first that is wrong.
    """
    number: int | None = DEFAULT_IMAGES
    if options.num_images is not None:
        everything = str(options.num_images).strip().lower() == "all"
        number = None if everything else _whole_number("num_images", options.num_images, 2, 10**7)
    choice = Choice(
        split=_word("split", "auto" if options.split is None else options.split, SPLITS),
        num_images=number,
        seed=0 if options.seed is None else _whole_number("seed", options.seed, 0, 2**31 - 1),
    )
    checkpoint = None if options.checkpoint is None else str(options.checkpoint).strip().lower()
    if checkpoint is not None and not is_checkpoint(checkpoint):
        raise ConfigError(f"checkpoint is {options.checkpoint}; allowed: {', '.join(CHECKPOINTS)}.")
    layer: Any = "h" if options.layer is None else _word("layer", options.layer, LAYERS)
    return choice, _projections(options), checkpoint, layer


def _projections(options: Any) -> tuple[Projection, ...]:
    """The maps that `--method` names; numbers of other options hold for those that leave them open."""
    text = str(options.method or "pca").lower().replace("t-sne", "tsne")
    words = [word for part in text.split(",") if (word := part.strip())]
    names = [_word("method", word.partition(":")[0], (*reduce.METHODS, "none")) for word in words]
    values: dict[str, float] = {}
    for name in ("dims", *(name for numbers in reduce.OPTIONS.values() for name in numbers)):
        given = getattr(options, name)
        if given is None:
            continue
        try:
            values[name] = float(given)
        except ValueError:
            raise ConfigError(f"{name} is {given}; allowed: a number.") from None
        takers = [method for method in reduce.METHODS if name == "dims" or name in reduce.OPTIONS[method]]
        if not set(takers) & set(names):
            raise ConfigError(
                f"{name} is {given} and method is {', '.join(names)}; allowed: with method {', '.join(takers)}."
            )
    try:
        found = [reduce.parse_projection(word, **values) for word in words if word != "none"]
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    return tuple(dict.fromkeys(found))


def main(options: Any) -> int:
    """Computes what the command line asks for; returns the exit status 0.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
        SystemExit: with status 75 when it was stopped.
    """
    with jobs.running(options.job_dir) as report:
        runs_dir = Path(options.runs_dir) if options.runs_dir else runs.default_runs_dir()
        choice, projections, checkpoint, layer = parse(options)
        models = resolve_models(options.RUN, runs_dir, checkpoint, layer)
        job = Path(options.job_dir) if options.job_dir else None
        embeddings = compute(models, choice, projections, report=report, job=job)
        for model, embedding in zip(models, embeddings, strict=True):
            accuracy = (
                f"kNN accuracy {embedding.knn_accuracy:.1%}" if embedding.knn_accuracy is not None else "no classes"
            )
            print(f"{model.name}: {embedding.num_images:,} images, {embedding.features.shape[1]} features, {accuracy}")
            print(embedding.folder, flush=True)
    return 0
