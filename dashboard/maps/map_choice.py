"""What an address says of the choice in maps: the open image, the selection, hidden classes, the zoom."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from dashboard.components.embedding_map import TUG
from dashboard.shared import asked, url_state

NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
PATTERNS = {  # as `components.embedding_map.state_texts` writes them
    "image": r"\d{1,11}",
    "selection": r"[bd][A-Za-z0-9_-]*",
    "zoom": rf"{NUMBER}~{NUMBER}~{NUMBER}(_{NUMBER}~{NUMBER}~{NUMBER})*",
    "search": r"[^\x00-\x1f\x7f]{1,200}",
    "drawing": "points|outlines|density",
    "tug": TUG,
}
MEANING = {
    "image": "the number of an image",
    "selection": "a selection of images",
    "zoom": "a part of a map",
    "search": "a text of at most 200 signs",
    "drawing": "points, outlines or density",
    "tug": "a way to change an image",
}
INSTEAD = {
    "image": "no image open",
    "selection": "nothing selected",
    "zoom": "the whole map",
    "search": "no search",
    "drawing": "points",
    "tug": "the image as it is",
}


def read(query: url_state.Query, names: Iterable[str]) -> dict[str, str]:
    """The texts of those parts that make sense; the others are noted."""
    one, found = url_state.last_values(query), {}
    for name in names:
        if name == "hidden":
            hidden = asked.numbers(query, name, "the other classes", separator=".", digits=5)
            found[name] = ".".join(map(str, hidden))
        elif re.fullmatch(PATTERNS[name], text := one.get(name, "")):
            found[name] = text
        elif text:
            asked.say_instead(name, text, f"is not {MEANING[name]}", INSTEAD[name])
    return found


def say_unknown_image(view: url_state.View, ids: ArrayLike) -> None:
    """Notes the image that an address names where the maps do not show it."""
    image = view["image"]
    if view.was_asked("image") and image and int(image) not in np.asarray(ids):
        asked.say_instead("image", image, "is none of these images", INSTEAD["image"])
        view["image"] = ""
