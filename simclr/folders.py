"""A folder of images as a data set: which files there are, their classes, their splits, their size."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simclr.config import DATASETS, ConfigError, nearest_name
from simclr.images import FileSource, ImageList, Lists, image_size_of
from simclr.stratify import TEST_STREAM, ranks_in_class, stratified_order

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
VAL_FOLDERS = ("val", "valid", "validation")
LARGEST_OWN_SIDE = 224  # pixels; larger images are seen at this side unless image_size asks for more
NUM_SIDE_SAMPLES = 200  # images whose size is looked at to find a folder's own side
TEST_FRACTION = 0.2  # of a folder without test/


def load(dataset: str, root: Path, image_size: int | None, seed: int, labelled_only: bool) -> Lists:
    """Finds images, classes and splits below the folder `dataset`; `root` is where decoded images are kept."""
    folder = Path(dataset or "(empty)").expanduser()
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "is neither a data set nor a folder that exists"
        raise ConfigError(
            f"dataset is {dataset}, which {what}; allowed: {', '.join(DATASETS)} or a folder of images"
            f"{nearest_name(dataset, DATASETS) or '.'}"
        )
    try:
        files = _image_files(folder)
    except OSError as error:
        raise ConfigError(f"dataset is {dataset}, which cannot be read: {error.strerror}.") from None
    if not files:
        raise ConfigError(
            f"dataset is {dataset}, a folder without images; allowed: files ending in {', '.join(IMAGE_SUFFIXES)}, "
            "in train/<class>/, <class>/ or the folder itself."
        )

    parts = {"train": files}
    tops = {path.split("/")[0] for path in files if "/" in path}
    in_train = [path for path in files if path.startswith("train/")]
    others = tops - {"train", "test", *VAL_FOLDERS}
    # a class may be called train: then it stands beside other classes and holds no classes of its own
    if in_train and (not others or any(path.count("/") > 1 for path in in_train)):
        parts = {"train": in_train, "test": [path for path in files if path.startswith("test/")]}
        val_folder = next((name for name in VAL_FOLDERS if name in tops), "val")
        parts["val"] = [path for path in files if path.startswith(f"{val_folder}/")]
    below = {name: name != "train" or parts["train"] is not files for name in parts}  # is there a split folder?

    names = {name: _class_names(paths, 1 if below[name] else 0) for name, paths in parts.items()}
    classes = tuple(sorted(set(names["train"] or ())))
    if labelled_only and len(classes) < 2:
        what = f"has only one class ({classes[0]})" if classes else "has images without classes"
        raise ConfigError(
            f"dataset is {dataset}, which {what}; allowed: two or more class folders, as in train/<class>/ or <class>/."
        )
    has_classes = len(classes) >= 2

    size, side = _sides(folder, parts["train"], image_size)

    def whole(name: str) -> ImageList | None:
        paths = parts.get(name)
        if not paths:
            return None
        labels = None
        found = names[name]
        if has_classes and (name == "train" or found is not None or labelled_only):
            differing = sorted(set(found or ()) ^ set(classes))
            if differing:
                raise ConfigError(
                    f"dataset is {dataset}, whose {name} and train folders have different classes "
                    f"({', '.join(differing[:5])}{' ...' if len(differing) > 5 else ''}); "
                    "allowed: the same class folders in each."
                )
            index = {label: number for number, label in enumerate(classes)}
            labels = [index[label] for label in found or ()]
        return ImageList.whole(FileSource(folder, paths, side, root / "decoded"), labels)

    train, val, test = whole("train"), whole("val"), whole("test")
    assert train is not None
    if test is None and has_classes:
        assert train.labels is not None
        counts = np.bincount(train.labels)
        if counts.min() < 2:
            raise ConfigError(
                f"dataset is {dataset}, whose class {classes[counts.argmin()]} has 1 image; allowed: at least 2 images "
                "per class, so that one can be used for testing, or a test folder."
            )
        order = stratified_order(train.labels, seed, TEST_STREAM)
        ranks, sizes = ranks_in_class(train.labels, np.random.default_rng([TEST_STREAM, seed]))
        order = order[ranks[order] < sizes[order] - 1]  # no class loses its last training image
        chosen = np.sort(order[: max(round(TEST_FRACTION * len(train)), len(classes))])
        test = train.at(chosen)
        train = train.at(np.setdiff1d(np.arange(len(train)), chosen))
    return Lists(classes if has_classes else None, train, val, test, image_size=size)


def _image_files(folder: Path) -> list[str]:
    """Paths of all images below `folder`, relative, with "/", sorted; hidden files and folders left out."""
    found, seen = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # a link back to a folder above would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(parent).relative_to(folder).as_posix()
        start = "" if inside == "." else f"{inside}/"
        found += [start + name for name in names if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")]
    return sorted(found)


def _class_names(paths: Sequence[str], depth: int) -> list[str] | None:
    """The class of each path: its folder at `depth`; None where the folders cannot be classes.

    They cannot if an image stands outside of them, or if any is only a shelf of further folders (as in 00/01/x.jpg);
    one folder in between (as in cat/images/x.jpg) is fine.
    """
    names: list[str] = []
    places: dict[str, set[tuple[str, ...]]] = {}
    for path in paths:
        pieces = path.split("/")
        if len(pieces) < depth + 2:
            return None
        names.append(pieces[depth])
        places.setdefault(pieces[depth], set()).add(tuple(pieces[depth + 1 : -1]))
    shelves = [name for name, inner in places.items() if len(inner) > 1 and () not in inner]
    return None if shelves else names


def _sides(folder: Path, paths: Sequence[str], image_size: int | None) -> tuple[int, int]:
    """Side in pixels at which a folder's images are seen, and at which they are kept.

    The own side is the one all sampled images share, else the median shorter side. Unless `image_size` says otherwise
    they are seen at it, up to `LARGEST_OWN_SIDE`; larger images are kept at 1.5 times that, enough for random crops.
    """
    places = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), NUM_SIDE_SAMPLES)).astype(int))
    own = max(1, int(np.median([min(image_size_of(folder, paths[place])) for place in places])))
    size = image_size or min(own, LARGEST_OWN_SIDE)
    return size, min(own, size * 3 // 2) if own != size else own
