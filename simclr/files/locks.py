"""Locks between processes: the system's own, and a file in their place where a file system has none (no torch).

Lustre, some network file systems and some containers answer `flock` with "Function not implemented".
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from io import FileIO
from pathlib import Path
from typing import Any

import psutil

from simclr.files import safe_read

UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
HELD = ".held"  # ending of the file that stands for a lock
UNWRITTEN_SECONDS = 10.0  # a file without an owner is one of a process that died while it made it
ELSEWHERE_SECONDS = 120.0  # of another machine, whose processes cannot be seen, and which has not been renewed
START_TOLERANCE = 2.0  # seconds, as a clock may be set meanwhile


class Lock:
    """An exclusive lock that belongs to a file and ends with its process.

    Where the file system has no locks, a file beside it stands for one; that of a dead process of this machine is
    taken away, and that of another machine when it was not renewed for `ELSEWHERE_SECONDS`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: FileIO | None = None
        self._has_file = False

    @property
    def _file(self) -> Path:
        return self.path.with_name(self.path.name + HELD)

    def acquire(self) -> bool:
        """Takes the lock if it is free; returns at once.

        Raises:
            OSError: if the file cannot be written.
        """
        stream = safe_read.open_to_append(self.path)
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            return False
        except OSError as error:
            stream.close()
            if error.errno not in UNSUPPORTED:
                raise
            self._has_file = self._make_file() or (self._clear_stale() and self._make_file())
            return self._has_file
        self._stream = stream
        return True

    def renew(self) -> None:
        """Says that the holder goes on; for locks that are held for long."""
        if self._has_file:
            with contextlib.suppress(OSError):
                os.utime(self._file)

    def release(self) -> None:
        """Gives the lock back; explicitly, since a forked process that shares the open file would keep it."""
        if self._stream is not None:
            with self._stream:
                fcntl.flock(self._stream, fcntl.LOCK_UN)
            self._stream = None
        if self._has_file:
            self._has_file = False
            self._file.unlink(missing_ok=True)

    def _make_file(self) -> bool:
        try:
            handle = os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return False
        with open(handle, "w", encoding="utf-8") as stream:
            json.dump({"host": socket.gethostname(), "pid": os.getpid(), "start": _start_of(os.getpid())}, stream)
        return True

    def _clear_stale(self) -> bool:
        """Takes away the file of a holder that is gone; False if it lives, or another process was faster."""
        try:
            age = time.time() - self._file.stat().st_mtime
            content = safe_read.read_bytes(self._file)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        if not _is_stale(content, age):
            return False
        aside = self._file.with_name(f"{self._file.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            os.rename(self._file, aside)
            if safe_read.read_bytes(aside) != content:  # a new holder's, who came in between
                os.rename(aside, self._file)
                return False
            aside.unlink()
        except OSError:
            return False
        return True


def _is_stale(content: bytes, age: float) -> bool:
    owner: Any = None
    with contextlib.suppress(ValueError):
        owner = safe_read.parse_json(content)
    if not isinstance(owner, dict) or type(owner.get("pid")) is not int:
        return age > UNWRITTEN_SECONDS
    if owner.get("host") != socket.gethostname():
        return age > ELSEWHERE_SECONDS
    start, known = _start_of(owner["pid"]), safe_read.finite_number(owner.get("start"))
    return start is None or known is None or abs(start - known) > START_TOLERANCE


def _start_of(pid: int) -> float | None:
    """When a process started, in seconds since the epoch; None if it does not live."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (psutil.Error, OSError, ValueError, OverflowError):
        return None
