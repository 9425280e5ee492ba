"""What a training prints: to the terminal and to the run's log, without what libraries add."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any, TextIO

from simclr.config import not_written
from simclr.files import safe_read
from simclr.files.names import readable


class _Tee:
    """Writes to the terminal and to the run's log."""

    def __init__(self, terminal: TextIO, log: FileIO) -> None:
        self.terminal, self._log = terminal, log

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):  # a full disk: the terminal shows it still
            self._log.write(readable(text).encode())
        return self.terminal.write(text)

    def flush(self) -> None:
        self.terminal.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


@contextlib.contextmanager
def log_to(path: Path, wanted: bool) -> Iterator[None]:
    """What is printed goes to a file too.

    Raises:
        ConfigError: if it cannot be written.
    """
    if not wanted:
        yield
        return
    out, err = sys.stdout, sys.stderr
    try:
        opened = safe_read.open_to_append(path)
    except OSError as error:
        raise not_written(f"{path} cannot be written", error) from None
    with opened as log:
        sys.stdout, sys.stderr = _Tee(out, log), _Tee(err, log)  # type: ignore[assignment]
        try:
            yield
        finally:
            sys.stdout, sys.stderr = out, err


def quiet_libraries() -> None:
    """Keeps the log to what a reader of it can act on."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", category=UserWarning, module="torch.utils.data")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")


def print_to_log(words: object) -> None:
    """Says something in the log, which a full disk does not take: the status comes first then."""
    with contextlib.suppress(OSError):
        print(words, file=sys.stderr, flush=True)
