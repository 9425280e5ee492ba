"""Which image each row of embeddings is of (no torch, but to count the images of a named data set).

Rows say it themselves, by a path or an id, or they stand in a known order: that of a list of paths, or of all images of
the folder sorted by path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from simclr.config import DATASETS, ConfigError
from simclr.data.folders import folder_layout
from simclr.data.folders.stamps import stamp_of_files
from simclr.files import safe_read
from simclr.files.names import readable
from simclr.files.user_paths import user_path

SPLITS = ("train", "val", "test")
Rows = dict[str, NDArray[np.int32]]


@dataclass(frozen=True)
class Images:
    """The images that embeddings may be of.

    dataset: the full path of the folder, or the name of a data set. stamp: as of `stamps.stamp_of`.
    paths: of each list, below `folder`, in the data set's own order; numbers instead of paths for a named data set.
    """

    dataset: str
    stamp: str
    folder: Path | None
    paths: Mapping[str, Sequence[str]]

    @property
    def num_images(self) -> int:
        return sum(map(len, self.paths.values()))

    @property
    def counted(self) -> str:
        """`60,000 images (50,000 train, 10,000 test)`."""
        each = ", ".join(f"{len(paths):,} {name}" for name, paths in self.paths.items())
        return f"{self.num_images:,} images ({each})"


def images_of(dataset: str) -> Images:
    """The images of a folder, or of a data set by its name.

    Raises:
        ConfigError: if there is nothing of that name, or it cannot be read in one way only.
    """
    text = str(dataset).strip()
    if text in DATASETS:
        from simclr.data import loading  # loads torch

        data = loading.load_data(text, val_fraction=0, memory_limit=0)
        numbers = {name: [str(number) for number in range(split.num_images)] for name, split in data.splits.items()}
        return Images(text, "", None, numbers)
    try:
        layout = folder_layout.read(text)
    except ConfigError as error:
        raise ConfigError(str(error).replace("dataset is", "images is", 1)) from None
    paths = {name: layout.splits[name].paths for name in SPLITS if name in layout.splits}
    return Images(str(user_path(text).resolve()), stamp_of_files(layout), layout.folder, paths)


def check_split(images: Images, split: str | None) -> None:
    """Raises ConfigError if the images have no list of this name."""
    if split is not None and split not in images.paths:
        there = ", ".join(images.paths)
        raise ConfigError(f"split is {split}, which {images.dataset} does not have; allowed: {there}.")


# --- rows without names ---------------------------------------------------------------------------------------------


def by_order(images: Images, num_rows: int, split: str | None, file: str) -> Rows:
    """Rows that stand in the order of the images sorted by path, all of them or those of one list.

    Raises:
        ConfigError: if there are more or fewer rows than images, or the order is not one that every program has.
    """
    names = list(images.paths) if split is None else [split]
    if images.folder is None and len(names) > 1:
        raise ConfigError(
            f"split is unset, and {images.dataset} has no files that could be sorted; allowed: {', '.join(names)}."
        )
    entries = [(path, name, number) for name in names for number, path in enumerate(images.paths[name])]
    if num_rows != len(entries):
        what = images.counted if split is None else f"{len(entries):,} {split} images"
        raise ConfigError(
            f"FILE is {file}, which has {num_rows:,} rows, and {images.dataset} has {what}; allowed: a row for each "
            "image in sorted order, split set to those that it has, or paths set to a list of its images."
        )
    if images.folder is not None:
        entries.sort()
        by_parts = sorted(entries, key=lambda entry: entry[0].split("/"))
        if by_parts != entries:
            place = next(row for row, pair in enumerate(zip(entries, by_parts, strict=True)) if pair[0] != pair[1])
            raise ConfigError(
                f"images is {images.dataset}, which programs sort in different ways ({readable(entries[place][0])} "
                f"before or after {readable(by_parts[place][0])}); allowed with paths set to a list of the images."
            )
    return _rows(images, [(name, number) for _, name, number in entries])


def _rows(images: Images, places: Sequence[tuple[str, int]]) -> Rows:
    """For each image its row. places: of each row the list and the number in it."""
    found = {name: np.full(len(paths), -1, dtype=np.int32) for name, paths in images.paths.items()}
    for row, (name, number) in enumerate(places):
        found[name][number] = row
    return found


# --- rows with names ------------------------------------------------------------------------------------------------


def read_paths(file: str) -> list[str]:
    """The lines of a text file that names an image for each row.

    Raises:
        ConfigError: if it cannot be read.
    """
    try:
        text = safe_read.read_bytes(os.path.realpath(user_path(file)), safe_read.MAX_TABLE_BYTES)
    except OSError as error:
        raise ConfigError(f"paths is {file}, which cannot be read: {error.strerror or error}.") from None
    lines = [line.rstrip("\r") for line in os.fsdecode(text).split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def by_name(images: Images, names: Sequence[str], split: str | None, file: str) -> Rows:
    """Rows that name their images: by a path below the folder, a longer one that ends so, a file name or its stem.

    How the first row is understood holds for all others. Of a named data set: by numbers in the list `split`.

    Raises:
        ConfigError: if a row names nothing of the folder, or two rows the same image.
    """
    known = _known(images, names[0], split, file)
    places: list[tuple[str, int]] = []
    absent: list[int] = []
    for row, name in enumerate(names):
        place = known.find(name)
        if place is None:
            absent.append(row)
        else:
            places.append(place)
    if absent:
        shown = readable(names[absent[0]])[:120] or "nothing"
        count = f"{len(absent):,} of {len(names):,} rows name images" if len(absent) > 1 else "one row names an image"
        where = images.dataset if split is None else f"the {split} images of {images.dataset}"
        raise ConfigError(
            f"FILE is {file}, where {count} that {where} does not have, such as {shown} (row {absent[0] + 1:,}); "
            "allowed: images of that folder alone."
        )
    first: dict[tuple[str, int], int] = {}
    for row, place in enumerate(places):
        if (other := first.setdefault(place, row)) != row:
            raise ConfigError(
                f"FILE is {file}, which names {readable(names[row])[:120]} twice, in the rows {other + 1:,} and "
                f"{row + 1:,}; allowed: each image once."
            )
    return _rows(images, places)


@dataclass(frozen=True)
class _Known:
    """What names of images are looked up in.

    places: list and number, by the path below the folder, or by the end of it that names have.
    folder: that names begin with. cut: how many parts more they have in front.
    """

    places: dict[str, tuple[str, int]]
    folder: str = ""
    cut: int = 0

    def find(self, name: str) -> tuple[str, int] | None:
        return self.places.get("/".join(_parts(name, self.folder)[self.cut :]))


def _parts(name: str, folder: str) -> list[str]:
    text = readable(name.strip())
    if folder and text.startswith(folder):
        text = text[len(folder) :]
    if "/" not in text:
        text = text.replace("\\", "/")
    return [part for part in PurePosixPath(text).parts if part not in ("/", ".")]


def _known(images: Images, first: str, split: str | None, file: str) -> _Known:
    lists = {name: paths for name, paths in images.paths.items() if split in (None, name)}
    whole = {readable(path): (name, number) for name, paths in lists.items() for number, path in enumerate(paths)}
    if images.folder is None:
        if split is None:
            raise ConfigError(
                f"split is unset, and rows name images of {images.dataset} by number; allowed: {', '.join(lists)}."
            )
        return _Known(whole)
    folder = next(
        (
            text
            for text in (f"{readable(str(images.folder))}/", f"{readable(os.path.realpath(images.folder))}/")
            if readable(first).startswith(text)
        ),
        "",
    )
    parts = _parts(first, folder)
    for cut in range(len(parts)):
        if "/".join(parts[cut:]) in whole:
            return _Known(whole, folder, cut)
    for has_ending in (True, False):
        ends: dict[str, tuple[str, int]] = {}
        double: dict[str, str] = {}
        for path, place in whole.items():
            end = "/".join((path if has_ending else os.path.splitext(path)[0]).split("/")[-len(parts) :])
            if end in ends:
                double[end] = path
            ends[end] = place
        if "/".join(parts) in ends:
            if double:
                end, path = next(iter(double.items()))
                raise ConfigError(
                    f"FILE is {file}, which names images as {readable(first)[:80]}, and {images.dataset} has several "
                    f"of one such name ({end}, as of {path}); allowed: paths below that folder, or split set."
                )
            return _Known(ends, folder)
    return _Known(whole, folder)
