"""A folder of images as a data set: which files there are, their classes, their splits, their size."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simclr.config import DATASETS, ConfigError, nearest_name
from simclr.images import BrokenImageError, FileSource, ImageList, Lists, Progress, image_size_of
from simclr.stratify import TEST_STREAM, ranks_in_class, stratified_order

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
log = logging.getLogger(__name__)

VAL_FOLDERS = ("val", "valid", "validation")
LARGEST_OWN_SIDE = 224  # pixels; larger images are seen at this side unless image_size asks for more
NUM_SIDE_SAMPLES = 200  # images whose size is looked at to find a folder's own side
TEST_FRACTION = 0.2  # of a folder without test/


def load(
    dataset: str, root: Path, image_size: int | None, seed: int, labelled_only: bool, broken_images: str = "skip",
    progress: Progress | None = None,
) -> Lists:  # fmt: skip
    """Finds images, classes and splits below the folder `dataset`; `root` is where decoded images are kept.

    Broken images are left out before anything is cut, so that every path to the images has the same splits; the ids
    of the others stay.
    """
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
        inside = os.path.relpath(error.filename or folder, folder)
        which = "which" if inside == "." else f"whose folder {inside}"
        raise ConfigError(f"dataset is {dataset}, {which} cannot be read: {error.strerror}.") from None
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
        source = FileSource(folder, paths, side, root / "decoded", refuse=broken_images == "refuse")
        return _readable(dataset, name, source, ImageList.whole(source, labels), classes, progress)

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
    found: list[str] = []
    seen: set[str] = set()
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        if (real := os.path.realpath(folder / inside)) in seen:  # a link back to a folder above would never end
            continue
        seen.add(real)
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                if entry.is_dir():
                    waiting.append(f"{inside}{name}/")
                # a link to nowhere is a broken image; a pipe, which would be waited for, is none
                elif name.lower().endswith(IMAGE_SUFFIXES) and (entry.is_file() or entry.is_symlink()):
                    found.append(inside + name)
    found.sort()
    return found


def _readable(
    dataset: str, name: str, source: FileSource, images: ImageList, classes: Sequence[str], progress: Progress | None
) -> ImageList:
    """The images without those that are broken, which are named, or all refused."""
    source.left_out = source.find_broken(progress)
    if not source.left_out:
        return images
    if source.refuse or 2 * len(source.left_out) > len(source):
        raise source.refusal()
    good = images.at(np.setdiff1d(images.rows, list(source.left_out)))
    if images.labels is not None and good.labels is not None:
        lost = sorted({classes[label] for label in np.setdiff1d(images.labels, good.labels)})
        if lost:
            raise ConfigError(
                f"dataset is {dataset}, whose {name} images of class {', '.join(lost[:5])} are all broken: "
                f"{source.naming(source.left_out)}; allowed: at least one whole image in each class."
            )
    log.warning(
        "dataset is %s: %s of %s %s images cannot be read and are left out: %s.",
        dataset, f"{len(source.left_out):,}", f"{len(source):,}", name, source.naming(source.left_out),
    )  # fmt: skip
    return good


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
        names.append(sys.intern(pieces[depth]))  # one string for each class, not for each image
        places.setdefault(pieces[depth], set()).add(tuple(pieces[depth + 1 : -1]))
    shelves = [name for name, inner in places.items() if len(inner) > 1 and () not in inner]
    return None if shelves else names


def _sides(folder: Path, paths: Sequence[str], image_size: int | None) -> tuple[int, int]:
    """Side in pixels at which a folder's images are seen, and at which they are kept.

    The own side is the one all sampled images share, else the median shorter side. Unless `image_size` says otherwise
    they are seen at it, up to `LARGEST_OWN_SIDE`; larger images are kept at 1.5 times that, enough for random crops.
    """
    places = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), NUM_SIDE_SAMPLES)).astype(int))
    sides = []
    for place in places:
        with contextlib.suppress(BrokenImageError):
            sides.append(min(image_size_of(folder, paths[place])))
    own = max(1, int(np.median(sides or [LARGEST_OWN_SIDE])))
    size = image_size or min(own, LARGEST_OWN_SIDE)
    return size, min(own, size * 3 // 2) if own != size else own
