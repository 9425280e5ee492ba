"""Whether images are those that a run trained on: recorded when it begins, compared where a data set has moved.

    RUN/data.json      classes in order; of each split the number of images, hashes of which images and labels it holds
                       and of some images; a hash of the names of a folder's files

Runs of older versions have none: their numbers of images and classes are compared, and the images of their film.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from simclr import runs
from simclr.config import DATASETS, ConfigError, FinetuneConfig, RunConfig
from simclr.data.folders import folder_layout
from simclr.data.loading import load_run_data
from simclr.data.sources import Progress, chunk_slices
from simclr.data.splits import ImageData, Split, film_part, images_digest, label_subset
from simclr.files import safe_read, writing
from simclr.files.user_paths import user_path
from simclr.runs import Run, film_frames

FORMAT = 1
LOOKED_AT = 100  # images of each split whose pixels are hashed, evenly spaced
IMAGES = {"train": "training images", "val": "validation images", "test": "test images"}


class DataPlace(NamedTuple):
    """What `--dataset` names. dataset: a name, or the path of a folder. is_own: it holds the run's own images."""

    dataset: str
    is_own: bool


class Comparison(NamedTuple):
    """difference: what other images differ in, to follow "whose" or "which"; empty where nothing does.

    is_proven: pixels were compared too.
    """

    difference: str
    is_proven: bool


# --- recording ------------------------------------------------------------------------------------------------------


def fingerprint(data: ImageData) -> dict[str, Any]:
    """What tells these images, cut as they are, from others."""
    names = hashlib.sha256()
    for source in data.folders:
        for chunk in chunk_slices(len(source.paths)):
            names.update(b"\n".join([*source.paths.names(chunk), b""]))
    return {
        "format": FORMAT,
        "classes": None if data.classes is None else list(data.classes),
        "files": names.hexdigest()[:24] if data.folders else None,
        "splits": {name: _split(split) for name, split in data.splits.items()},
    }


def _split(split: Split) -> dict[str, Any]:
    positions = np.unique(np.linspace(0, split.num_images - 1, min(split.num_images, LOOKED_AT)).astype(np.int64))
    order = hashlib.sha256(split.ids.cpu().numpy().tobytes())
    if split.labels is not None:
        order.update(split.labels.cpu().numpy().tobytes())
    pixels = hashlib.sha256(split.images_at(positions.tolist()).cpu().numpy().tobytes())
    return {
        "num_images": split.num_images,
        "order": order.hexdigest()[:24],
        "pixels": pixels.hexdigest()[:24],
        "looked_at": len(positions),
    }


def record(run: Run, data: ImageData, *, has_begun: bool) -> None:
    """Keeps the fingerprint of the images that a run trains on; of one that has begun, what was kept then stays."""
    if has_begun and recorded(run):
        return
    writing.write_atomically(run.path / runs.DATA, json.dumps(fingerprint(data), indent=1))


def recorded(run: Run) -> dict[str, Any]:
    """The fingerprint in a run's folder; empty where it is missing or damaged."""
    found = safe_read.json_dict(run.path / runs.DATA)
    splits = found.get("splits")
    is_whole = (
        found.get("format") == FORMAT
        and (found.get("classes") is None or isinstance(found.get("classes"), list))
        and isinstance(splits, dict)
        and all(name in IMAGES and isinstance(part, dict) for name, part in splits.items())
    )
    return found if is_whole else {}


def classes_of(run: Run) -> tuple[str, ...] | None:
    """The names of a run's classes, in the order of its classifier; None where they are not recorded."""
    film = safe_read.json_dict(film_frames.folder_of(run) / film_frames.ABOUT)
    for found in (recorded(run), run.evaluation, film):
        if isinstance(names := found.get("classes"), list) and names:
            return tuple(str(name) for name in names)
    return None


# --- comparing ------------------------------------------------------------------------------------------------------


def compare(run: Run, data: ImageData) -> Comparison:
    """Whether `data`, cut as the run's own, holds what the run has recorded of its images."""
    before = recorded(run)
    if not before:
        return _compare_with_old(run, data)
    now = fingerprint(data)
    found = _classes(before["classes"], now["classes"]) or _numbers(
        {name: part.get("num_images") for name, part in before["splits"].items()},
        {name: part["num_images"] for name, part in now["splits"].items()},
    )
    if not found and before.get("files") != now["files"]:
        found = "whose files have other names than those"
    for name, part in now["splits"].items():
        if not found and before["splits"][name].get("order") != part["order"]:
            found = f"whose {IMAGES[name]} have other classes, or stand in another order, than those"
    for name, part in now["splits"].items():
        if not found and before["splits"][name].get("pixels") != part["pixels"]:
            found = f"whose {IMAGES[name]} are other pictures ({part['looked_at']:,} were looked at) than those"
    return Comparison(found, is_proven=True)


def _classes(before: Any, now: Any) -> str:
    if (before is None) != (now is None):
        return "which has no classes, unlike those" if now is None else "which has classes, unlike those"
    if before is None:
        return ""
    if len(before) != len(now):
        return f"which has {len(now):,} classes where there were {len(before):,}, unlike those"
    for number, (was, name) in enumerate(zip(before, now, strict=True), start=1):
        if was != name:
            return f"whose class {number} is {name} where it was {was}, unlike those"
    return ""


def _numbers(before: dict[str, Any], now: dict[str, int]) -> str:
    for name, text in IMAGES.items():
        if before.get(name) != now.get(name):
            there, were = (f"{values[name]:,}" if values.get(name) else "no" for values in (now, before))
            return f"which has {there} {text} where there were {were.replace('no', 'none')}, unlike those"
    return ""


def _compare_with_old(run: Run, data: ImageData) -> Comparison:
    """The same for a run of a version that recorded no fingerprint."""
    config, meta, evaluation = runs.load_config(run), run.meta, run.evaluation
    train = data.train
    if isinstance(config, FinetuneConfig) and train.labels is not None:
        seed = config.seed if config.subset_seed is None else config.subset_seed
        train = train.take(label_subset(train.labels, config.label_fraction, seed, config.labels_per_class))
    now = {"train": train.num_images, "val": data.val.num_images if data.val is not None else 0}
    before = {"train": meta.get("num_train_images"), "val": meta.get("num_val_images")}
    if "num_test_images" in evaluation:
        now["test"] = data.test.num_images if data.test is not None else 0
        before["test"] = evaluation["num_test_images"]
    known = {name: number for name, number in before.items() if number is not None}
    found = _numbers(known, {name: now[name] for name in known})
    num_classes = meta.get("num_classes")
    names = classes_of(run)
    if not found and names is not None:
        found = _classes(list(names), None if data.classes is None else list(data.classes))
    elif not found and num_classes is not None and num_classes != len(data.classes or ()):
        found = f"which has {len(data.classes or ()):,} classes where there were {num_classes}, unlike those"
    film = safe_read.json_dict(film_frames.folder_of(run) / film_frames.ABOUT)
    is_proven = isinstance(film.get("images"), str)
    if not found and is_proven:
        split = data.val if data.val is not None else train
        if images_digest(film_part(split, config.seed)) != film["images"]:
            found = "whose images are other pictures than those"
    return Comparison(found, is_proven)


# --- finding --------------------------------------------------------------------------------------------------------


def resolved(dataset: str) -> str:
    """A data set's name as it is; a folder by its full path, so that it is found from anywhere."""
    text = str(dataset).strip()
    return text if text in DATASETS else str(user_path(text).resolve())


def moved_config(config: RunConfig, dataset: str) -> RunConfig:
    """The options of a run with its images at another place."""
    return config.model_copy(update={"dataset": resolved(dataset)})


def look(run: Run, dataset: str, progress: Progress | None = None) -> tuple[DataPlace, Comparison]:
    """Whether a name or a folder holds a run's own images.

    Only names and some images are read.

    Raises:
        ConfigError: if there is nothing of that name, or it cannot be read as the run's own images were.
    """
    config = runs.load_config(run)
    place = moved_config(config, dataset)
    assert place.dataset is not None
    if place.dataset == config.dataset:
        return DataPlace(place.dataset, True), Comparison("", True)
    with _quiet():  # what is said of images is said when they are used
        data = load_run_data(place, progress=progress, max_bytes=0)
    found = compare(run, data)
    return DataPlace(place.dataset, not found.difference), found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("simclr")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def find_place(found: Iterable[Run], dataset: str, progress: Progress | None = None) -> DataPlace:
    """What a data set is to some runs: their own images, moved, or another set.

    Images that only their number speaks for are taken for another set: nothing is then mixed.

    Raises:
        ConfigError: if there is nothing of that name.
    """
    where = resolved(dataset)
    if where not in DATASETS:
        folder_layout.read(str(dataset).strip())
    places = []
    for run in {item.path: item for item in found}.values():
        try:
            place, comparison = look(run, dataset, progress)
        except ConfigError:  # it cannot be cut as the run's own was
            return DataPlace(where, False)
        places.append(place.is_own and comparison.is_proven)
    return DataPlace(where, all(places))


def move(run: Run, dataset: str, progress: Progress | None = None) -> str:
    """Records in a run's `config.yaml` where its images lie now, if they are the same; returns a sentence.

    Raises:
        ConfigError: with one sentence that says what differs.
    """
    place, found = look(run, dataset, progress)
    has_begun = runs.is_begun(run.path)
    if found.difference and has_begun:
        raise ConfigError(
            f"dataset is {dataset}, {found.difference} that {run.id} was trained on; allowed: the same images at "
            "another place, or a new run."
        )
    config = runs.load_config(run)
    before = config.dataset
    if place.dataset == before:
        return ""
    if has_begun:  # what was computed of these images keeps the name of their first place
        runs.add_meta(run.path, moved_from=[*run.moved_from, before])
    runs.write_config(run.path, moved_config(config, place.dataset))
    text = f"dataset is {place.dataset} from now on, where it was {before}"
    if not has_begun:
        return f"{text}; nothing was trained yet"
    how = "classes, numbers, order and some pictures" if found.is_proven else "classes and numbers of images"
    return f"{text}: {how} are the same"
