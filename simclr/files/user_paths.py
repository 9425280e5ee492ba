"""Paths as people write them, and a user's own folder, also where a user has no home."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

from simclr.files.names import readable


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


def dead_link(path: Path) -> str:
    """The link on the way to a path that leads nowhere, in words; empty if there is none.

    Such links are left when what they lead to is moved, or is not mounted in a container.
    """
    with contextlib.suppress(OSError, ValueError):
        for part in (path, *path.parents):
            if part.is_symlink() and not part.exists():
                return f"{part} is a link to {readable(os.readlink(part))}, which is not there"
    return ""


def with_dead_link(path: Path) -> str:
    """The same as the end of a clause, in brackets."""
    link = dead_link(path)
    return f" ({link})" if link else ""


def takes_files(folder: Path) -> bool:
    """Whether a file can be made there; the folder is made if it can be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _may_be_used(folder: Path) -> bool:
    """Whether a folder is the user's own, even one that cannot be written now, or can be written or made.

    One that everybody may write to, such as `/tmp`, is nobody's home: others could put files there first.
    """
    with contextlib.suppress(OSError):
        while not folder.exists():
            folder = folder.parent
        status = folder.stat()
        is_open = bool(status.st_mode & stat.S_IWOTH)
        return status.st_uid == os.getuid() or (os.access(folder, os.W_OK | os.X_OK) and not is_open)
    return False


def home() -> Path:
    """The user's home; where there is none, as in some containers, a folder for temporary files that is the user's own.

    A home that is another user's and cannot be written, such as the `/` that containers give to a user without a name,
    is none.

    Raises:
        OSError: if that folder is another user's, or others may write to it.
    """
    found = Path(os.path.expanduser("~"))
    if found.is_absolute() and _may_be_used(found):
        return found
    return temporary_folder()


def temporary_folder() -> Path:
    """A folder for temporary files that only this user may use. Raises OSError as `home`."""
    folder = Path(tempfile.gettempdir()) / f"simclr-home-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise OSError(errno.EPERM, "not a folder that only this user may use", str(folder))
    return folder


def cache_folder() -> Path:
    """What can be made again is kept here: `$XDG_CACHE_HOME/simclr`, by default `~/.cache/simclr`. Raises as `home`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else home() / ".cache") / "simclr"
