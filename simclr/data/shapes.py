"""Ten shapes on soft backgrounds: a procedural data set that needs no download.

Class and colour are drawn independently, and a shape is as often lighter as it is darker than its background. So
raw pixels say little about the class, and a network that is told to ignore colour (hue jitter over the whole
circle) has to find the outline. Every image is known by (`DATA_SEED`, split, index) alone: image 17 stays the same
image however many are asked for and whatever the seed of a run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLASSES = ("circle", "ring", "square", "triangle", "cross", "star", "crescent", "heart", "arrow", "hourglass")
NUM_TRAIN = 4096
NUM_TEST = 2000
DEFAULT_SIDE = 32  # pixels

DATA_SEED = 20200213  # fixes the data set; unrelated to the seed of a run
SPLITS = ("train", "test")  # the index in this tuple is part of an image's seed

# Lengths are shares of half the image side, so that a shape of size 1 in the middle would touch the border.
SIZE_RANGE = (0.5, 0.85)
POSITION_RANGE = (-0.25, 0.25)  # of the centre, in each direction
ROTATION_RANGE = (-20.0, 20.0)  # degrees

SHAPE_SATURATION = (0.65, 0.95)
BACKGROUND_SATURATION = (0.25, 0.6)
# Brightness of (shape, background): one pair where the shape is lighter, one where it is darker.
LIGHT_SHAPE_VALUE, DARK_BACKGROUND_VALUE = (0.85, 1.0), (0.2, 0.45)
DARK_SHAPE_VALUE, LIGHT_BACKGROUND_VALUE = (0.3, 0.65), (0.85, 1.0)
LIGHT_SHAPE_SHARE = 0.5

GRADIENT_HUE_SHIFT = 0.07  # of the colour circle, from one end of the background to the other
GRADIENT_VALUE_SHIFT = 0.22  # brightness lost along the way
NUM_WAVES = 2  # slow waves that bend the gradient
WAVE_HEIGHT = 0.22
WAVE_FREQUENCY = (0.4, 1.2)  # periods per half side
SHADOW_DEPTH, SHADOW_WIDTH = 0.3, 0.12
SHAPE_SHADING = 0.18  # how much darker a shape is at its lower end

PIXELS_AT_ONCE = 1 << 19  # keeps the working arrays small enough for the processor's cache

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Shapes:
    """Images with what was drawn.

    images: (N, 3, side, side) uint8. labels: (N,) int64, indices into `CLASSES`. factors: name -> (N,) array with
    `shape` (class names), `hue` and `background` (of the colour circle, 0..1), `size` (share of half the side),
    `position_x`, `position_y` (of the centre, -1 left or bottom to 1), `rotation` (degrees, counter-clockwise).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    factors: dict[str, NDArray]


# --- outlines -----------------------------------------------------------------------------------------------------
# Each takes coordinates x (right) and y (up) of any shape and returns the signed distance to the outline, negative
# inside. The unit is the shape's size.


def _box(x: Array, y: Array, half_width: float, half_height: float, rounding: float = 0.0) -> Array:
    dx = np.abs(x) - (half_width - rounding)
    dy = np.abs(y) - (half_height - rounding)
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return outside + np.minimum(np.maximum(dx, dy), 0) - np.float32(rounding)


def _polygon(x: Array, y: Array, corners: list[tuple[float, float]], rounding: float = 0.0) -> Array:
    """Distance to a closed polygon whose corners are pushed outwards by `rounding`; exact in- and outside."""
    squared = np.full_like(x, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ex, ey = bx - ax, by - ay
        wx, wy = x - np.float32(ax), y - np.float32(ay)
        along = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
        nx, ny = wx - along * ex, wy - along * ey
        np.minimum(squared, nx * nx + ny * ny, out=squared)
        if ay != by:  # does a ray to the right cross this edge?
            inside ^= ((y >= ay) != (y >= by)) & (x < ax + (y - ay) * (ex / ey))
    distance = np.sqrt(squared)
    return np.where(inside, -distance, distance) - np.float32(rounding)


def _heart(x: Array, y: Array) -> Array:
    """Two quarter circles on the upper sides of a square that stands on its corner."""
    scale = 0.6
    x, y = np.abs(x * scale), y * scale + np.float32(0.56)
    lobe = np.hypot(x - 0.25, y - 0.75) - np.float32(np.sqrt(2) / 4)
    reach = 0.5 * np.maximum(x + y, 0)
    near = np.sqrt(np.minimum(x * x + (y - 1) ** 2, (x - reach) ** 2 + (y - reach) ** 2))
    return np.where(x + y > 1, lobe, near * np.sign(x - y)) / np.float32(scale)


def _star_corners(outer: float = 1.02, inner: float = 0.44) -> list[tuple[float, float]]:
    angles = np.pi / 2 + np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, outer, inner)
    return [(float(r * np.cos(a)), float(r * np.sin(a))) for r, a in zip(radii, angles, strict=True)]


_TRIANGLE = [(0.0, 0.9), (-0.85, -0.62), (0.85, -0.62)]
_ARROW = [(0.0, 0.95), (-0.8, 0.1), (-0.28, 0.1), (-0.28, -0.9), (0.28, -0.9), (0.28, 0.1), (0.8, 0.1)]
_HOURGLASS = [(-0.72, 0.85), (0.72, 0.85), (0.1, 0.0), (0.72, -0.85), (-0.72, -0.85), (-0.1, 0.0)]
_STAR = _star_corners()

OUTLINES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": lambda x, y: np.hypot(x, y) - np.float32(0.85),
    "ring": lambda x, y: np.abs(np.hypot(x, y) - np.float32(0.7)) - np.float32(0.22),
    "square": lambda x, y: _box(x, y, 0.76, 0.76, rounding=0.1),
    "triangle": lambda x, y: _polygon(x, y, _TRIANGLE, rounding=0.08),
    "cross": lambda x, y: np.minimum(_box(x, y, 0.95, 0.3, 0.06), _box(x, y, 0.3, 0.95, 0.06)),
    "star": lambda x, y: _polygon(x, y, _STAR, rounding=0.03),
    "crescent": lambda x, y: np.maximum(
        np.hypot(x + 0.1, y) - np.float32(0.95), np.float32(0.78) - np.hypot(x - 0.38, y - 0.12)
    ),
    "heart": _heart,
    "arrow": lambda x, y: _polygon(x, y, _ARROW, rounding=0.05),
    "hourglass": lambda x, y: _polygon(x, y, _HOURGLASS, rounding=0.06),
}


# --- images -------------------------------------------------------------------------------------------------------


def generate(split: str, num_images: int, side: int = DEFAULT_SIDE) -> Shapes:
    """Draws the first `num_images` images of `split` ("train" or "test") at `side` x `side` pixels.

    Classes take turns, so that any first part is balanced to within one image per class.
    """
    labels, factors, draws = _drawn(split, num_images)
    images = np.empty((num_images, 3, side, side), dtype=np.uint8)
    step = max(len(CLASSES), PIXELS_AT_ONCE // (side * side))
    for label, name in enumerate(CLASSES):
        members = np.flatnonzero(labels == label)
        for start in range(0, len(members), step):
            rows = members[start : start + step]
            images[rows] = _draw(name, {key: values[rows] for key, values in factors.items()}, draws[rows], side)
    return Shapes(images, labels, factors)


def factors_of(split: str, num_images: int) -> dict[str, NDArray]:
    """`Shapes.factors` of the first `num_images` images of a split, without drawing them."""
    return _drawn(split, num_images)[1]


def _drawn(split: str, num_images: int) -> tuple[NDArray[np.int64], dict[str, NDArray], NDArray]:
    """Labels (n,), factors, and uniform numbers (n, D) for all that is not a factor."""
    # Rows are filled one after another: row i does not depend on how many follow.
    num_draws = 16 + 3 * NUM_WAVES
    draws = np.random.default_rng([DATA_SEED, SPLITS.index(split)]).random((num_images, num_draws))
    labels = np.arange(num_images, dtype=np.int64) % len(CLASSES)
    factors: dict[str, NDArray] = {
        "shape": np.array(CLASSES)[labels],
        "hue": draws[:, 0],
        "background": draws[:, 1],
        "size": _between(draws[:, 2], SIZE_RANGE),
        "position_x": _between(draws[:, 3], POSITION_RANGE),
        "position_y": _between(draws[:, 4], POSITION_RANGE),
        "rotation": _between(draws[:, 5], ROTATION_RANGE),
    }
    return labels, factors, draws[:, 6:]


def _between(share: NDArray, limits: tuple[float, float]) -> NDArray:
    return limits[0] + share * (limits[1] - limits[0])


def _draw(name: str, factors: dict[str, NDArray], draws: NDArray, side: int) -> NDArray[np.uint8]:
    """Images (n, 3, side, side) of one class; `draws` (n, D) uniform numbers for all that is not a factor."""
    axis = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    x, y = axis[None, None, :], -axis[None, :, None]  # (1, 1, side), (1, side, 1); y points up

    def column(values: NDArray) -> Array:
        return values.astype(np.float32)[:, None, None]  # (n, 1, 1)

    light_shape = draws[:, 0] < LIGHT_SHAPE_SHARE
    shape_value = np.where(
        light_shape, _between(draws[:, 1], LIGHT_SHAPE_VALUE), _between(draws[:, 1], DARK_SHAPE_VALUE)
    )
    ground_value = np.where(
        light_shape, _between(draws[:, 2], DARK_BACKGROUND_VALUE), _between(draws[:, 2], LIGHT_BACKGROUND_VALUE)
    )
    ground_saturation = _between(draws[:, 3], BACKGROUND_SATURATION)

    # background: one colour fades into its neighbour along a random direction, bent by slow waves
    direction = 2 * np.pi * draws[:, 5]
    fade = 0.5 + 0.4 * (column(np.cos(direction)) * x + column(np.sin(direction)) * y)  # (n, side, side)
    for wave in range(NUM_WAVES):
        angle, phase, speed = (draws[:, 6 + 3 * wave + i] for i in range(3))
        speed = np.pi * _between(speed, WAVE_FREQUENCY)
        slope_x, slope_y = column(speed * np.cos(2 * np.pi * angle)), column(speed * np.sin(2 * np.pi * angle))
        fade = fade + WAVE_HEIGHT * np.cos(slope_x * x + slope_y * y + column(2 * np.pi * phase))
    fade = np.clip(fade, 0, 1)[:, None]  # (n, 1, side, side)
    start = hsv_to_rgb(factors["background"], ground_saturation, ground_value)[:, :, None, None]
    end = hsv_to_rgb(
        factors["background"] + GRADIENT_HUE_SHIFT, ground_saturation, ground_value * (1 - GRADIENT_VALUE_SHIFT)
    )[:, :, None, None]
    ground = start + fade * (end - start)  # (n, 3, side, side)

    # outline, in the shape's own upright coordinates of unit size
    turn, size = np.deg2rad(factors["rotation"]), column(factors["size"])
    dx, dy = (x - column(factors["position_x"])) / size, (y - column(factors["position_y"])) / size
    cosine, sine = column(np.cos(turn)), column(np.sin(turn))
    u, v = cosine * dx + sine * dy, cosine * dy - sine * dx
    distance = OUTLINES[name](u, v) * size  # in half sides
    cover = np.clip(0.5 - distance * (side / 2), 0, 1)[:, None]  # share of each pixel that the shape covers
    shadow = SHADOW_DEPTH * np.exp(-np.maximum(distance, 0) / SHADOW_WIDTH)[:, None]

    shape = hsv_to_rgb(factors["hue"], _between(draws[:, 4], SHAPE_SATURATION), shape_value)[:, :, None, None]
    shading = 1 - SHAPE_SHADING * np.clip(0.5 - 0.5 * v, 0, 1)[:, None]
    image = ground * (1 - shadow)
    image += cover * (shape * shading - image)
    return (image * 255 + 0.5).clip(0, 255).astype(np.uint8)


def hsv_to_rgb(hue: NDArray, saturation: NDArray, value: NDArray) -> Array:
    """Colours (n, 3) in 0..1 of hues (any real number, one turn is 1), saturations and values in 0..1, each (n,)."""
    sector = (np.asarray([5.0, 3.0, 1.0]) + 6 * np.asarray(hue)[:, None]) % 6
    chroma = np.clip(np.minimum(sector, 4 - sector), 0, 1)
    return (value[:, None] * (1 - saturation[:, None] * chroma)).astype(np.float32)
