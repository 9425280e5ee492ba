"""Replaces files in one step, and locks folders (no torch)."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from simclr.files import safe_read
from simclr.files.locks import Lock
from simclr.files.names import readable

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A lock is held for milliseconds, the queue's lock while runs are started.
LOCK_SECONDS, LOCK_POLL_SECONDS = 30.0, 0.005


@contextlib.contextmanager
def replacing(path: Path, sync: bool = True) -> Iterator[BinaryIO]:
    """A stream whose content replaces a file in one step: readers see the old file or the new one, never half of it.

    Args:
        sync: whether the content reaches the disk before the rename, so that one of the two survives a power failure.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    beside.unlink(missing_ok=True)
    try:
        with open(beside, "xb") as stream:  # a new file, never through a link that someone placed there
            yield stream
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Replaces a text file in one step; what is no text in it is escaped."""
    with replacing(path) as stream:
        stream.write(readable(text).encode())


def write_array(path: Path, values: NDArray[Any]) -> None:
    """Replaces a `.npy` file in one step; a power failure may damage it, which readers notice."""
    import numpy as np

    with replacing(path, sync=False) as stream:
        np.save(stream, values)


def append_text(path: Path, text: str) -> None:
    """Appends to a file in one write, so that lines of several processes do not mix."""
    with safe_read.open_to_append(path) as stream:
        stream.write(readable(text).encode())


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which the system releases if this process dies.

    Raises:
        OSError: if it is not free within `LOCK_SECONDS`: a suspended process keeps it.
    """
    lock = Lock(folder / ".lock")
    deadline = time.monotonic() + LOCK_SECONDS
    while not lock.acquire():
        if time.monotonic() > deadline:
            why = "another process holds its lock and does not go on"
            raise TimeoutError(errno.ETIMEDOUT, why, str(folder))
        time.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()
