"""Lightning CSV log folders that other programs wrote: found, named and read, never changed (no torch).

Such a folder holds a `metrics.csv` with any columns and, where its program saved its options, an `hparams.yaml`.
Nothing in it is trusted: an incomplete line costs that line, a damaged file that file. `metrics_csv` reads the columns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclr.config import ConfigError
from simclr.files.user_paths import user_path
from simclr.runs.file_names import CONFIG, METRICS
from simclr.runs.folder import is_run_folder

HPARAMS = "hparams.yaml"
MAX_DEPTH = 3  # folders below the one that was named: runs/lightning_logs/version_0 is two
MAX_FOLDERS = 2000  # searched; a limit in case a whole disk is named by mistake


@dataclass(frozen=True)
class Log:
    """One folder with a `metrics.csv`. `id` names it in addresses: its path below the runs folder, else all of it."""

    path: Path
    id: str
    title: str

    @property
    def metrics_path(self) -> Path:
        return self.path / METRICS

    @property
    def options_path(self) -> Path | None:
        """The file with the options of its program; None if there is none."""
        found = (self.path / name for name in (HPARAMS, CONFIG))
        return next((path for path in found if path.is_file()), None)


def find_logs(folder: Path) -> list[Log]:
    """The logs in `folder` and up to `MAX_DEPTH` folders below, by path; run folders of this package are left out."""
    found = [
        Log(path, id=path.relative_to(folder).as_posix(), title=path.relative_to(folder).as_posix())
        for path in _log_folders(folder)
        if path != folder and not is_run_folder(path)
    ]
    return sorted(found, key=lambda log: _natural(log.id))


def open_folder(text: str) -> list[Log]:
    """The logs in the folder that a user names, which may be one itself.

    Raises:
        ConfigError: if there is no such folder, or no log in it.
    """
    allowed = f"allowed: a folder with a {METRICS}, in it or up to {MAX_DEPTH} folders below."
    try:
        folder = user_path(text.strip()).resolve()
        if folder.name == METRICS and folder.is_file():
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
        raise ConfigError(f"folder is {folder}, which holds no {METRICS}; {allowed}")
    return sorted(found, key=lambda log: _natural(log.id))


def _log_folders(top: Path) -> Iterator[Path]:
    """Folders with a `metrics.csv`, from the top down; never into one, nor into hidden folders or links."""
    level, num_searched = [top], 0
    for _ in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            num_searched += 1
            if num_searched > MAX_FOLDERS:
                return
            try:
                with os.scandir(folder) as entries:
                    listed = list(entries)
                if any(entry.name == METRICS and entry.is_file() for entry in listed):
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
