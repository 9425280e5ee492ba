"""Sample images to look at: of a data set, of a training's batch, or a user's own (torch only where one is read)."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simclr import config as cfg
from simclr.config import ConfigError, PretrainConfig
from simclr.config.names import DOWNLOADED_FILES
from simclr.files.user_paths import existing_folder, user_path, with_dead_link

NUM_SHOWN = 32  # thumbnails to choose from
NUM_KEPT = 320  # images of a data set that are kept; a draw of them is shown
NUM_LARGE = 80  # of large images, and of files
MAX_FILES = 20_000  # files of a folder that are looked at
LOOK_SECONDS = 3.0  # for them; a folder may hold a whole disk
NUM_OF_BATCH = 64  # images of a training's batch that are kept
TILE = 48  # side of a thumbnail, in pixels
UPLOADED = "Your images"  # stands for a data set
UPLOAD_TYPES = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "WEBP": (".webp",)}
MAX_UPLOADS = 64
MAX_UPLOAD_MIB = 10
MAX_UPLOAD_PIXELS = 50_000_000


@dataclass(frozen=True)
class SampleImages:
    """Some training images of a data set.

    images: (N, 3, S, S) uint8. ids: (N,) their numbers in the data set, which seed their views. names: (N,) classes, or
    empty words. titles: (N,) what to call them; empty: class and number.
    """

    images: NDArray[np.uint8]
    ids: NDArray[np.int64]
    names: list[str]
    titles: tuple[str, ...] = ()

    @property
    def side(self) -> int:
        return int(self.images.shape[-1])

    def title(self, place: int) -> str:
        return self.titles[place] if self.titles else f"{self.names[place]} {self.ids[place]}".strip()

    def places(self, numbers: list[int]) -> list[int]:
        """Where the images with these numbers are; unknown numbers are left out."""
        found = {int(number): place for place, number in enumerate(self.ids)}
        return [found[number] for number in numbers if number in found]

    def draw(self, seed: int, count: int) -> list[int]:
        """Numbers of `count` images drawn at random, sorted."""
        order = np.random.default_rng([seed, len(self.ids)]).permutation(len(self.ids))[:count]
        return sorted(int(number) for number in self.ids[order])


def present(data_dir: str | None = None) -> list[str]:
    """Names of data sets that can be shown without a download."""
    root = cfg.data_root(data_dir)
    there = [name for name, traces in DOWNLOADED_FILES.items() if any((root / trace).exists() for trace in traces)]
    return [*cfg.BUILT_IN_DATASETS, *there]


def load(dataset: str, data_dir: str | None = None, size: int | None = None) -> SampleImages:
    """Some training images of a data set that is here already, evenly spread over it.

    Args:
        size: side of the views, in pixels, at which `shapes` are drawn; unset: their own. Others keep their side.

    Raises:
        ConfigError: with one sentence, if it is not here or cannot be read.
    """
    if dataset == "shapes":
        from simclr.data import shapes

        side = size or shapes.DEFAULT_SIDE
        drawn = shapes.generate("train", NUM_KEPT if side <= 128 else NUM_LARGE, side)
        return SampleImages(
            drawn.images, np.arange(len(drawn.labels)), [shapes.CLASSES[label] for label in drawn.labels]
        )
    if dataset in cfg.DATASETS:
        _check_present(dataset, data_dir)
        return _from_split(dataset, data_dir)
    return _from_folder(dataset)


def _check_present(dataset: str, data_dir: str | None) -> None:
    if dataset not in present(data_dir):
        raise ConfigError(
            f"dataset is {dataset}, which was not downloaded yet; a pre-training on it does that. "
            f"Allowed here: {', '.join(present(data_dir))}, or a folder of images."
        )


def _from_split(dataset: str, data_dir: str | None) -> SampleImages:
    import torch

    from simclr.data import loading

    found = loading.load_data(dataset, data_dir=data_dir, val_fraction=0)
    split = found.train
    places = np.unique(np.linspace(0, split.num_images - 1, min(NUM_KEPT, split.num_images)).astype(np.int64))
    images = split.images_at(torch.from_numpy(places)).numpy()
    names = [""] * len(places)
    if split.labels is not None and found.classes:
        names = [found.classes[label] for label in split.labels[places].tolist()]
    return SampleImages(images, split.ids[places].numpy(), names)


def _from_folder(dataset: str) -> SampleImages:
    """Some files of a folder; unlike a training it reads no more than those."""
    from simclr.data.folders import folder_layout
    from simclr.data.folders.decoding import BrokenImageError, decode_image, image_size_of
    from simclr.data.folders.folder_files import IMAGE_SUFFIXES, is_litter
    from simclr.data.folders.pixel_values import PixelValues
    from simclr.data.folders.reading import LARGEST_OWN_SIDE
    from simclr.data.folders.value_range import find_range

    folder = existing_folder(dataset)
    if folder is None:
        hint = cfg.nearest_name(dataset, cfg.DATASETS)
        link = with_dead_link(user_path(dataset))
        raise ConfigError(
            f"dataset is {dataset}{link}; allowed: {', '.join(cfg.DATASETS)}, or a folder of images{hint or '.'}"
        )
    paths = []
    start = folder / "train" if (folder / "train").is_dir() else folder
    until = time.monotonic() + LOOK_SECONDS
    for parent, folders, files in os.walk(start):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not is_litter(name))
        here = Path(parent).relative_to(folder)
        paths += [str(here / name) for name in sorted(files) if name.lower().endswith(IMAGE_SUFFIXES)]
        if len(paths) >= MAX_FILES or time.monotonic() > until:
            break
    if not paths:
        with contextlib.suppress(TimeoutError):
            folder_layout.read(dataset, seconds=LOOK_SECONDS)  # says what the folder holds
        raise ConfigError(f"dataset is {dataset}, a folder without images; allowed: one with image files in it.")
    places = np.unique(np.linspace(0, len(paths) - 1, min(NUM_LARGE, len(paths))).astype(np.int64))
    sizes = []
    for place in places[:20]:
        with contextlib.suppress(BrokenImageError):
            sizes.append(min(image_size_of(folder, paths[place])))
    side = min(int(np.median(sizes or [LARGEST_OWN_SIDE])), LARGEST_OWN_SIDE)
    values = PixelValues(*(find_range(folder, paths) or ()))
    found, broken = {}, None
    for place in places.tolist():
        try:
            found[place] = decode_image(folder, paths[place], side, values)
        except BrokenImageError as error:  # a training leaves it out
            broken = broken or error
    if broken is not None and not found:
        raise broken
    parents = [Path(paths[place]).parent.name for place in found]
    has_classes = len(set(parents)) > 1
    return SampleImages(
        np.stack(list(found.values())),
        np.array(list(found), dtype=np.int64),
        parents if has_classes else [""] * len(found),
    )


class Upload(NamedTuple):
    """A file of a user's that is a whole image.

    path: its name in the folder that it was written to. is_animated: of its pictures only the first is read.
    """

    title: str
    path: str
    width: int
    height: int
    is_animated: bool


def checked_uploads(
    files: Sequence[tuple[str, bytes]], folder: Path, types: Mapping[str, Sequence[str]] = UPLOAD_TYPES
) -> tuple[list[Upload], list[str]]:
    """Writes files that a user has given into a folder; those that are whole images, and a sentence for each other.

    Args:
        files: name and content.
        types: what images may be, and how the names of such files end.
    """
    from simclr.data.folders.decoding import BrokenImageError, decode_image, motion_and_size

    found, problems = [], []
    suffixes = tuple(suffix for ends in types.values() for suffix in ends)
    *first, last = types
    for number, (title, content) in enumerate(files):
        path = f"{number}{PurePath(title).suffix.lower()}"
        if not path.endswith(suffixes):
            problems.append(f"{title} is no {', '.join(first)} or {last} image.".replace("WEBP", "WebP"))
            continue
        if len(content) > MAX_UPLOAD_MIB * 2**20:
            problems.append(f"{title} has {len(content) / 2**20:.0f} MiB; allowed: up to {MAX_UPLOAD_MIB} MiB.")
            continue
        (folder / path).write_bytes(content)
        try:
            is_animated, width, height = motion_and_size(folder, path)
            if width * height > MAX_UPLOAD_PIXELS:
                problems.append(f"{title} has {width} x {height} pixels; allowed: up to 50 million.")
                continue
            decode_image(folder, path, TILE)  # a damaged end shows only now
        except BrokenImageError as error:
            problems.append(f"{title} cannot be read: {error.reason}.")
            continue
        found.append(Upload(title, path, width, height, is_animated))
    return found, problems


def uploaded(files: Sequence[tuple[str, bytes]]) -> tuple[SampleImages | None, list[str]]:
    """Images of a user's own, read as those of a folder are, and a sentence for each file that cannot be used.

    Args:
        files: name and content.
    """
    from simclr.data.folders.decoding import decode_image
    from simclr.data.folders.reading import LARGEST_OWN_SIDE

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found, problems = checked_uploads(files[:MAX_UPLOADS], folder)
        if len(files) > MAX_UPLOADS:
            problems.insert(0, f"{len(files)} images were given; the first {MAX_UPLOADS} are shown.")
        if not found:
            return None, problems
        side = min(int(np.median([min(item.width, item.height) for item in found])), LARGEST_OWN_SIDE)
        images = np.stack([decode_image(folder, item.path, side) for item in found])
    return SampleImages(images, np.arange(len(found)), [""] * len(found), tuple(item.title for item in found)), problems


# --- a training's own images ---------------------------------------------------------------------------------------


class TrainingImages:
    """The images of a pre-training, in the batches that it drew them in.

    Args:
        config: the run's complete options.

    Raises:
        ConfigError: with one sentence, if its data are not here or cannot be read.
    """

    def __init__(self, config: PretrainConfig) -> None:
        from simclr.data import loading

        self.config = config
        if config.dataset in cfg.DATASETS:
            _check_present(config.dataset, config.data_dir)
        try:
            found = loading.load_run_data(config, max_bytes=0)
        except OSError as error:
            raise ConfigError(
                f"dataset is {config.dataset}, which cannot be read: {error.strerror or error}."
            ) from None
        self.split, self.classes = found.train, found.classes
        self.size = config.image_size or found.image_size
        self.ids: NDArray[np.int64] = self.split.ids.numpy()

    def _batches(self, epoch: int) -> Any:
        from simclr.data.batches import EpochBatches

        num_ranks = self.config.devices * self.config.num_nodes
        # all ranks together take the batches that one process would, cut to a multiple of their number
        batches = EpochBatches(
            self.split.num_images, self.config.batch_size // num_ranks * num_ranks, seed=self.config.seed
        )
        batches.set_epoch(epoch)
        return batches

    @property
    def num_batches(self) -> int:
        """Batches of an epoch."""
        return len(self._batches(0))

    def batch(self, epoch: int, number: int) -> NDArray[np.int64]:
        """Ids of the images of one batch, in its order; `epoch` and `number` are counted from 0."""
        batches = self._batches(epoch)
        batches.skip = number
        return self.ids[next(iter(batches)).numpy()]

    def samples(self, epoch: int, number: int, more: Sequence[int] = ()) -> SampleImages:
        """The first images of a batch, and `more` by their ids; those that are not trained with are left out."""
        import torch

        ids = self.batch(epoch, number)[:NUM_OF_BATCH]
        ids = np.concatenate([ids, np.setdiff1d(np.intersect1d(np.array(more, dtype=np.int64), self.ids), ids)])
        order = np.argsort(self.ids)
        positions = order[np.searchsorted(self.ids, ids, sorter=order)]
        names = [""] * len(ids)
        if self.split.labels is not None and self.classes:
            names = [self.classes[label] for label in self.split.labels[positions].tolist()]
        return SampleImages(self.split.images_at(torch.from_numpy(positions)).numpy(), ids, names)
