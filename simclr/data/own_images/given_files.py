"""Files that a user has given, as an upload or in a .zip archive: what they are called, and what is safe of that.

A name is whatever a browser or an archive says: it may lead out of its folder, name a device, be empty or as long as a
book. Nothing here touches the disk.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import IO, BinaryIO, NamedTuple

from simclr.config import ConfigError
from simclr.data.folders.folder_files import IMAGE_SUFFIXES, is_litter
from simclr.data.folders.folder_layout import ANNOTATIONS

MAX_FILES = 50_000
MAX_BYTES = 8 * 2**30  # of all of them together, unpacked
MAX_FILE_BYTES = 200 * 2**20
MAX_DEPTH = 12  # folders around a file
MAX_NAME_BYTES = 120  # of one folder or file; systems allow 255
MAX_DIRECTORY_BYTES = 64 * 2**20  # of an archive's list of its files, which is read as a whole
# Why a file is not kept, in words that follow its number.
HIDDEN, OUTSIDE, OTHER = "hidden", "the path leads out of the folder", "no image"
DEEP = f"in more than {MAX_DEPTH} folders"
# What the unpacking of damaged or foreign archives raises.
DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,  # a password is needed
    NotImplementedError,  # a way of packing that is not known here
    LookupError,
)
_DRIVE = re.compile(r"^[A-Za-z]:")


class GivenFile(NamedTuple):
    """name: relative path with "/". size: in bytes, as it is said. open: its content; may raise one of `DAMAGE`."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def of_bytes(name: str, content: bytes | memoryview) -> GivenFile:
    """A file that is in memory."""
    return GivenFile(name, len(content), lambda: io.BytesIO(content))


# --- names ----------------------------------------------------------------------------------------------------------


def clean(name: str, most_bytes: int = MAX_NAME_BYTES) -> str:
    """A name of one folder or file that every system takes, with the ending that it had; never empty."""
    name = "".join("_" if sign in '/\\:*?"<>|' or not sign.isprintable() else sign for sign in name).strip()
    stem, ending = os.path.splitext(name)
    ending = ending if 1 < len(ending.encode()) <= 16 else ""
    stem = name.removesuffix(ending) if ending else name
    room = most_bytes - len(ending.encode())
    stem = stem.encode()[:room].decode(errors="ignore").rstrip(". ")
    return (stem or "_") + ending


class SafeNames:
    """Where files are kept, by the names that they were given with: no two in one place, no two folders made one."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}  # a folder around and a name in it, to what that is called
        self._taken: set[str] = set()  # in lower case: some disks tell no capitals

    def path(self, name: str) -> tuple[str, str]:
        """The relative path under which a file is kept, and else why it is not: one of the two is empty."""
        if name.startswith("/") or _DRIVE.match(name):
            return "", OUTSIDE
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            return "", OUTSIDE
        if any(part.startswith(".") or is_litter(part) for part in parts):
            return "", HIDDEN
        if not parts[-1].lower().endswith(IMAGE_SUFFIXES) and parts[-1] != ANNOTATIONS:
            return "", OTHER
        if len(parts) > MAX_DEPTH + 1:
            return "", DEEP
        above = ""
        for part in parts[:-1]:
            if (above, part) not in self._known:
                self._known[above, part] = self._free(above + clean(part)) + "/"
            above = self._known[above, part]
        return self._free(above + clean(parts[-1])), ""

    def _free(self, path: str) -> str:
        """The path, or the first with a number behind its name that is not taken."""
        stem, ending = os.path.splitext(path)
        number = 1
        while path.lower() in self._taken:
            number += 1
            path = f"{stem}-{number}{ending}"
        self._taken.add(path.lower())
        return path


def without_top(files: Sequence[GivenFile]) -> tuple[str, list[GivenFile]]:
    """The one folder around all files, as a browser names the folder that was chosen, and the files without it.

    Where there is none, such as two folders that were dropped together, "" and the files as they are.
    """
    tops = {file.name.partition("/")[0] for file in files}
    if len(tops) != 1 or tops & {"", ".", ".."} or not all("/" in file.name for file in files):
        return "", list(files)
    top = tops.pop()
    return top, [file._replace(name=file.name.partition("/")[2]) for file in files]


# --- archives -------------------------------------------------------------------------------------------------------


def is_archive(name: str) -> bool:
    return name.lower().endswith(".zip")


def of_archive(name: str, stream: BinaryIO) -> list[GivenFile]:
    """The files in a .zip archive, links and folders left out; nothing is unpacked yet.

    Raises:
        ConfigError: with one sentence, if it is none, is locked, or holds more than `MAX_FILES` or `MAX_BYTES`.
    """
    allowed = (
        f"allowed: a .zip archive of up to {MAX_FILES:,} files and {MAX_BYTES / 2**30:.0f} GiB, without a password"
    )
    _check_directory(name, stream, allowed)
    try:
        archive = zipfile.ZipFile(stream)
        entries = [entry for entry in archive.infolist() if not entry.is_dir() and not _is_link(entry)]
    except DAMAGE:
        raise ConfigError(f"{name} is no .zip archive, or a damaged one; {allowed}.") from None
    if len(entries) > MAX_FILES:
        raise ConfigError(f"{name} holds {len(entries):,} files; {allowed}.")
    if (total := sum(entry.file_size for entry in entries)) > MAX_BYTES:
        raise ConfigError(f"{name} unpacks to {total / 2**30:,.1f} GiB; {allowed}.")
    if any(entry.flag_bits & 1 for entry in entries):
        raise ConfigError(f"{name} is locked with a password; {allowed}.")
    return [GivenFile(_name_in(entry), entry.file_size, _opener(archive, entry)) for entry in entries]


def _check_directory(name: str, stream: BinaryIO, allowed: str) -> None:
    """Refuses an archive whose list of files alone would fill the memory; reads its last bytes only."""
    size = stream.seek(0, os.SEEK_END)
    start = max(0, size - 66_000)  # the end record is 22 bytes and a comment of up to 65,535
    stream.seek(start)
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise ConfigError(f"{name} is no .zip archive, or a damaged one; {allowed}.")
    count, num_bytes = struct.unpack("<HI", tail[at + 10 : at + 16])
    if count == 0xFFFF or num_bytes > MAX_DIRECTORY_BYTES:  # the former stands for more than two bytes can tell
        raise ConfigError(f"{name} holds more than {MAX_FILES:,} files; {allowed}.")


def _is_link(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind not in (0, stat.S_IFREG)


def _name_in(entry: zipfile.ZipInfo) -> str:
    """Some programs on Windows write backslashes between folders."""
    return entry.filename.replace("\\", "/") if entry.create_system == 0 else entry.filename


def _opener(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(entry)


def name_of(files: Sequence[str]) -> str:
    """What a set of uploaded files is called: the stem of the only one if it is an archive, else `images`."""
    return PurePosixPath(files[0]).stem if len(files) == 1 and is_archive(files[0]) else "images"
