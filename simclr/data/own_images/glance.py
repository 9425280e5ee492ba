"""A few images of a folder as it is read, for a user to see what is in it before a run is started."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simclr.config import ConfigError
from simclr.data.folders.decoding import decode_image, image_size_of
from simclr.data.folders.folder_layout import Layout, SplitFiles
from simclr.data.folders.pixel_values import PixelValues
from simclr.data.folders.value_range import find_range

NUM_SHOWN = 8
SIDE = 96  # pixels
SECONDS = 1.5
MAX_PIXELS = 60_000_000  # a larger image takes seconds to decode


@dataclass(frozen=True)
class Glimpse:
    """A training image. path: below the layout's folder. label: its class or "". pixels: (SIDE, SIDE, 3) uint8."""

    path: str
    label: str
    pixels: NDArray[np.uint8]


def glance(
    layout: Layout, how: PixelValues | None = None, number: int = NUM_SHOWN, seconds: float = SECONDS
) -> list[Glimpse]:
    """Some training images of a folder, of as many classes as there is room for; broken ones are left out.

    Args:
        how: what pixel values mean; without a range they get that of these images.
        seconds: how long to decode at most, to within one image.
    """
    until = time.monotonic() + seconds
    folder = layout.folder
    wanted = [(path, label) for path, label in chosen(layout.splits["train"], number) if _is_quick(folder, path)]
    how = how or PixelValues()
    if how.low is None and wanted:
        found = find_range(folder, [path for path, _ in wanted])
        how = how if found is None else replace(how, low=found[0], high=found[1])
    shown: list[Glimpse] = []
    for path, label in wanted:
        if time.monotonic() > until:
            break
        try:
            pixels = decode_image(folder, path, SIDE, how)
        except (ConfigError, OSError):
            continue
        shown.append(Glimpse(path, label, np.ascontiguousarray(pixels.transpose(1, 2, 0))))
    return shown


def chosen(split: SplitFiles, number: int) -> list[tuple[str, str]]:
    """Path and class of some images, evenly spaced over a split; with classes, over as many of them as possible."""
    if split.classes is None:
        return [(split.paths[place], "") for place in _evenly(len(split.paths), number)]
    places: dict[str, list[int]] = {}
    for place, label in enumerate(split.classes):
        places.setdefault(label, []).append(place)
    names = sorted(places)
    names = [names[place] for place in _evenly(len(names), number)]
    share, more = divmod(number, len(names)) if names else (0, 0)
    found = []
    for rank, name in enumerate(names):
        mine = places[name]
        found += [(split.paths[mine[place]], name) for place in _evenly(len(mine), share + (rank < more))]
    return found


def _evenly(count: int, number: int) -> list[int]:
    """At most `number` different places among `count`, evenly spaced, each in the middle of its part."""
    number = min(count, number)
    return [(2 * place + 1) * count // (2 * number) for place in range(number)]


def _is_quick(folder: Path, path: str) -> bool:
    """Whether it is a file, no pipe that would be waited for, and can be decoded within a moment."""
    try:
        if not stat.S_ISREG(os.stat(folder / path).st_mode):
            return False
        width, height = image_size_of(folder, path)
    except (ConfigError, OSError):
        return False
    return width * height <= MAX_PIXELS
