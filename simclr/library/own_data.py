"""Data sets that exist in Python alone, as folders of image files, which everything else can read.

    DATA_ROOT/own/<length>-<hash>/train/<class>/00000017.png

One folder for the same images and classes, whoever gives them again.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from simclr.config import ConfigError, not_written
from simclr.data.folders.decoding import upright

SPLITS = ("train", "val", "test")
SAMPLE = 50  # images after which the room that all of them take is estimated
KINDS = (
    "a PIL image, a uint8 array (H, W) or (H, W, 3), a uint8 tensor (3, H, W), or a float tensor of that shape in 0..1"
)


class _Item(NamedTuple):
    png: bytes
    label: int | None


def as_folder(dataset: Any, root: Path) -> Path:
    """The folder with the images of a map-style Dataset, or of a mapping of splits to such, written if it is missing.

    Args:
        dataset: its items are an image, or begin with an image and its class, a whole number from 0 or None.
        root: the data root.

    Raises:
        ConfigError: for anything else, an item that is no image, or a disk without room.
    """
    splits = _splits(dataset)
    folder = root / "own"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder))
    except OSError as error:
        raise not_written(f"data_dir is {root}, which cannot be written", error, "SIMCLR_DATA_DIR") from None
    try:
        digest = hashlib.sha256()
        for name, part in splits.items():
            _write(part, scratch / name, digest)
        target = folder / f"{sum(map(len, splits.values()))}-{digest.hexdigest()[:16]}"
        if not target.is_dir():
            os.replace(scratch, target)
        return target
    except OSError as error:
        raise not_written(f"data_dir is {root}, which cannot be written", error, "SIMCLR_DATA_DIR") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def about(dataset: Any) -> dict[str, Any]:
    """What a run's `meta.json` keeps of a Dataset: its class, how it describes itself, and its length."""
    splits = _splits(dataset)
    first = splits["train"]
    return {
        "class": f"{type(first).__module__}.{type(first).__qualname__}",
        "description": repr(first)[:2000],
        "length": {name: len(part) for name, part in splits.items()},
    }


def _splits(dataset: Any) -> dict[str, Any]:
    splits = dict(dataset) if isinstance(dataset, Mapping) else {"train": dataset}
    if "train" not in splits or set(splits) - set(SPLITS):
        raise ConfigError(f"dataset has the splits {', '.join(map(str, splits))}; allowed: train, and val and test.")
    for part in splits.values():
        if not hasattr(part, "__getitem__") or not hasattr(part, "__len__") or isinstance(part, str | bytes):
            raise ConfigError(
                f"dataset is of type {type(part).__name__}; allowed: a name, a folder, a map-style Dataset, which has "
                "a length and items by number, or a mapping of train, val and test to such."
            )
        if len(part) == 0:
            raise ConfigError("dataset is empty; allowed: at least one image.")
    return {name: splits[name] for name in SPLITS if name in splits}


def _write(dataset: Any, folder: Path, digest: Any) -> None:
    names = _class_names(dataset)
    size = 0
    digest.update(f"{folder.name} {len(dataset)}".encode())
    for number, item in enumerate(_items(dataset)):
        if item.label is None:
            place = folder
        else:
            if names and item.label >= len(names):
                raise ConfigError(
                    f"dataset has the class {item.label} at item {number}, and names {len(names)} classes; allowed: "
                    "numbers from 0 that its `classes` names."
                )
            place = folder / (names[item.label] if names else f"{item.label:03d}")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:08d}.png").write_bytes(item.png)
        digest.update(f"{place.name} {number} {len(item.png)}".encode() + item.png)
        size += len(item.png)
        if number + 1 == SAMPLE:
            _check_room(folder, size * len(dataset) // SAMPLE, size)


def _check_room(folder: Path, needed: int, written: int) -> None:
    free = shutil.disk_usage(folder).free + written
    if needed > free:
        raise ConfigError(
            f"dataset takes some {needed / 1e9:.1f} GB as image files, and {folder.parents[1]} has {free / 1e9:.1f} GB "
            "free; allowed: a folder of images, which is read where it lies, or data_dir on a larger disk."
        )


def _items(dataset: Any) -> Iterator[_Item]:
    has_labels: bool | None = None
    for number in tqdm(range(len(dataset)), desc="Writing the images", unit="image", disable=None, leave=False):
        found = dataset[number]
        image, label = found, None
        if isinstance(found, tuple | list) and found:
            image, label = found[0], _label(found[1], number) if len(found) > 1 else None
        if has_labels is not None and has_labels != (label is not None):
            raise ConfigError(f"dataset has a class for some items and none for item {number}; allowed: all, or none.")
        has_labels = label is not None
        yield _Item(_png(image, number), label)


def _label(value: Any, number: int) -> int | None:
    if value is None:
        return None
    found = value
    if isinstance(value, Tensor | np.ndarray | np.generic) and np.asarray(value).size == 1:
        found = value.item()
    if isinstance(found, bool) or not isinstance(found, int) or found < -1:
        raise ConfigError(
            f"dataset has the class {str(value)[:50]} at item {number}; allowed: a whole number from 0, or None."
        )
    return None if found == -1 else found


def _png(image: Any, number: int) -> bytes:
    what = f"dataset has {_words(image)} at item {number}"
    if isinstance(image, Tensor):
        if image.is_floating_point():
            low, high = (float(value) for value in image.aminmax()) if image.numel() else (0.0, 0.0)
            if not 0 <= low <= high <= 1:
                raise ConfigError(f"{what} with values {low:.3g} to {high:.3g}; allowed: 0 to 1, not normalized.")
            image = (image * 255).round().to(torch.uint8)
        if image.ndim == 3 and len(image) in (1, 3):
            image = image.permute(1, 2, 0)
        image = image.cpu().numpy()
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))):
            raise ConfigError(f"{what}; allowed: {KINDS}.")
        image = Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[2:] == (1,) else image))
    if not isinstance(image, Image.Image):
        raise ConfigError(f"{what}; allowed: {KINDS}.")
    out = io.BytesIO()
    upright(image).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _words(image: Any) -> str:
    if isinstance(image, Tensor | np.ndarray):
        kind = "a tensor" if isinstance(image, Tensor) else "an array"
        return f"{kind} of {str(image.dtype).removeprefix('torch.')} {tuple(image.shape)}"
    return f"a {type(image).__name__}"


def _class_names(dataset: Any) -> list[str]:
    """The Dataset's own names of its classes, as folders may be called; empty where it has none."""
    given = getattr(dataset, "classes", None)
    while given is None and hasattr(dataset, "dataset"):  # as a Subset wraps one
        dataset = dataset.dataset
        given = getattr(dataset, "classes", None)
    names: list[str] = []
    for name in map(str, given if isinstance(given, list | tuple) else ()):
        name = re.sub(r"[/\\\0]", "_", name).strip().lstrip(".") or "_"
        names.append(name if name.lower() not in {other.lower() for other in names} else f"{name}-{len(names)}")
    return names
