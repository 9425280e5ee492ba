"""add_embeddings: what another encoder made of images, as a model beside the runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simclr import runs
from simclr.added import adding
from simclr.added.sets import AddedSet
from simclr.config import DATASETS, ConfigError

Folder = str | os.PathLike[str]


def add_embeddings(
    embeddings: Any,
    images: Folder,
    name: str,
    *,
    paths: Folder | Sequence[Folder] | None = None,
    split: str | None = None,
    runs_dir: Folder | None = None,
) -> AddedSet:
    """Adds embeddings of any other encoder to the runs, as `simclr add-embeddings` does.

    Maps, neighbours, agreement and disagreement, the Transfer matrix and reports then know them by their name.

    Args:
        embeddings: (N, D) numbers, an array or a tensor, a row for each image; or a file of them, .npy, .npz, .parquet
            or .csv.
        images: the folder of the images, or a data set by name.
        name: what to call them: a letter, then up to 39 letters, digits, points, - and _.
        paths: which image each row is of, a list of N or a text file; None: the file says it, or the rows are in the
            order of all images sorted by path.
        split: the rows are of these images alone, `train`, `val` or `test`; None: of all.
        runs_dir: None: `$SIMCLR_RUNS_DIR`, else `runs` in the current folder.

    Returns:
        The set: its `name`, `dataset`, `num_rows`, `num_features`, and how many images of each list have a row,
        `num_images`.

    Raises:
        ConfigError: with one sentence, if the name is taken, a value is no finite number, or a row has no image.
    """
    is_file = isinstance(embeddings, str | os.PathLike)
    values: Any = os.fspath(embeddings) if is_file else _array(embeddings)
    folder = os.fspath(images) if str(images) in DATASETS else os.path.expanduser(images)
    order = paths if paths is None or isinstance(paths, str) else _texts(paths)
    into = Path(runs_dir) if runs_dir is not None else runs.default_runs_dir()
    try:
        added, _ = adding.add(values, str(folder), name, into, split=split, paths=order)
    except ConfigError as error:
        raise ConfigError(str(error).replace("FILE is", "embeddings is", 1)) from None
    return added


def _array(values: Any) -> np.ndarray[Any, Any]:
    """Rows of numbers as an array; a tensor of any device and float type."""
    if callable(getattr(values, "detach", None)):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    try:
        return np.asarray(values)
    except ValueError:
        raise ConfigError("embeddings has rows of different lengths; allowed: an array (N, D).") from None


def _texts(paths: Any) -> Any:
    if isinstance(paths, os.PathLike):
        return os.fspath(paths)
    return [str(path) for path in paths]
