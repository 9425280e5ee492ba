"""One image file: its size, its pixels, and what is wrong with a damaged one."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from simclr.config import ConfigError

BEGINNINGS_AND_ENDS = (
    (b"\xff\xd8\xff", b"\xff\xd9"),
    (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"),
    (b"GIF8", b";"),
)
# What Pillow raises for damaged content, and the errors of the system that concern one file only.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
FILE_ERRORS = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EIO,
}


class BrokenImageError(ConfigError):
    """An image file that cannot be read. `reason` says why in a few words."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def looks_whole(path: str) -> bool:
    """Whether a file begins and ends as a whole JPEG, PNG, GIF or WebP does; False for other formats."""
    handle = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(handle).st_size
        start, end = os.pread(handle, 12, 0), os.pread(handle, 8, max(0, size - 8))
    finally:
        os.close(handle)
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return size >= 8 + int.from_bytes(start[4:8], "little")
    return any(start.startswith(first) and end.endswith(last) for first, last in BEGINNINGS_AND_ENDS)


def broken_image(folder: Path, path: str, error: Exception) -> BrokenImageError:
    """The error that names the file; raises errors of the machine (too many open files, no memory) as they are."""
    if isinstance(error, Image.UnidentifiedImageError):
        reason = "it is not an image"
        with contextlib.suppress(OSError):
            reason = reason if os.path.getsize(folder / path) else "it is empty"
    elif isinstance(error, Image.DecompressionBombError):
        reason = "it has too many pixels"
    elif isinstance(error, OSError) and error.errno:
        if error.errno not in FILE_ERRORS:
            raise error
        reason = error.strerror or str(error)
    else:
        reason = "it is cut short or damaged"
    return BrokenImageError(
        f"dataset is {folder}, whose file {path} cannot be read ({reason}); allowed: whole image files. "
        "Repair or remove that file.",
        reason,
    )


def image_size_of(folder: Path, path: str) -> tuple[int, int]:
    """Width and height of an image file in pixels, from its header. Raises ConfigError, naming the file."""
    try:
        with Image.open(folder / path) as image:
            return image.size
    except DAMAGE as error:
        raise broken_image(folder, path, error) from error


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1..8; 1 (upright) where there is none or the EXIF block, not the image, is damaged."""
    with contextlib.suppress(*DAMAGE):
        if image.format in ("JPEG", "TIFF", "WEBP", "PNG"):
            return int(image.getexif().get(0x0112, 1))
    return 1


def decode_image(folder: Path, path: str, side: int) -> NDArray[np.uint8]:
    """An image file as (3, side, side): shorter side resized with antialiasing, middle square kept, grey made RGB.

    Raises ConfigError, naming the file, where it cannot be read.
    """
    try:
        with Image.open(folder / path) as opened:
            image: Image.Image = opened
            if min(image.size) > 2 * side and image.format == "JPEG":
                image.draft("RGB", (side, side))  # the decoder itself can halve a large image, which is quicker
            if _orientation(image) != 1:
                image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16") or image.mode == "I":  # 16 bits per pixel; "convert" would clip it
                image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            if image.mode != "RGB":
                image = image.convert("RGB")
            if image.size != (side, side):
                image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
            return np.asarray(image).transpose(2, 0, 1)
    except DAMAGE as error:
        raise broken_image(folder, path, error) from error
