"""One image file: its size, its pixels, and what is wrong with a damaged one."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import struct
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, Jpeg2KImagePlugin, PngImagePlugin, PpmImagePlugin, TiffImagePlugin

from simclr.config import ConfigError
from simclr.data.folders import jpeg_ends
from simclr.data.folders.pixel_values import AS_THEY_ARE, PixelValues

# It logs what it cannot open, for each file each time; here such a file is an error that names it.
logging.getLogger(TiffImagePlugin.__name__).setLevel(logging.CRITICAL)

WHITE_IS_ZERO = 0  # of PhotometricInterpretation: the lowest value is white
# Pillow turns round such values of up to 8 bits, and opens those of 16 in one order of bytes alone, as they are.
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", WHITE_IS_ZERO, (1,), 1, (16,), ()), ("I;16B", "I;16B"))

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


# What turns an image upright, by the orientation that its EXIF block names.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


ODD_TIFF = "it is a TIFF file"  # how the reason of one begins that Pillow cannot open
OF_WHITE_ZERO = ", of which 0 is white"  # how it ends where that is odd


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
    if isinstance(error, ChannelError):
        reason = str(error)
    elif isinstance(error, Image.UnidentifiedImageError):
        reason = "it is not an image"
        with contextlib.suppress(OSError):
            reason = _unknown_tiff(folder / path) or reason if os.path.getsize(folder / path) else "it is empty"
    elif isinstance(error, Image.DecompressionBombError):
        reason = "it has too many pixels"
    elif isinstance(error, OSError) and error.errno:
        if error.errno not in FILE_ERRORS:
            raise error
        reason = error.strerror or str(error)
    else:
        reason = "it is cut short or damaged"
    return BrokenImageError(
        f"dataset is {folder}, whose file {path} cannot be read ({reason}); allowed: {allowed_files([reason])}. "
        "Repair or remove that file.",
        reason,
    )


def allowed_files(reasons: Iterable[str]) -> str:
    """What image files may be, in words that fit why some cannot be read."""
    odd = [reason for reason in reasons if reason.startswith(ODD_TIFF)]
    if odd:
        black = " of which 0 is black" if any(reason.endswith(OF_WHITE_ZERO) for reason in odd) else ""
        return (
            f"whole image files; TIFF files of one channel of up to 32 bits{black}, or of red, green and blue of 8 or "
            "16, to which such files can be converted"
        )
    return "whole image files"


def image_size_of(folder: Path, path: str) -> tuple[int, int]:
    """Width and height of an image file in pixels, from its header. Raises ConfigError, naming the file."""
    try:
        with Image.open(folder / path) as image:
            return image.size
    except DAMAGE as error:
        raise broken_image(folder, path, error) from error


def motion_and_size(folder: Path, path: str) -> tuple[bool, int, int]:
    """Whether an image file holds several pictures, and its width and height in pixels.

    Raises:
        BrokenImageError: naming the file.
    """
    try:
        with Image.open(folder / path) as image:
            return bool(getattr(image, "is_animated", False)), *image.size
    except DAMAGE as error:
        raise broken_image(folder, path, error) from error


class ChannelError(ValueError):
    """A file has channels that are neither colours nor marked as transparency."""


def _unknown_tiff(path: Path) -> str:
    """What is odd about a TIFF file that Pillow cannot open, in words; empty for other files."""
    with contextlib.suppress(*DAMAGE), open(path, "rb") as file:
        start = file.read(8)
        if start[:2] in (b"II", b"MM"):
            tags = TiffImagePlugin.ImageFileDirectory_v2(start)
            file.seek(tags.next)
            tags.load(file)
            bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
            count = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
            white = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO
            planes = ", one after another" if count > 1 and tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2 else ""
            zero = OF_WHITE_ZERO if white else ""
            return f"{ODD_TIFF} of {count} channel{'' if count == 1 else 's'} of {bits[0]} bits{planes}{zero}"
    return ""


DEEP = ("RGB", "RGBA", "LA")  # of PNG; what has one value is read whole
# Channels of a TIFF file that are colours, by its PhotometricInterpretation; further ones are extra.
TIFF_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
PREMULTIPLIED_ALPHA = 1  # the one value of ExtraSamples that nobody writes for something else
SIGNED = 2  # of SampleFormat
JP2_ALPHA = (1, 2)  # what a channel of JPEG 2000 may be beside a colour: transparency, and a premultiplied one


def _as_colours(image: Image.Image, extra_channels: str) -> Image.Image:
    """The image without channels beside its colours: transparent parts become white.

    Raises:
        ChannelError: see `_take_extra_channels`.
    """
    image = _take_extra_channels(image, extra_channels)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def _take_extra_channels(image: Image.Image, extra_channels: str) -> Image.Image:
    """A TIFF or JPEG 2000 image without what is neither colour nor transparency; other images as they are.

    There a fourth channel may be anything, such as near infrared, in TIFF also where it is marked as transparency,
    since many programs mark it so. It is taken for that where it is premultiplied, or nothing is transparent, and in
    JPEG 2000 where its header says so.

    Raises:
        ChannelError: if it may be something else, and `extra_channels` does not say what it is.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        count = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
        extra = count - TIFF_COLOURS.get(tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 2), count)
        if extra > 0:
            kinds = tags.get(TiffImagePlugin.EXTRASAMPLES, ())
            has_alpha = image.mode in ("RGBA", "LA", "PA")
            is_opaque = has_alpha and image.getchannel("A").getextrema()[0] == 255
            is_alpha = kinds[:1] == (PREMULTIPLIED_ALPHA,) or (extra == 1 and has_alpha and extra_channels == "alpha")
            if extra_channels == "refuse" and not is_opaque and not is_alpha:
                raise _unknown_channel(count)
            if not is_alpha and has_alpha:
                return image.convert("RGB" if image.mode == "RGBA" else "L")
    elif isinstance(image, Jpeg2KImagePlugin.Jpeg2KImageFile) and image.mode in ("RGBA", "LA"):
        is_alpha = extra_channels == "alpha" or _jp2_names_alpha(image)
        if extra_channels == "refuse" and not is_alpha and image.getchannel("A").getextrema()[0] != 255:
            raise _unknown_channel(len(image.mode))
        if not is_alpha:
            return image.convert("RGB" if image.mode == "RGBA" else "L")
    return image


def _unknown_channel(count: int) -> ChannelError:
    return ChannelError(
        f"it has {count} channels, and nothing says surely what the last is: set extra_channels to drop, or to alpha "
        "if it is transparency"
    )


def _jp2_names_alpha(image: Image.Image) -> bool:
    """Whether the header of a JPEG 2000 file that is not decoded yet says that a channel of it is transparency."""
    file = getattr(image, "fp", None)
    if file is None:
        return False
    before = file.tell()
    file.seek(0)
    try:
        boxes = Jpeg2KImagePlugin.BoxReader(file)
        while boxes.next_box_type() != b"jp2h":
            pass
        header = boxes.read_boxes()
        while header.has_next_box():
            if header.next_box_type() == b"cdef":  # its number of channels; of each its number, its kind, its colour
                (count,) = header.read_fields(">H")
                return any(header.read_fields(">HHH")[1] in JP2_ALPHA for _ in range(int(count)))
    except DAMAGE:  # a codestream without a header
        return False
    finally:
        file.seek(before)
    return False


def _has_deep_colours(image: Image.Image) -> bool:
    """Whether an image that is not decoded yet has colours or transparency of 16 bits, of which Pillow keeps 8."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.mode == "RGB" and image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,))[0] == 16
    if isinstance(image, PpmImagePlugin.PpmImageFile):
        (codec, _, _, how), *_ = image.tile
        return image.mode == "RGB" and codec == "ppm" and isinstance(how, tuple) and how[1] > 255
    return isinstance(image, PngImagePlugin.PngImageFile) and any(f"{mode};16" in str(image.tile[:1]) for mode in DEEP)


def _deep_tiff(path: Path, image: TiffImagePlugin.TiffImageFile) -> NDArray[np.uint16]:
    """The values of a TIFF with colours of 16 bits.

    Pillow gives the upper bytes, and the lower ones if it is told that they are in the other order.

    Raises:
        ChannelError: if the colours lie one after another, which Pillow takes for bytes.
    """
    if image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2:
        raise ChannelError(f"{ODD_TIFF} of 3 channels of 16 bits, one after another")
    raw_mode = str(image.tile[0][3])  # holds a name such as RGB;16L; N is the order of this machine
    upper_order = "B" if ";16B" in raw_mode or (";16N" in raw_mode and sys.byteorder == "big") else "L"
    halves: list[NDArray[np.uint16]] = []
    for order in (upper_order, "L" if upper_order == "B" else "B"):
        with Image.open(path) as half:
            half.tile = [
                tile._replace(args=(f"{str((tile.args or ' ')[0])[:-1]}{order}", *(tile.args or " ")[1:]))
                for tile in half.tile
            ]
            halves.append(np.asarray(half).astype(np.uint16))  # turned upright by Pillow
    return np.bitwise_or(np.left_shift(halves[0], 8), halves[1])


def _deep_colours(path: Path, image: Image.Image) -> NDArray[np.uint16] | None:
    """The values of a PNG, TIFF or PPM of 16 bits a colour, (height, width, 3), or 4 with transparency; else None."""
    if not _has_deep_colours(image):
        return None
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _deep_tiff(path, image)
    if isinstance(image, PpmImagePlugin.PpmImageFile):  # 16 bits a colour, of which the upper come first
        width, height = image.size
        values = np.fromfile(path, dtype=">u2", count=3 * width * height, offset=image.tile[0].offset)
        return values.astype(np.uint16).reshape(height, width, 3)  # a ValueError where some are missing
    assert isinstance(image, PngImagePlugin.PngImageFile)
    import torch
    from torchvision.io import ImageReadMode, decode_image

    mode = ImageReadMode.RGB if "RGB;16" in str(image.tile[:1]) else ImageReadMode.RGB_ALPHA
    found = decode_image(torch.from_numpy(np.fromfile(path, dtype=np.uint8)), mode)
    return found.permute(1, 2, 0).numpy() if found.dtype == torch.uint16 else None


def _over_white(values: NDArray[np.uint16], how: PixelValues) -> Image.Image:
    """Deep colours in 8 bits; what is transparent is white."""
    image = Image.fromarray(how.rescale(values[..., :3]))
    if values.shape[-1] == 4:
        image.putalpha(Image.fromarray((values[..., 3] >> 8).astype(np.uint8)))
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def _is_deep(image: Image.Image) -> bool:
    """Whether a pixel has one value of more than 8 bits, which `convert` would clip, or of 8 bits below zero too."""
    return image.mode.startswith("I") or image.mode == "F" or (image.mode == "L" and _sample_format(image) == SIGNED)


def _sample_format(image: Image.Image) -> int:
    """Of a TIFF file: 1 for values that are never below zero, 2 for signed ones, 3 for floats; 0 of other files."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    return int(image.tag_v2.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0])


def _is_white_zero(image: Image.Image) -> bool:
    """Whether the lowest value is white in an image of which `_is_deep` is true; scanners and X-ray devices do so."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    return image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO


def _deep_values(image: Image.Image) -> NDArray:
    """The values of an image of which `_is_deep` is true, (height, width)."""
    values = np.asarray(image)
    if values.dtype == np.uint8:
        return values.view(np.int8)
    # Pillow has no whole numbers of 32 bits without a sign
    return values.view(np.uint32) if values.dtype == np.int32 and _sample_format(image) == 1 else values


def is_deep(path: Path) -> bool:
    """Whether an image file holds values of more than 8 bits, from its header; False where it cannot be read."""
    with contextlib.suppress(*DAMAGE), Image.open(path) as image:
        return _is_deep(image) or _has_deep_colours(image)
    return False


def is_turned_round(path: Path) -> bool:
    """Whether an image file holds values of more than 8 bits whose lowest is white; False where it cannot be read."""
    with contextlib.suppress(*DAMAGE), Image.open(path) as image:
        return _is_deep(image) and _is_white_zero(image)
    return False


def stored_values(path: Path) -> NDArray:
    """The values of an image file as they are kept there, (height, width) or (height, width, 3): uint8 or deeper.

    Of an image of 16 bits with transparency only what is seen, (number of pixels, 3).

    Raises:
        Exception: one of `DAMAGE`.
    """
    with Image.open(path) as image:
        if _is_deep(image):
            return _deep_values(image)
        if (deep := _deep_colours(path, image)) is not None:
            return deep[..., :3] if deep.shape[-1] == 3 else deep[deep[..., 3] > 0][:, :3]
        return np.asarray(image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1..8; 1 (upright) where there is none or the EXIF block, not the image, is damaged.

    Also 1 for TIFF files, which Pillow turns itself.

    Raises:
        Exception: one of `DAMAGE`, for a damaged PNG, which is decoded: its EXIF block may follow the image.
    """
    if image.format == "PNG":
        image.load()  # a second attempt would take the decoded part for the whole
    with contextlib.suppress(*DAMAGE):
        return 1 if image.format == "TIFF" else int(image.getexif().get(0x0112, 1))
    return 1


def decode_image(folder: Path, path: str, side: int, how: PixelValues = AS_THEY_ARE) -> NDArray[np.uint8]:
    """An image file as (3, side, side): shorter side resized with antialiasing, middle square kept, grey made RGB.

    Args:
        how: what its values and channels mean.

    Raises:
        BrokenImageError: naming the file, where it cannot be read.
    """
    file = folder / path
    try:
        with Image.open(file) as opened:
            image: Image.Image = opened
            draft_side = side if min(image.size) > 2 * side and image.format == "JPEG" else None
            if draft_side is not None:  # the decoder itself can halve a large image, which is quicker
                image.draft("RGB", (side, side))
            deep = _deep_colours(file, image)  # before the EXIF block, for which a PNG is decoded
            turned = _orientation(image)
            if deep is None and not _is_deep(image) and jpeg_ends.ends_too_early(file, image, draft_side):
                raise EOFError(path)
            return _square(image, deep, turned, side, how)
    except DAMAGE as error:
        raise broken_image(folder, path, error) from error


def pixels_of(image: Image.Image, side: int, how: PixelValues = AS_THEY_ARE) -> NDArray[np.uint8]:
    """(3, side, side) of an image in memory, as `decode_image` gives that of the same image in a file.

    Only a JPEG file that is larger than twice `side` differs a little, since its decoder halves it.

    Raises:
        Exception: one of `DAMAGE`, for an image that was opened and is decoded only now.
    """
    return _square(image, None, _orientation(image), side, how)


def _square(image: Image.Image, deep: NDArray | None, turned: int, side: int, how: PixelValues) -> NDArray[np.uint8]:
    image = _upright(image, deep, turned, how)
    if image.size != (side, side):
        image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


def upright(image: Image.Image) -> Image.Image:
    """An image in memory in RGB, as `decode_image` sees it before it takes the middle square."""
    return _upright(image, None, _orientation(image), AS_THEY_ARE)


def _upright(image: Image.Image, deep: NDArray | None, turned: int, how: PixelValues) -> Image.Image:
    """An open image in RGB, whose colours of more than 8 bits are `deep`, turned as its EXIF block says."""
    if deep is not None:
        _take_extra_channels(image, how.extra_channels)
        image = _over_white(deep, how)
    elif _is_deep(image):
        image = Image.fromarray(how.rescale(_deep_values(image), is_turned_round=_is_white_zero(image)))
    else:
        image = _as_colours(image, how.extra_channels)
        if how.is_within_8_bits:
            image = Image.fromarray(how.rescale(np.asarray(image.convert("RGB"))))
    if turned in TURNS:
        image = image.transpose(TURNS[turned])
    return image if image.mode == "RGB" else image.convert("RGB")
