"""Views of a batch, encoded on the CPU: pairs beside others, and the matrix of similarities."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.augmentations.encoder_choice import ChosenEncoder
from dashboard.augmentations.encoder_figures import pairs_figure
from dashboard.augmentations.encoder_state import VIEW
from dashboard.components.live_chart import live_chart
from dashboard.components.similarity_matrix import HIGHEST, LOWEST, chosen_temperature, similarity_matrix
from dashboard.shared import asked, formats
from simclr import config as cfg
from simclr.analysis import encoders, similarity, stored
from simclr.config import Augmentation
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef, Representation
from simclr.models.weights import Weights
from simclr.views import pictures, sample_images

CHOSEN = "chosen"
BATCHES = (CHOSEN, "8", "16", "32", "64")
NUM_OTHERS = 32  # random other images beside the chosen pairs
MOST_PAIRS = 64  # in the matrix
AT_ONCE_SECONDS = 4.0  # what takes longer to encode waits for a click
TILE, SPRITE_COLUMNS = 48, 16


def _encoder(model: EncoderRef) -> tuple[str, encoders.FrozenEncoder]:
    """The encoder, and a key that changes with its weights; raises ConfigError where there are none."""
    with references.open_weights(model) as weights:
        key = repr(sorted(encoders.model_values(model, weights).items()))
        return key, _loaded(key, model, weights)


@st.cache_resource(max_entries=3, show_spinner="Loading the network")
def _loaded(key: str, _model: EncoderRef, _weights: Weights | None) -> encoders.FrozenEncoder:
    return encoders.load_encoder(_model, _weights)


@st.cache_data(max_entries=64, show_spinner=False)
def _seconds_per_image(key: str, side: int, _encoder: encoders.FrozenEncoder) -> float:
    """Of encoding; measured on a few grey images, after one that warms up."""
    import torch

    few = torch.full((4, 3, side, side), 0.5)
    _encoder(few[:1])
    start = time.perf_counter()
    _encoder(few)
    return (time.perf_counter() - start) / len(few)


# --- views of a batch -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Views of N images: rows of each layer (2N, D), pairs adjacent and of length 1, and a picture of them all."""

    rows: dict[Representation, NDArray[np.float64]]
    sprite: str
    titles: list[str]
    names: list[str]
    key: str


def _others(found: sample_images.SampleImages, numbers: Sequence[int], count: int, seed: int) -> list[int]:
    """Numbers of images drawn at random, none of those given."""
    rest = [int(number) for number in found.ids if int(number) not in set(numbers)]
    order = np.random.default_rng([seed, len(rest)]).permutation(len(rest))[:count]
    return [rest[place] for place in order]


def _batch(
    choice: ChosenEncoder, kept: dict[str, Any], found: sample_images.SampleImages, numbers: Sequence[int]
) -> Batch | None:
    """The views of these images, encoded; None where that takes long and was not asked for yet.

    Raises:
        ConfigError: if the options, the weights or the images do not go together.
    """
    augmentation = cfg.build(cfg.PretrainConfig, {"augmentation": kept["values"]}).augmentation
    places = found.places(list(numbers))
    side = kept["size"] or found.side
    model_key, encoder = _encoder(choice.model)
    draw = (kept["seed"], kept["epoch"], side)
    images = found.images[places]
    key = f"{model_key}|{augmentation!r}|{draw}|{stored.images_key(images)}|{found.ids[places].tolist()}"
    seconds = 2 * len(places) * _seconds_per_image(model_key, encoder.size or side, encoder)
    asked = st.session_state.setdefault("lab-asked", set())
    if seconds > AT_ONCE_SECONDS and key not in asked:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"Encoding these {2 * len(places)} views takes about {formats.duration(seconds)} here.")
            if not st.button("Compute", key="lab-encode", type="primary", icon=":material/play_arrow:"):
                return None
        asked.add(key)
    rows, sprite = _encoded(key, encoder, images, found.ids[places], augmentation, draw)
    titles, names = [found.title(place) for place in places], [found.names[place] for place in places]
    return Batch(rows, sprite, titles, names, key)


@st.cache_data(max_entries=16, show_spinner="Encoding the views")
def _encoded(
    key: str,
    _encoder: encoders.FrozenEncoder,
    _images: NDArray[np.uint8],
    _ids: NDArray[np.int64],
    _augmentation: Augmentation,
    _draw: tuple[int, int, int],
) -> tuple[dict[Representation, NDArray[np.float64]], str]:
    import torch

    from simclr.views import augment, resampling

    seed, epoch, side = _draw
    with torch.inference_mode():
        images, ids = torch.from_numpy(_images), torch.from_numpy(_ids)
        views = augment.two_views(images, ids, _augmentation, seed=seed, epoch=epoch, size=side)
        together = torch.stack(views, dim=1).flatten(0, 1)  # (2N, 3, side, side), pairs adjacent
        rows = {layer: similarity.interleave(values[::2], values[1::2]) for layer, values in _encoder(together).items()}
        tiles = resampling.resize(together, TILE) if side > TILE else together
        empty = tiles.new_zeros(-len(tiles) % SPRITE_COLUMNS, *tiles.shape[1:])
        sheet = pictures.sprite_sheet(torch.cat([tiles, empty]).unflatten(0, (-1, SPRITE_COLUMNS)))
    return rows, pictures.png_address(sheet)


def _layer_of(batch: Batch, layer: Representation) -> NDArray[np.float64]:
    """Rows of a layer; a weights file without a projector has h alone."""
    if layer not in batch.rows:
        st.caption("These weights hold no projector, so that h is shown.")
        return batch.rows["h"]
    return batch.rows[layer]


def draw_pairs(
    choice: ChosenEncoder,
    layer: Representation,
    kept: dict[str, Any],
    found: sample_images.SampleImages,
    numbers: Sequence[int],
) -> None:
    others = _others(found, numbers, NUM_OTHERS, kept["epoch"])
    if len(numbers) + len(others) < 2:
        st.info("One image has no others to be compared with; choose a data set of two or more.")
        return
    batch = _batch(choice, kept, found, [*numbers, *others])
    if batch is None:
        return
    shown = len(batch.titles) - len(others)
    measured = similarity.pair_numbers(similarity.similarity_matrix(_layer_of(batch, layer)))
    pairs, against = measured.pairs[:shown], measured.others[:shown]
    with st.container(horizontal=True, gap="medium", key="lab-pair-numbers"):
        st.metric(
            "The two views of an image",
            formats.two_digits(pairs.mean()),
            width="content",
            help="Mean cosine similarity of the chosen pairs.",
        )
        st.metric(
            "Different images",
            formats.two_digits(against.mean()),
            width="content",
            help=f"Mean cosine similarity to the views of {len(batch.titles) - 1} others.",
        )
        st.metric(
            "Partner is the most similar",
            formats.percent(measured.top1, 0),
            width="content",
            help=f"Of all {2 * len(batch.titles)} views here, chosen and others; chance is "
            f"{100 / (2 * len(batch.titles) - 1):.1f} %.",
        )
    live_chart(
        pairs_figure(batch.titles[:shown], pairs, against, choice.color, layer),
        "lab-pairs",
        "Similarity of pairs",
        height=340,
    )


def draw_matrix(
    choice: ChosenEncoder,
    layer: Representation,
    kept: dict[str, Any],
    found: sample_images.SampleImages,
    numbers: Sequence[int],
) -> None:
    size = (
        st.segmented_control(
            "Images in the batch",
            BATCHES,
            required=True,
            **VIEW.widget("batch_of", BATCHES, "16"),
            format_func=lambda size: "The chosen" if size == CHOSEN else size,
            help="The chosen images, or so many drawn from the data set; another draw of the views draws others.",
        )
        or "16"
    )
    wanted = list(numbers) if size == CHOSEN else _others(found, [], int(size), kept["epoch"])
    if len(wanted) < 2:
        st.info("One image has no negatives; choose two or more, or a drawn batch.")
        return
    batch = _batch(choice, kept, found, wanted[:MOST_PAIRS])
    if batch is None:
        return
    similarities = similarity.similarity_matrix(_layer_of(batch, layer))
    key = "lab-matrix"
    temperature = chosen_temperature(key) or _temperature(choice.model)
    bright = similarity.likely_false_negatives(similarities, batch.names)
    words = {True: "same class: a false negative", False: "other class: a hard negative", None: "class unknown"}
    marks = [
        {
            "row": item.row,
            "column": item.column,
            "similarity": item.similarity,
            "words": f"{batch.titles[item.row // 2]} · {batch.titles[item.column // 2]}, {words[item.same_class]}",
        }
        for item in bright
    ]
    similarity_matrix(
        similarities,
        titles=batch.titles,
        sprite=batch.sprite,
        columns=SPRITE_COLUMNS,
        marks=marks,
        temperature=temperature,
        revision=f"{zlib.crc32(f'{batch.key}|{layer}'.encode())}",
        key=key,
    )
    VIEW["temperature"] = f"{temperature:g}"
    if layer == "h" and len(references.layers_of(choice.model)) > 1:
        st.caption("Training compares projections z, not h: this is what the loss would be on the features.")


def _temperature(model: EncoderRef) -> float:
    """Of the address, else of the run's training."""
    if VIEW.was_asked("temperature"):
        query = {"temperature": [str(VIEW["temperature"] or "")]}
        asked.number_in(query, "temperature", LOWEST, HIGHEST, "that of the training")
    for value in (VIEW["temperature"], model.run.config.get("temperature")):
        try:
            found = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if LOWEST <= found <= HIGHEST:
            return found
    return 0.5
