"""One's own images through an encoder, batch by batch: features, predictions and nearest neighbours as tables.

Pixels of one batch are in memory at a time, and of features only those among which neighbours are looked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from simclr.config import ConfigError
from simclr.data.splits import Split
from simclr.embeddings import neighbors
from simclr.encoders.encoder import BATCH_SIZE, Encoder, names_of
from simclr.encoders.table_files import Write
from simclr.evaluation.features import outputs_by_batch
from simclr.files.names import readable
from simclr.runs.status import Report, no_report

COMPUTING, COMPARING = "Computing", "Looking for neighbours"


class Rows(NamedTuple):
    """What a network makes of some images.

    paths: of the files. classes: names of their folders, None where they have none. values: (n, D) float32.
    """

    paths: list[Path]
    classes: list[str] | None
    values: NDArray[np.float32]


class OwnImages:
    """Image files, and folders of them, in order.

    Args:
        encoder: for which they are read.
        places: files, each read as it is, and folders, each read as a data set is.

    Attributes:
        unread: why files that were given by name could not be read, one sentence for each; they are left out.

    Raises:
        ConfigError: if one does not exist, or a folder cannot be read.
    """

    def __init__(self, encoder: Encoder, places: Sequence[Path]) -> None:
        for place in places:
            if not place.exists():
                raise ConfigError(f"{readable(str(place))} does not exist; allowed: an image, or a folder of images.")
        self.encoder = encoder
        self.unread: list[str] = []
        self._files = [place for place in places if not place.is_dir()]
        self._folders = [encoder.folder_data(place) for place in places if place.is_dir()]

    @property
    def num_images(self) -> int:
        splits = [split for data in self._folders for split in data.splits.values()]
        return len(self._files) + sum(split.num_images for split in splits)

    @property
    def has_classes(self) -> bool:
        """Whether every image lies in a folder of its class."""
        return not self._files and all(data.classes is not None for data in self._folders)

    def rows(self, network: nn.Module, report: Report = no_report) -> Iterator[Rows]:
        """What a network makes of them: the files first, then the folders.

        Raises:
            ConfigError: if no image can be read, or values are no numbers.
        """
        done = found = 0
        for rows in self._all(network):
            if not np.isfinite(rows.values).all():
                raise ConfigError(f"{self.encoder.name} gives values that are no numbers; allowed: another run.")
            found += len(rows.paths)
            done = found + len(self.unread)
            report(COMPUTING, min(1.0, done / max(1, self.num_images)))
            yield rows
        if not found:
            raise ConfigError(f"No image could be read. {self.unread[0]}")

    def _all(self, network: nn.Module) -> Iterator[Rows]:
        for start in range(0, len(self._files), BATCH_SIZE):
            if (rows := self._of_files(self._files[start : start + BATCH_SIZE], network)) is not None:
                yield rows
        for data in self._folders:
            for split in data.splits.values():
                yield from self._of_split(split, data.classes, network)

    def _of_files(self, paths: Sequence[Path], network: nn.Module) -> Rows | None:
        read, pixels = [], []
        for path in paths:
            try:
                pixels.append(self.encoder.preprocess(path))
                read.append(path)
            except ConfigError as error:
                self.unread.append(str(error))
        if not read:
            return None
        (values,) = outputs_by_batch(network, [torch.cat(pixels)], self.encoder.device)
        return Rows(read, None, values.cpu().numpy())

    def _of_split(self, split: Split, classes: Sequence[str] | None, network: nn.Module) -> Iterator[Rows]:
        source: Any = split.source
        names, start = names_of(split), 0
        for values in outputs_by_batch(network, self.encoder.of_split(split), self.encoder.device):
            here = slice(start, start + len(values))
            start += len(values)
            labels = None if classes is None or split.labels is None else split.labels[here].tolist()
            found = None if labels is None or classes is None else [readable(classes[label]) for label in labels]
            yield Rows([Path(source.folder) / name for name in names[here]], found, values.cpu().numpy())


def _names(paths: Sequence[Path]) -> list[str]:
    return [readable(str(path)) for path in paths]


def write_features(images: OwnImages, layer: str, write: Write, report: Report = no_report) -> int:
    """A row for each image: `image`, `class` where folders say it, and h or z. Returns how many."""
    count = 0
    for rows in images.rows(images.encoder.up_to(layer), report):
        classes = {"class": rows.classes} if images.has_classes else {}
        write({"image": _names(rows.paths), **classes, layer: rows.values})
        count += len(rows.paths)
    return count


def write_predictions(images: OwnImages, write: Write, report: Report = no_report) -> int:
    """A row for each image: `image`, `class`, `predicted`, its `probability`, and `p CLASS` of each class."""
    encoder, count = images.encoder, 0
    for rows in images.rows(encoder.up_to("classes"), report):
        best = rows.values.argmax(1)
        columns = {"image": _names(rows.paths)} | ({"class": rows.classes} if images.has_classes else {})
        columns |= {"predicted": [readable(encoder.classes[index]) for index in best]}
        columns |= {"probability": rows.values.max(1)}
        each = zip(encoder.classes, rows.values.T, strict=True)
        write(columns | {f"p {readable(name)}": values for name, values in each})
        count += len(rows.paths)
    return count


def write_neighbors(queries: OwnImages, among: OwnImages, k: int, write: Write, report: Report = no_report) -> int:
    """The k nearest images of each query by cosine similarity of h, exact: `query`, `rank`, `image`, `class`,
    `similarity`. A query's own file is no neighbour of itself. Returns how many rows.

    Args:
        among: the images that are looked through; their features, (N, num_features) float32, are held in memory.
    """
    network, count = among.encoder.up_to("h"), 0
    paths: list[Path] = []
    classes: list[str] = []
    features = []
    for rows in among.rows(network, report):
        paths += rows.paths
        classes += rows.classes if rows.classes is not None else [""] * len(rows.paths)
        features.append(rows.values)
    unit = neighbors.unit_rows(np.concatenate(features))
    place = {path.resolve(): row for row, path in enumerate(paths)}
    for rows in queries.rows(network):
        own = [place.get(path.resolve(), -1) for path in rows.paths]
        found = neighbors.nearest_to(neighbors.unit_rows(rows.values), unit, k, np.asarray(own))
        for path, indices, similarities in zip(rows.paths, found.indices, found.similarities, strict=True):
            number = int(np.isfinite(similarities).sum())  # fewer where it is one of a few itself
            here = indices[:number].tolist()
            columns = {"query": _names([path]) * number, "rank": list(range(1, number + 1))}
            columns |= {"image": _names([paths[row] for row in here])}
            columns |= {"class": [classes[row] for row in here]} if among.has_classes else {}
            write(columns | {"similarity": similarities[:number]})
            count += number
        report(COMPARING, 1.0)
    return count
