"""Adds embeddings of another encoder to a folder of runs (no torch, but to count the images of a named data set)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from simclr import runs
from simclr.added import matching, reading, sets
from simclr.added.matching import Images, Rows
from simclr.added.reading import OpenedFile
from simclr.added.sets import AddedSet
from simclr.config import ConfigError, not_written
from simclr.files import writing


def add(
    file: str | Path | NDArray[Any],
    images: str,
    name: str,
    runs_dir: Path,
    *,
    split: str | None = None,
    paths: str | Sequence[str] | None = None,
    called: str | None = None,
) -> tuple[AddedSet, list[str]]:
    """Reads embeddings, matches them to images, and keeps them under `name` in the folder of runs.

    Args:
        file: .npy, .npz, .parquet or .csv, a row for each image; or such rows as an array (N, D).
        images: the folder of images, or the name of a data set.
        split: the rows are of this list alone, `train`, `val` or `test`; None: of all.
        paths: the image of each row, or a text file of them; None: the file says it, or the rows are in sorted order.
        called: what the file is called where its name is not its own, as of an upload.

    Returns:
        The set, and sentences about how it was read.

    Raises:
        ConfigError: with one sentence, if anything is wrong with the name, the file, or what it says of the images.
    """
    shown = called or (reading.AN_ARRAY if isinstance(file, np.ndarray) else str(file))
    sets.check_name(name, runs_dir)
    if split is not None and split not in matching.SPLITS:
        raise ConfigError(f"split is {split}; allowed: {', '.join(matching.SPLITS)}, or unset.")
    with reading.of_array(file) if isinstance(file, np.ndarray) else reading.opened(file, shown) as found:
        there = matching.images_of(images)
        matching.check_split(there, split)
        aside = sets.home(runs_dir) / f".new-{uuid.uuid4().hex[:8]}"
        try:
            aside.mkdir(parents=True)
            digest = hashlib.sha256()
            with writing.replacing(aside / sets.FEATURES, sync=False) as stream:
                shape = _write(found.blocks, stream, digest)
            rows, how = _match(there, found, shape[0], split, paths, shown)
            for list_name, numbers in rows.items():
                digest.update(list_name.encode() + numbers.tobytes())
                writing.write_array(aside / sets.rows_file(list_name), numbers)
            about = {
                "dataset": there.dataset,
                "stamp": there.stamp,
                "digest": digest.hexdigest()[:24],
                "num_features": shape[1],
                "num_images": {name: [len(numbers), int((numbers >= 0).sum())] for name, numbers in rows.items()},
                "source": shown,
                "split": split,
                "created": time.time(),
                "versions": runs.versions(),
            }
            writing.write_atomically(aside / sets.ABOUT, json.dumps(about, indent=1))
            os.rename(aside, sets.home(runs_dir) / name)  # never over another of that name
        except OSError as error:
            sets.check_name(name, runs_dir)  # another process was quicker
            raise not_written(f"{sets.home(runs_dir)} cannot be written", error, "SIMCLR_RUNS_DIR") from None
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    added = sets.find(name, runs_dir)
    assert added is not None
    if found.left_out:
        how.append(f"Columns that are no features are left out: {', '.join(found.left_out[:8])}.")
    return added, how


def _write(blocks: Iterator[NDArray[np.float32]], stream: BinaryIO, digest: Any) -> tuple[int, int]:
    """Writes the blocks as one .npy file, whose head is completed at the end; returns rows and columns."""
    rows, columns, start = 0, 0, 0
    for block in blocks:
        if not rows:
            columns = block.shape[1]
            start = _write_head(stream, 0, columns)
        stream.write(np.ascontiguousarray(block, dtype="<f4").data)
        digest.update(np.ascontiguousarray(block, dtype="<f4").data)
        rows += len(block)
    stream.seek(0)
    assert _write_head(stream, rows, columns) == start, "NumPy leaves room for any number of rows"
    return rows, columns


def _write_head(stream: BinaryIO, rows: int, columns: int) -> int:
    head: Any = {"descr": "<f4", "fortran_order": False, "shape": (rows, columns)}
    npy.write_array_header_1_0(stream, head)
    return stream.tell()


def _match(
    images: Images,
    found: OpenedFile,
    num_rows: int,
    split: str | None,
    paths: str | Sequence[str] | None,
    file: str,
) -> tuple[Rows, list[str]]:
    """The row of each image, and a sentence on how that was found."""
    names = found.names
    if paths is not None:
        said = paths if isinstance(paths, str) else "a list"
        if names is not None:
            raise ConfigError(f"paths is {said}, and {file} names its images itself; allowed: one of them.")
        names = matching.read_paths(paths) if isinstance(paths, str) else list(paths)
        if len(names) != num_rows:
            raise ConfigError(
                f"paths is {said}, which names {len(names):,} images, and {file} has {num_rows:,} rows; allowed: as "
                "many."
            )
    if names is not None:
        return matching.by_name(images, names, split, file), []
    rows = matching.by_order(images, num_rows, split, file)
    first, last = (_image_of(images, rows, row) for row in (0, num_rows - 1))
    return rows, [f"The file names no images: row 1 is taken for {first}, row {num_rows:,} for {last}."]


def _image_of(images: Images, rows: Rows, row: int) -> str:
    for name, numbers in rows.items():
        if len(place := np.flatnonzero(numbers == row)):
            path = images.paths[name][place[0]]
            return path if images.folder is not None else f"{name} image {path}"
    raise AssertionError(row)
