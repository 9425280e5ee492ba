"""Finds JPEG files whose data end before their picture does, though they end with the marker that whole ones end with.

libjpeg repeats the last colour then, or shows the picture coarsely, and says nothing.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

END = b"\xff\xd9"
FILLER = bytes(range(1, 128)) * 8  # image data; no 0xff, which would begin a marker
CORNER = 8  # pixels
SCAN = re.compile(rb"\xff\xda..(.)", re.DOTALL)


def ends_too_early(path: Path, image: Image.Image, draft_side: int | None) -> bool:
    """Whether a JPEG file that looks whole lacks a part of its picture.

    Args:
        path: of the file.
        image: the same, opened and decoded.
        draft_side: to which the decoder was asked to halve it; None: it was not.
    """
    if image.format != "JPEG":
        return False
    if image.info.get("progressive"):
        return _lacks_scans(path.read_bytes())
    width, height = image.size
    last = image.getpixel((width - 1, height - 1))
    if any(image.getpixel((max(0, width - 1 - step), height - 1)) != last for step in (1, 3, CORNER - 1)):
        return False  # the same as below, but quick: nearly all photographs end here
    corner = np.asarray(image.crop((max(0, width - CORNER), height - 1, width, height)))  # few rows may be missing
    if np.ptp(corner, axis=(0, 1)).any():  # the last thing drawn is no repetition
        return False
    content = path.read_bytes()
    end = content.rfind(END)
    if end < 0:
        return False
    # more data change the picture of a file only that lacks some
    with Image.open(io.BytesIO(content[:end] + FILLER + END)) as other:
        if draft_side is not None:
            other.draft("RGB", (draft_side, draft_side))
        return not np.array_equal(np.asarray(other), np.asarray(image))


def _lacks_scans(content: bytes) -> bool:
    """Whether a progressive file names fewer passes than all bits of all coefficients take (ITU-T T.81, annex G)."""
    at, num_components = 2, 0
    while content[at : at + 2] not in (b"\xff\xda", b""):  # segments, of which one may hold a small JPEG of its own
        if content[at + 1] == 0xC2:
            num_components = content[at + 9]
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    # what is known of each component: the lowest bit of its mean, and how many coefficients are known to the last bit
    low_bits: dict[int, int] = {}
    whole: dict[int, set[int]] = {}
    for found in SCAN.finditer(content, at):
        count = found[1][0]
        header = content[found.end() : found.end() + 2 * count + 3]
        if len(header) < 2 * count + 3:
            return True
        first, last, bits = header[-3:]
        for component in header[: 2 * count : 2]:
            if first == 0:
                low_bits[component] = bits & 15
            if bits & 15 == 0:
                whole.setdefault(component, set()).update(range(first, last + 1))
    is_whole = [low_bits.get(component) == 0 and len(known) == 64 for component, known in whole.items()]
    return len(is_whole) < num_components or not all(is_whole)
