"""Folders of this machine, one at a time, for a user who looks for images."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from simclr.config import DATASETS
from simclr.data.folders.folder_files import IMAGE_SUFFIXES, is_litter
from simclr.files import user_paths
from simclr.files.names import is_text, readable
from simclr.files.user_paths import existing_folder

SECONDS = 0.5  # a folder of millions of files is looked at no longer
BETWEEN = 500  # entries between two looks at the clock
MAX_RUN_FOLDERS = 3


@dataclass(frozen=True)
class Inside:
    """What lies directly in a folder.

    folders: their names, sorted without regard to case; hidden ones and litter of systems left out.
    num_images: files that are named as images.
    is_whole: False where the time was out before all entries were seen.
    problem: why it cannot be read, in words; empty where it can.
    """

    folders: list[str] = field(default_factory=list)
    num_images: int = 0
    is_whole: bool = True
    problem: str = ""


def look(folder: Path, seconds: float = SECONDS) -> Inside:
    """What lies directly in a folder, as far as `seconds` reach; never raises."""
    until = time.monotonic() + seconds
    folders: list[str] = []
    num_images, is_whole = 0, True
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries, start=1):
                if number % BETWEEN == 0 and time.monotonic() > until:
                    is_whole = False
                    break
                name = entry.name
                if name.startswith("."):
                    continue
                if _is_folder(entry):
                    if not is_litter(name):
                        folders.append(name)
                elif name.lower().endswith(IMAGE_SUFFIXES):
                    num_images += 1
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return Inside(problem=f"{readable(str(folder))} cannot be read: {reason or error}.")
    folders.sort(key=lambda name: (name.casefold(), name))
    return Inside(folders, num_images, is_whole)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself
        return False


def enter(folder: Path, name: str) -> Path:
    """The folder of this name; where it is a link, what that leads to, so that no path goes round and round."""
    inner = folder / name
    return Path(os.path.realpath(inner)) if inner.is_symlink() else inner


def up(folder: Path) -> Path | None:
    """The folder around it; None at the top."""
    return folder.parent if folder.parent != folder else None


def typed(text: str) -> Path | None:
    """The folder that a text names, as a full path without `..`; None if there is none."""
    found = existing_folder(text.strip()) if text.strip() else None
    return None if found is None else Path(os.path.abspath(found))


def nearest(folder: Path) -> Path:
    """The folder itself, or the first around it that is still there."""
    for each in (folder, *folder.parents):
        if existing_folder(each) is not None:
            return each
    return Path("/")


def places(data_root: Path, datasets: Iterable[str]) -> dict[str, Path]:
    """Folders to begin with, by what they are called: the home, the data folder, and those of the newest runs.

    Args:
        datasets: of runs, the newest first; named ones and those that are gone are left out.
    """
    found: dict[str, Path] = {}
    with contextlib.suppress(OSError):
        found["Home"] = user_paths.home()
    if (root := typed(str(data_root))) is not None:
        found["Data folder"] = root
    seen = set(found.values())
    for dataset in dict.fromkeys(datasets):
        folder = None if dataset in DATASETS or not is_text(dataset) else typed(dataset)
        if folder is None or folder in seen:
            continue
        seen.add(folder)
        name = folder.name or "/"
        found[name if name not in found else str(folder)] = folder
        if len(seen) >= MAX_RUN_FOLDERS + 2:
            break
    return found
