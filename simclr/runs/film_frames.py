"""Frames of the training film, written to RUN/embeddings/film while a run trains; format in `films.film`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.files import writing
from simclr.runs.file_names import EMBEDDINGS
from simclr.runs.folder import versions
from simclr.runs.run import Run

FILM, ABOUT, IDS, LABELS, FACTORS = "film", "film.json", "ids.npy", "labels.npy", "factors.npz"
MIN_IMAGES, MAX_IMAGES = 5, 1000  # no map is drawn of fewer


def planned_epochs(num_epochs: int, num_frames: int, ends_before: Sequence[int] = ()) -> list[int]:
    """The epochs kept of a training: `num_frames` evenly spread ones and the start, 0; none for no frames.

    Args:
        ends_before: epochs at which it had ended before it was extended, rising: until then its plan was another.
    """
    if num_frames == 0:
        return []
    found: set[int] = set()
    for end in (*ends_before, num_epochs):
        last = max(found, default=-1)
        plan = (round(number * end / num_frames) for number in range(num_frames + 1))
        found |= {epoch for epoch in plan if epoch > last}
    return sorted(found)


def folder_of(run: Run) -> Path:
    return run.path / EMBEDDINGS / FILM


def frame_path(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:06d}.npy"


def begin(
    run: Run,
    epochs: Iterable[int],
    *,
    ids: NDArray[np.int64],
    labels: NDArray[np.int64] | None,
    write_sheets: Callable[[Path], dict[str, Any]],
    factors: Mapping[str, NDArray[Any]] | None = None,
    **about: Any,
) -> Path:
    """Creates the folder of a film and returns it; frames of an earlier training of the same run are deleted.

    Args:
        epochs: those that will be kept.
        write_sheets: writes the images as sprite sheets into a folder and returns their layout.
        factors: recorded ones of the images, each (N,), where there are any.
        about: further facts, such as split, classes and a digest of the images.
    """
    folder = folder_of(run)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = set(epochs)
    for path in folder.glob("*.npy*"):  # also unfinished files of a killed process
        if (match := re.fullmatch(r"epoch-(\d{6})", path.stem)) is None or int(match[1]) not in wanted:
            path.unlink()
    np.save(folder / IDS, ids)
    if labels is not None:
        np.save(folder / LABELS, labels)
    (folder / FACTORS).unlink(missing_ok=True)
    if factors:
        np.savez(folder / FACTORS, **factors)  # type: ignore[arg-type]
    values = {
        "epochs": sorted(wanted),
        "num_images": len(ids),
        "layer": "h",
        "dtype": "float16",
        "thumbnails": write_sheets(folder),
        "versions": versions(),
        **about,
    }
    writing.write_atomically(folder / ABOUT, json.dumps(values, indent=1))
    return folder


def write_frame(folder: Path, epoch: int, features: NDArray[Any]) -> None:
    """Writes features (N, num_features) of one epoch in half precision, which hardly changes the neighbours."""
    writing.write_array(frame_path(folder, epoch), np.asarray(features, dtype=np.float16))
