"""What the maps of films need, on the Embeddings page as in a race: their images, and the neighbours of one."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.maps import map_images
from simclr.embeddings import neighbors
from simclr.films import film
from simclr.films.film import Film

NUM_NEIGHBORS = 8


def same_images(films: Sequence[Film]) -> bool:
    """True if all films show the very same images."""
    first = films[0]
    return all(
        np.array_equal(first.ids, other.ids) and first.about.get("images") == other.about.get("images")
        for other in films
    )


def newest(own: Sequence[int], at: Sequence[int]) -> tuple[int, ...]:
    """For each of `at` the place in `own`, which rises, of the newest by then; -1 before the first."""
    return tuple(bisect.bisect_right(own, each) - 1 for each in at)


def has_classes(item: Film) -> bool:
    return item.labels is not None and bool(item.classes)


def images(first: Film) -> dict[str, Any]:
    """The part of what the component draws that says which images there are, coloured by class if they have any."""
    is_labelled = has_classes(first)
    classes = map_images.classes_of(first.classes)
    thumbnails = first.about["thumbnails"]
    return {
        "ids": first.ids,
        "labels": first.labels if is_labelled else None,
        "classes": classes,
        "color": {
            "label": "Class" if is_labelled else "",
            "kind": "class" if is_labelled else "none",
            "names": [entry["name"] for entry in classes],
            "colors": [entry["color"] for entry in classes],
            "low": 0.0,
            "high": 1.0,
            "values": first.labels if is_labelled else np.zeros(first.num_images),
        },
        "sheets": map_images.sheet_addresses(first.sheets, str(first.about.get("images")), thumbnails["side"]),
        "tile": map_images.tile_of(thumbnails),
        "split": map_images.split_name(str(first.about.get("split"))),
    }


def details(films: Sequence[Film], epochs: Sequence[int], image: int, fact: list[str]) -> dict[str, Any] | None:
    """The open image and its nearest neighbours in the features of each film; None if it is not there.

    Args:
        epochs: of each film, that is shown.
        fact: label and text of what is known of the image.
    """
    row = map_images.row_of(films[0].ids, image)
    if row < 0:
        return None
    found = []
    for item, epoch in zip(films, epochs, strict=True):
        near, similarity = neighbors.neighbors(unit_rows(str(item.folder), *item.stamp(epoch)), row, NUM_NEIGHBORS)
        found.append([[int(place), round(float(value), 4)] for place, value in zip(near, similarity, strict=True)])
    return {"index": row, "facts": [fact], "neighbors": found}


@st.cache_resource(max_entries=8, ttl=600, show_spinner=False)
def unit_rows(folder: str, epoch: int, modified: int, size: int) -> NDArray[np.float32]:
    """Features of one frame at length 1, kept for the next click; read again when the frame is written again."""
    return neighbors.unit_rows(film.read_frame(Path(folder), epoch))
