"""Replaces files in one step, and locks folders (no torch)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simclr.files import safe_read

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A lock is held for milliseconds, the queue's while runs are started.
LOCK_SECONDS, LOCK_POLL_SECONDS = 30.0, 0.005


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file in one step, so that a reader sees the old text or the new one, never half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(beside, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_array(path: Path, values: NDArray[Any]) -> None:
    """Replaces a NumPy file in one step, likewise; it is not forced to the disk."""
    import numpy as np

    beside = path.with_name(f".{path.name}.{os.getpid()}.npy")
    try:
        np.save(beside, values)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def append_text(path: Path, text: str) -> None:
    """Adds to the end of a file in one write: whole, or not at all, whoever else writes there."""
    with safe_read.open_to_append(path) as stream:
        stream.write(text.encode())


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock; released by the system when the holder dies.

    Raises:
        OSError: if it cannot be had within `LOCK_SECONDS`: its holder may have been suspended, and keeps it then.
    """
    with safe_read.open_to_append(folder / ".lock") as stream:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    why = "another process holds its lock and does not go on"
                    raise TimeoutError(errno.ETIMEDOUT, why, str(folder)) from None
                time.sleep(LOCK_POLL_SECONDS)
        try:
            yield
        finally:  # by name: closing it gives nothing free that a process forked meanwhile holds as well
            fcntl.flock(stream, fcntl.LOCK_UN)
