"""Files of weights, and the hashes that name what was made from them (no torch until one is read)."""

from __future__ import annotations

import hashlib
import os
from io import BufferedReader
from pathlib import Path
from typing import Any

from simclr.config import ConfigError
from simclr.files import safe_read

MAX_HASHES = 256  # of files that are remembered


class Weights:
    """A file of weights that was opened once: what is named after its hash is made from those very bytes.

    Training may replace its checkpoint at any moment; the open file stays what it was.

    Raises:
        OSError: if it cannot be opened or read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = safe_read.open_file(path)  # `close` closes it
        self._mark = _mark(self._stream)
        self.sha256 = _hash_of(self._stream)

    def read_state(self) -> dict[str, Any]:
        """The tensors; see `weight_reading.read_state`.

        Raises:
            ConfigError: if it holds none, or was written to since it was opened.
        """
        from simclr.models import weight_reading

        self._stream.seek(0)
        state = weight_reading.read_state(self.path, self._stream)
        if _mark(self._stream) != self._mark:
            raise ConfigError(f"experiment_version is {self.path}, which is being written to; try again after that.")
        return state

    def close(self) -> None:
        self._stream.close()


_hashes: dict[tuple[int, ...], str] = {}  # by file, until it changes


def _mark(stream: BufferedReader) -> tuple[int, ...]:
    """Changes when a file is written to."""
    stat = os.fstat(stream.fileno())
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _hash_of(stream: BufferedReader) -> str:
    key = *_mark(stream), os.fstat(stream.fileno()).st_ctime_ns  # which nothing sets back
    if key not in _hashes:
        stream.seek(0)
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        if len(_hashes) >= MAX_HASHES:
            _hashes.clear()
        _hashes[key] = found
    return _hashes[key]


def file_hash(path: Path) -> str:
    """SHA-256 of a file; read again only when it is another one or was written to."""
    with safe_read.open_file(path) as stream:
        return _hash_of(stream)
