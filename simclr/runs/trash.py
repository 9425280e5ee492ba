"""What lies in the trash of a runs folder: how large it is, and how it is deleted for good (no torch)."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from simclr.config import ConfigError
from simclr.runs.file_names import TRASH


def num_bytes(path: Path) -> int:
    """What the files of a folder take, links not followed; what cannot be looked into counts as nothing."""
    total, folders = 0, [str(path)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def deleted_at(path: Path) -> float | None:
    """When a folder was moved to the trash, as far as the system keeps it: when its entry was changed last."""
    with contextlib.suppress(OSError):
        return path.stat().st_ctime
    return None


def purge(run_id: str, runs_dir: Path) -> None:
    """Deletes a run of the trash for good; a link is deleted, never what it leads to.

    Raises:
        ConfigError: if it is not there, or cannot be deleted.
    """
    trash = runs_dir / TRASH
    try:
        if run_id not in (os.listdir(trash) if trash.is_dir() else ()):
            raise ConfigError(f"RUN is {run_id}; allowed: a run in the trash of {runs_dir}.")
        path = trash / run_id
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)
    except OSError as error:
        raise ConfigError(f"{run_id} cannot be deleted for good: {error.strerror}.") from None
