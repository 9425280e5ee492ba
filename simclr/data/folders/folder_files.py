"""Which image files lie below a folder: links that go round and litter of systems are left out."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from simclr.config import ConfigError
from simclr.data.folders.packed_sets import Packed, Packing, packing_of

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff", ".mpo", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpx", ".tga", ".qoi", ".pcx", ".sgi", ".dds", ".ico"),
    *(".apng", ".jpc", ".jpf", ".j2c", ".icns", ".cur", ".psd", ".fits", ".ras", ".xbm", ".xpm", ".im", ".blp", ".dcx"),
    *(".rgb", ".rgba", ".bw"),  # of SGI
)
# Folders that storage devices, archives and systems make beside one's own, in lower case.
_LITTER = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "@synoresource", "#recycle", "#snapshot"),
    *("~snapshot", "$recycle.bin", "recycler", "recycled", "lost+found", "system volume information", "__macosx"),
    *("network trash folder", "temporary items", "_vti_cnf", "__pycache__"),
}
_NUMBERED_LITTER = re.compile(r"found\.\d{3}|@gmt-[\d.-]+")  # of repaired disks, and copies of another day
MAX_WAYS = 2  # to one folder: its own path and a link, such as a class that is one
MAX_NAMED = 3


def is_litter(name: str) -> bool:
    """Whether a folder is called as those that systems make."""
    name = name.lower()
    return name in _LITTER or _NUMBERED_LITTER.fullmatch(name) is not None


@dataclass
class FoundFiles:
    """What lies below a folder.

    images: relative paths with "/", sorted. others: how many further files there are, by the ending of their names.
    packed: those of the others that may hold many images each, by how.
    real: the real path of each folder with images or folders in it, by its relative path; "" is the folder itself.
    dead_links: relative paths of links that lead nowhere; those named as images are among the images, as broken ones.
    left_out: what was not looked into, in words.
    """

    images: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    packed: dict[Packing, Packed] = field(default_factory=dict)
    real: dict[str, str] = field(default_factory=dict)
    dead_links: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def find(folder: Path, seconds: float | None) -> FoundFiles:
    """All images below `folder`; hidden files and folders, and litter of systems, are left out.

    Args:
        seconds: how long to look at most.

    Raises:
        TimeoutError: if it takes longer.
        ConfigError: if a folder cannot be read.
    """
    until = None if seconds is None else time.monotonic() + seconds
    found = FoundFiles()
    litter: set[str] = set()
    ways: Counter[str] = Counter()
    waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]
    while waiting:
        if until is not None and time.monotonic() > until:
            raise TimeoutError
        inside, above = waiting.pop()
        real = os.path.realpath(folder / inside)
        if real in above or ways[real] >= MAX_WAYS:  # a link back to a folder above would never end
            continue
        ways[real] += 1
        found.real[inside.rstrip("/")] = real
        try:
            with os.scandir(folder / inside) as entries:
                for number, entry in enumerate(entries, start=1):
                    if until is not None and number % 1000 == 0 and time.monotonic() > until:
                        raise TimeoutError
                    name = entry.name
                    if name.startswith("."):
                        continue
                    is_folder, is_file = _kind(entry)
                    if is_folder:
                        if is_litter(name):
                            litter.add(name)
                        else:
                            waiting.append((f"{inside}{name}/", (*above, real)))
                    # a link to nowhere is a broken image; a pipe, which would be waited for, is none
                    elif name.lower().endswith(IMAGE_SUFFIXES) and is_file:
                        found.images.append(inside + name)
                    elif is_file and entry.is_symlink() and not os.path.isfile(entry.path):
                        found.dead_links.append(inside + name)
                    else:
                        found.others[os.path.splitext(name)[1].lower()] += 1
                        if (packing := packing_of(name)) is not None:
                            found.packed.setdefault(packing, Packed()).add(inside + name)
        except TimeoutError:
            raise
        except OSError as error:  # it may be a class, so nothing is left out
            which = f"whose folder {inside.rstrip('/')}" if inside else "which"
            raise ConfigError(f"dataset is {folder}, {which} cannot be read: {error.strerror}.") from None
    found.images.sort()
    if litter:
        found.left_out.append(f"what systems keep in folders of their own ({_some(litter)})")
    if found.dead_links:
        count = len(found.dead_links)
        what = "1 link that leads nowhere" if count == 1 else f"{count:,} links that lead nowhere"
        found.left_out.append(f"{what} ({_some(found.dead_links)})")
    return found


def _some(names: Iterable[str]) -> str:
    known = sorted(names)
    return ", ".join(known[:MAX_NAMED]) + (", ..." if len(known) > MAX_NAMED else "")


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """Whether an entry is a folder, and whether it may be an image: a file or a link, also one that leads nowhere."""
    try:
        return entry.is_dir(), entry.is_file() or entry.is_symlink()
    except OSError:  # such as a link to itself
        return False, entry.is_symlink()
