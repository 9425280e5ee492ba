"""Tables that are written while their rows are made: CSV or Parquet, by the ending of the file's name."""

from __future__ import annotations

import contextlib
import csv
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simclr.config import ConfigError

ENDINGS = (".csv", ".parquet")

Columns = Mapping[str, Any]  # by name: one value for each row, or an array (n, D)
Write = Callable[[Columns], None]


def check(path: Path | None) -> None:
    """Raises ConfigError if a table cannot be written to a file of this name."""
    if path is None:
        return
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"out is {path}; allowed: a file that ends in {' or '.join(ENDINGS)}.")
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"out is {path}; allowed: a file in a folder that exists.")


@contextlib.contextmanager
def writer(path: Path | None) -> Iterator[Write]:
    """Gives a function that appends rows; the file is there once all are written, and not before.

    An array (n, D) becomes D columns `h_0`, `h_1`, ... in CSV, and one column of lists in Parquet.

    Args:
        path: as `check` allows it; None: CSV on the standard output.

    Raises:
        ConfigError: if it cannot be written.
    """
    check(path)
    if path is None:
        yield _csv_writer(sys.stdout)
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix.lower() == ".csv":
            with open(draft, "w", encoding="utf-8", newline="") as stream:
                yield _csv_writer(stream)
        else:
            with contextlib.closing(_Parquet(draft)) as parquet:
                yield parquet.write
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"out is {path}, which cannot be written: {error.strerror or error}.") from None
    finally:
        draft.unlink(missing_ok=True)


def _csv_writer(stream: Any) -> Write:
    rows = csv.writer(stream)
    head: list[str] = []

    def write(columns: Columns) -> None:
        flat: dict[str, Sequence[Any]] = {}
        for name, values in columns.items():
            if isinstance(values, np.ndarray) and values.ndim == 2:
                flat |= {f"{name}_{number}": column for number, column in enumerate(values.T)}
            else:
                flat[name] = values
        if not head:
            head.extend(flat)
            rows.writerow(head)
        rows.writerows(zip(*flat.values(), strict=True))

    return write


class _Parquet:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: Any = None

    def write(self, columns: Columns) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({name: self._column(values) for name, values in columns.items()})
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, table.schema)
        self._writer.write_table(table)

    @staticmethod
    def _column(values: Any) -> Any:
        import pyarrow as pa

        if isinstance(values, np.ndarray) and values.ndim == 2:
            return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
        return pa.array(values)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
