"""What pixel values and channels of image files mean: depths, floats, fourth channels, and files that lack a part."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, PretrainConfig
from simclr.data import loading
from simclr.data.folders import decoding, jpeg_ends
from simclr.data.folders.pixel_values import PixelValues
from simclr.data.folders.value_range import find_range
from simclr.lifecycle import prepare
from simclr.lifecycle.train import train

SIDE = 16
PICTURES = np.random.default_rng(3).random((24, SIDE, SIDE)).astype(np.float32)
PICTURES[:, :4] *= 0.5  # no two rows alike on average
PICTURES[:, 0, 0], PICTURES[:, 0, 1] = 0, 1


def grey(dtype, top, low=0.0):
    """Writes a picture in 0..1 as values from `low` to `top`."""

    def write(path, picture):
        values = low + picture * (top - low)
        Image.fromarray((values.round() if np.dtype(dtype).kind in "iu" else values).astype(dtype)).save(path)

    return write


def colour_png_16(top, kind=2):
    """Writes a PNG of 16 bits a colour, which Pillow cannot; of kind 4 and 6 grey and colours that hide nothing."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    def write(path, picture):
        values = np.repeat((picture * top).round().astype(">u2")[..., None], {2: 3, 4: 2, 6: 4}[kind], axis=2)
        if kind != 2:
            values[..., -1] = 65535
        lines = b"".join(b"\0" + line.tobytes() for line in values)
        header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, kind, 0, 0, 0)
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
        )

    return write


def colour_tiff_16(top, *, order="<", compressed=False, planes=False, extra=()):
    """Writes a TIFF of 16 bits a colour, which Pillow cannot; `extra` are the kinds of further channels, of zeros."""

    def write(path, picture):
        colours = np.repeat((picture * top).round()[..., None], 3, axis=2)
        values = np.concatenate([colours, np.zeros((SIDE, SIDE, len(extra)))], axis=2).astype(f"{order}u2")
        strips = [values[..., channel] for channel in range(values.shape[2])] if planes else [values]
        contents = [zlib.compress(strip.tobytes()) if compressed else strip.tobytes() for strip in strips]
        starts = [8 + sum(map(len, contents[:number])) for number in range(len(contents))]
        tags = [
            (256, [SIDE]),
            (257, [SIDE]),
            (258, [16] * values.shape[2]),
            (259, [8 if compressed else 1]),
            (262, [2]),
        ]
        tags += [(273, starts), (277, [values.shape[2]]), (278, [SIDE]), (279, list(map(len, contents)))]
        tags += [(284, [2 if planes else 1]), *([(338, list(extra))] if extra else [])]
        lists_at = 8 + sum(map(len, contents))
        lists, entries = b"", b""
        for tag, numbers in tags:
            packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
            if len(numbers) > 1:
                packed, lists = struct.pack(f"{order}I", lists_at + len(lists)), lists + packed
            entries += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + packed
        head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, lists_at + len(lists))
        path.write_bytes(head + b"".join(contents) + lists + struct.pack(f"{order}H", len(tags)) + entries + bytes(4))

    return write


def ppm_16(top, kind=6):
    """Writes a PPM of 16 bits a colour, of which Pillow keeps 8."""

    def write(path, picture):
        values = np.repeat((picture * top).round().astype(">u2")[..., None], 3 if kind == 6 else 1, axis=2)
        path.write_bytes(b"P%d\n# a note\n%d %d\n65535\n" % (kind, SIDE, SIDE) + values.tobytes())

    return write


def tiff_of_one(dtype, top, low=0):
    """Writes a TIFF of one value a pixel of a type that Pillow does not write."""

    def write(path, picture):
        values = (low + picture.astype(np.float64) * (top - low)).round().astype(dtype)
        kind = 2 if values.dtype.kind == "i" else 1
        tags = [(256, SIDE), (257, SIDE), (258, 8 * values.itemsize), (259, 1), (262, 1), (273, 8), (277, 1)]
        tags += [(278, SIDE), (279, values.nbytes), (339, kind)]
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, number) for tag, number in tags)
        head = struct.pack("<2sHI", b"II", 42, 8 + values.nbytes)
        path.write_bytes(head + values.tobytes() + struct.pack("<H", len(tags)) + entries + bytes(4))

    return write


def white_is_zero(dtype, top, compression=None):
    """Writes a TIFF whose lowest value is white, of which the inverted picture is kept."""

    def write(path, picture):
        values = top - picture.astype(np.float64) * top
        values = (values if np.dtype(dtype).kind == "f" else values.round()).astype(dtype)
        order, bits = values.dtype.str[0].replace("|", "<"), 8 * values.itemsize
        content = zlib.compress(values.tobytes()) if compression else values.tobytes()
        kind = 3 if values.dtype.kind == "f" else 1
        tags = [(256, SIDE), (257, SIDE), (258, bits), (259, 8 if compression else 1), (262, 0), (273, 8), (277, 1)]
        tags += [(278, SIDE), (279, len(content)), (339, kind)]
        entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, number) for tag, number in tags)
        head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(content))
        path.write_bytes(head + content + struct.pack(f"{order}H", len(tags)) + entries + bytes(4))

    return write


# How the same pictures are kept: the writer, the ending, and the range that is found.
KEPT = {
    "8 bits": (grey(np.uint8, 255), ".png", None),
    "8 bits in 16": (grey(np.uint16, 255), ".png", (0, 255)),
    "10 bits in 16": (grey(np.uint16, 1023), ".tif", (0, 1023)),
    "12 bits in 16": (grey(np.uint16, 4095), ".png", (0, 4095)),
    "12 bits in 16, TIFF": (grey(np.uint16, 4095), ".tif", (0, 4095)),
    "14 bits in 16": (grey(np.uint16, 16383), ".png", (0, 16383)),
    "16 bits": (grey(np.uint16, 65535), ".png", (0, 65535)),
    "12 bits in 32": (grey(np.int32, 4095), ".tif", (0, 4095)),
    "a few of 16 bits": (grey(np.uint16, 5400, low=5000), ".png", (5000, 5400)),
    "densities": (grey(np.int32, 3071, low=-1024), ".tif", (-1024, 3071)),
    "float in 0..1": (grey(np.float32, 1), ".tif", (0, 1)),
    "float in -1..1": (grey(np.float32, 1, low=-1), ".tif", (-1, 1)),
    "float in 0..255": (grey(np.float32, 255), ".tif", (0, 255)),
    "float in 0..4095": (grey(np.float32, 4095), ".tif", (0, 4095)),
    "large floats": (grey(np.float32, 2e6), ".tif", (0, 2e6)),
    "16 bits a colour": (colour_png_16(65535), ".png", (0, 65535)),
    "12 bits in 16 a colour": (colour_png_16(4095), ".png", (0, 4095)),
    "8 bits in 16 a colour": (colour_png_16(255), ".png", (0, 255)),
    "12 bits in 16 a colour, and transparency": (colour_png_16(4095, 6), ".png", (0, 4095)),
    "12 bits in 16, and transparency": (colour_png_16(4095, 4), ".png", (0, 4095)),
    "12 bits in 16 a colour, TIFF": (colour_tiff_16(4095), ".tif", (0, 4095)),
    "10 bits in 16 a colour, TIFF of the other order": (colour_tiff_16(1023, order=">"), ".tif", (0, 1023)),
    "16 bits a colour, TIFF, compressed": (colour_tiff_16(65535, compressed=True), ".tif", (0, 65535)),
    "12 bits in 16 a colour, compressed, other order": (
        colour_tiff_16(4095, order=">", compressed=True),
        ".tif",
        (0, 4095),
    ),
    "12 bits in 16 a colour, PPM": (ppm_16(4095), ".ppm", (0, 4095)),
    "16 bits a colour, PPM": (ppm_16(65535), ".ppm", (0, 65535)),
    "12 bits in 16, PGM": (ppm_16(4095, 5), ".pgm", (0, 4095)),
    "12 bits in 32 without sign": (tiff_of_one("<u4", 4095), ".tif", (0, 4095)),
    "32 bits without sign": (tiff_of_one("<u4", 2**32 - 1), ".tif", (0, 2**32 - 1)),
    "8 bits with a sign": (tiff_of_one("<i1", 127, low=-128), ".tif", (-128, 127)),
    "8 bits, white is 0": (white_is_zero("u1", 255), ".tif", None),
    "8 bits, compressed, white is 0": (white_is_zero("u1", 255, "zip"), ".tif", None),
    "16 bits, white is 0": (white_is_zero("<u2", 65535), ".tif", (0, 65535)),
    "12 bits in 16, white is 0": (white_is_zero("<u2", 4095), ".tif", (0, 4095)),
    "12 bits in 16, compressed, white is 0": (white_is_zero("<u2", 4095, "zip"), ".tif", (0, 4095)),
    "12 bits in 16, other order, white is 0": (white_is_zero(">u2", 4095), ".tif", (0, 4095)),
    "16 bits, compressed, other order, white is 0": (white_is_zero(">u2", 65535, "zip"), ".tif", (0, 65535)),
    "float in 0..1, white is 0": (white_is_zero("<f4", 1), ".tif", (0, 1)),
    "float in 0..255, other order, white is 0": (white_is_zero(">f4", 255), ".tif", (0, 255)),
    "masks of 4 bits": (grey(np.uint8, 15), ".png", (0, 15)),
    "masks of two classes": (lambda path, picture: grey(np.uint8, 1)(path, picture > 0.5), ".png", (0, 1)),
}


def folder_of(root, write, suffix, pictures=PICTURES):
    for number, picture in enumerate(pictures):
        folder = root / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"{number:02d}{suffix}", picture)
    return root


def shown(folder, root, **options):
    """The images of a folder in the order of their names, one channel, and the data set."""
    data = loading.load_data(str(folder), data_dir=str(root), val_fraction=0, **options)
    images = torch.cat([part.images_at(range(part.num_images)) for part in (data.train, data.test)])
    order = torch.cat([data.train.ids, data.test.ids]).argsort()
    return images[order][:, 0].numpy(), data


@pytest.mark.parametrize("memory_limit", [2**30, 0])
@pytest.mark.parametrize("name", KEPT)
def test_pictures_look_the_same_however_deep_they_are_kept(tmp_path, name, memory_limit):
    write, suffix, found = KEPT[name]
    folder = folder_of(tmp_path / "set", write, suffix)
    images, data = shown(folder, tmp_path / "root", memory_limit=memory_limit)
    expected = [number for number in range(24) if number % 2 == 0] + [number for number in range(24) if number % 2]
    wanted = PICTURES[expected] if "two classes" not in name else PICTURES[expected] > 0.5
    step = 255 / 15 if "4 bits" in name else 1
    assert np.abs(images - 255 * wanted.astype(np.float64)).max() <= 0.51 * max(1, step) + 0.5
    assert (data.values.low, data.values.high) == (found or (None, None))
    is_said = found not in (None, (0, 255))
    assert (
        (f"Values from {found[0]:,.6g} (black) to {found[1]:,.6g} (white)." in data.reading)
        if is_said
        else ("Values" not in data.reading)
    )


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("white", [0, 1])
def test_few_bits_of_which_0_is_white_or_black(tmp_path, bits, white):
    """A left half of ones and a right one of zeros, without compression; of one bit also as a fax has it."""
    content = (b"\xff" * bits + b"\0" * bits) * 16
    tags = [(256, 16), (257, 16), (258, bits), (259, 1), (262, white), (273, 8), (277, 1), (278, 16), (279, 32 * bits)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, number) for tag, number in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(content))
    (tmp_path / "x.tif").write_bytes(head + content + struct.pack("<H", len(tags)) + entries + bytes(4))
    wanted = np.repeat([255, 0] if white else [0, 255], 8)
    assert (decoding.decode_image(tmp_path, "x.tif", 16) == wanted).all()
    if bits == 1:
        picture = Image.fromarray(np.tile(wanted, (16, 1)).astype(np.uint8)).convert("1")
        picture.save(tmp_path / "fax.tif", compression="group4", tiffinfo={262: white})
        assert (decoding.decode_image(tmp_path, "fax.tif", 16) == wanted).all()


def test_files_of_which_0_is_white_beside_others_are_shown_alike_and_said(tmp_path):
    folder = folder_of(tmp_path / "set", grey(np.uint16, 4095), ".tif", PICTURES)
    for path in list(folder.glob("a/*.tif"))[:6]:
        white_is_zero("<u2", 4095)(path, PICTURES[int(path.stem)])
    images, data = shown(folder, tmp_path / "root")
    order = [*range(0, 24, 2), *range(1, 24, 2)]
    assert np.abs(images - 255 * PICTURES[order].astype(np.float64)).max() <= 1.1
    assert "Values from 0 (black) to 4,095 (white). Files that say so (" in data.reading
    turned = next(path for path in folder.glob("a/*.tif") if decoding.is_turned_round(path))
    in_memory = decoding.pixels_of(Image.open(turned), SIDE, data.values)[0] / 255
    assert np.abs(in_memory - PICTURES[int(turned.stem)]).max() < 0.01


def test_no_number_stays_black_where_0_is_white():
    values = np.array([[np.nan, np.inf, 0.0, 255.0]])
    assert PixelValues().rescale(values, is_turned_round=True).tolist() == [[0, 0, 255, 0]]


def test_32_bits_of_which_0_is_white_are_said(tmp_path):
    white_is_zero("<u4", 4095)(tmp_path / "x.tif", PICTURES[0])
    with pytest.raises(
        ConfigError, match=r"TIFF file of 1 channel of 32 bits, of which 0 is white\); allowed: .* black"
    ):
        decoding.decode_image(tmp_path, "x.tif", 8)


def test_one_range_for_all_images_of_all_splits(tmp_path):
    """A dark image stays dark beside a light one, and test images are shown as training images are."""
    write = grey(np.uint16, 4095)
    for split, scale in (("train", 1.0), ("test", 0.5)):
        folder_of(tmp_path / "set" / split, write, ".png", PICTURES * scale)
    data = loading.load_data(str(tmp_path / "set"), data_dir=str(tmp_path), val_fraction=0)
    assert data.train.images_at([0]).max() == 255 and data.test.images_at([0]).max() == 128


def test_deep_images_beside_those_of_8_bits(tmp_path):
    folder = folder_of(tmp_path / "set", grey(np.uint8, 255), ".png", PICTURES[:12])
    folder_of(tmp_path / "set", grey(np.uint16, 4095), ".tif", PICTURES[:12])
    images, data = shown(folder, tmp_path / "root")
    assert (data.values.low, data.values.high) == (0, 4095)
    assert np.abs(images[0::2].astype(int) - images[1::2]).max() <= 1


def test_what_is_not_a_number_is_black_and_no_part_of_the_range(tmp_path):
    pictures = PICTURES.copy()
    pictures[:, 5, 5], pictures[:, 6, 6], pictures[:, 7, 7] = np.nan, np.inf, -np.inf
    images, data = shown(folder_of(tmp_path / "set", grey(np.float32, 1), ".tif", pictures), tmp_path / "root")
    assert (data.values.low, data.values.high) == (0, 1)
    assert (images[:, 5, 5] == 0).all() and (images[:, 6, 6] == 255).all() and (images[:, 7, 7] == 0).all()


def test_a_range_that_is_given_is_used_and_one_that_is_found_is_recorded(tmp_path):
    folder = folder_of(tmp_path / "set", grey(np.uint16, 4095), ".png")
    options = {"dataset": str(folder), "data_dir": str(tmp_path / "root"), "backbone": "resnet_tiny"}
    options |= {"epochs": 1, "batch_size": 8, "num_threads": 1, "accelerator": "cpu"}
    options |= {"hidden_dim": 8, "projection_dim": 4}
    given = cfg.build(PretrainConfig, options | {"value_min": 1000, "value_max": 2000})
    data = prepare.prepare(given, tmp_path).data
    assert set(np.unique(data.train.images_at([0]).numpy())) >= {0, 255}
    assert (data.train.images_at(range(4)).numpy() == 0).mean() == pytest.approx(0.27, abs=0.1)  # below 1000 of 4095

    run = train(cfg.build(PretrainConfig, options), runs_dir=tmp_path / "runs")
    assert run.status.state == "finished", run.status.error
    assert (run.config["value_min"], run.config["value_max"]) == (0, 4095)
    # whoever shows the images again takes the run's range, also where the folder has changed
    grey(np.uint16, 65535)(folder / "a" / "99.png", PICTURES[0])
    again = loading.load_run_data(runs.load_config(run))
    assert (again.values.low, again.values.high) == (0, 4095)


@pytest.mark.parametrize(
    ("dtype", "top", "mark", "share", "found"),
    [
        (np.float32, 1, -9999, 0.1, (0, 1)),
        (np.float32, 1, -3.4e38, 0.5, (0, 1)),
        (np.float32, 1, 1e20, 0.1, (0, 1)),
        (np.uint16, 4095, 65535, 0.3, (0, 4095)),
        (np.uint16, 1023, 65535, 0.0005, (0, 1023)),  # a few broken pixels
        (np.int32, 4095, -32768, 0.2, (0, 4095)),
    ],
)
def test_marks_of_missing_data_and_broken_pixels_are_no_part_of_the_range(tmp_path, dtype, top, mark, share, found):
    """Else all the rest is of one grey: the mark alone has contrast, so that nothing refuses such a folder."""
    plain = folder_of(tmp_path / "plain", grey(dtype, top), ".tif")
    draw = np.random.default_rng(5)

    def marked(path, picture):
        values = (picture * top).round().astype(dtype) if np.dtype(dtype).kind in "iu" else picture.astype(dtype) * top
        values[draw.random(values.shape) < share] = mark
        Image.fromarray(values).save(path)

    images, data = shown(folder_of(tmp_path / "set", marked, ".tif"), tmp_path / "root")
    assert (data.values.low, data.values.high) == found
    assert f"Values far from all others ({mark:,.6g}) are no part of that range." in data.reading
    expected, _ = shown(plain, tmp_path / "root")
    is_same = (images == expected).mean()
    assert is_same > 1 - share - 0.02
    assert set(np.unique(images[images != expected])) == {0 if mark < 0 else 255}


def test_values_that_are_far_apart_but_few_or_in_between_are_the_range(tmp_path):
    """Labels, an image on a black ground that fills its depth, and one with bright spots."""
    assert told_range(tmp_path / "a", lambda p: np.where(p > 0.9, 65535, (p * 5).astype(np.uint16))) == (0, 65535)
    assert told_range(tmp_path / "b", lambda p: np.where(p > 0.5, 0, p * 65535)) == (0, 65535)
    assert told_range(tmp_path / "c", lambda p: np.where(p > 0.95, p * 60000, 90 + 40 * p)) == (0, 65535)


def told_range(root, values):
    def write(path, picture):
        Image.fromarray(np.asarray(values(picture)).astype(np.uint16)).save(path)

    folder = folder_of(root, write, ".tif")
    return find_range(folder, [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.tif"))])


def test_8_bits_are_looked_at_until_one_image_uses_them(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "set", grey(np.uint8, 255), ".png")
    opened = []
    original = decoding.stored_values
    monkeypatch.setattr(decoding, "stored_values", lambda path: opened.append(path) or original(path))
    paths = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.png"))]
    assert find_range(folder, paths) is None and len(opened) == 1


def test_images_of_one_colour_are_counted_and_one_is_named(tmp_path):
    folder = folder_of(tmp_path / "set", grey(np.uint8, 255), ".png")
    for number in (2, 4, 6):
        Image.new("L", (SIDE, SIDE), 9).save(folder / "a" / f"{number:02d}.png")
    for _ in range(2):  # also from the cache
        _, data = shown(folder, tmp_path / "root")
        assert data.reading.endswith(" 3 images are nearly of one colour (such as a/02.png).")


# --- channels -------------------------------------------------------------------------------------------------------


def four_bands(extra_samples, band):
    """Writes a TIFF of four bands: red is 60, and the fourth is `band`, marked as `extra_samples`; None: not at all."""

    def write(path, picture):
        values = np.repeat((picture * 255).astype(np.uint8)[..., None], 4, axis=2)
        values[..., 0], values[..., 3] = 60, band(picture)
        info = TiffImagePlugin.ImageFileDirectory_v2()
        info[TiffImagePlugin.EXTRASAMPLES] = 2
        Image.fromarray(values, "RGBA").save(path, tiffinfo=info)
        content = bytearray(path.read_bytes())
        entry = content.index(struct.pack("<HHI", TiffImagePlugin.EXTRASAMPLES, 3, 1))
        if extra_samples is None:  # another tag, which says nothing of it
            content[entry : entry + 2] = struct.pack("<H", TiffImagePlugin.RESOLUTION_UNIT)
        else:
            content[entry + 8 : entry + 10] = struct.pack("<H", extra_samples)
        path.write_bytes(content)

    return write


def near_infrared(picture):
    return (255 * (1 - picture)).astype(np.uint8)


@pytest.mark.parametrize("extra_samples", [0, 2, None])
def test_a_fourth_band_of_a_tiff_is_refused_until_someone_says_what_it_is(tmp_path, extra_samples):
    folder = folder_of(tmp_path / "set", four_bands(extra_samples, near_infrared), ".tif")
    with pytest.raises(ConfigError) as caught:
        shown(folder, tmp_path / "root")
    assert str(caught.value) == (
        f"dataset is {folder}, 24 of whose 24 images cannot be read: a/00.tif, a/02.tif, a/04.tif and 21 more (it has "
        "4 channels, and nothing says surely what the last is: set extra_channels to drop, or to alpha if it is "
        "transparency); allowed: whole image files."
    )
    images, _ = shown(folder, tmp_path / "root", values=PixelValues(extra_channels="drop"))
    assert (images == 60).all()
    if extra_samples != 0:
        images, _ = shown(folder, tmp_path / "root", values=PixelValues(extra_channels="alpha"))
        assert images.min() == 60 and images.max() == 255


def jp2(path, fourth, *, says_alpha, header=True):
    """Writes a JPEG 2000 file of red 60 and a fourth channel, whose header says that it is transparency, or nothing."""
    image = Image.fromarray(np.stack([np.full((SIDE, SIDE), value, np.uint8) for value in (60, 0, 0, fourth)], axis=2))
    stream = io.BytesIO()
    image.save(stream, "JPEG2000", no_jp2=not header)
    content = stream.getvalue()
    assert (b"cdef" in content) == header
    path.write_bytes(content if says_alpha else content.replace(b"cdef", b"free"))


@pytest.mark.parametrize("header", [True, False])
def test_a_fourth_channel_of_jpeg_2000_is_transparency_where_the_header_says_so(tmp_path, header):
    def red(**options):
        return decoding.decode_image(tmp_path, "a.jp2", SIDE, PixelValues(**options))[0, 0, 0]

    jp2(tmp_path / "a.jp2", 128, says_alpha=False, header=header)
    with pytest.raises(ConfigError, match=r"\(it has 4 channels, and nothing says surely what the last is: set"):
        red()
    assert abs(red(extra_channels="drop") - 60) <= 1
    assert abs(red(extra_channels="alpha") - (60 + 255) / 2) <= 2
    jp2(tmp_path / "a.jp2", 255, says_alpha=False, header=header)
    assert abs(red() - 60) <= 1
    if header:
        jp2(tmp_path / "a.jp2", 128, says_alpha=True)
        assert abs(red() - (60 + 255) / 2) <= 2


def test_a_fourth_band_that_hides_nothing_and_one_that_is_premultiplied_are_transparency(tmp_path):
    folder = folder_of(tmp_path / "opaque", four_bands(2, lambda picture: 255), ".tif")
    assert (shown(folder, tmp_path / "root")[0] == 60).all()
    folder = folder_of(tmp_path / "premultiplied", four_bands(1, lambda picture: 255), ".tif")
    assert (shown(folder, tmp_path / "root")[0] == 60).all()


def test_more_bands_than_can_be_read_are_counted(tmp_path):
    """Five bands of 16 bits, as a satellite gives them; Pillow opens no such file."""
    tags = [(256, 4, 1, 2), (257, 4, 1, 2), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 5), (278, 4, 1, 2), (279, 4, 1, 40)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    content = struct.pack("<2sHI", b"II", 42, 48) + bytes(40) + struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "five.tif").write_bytes(content)
    with pytest.raises(ConfigError, match=r"five\.tif cannot be read \(it is a TIFF file of 5 channels of 16 bits\)"):
        decoding.decode_image(tmp_path, "five.tif", 8)


def test_sixteen_bits_a_colour_and_one_more_are_refused_until_someone_says_what_it_is(tmp_path):
    folder = folder_of(tmp_path / "set", colour_tiff_16(4095, extra=(0,)), ".tif")
    with pytest.raises(ConfigError, match=r"24 of whose 24 images .*it has 4 channels, and nothing says surely"):
        shown(folder, tmp_path / "root")
    images, data = shown(folder, tmp_path / "root", values=PixelValues(extra_channels="drop"))
    assert (data.values.low, data.values.high) == (0, 4095) and images.max() == 255


def test_what_no_tiff_file_can_be_is_said_with_what_it_can(tmp_path, caplog, capfd):
    """Colours one after another in 16 bits, which Pillow takes for bytes, and 12 channels, of which it logs each."""
    for write in (colour_tiff_16(4095, planes=True), colour_tiff_16(4095, extra=(0,) * 9)):
        folder = folder_of(tmp_path / str(write), write, ".tif")
        with pytest.raises(ConfigError) as caught:
            shown(folder, tmp_path / "root")
        assert "it is a TIFF file of " in str(caught.value)
        assert str(caught.value).endswith(
            "allowed: whole image files; TIFF files of one channel of up to 32 bits, or of red, green and blue of 8 or "
            "16, to which such files can be converted."
        )
    assert "samples per pixel" not in caplog.text + capfd.readouterr().err


# --- orientation, and what is missing -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path, kind, orientation):
    corner = np.zeros((32, 32, 3), dtype=np.uint8)
    corner[:16, :16] = 255
    upright = Image.fromarray(corner)
    # how a camera that was held so stores it: the inverse of each turn
    turns = decoding.TURNS | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = upright.transpose(turns[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = {"save_all": True, "append_images": [stored]} if kind == "MPO" else {}
    stored.save(tmp_path / "x", kind, exif=exif, **more)
    found = decoding.decode_image(tmp_path, "x", 32)
    assert found[:, :14, :14].min() > 230 and found[:, :14, 18:].max() < 25 and found[:, 18:].max() < 25


def jpeg(picture, **options):
    stream = io.BytesIO()
    Image.fromarray(picture).convert(options.pop("mode", "RGB")).save(stream, "JPEG", **options)
    return stream.getvalue()


def test_whole_jpeg_files_with_a_plain_corner_are_not_taken_for_cut_ones(tmp_path):
    count = 0
    for quality, sampling, progressive, mode, background, size, restarts in itertools.product(
        (30, 95), (0, 1, 2), (False, True), ("RGB", "L", "CMYK"), (0, 128, 255), ((64, 64), (61, 37), (90, 200)), (0, 1)
    ):
        picture = np.full((size[1], size[0], 3), background, dtype=np.uint8)
        half = (size[1] // 2, size[0] // 2, 3)
        picture[: half[0], : half[1]] = np.random.default_rng(count).integers(0, 256, half)
        options = {"restart_marker_rows": 1} if restarts else {}
        options |= {"quality": quality, "subsampling": sampling, "progressive": progressive, "mode": mode}
        (tmp_path / "x.jpg").write_bytes(jpeg(picture, **options))
        for side in (8, 32):  # the first is decoded at a part of its size
            decoding.decode_image(tmp_path, "x.jpg", side)
        count += 1
    assert count == 648


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7])
def test_jpeg_files_that_were_cut_and_closed_again_are_found(tmp_path, progressive, share):
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    whole = jpeg(picture, quality=90, progressive=progressive)
    start = whole.index(b"\xff\xda") + 20
    (tmp_path / "x.jpg").write_bytes(whole[: start + int(share * (len(whole) - start))] + jpeg_ends.END)
    assert decoding.looks_whole(str(tmp_path / "x.jpg"))
    with pytest.raises(ConfigError, match="cut short or damaged"):
        decoding.decode_image(tmp_path, "x.jpg", 32)


@pytest.mark.parametrize("side", [32, 400])
@pytest.mark.parametrize("share", [0.7, 0.9, 0.97])
def test_jpeg_files_that_lack_a_few_rows_are_found_also_where_they_are_halved(tmp_path, side, share):
    picture = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    whole = jpeg(picture, quality=90)
    (tmp_path / "x.jpg").write_bytes(whole[: int(share * len(whole))] + jpeg_ends.END)
    with pytest.raises(ConfigError, match="cut short or damaged"):
        decoding.decode_image(tmp_path, "x.jpg", side)
    (tmp_path / "x.jpg").write_bytes(whole)
    assert decoding.decode_image(tmp_path, "x.jpg", side).shape == (3, side, side)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_png_files_that_are_damaged_in_the_middle_are_found(tmp_path, share):
    """The attempt to decode one for its EXIF block is the one that tells."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(stream, "PNG")
    content = bytearray(stream.getvalue())
    place = int(share * len(content))
    content[place : place + 2] = bytes(255 - value for value in content[place : place + 2])
    (tmp_path / "x.png").write_bytes(content)
    assert decoding.looks_whole(str(tmp_path / "x.png"))
    with pytest.raises(ConfigError, match="cut short or damaged"):
        decoding.decode_image(tmp_path, "x.png", 32)


def test_images_below_8_pixels_are_enlarged(tmp_path):
    folder = folder_of(tmp_path / "set", grey(np.uint8, 255), ".png", PICTURES[:, :6, :6])
    assert shown(folder, tmp_path / "root")[1].image_size == 8
