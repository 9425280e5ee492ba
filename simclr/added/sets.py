"""Sets of embeddings that were made by other encoders, as they lie on disk (no torch).

    RUNS/.embeddings/NAME/
        added.json          which images, how many, from which file
        features.npy        (N, D) float32, a row for each image as the file had them
        rows-train.npy      (M,) int32: for each image of a list of the data set its row, -1 where it has none;
                            likewise rows-val.npy and rows-test.npy, as far as the data set has such lists
        embeddings/         what is computed of them beside those of runs, as in a run's folder (`embeddings.stored`)

A list is one of a data set's own before anything is cut off it: validation images that are cut off the training images
have their rows in rows-train.npy. `adding` writes such a folder.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.config import DATASETS, ConfigError, nearest_name, not_written
from simclr.data.folders.stamps import stamp_of
from simclr.files import safe_read

ABOUT, FEATURES = "added.json", "features.npy"
LISTS = ("train", "val", "test")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,39}")  # no run's id begins with a letter
TAKEN = ("untrained", "pixels")  # what other words that stand for an encoder mean already


def rows_file(list_name: str) -> str:
    return f"rows-{list_name}.npy"


@dataclass(frozen=True)
class AddedSet:
    """Embeddings of images by an encoder of which nothing else is known.

    dataset: the full path of the folder of images, or the name of a data set.
    stamp: of the folder's files when they were matched; empty of a named data set.
    digest: changes with any number, and with which image it belongs to.
    num_images: of each list of the data set, and how many of them have a row, by the list's name.
    """

    folder: Path
    dataset: str
    stamp: str
    digest: str
    num_features: int
    created: float = field(compare=False)
    source: str = field(compare=False)
    num_images: Mapping[str, tuple[int, int]] = field(compare=False)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def num_rows(self) -> int:
        return sum(having for _, having in self.num_images.values())

    def list_of(self, split: str) -> str:
        """The list of the data set that holds the images of a split."""
        return split if split in self.num_images else "train"

    def is_whole(self, split: str) -> bool:
        """Whether every image that may be chosen from a split has a row.

        Args:
            split: `train`, `val` or `test`; `auto`: the first there is of test, val and train.
        """
        needed = [self.list_of(split)]
        if split == "auto":
            needed = ["test"] if "test" in self.num_images else list(self.num_images)
        if self.dataset == "shapes" and "train" in needed:  # a run may have asked for more than are usual
            return False
        return all(number == having for number, having in (self.num_images[name] for name in needed))

    def rows_of(self, split: str, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) the row of each image of a split, -1 where it has none.

        Args:
            ids: (n,) numbers of the images in their list.

        Raises:
            ConfigError: if the folder of the set is damaged.
        """
        try:
            known = safe_read.read_array(self.folder / rows_file(self.list_of(split)))
        except (OSError, ValueError):
            raise self._damaged() from None
        if known.dtype != np.int32 or known.ndim != 1:
            raise self._damaged()
        found = np.full(len(ids), -1, dtype=np.int64)
        is_known = ids < len(known)
        found[is_known] = known[ids[is_known]]
        return found

    def features_of(self, split: str, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, D) the embeddings of images of a split.

        Raises:
            ConfigError: if an image has none, the images have changed, or the folder of the set is damaged.
        """
        self.check_images()
        rows = self.rows_of(split, ids)
        if (rows < 0).any():
            raise ConfigError(
                f"{self.name} has no embedding of {int((rows < 0).sum()):,} of the {len(rows):,} {split} images that "
                "were chosen; allowed: images that it was made of."
            )
        try:
            features = safe_read.read_array(self.folder / FEATURES, mmap=True)
        except (OSError, ValueError):
            raise self._damaged() from None
        if features.dtype != np.float32 or features.ndim != 2 or rows.max(initial=0) >= len(features):
            raise self._damaged()
        return np.array(features[rows])

    def check_images(self) -> None:
        """Raises ConfigError if the files of the folder are not those that the rows were matched to."""
        if self.dataset not in DATASETS and stamp_of(self.dataset) != self.stamp:
            raise ConfigError(
                f"{self.dataset} has other files than when the embeddings {self.name} were added; allowed: the folder "
                "as it was, or adding them again."
            )

    def _damaged(self) -> ConfigError:
        return ConfigError(f"The embeddings {self.name} in {self.folder} are damaged; allowed: adding them again.")


# --- finding --------------------------------------------------------------------------------------------------------


def home(runs_dir: Path) -> Path:
    """Where the sets lie."""
    return runs_dir / runs.ADDED


def load(folder: Path) -> AddedSet | None:
    """The set in a folder; None if there is none, or it is damaged."""
    values = safe_read.json_dict(folder / ABOUT)
    texts = [values.get(name) for name in ("dataset", "stamp", "digest", "source")]
    created, width, lists = safe_read.finite_number(values.get("created")), values.get("num_features"), {}
    if not all(isinstance(text, str) for text in texts) or created is None or type(width) is not int:
        return None
    found: Any = values.get("num_images")
    for name, pair in found.items() if isinstance(found, dict) else ():
        is_pair = isinstance(pair, list) and len(pair) == 2 and all(type(number) is int for number in pair)
        if name not in LISTS or not is_pair:
            return None
        lists[name] = (pair[0], pair[1])
    if "train" not in lists and "test" not in lists:
        return None
    dataset, stamp, digest, source = map(str, texts)
    return AddedSet(folder, dataset, stamp, digest, width, created, source, lists)


def find_all(runs_dir: Path) -> list[AddedSet]:
    """All sets, by name."""
    try:
        names = sorted(os.listdir(home(runs_dir)), key=str.lower)
    except OSError:
        return []
    found = (load(home(runs_dir) / name) for name in names if NAME.fullmatch(name))
    return [item for item in found if item is not None]


def find(name: str, runs_dir: Path) -> AddedSet | None:
    """The set of this name; None if there is none."""
    return load(home(runs_dir) / name) if NAME.fullmatch(name) else None


def check_name(name: str, runs_dir: Path) -> None:
    """Raises ConfigError if a new set cannot be called so."""
    if NAME.fullmatch(name) is None:
        raise ConfigError(
            f"name is {name[:60] or 'empty'}; allowed: a letter, then up to 39 letters, digits, points, - and _."
        )
    if name.lower() in TAKEN:
        raise ConfigError(f"name is {name}, which means another model already; allowed: another name.")
    if any(other.lower() == name.lower() for other in _names(runs_dir)):
        raise ConfigError(
            f"name is {name}, and there are embeddings of that name; allowed: another name, or deleting those first."
        )
    if any(run.id == name for run in runs.run_folders(runs_dir)):
        raise ConfigError(f"name is {name}, which is a run's id; allowed: another name.")


def _names(runs_dir: Path) -> list[str]:
    """Also of those that are damaged."""
    try:
        return [name for name in os.listdir(home(runs_dir)) if NAME.fullmatch(name)]
    except OSError:
        return []


def delete(name: str, runs_dir: Path) -> None:
    """Takes away a set and what was computed of it; the file that it was read from stays.

    Raises:
        ConfigError: if there is none of this name, or it cannot be removed.
    """
    names = _names(runs_dir)
    if name not in names:
        there = ", ".join(sorted(names)[:8]) or "there are none"
        raise ConfigError(
            f"NAME is {name}; allowed: embeddings that were added ({there}){nearest_name(name, names) or '.'}"
        )
    aside = home(runs_dir) / f".old-{uuid.uuid4().hex[:8]}"
    try:
        os.replace(home(runs_dir) / name, aside)  # at once: no page finds half of it
        shutil.rmtree(aside)
    except OSError as error:
        raise not_written(f"{home(runs_dir)} cannot be written", error) from None
