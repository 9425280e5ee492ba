"""Data sets and their splits: built-in, downloaded or a folder of images.

Every data set becomes an `ImageData` of training, validation and test `Split`s whose images share one size. Up to
`MEMORY_LIMIT` bytes they are one uint8 tensor; larger ones are read where they lie, batch by batch.

Order of the cuts: `limit_images` shortens the training list, then `val_fraction` of what is left becomes the
validation split, then `label_subset` picks the labelled images among the rest. Each is stratified by class.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import logging
import os
import socket
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from simclr import shapes
from simclr.config import BUILT_IN_DATASETS, DATASETS, ConfigError, nearest_name

log = logging.getLogger(__name__)

MEMORY_LIMIT = 2 * 1024**3  # bytes of decoded images, all splits together; above it they stream
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
VAL_FOLDERS = ("val", "valid", "validation")
LARGEST_OWN_SIDE = 224  # pixels; a folder of larger images is stored at this side unless image_size asks for more
NUM_SIDE_SAMPLES = 200  # images whose size is looked at to find a folder's own side
MAX_HEADER_CHECKS = 100_000  # images of a streamed folder that are opened before training starts
TEST_FRACTION = 0.2  # of a folder without test/, and of digits
DIGITS_SIDE = 32  # pixels
DIGITS_SEED = 0  # of the fixed split of digits
NETWORK_TIMEOUT = 10.0  # seconds without an answer
CACHE_WORTH_SECONDS = 1.0  # decoding that took longer is kept for the next time

# One random stream per kind of cut, so that they are independent of each other under the same seed.
LIMIT_STREAM, VAL_STREAM, LABEL_STREAM, TEST_STREAM, ORDER_STREAM = range(5)

Progress = Callable[[str, float], None]
Indices = NDArray[np.int64]


# --- where images come from ---------------------------------------------------------------------------------------


class Source(Protocol):
    """A list of images that can be read in any order."""

    side: int

    def __len__(self) -> int: ...

    def read(self, rows: Indices) -> Tensor:
        """Images (n, 3, side, side) uint8 of some rows."""

    def load(self, rows: Indices, progress: Progress | None) -> Tensor:
        """The same for many rows at once, with progress."""


class ArraySource:
    """Rows of arrays (N, 3, side, side) laid end to end; memory-mapped ones are read only where asked."""

    def __init__(self, *arrays: NDArray[np.uint8]) -> None:
        self.arrays = arrays
        self.side = int(arrays[0].shape[-1])
        self.starts = np.cumsum([0, *(len(array) for array in arrays)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, rows: Indices) -> Tensor:
        if len(self.arrays) == 1 and len(rows) == len(self) and (np.diff(rows) == 1).all():
            return torch.from_numpy(np.array(self.arrays[0], order="C"))
        images = np.empty((len(rows), 3, self.side, self.side), dtype=np.uint8)
        for array, start, end in zip(self.arrays, self.starts[:-1], self.starts[1:], strict=True):
            here = (rows >= start) & (rows < end)
            images[here] = array[rows[here] - start]
        return torch.from_numpy(images)

    def load(self, rows: Indices, progress: Progress | None) -> Tensor:
        return self.read(rows)


class FileSource:
    """Image files, decoded to `side` x `side` pixels."""

    def __init__(self, folder: Path, paths: Sequence[str], side: int, cache_dir: Path) -> None:
        self.folder, self.paths, self.side, self.cache_dir = folder, paths, side, cache_dir

    def __len__(self) -> int:
        return len(self.paths)

    def _decode(self, row: int) -> NDArray[np.uint8]:
        return decode_image(self.folder, self.paths[row], self.side)

    def read(self, rows: Indices) -> Tensor:
        if torch.utils.data.get_worker_info() is not None or len(rows) < 64:  # a worker is one of several already
            return torch.from_numpy(np.stack([self._decode(row) for row in rows]))
        return self._decode_all(rows, None)

    def _decode_all(self, rows: Indices, progress: Progress | None) -> Tensor:
        images = np.empty((len(rows), 3, self.side, self.side), dtype=np.uint8)
        chunks = [range(start, min(start + 256, len(rows))) for start in range(0, len(rows), 256)]

        def decode(chunk: range) -> None:
            for place in chunk:
                images[place] = self._decode(int(rows[place]))

        # threads: PIL lets go of the interpreter while it reads and decodes
        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            try:
                for number, _ in enumerate(pool.map(decode, chunks), start=1):
                    if progress:
                        progress("Decoding images", number / len(chunks))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return torch.from_numpy(images)

    def load(self, rows: Indices, progress: Progress | None) -> Tensor:
        """Decodes `rows`; a whole folder is kept in the data root, where a second run finds it decoded."""
        cache = self.cache_dir / f"{self._fingerprint()}.npy"
        try:
            kept = np.load(cache, mmap_mode="r")
            if kept.shape == (len(self), 3, self.side, self.side) and kept.dtype == np.uint8:
                return torch.from_numpy(np.array(kept) if len(rows) == len(self) else kept[rows])
        except (OSError, ValueError):
            pass
        start = time.perf_counter()
        images = self._decode_all(rows, progress)
        if len(rows) == len(self) and time.perf_counter() - start > CACHE_WORTH_SECONDS:
            with contextlib.suppress(OSError):  # a full or read-only disk costs the next run a little time, no more
                self._keep(cache, images.numpy())
        return images

    def _fingerprint(self) -> str:
        """Changes as soon as a file of the list does."""
        digest = hashlib.sha256(f"{self.folder.resolve()}|{self.side}|1".encode())
        for path in self.paths:
            found = os.stat(self.folder / path)
            digest.update(f"{path}|{found.st_size}|{found.st_mtime_ns}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:24]

    @staticmethod
    def _keep(path: Path, images: NDArray[np.uint8]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, images)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def check(self, rows: Indices, progress: Progress | None) -> None:
        """Opens the files of `rows`, so that one that is no image is found before training starts."""
        if len(rows) > MAX_HEADER_CHECKS:
            rows = rows[np.linspace(0, len(rows) - 1, MAX_HEADER_CHECKS).astype(int)]
        chunks = np.array_split(rows, max(1, len(rows) // 256))

        def look(chunk: Indices) -> None:
            for row in chunk:
                image_size_of(self.folder, self.paths[row])

        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            for number, _ in enumerate(pool.map(look, chunks), start=1):
                if progress:
                    progress("Checking images", number / len(chunks))


def _broken(folder: Path, path: str, error: Exception) -> ConfigError:
    reason = "it is cut short or damaged" if isinstance(error, SyntaxError | ValueError) else str(error)
    if isinstance(error, Image.UnidentifiedImageError):
        reason = "it is not an image"
    return ConfigError(
        f"dataset is {folder}, whose file {path} cannot be read ({reason}); allowed: whole image files. "
        "Repair or remove that file."
    )


def image_size_of(folder: Path, path: str) -> tuple[int, int]:
    """Width and height of an image file in pixels, from its header. Raises ConfigError, naming the file."""
    try:
        with Image.open(folder / path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _broken(folder, path, error) from None


def decode_image(folder: Path, path: str, side: int) -> NDArray[np.uint8]:
    """An image file as (3, side, side): shorter side resized with antialiasing, middle square kept, grey made RGB.

    Raises ConfigError, naming the file, where it cannot be read.
    """
    try:
        with Image.open(folder / path) as opened:
            image: Image.Image = opened
            if min(image.size) > 2 * side and image.format == "JPEG":
                image.draft("RGB", (side, side))  # the decoder itself can halve a large image, which is quicker
            if image.format in ("JPEG", "TIFF", "WEBP", "PNG") and image.getexif().get(0x0112, 1) != 1:
                image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16") or image.mode == "I":  # 16 bits per pixel; "convert" would clip it
                image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            if image.mode != "RGB":
                image = image.convert("RGB")
            if image.size != (side, side):
                image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
            return np.asarray(image).transpose(2, 0, 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _broken(folder, path, error) from None


# --- splits -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Images of one split, all of one size.

    ids: (N,) int64, position in the data set's own training or test list; the same whatever `limit_images`,
        `val_fraction` or the share of labels. Seeds the augmentation.
    labels: (N,) int64, or None for images without classes.
    factors: recorded factors of variation, each (N,); empty except for shapes.
    images: (N, 3, S, S) uint8 when in memory, else None.
    """

    name: str
    ids: Tensor
    labels: Tensor | None
    images: Tensor | None = None
    factors: dict[str, NDArray] = field(default_factory=dict)
    source: Source | None = None  # of a streamed split
    rows: Indices | None = None  # (N,) places in `source`

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
        if self.images is not None:
            return self.images.index_select(0, positions.to(self.images.device))
        assert self.source is not None
        assert self.rows is not None
        return self.source.read(self.rows[positions.cpu().numpy()])

    def take(self, positions: Tensor | Sequence[int]) -> Split:
        """The part of this split at `positions`, in that order."""
        positions = torch.as_tensor(positions, dtype=torch.int64)
        here, places = positions.to(self.ids.device), positions.cpu().numpy()
        return replace(
            self,
            ids=self.ids[here],
            labels=None if self.labels is None else self.labels[here],
            images=None if self.images is None else self.images_at(positions),
            factors={name: values[places] for name, values in self.factors.items()},
            rows=None if self.rows is None else self.rows[places],
        )

    def to(self, device: torch.device | str) -> Split:
        """The same split on another device; a streamed one stays as it is, since its batches are decoded on the CPU."""
        if self.images is None:
            return self
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, ids=self.ids.to(device), labels=labels, images=self.images.to(device))


@dataclass(frozen=True)
class ImageData:
    """A data set cut into splits.

    image_size: stored side in pixels. classes: names in the order of the labels, or None without classes.
    probe: the labelled training images, the bank of the kNN probe; None where nothing is labelled.
    """

    name: str
    image_size: int
    classes: tuple[str, ...] | None
    train: Split
    val: Split | None
    test: Split | None
    probe: Split | None


@dataclass
class _List:
    """One list of a data set before it is cut. `labels` holds -1 where an image has no class (STL-10)."""

    source: Source
    labels: Indices | None
    rows: Indices
    ids: Indices
    factors: dict[str, NDArray] = field(default_factory=dict)

    @classmethod
    def whole(cls, source: Source, labels: Any = None, factors: dict[str, NDArray] | None = None) -> _List:
        everything = np.arange(len(source), dtype=np.int64)
        labels = None if labels is None else np.asarray(labels, dtype=np.int64)
        return cls(source, labels, everything, everything, factors or {})

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, places: Indices) -> _List:
        return _List(
            self.source,
            None if self.labels is None else self.labels[places],
            self.rows[places],
            self.ids[places],
            {name: values[places] for name, values in self.factors.items()},
        )


@dataclass
class _Lists:
    classes: tuple[str, ...] | None
    train: _List
    val: _List | None = None
    test: _List | None = None


def load_data(
    dataset: str,
    *,
    data_dir: str | None = None,
    image_size: int | None = None,
    seed: int = 0,
    limit_images: int | None = None,
    val_fraction: float = 0.1,
    labelled_only: bool = False,
    progress: Progress | None = None,
) -> ImageData:
    """Loads a data set and cuts it.

    Args:
        dataset: a name in `simclr.config.DATASETS`, or a folder: `train/<class>/*` with optional `val/` and `test/`
            (a `val/` replaces the cut, `val_fraction` is then ignored; without `test/`, 20 % of train become it),
            or `<class>/*` alone (20 % become test), or images without classes. Everything below `<class>/` counts.
        image_size: side in pixels. Shapes are drawn at it; folder images are stored at 1.5 times it where they are
            large enough, so that random crops keep detail; other sets keep their own side.
        seed: of the cuts.
        limit_images: at most this many training images, before the validation images are cut off.
        val_fraction: of the training images; 0 means no validation split.
        labelled_only: leave out images without a class; raises where there are no classes.
        progress: called with a text and the share done (0..1).

    Raises:
        ConfigError: one sentence, where the data is missing, damaged, or too small for what is asked.
    """
    root = data_root(data_dir)
    if dataset == "shapes":
        lists = _shapes(image_size, limit_images)
    elif dataset == "digits":
        lists = _digits()
    elif dataset in DATASETS:
        lists = _downloaded(dataset, root, labelled_only, progress)
    else:
        lists = _folder(dataset, root, image_size, seed, labelled_only, progress)

    train, val, test = lists.train, lists.val, lists.test
    train = _limited(dataset, train, limit_images, seed)
    if val is None and val_fraction > 0:
        chosen = _val_places(train.labels, len(train), val_fraction, seed)
        if len(chosen):
            val = train.at(chosen)
            train = train.at(np.setdiff1d(np.arange(len(train)), chosen))

    parts = [part for part in (train, val, test) if part is not None]
    num_bytes = sum(len(part) * 3 * part.source.side**2 for part in parts)
    images: dict[int, tuple[Indices, Tensor]] = {}  # source -> rows in memory, sorted, and their images
    for source in {id(part.source): part.source for part in parts}.values():
        rows = np.unique(np.concatenate([part.rows for part in parts if part.source is source]))
        if num_bytes <= MEMORY_LIMIT:
            images[id(source)] = rows, source.load(rows, progress)
        elif isinstance(source, FileSource):
            source.check(rows, progress)

    def split(name: str, part: _List) -> Split:
        labels = part.labels
        if labels is not None and (labels < 0).any():
            labels = None
        made = Split(
            name,
            torch.from_numpy(part.ids.copy()),
            None if labels is None else torch.from_numpy(labels.copy()),
            factors=part.factors,
        )
        if id(part.source) not in images:
            return replace(made, source=part.source, rows=part.rows)
        rows, loaded = images[id(part.source)]
        if len(part.rows) == len(rows) and (part.rows == rows).all():
            return replace(made, images=loaded)
        return replace(made, images=loaded[torch.from_numpy(np.searchsorted(rows, part.rows))])

    made_train = split("train", train)
    probe = made_train if made_train.labels is not None else None
    if probe is None and train.labels is not None and (train.labels >= 0).any():
        labelled = np.flatnonzero(train.labels >= 0)
        probe = replace(made_train.take(torch.from_numpy(labelled)), labels=torch.from_numpy(train.labels[labelled]))
    return ImageData(
        name=dataset,
        image_size=train.source.side,
        classes=lists.classes,
        train=made_train,
        val=split("val", val) if val is not None else None,
        test=split("test", test) if test is not None else None,
        probe=probe,
    )


def data_root(data_dir: str | None) -> Path:
    """Where downloaded data sets are kept: `data_dir`, else `$SIMCLR_DATA_DIR`, else `~/.cache/simclr`."""
    return Path(data_dir or os.environ.get("SIMCLR_DATA_DIR") or "~/.cache/simclr").expanduser()


# --- cuts ---------------------------------------------------------------------------------------------------------


def _ranks(labels: Indices, generator: np.random.Generator) -> tuple[Indices, Indices]:
    """Each image's random place within its class (N,), from 0, and the size of its class (N,)."""
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.lexsort((generator.random(len(labels)), classes))
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks, counts[classes]


def stratified_order(labels: Indices, seed: int, stream: int) -> Indices:
    """All places 0..N-1 so ordered that any first part is stratified: one of each class first, then in proportion.

    First parts of two lengths are nested, which makes 1 % of the labels part of 5 % and of 10 %.
    """
    generator = np.random.default_rng([stream, seed])
    ranks, counts = _ranks(labels, generator)
    return np.lexsort((generator.random(len(labels)), (ranks + 0.5) / counts, ranks > 0))


def label_subset(labels: Tensor, fraction: float, seed: int) -> Tensor:
    """Positions (n,) int64, sorted, of the labelled share of a training split with `labels` (N,).

    Stratified, at least one image per class, nested over `fraction` (above 0, up to 1), the same for the same seed.
    """
    values = labels.detach().cpu().numpy().astype(np.int64)
    count = min(len(values), max(round(fraction * len(values)), len(np.unique(values))))
    order = stratified_order(values, seed, LABEL_STREAM)
    return torch.from_numpy(np.sort(order[:count]).astype(np.int64))


def _limited(dataset: str, train: _List, limit: int | None, seed: int) -> _List:
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
        # in proportion, labelled images would be too few to validate with: they get up to half of the places
        num_labelled = max(min(len(labelled), limit // 2), limit - len(unlabelled))
        others = np.random.default_rng([LIMIT_STREAM, seed]).permutation(unlabelled)
        order = np.concatenate([order[:num_labelled], others[: limit - num_labelled]])
    return train.at(np.sort(order[:limit]))


def _val_places(labels: Indices | None, num_images: int, fraction: float, seed: int) -> Indices:
    """Places of the validation images: among the labelled where there are some; no class loses its last image."""
    labels = np.zeros(num_images, dtype=np.int64) if labels is None else labels
    labelled = np.flatnonzero(labels >= 0)
    kept = labels[labelled]
    count = round(fraction * len(kept))
    if len(kept) >= 4:
        count = max(count, 2)  # one image alone has no negatives
    ranks, counts = _ranks(kept, np.random.default_rng([VAL_STREAM, seed]))
    # the same places as `stratified_order` gives, without each class's last
    order = stratified_order(kept, seed, VAL_STREAM)
    order = order[ranks[order] < counts[order] - 1]
    return np.sort(labelled[order[:count]])


class EpochBatches(torch.utils.data.Sampler[Tensor]):
    """Batches of positions for one epoch: `batch_sampler` of a DataLoader, or a plain iterable.

    The order is a permutation seeded by (`seed`, epoch). `drop_last` leaves an incomplete last batch out unless it
    is the only one. With several ranks each gets its share of every batch of `batch_size * num_ranks` positions,
    always equally many; an incomplete last one is filled up from the start of the order.

    skip: batches left out at the start of the next iteration only, to go on in the middle of an epoch; the length
    stays that of a whole epoch.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if num_images < 1 or batch_size < 1:
            raise ValueError(f"num_images is {num_images} and batch_size is {batch_size}; allowed: at least 1.")
        self.num_images, self.batch_size, self.seed = num_images, batch_size, seed
        self.shuffle, self.drop_last, self.rank, self.num_ranks = shuffle, drop_last, rank, num_ranks
        self.epoch = 0
        self.skip = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        whole = self.batch_size * self.num_ranks
        return max(1, self.num_images // whole) if self.drop_last else -(-self.num_images // whole)

    def order(self) -> Tensor:
        """All positions (N,) in this epoch's order."""
        if not self.shuffle:
            return torch.arange(self.num_images)
        generator = np.random.default_rng([ORDER_STREAM, self.seed, self.epoch])
        return torch.from_numpy(generator.permutation(self.num_images))

    def __iter__(self) -> Iterator[Tensor]:
        order, whole = self.order(), self.batch_size * self.num_ranks
        first, self.skip = self.skip, 0
        for number in range(first, len(self)):
            batch = order[number * whole : (number + 1) * whole]
            if missing := -len(batch) % self.num_ranks:
                batch = torch.cat([batch, order.repeat(-(-missing // len(order)))[:missing]])
            yield batch[self.rank :: self.num_ranks]


class SplitDataset(torch.utils.data.Dataset):
    """A split for a DataLoader with `batch_sampler=EpochBatches(...)` and `collate_fn=as_is`.

    One item is a whole batch: images (n, 3, S, S) uint8 and their positions (n,) int64.
    """

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return self.split.num_images

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.split.images_at([position])[0], position

    def __getitems__(self, positions: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        positions = torch.as_tensor(positions, dtype=torch.int64)
        return self.split.images_at(positions), positions


def as_is(batch: Any) -> Any:
    """Collate function for batches that are complete already."""
    return batch


# --- built-in sets ------------------------------------------------------------------------------------------------


def _shapes(image_size: int | None, limit: int | None) -> _Lists:
    side = image_size or shapes.DEFAULT_SIDE
    train = shapes.generate("train", max(shapes.NUM_TRAIN, limit or 0), side)
    test = shapes.generate("test", shapes.NUM_TEST, side)
    return _Lists(
        shapes.CLASSES,
        _List.whole(ArraySource(train.images), train.labels, train.factors),
        test=_List.whole(ArraySource(test.images), test.labels, test.factors),
    )


def _digits() -> _Lists:
    from sklearn.datasets import load_digits

    found = load_digits()
    small = torch.from_numpy(found.images).float()[:, None] * (255 / 16)  # (1797, 1, 8, 8)
    large = torch.nn.functional.interpolate(small, size=DIGITS_SIDE, mode="bicubic", align_corners=False)
    images = large.round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous().numpy()
    labels = found.target.astype(np.int64)
    order = stratified_order(labels, DIGITS_SEED, TEST_STREAM)
    num_test = round(TEST_FRACTION * len(labels))
    test, train = np.sort(order[:num_test]), np.sort(order[num_test:])
    return _Lists(
        tuple(str(digit) for digit in range(10)),
        _List.whole(ArraySource(images[train]), labels[train]),
        test=_List.whole(ArraySource(images[test]), labels[test]),
    )


# --- downloaded sets ----------------------------------------------------------------------------------------------


def _downloaded(dataset: str, root: Path, labelled_only: bool, progress: Progress | None) -> _Lists:
    if dataset in ("cifar10", "cifar100"):
        return _cifar(dataset, root, progress)
    if dataset == "stl10":
        return _stl10(root, labelled_only, progress)
    if dataset == "svhn":
        return _svhn(root, progress)
    return _fashion_mnist(root, progress)


def _damaged(dataset: str, path: Path) -> ConfigError:
    return ConfigError(
        f"dataset is {dataset}, whose files at {path} are damaged or incomplete (wrong checksum or size); "
        "remove them, and they are downloaded again."
    )


def _cifar(dataset: str, root: Path, progress: Progress | None) -> _Lists:
    from torchvision.datasets import CIFAR10, CIFAR100

    kind: type[CIFAR10] = CIFAR100 if dataset == "cifar100" else CIFAR10
    _unpacked(dataset, kind, root, progress)
    try:  # torchvision compares the MD5 checksum of every file before it reads one
        train, test = kind(root, train=True), kind(root, train=False)
    except (RuntimeError, OSError):
        raise _damaged(dataset, root / kind.base_folder) from None
    return _Lists(
        tuple(train.classes),
        _List.whole(ArraySource(train.data.transpose(0, 3, 1, 2)), train.targets),
        test=_List.whole(ArraySource(test.data.transpose(0, 3, 1, 2)), test.targets),
    )


def _stl10(root: Path, labelled_only: bool, progress: Progress | None) -> _Lists:
    """Training list: the 5,000 labelled images, then the 100,000 without labels; read where they lie (2.7 GiB)."""
    from torchvision.datasets import STL10

    _unpacked("stl10", STL10, root, progress)
    folder, num_bytes = root / STL10.base_folder, 3 * 96 * 96

    def images(name: str) -> NDArray[np.uint8]:
        path = folder / name
        if not path.is_file() or path.stat().st_size % num_bytes or not path.stat().st_size:
            raise _damaged("stl10", path)
        # stored column by column
        return np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)

    def labels(name: str, count: int) -> Indices:
        path = folder / name
        found = np.fromfile(path, dtype=np.uint8).astype(np.int64) - 1 if path.is_file() else np.empty(0, np.int64)
        if len(found) != count or found.min() < 0 or found.max() > 9:
            raise _damaged("stl10", path)
        return found

    train, test = images("train_X.bin"), images("test_X.bin")
    train_labels, test_labels = labels("train_y.bin", len(train)), labels("test_y.bin", len(test))
    source = ArraySource(train)
    if not labelled_only:
        unlabelled = images("unlabeled_X.bin")
        source = ArraySource(train, unlabelled)
        train_labels = np.concatenate([train_labels, np.full(len(unlabelled), -1, dtype=np.int64)])
    classes = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    return _Lists(classes, _List.whole(source, train_labels), test=_List.whole(ArraySource(test), test_labels))


def _svhn(root: Path, progress: Progress | None) -> _Lists:
    from torchvision.datasets import SVHN

    for name in ("train", "test"):
        url, filename, md5 = SVHN.split_list[name]
        if not (root / filename).is_file():
            _download("svhn", root, [url], root / filename, md5, "train_32x32.mat and test_32x32.mat", progress)
    try:
        train, test = SVHN(str(root), split="train"), SVHN(str(root), split="test")
    except (RuntimeError, OSError, ValueError):
        raise _damaged("svhn", root / "*_32x32.mat") from None
    return _Lists(
        tuple(str(digit) for digit in range(10)),
        _List.whole(ArraySource(train.data), train.labels),
        test=_List.whole(ArraySource(test.data), test.labels),
    )


def _fashion_mnist(root: Path, progress: Progress | None) -> _Lists:
    """Reads the four original files, packed or not, from torchvision's folder, the data root or one named after it."""
    from torchvision.datasets import FashionMNIST

    home = root / "FashionMNIST" / "raw"
    folders = (home, root, root / "fashion_mnist", root / "fashion-mnist")

    def read(filename: str, md5: str) -> NDArray[np.uint8]:
        plain = filename.removesuffix(".gz")
        for path in (folder / name for folder in folders for name in (plain, filename)):
            if path.is_file():
                break
        else:
            path = home / filename
            where = "the four *-ubyte.gz files"
            _download("fashion_mnist", root, [m + filename for m in FashionMNIST.mirrors], path, md5, where, progress)
        try:
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        except (OSError, EOFError, ValueError):
            raise _damaged("fashion_mnist", path) from None
        # IDX format: two zero bytes, type (8: uint8), number of dimensions, each as a big-endian int32, values
        num_dimensions = content[3] if len(content) > 4 and content[:3] == b"\0\0\x08" else 0
        start = 4 + 4 * num_dimensions
        shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
        if not shape or len(content) - start != np.prod(shape) or shape[1:] not in ((), (28, 28)):
            raise _damaged("fashion_mnist", path)
        return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)

    arrays = [read(filename, md5) for filename, md5 in FashionMNIST.resources]
    if len(arrays[0]) != len(arrays[1]) or len(arrays[2]) != len(arrays[3]):
        raise _damaged("fashion_mnist", home)
    train, test = (np.broadcast_to(grey[:, None], (len(grey), 3, 28, 28)) for grey in (arrays[0], arrays[2]))
    return _Lists(
        tuple(FashionMNIST.classes),
        _List.whole(ArraySource(train), arrays[1]),
        test=_List.whole(ArraySource(test), arrays[3]),
    )


def _unpacked(dataset: str, kind: Any, root: Path, progress: Progress | None) -> None:
    """Sees to it that the folder of a torchvision set stands in `root`: fetches and unpacks its archive if not."""
    folder, archive = root / kind.base_folder, root / kind.filename
    if folder.is_dir():
        return
    fetched = not archive.is_file()
    if fetched:
        _download(dataset, root, [kind.url], archive, kind.tgz_md5, kind.filename, progress)
    elif _md5(archive) != kind.tgz_md5:
        raise _damaged(dataset, archive)
    if progress:
        progress(f"Unpacking {archive.name}", 0.0)
    # unpacked aside and moved in one step: an interrupted run leaves nothing that looks whole
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=root) as aside:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(aside, filter="data")
            os.replace(Path(aside) / kind.base_folder, folder)
        except (tarfile.TarError, EOFError, FileNotFoundError):
            raise _damaged(dataset, archive) from None
        except OSError as error:
            if not folder.is_dir():  # else another run was quicker
                raise ConfigError(
                    f"data_dir is {root}, where {archive.name} cannot be unpacked: {error.strerror}."
                ) from None
    if fetched:
        archive.unlink(missing_ok=True)  # its content stands beside it now


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _resolves(url: str) -> bool:
    """Whether the host of `url` has an address; answers within `NETWORK_TIMEOUT`, as a lookup may take minutes."""
    if urllib.request.getproxies():
        return True  # the proxy looks it up
    found: list[Any] = []

    def look_up() -> None:
        with contextlib.suppress(OSError):
            found.append(socket.getaddrinfo(urlsplit(url).hostname, None))

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(NETWORK_TIMEOUT)
    return bool(found)


def _download(
    dataset: str, root: Path, urls: Sequence[str], path: Path, md5: str, by_hand: str, progress: Progress | None
) -> None:
    """Fetches a file in one try per address, checks it, and moves it to `path`; a part of a file is never left."""
    new_folders = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"data_dir is {root}, which cannot be made: {error.strerror}.") from None
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    reason = "no network"
    try:
        for url in urls:
            if not _resolves(url):
                continue
            digest = hashlib.md5(usedforsecurity=False)
            try:
                request = urllib.request.Request(url, headers={"User-Agent": "simclr"})
                with urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT) as answer, part.open("wb") as file:
                    total, done = int(answer.headers.get("Content-Length") or 0), 0
                    while chunk := answer.read(1 << 18):
                        file.write(chunk)
                        digest.update(chunk)
                        done += len(chunk)
                        if progress:
                            progress(f"Downloading {path.name}", done / total if total else 0.0)
            except urllib.error.HTTPError as error:
                reason = f"the server answered {error.code}"
                continue
            except urllib.error.URLError:
                continue
            except (OSError, HTTPException, ValueError) as error:
                reason = f"the connection broke: {error}"
                continue
            if digest.hexdigest() == md5:
                os.replace(part, path)
                return
            reason = f"{path.name} arrived damaged, its checksum differs"
    finally:
        part.unlink(missing_ok=True)
        for folder in new_folders:
            with contextlib.suppress(OSError):  # stays if it holds the file now
                folder.rmdir()
    raise ConfigError(
        f"dataset is {dataset}, which is not in {root} and could not be downloaded ({reason}); "
        f"use a built-in data set ({', '.join(BUILT_IN_DATASETS)}) or a folder of images, or put {by_hand} in {root}."
    )


# --- folders ------------------------------------------------------------------------------------------------------


def _folder(
    dataset: str, root: Path, image_size: int | None, seed: int, labelled_only: bool, progress: Progress | None
) -> _Lists:
    folder = Path(dataset or "(empty)").expanduser()
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "is neither a data set nor a folder that exists"
        raise ConfigError(
            f"dataset is {dataset}, which {what}; allowed: {', '.join(DATASETS)} or a folder of images"
            f"{nearest_name(dataset, DATASETS) or '.'}"
        )
    try:
        files = _image_files(folder)
    except OSError as error:
        raise ConfigError(f"dataset is {dataset}, which cannot be read: {error.strerror}.") from None
    if not files:
        raise ConfigError(
            f"dataset is {dataset}, a folder without images; allowed: files ending in {', '.join(IMAGE_SUFFIXES)}, "
            "in train/<class>/, <class>/ or the folder itself."
        )

    parts = {"train": files}
    tops = {path.split("/")[0] for path in files if "/" in path}
    in_train = [path for path in files if path.startswith("train/")]
    others = tops - {"train", "test", *VAL_FOLDERS}
    # a class may be called train: then it stands beside other classes and holds no classes of its own
    if in_train and (not others or any(path.count("/") > 1 for path in in_train)):
        parts = {"train": in_train, "test": [path for path in files if path.startswith("test/")]}
        val_folder = next((name for name in VAL_FOLDERS if name in tops), "val")
        parts["val"] = [path for path in files if path.startswith(f"{val_folder}/")]
    below = {name: name != "train" or parts["train"] is not files for name in parts}  # is there a split folder?

    names = {name: _class_names(paths, 1 if below[name] else 0) for name, paths in parts.items()}
    classes = tuple(sorted(set(names["train"] or ())))
    if labelled_only and len(classes) < 2:
        what = f"has only one class ({classes[0]})" if classes else "has images without classes"
        raise ConfigError(
            f"dataset is {dataset}, which {what}; allowed: two or more class folders, as in train/<class>/ or <class>/."
        )
    has_classes = len(classes) >= 2

    side = _stored_side(folder, parts["train"], image_size)

    def whole(name: str) -> _List | None:
        paths = parts.get(name)
        if not paths:
            return None
        labels = None
        found = names[name]
        if has_classes and (name == "train" or found is not None or labelled_only):
            differing = sorted(set(found or ()) ^ set(classes))
            if differing:
                raise ConfigError(
                    f"dataset is {dataset}, whose {name} and train folders have different classes "
                    f"({', '.join(differing[:5])}{' ...' if len(differing) > 5 else ''}); "
                    "allowed: the same class folders in each."
                )
            index = {label: number for number, label in enumerate(classes)}
            labels = [index[label] for label in found or ()]
        return _List.whole(FileSource(folder, paths, side, root / "decoded"), labels)

    train, val, test = whole("train"), whole("val"), whole("test")
    assert train is not None
    if test is None and has_classes:
        assert train.labels is not None
        counts = np.bincount(train.labels)
        if counts.min() < 2:
            raise ConfigError(
                f"dataset is {dataset}, whose class {classes[counts.argmin()]} has 1 image; allowed: at least 2 images "
                "per class, so that one can be used for testing, or a test folder."
            )
        order = stratified_order(train.labels, seed, TEST_STREAM)
        ranks, sizes = _ranks(train.labels, np.random.default_rng([TEST_STREAM, seed]))
        order = order[ranks[order] < sizes[order] - 1]  # no class loses its last training image
        chosen = np.sort(order[: max(round(TEST_FRACTION * len(train)), len(classes))])
        test = train.at(chosen)
        train = train.at(np.setdiff1d(np.arange(len(train)), chosen))
    return _Lists(classes if has_classes else None, train, val, test)


def _image_files(folder: Path) -> list[str]:
    """Paths of all images below `folder`, relative, with "/", sorted; hidden files and folders left out."""
    found, seen = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # a link back to a folder above would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(parent).relative_to(folder).as_posix()
        start = "" if inside == "." else f"{inside}/"
        found += [start + name for name in names if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")]
    return sorted(found)


def _class_names(paths: Sequence[str], depth: int) -> list[str] | None:
    """The class of each path: its folder at `depth`; None where the folders cannot be classes.

    They cannot if an image stands outside of them, or if any is only a shelf of further folders (as in 00/01/x.jpg);
    one folder in between (as in cat/images/x.jpg) is fine.
    """
    names: list[str] = []
    places: dict[str, set[tuple[str, ...]]] = {}
    for path in paths:
        pieces = path.split("/")
        if len(pieces) < depth + 2:
            return None
        names.append(pieces[depth])
        places.setdefault(pieces[depth], set()).add(tuple(pieces[depth + 1 : -1]))
    shelves = [name for name, inner in places.items() if len(inner) > 1 and () not in inner]
    return None if shelves else names


def _stored_side(folder: Path, paths: Sequence[str], image_size: int | None) -> int:
    """Side in pixels at which a folder's images are kept.

    The own side is the one all sampled images share, else the median shorter side. Without `image_size` it is kept up
    to `LARGEST_OWN_SIDE`; with another `image_size`, 1.5 times that is enough for random crops.
    """
    places = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), NUM_SIDE_SAMPLES)).astype(int))
    own = max(1, int(np.median([min(image_size_of(folder, paths[place])) for place in places])))
    if image_size is None:
        return min(own, LARGEST_OWN_SIDE)
    return own if own == image_size else min(own, image_size * 3 // 2)
