"""Which images of a data set encoders are compared on (no torch until they are read)."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simclr import config as cfg
from simclr import runs
from simclr.added.sets import AddedSet
from simclr.config import ConfigError, images_may_have_moved
from simclr.data.folders import folder_layout
from simclr.embeddings.neighbors import Progress
from simclr.embeddings.references import EncoderRef, dataset_of
from simclr.files.user_paths import user_path
from simclr.runs import Run

if TYPE_CHECKING:
    from simclr.data.splits import ImageData, Split

SPLITS = ("auto", "test", "val", "train")
DEFAULT_IMAGES = 10_000
PLACES = "places"  # of `comparable_data`: where the images of a run have lain
LOOK_SECONDS = 5.0  # for the files of a folder at most


class OtherData(NamedTuple):
    """A data set that is not a run's own. dataset: its name, or the full path of a folder. stamp: changes with a
    file of the folder; empty of a named set."""

    dataset: str
    stamp: str = ""


@dataclass(frozen=True)
class ImageSelection:
    """Which images.

    split: `auto` is test, else val, else train, whichever the data have first.
    num_images: at most this many, stratified by class; None: all.
    seed: of the choice of images and of the maps.
    other: another data set than the run's own. Nothing is cut off from it: where it has no test images of its own,
        `auto` means all its images. None: the run's own.
    place: where the run's own images lie now; None: where they lay when it was trained.
    among: embeddings that were added and that some of the images lack: only images that all of them have are chosen.
        `auto` is then the first of test, val and train of which they have any. As `for_models` finds them.
    """

    split: str = "auto"
    num_images: int | None = DEFAULT_IMAGES
    seed: int = 0
    other: OtherData | None = None
    place: str | None = None
    among: tuple[AddedSet, ...] = ()


def for_models(models: Sequence[EncoderRef], choice: ImageSelection) -> ImageSelection:
    """The images that can be shown of all models: where embeddings were added, those that they were made of.

    These are the runs' own where the runs lie on the same folder or data set, cut as the runs cut them; else they are
    images of another data set to the runs, whose encoders look at them now.

    Raises:
        ConfigError: if added embeddings are of other images than others, or than those that `choice` names.
    """
    added = list(dict.fromkeys(model.added for model in models if model.added is not None))
    if not added:
        return choice
    first = added[0]
    for other in added[1:]:
        if other.dataset != first.dataset:
            raise ConfigError(
                f"{other.name} are embeddings of images of {other.dataset}, and {first.name} of {first.dataset}; "
                "allowed: embeddings of the same images."
            )
    named = choice.other.dataset if choice.other is not None else choice.place
    if named not in (None, first.dataset):
        raise ConfigError(
            f"dataset is {named}, and {first.name} are embeddings of images of {first.dataset}; allowed: dataset unset."
        )
    is_own = all(dataset_of(model.run) == first.dataset for model in models)
    among = sorted((item for item in added if not item.is_whole(choice.split)), key=lambda item: item.digest)
    return replace(
        choice,
        other=None if is_own else OtherData(first.dataset, first.stamp),
        place=None,
        among=tuple(among),
    )


def data_identity(run: Run, split: str, other: OtherData | None = None) -> dict[str, Any]:
    """The options that decide which images a split holds, and how they are drawn or stored.

    Args:
        other: as of `ImageSelection`.
    """
    options = run.config
    if other is not None:
        found: dict[str, Any] = {"dataset": other.dataset, "cuts": "none"}
        found |= {"files": other.stamp} if other.stamp else {}
        keeps_size = other.dataset in cfg.DATASETS and other.dataset != "shapes"
        return found if keeps_size else found | {"image_size": options.get("image_size")}
    dataset = str((*run.moved_from, options.get("dataset"))[0])
    found = {"dataset": dataset}
    is_folder = dataset not in cfg.DATASETS
    if is_folder:
        found["dataset"] = str(user_path(dataset).resolve())
    if is_folder:  # only where they are not as usual, so that what was kept before these options is found again
        usual = cfg.CommonOptions.model_fields["test_fraction"].default
        found |= {name: options[name] for name in ("value_min", "value_max") if options.get(name) is not None}
        found |= {"test_fraction": options["test_fraction"]} if options.get("test_fraction", usual) != usual else {}
    if is_folder or dataset == "shapes":  # others keep their own size
        found["image_size"] = options.get("image_size")
    if is_folder or split in ("val", "train"):
        found["seed"] = options.get("seed")
    if split in ("val", "train"):
        found |= {name: options.get(name) for name in ("limit_images", "val_fraction")}
        found |= {"held_out": list(options["held_out"])} if options.get("held_out") else {}
        if dataset == "stl10" and (split == "train" or options.get("limit_images") is not None):
            found["unlabelled_images"] = "used" if run.kind == "pretrain" else "left out"
    return found


def comparable_data(run: Run, split: str, other: OtherData | None = None) -> dict[str, Any]:
    """What two runs must agree in to be shown the same images, as `difference` compares it.

    The seed of a run decides which images of a folder are test images only where the folder has none of its own.

    Args:
        other: as of `ImageSelection`.
    """
    found = data_identity(run, split, other)
    if other is not None or found["dataset"] in cfg.DATASETS:
        return found | {PLACES: (found["dataset"],)}
    places = [str(user_path(place).resolve()) for place in (*run.moved_from, str(run.config.get("dataset")))]
    if split in ("auto", "test") and _has_test_images(places[-1]):
        del found["seed"]
    return found | {PLACES: tuple(places)}


def _has_test_images(folder: str) -> bool:
    """Whether a folder of images has test images of its own; False where it cannot be read."""
    try:
        return _reads_test_images(folder, os.stat(folder).st_mtime_ns)
    except OSError:
        return False


@functools.lru_cache(maxsize=64)
def _reads_test_images(folder: str, modified: int) -> bool:
    try:
        return "test" in folder_layout.read(folder, seconds=LOOK_SECONDS).splits
    except (ConfigError, TimeoutError):
        return False


def difference(mine: dict[str, Any], theirs: dict[str, Any]) -> str:
    """The first name in which two results of `comparable_data` disagree; empty where they do not.

    Data sets agree that have ever lain at one place: when a run's images have moved, it was made sure that they are the
    same.
    """
    for name, value in mine.items():
        if name == PLACES:
            continue
        if name == "dataset" and set(mine[PLACES]) & set(theirs[PLACES]):
            continue
        if theirs.get(name) != value:
            return name
    return ""


def check_same_data(models: Sequence[EncoderRef], choice: ImageSelection) -> None:
    """Raises ConfigError with one sentence if the models cannot be shown the same images."""
    first = models[0]
    mine = comparable_data(first.run, choice.split, choice.other)
    for other in models[1:]:
        theirs = comparable_data(other.run, choice.split, choice.other)
        if name := difference(mine, theirs):
            raise ConfigError(
                f"{name} is {theirs.get(name)} in {other.run.id} and {mine[name]} in {first.run.id}; "
                "allowed: runs that can be shown the same images."
            )


@dataclass(frozen=True)
class SelectedImages:
    """The chosen images of a split and everything recorded about them."""

    chosen: Split
    classes: list[str]
    bank: Split | None  # of training images: all that have a class
    shared: tuple[int, int] | None = None  # images that added embeddings have, of how many; None: not asked

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


def load_selection(run: Run, choice: ImageSelection, progress: Progress = lambda share: None) -> SelectedImages:
    """The chosen images of a run's data, and everything recorded about them."""
    import torch

    from simclr.data import memory
    from simclr.data.sampling import EMBEDDING_STREAM, stratified_order

    for item in choice.among:
        item.check_images()
    max_bytes = memory.memory_limit(runs.load_config(run).memory_share)
    loaded, split = _data_and_split(run, choice, progress, max_bytes)
    labels = None if split.labels is None else split.labels.numpy()
    strata = labels if labels is not None else np.zeros(split.num_images, dtype=np.int64)
    positions = _shared(split, choice.among)
    shared = (len(positions), split.num_images) if choice.among else None
    if not len(positions):
        names = " and ".join(item.name for item in choice.among)
        raise ConfigError(
            f"split is {split.name}, and {names} have embeddings of none of its {split.num_images:,} images; allowed: "
            "auto, or a split of which they have some."
        )
    if choice.num_images is not None and choice.num_images < len(positions):
        order_of = stratified_order(strata[positions], choice.seed, EMBEDDING_STREAM)
        positions = positions[np.sort(order_of[: choice.num_images])]
    chosen = split.take(torch.from_numpy(positions)).load(max_bytes)
    progress(1.0)
    classes = list(loaded.classes or []) if labels is not None else []
    is_bank = split.name == "train" and choice.other is None
    return SelectedImages(chosen, classes, loaded.probe if is_bank else None, shared)


def open_split(run: Run, choice: ImageSelection) -> Split:
    """The split that `choice` names, whole, its images read from their files when they are asked for.

    Raises:
        ConfigError: if the data are not here, or have no such split.
    """
    return _data_and_split(run, choice, lambda share: None, 0)[1]


def _data_and_split(run: Run, choice: ImageSelection, progress: Progress, max_bytes: int) -> tuple[ImageData, Split]:
    from simclr.data import identity, loading

    config = runs.load_config(run)

    def tell(what: str, share: float) -> None:
        progress(share)

    if choice.other is not None:
        loaded = loading.load_other_data(config, choice.other.dataset, cut=False, progress=tell, max_bytes=max_bytes)
    else:
        config = config if choice.place is None else identity.moved_config(config, choice.place)
        with images_may_have_moved(is_named=choice.place is not None):
            loaded = loading.load_run_data(config, progress=tell, max_bytes=max_bytes)
    order = ("test", "val", "train") if choice.split == "auto" else (choice.split,)
    splits = {"test": loaded.test, "val": loaded.val, "train": loaded.train}
    there_are = [part for name in order if (part := splits[name]) is not None]
    split = next((part for part in there_are if len(_shared(part, choice.among))), next(iter(there_are), None))
    if split is None:
        there = ", ".join(name for name, part in splits.items() if part is not None)
        where = config.dataset if choice.other is None else choice.other.dataset
        raise ConfigError(f"split is {choice.split}, which {where} does not have; allowed: {there}.")
    return loaded, split


def _shared(split: Split, among: Sequence[AddedSet]) -> NDArray[np.int64]:
    """Positions of the images of a split that all of some added embeddings have."""
    ids = split.ids.numpy()
    has_all = np.ones(len(ids), dtype=bool)
    for item in among:
        has_all &= item.rows_of(split.name, ids) >= 0
    return np.flatnonzero(has_all)
