"""What places new images on the maps of the Embeddings page: loaded encoders, and features ready to search in.

All are kept from one click to the next, named by the features that they belong to, so that other weights are other
encoders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.shared import store
from simclr import config as cfg
from simclr.analysis import placing
from simclr.analysis.encoders import MapEncoder, load_map_encoder
from simclr.analysis.placing import Layout, Space
from simclr.config import ConfigError
from simclr.embeddings import networks, selection, shipped
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import EncoderRef, open_weights
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import Embedding
from simclr.files.user_paths import existing_folder


@dataclass(frozen=True)
class Placer:
    """One of the two maps, ready to place images on it.

    layout: None where the map is no plane. key: changes with the features. choice: the images of the map.
    """

    model: EncoderRef
    embedding: Embedding
    encoder: MapEncoder
    space: Space
    layout: Layout | None
    key: str
    choice: ImageSelection


@dataclass(frozen=True)
class NoPlacer:
    """One of the two maps, on which no new image can be placed. why: in one sentence."""

    why: str


def placers(
    embeddings: Sequence[Embedding], models: Sequence[EncoderRef], asked: Projection, points: Sequence[NDArray[Any]]
) -> list[Placer | NoPlacer]:
    """What places images on the two maps, at least on one.

    Args:
        points: of both maps as they are shown.

    Raises:
        ConfigError: with one sentence, if there is no encoder on either side: embeddings were added without one, it
            is gone, or its features are not those of the map.
    """
    found: list[Placer | NoPlacer] = []
    for embedding, model, shown in zip(embeddings, models, points, strict=True):
        try:
            found.append(_placer(embedding, model, models, asked, shown))
        except ConfigError as error:
            found.append(NoPlacer(str(error)))
    reasons = [item.why for item in found if isinstance(item, NoPlacer)]
    if len(reasons) == len(found):
        raise ConfigError(" ".join(dict.fromkeys(reasons)))
    return found


def ready(found: Sequence[Placer | NoPlacer]) -> list[Placer]:
    """Those that can place images."""
    return [item for item in found if isinstance(item, Placer)]


def _placer(
    embedding: Embedding, model: EncoderRef, models: Sequence[EncoderRef], asked: Projection, shown: NDArray[Any]
) -> Placer:
    key = f"{embedding.folder} {embedding.provenance.get('features_sha256')}"
    try:
        encoder = _encoder(key, model, embedding)
        features, space = _space(key, model, embedding)
    except OSError as error:
        raise ConfigError(f"{model.name} cannot be read: {error.strerror or error}.") from None
    layout = None
    if asked.dims == 2:
        digest = hashlib.blake2b(np.ascontiguousarray(shown).tobytes(), digest_size=8).hexdigest()
        layout = _layout(key, asked.method, digest, shown, features)
    choice = selection.for_models(models, choice_of(embedding))
    return Placer(model, embedding, encoder, space, layout, key, choice)


@st.cache_resource(max_entries=4, show_spinner="Loading the encoder")
def _encoder(key: str, _model: EncoderRef, _embedding: Embedding) -> MapEncoder:
    return load_map_encoder(_model, _embedding)


@st.cache_resource(max_entries=4, show_spinner="Reading the features of the maps")
def _space(key: str, _model: EncoderRef, _embedding: Embedding) -> tuple[NDArray[np.float32], Space]:
    features = _embedding.features
    if _embedding.is_shipped:
        features = _computed(_model, _embedding)
    return features, Space.of(features, _embedding.near)


def _computed(model: EncoderRef, embedding: Embedding) -> NDArray[np.float32]:
    """The features that did not come with an example, from its weights and the data set where it is here."""
    pictures = selection.load_selection(model.run, choice_of(embedding))
    if not np.array_equal(pictures.ids, embedding.ids):
        raise ConfigError(f"The images of {shipped.dataset_of(embedding)} here are not those that the maps show.")
    with open_weights(model) as weights:
        return networks.features_of(model, weights, pictures, lambda share: None)[0]


def choice_of(embedding: Embedding) -> ImageSelection:
    """Which images an embedding shows, and where those of an example lie."""
    about = embedding.provenance
    place = None
    if embedding.is_shipped:
        folder = shipped.find_folder(embedding, [store.ROOT, store.runs_dir().parent, Path.cwd(), cfg.data_root()])
        if folder is None and existing_folder(str(embedding.provenance["data"]["dataset"])) is None:
            raise ConfigError(
                f"The features of these maps did not come with the example, and the images of "
                f"{shipped.dataset_of(embedding)} are not here; with them in {cfg.data_root()} they are computed."
            )
        place = str(folder) if folder is not None else None
    number = about.get("num_images_asked")
    return ImageSelection(str(about["split"]), None if number is None else int(number), int(about["seed"]), place=place)


@st.cache_resource(max_entries=8, show_spinner=False)
def _layout(key: str, method: str, digest: str, _points: NDArray[np.float32], _features: NDArray[np.float32]) -> Layout:
    return placing.layout_of(method, _points, _features)
