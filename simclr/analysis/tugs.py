"""One image changed step by step by one operation at a time, as an encoder sees it. Torch is imported inside.

Hue, brightness, crop and blur are the trainer's own operations (`simclr.views`), the crop around the middle; turning
and moving to the side are none of its, and show what a network makes of changes that it never saw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclr.analysis.encoders import MapEncoder
from simclr.analysis.placing import Layout, Space
from simclr.config import ConfigError
from simclr.embeddings.neighbors import Floats

if TYPE_CHECKING:
    from torch import Tensor

NUM_STRENGTHS = 32
NUM_NEIGHBORS = 24  # of each changed image
TILE_SIDE = 64  # largest side of the pictures of changed images
SAME_IMAGE = 0.99  # cosine of an image's features, computed again, and those that are kept


@dataclass(frozen=True)
class Operation:
    """A way to change an image.

    strengths: NUM_STRENGTHS of them, rising. rest: the place of the one that changes nothing.
    mark: the place of the one at which images are compared on average.
    """

    name: str
    label: str
    strengths: tuple[float, ...]
    rest: int
    mark: int

    def text(self, strength: float) -> str:
        """A strength in words."""
        if self.name == "hue":
            return f"{round(360 * strength)}° of the circle"
        if self.name == "brightness":
            return f"× {strength:.2f}"
        if self.name == "crop":
            return f"{round(100 * strength)} % cut away"
        if self.name == "rotation":
            return f"{strength:.0f}°".replace("-", "−")
        if self.name == "blur":
            return f"σ {100 * strength:.1f} % of the side"
        side = "right" if strength > 0 else "left"
        return f"{round(100 * abs(strength))} % {side}" if strength else "0 %"


def _steps(low: float, step: float) -> tuple[float, ...]:
    return tuple(round(low + step * place, 6) for place in range(NUM_STRENGTHS))


# hue: share of the colour circle. brightness: the factor. crop: share of the area that is cut away. rotation: degrees,
# counter-clockwise. blur: sigma as a share of the side. shift: share of the width, to the right.
OPERATIONS: dict[str, Operation] = {
    item.name: item
    for item in (
        Operation("hue", "Hue", _steps(0, 1 / NUM_STRENGTHS), 0, 16),
        Operation("brightness", "Brightness", _steps(0.2, 0.05), 16, 6),
        Operation("crop", "Crop", _steps(0, 0.03), 0, 15),
        Operation("rotation", "Rotation", _steps(-180, 11.25), 16, 24),
        Operation("blur", "Blur", _steps(0, 0.005), 0, 14),
        Operation("shift", "Shift", _steps(-0.5, 1 / NUM_STRENGTHS), 16, 24),
    )
}


def change(images: Tensor, operation: str, strength: float) -> Tensor:
    """Images (N, 3, S, S), float in 0..1, all changed by an operation of `OPERATIONS` at one strength.

    Raises:
        ValueError: for another operation.
    """
    import torch

    from simclr.views import blur, color, resampling

    num, side = len(images), images.shape[-1]

    def same(value: float) -> Tensor:
        return torch.full((num,), float(value))

    if operation not in OPERATIONS:
        raise ValueError(f"operation is {operation}; allowed: {', '.join(OPERATIONS)}")
    if strength == OPERATIONS[operation].strengths[OPERATIONS[operation].rest]:
        return images
    if operation == "hue":
        return color.adjust_hue(images, same((strength + 0.5) % 1.0 - 0.5))
    if operation == "brightness":
        return color.adjust_brightness(images, same(strength))
    if operation == "crop":
        kept = max(1, round(side * math.sqrt(1.0 - strength)))
        begin = (side - kept) // 2
        return resampling.resized_crop(images, torch.tensor([[begin, begin, kept, kept]]).expand(num, 4), side)
    if operation == "blur":
        sigma = strength * side
        return blur.gaussian_blur(images, same(sigma), 2 * max(1, round(3 * sigma)) + 1)
    angle, right = (strength, 0.0) if operation == "rotation" else (0.0, strength)
    return resampling.turn_and_shift(images, same(angle), same(right)).clamp_(0.0, 1.0)


@dataclass(frozen=True)
class Changed:
    """An image under all strengths of all operations.

    tiles: (P, L, 3, T, T) uint8, what it looks like. features: of each encoder (P, L, D).
    """

    tiles: NDArray[np.uint8]
    features: list[Floats]


def change_image(image: NDArray[np.uint8], encoders: Sequence[MapEncoder]) -> Changed:
    """What encoders make of an image (3, S, S) under the P operations, each at its L strengths: one batch for each.

    Raises:
        ConfigError: if an encoder gives values that are no numbers.
    """
    import torch

    from simclr.views import augment, resampling

    plain = augment.to_float(torch.from_numpy(np.ascontiguousarray(image))[None])
    tiles: list[NDArray[np.uint8]] = []
    parts: list[list[Floats]] = [[] for _ in encoders]
    with torch.inference_mode():
        for name, operation in OPERATIONS.items():
            views = torch.cat([change(plain, name, strength) for strength in operation.strengths])
            small = resampling.resize(views, TILE_SIDE) if views.shape[-1] > TILE_SIDE else views
            tiles.append(augment.to_bytes(small).numpy())
            for encoder, found in zip(encoders, parts, strict=True):
                found.append(encoder.of_pixels(views))
    return Changed(np.stack(tiles), [np.stack(found) for found in parts])


@dataclass(frozen=True)
class Tug:
    """The way of an image on one map, for each of P operations and L strengths.

    points: (P, L, dims). neighbors, similarities: (P, L, K), the most similar first.
    moved: (P, L), `placing.Space.moved`. is_exact: the points are where the map puts them, not among neighbours.
    """

    points: Floats
    neighbors: NDArray[np.int32]
    similarities: Floats
    moved: Floats
    is_exact: bool


def tug(features: Floats, space: Space, layout: Layout, row: int = -1) -> Tug:
    """The way that features (P, L, D) of a changed image take.

    Args:
        row: of the image among those of the map, where it is one of them; it is none of its own neighbours then.
    """
    num_operations, num_strengths, width = features.shape
    flat = features.reshape(-1, width)
    rest = features[0, next(iter(OPERATIONS.values())).rest]
    near = space.near(flat, NUM_NEIGHBORS, row)
    shape = (num_operations, num_strengths, -1)
    return Tug(
        layout.place(space, flat).reshape(shape),
        near.indices.reshape(shape),
        near.similarities.reshape(shape),
        space.moved(flat, rest).reshape(shape[:2]),
        layout.is_exact,
    )


def check_same(features: Floats, space: Space, row: int, name: str) -> None:
    """Raises ConfigError if the untouched image among features (P, L, D) is not what lies on the map as `row`."""
    rest = features[0, next(iter(OPERATIONS.values())).rest].astype(np.float64)
    if float(rest @ space.unit[row]) < SAME_IMAGE * float(np.linalg.norm(rest)):
        raise ConfigError(
            f"{name} gives this image other features now than when the maps were drawn: images or weights have changed "
            "since; compute the maps again."
        )


def average_moved(encoder: MapEncoder, space: Space, images: NDArray[np.uint8]) -> dict[str, float]:
    """How far images (N, 3, S, S) move on average at the mark of each operation, as `placing.Space.moved`."""
    import torch

    from simclr.views import augment

    plain = augment.to_float(torch.from_numpy(images))
    with torch.inference_mode():
        before = encoder.of_pixels(plain)
        return {
            name: float(space.moved(encoder.of_pixels(change(plain, name, item.strengths[item.mark])), before).mean())
            for name, item in OPERATIONS.items()
        }


def pixels_at(split: Any, ids: Sequence[int]) -> NDArray[np.uint8]:
    """Images (n, 3, S, S) of a split (`selection.open_split`) by their numbers in the data set.

    Raises:
        ConfigError: if one is not there any more.
    """
    import torch

    known = split.ids.numpy()
    order = np.argsort(known)
    wanted = np.asarray(ids, dtype=np.int64)
    places = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
    positions = order[places]
    if (missing := wanted[known[positions] != wanted]).size:
        raise ConfigError(f"Image {missing[0]} is not among the images of the run's data any more.")
    found: NDArray[np.uint8] = split.images_at(torch.from_numpy(positions)).numpy()
    return found
