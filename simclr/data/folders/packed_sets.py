"""Data sets whose images lie in files of many, which are not read: what such files are, by name, and what to do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Packing:
    """A way to keep many images in one file.

    Attributes:
        what: its files, as they follow a number.
        names: what their names match, in lower case.
        remedy: how the images come out of it; `{folder}` is the data set in quotes.
    """

    what: str
    names: re.Pattern[str]
    remedy: str


_EXPORT = (
    "Export its images into class folders with the package datasets: {load}({{folder}}) gives the rows of each split, "
    'and row["image"].save(PATH) writes an image; simclr/README.md has the lines, under Data.'
)
_ONE_BY_ONE = "Save each image as a file of its own, in the folder of its class."
# The first that a folder has is named, so that what may be a table beside something else comes later.
PACKINGS = (
    Packing(
        "Arrow file{s} of a Hugging Face data set that was saved to disk",
        re.compile(r"data-\d+-of-\d+\.arrow"),
        _EXPORT.format(load="datasets.load_from_disk"),
    ),
    Packing(
        "Arrow file{s}, as Hugging Face keeps data sets",
        re.compile(r".*\.arrow"),
        _EXPORT.format(load="datasets.load_dataset"),
    ),
    Packing(
        "Parquet file{s}, as Hugging Face keeps data sets",
        re.compile(r".*\.parquet"),
        _EXPORT.format(load="datasets.load_dataset"),
    ),
    Packing("TFRecord file{s} of TensorFlow", re.compile(r".*\.tfrecords?(-\d+-of-\d+)?(\.gz)?"), _ONE_BY_ONE),
    Packing("LMDB database{s}", re.compile(r"(?!lock\.).*\.(mdb|lmdb)"), _ONE_BY_ONE),
    Packing("HDF5 file{s}", re.compile(r".*\.(h5|hdf5)"), _ONE_BY_ONE),
    Packing(
        "archive{s}",
        re.compile(r".*\.(tar|zip|tgz|tar\.(gz|bz2|xz|zst)|7z|rar)"),
        "Unpack what is packed, and name the new folder.",
    ),
    Packing("idx file{s}, as MNIST has", re.compile(r".*[.-]idx\d-ubyte(\.gz)?"), _ONE_BY_ONE),
    Packing("file{s} of arrays", re.compile(r".*\.(npy|npz|mat)|data_batch_\d+"), _ONE_BY_ONE),
)
# Parts with their number, which no table or list beside images has.
SHARD = re.compile(r"(?s)(.*-\d{5}-of-\d{5}\.(parquet|arrow)|.*\.tfrecords?(-\d+-of-\d+)?)")


@dataclass
class Packed:
    """How many files of one packing there are, and the first of them by path."""

    count: int = 0
    first: str = ""

    def add(self, path: str) -> None:
        self.count += 1
        self.first = path if not self.first else min(self.first, path)


def packing_of(name: str) -> Packing | None:
    """How a file of this name keeps many images; None where nothing speaks for that."""
    name = name.lower()
    return next((packing for packing in PACKINGS if packing.names.fullmatch(name)), None)


def refusal(dataset: str, folder: str, found: Mapping[Packing, Packed]) -> str:
    """What is said of a folder that holds such files and no image; empty where it holds none of them.

    Args:
        dataset: as it was named.
        folder: its path.
    """
    packing = _first(found)
    if packing is None:
        return ""
    which = "which is" if found[packing].count == 1 else "which are"
    return (
        f"dataset is {dataset}, a folder without images but with {_words(packing, found[packing])}, {which} not read; "
        f"allowed: image files, in train/<class>/, <class>/ or the folder itself.{_remedy(packing, folder)}"
    )


def remedy_of_file(path: str) -> str:
    """What to do with a file that is named as a data set, a sentence after a space; empty where nothing is known."""
    packing = packing_of(os.path.basename(path))
    return "" if packing is None else _remedy(packing, os.path.dirname(os.path.abspath(path)))


def note(found: Mapping[Packing, Packed]) -> str:
    """What is said where images lie beside shards, as a picture of the documents does; empty where there are none."""
    packing = _first(found)
    if packing is None or SHARD.fullmatch(found[packing].first.lower()) is None:
        return ""
    are = "is" if found[packing].count == 1 else "are"
    return f"{_words(packing, found[packing])} {are} not read."


def _first(found: Mapping[Packing, Packed]) -> Packing | None:
    return next((packing for packing in PACKINGS if packing in found), None)


def _words(packing: Packing, packed: Packed) -> str:
    what = packing.what.replace("{s}", "" if packed.count == 1 else "s")
    return f"{packed.count:,} {what} ({'' if packed.count == 1 else 'such as '}{packed.first})"


def _remedy(packing: Packing, folder: str) -> str:
    return f" {packing.remedy.replace('{folder}', json.dumps(folder, ensure_ascii=False))}"
