"""Computes features of encoders on the same plain images, and maps of them: the command `embed`.

What it writes, and how that is read again, stands in `simclr.embeddings`. Torch is imported inside the functions.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import config as cfg
from simclr import reduce, runs
from simclr.config import ConfigError
from simclr.embeddings import (
    CHECKPOINTS,
    DEFAULT_IMAGES,
    FACTORS,
    FEATURES,
    IDS,
    LABELS,
    PIXELS,
    PROVENANCE,
    SPLITS,
    Choice,
    Embedding,
    Model,
    check_same_data,
    embedding_folder,
    has_weights,
    key_values,
    load_embedding,
    resolve_models,
    same_images,
    weights_path,
)
from simclr.runs import Run, StatusWriter

MAX_PIXEL_SIDE = 32  # raw pixels are compared at this side at most
TILE_SIDE, SHEET_COLUMNS = 64, 50  # a thumbnail's largest side; tiles in a row and rows in a sheet
BATCH_SIZE = 256
PICK_STREAM = 5  # beside the streams of the cuts in `simclr.stratify`

# Units of work, for a progress bar that moves evenly.
LOAD_WORK, FEATURE_WORK = 10, 20
MAP_WORK = {"pca": 2, "umap": 40, "tsne": 40}

Report = Callable[[str, float], None]


class Stopped(BaseException):
    """A stop was asked for. No library may take it for an error of its own, so it is no Exception."""


@dataclass(frozen=True)
class _Pictures:
    """The chosen images of a split and everything recorded about them."""

    split: str
    images: Any  # (N, 3, S, S) uint8 tensor
    ids: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    classes: list[str]
    factors: dict[str, NDArray[Any]]

    @property
    def digest(self) -> str:
        """Changes with any pixel or number of any image."""
        found = hashlib.sha256(self.ids.tobytes())
        found.update(np.ascontiguousarray(self.images.numpy()).tobytes())
        return found.hexdigest()[:24]


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
    models: Sequence[Model], choice: Choice, methods: Sequence[str] = ("pca",), *,
    report: Report = lambda phase, share: None, check: Callable[[], None] = lambda: None,
) -> list[Embedding]:  # fmt: skip
    """Features of all models on the same images, and maps of them; only what is missing is computed.

    Args:
        report: called with what is going on, in words, and the share done, 0..1.
        check: called often; may raise to end the work. What was complete by then is kept.

    Raises:
        ConfigError: if the runs' data differ, or weights or images are missing.
    """
    check_same_data(models, choice)
    folders = [embedding_folder(model, choice) for model in models]
    found = [load_embedding(folder) for folder in folders]
    whole = [embedding for embedding in found if embedding is not None]
    # Images that changed on disk since one model saw them: all of them look again.
    pictures_needed = len(whole) < len(found) or any(not same_images(whole[0], other) for other in whole)
    new = sum(embedding is None for embedding in found)
    to_do = sum(
        MAP_WORK[method]
        for embedding in found
        for method in methods
        if embedding is None or embedding.map(method) is None
    )
    bar = _Bar(max(1, pictures_needed * LOAD_WORK + new * FEATURE_WORK + to_do), report, check)

    if pictures_needed:
        pictures = _load_pictures(models[0].run, choice, bar.part("Reading the images", LOAD_WORK))
        digest = pictures.digest
        for place, (model, folder) in enumerate(zip(models, folders, strict=True)):
            old = found[place]
            if old is None or old.provenance.get("images") != digest:
                progress = bar.part(f"Computing features of {model.name}", FEATURE_WORK if old is None else 0)
                features = _features(model, choice, pictures, progress)
                _save(folder, model, choice, pictures, digest, features)
                found[place] = load_embedding(folder)
    embeddings = [embedding for embedding in found if embedding is not None]
    assert len(embeddings) == len(models)
    _check_num_images(embeddings[0].num_images, methods)
    for method in methods:  # the quick one of all models first: it can be looked at while the others are computed
        for model, embedding in zip(models, embeddings, strict=True):
            if embedding.map(method) is None:
                _make_map(embedding, method, model, bar)
    report("", 1.0)
    return embeddings


def _check_num_images(number: int, methods: Sequence[str]) -> None:
    if methods and number < reduce.MIN_IMAGES:
        raise ConfigError(f"num_images is {number}; allowed: at least {reduce.MIN_IMAGES}, or method none.")


def _load_pictures(run: Run, choice: Choice, progress: Callable[[float], None]) -> _Pictures:
    import torch

    from simclr import data
    from simclr.stratify import stratified_order

    config = runs.load_config(run)
    assert config.dataset is not None
    loaded = data.load_data(
        config.dataset, data_dir=config.data_dir, image_size=config.image_size, seed=config.seed,
        limit_images=config.limit_images, val_fraction=config.val_fraction,
        progress=lambda what, share: progress(share),
    )  # fmt: skip
    order = ("test", "val", "train") if choice.split == "auto" else (choice.split,)
    splits = {"test": loaded.test, "val": loaded.val, "train": loaded.train}
    split = next((splits[name] for name in order if splits[name] is not None), None)
    if split is None:
        there = ", ".join(name for name, part in splits.items() if part is not None)
        raise ConfigError(f"split is {choice.split}, which {config.dataset} does not have; allowed: {there}.")
    labels = None if split.labels is None else split.labels.cpu().numpy()
    strata = labels if labels is not None else np.zeros(split.num_images, dtype=np.int64)
    positions = np.arange(split.num_images)
    if choice.num_images is not None and choice.num_images < split.num_images:
        positions = np.sort(stratified_order(strata, choice.seed, PICK_STREAM)[: choice.num_images])
    chosen = split.take(torch.from_numpy(positions))
    images = chosen.images
    if images is None:
        images = chosen.images_at(range(chosen.num_images))
    progress(1.0)
    return _Pictures(
        split.name, images.cpu(), chosen.ids.cpu().numpy(), labels[positions] if labels is not None else None,
        list(loaded.classes or []) if labels is not None else [], chosen.factors,
    )  # fmt: skip


def _features(
    model: Model, choice: Choice, pictures: _Pictures, progress: Callable[[float], None]
) -> NDArray[np.float32]:
    """(N, D): h of each plain image, BatchNorm in eval mode, float32."""
    import torch

    from simclr import augment, backbones

    config = model.run.config
    size = int(config.get("image_size") or pictures.images.shape[-1])
    device = torch.device("cuda" if torch.cuda.is_available() and config.get("accelerator") != "cpu" else "cpu")
    if model.what == PIXELS:
        size = min(size, MAX_PIXEL_SIDE)
        network: Any = torch.nn.Flatten()
    else:
        path = weights_path(model.run, choice.checkpoint) if has_weights(model.run) else None
        try:
            state = backbones.read_state(path) if path is not None else {}
            torch.manual_seed(int(config.get("seed") or 0))
            encoder = backbones.build_encoder(str(config["backbone"]), size, small_stem=backbones.has_small_stem(state))
            if model.what == "weights" and path is not None:
                backbones.load_encoder(encoder, state, path)
        except ConfigError as error:
            # Said from the view of a training, where a weights file is an experiment.
            raise ConfigError(str(error).replace("experiment_version is", "RUN has the weights", 1)) from None
        network = encoder.network.to(device).eval()
    found = []
    with torch.inference_mode():
        for batch in pictures.images.split(BATCH_SIZE):
            x = augment.normalize(augment.resize(augment.to_float(batch.to(device)), size))  # (n, 3, size, size)
            found.append(network(x).flatten(1).float().cpu())
            progress(sum(map(len, found)) / len(pictures.ids))
    features: NDArray[np.float32] = torch.cat(found).numpy()
    if not np.isfinite(features).all():
        raise ConfigError(
            f"RUN is {model.run.id}, whose network gives values that are no numbers; allowed: one that did not diverge."
        )
    return features


def write_sheets(images: Any, folder: Path) -> dict[str, Any]:
    """Writes images (N, 3, S, S) uint8 as sheets of tiles and says how they lie there."""
    from PIL import Image

    from simclr import augment

    side = min(TILE_SIDE, images.shape[-1])
    per_sheet = SHEET_COLUMNS * SHEET_COLUMNS
    names = []
    for number, part in enumerate(images.split(per_sheet)):
        if part.shape[-1] != side:
            small = [augment.resize(augment.to_float(batch), side) for batch in part.split(BATCH_SIZE)]
            tiles = np.concatenate([(batch * 255).round().clamp(0, 255).byte().numpy() for batch in small])
        else:
            tiles = part.numpy()
        num_rows = -(-len(tiles) // SHEET_COLUMNS)
        sheet = np.zeros((num_rows * SHEET_COLUMNS, side, side, 3), dtype=np.uint8)
        sheet[: len(tiles)] = tiles.transpose(0, 2, 3, 1)
        sheet = sheet.reshape(num_rows, SHEET_COLUMNS, side, side, 3).swapaxes(1, 2)
        name = f"thumbnails-{number}.png"
        Image.fromarray(sheet.reshape(num_rows * side, SHEET_COLUMNS * side, 3)).save(folder / name, compress_level=4)
        names.append(name)
    return {"side": side, "columns": SHEET_COLUMNS, "per_sheet": per_sheet, "sheets": names}


def _save(
    folder: Path, model: Model, choice: Choice, pictures: _Pictures, digest: str, features: NDArray[np.float32]
) -> None:
    """Writes a whole folder aside and puts it in place in one step."""
    aside = folder.parent / f".{folder.name}.{os.getpid()}.{uuid.uuid4().hex[:6]}"
    try:
        aside.mkdir(parents=True)
        np.save(aside / FEATURES, features)
        np.save(aside / IDS, pictures.ids)
        if pictures.labels is not None:
            np.save(aside / LABELS, pictures.labels)
        with open(aside / FACTORS, "wb") as stream:
            np.savez(stream, **pictures.factors)  # type: ignore[arg-type]
        keys = key_values(model, choice)
        provenance = {
            "run": model.run.id,
            "model": model.what,
            "weights": str(weights_path(model.run, choice.checkpoint).relative_to(model.run.path))
            if model.what == "weights" else None,
            "weights_sha256": keys.get("weights"),
            "backbone": model.run.config.get("backbone"),
            "data": keys["data"],
            "split": pictures.split,
            "num_images": len(pictures.ids),
            "num_images_asked": choice.num_images,
            "seed": choice.seed,
            "layer": "h",
            "num_features": int(features.shape[1]),
            "image_size": model.run.config.get("image_size"),
            "images": digest,
            "classes": pictures.classes,
            "knn_accuracy": reduce.knn_accuracy(features, pictures.labels)
            if pictures.labels is not None and len(features) > 1 else None,
            "thumbnails": write_sheets(pictures.images, aside),
            "versions": runs.versions(),
            "git_commit": runs.git_commit(),
            "created": time.time(),
        }  # fmt: skip
        runs.write_atomically(aside / PROVENANCE, json.dumps(provenance, indent=1))
        if folder.exists():  # damaged, or of images that have changed since
            os.replace(folder, old := folder.parent / f".old-{uuid.uuid4().hex[:8]}")
            shutil.rmtree(old, ignore_errors=True)
        os.replace(aside, folder)
    except OSError as error:
        if load_embedding(folder) is None:  # else another process was quicker
            raise ConfigError(f"{folder.parent} cannot be written: {error.strerror}.") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _make_map(embedding: Embedding, method: str, model: Model, bar: _Bar) -> None:
    label = reduce.LABELS[method]
    progress = bar.part(f"Drawing the {label} map of {model.name}", MAP_WORK[method])
    start = time.perf_counter()
    features = np.array(embedding.features)
    seed = int(embedding.provenance["seed"])
    try:
        points = reduce.reduce(method, features, seed, progress)
    except ImportError:
        package = reduce.PACKAGES[method]
        raise ConfigError(f"method is {method}, which needs the package {package}: pip install {package}.") from None
    path = embedding.map_path(method)
    about = {
        "method": method,
        "parameters": reduce.parameters(method, embedding.num_images, seed),
        "neighbors_kept": reduce.neighbors_kept(features, points),
        "seconds": round(time.perf_counter() - start, 3),
        "features": embedding.folder.name,
        "versions": runs.versions() | _map_versions(method),
        "created": time.time(),
    }
    runs.write_atomically(path.with_suffix(".json"), json.dumps(about, indent=1))
    beside = path.with_name(f".{path.stem}.{os.getpid()}.npy")
    try:
        np.save(beside, points)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _map_versions(method: str) -> dict[str, str]:
    from importlib import metadata

    return {reduce.PACKAGES[method]: metadata.version(reduce.PACKAGES[method])}


# --- the command ----------------------------------------------------------------------------------------------------


def add_arguments(parser: Any) -> None:
    """Declares the options of `python -m simclr embed`."""
    parser.add_argument(
        "RUN", nargs="+", type=str,
        help="Runs by id, unique beginning or folder; also: untrained (the network before training), pixels.",
    )  # fmt: skip
    texts = {
        "checkpoint": "best or last. Default: the final weights, else the last checkpoint.",
        "split": "auto, test, val or train. Default: auto, the test images where there are any, else val, else train.",
        "num_images": f"How many images, in class proportion, or all. Default: {DEFAULT_IMAGES}.",
        "method": "pca, umap, tsne, several separated by commas, or none. Default: pca.",
        "seed": "Chooses the images, and starts the maps. Default: 0.",
        "runs_dir": "Folder of the runs. Default: $SIMCLR_RUNS_DIR, else runs.",
        "job_dir": "Folder whose status.json is to tell the progress, as the dashboard uses it.",
    }
    for name, text in texts.items():
        parser.add_argument(f"--{name}", type=str, metavar="DIR" if name.endswith("dir") else "VALUE", help=text)


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


def parse(options: Any) -> tuple[Choice, tuple[str, ...]]:
    """The choice and the methods that text options name.

    Raises:
        ConfigError: with one sentence for the first that is wrong.
    """
    asked = "auto" if options.split is None else options.split
    number: int | None = DEFAULT_IMAGES
    if options.num_images is not None:
        everything = str(options.num_images).strip().lower() == "all"
        number = None if everything else _whole_number("num_images", options.num_images, 2, 10**7)
    choice = Choice(
        split=_word("split", asked, SPLITS),
        num_images=number,
        seed=0 if options.seed is None else _whole_number("seed", options.seed, 0, 2**31 - 1),
        checkpoint=None if options.checkpoint is None else _word("checkpoint", options.checkpoint, CHECKPOINTS),
    )
    words = [word for word in str(options.method or "pca").replace("t-sne", "tsne").split(",") if word.strip()]
    methods = tuple(dict.fromkeys(_word("method", word, (*reduce.METHODS, "none")) for word in words))
    return choice, tuple(method for method in methods if method != "none")


def main(options: Any) -> int:
    """Computes what the command line asks for; returns the exit status: 0, or 75 when it was stopped.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    job = Path(options.job_dir) if options.job_dir else None
    if job is not None and not job.is_dir():
        raise ConfigError(f"job_dir is {job}; allowed: an existing folder.")
    writer = StatusWriter(job, interval=0.5).start(phase="Starting", steps=1000) if job is not None else None
    said = {"phase": ""}

    def report(phase: str, share: float) -> None:
        if writer is not None:
            writer.set(phase=phase, step=round(1000 * share), steps=1000)
        if phase and phase != said["phase"]:
            said["phase"] = phase
            print(phase, flush=True)

    last_word: dict[str, Any] = {"state": "failed"}
    try:
        with _stop_on_signal():
            runs_dir = Path(options.runs_dir) if options.runs_dir else runs.default_runs_dir()
            choice, methods = parse(options)
            models = resolve_models(options.RUN, runs_dir)
            embeddings = compute(models, choice, methods, report=report)
        last_word = {"state": "finished", "step": 1000, "steps": 1000, "phase": "", "exit_code": 0}
        for model, embedding in zip(models, embeddings, strict=True):
            accuracy = (
                f"kNN accuracy {embedding.knn_accuracy:.1%}" if embedding.knn_accuracy is not None else "no classes"
            )
            print(f"{model.name}: {embedding.num_images:,} images, {embedding.features.shape[1]} features, {accuracy}")
            print(embedding.folder, flush=True)
        return 0
    except Stopped:
        last_word = {"state": "stopped", "reason": "stopped on request", "exit_code": runs.STOPPED_EXIT_CODE}
        return runs.STOPPED_EXIT_CODE
    except ConfigError as error:
        last_word |= {"reason": "bad input", "error": str(error), "exit_code": runs.BAD_INPUT_EXIT_CODE}
        raise
    except MemoryError:
        last_word |= {"reason": "out of memory", "error": "There was not enough memory; try fewer images."}
        raise
    except Exception as error:
        sentence = (str(error).strip().splitlines() or [""])[0]
        last_word |= {"reason": type(error).__name__, "error": f"{type(error).__name__}: {sentence[:300]}"}
        raise
    finally:
        if writer is not None:
            writer.close(**last_word)


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the work at the next line of Python: nothing is ever half written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough; a second one must not break the cleaning up
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
