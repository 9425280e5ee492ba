"""Tags: names for sets of images of a data set, kept beside the runs (no torch).

    RUNS/.tags/<data set>-<hash>.json
        format, dataset, and tags: of each name, created (seconds), images {list: numbers} and files {list: names}

An image is known by its number in a list of its data set: the test list, or the training list, from which validation
images are cut. Where the data set is a folder, its file's name stands beside the number and is what counts: numbers
change when files are added.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.config import ConfigError, not_written
from simclr.files import safe_read, writing
from simclr.runs import TAGS

FORMAT = 1
MAX_NAME = 60  # signs
MAX_BYTES = 64 * 2**20
LISTS = {"val": "train"}  # splits that are cut off another list


@dataclass(frozen=True)
class Tag:
    """A named set of images.

    images: list of the data set -> the images' numbers. files: the same lists -> their files' names, "" for unknown.
    """

    name: str
    created: float
    images: dict[str, list[int]]
    files: dict[str, list[str]]

    @property
    def num_images(self) -> int:
        return sum(len(numbers) for numbers in self.images.values())

    def rows(self, split: str, ids: NDArray[np.int64], paths: Sequence[str] | None = None) -> NDArray[np.int64]:
        """The rows, rising, of those of some images that have this tag.

        Args:
            split: that the images are of. ids: (N,) their numbers. paths: their files' names, where they are known.
        """
        named = {path for files in self.files.values() for path in files if path}
        if named and paths is not None:
            return np.array([row for row, path in enumerate(paths) if path in named], dtype=np.int64)
        return np.flatnonzero(np.isin(ids, self.images.get(_list_of(split), [])))


def _list_of(split: str) -> str:
    return LISTS.get(split, split)


def path_of(runs_dir: Path, dataset: str) -> Path:
    """The file of a data set's tags."""
    slug = re.sub(r"[^0-9A-Za-z_-]+", "-", Path(dataset).name)[:40].strip("-") or "images"
    digest = hashlib.sha256(dataset.encode(errors="surrogateescape")).hexdigest()[:10]
    return runs_dir / TAGS / f"{slug}-{digest}.json"


def read(runs_dir: Path, dataset: str) -> list[Tag]:
    """The tags of a data set, by name.

    Raises:
        ConfigError: if their file cannot be read: it is not taken for none, since writing would lose them.
    """
    path = path_of(runs_dir, dataset)
    try:
        content = safe_read.read_json(path, MAX_BYTES)
        if content["format"] != FORMAT:
            raise ValueError("of another version")
        return sorted((_tag(each) for each in content["tags"]), key=lambda tag: tag.name.lower())
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} does not hold tags as they were written; allowed: that file, or none.") from None


def _tag(found: dict[str, Any]) -> Tag:
    images = {str(name): [int(number) for number in numbers] for name, numbers in found["images"].items()}
    files = {str(name): [str(path) for path in paths] for name, paths in found.get("files", {}).items()}
    return Tag(str(found["name"]), float(found["created"]), images, files)


def checked_name(name: str, others: Sequence[Tag] = ()) -> str:
    """A name as it is kept, without spaces around it.

    Raises:
        ConfigError: if it is empty, too long, holds what a search could not name, or is taken.
    """
    found = " ".join(name.split())
    shown = found if len(found) <= MAX_NAME else f"{found[:MAX_NAME]}..."
    if not found or len(found) > MAX_NAME or '"' in found or not found.isprintable():
        raise ConfigError(
            f"name is {shown or 'empty'}; allowed: 1 to {MAX_NAME} signs that can be printed, without quotation marks."
        )
    taken = next((tag for tag in others if tag.name.lower() == found.lower()), None)
    if taken is not None:
        raise ConfigError(f"name is {shown}, which a tag of {taken.num_images:,} images has; allowed: another name.")
    return found


def save(
    runs_dir: Path,
    dataset: str,
    name: str,
    split: str,
    ids: NDArray[np.int64],
    paths: Sequence[str] | None = None,
) -> Tag:
    """Makes a tag of some images.

    Args:
        split, ids, paths: of these images, as of `Tag.rows`.

    Raises:
        ConfigError: with one sentence, if the name is not allowed, there are no images, or nothing can be written.
    """
    if not len(ids):
        raise ConfigError("Nothing is selected; allowed: a tag of one image or more.")
    where = _list_of(split)
    files = {} if paths is None else {where: list(paths)}

    def add(tags: list[Tag]) -> Tag:
        tag = Tag(checked_name(name, tags), time.time(), {where: [int(number) for number in ids]}, files)
        tags.append(tag)
        return tag

    return _change(runs_dir, dataset, add)


def rename(runs_dir: Path, dataset: str, name: str, new_name: str) -> Tag:
    """Gives a tag another name; raises ConfigError as `save`."""

    def change(tags: list[Tag]) -> Tag:
        old = _found(tags, name)
        tags.remove(old)
        tag = Tag(checked_name(new_name, tags), old.created, old.images, old.files)
        tags.append(tag)
        return tag

    return _change(runs_dir, dataset, change)


def delete(runs_dir: Path, dataset: str, name: str) -> Tag:
    """Deletes a tag, not its images; raises ConfigError if there is none of this name, or nothing can be written."""

    def change(tags: list[Tag]) -> Tag:
        tag = _found(tags, name)
        tags.remove(tag)
        return tag

    return _change(runs_dir, dataset, change)


def _found(tags: Sequence[Tag], name: str) -> Tag:
    for tag in tags:
        if tag.name == name:
            return tag
    names = ", ".join(tag.name for tag in tags) or "none, there are no tags"
    raise ConfigError(f"tag is {name}, which is not there any more; allowed: {names}.")


def _change(runs_dir: Path, dataset: str, change: Any) -> Tag:
    path = path_of(runs_dir, dataset)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing.locked(path.parent):
            tags = read(runs_dir, dataset)
            tag = change(tags)
            content = {
                "format": FORMAT,
                "dataset": dataset,
                "tags": [
                    {"name": each.name, "created": each.created, "images": each.images, "files": each.files}
                    for each in tags
                ],
            }
            writing.write_atomically(path, json.dumps(content))
    except OSError as error:
        raise not_written(f"{path} cannot be written", error) from None
    return tag
