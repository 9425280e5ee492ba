"""Images for the Augmentations page and their random views; the one part of the dashboard that uses torch, on the CPU.

Views are drawn by the trainer's own code. Torch is imported inside the functions, so that the server does not load it
before the page is opened. Imports no streamlit.
"""

from __future__ import annotations

import base64
import io
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import config as cfg
from simclr.config import Augmentation, ConfigError

NUM_SHOWN = 32  # images in the strip to choose from
NUM_KEPT = 320  # images of a data set that are kept; the strip shows a draw of them
MAX_FILES = 20_000  # files of a folder that are looked at
TILE = 48  # side of a picture in the strip, in pixels
# What a downloaded set leaves in the data root; any of them means that it is there.
TRACES = {
    "cifar10": ("cifar-10-batches-py",),
    "cifar100": ("cifar-100-python",),
    "stl10": ("stl10_binary",),
    "svhn": ("train_32x32.mat",),
    "fashion_mnist": ("FashionMNIST/raw",),
}


@dataclass(frozen=True)
class Gallery:
    """Some training images of a data set.

    images: (N, 3, S, S) uint8. ids: (N,) their numbers in the data set, which seed their views. names: (N,) classes, or
    empty words.
    """

    images: NDArray[np.uint8]
    ids: NDArray[np.int64]
    names: list[str]

    @property
    def side(self) -> int:
        return int(self.images.shape[-1])

    def title(self, place: int) -> str:
        return f"{self.names[place]} {self.ids[place]}".strip()

    def places(self, numbers: list[int]) -> list[int]:
        """Where the images with these numbers are; unknown numbers are left out."""
        found = {int(number): place for place, number in enumerate(self.ids)}
        return [found[number] for number in numbers if number in found]

    def draw(self, seed: int, count: int) -> list[int]:
        """Numbers of `count` images drawn at random, sorted."""
        order = np.random.default_rng([seed, len(self.ids)]).permutation(len(self.ids))[:count]
        return sorted(int(number) for number in self.ids[order])


def present(data_dir: str | None = None) -> list[str]:
    """Names of data sets that can be shown without a download."""
    root = Path(data_dir or os.environ.get("SIMCLR_DATA_DIR") or "~/.cache/simclr").expanduser()
    there = [name for name, traces in TRACES.items() if any((root / trace).exists() for trace in traces)]
    return [*cfg.BUILT_IN_DATASETS, *there]


def load(dataset: str, data_dir: str | None = None) -> Gallery:
    """Some training images of a data set that is here already, evenly spread over it.

    Raises:
        ConfigError: with one sentence, if it is not here or cannot be read.
    """
    if dataset == "shapes":
        from simclr import shapes

        drawn = shapes.generate("train", NUM_KEPT)
        return Gallery(drawn.images, np.arange(NUM_KEPT), [shapes.CLASSES[label] for label in drawn.labels])
    if dataset in cfg.DATASETS:
        if dataset not in present(data_dir):
            raise ConfigError(
                f"dataset is {dataset}, which was not downloaded yet; a pre-training on it does that. "
                f"Allowed here: {', '.join(present(data_dir))}, or a folder of images."
            )
        return _from_split(dataset, data_dir)
    return _from_folder(dataset)


def _from_split(dataset: str, data_dir: str | None) -> Gallery:
    import torch

    from simclr import data

    found = data.load_data(dataset, data_dir=data_dir, val_fraction=0)
    split = found.train
    places = np.unique(np.linspace(0, split.num_images - 1, min(NUM_KEPT, split.num_images)).astype(np.int64))
    images = split.images_at(torch.from_numpy(places)).numpy()
    names = [""] * len(places)
    if split.labels is not None and found.classes:
        names = [found.classes[label] for label in split.labels[places].tolist()]
    return Gallery(images, split.ids[places].numpy(), names)


def _from_folder(dataset: str) -> Gallery:
    """Some files of a folder; unlike a training it reads no more than those."""
    from simclr.folders import IMAGE_SUFFIXES, LARGEST_OWN_SIDE
    from simclr.images import decode_image, image_size_of

    folder = Path(dataset).expanduser()
    if not folder.is_dir():
        hint = cfg.nearest_name(dataset, cfg.DATASETS)
        raise ConfigError(
            f"dataset is {dataset}; allowed: {', '.join(cfg.DATASETS)}, or a folder of images{hint or '.'}"
        )
    paths = []
    start = folder / "train" if (folder / "train").is_dir() else folder
    for parent, folders, files in os.walk(start):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(parent).relative_to(folder)
        paths += [str(here / name) for name in sorted(files) if name.lower().endswith(IMAGE_SUFFIXES)]
        if len(paths) >= MAX_FILES:
            break
    if not paths:
        raise ConfigError(f"dataset is {dataset}, a folder without images; allowed: one with image files in it.")
    places = np.unique(np.linspace(0, len(paths) - 1, min(NUM_KEPT // 4, len(paths))).astype(np.int64))
    sizes = [min(image_size_of(folder, paths[place])) for place in places[:20]]
    side = min(int(np.median(sizes)), LARGEST_OWN_SIDE)
    images = np.stack([decode_image(folder, paths[place], side) for place in places])
    parents = [Path(paths[place]).parent.name for place in places]
    has_classes = len(set(parents)) > 1
    return Gallery(images, places, parents if has_classes else [""] * len(places))


# --- views ---------------------------------------------------------------------------------------------------------


def draw_views(
    gallery: Gallery, places: list[int], augmentation: Augmentation, *, draw: int, size: int
) -> dict[str, Any]:
    """Original and two views of each image as one sprite, with what was drawn in words.

    Args:
        places: which images of the gallery.
        draw: the number of the draw; another gives other views. It stands where a training has its epoch.
        size: side of a view in pixels.
    """
    import torch

    from simclr import augment

    with torch.inference_mode():
        images, ids = torch.from_numpy(gallery.images[places]), torch.from_numpy(gallery.ids[places])
        views = augment.two_views(images, ids, augmentation, seed=0, epoch=draw, size=size)
        plain = augment.resize(augment.to_float(images), size)
        tiles = torch.stack([plain, *views], dim=1)  # (N, 3 tiles, 3 channels, size, size)
        pixels = (tiles * 255).round().clamp(0, 255).to(torch.uint8)
        height, width = images.shape[2:]
        factors = [
            augment.draw_factors(augmentation, ids, seed=0, epoch=draw, view=view, height=height, width=width)
            for view in (0, 1)
        ]
    sheet = pixels.permute(0, 3, 1, 4, 2).reshape(len(places) * size, 3 * size, 3).numpy()  # rows of three tiles
    rows = []
    for place, number in enumerate(places):
        drawn = [_drawn(view, place) for view in factors]
        rows.append({
            "title": gallery.title(number),
            "boxes": [_box(one, height, width) for one in drawn],
            "words": [in_words(one, height, width) for one in drawn],
        })  # fmt: skip
    return {"sprite": png(sheet), "rows": rows, "revision": f"{zlib.crc32(sheet.tobytes())}-{rows}"}


def _drawn(factors: Any, place: int) -> dict[str, Any]:
    """The factors of one image as plain values."""
    return {name: value[place].tolist() for name, value in vars(factors).items()}


def _box(drawn: dict[str, Any], height: int, width: int) -> list[float] | None:
    """The crop as shares left, top, width, height; None where it is the whole image."""
    top, left, tall, wide = drawn["box"]
    if (tall, wide) == (height, width):
        return None
    return [left / width, top / height, wide / width, tall / height]


def in_words(drawn: dict[str, Any], height: int, width: int) -> list[list[str]]:
    """What was done to one view, as names and values: crop 42 %, mirrored, hue +0.21, grey."""
    _, _, tall, wide = drawn["box"]
    words = []
    if (tall, wide) != (height, width):
        words.append(["crop", f"{100 * tall * wide / (height * width):.0f} %"])
    if drawn["flip"]:
        words.append(["mirrored", ""])
    if drawn["jitter"]:
        parts = ("brightness", "contrast", "saturation")
        words += [[name, f"× {drawn[name]:.2f}"] for name in parts if abs(drawn[name] - 1) > 5e-3]
        words += [["hue", f"{drawn['hue']:+.2f}"]] if abs(drawn["hue"]) > 5e-3 else []
    words += [["grey", ""]] if drawn["grayscale"] else []
    words += [["blur σ", f"{drawn['sigma']:.1f}"]] if drawn["blur"] else []
    return words or [["unchanged", ""]]


def strip(gallery: Gallery, places: list[int]) -> str:
    """The images side by side as one small picture."""
    from PIL import Image

    tiles = []
    for place in places:
        image = Image.fromarray(gallery.images[place].transpose(1, 2, 0))
        tiles.append(np.asarray(image if gallery.side <= TILE else image.resize((TILE, TILE), Image.Resampling.BOX)))
    return png(np.concatenate(tiles, axis=1))


def png(pixels: NDArray[np.uint8]) -> str:
    """(H, W, 3) as an address that holds the picture itself."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
