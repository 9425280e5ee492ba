"""A folder of images as a data set: its layout, the images that can be read, their size and contrast."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from simclr.config import ConfigError
from simclr.data.folders import folder_layout
from simclr.data.folders.decoding import DAMAGE, BrokenImageError, decode_image, image_size_of, stored_values
from simclr.data.folders.image_files import FileSource, is_flat
from simclr.data.folders.pixel_values import PixelValues
from simclr.data.folders.value_range import find_range_said
from simclr.data.sampling import TEST_STREAM, stratified_order
from simclr.data.sources import Progress
from simclr.data.splits import RawSplit, RawSplits

log = logging.getLogger(__name__)

LARGEST_OWN_SIDE = 224  # pixels; larger images are seen at this side unless image_size asks for more
SMALLEST_OWN_SIDE = 8  # pixels; smaller images are enlarged to it, since no network takes them
NUM_SIDE_SAMPLES = 200  # images whose size is looked at to find a folder's own side
JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
NUM_CONTRAST_SAMPLES = 32  # images that are decoded to see whether there is anything on them


def load(
    dataset: str,
    root: Path,
    image_size: int | None,
    seed: int,
    labelled_only: bool,
    broken_images: str = "skip",
    values: PixelValues | None = None,
    test_fraction: float = 0.2,
    progress: Progress | None = None,
) -> RawSplits:
    """Finds images, classes and splits below the folder `dataset`; `root` is where decoded images are kept.

    Values without a range get the one that the training images use.

    Broken images are left out before anything is cut, so that every path to the images has the same splits; the ids
    of the others stay.
    """
    layout = folder_layout.read(dataset, labelled_only=labelled_only, test_fraction=test_fraction)
    folder, classes = layout.folder, layout.classes

    values = values or PixelValues()
    in_train = layout.splits["train"].paths
    size, side, is_reduced = _sides(folder, in_train, image_size)
    if is_reduced:
        layout.notes.append(f"JPEG files larger than {2 * side} px are decoded at a reduced size, never below {side}.")
    far = ""
    if values.low is None:
        found, far = find_range_said(folder, in_train)
        if found is not None:
            values = replace(values, low=found[0], high=found[1])
    _check_contrast(dataset, folder, in_train, side, values)
    if values.sentence:
        layout.notes.append(f"{values.sentence} {far}".rstrip())

    def whole(name: str) -> RawSplit | None:
        files = layout.splits.get(name)
        if files is None:
            return None
        labels = None
        if files.classes is not None:
            index = {label: number for number, label in enumerate(classes)}
            labels = [index[label] for label in files.classes]
        source = FileSource(
            folder, files.paths, side, root / "decoded", refuse=broken_images == "refuse", values=values
        )
        images = RawSplit.whole(source, labels)
        return _readable(dataset, name, source, images, classes if labelled_only else (), progress)

    train, val, test = whole("train"), whole("val"), whole("test")
    assert train is not None
    if layout.cuts_test:
        assert train.labels is not None
        if labelled_only:  # of whole images
            folder_layout.check_test_can_be_cut(dataset, (classes[label] for label in train.labels))
        order = stratified_order(train.labels, seed, TEST_STREAM, spare_last=True)
        if len(order):  # none where each class has one image
            train, test = train.cut(np.sort(order[: layout.num_test_images(len(train))]))
    return RawSplits(classes or None, train, val, test, image_size=size, layout=layout, values=values)


def _readable(
    dataset: str, name: str, source: FileSource, images: RawSplit, classes: Sequence[str], progress: Progress | None
) -> RawSplit:
    """The images without those that are broken, which are named, or all refused.

    classes: of which each has to keep an image; none where labels are not needed.
    """
    source.left_out = source.find_broken(progress)
    if not source.left_out:
        return images
    if source.refuse or 2 * len(source.left_out) > len(source):
        raise source.refusal()
    good = images.take(np.setdiff1d(images.rows, list(source.left_out)))
    if classes and images.labels is not None and good.labels is not None:
        lost = sorted({classes[label] for label in np.setdiff1d(images.labels, good.labels)})
        if lost:
            raise ConfigError(
                f"dataset is {dataset}, whose {name} images of class {', '.join(lost[:5])} are all broken: "
                f"{source.naming(source.left_out)}; allowed: at least one whole image in each class."
            )
    log.warning(
        "dataset is %s: %s of %s %s images cannot be read and are left out: %s.",
        dataset,
        f"{len(source.left_out):,}",
        f"{len(source):,}",
        name,
        source.naming(source.left_out),
    )
    return good


def _sides(folder: Path, paths: Sequence[str], image_size: int | None) -> tuple[int, int, bool]:
    """Side in pixels at which a folder's images are seen, at which they are kept, and whether decoders reduce most.

    The own side is the one all sampled images share, else the median shorter side. Unless `image_size` says otherwise
    they are seen at it, up to `LARGEST_OWN_SIDE`; larger images are kept at 1.5 times that, enough for random crops.
    """
    indices = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), NUM_SIDE_SAMPLES)).astype(int))
    sides, jpeg_sides = [], []
    for index in indices:
        with contextlib.suppress(BrokenImageError):
            sides.append(min(image_size_of(folder, paths[index])))
            if paths[index].lower().endswith(JPEG_SUFFIXES):
                jpeg_sides.append(sides[-1])
    own = max(SMALLEST_OWN_SIDE, int(np.median(sides or [LARGEST_OWN_SIDE])))
    size = image_size or min(own, LARGEST_OWN_SIDE)
    side = kept_side(own, size)
    return size, side, 2 * sum(own > 2 * side for own in jpeg_sides) > len(sides)


def kept_side(own: int, size: int) -> int:
    """Side in pixels at which images are kept that are seen at `size` and whose shorter side is `own`."""
    return own if own == size else min(own, size * 3 // 2)


def _check_contrast(dataset: str, folder: Path, paths: Sequence[str], side: int, values: PixelValues) -> None:
    """Refuses a folder most of whose images come out nearly black, or of one colour each.

    That happens where few images use the range of values that others have, or a given range is not theirs.
    Looks at images evenly spaced over the folder, until the answer is clear.
    """
    indices = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), NUM_CONTRAST_SAMPLES)).astype(int))
    flat: list[str] = []
    num_seen = 0
    for index in np.random.default_rng(0).permutation(indices):
        with contextlib.suppress(BrokenImageError):
            image = decode_image(folder, paths[index], side, values)  # (3, side, side)
            num_seen += 1
            if is_flat(image[None]).all():
                flat.append(paths[index])
            if 2 * (num_seen - len(flat)) >= len(indices):
                return
    if 2 * len(flat) > num_seen:
        raise ConfigError(
            f"dataset is {dataset}, where {len(flat)} of {num_seen} images looked at are nearly of one colour, such as "
            f"{flat[0]}{_values_text(folder / flat[0], values)}; allowed: images whose values fill their range, or "
            "value_min and value_max set to those that are to become black and white."
        )


def _values_text(path: Path, values: PixelValues) -> str:
    """The values an image file holds beside the range they are shown with, in words; empty where it does not tell."""
    with contextlib.suppress(*DAMAGE):
        found = stored_values(path)
        low, high = 0.0, float(np.iinfo(found.dtype).max if found.dtype.kind in "iu" else 255)
        if values.low is not None and values.high is not None:
            low, high = values.low, values.high
        return f" (values {found.min():,.4g} to {found.max():,.4g}, of {low:,.6g} to {high:,.6g})"
    return ""
