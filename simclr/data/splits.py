"""The images of a data set before they are cut, the cuts, and the splits that come out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simclr.config import ConfigError
from simclr.data.folders.folder_layout import Layout, num_val_images
from simclr.data.folders.image_files import FileSource
from simclr.data.folders.pixel_values import AS_THEY_ARE, PixelValues
from simclr.data.sampling import FILM_STREAM, LABEL_STREAM, LIMIT_STREAM, VAL_STREAM, stratified_order
from simclr.data.sources import ArraySource, Indices, Source
from simclr.data.transfer import to_device
from simclr.runs import film_frames

log = logging.getLogger(__name__)

BATCH_SIZE = 256  # images that are copied at a time


@dataclass
class RawSplit:
    """One list of a data set before it is cut. `labels` holds -1 where an image has no class (STL-10)."""

    source: Source
    labels: Indices | None
    rows: Indices
    ids: Indices
    factors: dict[str, NDArray] = field(default_factory=dict)

    @classmethod
    def whole(cls, source: Source, labels: Any = None, factors: dict[str, NDArray] | None = None) -> RawSplit:
        everything = np.arange(len(source), dtype=np.int64)
        labels = None if labels is None else np.asarray(labels, dtype=np.int64)
        return cls(source, labels, everything, everything, factors or {})

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Indices) -> RawSplit:
        """The images at `indices` of this list, in that order."""
        return RawSplit(
            self.source,
            None if self.labels is None else self.labels[indices],
            self.rows[indices],
            self.ids[indices],
            {name: values[indices] for name, values in self.factors.items()},
        )

    def cut(self, indices: Indices) -> tuple[RawSplit, RawSplit]:
        """What is left, in order, and the images at `indices`."""
        return self.take(np.setdiff1d(np.arange(len(self)), indices)), self.take(indices)


@dataclass
class RawSplits:
    """A data set before it is cut: the names of its classes, None without any, and its lists."""

    classes: tuple[str, ...] | None
    train: RawSplit
    val: RawSplit | None = None
    test: RawSplit | None = None
    image_size: int | None = None  # side at which the images are meant to be seen, where they are kept larger
    layout: Layout | None = None  # of a folder
    values: PixelValues = AS_THEY_ARE  # of its files

    @classmethod
    def of_arrays(cls, classes: Iterable[str], train: tuple[Any, ...], test: tuple[Any, ...]) -> RawSplits:
        """Of two lists, each: images (N, 3, S, S) uint8, labels (N,), and factors if any."""
        first, second = (RawSplit.whole(ArraySource(images), *others) for images, *others in (train, test))
        return cls(tuple(classes), first, test=second)


@dataclass(frozen=True)
class Split:
    """Images of one split, all of one size.

    ids: (N,) int64, position in the data set's own training or test list; the same whatever `limit_images`,
        `val_fraction` or the share of labels. Seeds the augmentation.
    labels: (N,) int64, or None for images without classes.
    factors: recorded factors of variation, each (N,); empty except for shapes.
    images: uint8 when in memory, else None: (N, 3, S, S), or (M, 3, S, S) of which `rows` are this split's.
    source: where a streamed split is read.
    rows: (N,) indices into `images` or `source`; None: all of `images`, in order. A part of a split shares its tensor.
    """

    name: str
    ids: Tensor
    labels: Tensor | None
    images: Tensor | None = None
    factors: dict[str, NDArray] = field(default_factory=dict)
    source: Source | None = None
    rows: Indices | None = None

    @property
    def num_images(self) -> int:
        return len(self.ids)

    @property
    def in_memory(self) -> bool:
        return self.images is not None

    @property
    def image_size(self) -> int:
        """Side in pixels."""
        if self.images is not None:
            return int(self.images.shape[-1])
        assert self.source is not None
        return self.source.side

    def images_at(self, positions: Tensor | Sequence[int]) -> Tensor:
        """Images (n, 3, S, S) uint8 at `positions` of this split, on its device; decoded now if it is streamed."""
        positions = torch.as_tensor(positions, dtype=torch.int64)
        if self.rows is None:
            assert self.images is not None
            return self.images.index_select(0, to_device(positions, self.images.device))
        rows = self.rows[positions.cpu().numpy()]
        if self.images is not None:
            return self.images.index_select(0, to_device(torch.from_numpy(rows), self.images.device))
        assert self.source is not None
        return self.source.read(rows)

    def batches(self, size: int = BATCH_SIZE) -> Iterator[Tensor]:
        """All images in order, (n, 3, S, S) uint8 at a time: no more than `size` of them take memory of their own."""
        for positions in torch.arange(self.num_images).split(size):
            yield self.images_at(positions)

    def load(self, max_bytes: int) -> Split:
        """The same split with its images in memory, if they take no more than so many bytes."""
        if self.images is not None or self.num_images * 3 * self.image_size**2 > max_bytes:
            return self
        return replace(self, images=self.images_at(range(self.num_images)), source=None, rows=None)

    def take(self, positions: Tensor | Sequence[int]) -> Split:
        """The part of this split at `positions`, in that order; no image is copied."""
        positions = torch.as_tensor(positions, dtype=torch.int64)
        here, indices = positions.to(self.ids.device), positions.cpu().numpy()
        return replace(
            self,
            ids=self.ids[here],
            labels=None if self.labels is None else self.labels[here],
            factors={name: values[indices] for name, values in self.factors.items()},
            rows=indices if self.rows is None else self.rows[indices],
        )

    def to(self, device: torch.device | str) -> Split:
        """The same split on another device; a streamed one stays as it is, since its batches are decoded on the CPU.

        Only the split's own images are copied, and nothing where they are there already.
        """
        if self.images is None:
            return self
        labels = None if self.labels is None else self.labels.to(device)
        images, rows = self.images, self.rows
        if rows is None:
            images = images.to(device)
        elif images.device != torch.device(device):
            moved = images.new_empty((self.num_images, *images.shape[1:]), device=device)
            for part, batch in zip(moved.split(BATCH_SIZE), self.batches(), strict=True):
                part.copy_(batch)
            images, rows = moved, None
        return replace(self, ids=self.ids.to(device), labels=labels, images=images, rows=rows)


@dataclass(frozen=True)
class ImageData:
    """A data set cut into splits.

    image_size: the set's own side in pixels; images may be kept larger. classes: names in the order of the labels, or
        None without classes.
    probe: the labelled training images, the bank of the kNN probe; None where nothing is labelled.
    folders: the image files behind the splits, where it is a folder.
    reading: how the folder was read, in words.
    values: what the pixel values of its files mean.
    """

    name: str
    image_size: int
    classes: tuple[str, ...] | None
    train: Split
    val: Split | None
    test: Split | None
    probe: Split | None
    folders: tuple[FileSource, ...] = ()
    reading: str = ""
    values: PixelValues = AS_THEY_ARE

    @property
    def splits(self) -> dict[str, Split]:
        """Those that there are, by name."""
        found = {"train": self.train, "val": self.val, "test": self.test}
        return {name: split for name, split in found.items() if split is not None}

    @property
    def skipped(self) -> tuple[str, ...]:
        """Paths of broken images that were left out before the cuts."""
        return tuple(name for folder in self.folders for name in folder.names(folder.left_out))

    @property
    def replaced(self) -> tuple[str, ...]:
        """Paths of images that broke while they were decoded, so far; others of their split and class stand there."""
        return tuple(name for folder in self.folders for name in folder.names(folder.replaced))


def film_part(split: Split, seed: int) -> Split:
    """The images of a split that a training film shows, in class proportion."""
    labels = None if split.labels is None else split.labels.cpu().numpy()
    strata = labels if labels is not None else np.zeros(split.num_images, dtype=np.int64)
    places = np.sort(stratified_order(strata, seed, FILM_STREAM)[: film_frames.MAX_IMAGES])
    return split.take(torch.from_numpy(places))


def images_digest(split: Split, before: bytes = b"") -> str:
    """Changes with any pixel of a split, and with the bytes `before` them."""
    found = hashlib.sha256(before)
    for batch in split.batches():
        found.update(batch.numpy().tobytes())
    return found.hexdigest()[:24]


# --- cuts ---------------------------------------------------------------------------------------------------------


def label_subset(labels: Tensor, fraction: float, seed: int, per_class: int | None = None) -> Tensor:
    """Positions (n,) int64, sorted, of the labelled share of a training split with `labels` (N,).

    Stratified, at least one image per class, nested over `fraction` and over `per_class`, the same for the same seed.

    Args:
        fraction: above 0, up to 1.
        per_class: so many of each class instead, or all of a class that has fewer.
    """
    values = labels.detach().cpu().numpy().astype(np.int64)
    if per_class is not None:
        ordered = stratified_order(values, seed, LABEL_STREAM)
        kept = [ordered[values[ordered] == each][:per_class] for each in np.unique(values)]
        return torch.from_numpy(np.sort(np.concatenate(kept)).astype(np.int64))
    count = min(len(values), max(round(fraction * len(values)), len(np.unique(values))))
    order = stratified_order(values, seed, LABEL_STREAM)
    return torch.from_numpy(np.sort(order[:count]).astype(np.int64))


def limited(dataset: str, train: RawSplit, limit: int | None, seed: int) -> RawSplit:
    """The training list cut to `limit` images, stratified."""
    if limit is None or limit == len(train):
        return train
    if limit > len(train):
        log.warning("limit_images is %s and %s has %s training images: all are used.", limit, dataset, len(train))
        return train
    labels = train.labels if train.labels is not None else np.zeros(len(train), dtype=np.int64)
    unlabelled, labelled = np.flatnonzero(labels < 0), np.flatnonzero(labels >= 0)
    num_classes = len(np.unique(labels[labelled]))
    if limit < num_classes:
        raise ConfigError(
            f"limit_images is {limit}; allowed: at least {num_classes}, one for each class of {dataset}, or unset."
        )
    order = labelled[stratified_order(labels[labelled], seed, LIMIT_STREAM)]
    if len(unlabelled):
        # in proportion, labelled images would be too few to validate with: they get up to half of the images
        num_labelled = max(min(len(labelled), limit // 2), limit - len(unlabelled))
        others = np.random.default_rng([LIMIT_STREAM, seed]).permutation(unlabelled)
        order = np.concatenate([order[:num_labelled], others[: limit - num_labelled]])
    return train.take(np.sort(order[:limit]))


def val_indices(labels: Indices | None, num_images: int, fraction: float, seed: int) -> Indices:
    """Indices of the validation images: among the labelled where there are some; no class loses its last image."""
    labels = np.zeros(num_images, dtype=np.int64) if labels is None else labels
    labelled = np.flatnonzero(labels >= 0)
    order = stratified_order(labels[labelled], seed, VAL_STREAM, spare_last=True)
    return np.sort(labelled[order[: num_val_images(len(labelled), fraction)]])
