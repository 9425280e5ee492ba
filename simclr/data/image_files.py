"""Where images come from: arrays, or files that are decoded; and lists of them before they are cut into splits."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from simclr.config import ConfigError
from simclr.data.folder_layout import Layout

log = logging.getLogger(__name__)

CACHE_WORTH_SECONDS = 1.0  # decoding or checking that took longer is kept for the next time
CHUNK = 256  # images between two reports of progress
CHECK_SIDE = 64  # pixels at which a file that looks broken is decoded to find out
MAX_NAMED = 10  # images that broke in training and are named one by one in the log
BEGINNINGS_AND_ENDS = (
    (b"\xff\xd8\xff", b"\xff\xd9"),
    (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"),
    (b"GIF8", b";"),
)
# What Pillow raises for damaged content, and the errors of the system that concern one file only.
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip
FILE_ERRORS = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EIO,
}  # fmt: skip

Progress = Callable[[str, float], None]
Indices = NDArray[np.int64]


class Source(Protocol):
    """A list of images that can be read in any order."""

    side: int

    @property
    def whole(self) -> Tensor | None:
        """All rows, where they lie in memory as they are to be read; else None."""

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

    @property
    def whole(self) -> Tensor | None:
        first = self.arrays[0]
        is_plain = first.flags.c_contiguous and first.flags.writeable and not isinstance(first, np.memmap)
        return torch.from_numpy(first) if is_plain and len(self.arrays) == 1 else None

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, rows: Indices) -> Tensor:
        if len(self.arrays) == 1 and len(rows) == len(self) and (np.diff(rows) == 1).all():
            return torch.from_numpy(np.array(self.arrays[0], order="C"))
        images = np.empty((len(rows), 3, self.side, self.side), dtype=np.uint8)
        for part in _chunks(len(rows)):  # a second copy is made of no more than a chunk
            for array, start, end in zip(self.arrays, self.starts[:-1], self.starts[1:], strict=True):
                here = (rows[part] >= start) & (rows[part] < end)
                images[part][here] = array[rows[part][here] - start]
        return torch.from_numpy(images)

    def load(self, rows: Indices, progress: Progress | None) -> Tensor:
        return self.read(rows)


class BrokenImageError(ConfigError):
    """An image file that cannot be read. `reason` says why in a few words."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class Paths(Sequence[str]):
    """Relative paths as one block, 9 bytes more than its letters each; reading processes share it, unlike a list."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._block = os.fsencode("\0".join([*paths, ""]))
        self._ends = np.flatnonzero(np.frombuffer(self._block, dtype=np.uint8) == 0)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: Any) -> Any:
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        return os.fsdecode(self._block[self._ends[place - 1] + 1 if place else 0 : self._ends[place]])


class FileSource:
    """Image files, decoded to `side` x `side` pixels.

    Broken ones are found in two ways, which do not depend on whether images are kept in memory. `find_broken` sees,
    before anything is cut, nearly all that can go wrong: such rows are to be left out, and are held in `left_out`. Of
    one that breaks only while it is decoded (damage inside, a file that is gone by then), the next readable image of
    its split and class takes the place, and `replaced` holds it. Both map row -> reason.

    next_row: (N,) which row takes the place of each; rings within a split and class.
    refuse: raise instead.
    """

    whole = None

    def __init__(self, folder: Path, paths: Sequence[str], side: int, cache_dir: Path, *, refuse: bool = False) -> None:
        self.folder, self.paths, self.side, self.cache_dir = folder, Paths(paths), side, cache_dir
        self.refuse = refuse
        self.left_out: dict[int, str] = {}
        self.replaced: dict[int, str] = {}
        self.next_row: Indices = np.arange(len(paths), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: Indices) -> Tensor:
        images = np.empty((len(rows), 3, self.side, self.side), dtype=np.uint8)
        if torch.utils.data.get_worker_info() is not None or len(rows) < 64:  # a worker is one of several already
            for place, row in enumerate(rows.tolist()):
                images[place] = self._decode(row)
        else:
            self._decode_into(images, rows, None)
        self._refuse_replaced()
        return torch.from_numpy(images)

    def load(self, rows: Indices, progress: Progress | None) -> Tensor:
        """Decodes `rows`; a whole folder is kept in the data root, where a second run finds it decoded."""
        cache = self._cache("npy")
        images = np.empty((len(rows), 3, self.side, self.side), dtype=np.uint8)
        try:
            kept = np.load(cache, mmap_mode="r")
            if kept.shape == (len(self), 3, self.side, self.side) and kept.dtype == np.uint8:
                for part in _chunks(len(rows)):
                    images[part] = kept[rows[part]]
                return torch.from_numpy(images)
        except (OSError, ValueError):
            pass
        start = time.perf_counter()
        self._decode_into(images, rows, progress)
        self._refuse_replaced()
        is_whole = len(rows) + len(self.left_out) == len(self)
        # which image takes the place of a broken one depends on the cuts, so that such a folder is not kept
        if is_whole and not self.replaced and time.perf_counter() - start > CACHE_WORTH_SECONDS:
            _keep(cache, lambda file: self._write(file, rows, images))
        return torch.from_numpy(images)

    def find_broken(self, progress: Progress | None) -> dict[int, str]:
        """Rows that cannot be read, and why; long searches are kept in the data root.

        A file that begins and ends as its format does is taken for whole; any other one is decoded to find out.
        """
        cache = self._cache("json")
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return {int(row): str(reason) for row, reason in json.loads(cache.read_text()).items()}
        found: dict[int, str] = {}
        for_good = True
        start = time.perf_counter()

        def look(part: slice) -> None:
            nonlocal for_good
            for row in range(part.start, part.stop):
                path = self.paths[row]
                try:
                    if not _looks_whole(f"{self.folder}/{path}"):
                        decode_image(self.folder, path, CHECK_SIDE)
                except (OSError, BrokenImageError) as error:
                    broken = error if isinstance(error, BrokenImageError) else _broken(self.folder, path, error)
                    found[row] = broken.reason
                    cause = broken.__cause__ or error
                    for_good &= not (isinstance(cause, OSError) and cause.errno)  # rights and disks get mended

        _in_threads(look, len(self), "Checking images", progress)
        found = dict(sorted(found.items()))
        if for_good and time.perf_counter() - start > CACHE_WORTH_SECONDS:
            _keep(cache, lambda file: file.write(json.dumps(found).encode()))
        return found

    def note_replaced(self, found: dict[int, str]) -> None:
        """Remembers and names rows that broke while they were decoded, here or in a reading process.

        Raises:
            ConfigError: if more than half of the images are broken by now.
        """
        for row, reason in found.items():
            if row in self.replaced:
                continue
            self.replaced[row] = reason
            if torch.utils.data.get_worker_info() is None and not self.refuse:
                if len(self.replaced) <= MAX_NAMED:
                    log.warning(
                        "%s cannot be read (%s): %s is shown in its place.",
                        self.paths[row], reason, self.paths[int(self.next_row[row])],
                    )  # fmt: skip
                elif len(self.replaced) == MAX_NAMED + 1:
                    log.warning("More images cannot be read; they are not named any more.")
        if 2 * (len(self.left_out) + len(self.replaced)) > len(self):
            raise self.refusal()

    def names(self, rows: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.paths[row] for row in sorted(rows))

    def refusal(self) -> ConfigError:
        """One sentence that counts the broken images and names the first."""
        broken = self.left_out | self.replaced
        return ConfigError(
            f"dataset is {self.folder}, {len(broken):,} of whose {len(self):,} images cannot be read: "
            f"{self.naming(broken)}; allowed: whole image files"
            f"{', or broken_images skip' if self.refuse and 2 * len(broken) <= len(self) else ''}."
        )

    def naming(self, broken: dict[int, str], most: int = 3) -> str:
        """The first broken rows by name, with the reason."""
        first = [f"{self.paths[row]} ({broken[row]})" for row in sorted(broken)[:most]]
        return ", ".join(first) + (f" and {len(broken) - most:,} more" if len(broken) > most else "")

    def _decode(self, row: int) -> NDArray[np.uint8]:
        """The image of a row; where that is broken, the next readable one of its split and class."""
        at = row
        while True:
            if at not in self.replaced:
                try:
                    return decode_image(self.folder, self.paths[at], self.side)
                except BrokenImageError as error:
                    self.note_replaced({at: error.reason})
            at = int(self.next_row[at])
            if at == row:
                raise self.refusal()

    def _decode_into(self, images: NDArray[np.uint8], rows: Indices, progress: Progress | None) -> None:
        def decode(part: slice) -> None:
            for place in range(part.start, part.stop):
                images[place] = self._decode(int(rows[place]))

        _in_threads(decode, len(rows), "Decoding images", progress)

    def _refuse_replaced(self) -> None:
        if self.refuse and self.replaced:
            raise self.refusal()

    def _cache(self, suffix: str) -> Path:
        return self.cache_dir / f"{self._fingerprint}.{suffix}"

    @cached_property
    def _fingerprint(self) -> str:
        """Changes as soon as a file of the list does."""
        digest = hashlib.sha256(f"{self.folder.resolve()}|{self.side}|2".encode())
        for path in self.paths:
            with contextlib.suppress(OSError):  # gone or hidden: that is part of the print
                found = os.stat(f"{self.folder}/{path}")
                digest.update(f"{found.st_mode}|{found.st_size}|{found.st_mtime_ns}|".encode())
            digest.update(os.fsencode(f"{path}\n"))
        return digest.hexdigest()[:24]

    def _write(self, file: IO[bytes], rows: Indices, images: NDArray[np.uint8]) -> None:
        """As `np.save` would all rows in order, without a second copy in memory; rows left out are black."""
        place = np.full(len(self), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(self), *images.shape[1:])}
        np.lib.format.write_array_header_1_0(file, header)
        for part in _chunks(len(self)):
            here = place[part]
            file.write(np.where((here < 0)[:, None, None, None], np.uint8(0), images[here]).tobytes())


def _chunks(count: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def _in_threads(work: Callable[[slice], None], count: int, what: str, progress: Progress | None) -> None:
    """Does `work` on all of 0..count-1; threads, since reading and decoding let go of the interpreter."""
    chunks = _chunks(count)
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        try:
            for number, _ in enumerate(pool.map(work, chunks), start=1):
                if progress:
                    progress(what, number / len(chunks))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _keep(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Writes a file of the cache; a full or read-only disk costs the next run a little time, no more."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _looks_whole(path: str) -> bool:
    """Whether a file begins and ends as a whole JPEG, PNG, GIF or WebP does; False for other formats."""
    handle = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(handle).st_size
        start, end = os.pread(handle, 12, 0), os.pread(handle, 8, max(0, size - 8))
    finally:
        os.close(handle)
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return size >= 8 + int.from_bytes(start[4:8], "little")
    return any(start.startswith(first) and end.endswith(last) for first, last in BEGINNINGS_AND_ENDS)


def _broken(folder: Path, path: str, error: Exception) -> BrokenImageError:
    """The error that names the file; raises errors of the machine (too many open files, no memory) as they are."""
    if isinstance(error, Image.UnidentifiedImageError):
        reason = "it is not an image"
        with contextlib.suppress(OSError):
            reason = reason if os.path.getsize(folder / path) else "it is empty"
    elif isinstance(error, Image.DecompressionBombError):
        reason = "it has too many pixels"
    elif isinstance(error, OSError) and error.errno:
        if error.errno not in FILE_ERRORS:
            raise error
        reason = error.strerror or str(error)
    else:
        reason = "it is cut short or damaged"
    return BrokenImageError(
        f"dataset is {folder}, whose file {path} cannot be read ({reason}); allowed: whole image files. "
        "Repair or remove that file.",
        reason,
    )


def image_size_of(folder: Path, path: str) -> tuple[int, int]:
    """Width and height of an image file in pixels, from its header. Raises ConfigError, naming the file."""
    try:
        with Image.open(folder / path) as image:
            return image.size
    except DAMAGE as error:
        raise _broken(folder, path, error) from error


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1..8; 1 (upright) where there is none or the EXIF block, not the image, is damaged."""
    with contextlib.suppress(*DAMAGE):
        if image.format in ("JPEG", "TIFF", "WEBP", "PNG"):
            return int(image.getexif().get(0x0112, 1))
    return 1


def decode_image(folder: Path, path: str, side: int) -> NDArray[np.uint8]:
    """An image file as (3, side, side): shorter side resized with antialiasing, middle square kept, grey made RGB.

    Raises ConfigError, naming the file, where it cannot be read.
    """
    try:
        with Image.open(folder / path) as opened:
            image: Image.Image = opened
            if min(image.size) > 2 * side and image.format == "JPEG":
                image.draft("RGB", (side, side))  # the decoder itself can halve a large image, which is quicker
            if _orientation(image) != 1:
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
    except DAMAGE as error:
        raise _broken(folder, path, error) from error


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
    layout: Layout | None = None  # of a folder
