"""Images that a user gave on the Embeddings page, read as the encoders take them, and where they fall on both maps."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.embeddings import choice
from dashboard.embeddings.choice import Side
from dashboard.embeddings.trying import encoders
from dashboard.embeddings.trying.encoders import NoPlacer, Placer
from simclr.config import ConfigError
from simclr.embeddings.neighbors import Nearest
from simclr.embeddings.projections import Projection
from simclr.embeddings.stored import Embedding
from simclr.evaluation.knn import NUM_NEIGHBORS
from simclr.views import sample_images

if TYPE_CHECKING:
    from simclr.encoders.images import Preprocessing  # brings torch, which an open page does not need

TRIED = "embeddings-tried"
UPLOADER = "embedding-try-files"
TYPES = {**sample_images.UPLOAD_TYPES, "GIF": (".gif",)}
MOST_IMAGES = 12
SHOWN_NEIGHBORS = 12
TILE_SIDE = 64  # largest side of the pictures that the maps show


@dataclass(frozen=True)
class Tried:
    """An image that a user gave. squares: as each of the encoders takes it, (3, S, S) uint8. note: how it was read."""

    name: str
    note: str
    squares: tuple[NDArray[np.uint8], ...]

    @property
    def largest(self) -> NDArray[np.uint8]:
        return max(self.squares, key=lambda square: square.shape[-1])

    @cached_property
    def tile(self) -> NDArray[np.uint8]:
        """As the maps show it, (TILE_SIDE, TILE_SIDE, 3)."""
        return tile_of(self.largest)


@dataclass(frozen=True)
class Fall:
    """What one encoder makes of M images. points: (M, 2), None in space. probabilities: (M, num_classes), if any."""

    near: Nearest
    points: NDArray[np.float32] | None
    probabilities: NDArray[np.float32] | None


# --- reading --------------------------------------------------------------------------------------------------------


def held() -> list[tuple[str, bytes]]:
    """Name and content of the images that were given; they stay in this session and are written nowhere."""
    return st.session_state.setdefault(TRIED, [])


def take_files() -> None:
    """The visitor has added or removed files; another page, which forgets the widget's, does not come here."""
    files = st.session_state.get(UPLOADER) or []
    st.session_state[TRIED] = [(file.name, file.getvalue()) for file in files]


@st.cache_resource(max_entries=64, show_spinner=False)
def _read(name: str, digest: str, preprocessing: str, _content: bytes, _how: tuple[Preprocessing, ...]) -> Tried | str:
    """One image as encoders take it, or the sentence that says why it cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        found, problems = sample_images.checked_uploads([(name, _content)], Path(folder), TYPES)
        if problems:
            return problems[0]
        notes = [f"{found[0].width} × {found[0].height} pixels"]
        if found[0].width != found[0].height:
            notes.append("its middle square")
        if found[0].is_animated:
            notes.append("the first picture of the animation")
        try:
            path = Path(folder) / found[0].path
            squares = {how: next(how.squares(path))[0].numpy() for how in set(_how)}
        except ConfigError as error:
            return str(error).replace(str(path), name)
    return Tried(name, ", ".join(notes), tuple(squares[how] for how in _how))


def tried_images(placers: Sequence[Placer]) -> tuple[list[Tried], list[str]]:
    """The images that were given, as these encoders take them, and a sentence for each that cannot be used."""
    files = held()
    how = tuple(item.encoder.preprocess for item in placers)
    found, problems = [], []
    if len(files) > MOST_IMAGES:
        problems.append(f"{len(files)} images were given; the first {MOST_IMAGES} are shown.")
    for name, content in files[:MOST_IMAGES]:
        digest = hashlib.blake2b(content, digest_size=12).hexdigest()
        item = _read(name, digest, repr(how), content, how)
        if isinstance(item, str):
            problems.append(item)
        else:
            found.append(item)
    return found, problems


@st.cache_resource(max_entries=64, show_spinner=False)
def _features(
    key: str, digest: str, _placer: Placer, _square: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    import torch

    encoder = _placer.encoder
    return encoder.of_prepared([encoder.preprocess.batch(torch.from_numpy(_square)[None])])


def fall(placer: Placer, squares: Sequence[NDArray[np.uint8]]) -> Fall:
    """Where images (3, S, S), at least one, fall in one encoder; each is encoded once.

    Raises:
        ConfigError: if values are no numbers.
    """
    parts = [_features(placer.key, digest_of(square), placer, square) for square in squares]
    features = np.concatenate([each for each, _ in parts])
    probabilities = [each for _, each in parts if each is not None]
    return Fall(
        placer.space.near(features, max(SHOWN_NEIGHBORS, NUM_NEIGHBORS)),
        None if placer.layout is None else placer.layout.place(placer.space, features),
        np.concatenate(probabilities) if probabilities else None,
    )


# --- on the maps ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OwnImages:
    """The images that were given, with what both models make of them.

    falls: of each side, None where it has no encoder. problem: why none can be placed. problems: a sentence for each
    file that cannot be used.
    """

    placers: list[Placer | NoPlacer] = field(default_factory=list)
    images: list[Tried] = field(default_factory=list)
    falls: list[Fall | None] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def is_exact(self) -> bool:
        return all(item.layout is not None and item.layout.is_exact for item in encoders.ready(self.placers))

    @property
    def marks(self) -> dict[str, Any] | None:
        """The images for the component that draws the maps; None where there are none on a plane. A side without an
        encoder has no points."""
        points = [None if item is None else item.points for item in self.falls]
        if not self.images or all(each is None for each in points):
            return None
        return {
            "names": [item.name for item in self.images],
            "tiles": np.stack([item.tile for item in self.images]),
            "points": points,
            "is_exact": self.is_exact,
        }


def place(
    embeddings: Sequence[Embedding], sides: Sequence[Side], asked: Projection, points: Sequence[NDArray[Any]]
) -> OwnImages:
    """What was given, placed on both maps; nothing is loaded before anything was given.

    Args:
        points: of both maps as they are shown.
    """
    if not held():
        return OwnImages()
    try:
        placers = encoders.placers(embeddings, choice.models_of(sides), asked, points)
        ready = encoders.ready(placers)
        images, problems = tried_images(ready)
        squares = [[item.squares[number] for item in images] for number in range(len(ready))]
        falls: list[Fall | None] = [None] * len(placers)
        for placer, each in zip(ready, squares, strict=True):
            if each:
                falls[placers.index(placer)] = fall(placer, each)
    except ConfigError as error:
        return OwnImages(problem=str(error))
    return OwnImages(placers, images, falls, problems)


def digest_of(values: NDArray[Any]) -> str:
    """Changes with any pixel, or any place."""
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=12).hexdigest()


def tile_of(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (3, S, S) as it is shown on a map, (TILE_SIDE, TILE_SIDE, 3)."""
    from PIL import Image

    image = Image.fromarray(square.transpose(1, 2, 0))
    return np.asarray(image.resize((TILE_SIDE, TILE_SIDE), Image.Resampling.BOX if square.shape[-1] > TILE_SIDE else 0))
