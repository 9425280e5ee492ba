"""What an image looks like in a few numbers, measured from its pixels: lightness, contrast, colours, edges (no torch).

Measured on thumbnails (at most 64 pixels a side), so that images of all sizes are measured alike and what is kept of
them is enough. Colours are 0..1, their luma that of ITU-R BT.601.

    lightness          mean luma, 0 (black) to 1 (white)
    contrast           standard deviation of the luma, 0 to 0.5 (half of the pixels black, half white)
    middle_hue         hue of the mean colour of the middle half in height and width, a share of the circle, 0 is red
    middle_chroma      how far the mean colour is from grey, 0 to 1 (red, yellow ... magenta at their fullest)
    middle_color       how far its pixels are from grey on average: as far as the mean if all have one hue
    middle_lightness   its mean luma
    border_...         the same four of the outer eighth on each side
    edge_angle         direction of the lines as a share of half a turn: 0 level, 0.25 rising to the right, 0.5 upright
    edge_strength      how far one direction prevails, 0 (none) to 1 (all lines are parallel)

Hue and chroma are angle and length of (r - (g + b) / 2, sqrt(3) (g - b) / 2), the colour's place on the plane across
the grey axis. The edges are those of the structure tensor of the luma's gradient summed over the image (Bigün and
Granlund 1987): the direction across its stronger axis, and the difference of its eigenvalues over their sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.views import sheets as sprite_sheets

Floats = NDArray[np.floating[Any]]

VERSION = 1  # raise it when a measure changes its meaning
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
BORDER, MIDDLE = 8, 4  # the outer eighth is the border, what is a quarter away from all sides the middle
CHUNK = 256  # images measured at a time
MEASURES = (
    "lightness",
    "contrast",
    *(f"{place}_{what}" for place in ("middle", "border") for what in ("hue", "chroma", "color", "lightness")),
    "edge_angle",
    "edge_strength",
)
CIRCULAR = ("middle_hue", "border_hue", "edge_angle")  # the end is the beginning
# Below, a hue or a direction means nothing; nor does the hue of a mean colour to which those of the pixels do not add
# up, as grass and sky together give grey.
MIN_CHROMA, MIN_STRENGTH, MIN_UNITY = 0.08, 0.3, 0.6
BLACK, WHITE = 0.2, 0.8  # of the luma of grey
HUES = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
HUE_ENDS = (0.04, 0.11, 0.19, 0.44, 0.54, 0.70, 0.81, 0.95)  # where each ends; red goes on after the last
# Mean colours are pale, and orange ones are the browns of fur, wood and earth.
TINTS = ("reddish", "brownish", "yellowish", "greenish", "cyan", "bluish", "purple", "pink")


def measure(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """`MEASURES` of images (N, 3, S, S), each (N,), in half precision: that is how they are kept."""
    parts = [_measure(images[start : start + CHUNK]) for start in range(0, max(1, len(images)), CHUNK)]
    found = {name: np.concatenate([part[name] for part in parts]).astype(np.float16) for name in MEASURES}
    return {name: values.astype(np.float32) for name, values in found.items()}


def measure_sheets(sheets: Sequence[Path], tiles: Mapping[str, Any], count: int) -> dict[str, NDArray[np.float32]]:
    """`MEASURES` of the first `count` images on sprite sheets, a sheet at a time.

    Raises:
        OSError, ValueError: as `sheets.read_tiles`.
    """
    step = int(tiles["per_sheet"])
    rows = [range(start, min(start + step, count)) for start in range(0, max(1, count), step)]
    parts = [measure(sprite_sheets.read_tiles(sheets, tiles, part)) for part in rows]
    return {name: np.concatenate([part[name] for part in parts]) for name in MEASURES}


def _measure(images: NDArray[np.uint8]) -> dict[str, Floats]:
    colors = images.astype(np.float32) / 255  # (n, 3, S, S)
    luma = np.einsum("nchw,c->nhw", colors, LUMA)
    side = images.shape[-1]
    width, quarter = max(1, side // BORDER), min(side // MIDDLE, (side - 1) // 2)
    is_border = np.ones((side, side), dtype=bool)
    is_border[width : side - width, width : side - width] = False
    is_middle = np.zeros((side, side), dtype=bool)
    is_middle[quarter : side - quarter, quarter : side - quarter] = True
    angle, strength = _edges(luma)
    return {
        "lightness": luma.mean(axis=(1, 2)),
        "contrast": luma.std(axis=(1, 2)),
        **_color("middle", colors[:, :, is_middle]),
        **_color("border", colors[:, :, is_border]),
        "edge_angle": angle,
        "edge_strength": strength,
    }


def _color(place: str, colors: Floats) -> dict[str, Floats]:
    """What is told of a part of the images, whose P pixels have the colours (n, 3, P)."""
    red, green, blue = colors[:, 0], colors[:, 1], colors[:, 2]
    across, up = red - (green + blue) / 2, np.float32(np.sqrt(0.75)) * (green - blue)  # (n, P)
    mean_across, mean_up = across.mean(axis=1), up.mean(axis=1)
    return {
        f"{place}_hue": np.arctan2(mean_up, mean_across) / (2 * np.pi) % 1.0,
        f"{place}_chroma": np.hypot(mean_across, mean_up),
        f"{place}_color": np.hypot(across, up).mean(axis=1),
        f"{place}_lightness": colors.mean(axis=2) @ LUMA,
    }


def _edges(luma: Floats) -> tuple[Floats, Floats]:
    """Direction and strength of the lines of (n, S, S)."""
    across = (luma[:, 1:-1, 2:] - luma[:, 1:-1, :-2]).astype(np.float64)
    down = (luma[:, 2:, 1:-1] - luma[:, :-2, 1:-1]).astype(np.float64)
    xx, yy, xy = (np.sum(a * b, axis=(1, 2)) for a, b in ((across, across), (down, down), (across, down)))
    # The gradient stands across the lines. Rows count downwards: that turns the angle's sign.
    angle = 0.5 - np.arctan2(2 * xy, xx - yy) / (2 * np.pi)
    total = xx + yy
    is_flat = total <= 1e-6 * max(1, across.shape[1] * across.shape[2])  # of one colour, but for rounding
    strength = np.where(is_flat, 0.0, np.hypot(xx - yy, 2 * xy) / np.where(is_flat, 1.0, total))
    return np.where(is_flat, 0.0, angle) % 1.0, strength


# --- in words -------------------------------------------------------------------------------------------------------


def in_words(measured: Mapping[str, Floats]) -> dict[str, NDArray[np.str_]]:
    """What can be said of each image, (N,) words for each of five questions; empty where there is nothing to say.

    `lightness` and `contrast`: whether it belongs to the lower or upper third of these images; `middle` and `border`:
    the one hue they have, or that they are black, white or else colourless; `edges`: the direction that prevails.
    """
    return {
        "lightness": _ends(measured["lightness"], "dark", "light"),
        "contrast": _ends(measured["contrast"], "low", "high"),
        "middle": _color_words(measured, "middle"),
        "border": _color_words(measured, "border"),
        "edges": _edge_words(measured),
    }


def _ends(values: Floats, low: str, high: str) -> NDArray[np.str_]:
    lower, upper = np.quantile(values, [1 / 3, 2 / 3])
    return np.select([values < lower, values > upper], [low, high], "")


def _color_words(measured: Mapping[str, Floats], place: str) -> NDArray[np.str_]:
    lightness, color = measured[f"{place}_lightness"], measured[f"{place}_color"]
    tints = np.array(TINTS)[_place_of(measured[f"{place}_hue"])]
    without = np.select([lightness < BLACK, lightness > WHITE], ["black", "white"], "colourless")
    words = np.where(color < MIN_CHROMA, without, "")  # what has several hues has no word
    return np.where(has_direction(measured, f"{place}_hue"), tints, words)


def _edge_words(measured: Mapping[str, Floats]) -> NDArray[np.str_]:
    eighth = np.floor(8 * np.asarray(measured["edge_angle"], dtype=np.float64)) % 8
    words = np.select([np.isin(eighth, (0, 7)), np.isin(eighth, (3, 4))], ["horizontal", "vertical"], "diagonal")
    return np.where(has_direction(measured, "edge_angle"), words, "")


def has_direction(measured: Mapping[str, Floats], name: str) -> NDArray[np.bool_]:
    """(N,) whether a measure of `CIRCULAR` means anything: grey has no hue, nor have several."""
    if name == "edge_angle":
        return measured["edge_strength"] >= MIN_STRENGTH
    chroma, color = (measured[name.replace("hue", what)] for what in ("chroma", "color"))
    return (chroma >= MIN_CHROMA) & (chroma >= MIN_UNITY * color)


def hue_name(hue: float) -> str:
    """The word for a place on the colour circle, 0..1."""
    return HUES[int(_place_of(hue))]


def _place_of(hue: Floats | float) -> NDArray[np.intp]:
    """The place of its word in `HUES`."""
    return np.searchsorted(HUE_ENDS, hue, side="right") % len(HUES)
