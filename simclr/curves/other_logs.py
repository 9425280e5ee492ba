"""Logs that other programs wrote while they trained: found, named, never changed (no torch).

Lightning's folders hold a `metrics.csv` and, where the program saved its options, an `hparams.yaml`; the library
transformers writes `trainer_state.json`, and many write TensorBoard's event files, or a CSV file or lines of JSON of
their own. Nothing in them is trusted: an incomplete line costs that line, a damaged file that file. `log_tables` reads
the columns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclr.config import ConfigError
from simclr.curves import json_logs, log_tables
from simclr.files.user_paths import user_path, with_dead_link
from simclr.runs.file_names import CONFIG, METRICS
from simclr.runs.folder import is_run_folder

HPARAMS = "hparams.yaml"
MAX_DEPTH = 3  # folders below the one that was named: runs/lightning_logs/version_0 is two
MAX_FOLDERS = 2000  # searched; a limit in case a whole disk is named by mistake
MAX_FILES = 50  # logs of one folder
MAX_LOOKED_AT = 500  # files of one folder whose beginning tells whether they are JSON
# What a CSV or JSON file has a column of if it is a log and no table of something else.
WORDS = ("loss", "acc", "epoch", "step", "iter", "top1", "lr")


@dataclass(frozen=True)
class Log:
    """One log. `id` names it in addresses: its path below the runs folder, else all of it; where the file is a
    `metrics.csv`, that of its folder."""

    file: Path
    id: str
    title: str

    @property
    def path(self) -> Path:
        """The folder that it lies in."""
        return self.file.parent

    @property
    def options_path(self) -> Path | None:
        """The file with the options of its program; None if there is none."""
        found = (self.path / name for name in (HPARAMS, CONFIG))
        return next((path for path in found if path.is_file()), None)


def find_logs(folder: Path) -> list[Log]:
    """The logs in `folder` and up to `MAX_DEPTH` folders below, by path; run folders of this package are left out.

    Files that anything could have written, as CSV files of other names and JSON, are not looked for here.
    """
    found = []
    for file in _log_files(folder, any_name=False):
        if file.parent != folder and not is_run_folder(file.parent):
            name = _named(file).relative_to(folder).as_posix()
            found.append(Log(file, id=name, title=name))
    return sorted(found, key=lambda log: _natural(log.id))


def open_folder(text: str) -> list[Log]:
    """The logs in the folder that a user names, or the one file.

    Raises:
        ConfigError: if there is no such folder or file, or no log in it.
    """
    allowed = (
        f"allowed: a folder with a {METRICS}, a {log_tables.TRAINER_STATE}, TensorBoard's event files or another log "
        f"in CSV or lines of JSON, in it or up to {MAX_DEPTH} folders below; or such a file."
    )
    try:
        named = user_path(text.strip()).resolve()
        is_file = named.is_file()
        is_folder = named.is_dir() and os.access(named, os.R_OK | os.X_OK)
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, a link to itself
        is_file = is_folder = False
    if is_file:
        return [_one(named)]
    if not is_folder:
        link = with_dead_link(user_path(text.strip()))
        raise ConfigError(f"folder is {text.strip()[:200]}, which is not there or cannot be read{link}; {allowed}")
    found = []
    for file in _log_files(named, any_name=True):
        path = _named(file)
        title = path.relative_to(named) if path != named else Path(path.name)
        found.append(Log(file, id=str(path), title=title.as_posix()))
    if not found:
        raise ConfigError(f"folder is {named}, which holds no log; {allowed}")
    return sorted(found, key=lambda log: _natural(log.id))


def _one(file: Path) -> Log:
    """The log that a file is.

    Raises:
        ConfigError: if it is none.
    """
    try:
        log_tables.read(file)
    except log_tables.Unreadable as error:
        raise ConfigError(
            f"folder is {file}, which is no log: {error}; allowed: a CSV file with columns of numbers, "
            f"a JSON object of numbers in each line, {log_tables.TRAINER_STATE}, or TensorBoard's event files."
        ) from None
    path = _named(file)
    return Log(file, id=str(path), title=path.name)


def _named(file: Path) -> Path:
    """What names a log: of the one `metrics.csv` of a folder, that folder."""
    return file.parent if file.name == METRICS else file


def _log_files(top: Path, *, any_name: bool) -> Iterator[Path]:
    """Logs from the top down; never below one, nor in hidden folders or links.

    Args:
        any_name: also CSV and JSON files of any name that have columns as logs have.
    """
    level, num_searched = [top], 0
    for _ in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            num_searched += 1
            if num_searched > MAX_FOLDERS:
                return
            try:
                with os.scandir(folder) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
                files = [entry.name for entry in listed if not entry.name.startswith(".") and entry.is_file()]
                below += [
                    Path(entry.path)
                    for entry in listed
                    if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False) and METRICS not in files
                ]
            except OSError:
                continue
            if METRICS in files:  # its program's own, beside which others repeat it
                yield folder / METRICS
                continue
            known = [name for name in files if name == log_tables.TRAINER_STATE or log_tables.EVENTS in name]
            others = [name for name in files if any_name and name.lower().endswith((".csv", ".tsv"))]
            if any_name:
                texts = [name for name in files if name.lower().endswith(json_logs.SUFFIXES) and name not in known]
                others += [name for name in texts[:MAX_LOOKED_AT] if log_tables.is_json(folder / name)]
            yield from (folder / name for name in known[:MAX_FILES])
            yield from (folder / name for name in others[:MAX_FILES] if _has_words(folder / name))
        level = below


def _has_words(file: Path) -> bool:
    return any(word in name.lower() for name in log_tables.header_of(file) for word in WORDS)


def _natural(text: str) -> list[tuple[int, str]]:
    """Sorts version_2 before version_10."""
    parts: list[str] = []
    for sign in text:
        if parts and sign.isdigit() == parts[-1].isdigit():
            parts[-1] += sign
        else:
            parts.append(sign)
    return [(int(part), "") if part.isdecimal() and len(part) < 18 else (-1, part) for part in parts]


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
