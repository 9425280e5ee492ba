"""Lightning CSV log folders that other programs wrote: found, named and read, never changed (no torch).

Such a folder holds a `metrics.csv` with any columns and, where its program saved its options, an `hparams.yaml`.
Nothing in it is trusted: a torn line costs that line, a damaged file costs that file.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.config import ConfigError
from simclr.files import safe_read
from simclr.runs import folder as runs

HPARAMS = "hparams.yaml"
MAX_DEPTH = 3  # folders below the one that was named: runs/lightning_logs/version_0 is two
MAX_FOLDERS = 2000  # looked into; a whole disk that was named by mistake costs no more


@dataclass(frozen=True)
class Log:
    """One folder with a `metrics.csv`. `id` names it in addresses: its path below the runs folder, else all of it."""

    path: Path
    id: str
    title: str

    @property
    def metrics_path(self) -> Path:
        return self.path / runs.METRICS

    @property
    def options_path(self) -> Path | None:
        """Where its program saved its options; None if it did not."""
        found = (self.path / name for name in (HPARAMS, runs.CONFIG))
        return next((path for path in found if path.is_file()), None)


def find_logs(folder: Path) -> list[Log]:
    """The logs in `folder` and up to `MAX_DEPTH` folders below, by path; run folders of this package are left out."""
    found = [
        Log(path, id=path.relative_to(folder).as_posix(), title=path.relative_to(folder).as_posix())
        for path in _log_folders(folder)
        if path != folder and not runs.is_run_folder(path)
    ]
    return sorted(found, key=lambda log: _natural(log.id))


def open_folder(text: str) -> list[Log]:
    """The logs in the folder that a user names, which may be one itself.

    Raises:
        ConfigError: if there is no such folder, or no log in it.
    """
    allowed = f"allowed: a folder with a {runs.METRICS}, in it or up to {MAX_DEPTH} folders below."
    try:
        folder = Path(text.strip()).expanduser().resolve()
        if folder.name == runs.METRICS and folder.is_file():
            folder = folder.parent
        is_folder = folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, the home of nobody
        is_folder = False
    if not is_folder:
        raise ConfigError(f"folder is {text.strip()[:200]}, which is not there or cannot be read; {allowed}")
    found = [
        Log(path, id=str(path), title=(path.relative_to(folder) if path != folder else Path(path.name)).as_posix())
        for path in _log_folders(folder)
    ]
    if not found:
        raise ConfigError(f"folder is {folder}, which holds no {runs.METRICS}; {allowed}")
    return sorted(found, key=lambda log: _natural(log.id))


def _log_folders(top: Path) -> Iterator[Path]:
    """Folders with a `metrics.csv`, from the top down; never into one, nor into hidden folders or links."""
    level, looked_into = [top], 0
    for _ in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            looked_into += 1
            if looked_into > MAX_FOLDERS:
                return
            try:
                with os.scandir(folder) as entries:
                    listed = list(entries)
                if any(entry.name == runs.METRICS and entry.is_file() for entry in listed):
                    yield folder
                    continue
                below += [
                    Path(entry.path)
                    for entry in listed
                    if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
                ]
            except OSError:
                continue
        level = below


def _natural(text: str) -> list[tuple[int, str]]:
    """Sorts version_2 before version_10."""
    parts: list[str] = []
    for sign in text:
        if parts and sign.isdigit() == parts[-1].isdigit():
            parts[-1] += sign
        else:
            parts.append(sign)
    return [(int(part), "") if part.isdecimal() and len(part) < 18 else (-1, part) for part in parts]


# --- hparams.yaml ---------------------------------------------------------------------------------------------------


def read_options(path: Path) -> dict[str, Any]:
    """The values of a YAML file of options; empty if it is missing, damaged, too large or no mapping."""
    try:
        values = safe_read.read_yaml(path)
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def flat(options: Any, prefix: str = "", limit: int = 1000, depth: int = 8) -> dict[str, Any]:
    """Nested options by dotted name, `augmentation.hue`; a file that refers to itself ends at the limits."""
    found: dict[str, Any] = {}
    for name, value in options.items() if isinstance(options, dict) else ():
        if len(found) >= limit:
            break
        if isinstance(value, dict) and value and depth:
            found |= flat(value, f"{prefix}{name}.", limit - len(found), depth - 1)
        else:
            found[f"{prefix}{name}"] = value
    return found


# --- metrics.csv ----------------------------------------------------------------------------------------------------


def signature(path: Path) -> tuple[int, int] | None:
    """Changes whenever the file does; None if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def metric_names(path: Path) -> tuple[str, ...]:
    """The names in the first line of a CSV file, each once; none if there is no whole first line."""
    return _names(path, signature(path))


@lru_cache(maxsize=1024)
def _names(path: Path, _signature: tuple[int, int] | None) -> tuple[str, ...]:
    try:
        with safe_read.open_file(path, safe_read.MAX_TABLE_BYTES) as stream:
            line = stream.readline(safe_read.MAX_HEADER_BYTES)
        if not line.endswith(b"\n"):
            return ()
        names = next(csv.reader([line.decode("utf-8", errors="replace").lstrip("\ufeff")]), [])
    except (OSError, csv.Error):
        return ()
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def read_columns(path: Path, names: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """The asked columns of a CSV file as equally long arrays, NaN where a row holds no number.

    Columns that the file lacks are left out, and so are torn lines.
    """
    import pandas

    known = metric_names(path)
    wanted = set(names) & set(known)
    if not wanted:
        return {}
    try:
        block = safe_read.read_bytes(path, safe_read.MAX_TABLE_BYTES)
    except OSError:
        return {}
    block = block[: block.rfind(b"\n") + 1]
    if b'"' not in block:  # a comma then always parts two cells, and a line with another number of them is torn
        lines = block.split(b"\n")
        commas = lines[0].count(b",")
        block = b"\n".join([line for line in lines if line.count(b",") == commas]) + b"\n"
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):  # the second where a quotation mark is never closed
        try:
            frame = pandas.read_csv(
                io.BytesIO(block), usecols=lambda name: str(name).strip() in wanted, on_bad_lines="skip",
                encoding="utf-8-sig", encoding_errors="replace", low_memory=False, quoting=quoting, index_col=False,
            )  # fmt: skip
        except (ValueError, OverflowError):  # also pandas' own errors of parsing
            continue
        return {
            str(name).strip(): pandas.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
            for name in frame.columns
        }
    return {}
