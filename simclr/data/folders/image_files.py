"""Image files as a source: decoded when they are asked for, broken ones found and replaced."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simclr.config import ConfigError
from simclr.data.folders import decoding
from simclr.data.folders.decoding import BrokenImageError
from simclr.data.folders.pixel_values import AS_THEY_ARE, PixelValues
from simclr.data.sources import Indices, Progress, chunk_slices
from simclr.files.names import readable

log = logging.getLogger(__name__)

CACHE_WORTH_SECONDS = 1.0  # decoding or checking that took longer is kept for the next time
CHECK_SIDE = 64  # pixels at which a file that looks broken is decoded to find out
MIN_RANGE = 16  # of 256 values, between the darkest and the lightest of an image in which there is something
MAX_NAMED = 10  # images that broke in training and are named one by one in the log
NUM_WAITING = 16  # threads that ask for files, whatever the cores: they wait for disks and networks


def is_flat(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(N,) which of (N, 3, side, side) are nearly of one colour."""
    return np.ptp(images, axis=(2, 3)).max(axis=1) < MIN_RANGE


class Paths(Sequence[str]):
    """Relative paths as one block, 9 bytes more than its letters each; reading processes share it, unlike a list."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._block = os.fsencode("\0".join([*paths, ""]))
        self._ends = np.flatnonzero(np.frombuffer(self._block, dtype=np.uint8) == 0)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: Any) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        return os.fsdecode(self._block[self._ends[index - 1] + 1 if index else 0 : self._ends[index]])

    def __iter__(self) -> Iterator[str]:
        for chunk in chunk_slices(len(self)):
            yield from map(os.fsdecode, self.names(chunk))

    def names(self, chunk: slice) -> list[bytes]:
        """Some paths, at least one, as the system has them: much quicker than one by one."""
        return self._block[self._ends[chunk.start - 1] + 1 if chunk.start else 0 : self._ends[chunk.stop - 1]].split(
            b"\0"
        )


class FileSource:
    """Image files, decoded to `side` x `side` pixels.

    Broken files are found at two moments, the same whether images are kept in memory or not. `find_broken` runs before
    anything is cut and sees nearly all that can go wrong: these rows are left out, and `left_out` holds them. A file
    that fails only while it is decoded (damage inside, or gone by then) is replaced by the next readable image of its
    split and class, and `replaced` holds it. Both map row -> reason.

    next_row: (N,) the row that replaces each; rings within a split and class.
    refuse: raise instead of leaving out or replacing.
    values: what pixel values and channels mean.
    num_flat: images of nearly one colour among those that were loaded, and `first_flat` the first of them.
    """

    whole = None

    def __init__(
        self,
        folder: Path,
        paths: Sequence[str],
        side: int,
        cache_dir: Path,
        *,
        refuse: bool = False,
        values: PixelValues = AS_THEY_ARE,
    ) -> None:
        self.folder, self.paths, self.side, self.cache_dir = folder, Paths(paths), side, cache_dir
        self.refuse, self.values = refuse, values
        self.num_flat, self.first_flat = 0, ""
        self.left_out: dict[int, str] = {}
        self.replaced: dict[int, str] = {}
        self.next_row: Indices = np.arange(len(paths), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: Indices) -> Tensor:
        images = np.empty((len(rows), 3, self.side, self.side), dtype=np.uint8)
        if torch.utils.data.get_worker_info() is not None or len(rows) < 64:  # a worker is one of several already
            for index, row in enumerate(rows.tolist()):
                images[index] = self._decode(row)
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
                for chunk in chunk_slices(len(rows)):
                    images[chunk] = kept[rows[chunk]]
                self._count_flat(images, rows)
                return torch.from_numpy(images)
        except (OSError, ValueError):
            pass
        start = time.perf_counter()
        self._decode_into(images, rows, progress)
        self._refuse_replaced()
        self._count_flat(images, rows)
        is_whole = len(rows) + len(self.left_out) == len(self)
        # which image replaces a broken one depends on the cuts, so such a folder is not kept
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
        is_permanent = True
        start = time.perf_counter()

        def check(chunk: slice) -> None:
            nonlocal is_permanent
            for row in range(chunk.start, chunk.stop):
                path = self.paths[row]
                try:
                    if not decoding.looks_whole(f"{self.folder}/{path}"):
                        decoding.decode_image(self.folder, path, CHECK_SIDE, self.values)
                except (OSError, BrokenImageError) as error:
                    broken = (
                        error
                        if isinstance(error, BrokenImageError)
                        else decoding.broken_image(self.folder, path, error)
                    )
                    found[row] = broken.reason
                    cause = broken.__cause__ or error
                    is_permanent &= not (
                        isinstance(cause, OSError) and cause.errno
                    )  # permissions and disks can be repaired

        _in_threads(check, len(self), "Checking images", progress, num_threads=NUM_WAITING)
        found = dict(sorted(found.items()))
        if is_permanent and time.perf_counter() - start > CACHE_WORTH_SECONDS:
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
                        readable(self.paths[row]),
                        reason,
                        readable(self.paths[int(self.next_row[row])]),
                    )
                elif len(self.replaced) == MAX_NAMED + 1:
                    log.warning("More images cannot be read; they are not named any more.")
        if 2 * (len(self.left_out) + len(self.replaced)) > len(self):
            raise self.refusal()

    def names(self, rows: Iterable[int]) -> tuple[str, ...]:
        """Relative paths of some rows, in the order of the rows."""
        return tuple(self.paths[row] for row in sorted(rows))

    def refusal(self) -> ConfigError:
        """One sentence that counts the broken images and names the first."""
        broken = self.left_out | self.replaced
        return ConfigError(
            f"dataset is {self.folder}, {len(broken):,} of whose {len(self):,} images cannot be read: "
            f"{self.naming(broken)}; allowed: {decoding.allowed_files(broken.values())}"
            f"{', or broken_images skip' if self.refuse and 2 * len(broken) <= len(self) else ''}."
        )

    def naming(self, broken: dict[int, str], most: int = 3) -> str:
        """The first broken rows by name, with the reason, which is said once where it is that of many."""
        if len(broken) > most and len(set(broken.values())) == 1:
            first = ", ".join(self.paths[row] for row in sorted(broken)[:most])
            return readable(f"{first} and {len(broken) - most:,} more ({next(iter(broken.values()))})")
        named = [f"{self.paths[row]} ({broken[row]})" for row in sorted(broken)[:most]]
        return readable(", ".join(named)) + (f" and {len(broken) - most:,} more" if len(broken) > most else "")

    def _decode(self, row: int) -> NDArray[np.uint8]:
        """The image of a row; where that is broken, the next readable one of its split and class."""
        at = row
        while True:
            if at not in self.replaced:
                try:
                    return decoding.decode_image(self.folder, self.paths[at], self.side, self.values)
                except BrokenImageError as error:
                    self.note_replaced({at: error.reason})
            at = int(self.next_row[at])
            if at == row:
                raise self.refusal()

    def _decode_into(self, images: NDArray[np.uint8], rows: Indices, progress: Progress | None) -> None:
        def decode(chunk: slice) -> None:
            for index in range(chunk.start, chunk.stop):
                images[index] = self._decode(int(rows[index]))

        _in_threads(decode, len(rows), "Decoding images", progress)

    def _count_flat(self, images: NDArray[np.uint8], rows: Indices) -> None:
        for chunk in chunk_slices(len(rows)):
            flat = np.flatnonzero(is_flat(images[chunk]))
            if len(flat) and not self.num_flat:
                self.first_flat = self.paths[int(rows[chunk][flat[0]])]
            self.num_flat += len(flat)

    def _refuse_replaced(self) -> None:
        if self.refuse and self.replaced:
            raise self.refusal()

    def _cache(self, suffix: str) -> Path:
        return self.cache_dir / f"{self._fingerprint}.{suffix}"

    @cached_property
    def _fingerprint(self) -> str:
        """Changes as soon as a file of the list does."""
        digest = hashlib.sha256(f"{self.folder.resolve()}|{self.side}|{self.values}|5".encode(errors="surrogateescape"))
        above = os.fsencode(f"{self.folder}/")
        with ThreadPoolExecutor(NUM_WAITING) as pool:
            for lines in pool.map(lambda chunk: _file_lines(above, self.paths.names(chunk)), chunk_slices(len(self))):
                digest.update(lines)
        return digest.hexdigest()[:24]

    def _write(self, file: IO[bytes], rows: Indices, images: NDArray[np.uint8]) -> None:
        """As `np.save` would all rows in order, without a second copy in memory; rows left out are black."""
        index = np.full(len(self), -1, dtype=np.int64)
        index[rows] = np.arange(len(rows))
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(self), *images.shape[1:])}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunk_slices(len(self)):
            here = index[chunk]
            file.write(np.where((here < 0)[:, None, None, None], np.uint8(0), images[here]).tobytes())


def _file_lines(above: bytes, names: Iterable[bytes]) -> bytes:
    """A line for each file below the folder `above`: kind, size and time, where it can be seen, and its name."""
    lines = []
    for name in names:
        try:
            found = os.stat(above + name)
            lines.append(b"%d|%d|%d|%b\n" % (found.st_mode, found.st_size, found.st_mtime_ns, name))
        except OSError:  # gone or hidden: that is part of the fingerprint
            lines.append(name + b"\n")
    return b"".join(lines)


def _in_threads(
    work: Callable[[slice], None], count: int, what: str, progress: Progress | None, num_threads: int | None = None
) -> None:
    """Does `work` on all of 0..count-1; threads, since reading and decoding let go of the interpreter."""
    chunks = chunk_slices(count)
    with ThreadPoolExecutor(num_threads or min(16, os.cpu_count() or 1)) as pool:
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
