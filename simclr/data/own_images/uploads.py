"""Copies of images that a user has given, as a folder of the data root.

All is written aside, in a hidden folder, and put in place in one step when the user says so. What is left of a copy
that was not ended, since its server was killed, is removed with the next one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simclr.config import ConfigError, not_written
from simclr.data.folders.decoding import BrokenImageError, image_size_of
from simclr.data.folders.folder_layout import ANNOTATIONS
from simclr.data.own_images import given_files
from simclr.data.own_images.given_files import DAMAGE, MAX_BYTES, MAX_FILE_BYTES, MAX_FILES, GivenFile
from simclr.hardware import processes

Progress = Callable[[float], None]
FOLDER = "uploads"  # in the data root
OLD_SECONDS = 86_400.0  # a copy that was begun a day ago is looked at by nobody
FREE_BYTES = 2**30  # of the disk that stay free
CHUNK = 1 << 20
MAX_SAME_NAMES = 10_000
TOO_LARGE = f"larger than {MAX_FILE_BYTES // 2**20} MiB"
NOT_READABLE, DAMAGED = "not readable as an image", "cannot be unpacked"
_DRAFT = re.compile(r"\.draft-(?P<host>.*)-(?P<pid>\d+)-[0-9a-f]{8}")


@dataclass(frozen=True)
class Draft:
    """Images that were copied and are not used yet.

    folder: where they lie. name: what they are to be called. left_out: how many files are not there, by why.
    """

    folder: Path
    name: str
    num_images: int
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def left_out_text(self) -> str:
        """What was not copied, in a sentence; empty if there is nothing."""
        parts = [f"{count:,} file{'' if count == 1 else 's'} ({why})" for why, count in sorted(self.left_out.items())]
        return f"Not copied: {', '.join(parts)}." if parts else ""


def copy_images(files: Sequence[GivenFile], name: str, root: Path, progress: Progress = lambda share: None) -> Draft:
    """Copies the images among files that a user has given into a hidden folder of the data root.

    Names are made safe, and no file is written over: of two of one name the later gets a number. A file counts as an
    image if its header says so.

    Args:
        name: what the folder is to be called.
        root: the data root.

    Raises:
        ConfigError: with one sentence, if there is no image among them, they are too many or too large, or the folder
            cannot be written; nothing of them is left then.
    """
    if len(files) > MAX_FILES:
        raise ConfigError(f"{len(files):,} files were given; allowed: up to {MAX_FILES:,}.")
    total = sum(file.size for file in files)
    if total > MAX_BYTES:
        raise ConfigError(f"The files have {total / 2**30:,.1f} GiB; allowed: up to {MAX_BYTES / 2**30:.0f} GiB.")
    home = root / FOLDER
    draft = home / f".draft-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        remove_stale(root)
        free = shutil.disk_usage(home).free - FREE_BYTES
        if total > free:
            raise ConfigError(
                f"The files have {total / 2**20:,.0f} MiB, and {root} has room for {max(0, free) / 2**20:,.0f} MiB; "
                "allowed: fewer images, or SIMCLR_DATA_DIR set to a folder on a larger disk."
            )
        draft.mkdir()
        found = _write(files, draft, clean_name(name), progress)
        if not found.num_images:
            why = f" {found.left_out_text}" if found.left_out else ""
            raise ConfigError(f"There is no image among what was given; allowed: whole image files.{why}")
    except OSError as error:
        _remove(draft)
        raise not_written(f"{home} cannot be written", error, "SIMCLR_DATA_DIR") from None
    except BaseException:  # also when the page is left in the middle of it
        _remove(draft)
        raise
    return found


def clean_name(name: str) -> str:
    """The name of a folder that a user may read and type: no path, nothing hidden, not empty."""
    return given_files.clean(name, 60).strip(". _") or "images"


def _host() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname())[:60]


def _write(files: Sequence[GivenFile], folder: Path, name: str, progress: Progress) -> Draft:
    left_out: Counter[str] = Counter()
    names = given_files.SafeNames()
    num_images, num_bytes = 0, 0
    for number, file in enumerate(files):
        if number % 20 == 0:
            progress(number / len(files))
        path, why = names.path(file.name)
        if not why and file.size > MAX_FILE_BYTES:
            why = TOO_LARGE
        if not why:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            num_written, why = _write_one(file, folder, path, MAX_BYTES - num_bytes)
            num_bytes += num_written
            if why:
                (folder / path).unlink(missing_ok=True)
        if why:
            left_out[why] += 1
        else:
            num_images += os.path.basename(path) != ANNOTATIONS
    progress(1.0)
    return Draft(folder, name, num_images, left_out)


def _write_one(file: GivenFile, folder: Path, path: str, room: int) -> tuple[int, str]:
    """Writes one file; how many bytes it had, and why it is to be left out, which is empty where it is an image.

    What an archive says of the size of a file may be a lie, so the bytes are counted.
    """
    most, done = min(MAX_FILE_BYTES, room), 0
    try:
        source = file.open()
    except DAMAGE:
        return 0, DAMAGED
    with source, open(folder / path, "xb") as target:
        while True:
            try:
                chunk = source.read(CHUNK)
            except DAMAGE:
                return done, DAMAGED
            if not chunk:
                break
            done += len(chunk)
            if done > most:
                return done, TOO_LARGE
            target.write(chunk)
    if os.path.basename(path) == ANNOTATIONS:
        return done, ""
    try:
        image_size_of(folder, path)
    except BrokenImageError:
        return done, NOT_READABLE
    return done, ""


# --- afterwards -----------------------------------------------------------------------------------------------------


def keep(draft: Draft, root: Path) -> Path:
    """Puts the copies in place as `<root>/uploads/<name>`, with a number behind it where that is taken.

    Returns:
        Its full path.

    Raises:
        ConfigError: with one sentence, if the copies are gone or the folder cannot be written.
    """
    home = Path(os.path.abspath(root)) / FOLDER
    try:
        for number in range(1, MAX_SAME_NAMES):
            target = home / (draft.name if number == 1 else f"{draft.name}-{number}")
            try:
                target.mkdir()  # so that of two at once each has its own
            except FileExistsError:
                continue
            try:
                os.rename(draft.folder, target)  # an empty folder gives way
            except FileNotFoundError:
                target.rmdir()
                raise ConfigError("The copies of these images are not there any more; give the images again.") from None
            return target
    except OSError as error:
        raise not_written(f"{home} cannot be written", error, "SIMCLR_DATA_DIR") from None
    raise ConfigError(f"{home} holds {MAX_SAME_NAMES:,} folders called {draft.name}; remove some.")


def discard(draft: Draft) -> None:
    """Removes copies that are not to be used."""
    _remove(draft.folder)


def remove_stale(root: Path) -> None:
    """Removes copies that nobody will use: of servers of this machine that are gone, and those of a day ago."""
    with contextlib.suppress(OSError), os.scandir(root / FOLDER) as entries:
        for entry in entries:
            named = _DRAFT.fullmatch(entry.name)
            if named is None or not entry.is_dir(follow_symlinks=False):
                continue
            is_over = named["host"] == _host() and processes.process_start(int(named["pid"])) is None
            if is_over or time.time() - entry.stat(follow_symlinks=False).st_mtime > OLD_SECONDS:
                _remove(Path(entry.path))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
