"""Colours of runs, arms and classes, the same on all pages and in reports."""

from __future__ import annotations

import colorsys

GREY, RING = "#8a94a6", "#e76300"  # what is not meant; around what is
# Ten colours found by a search for those that lie furthest apart in OKLab (Ottosson 2020), as they are and as seen with
# protanopia, deuteranopia and tritanopia (Machado et al. 2009): at least 0.17 and 0.10, where the well-known ten of
# Petroff 2021 come to 0.09 and 0.06 (two oranges, two greys). The nearest two are never neighbours here.
CATEGORIES = (
    "#4b8efe",
    "#ed3726",
    "#3c8c66",
    "#853fd8",
    "#a9c719",
    "#d75eb4",
    "#953307",
    "#65c6e4",
    "#0e5e8a",
    "#f19d9d",
)
PALETTE = ("#4c6ef5", "#e07b28", "#159a74", "#c75fa1", "#2f9fd0", "#d64f48", "#ad8f1c", "#8468d8")

ARM_COLORS = {
    "frozen": PALETTE[2],
    "full": PALETTE[0],
    "scratch": PALETTE[1],
    "linear": PALETTE[3],
    "knn": PALETTE[4],
}


def category_colors(count: int) -> list[str]:
    """A colour for each of `count` categories; beyond ten they can no longer all be told apart."""
    if count <= len(CATEGORIES):
        return list(CATEGORIES[:count])
    colors = []
    for number in range(count):
        lightness = (0.42, 0.55, 0.68)[number % 3]
        red, green, blue = colorsys.hls_to_rgb((number * 0.618034) % 1.0, lightness, 0.65)
        colors.append(f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}")
    return colors
