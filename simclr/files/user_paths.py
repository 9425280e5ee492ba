"""Paths as people write them, and a user's own folder, also where a user has no home."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path


def user_path(text: str | Path) -> Path:
    """The path that a text names; `~` and `~name` stay as they are where nobody has that home."""
    try:
        return Path(os.path.expanduser(text))
    except ValueError:  # a null byte: no such path exists, and whoever looks for it says so
        return Path(text)


def existing_folder(text: str | Path) -> Path | None:
    """The folder that a text names; None if there is none, whatever the text holds."""
    try:
        folder = user_path(text)
        return folder if folder.is_dir() else None
    except (OSError, ValueError):  # too long a name, a null byte
        return None


def home() -> Path:
    """The user's home; where there is none, as in some containers, a folder for temporary files that is the user's own.

    Raises:
        OSError: if that folder is another user's, or others may write to it.
    """
    found = os.path.expanduser("~")
    if os.path.isabs(found):
        return Path(found)
    folder = Path(tempfile.gettempdir()) / f"simclr-home-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise OSError(errno.EPERM, "not a folder that only this user may use", str(folder))
    return folder
