"""Where images come from: arrays, or files that are decoded; and lists of them before they are cut into splits."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from simclr.config import ConfigError

MAX_HEADER_CHECKS = 100_000  # images of a streamed folder that are opened before training starts
CACHE_WORTH_SECONDS = 1.0  # decoding that took longer is kept for the next time

Progress = Callable[[str, float], None]
Indices = NDArray[np.int64]


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


@dataclass
class ImageList:
    """One list of a data set before it is cut. `labels` holds -1 where an image has no class (STL-10)."""

    source: Source
    labels: Indices | None
    rows: Indices
    ids: Indices
    factors: dict[str, NDArray] = field(default_factory=dict)

    @classmethod
    def whole(cls, source: Source, labels: Any = None, factors: dict[str, NDArray] | None = None) -> ImageList:
        everything = np.arange(len(source), dtype=np.int64)
        labels = None if labels is None else np.asarray(labels, dtype=np.int64)
        return cls(source, labels, everything, everything, factors or {})

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, places: Indices) -> ImageList:
        return ImageList(
            self.source,
            None if self.labels is None else self.labels[places],
            self.rows[places],
            self.ids[places],
            {name: values[places] for name, values in self.factors.items()},
        )


@dataclass
class Lists:
    classes: tuple[str, ...] | None
    train: ImageList
    val: ImageList | None = None
    test: ImageList | None = None
    image_size: int | None = None  # side at which the images are meant to be seen, where they are kept larger
