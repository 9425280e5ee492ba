"""Which file each image of an embedding is, where its data set is a folder (no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simclr.config import DATASETS, ConfigError
from simclr.data.folders import folder_layout
from simclr.data.folders.decoding import BrokenImageError, decode_image
from simclr.data.folders.pixel_values import PixelValues
from simclr.embeddings import shipped, stored
from simclr.embeddings.stored import Embedding
from simclr.files.user_paths import existing_folder
from simclr.runs import Run
from simclr.views import appearance

LOOK_SECONDS = 5.0  # for the files of a folder at most
NUM_CHECKED = 8  # images, evenly spaced, that are compared with what was measured of them


@dataclass(frozen=True)
class ImageFiles:
    """folder: where the files lie; None where only their names are known. paths: of each image, below the folder."""

    folder: Path | None
    paths: list[str]


def dataset_of(embedding: Embedding, run: Run | None = None) -> str:
    """The data set of an embedding: its name, or its folder, where the run's options say that it lies now."""
    named = (run.config.get("dataset") if run is not None else None) or (embedding.provenance.get("data") or {}).get(
        "dataset"
    )
    return str(named or "")


def is_folder(dataset: str) -> bool:
    return bool(dataset) and dataset not in DATASETS


def files_of(embedding: Embedding, run: Run | None, folder: Path | None = None) -> ImageFiles | None:
    """The files of an embedding's images; None where they are none, are not known, or are no longer those.

    Args:
        run: that the embedding belongs to.
        folder: of the data set, where it is not where the run's options say.
    """
    if embedding.is_shipped:
        try:
            return ImageFiles(folder, shipped.paths_of(embedding))
        except ConfigError:
            return None
    dataset = str(folder) if folder is not None else dataset_of(embedding, run)
    if not is_folder(dataset) or existing_folder(dataset) is None:
        return None
    try:
        layout = folder_layout.read(dataset, seconds=LOOK_SECONDS)
    except (ConfigError, TimeoutError, OSError):
        return None
    split = str(embedding.provenance.get("split"))
    part = layout.splits.get(split) or layout.splits.get("train")  # what is cut off keeps its place in the list
    if part is None or not embedding.num_images or int(embedding.ids.max()) >= len(part.paths):
        return None
    found = ImageFiles(layout.folder, [part.paths[number] for number in embedding.ids])
    checked = np.unique(np.linspace(0, embedding.num_images - 1, NUM_CHECKED).astype(np.int64)).tolist()
    lightness, how = lightness_of(embedding), pixel_values(run)
    return None if any(is_other_image(embedding, found, row, lightness, how) for row in checked) else found


def lightness_of(embedding: Embedding) -> NDArray[np.float32] | None:
    """How light each image was when the embedding was computed; None where that is not known."""
    return stored.measured_of(embedding).get("lightness")


def pixel_values(run: Run | None) -> PixelValues:
    """What a run takes the values of its files for."""
    options = run.config if run is not None else {}
    return PixelValues(options.get("value_min"), options.get("value_max"), options.get("extra_channels") or "refuse")


def is_other_image(
    embedding: Embedding, files: ImageFiles, row: int, lightness: NDArray[np.float32] | None, how: PixelValues
) -> bool:
    """Whether a file is missing, broken, or not as light as the image of its row was.

    Args:
        lightness, how: of `lightness_of` and `pixel_values`.
    """
    assert files.folder is not None
    side = int(embedding.provenance["thumbnails"]["side"])
    try:
        pixels = decode_image(files.folder, files.paths[row], side, how)
    except (BrokenImageError, ConfigError, OSError):
        return True
    own = appearance.measure(pixels[None])["lightness"][0]
    return lightness is not None and bool(abs(own - lightness[row]) > shipped.LIGHTNESS_TOLERANCE)
