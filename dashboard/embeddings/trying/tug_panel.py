"""Tug an image on the Embeddings page: the open image, or one that a user gave, changed step by step.

Every strength of every operation is encoded at once when it is asked for; from then on the browser needs no server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components.embedding_map import MapState
from dashboard.embeddings import choice
from dashboard.embeddings.choice import Side
from dashboard.embeddings.trying import encoders
from dashboard.embeddings.trying.encoders import NoPlacer, Placer
from dashboard.embeddings.trying.own_images import OwnImages, digest_of
from dashboard.maps import map_images
from simclr.analysis import tugs
from simclr.analysis.placing import PLACED_AMONG
from simclr.config import ConfigError
from simclr.embeddings import selection
from simclr.embeddings.projections import Projection
from simclr.embeddings.stored import Embedding

GUEST = "embeddings-pulled"
SAMPLE = 64  # images behind the averages
FIRST = next(iter(tugs.OPERATIONS))


def pull(digest: str) -> None:
    """Lets an image that a user gave be the one that is changed."""
    st.session_state[GUEST] = digest
    st.session_state[choice.PULL] = True


def changed(
    embeddings: Sequence[Embedding],
    sides: Sequence[Side],
    asked: Projection,
    points: Sequence[NDArray[Any]],
    state: MapState,
    own: OwnImages,
) -> dict[str, Any]:
    """The open image under all strengths of all operations, as the component takes it; only what is asked for."""
    row = map_images.row_of(embeddings[0].ids, state.image)
    if row >= 0 or not state.tug:
        st.session_state.pop(GUEST, None)
    digest = st.session_state.get(GUEST)
    guest = next((item for item in own.images if digest_of(item.largest) == digest), None)
    if not state.tug or (row < 0 and guest is None):
        return {"first": FIRST}
    try:
        placers = encoders.placers(embeddings, choice.models_of(sides), asked, points)
        ready = encoders.ready(placers)
        if row >= 0:
            image = _image(ready[0].key, int(embeddings[0].ids[row]), ready[0])
            name = f"Image {embeddings[0].ids[row]}"
        else:
            assert guest is not None
            image, name = guest.largest, guest.name
        key = " ".join([*(item.key for item in ready), asked.text, str(row), digest_of(image), *map(digest_of, points)])
        found = _tug(key, ready, image, row)
        known = {
            placer.key: panel | {"average": _average(placer.key, ready[0].key, placer, ready[0])}
            for panel, placer in zip(found["panels"], ready, strict=True)
        }
        panels = [{"missing": item.why} if isinstance(item, NoPlacer) else known[item.key] for item in placers]
    except ConfigError as error:
        return {"first": FIRST, "problem": str(error)}
    return found | {"first": FIRST, "row": row, "name": name, "panels": panels}


@st.cache_resource(max_entries=2, show_spinner="Opening the images of the maps")
def _split(key: str, _placer: Placer) -> Any:
    try:
        return selection.open_split(_placer.model.run, _placer.choice)
    except OSError as error:
        raise ConfigError(f"The images of these maps cannot be read: {error.strerror or error}.") from None


@st.cache_resource(max_entries=64, show_spinner=False)
def _image(key: str, number: int, _placer: Placer) -> NDArray[np.uint8]:
    return _pixels(_placer, [number])[0]


def _pixels(placer: Placer, numbers: Sequence[int]) -> NDArray[np.uint8]:
    split = _split(placer.key, placer)
    try:
        return tugs.pixels_at(split, numbers)
    except OSError as error:
        raise ConfigError(f"The images of these maps cannot be read: {error.strerror or error}.") from None


@st.cache_resource(max_entries=16, show_spinner="Showing the image to the encoders, changed in all ways")
def _tug(key: str, _placers: Sequence[Placer], _image: NDArray[np.uint8], row: int) -> dict[str, Any]:
    changed = tugs.change_image(_image, [item.encoder for item in _placers])
    panels = []
    for placer, features in zip(_placers, changed.features, strict=True):
        if row >= 0:
            tugs.check_same(features, placer.space, row, placer.model.name)
        assert placer.layout is not None
        panels.append(vars(tugs.tug(features, placer.space, placer.layout, row)))
    operations = [
        {
            "name": item.name,
            "label": item.label,
            "texts": [item.text(strength) for strength in item.strengths],
            "rest": item.rest,
            "mark": item.mark,
        }
        for item in tugs.OPERATIONS.values()
    ]
    is_exact = all(panel["is_exact"] for panel in panels)
    return {
        "operations": operations,
        "tiles": changed.tiles,
        "panels": panels,
        "sample": min(SAMPLE, _placers[0].embedding.num_images),
        "how": how(is_exact),
    }


def how(is_exact: bool) -> str:
    """How to read what is shown, in words."""
    place = "On PCA maps the image stands exactly where its features put it."
    if not is_exact:
        place = (
            f"Only PCA gives a changed image a place of its own; here, dashed, it stands at the weighted mean of its "
            f"{PLACED_AMONG} nearest neighbours."
        )
    return (
        "The figures are distances between features, not on the map: the mean of all images is subtracted from them, "
        f"and they are scaled to length 1. {place} Rotation and shift are no augmentation of the training."
    )


@st.cache_resource(max_entries=8, show_spinner="Measuring how far images move on average")
def _average(key: str, images: str, _placer: Placer, _first: Placer) -> list[float]:
    ids = _first.embedding.ids
    rows = np.unique(np.linspace(0, len(ids) - 1, min(SAMPLE, len(ids))).astype(np.int64))
    found = tugs.average_moved(_placer.encoder, _placer.space, _pixels(_first, ids[rows].tolist()))
    return [found[name] for name in tugs.OPERATIONS]
