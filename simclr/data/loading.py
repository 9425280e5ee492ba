"""Data sets and their splits: built-in, downloaded or a folder of images.

Every data set becomes an `ImageData` of training, validation and test `Split`s whose images share one size. Up to
a stated number of bytes they are uint8 tensors; larger ones are read where they lie, batch by batch. Either way the
same images stand at the same positions, to the byte.

Order of the cuts: broken files are left out, `limit_images` shortens the training list, then `val_fraction` of what
is left becomes the validation split, then `label_subset` picks the labelled images among the rest. Each is stratified
by class.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from simclr.config import DATASETS, CommonOptions, ConfigError, FinetuneConfig, RunConfig
from simclr.data import downloads, shapes
from simclr.data import folders as data_folders
from simclr.data.folder_layout import num_val_images
from simclr.data.image_files import ArraySource, FileSource, ImageList, Indices, Lists, Progress, Source
from simclr.data.sampling import (
    LABEL_STREAM,
    LIMIT_STREAM,
    ORDER_STREAM,
    TEST_STREAM,
    VAL_STREAM,
    ranks_in_class,
    stratified_order,
)
from simclr.data.transfer import to_device

log = logging.getLogger(__name__)

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
TEST_FRACTION = 0.2  # of digits, which have no test list of their own
DIGITS_SIDE = 32  # pixels
DIGITS_SEED = 0  # of the fixed split of digits
BATCH_SIZE = 256  # images that are copied at a time


@dataclass(frozen=True)
class Split:
    """Images of one split, all of one size.

    ids: (N,) int64, position in the data set's own training or test list; the same whatever `limit_images`,
        `val_fraction` or the share of labels. Seeds the augmentation.
    labels: (N,) int64, or None for images without classes.
    factors: recorded factors of variation, each (N,); empty except for shapes.
    images: uint8 when in memory, else None: (N, 3, S, S), or (M, 3, S, S) of which `rows` are this split's.
    source: where a streamed split is read.
    rows: (N,) places in `images` or `source`; None: all of `images`, in order. A part of a split shares its tensor.
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

    def kept(self, max_bytes: int) -> Split:
        """The same split with its images in memory, if they take no more than so many bytes."""
        if self.images is not None or self.num_images * 3 * self.image_size**2 > max_bytes:
            return self
        return replace(self, images=self.images_at(range(self.num_images)), source=None, rows=None)

    def take(self, positions: Tensor | Sequence[int]) -> Split:
        """The part of this split at `positions`, in that order; no image is copied."""
        positions = torch.as_tensor(positions, dtype=torch.int64)
        here, places = positions.to(self.ids.device), positions.cpu().numpy()
        return replace(
            self,
            ids=self.ids[here],
            labels=None if self.labels is None else self.labels[here],
            factors={name: values[places] for name, values in self.factors.items()},
            rows=places if self.rows is None else self.rows[places],
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

    @property
    def skipped(self) -> tuple[str, ...]:
        """Paths of broken images that were left out before the cuts."""
        return tuple(name for folder in self.folders for name in folder.names(folder.left_out))

    @property
    def replaced(self) -> tuple[str, ...]:
        """Paths of images that broke while they were decoded, so far; others of their split and class stand there."""
        return tuple(name for folder in self.folders for name in folder.names(folder.replaced))


def memory_limit(share: float, num_processes: int = 1, device_bytes: int | None = None) -> int:
    """Bytes of decoded images that each process may keep in memory.

    Args:
        share: 0..1 of the memory; 0 means that all images are streamed.
        num_processes: on this machine, each with images of its own; they share its memory, not their GPUs'.
        device_bytes: memory of each process's GPU, where the images would lie.
    """
    available = min([psutil.virtual_memory().total, *_cgroup_limits()]) // max(1, num_processes)
    return int(share * min(available, device_bytes or available))


def _cgroup_limits() -> list[int]:
    """Memory limits, in bytes, of the control groups (versions 1 and 2) that this process is in; containers and
    batch systems set them."""
    limits = []
    with contextlib.suppress(OSError):
        for line in OWN_CGROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            top = CGROUPS / controllers
            inner = top / path.strip("/")
            for group in (inner, *inner.parents):  # any group above may have the lower limit
                if not group.is_relative_to(top):
                    break
                with contextlib.suppress(OSError, ValueError):  # "max" where there is none
                    limits.append(int((group / ("memory.limit_in_bytes" if controllers else "memory.max")).read_text()))
    return limits


def load_run_data(
    config: RunConfig, *, progress: Progress | None = None, max_bytes: int | None = None
) -> ImageData:  # fmt: skip
    """The images of a run, cut as its training cuts them. Whoever looks at a run's images again loads them by this.

    Args:
        config: complete options, or checked ones of a run that is to come.
        progress: as of `load_data`.
        max_bytes: `memory_limit` of `load_data`. Unset: the run's own share of this machine's memory.

    Raises:
        ConfigError: see `load_data`.
    """
    assert config.dataset is not None
    return load_data(
        config.dataset, data_dir=config.data_dir, image_size=config.image_size, seed=config.seed,
        limit_images=config.limit_images, val_fraction=config.val_fraction,
        labelled_only=isinstance(config, FinetuneConfig), progress=progress,
        memory_limit=memory_limit(config.memory_share) if max_bytes is None else max_bytes,
        broken_images=config.broken_images,
    )  # fmt: skip


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
    memory_limit: int | None = None,
    broken_images: str = "skip",
) -> ImageData:
    """Loads a data set and cuts it.

    Args:
        dataset: a name in `simclr.config.DATASETS`, or a folder: `train/<class>/*` with optional `val/` and `test/`
            (a `val/` replaces the cut, `val_fraction` is then ignored; without `test/`, 20 % of train become it),
            or `<class>/*` alone (20 % become test), or images without classes. Everything below `<class>/` counts.
            The splits may have other usual names (`folder_layout.SPLIT_FOLDERS`).
        image_size: side in pixels. Shapes are drawn at it; folder images are stored at 1.5 times it where they are
            large enough, so that random crops keep detail; other sets keep their own side.
        seed: of the cuts.
        limit_images: at most this many training images, before the validation images are cut off.
        val_fraction: of the training images; 0 means no validation split.
        labelled_only: leave out images without a class; raises where there are no classes.
        progress: called with a text and the share done (0..1).
        memory_limit: bytes of decoded images, all splits together, up to which they are kept in memory; above it they
            stream. Unset: the share of the memory that is the default of the option `memory_share`.
        broken_images: of a folder. `skip` leaves out what cannot be read; `refuse` raises.

    Raises:
        ConfigError: one sentence, where the data is missing, damaged, or too small for what is asked; where more than
            half of a folder's images are broken, or all of a class.
    """
    root = data_root(data_dir)
    if dataset == "shapes":
        lists = _shapes(image_size, limit_images)
    elif dataset == "digits":
        lists = _digits()
    elif dataset in DATASETS:
        lists = downloads.load(dataset, root, labelled_only, progress)
    else:
        lists = data_folders.load(dataset, root, image_size, seed, labelled_only, broken_images, progress)

    train, val, test = lists.train, lists.val, lists.test
    train = _limited(dataset, train, limit_images, seed)
    if val is None and val_fraction > 0:
        chosen = _val_places(train.labels, len(train), val_fraction, seed)
        if len(chosen):
            val = train.at(chosen)
            train = train.at(np.setdiff1d(np.arange(len(train)), chosen))

    parts = [part for part in (train, val, test) if part is not None]
    sources = list({id(part.source): part.source for part in parts}.values())
    for part in parts:
        if isinstance(part.source, FileSource):
            part.source.next_row[part.rows] = _next_rows(part)
    images: dict[int, dict[str, Any]] = {}  # part -> its images in memory: in one tensor for each source
    if sum(len(part) * 3 * part.source.side**2 for part in parts) <= _limit(memory_limit):
        for source in sources:
            here = [part for part in parts if part.source is source]
            if (whole := source.whole) is not None and sum(map(len, here)) == len(source):
                images |= {id(part): {"images": whole, "rows": part.rows} for part in here}
                continue
            loaded = source.load(np.concatenate([part.rows for part in here]), progress)
            views = loaded.split([len(part) for part in here])
            images |= {id(part): {"images": view} for part, view in zip(here, views, strict=True)}

    def split(name: str, part: ImageList) -> Split:
        labels = part.labels
        if labels is not None and (labels < 0).any():
            labels = None
        made = Split(
            name,
            torch.from_numpy(part.ids.copy()),
            None if labels is None else torch.from_numpy(labels.copy()),
            factors=part.factors,
        )
        if id(part) in images:
            return replace(made, **images[id(part)])
        return replace(made, source=part.source, rows=part.rows)

    made_train = split("train", train)
    probe = made_train if made_train.labels is not None else None
    if probe is None and train.labels is not None and (train.labels >= 0).any():
        labelled = np.flatnonzero(train.labels >= 0)
        probe = replace(made_train.take(torch.from_numpy(labelled)), labels=torch.from_numpy(train.labels[labelled]))
    file_sources = tuple(source for source in sources if isinstance(source, FileSource))
    reading = ""
    if lists.layout is not None:
        sizes = {name: len(part) for name, part in (("train", train), ("val", val), ("test", test)) if part is not None}
        reading = lists.layout.sentence(sizes, _broken_text(file_sources))
    return ImageData(
        name=dataset,
        image_size=lists.image_size or train.source.side,
        classes=lists.classes,
        train=made_train,
        val=split("val", val) if val is not None else None,
        test=split("test", test) if test is not None else None,
        probe=probe,
        folders=file_sources,
        reading=reading,
    )


def _broken_text(sources: Sequence[FileSource]) -> str:
    """The images that cannot be read, counted and the first named; empty where there are none."""
    broken = [(source, source.left_out) for source in sources if source.left_out]
    count = sum(len(rows) for _, rows in broken)
    if not count:
        return ""
    source, rows = broken[0]
    return f"{count:,} broken image{'' if count == 1 else 's'}: {source.naming(rows)}"


def _limit(asked: int | None) -> int:
    return memory_limit(CommonOptions.model_fields["memory_share"].default) if asked is None else asked


def _next_rows(part: ImageList) -> Indices:
    """For each image of a part the row of the next of its class, in rings: which takes the place of a broken one."""
    labels = part.labels if part.labels is not None else np.zeros(len(part), dtype=np.int64)
    order = np.lexsort((part.rows, labels))
    first = np.searchsorted(labels[order], labels[order])  # of each image's class
    is_last = np.diff(labels[order], append=labels.max() + 1) != 0
    found = np.empty(len(part), dtype=np.int64)
    found[order] = part.rows[order[np.where(is_last, first, np.arange(1, len(part) + 1))]]
    return found


def data_root(data_dir: str | None) -> Path:
    """Where downloaded data sets are kept: `data_dir`, else `$SIMCLR_DATA_DIR`, else `~/.cache/simclr`."""
    return Path(data_dir or os.environ.get("SIMCLR_DATA_DIR") or "~/.cache/simclr").expanduser()


# --- cuts ---------------------------------------------------------------------------------------------------------


def label_subset(labels: Tensor, fraction: float, seed: int) -> Tensor:
    """Positions (n,) int64, sorted, of the labelled share of a training split with `labels` (N,).

    Stratified, at least one image per class, nested over `fraction` (above 0, up to 1), the same for the same seed.
    """
    values = labels.detach().cpu().numpy().astype(np.int64)
    count = min(len(values), max(round(fraction * len(values)), len(np.unique(values))))
    order = stratified_order(values, seed, LABEL_STREAM)
    return torch.from_numpy(np.sort(order[:count]).astype(np.int64))


def _limited(dataset: str, train: ImageList, limit: int | None, seed: int) -> ImageList:
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
    ranks, counts = ranks_in_class(kept, np.random.default_rng([VAL_STREAM, seed]))
    # the same places as `stratified_order` gives, without each class's last
    order = stratified_order(kept, seed, VAL_STREAM)
    order = order[ranks[order] < counts[order] - 1]
    return np.sort(labelled[order[: num_val_images(len(kept), fraction)]])


class EpochBatches(torch.utils.data.Sampler[Any]):
    """Batches of positions for one epoch: `batch_sampler` of a DataLoader, or a plain iterable.

    The order is a permutation seeded by (`seed`, epoch). `drop_last` leaves an incomplete last batch out unless it
    is the only one. Without it, a last batch of one image (for each rank) joins the one before, unless `batch_size` is
    1: BatchNorm has no variance in one value per channel, which is what small images leave. With several ranks each
    gets its share of every batch of `batch_size * num_ranks` positions, always equally many; an incomplete last one is
    filled up from the start of the order.

    skip: batches left out at the start of the next iteration only, to go on in the middle of an epoch; the length
    stays that of a whole epoch.
    as_arrays: give NumPy arrays, for other processes: PyTorch sends each tensor as a file in shared memory.
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
        self.as_arrays = False

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        count, rest = divmod(self.num_images, self.batch_size * self.num_ranks)
        is_batch = rest > 0 if self.batch_size == 1 else rest > self.num_ranks
        return max(1, count + (is_batch and not self.drop_last))

    def order(self) -> Tensor:
        """All positions (N,) in this epoch's order."""
        if not self.shuffle:
            return torch.arange(self.num_images)
        generator = np.random.default_rng([ORDER_STREAM, self.seed, self.epoch])
        return torch.from_numpy(generator.permutation(self.num_images))

    def __iter__(self) -> Iterator[Any]:
        order, whole = self.order(), self.batch_size * self.num_ranks
        first, self.skip = self.skip, 0
        for number in range(first, len(self)):
            takes_rest = not self.drop_last and number == len(self) - 1
            batch = order[number * whole : None if takes_rest else (number + 1) * whole]
            if missing := -len(batch) % self.num_ranks:
                batch = torch.cat([batch, order.repeat(-(-missing // len(order)))[:missing]])
            batch = batch[self.rank :: self.num_ranks]
            yield batch.numpy() if self.as_arrays else batch


class SplitDataset(torch.utils.data.Dataset):
    """A split for a DataLoader with `batch_sampler=EpochBatches(...)` and `collate_fn=as_is`.

    One item is a whole batch: images (n, 3, S, S) uint8, their positions (n,) int64, and the rows that turned out to
    be broken since the last batch of this process, with the reason. What a user or the system did wrong comes as an
    exception in place of the batch: PyTorch would pass on its text wrapped in a trace.

    A reading process hands images over in shared memory (/dev/shm), and as an array through its pipe where that is
    full, which costs two copies more. Everything else is an array: PyTorch gives each tensor a file there.
    """

    def __init__(self, split: Split) -> None:
        self.split = split
        self._num_told = 0

    def __len__(self) -> int:
        return self.split.num_images

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.split.images_at([position])[0], position

    def __getitems__(self, positions: Tensor | Sequence[int]) -> tuple[Any, Any, dict[int, str]] | Exception:
        positions = torch.as_tensor(positions, dtype=torch.int64)
        try:
            images = self.split.images_at(positions)
        except (ConfigError, OSError, MemoryError) as error:
            return error
        broken = list(self.split.source.replaced.items()) if isinstance(self.split.source, FileSource) else []
        news, self._num_told = dict(broken[self._num_told :]), len(broken)
        if torch.utils.data.get_worker_info() is None:
            return images, positions, news
        try:
            return images.share_memory_(), positions.numpy(), news
        except RuntimeError:  # PyTorch would try it where nobody hears of it: the batch would never come
            return images.numpy(), positions.numpy(), news


def as_is(batch: Any) -> Any:
    """Collate function for batches that are complete already."""
    return batch


# --- built-in sets ------------------------------------------------------------------------------------------------


def _shapes(image_size: int | None, limit: int | None) -> Lists:
    side = image_size or shapes.DEFAULT_SIDE
    train = shapes.generate("train", max(shapes.NUM_TRAIN, limit or 0), side)
    test = shapes.generate("test", shapes.NUM_TEST, side)
    return Lists(
        shapes.CLASSES,
        ImageList.whole(ArraySource(train.images), train.labels, train.factors),
        test=ImageList.whole(ArraySource(test.images), test.labels, test.factors),
    )


def _digits() -> Lists:
    from sklearn.datasets import load_digits

    found = load_digits()
    small = torch.from_numpy(found.images).float()[:, None] * (255 / 16)  # (1797, 1, 8, 8)
    large = torch.nn.functional.interpolate(small, size=DIGITS_SIDE, mode="bicubic", align_corners=False)
    images = large.round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous().numpy()
    labels = found.target.astype(np.int64)
    order = stratified_order(labels, DIGITS_SEED, TEST_STREAM)
    num_test = round(TEST_FRACTION * len(labels))
    test, train = np.sort(order[:num_test]), np.sort(order[num_test:])
    return Lists(
        tuple(str(digit) for digit in range(10)),
        ImageList.whole(ArraySource(images[train]), labels[train]),
        test=ImageList.whole(ArraySource(images[test]), labels[test]),
    )


def images_digest(split: Split, before: bytes = b"") -> str:
    """Changes with any pixel of a split, and with the bytes `before` them."""
    found = hashlib.sha256(before)
    for batch in split.batches():
        found.update(batch.numpy().tobytes())
    return found.hexdigest()[:24]
