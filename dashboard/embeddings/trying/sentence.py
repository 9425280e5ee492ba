"""A sentence on the Embeddings page: points are coloured by how similar their images are to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import escape
from dashboard.embeddings import choice
from dashboard.embeddings.choice import VIEW, Side
from dashboard.shared import url_state
from simclr import runs
from simclr.config import ConfigError
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.stored import Embedding
from simclr.encoders import sentences
from simclr.runs import metrics_csv

SENTENCE = "sentence"  # a colouring
WIDTH = 460  # pixels


def ask(embeddings: Sequence[Embedding], sides: Sequence[Side], color: str) -> str:
    """Draws the field where a side has a text encoder; returns the colouring, `color` without a sentence."""
    known = [model for model in choice.models_of(sides) if sentences.knows_words(model)]
    if not known:
        if VIEW[SENTENCE] and VIEW.was_asked(SENTENCE):
            url_state.say_instead(SENTENCE, VIEW[SENTENCE], "needs a run with a text encoder", "the usual colours")
        return color
    with st.container(width=WIDTH):
        text = st.text_input(
            "Colour by a sentence",
            placeholder="Colour by a sentence: a small red star on blue",
            label_visibility="collapsed",
            max_chars=choice.MAX_SENTENCE,
            icon=":material/chat_bubble:",
            **VIEW.widget(SENTENCE),
        )
    if not (text or "").strip():
        return color
    try:
        _values(embeddings, sides)
    except ConfigError as error:
        st.warning(escape.markdown(str(error)), icon=":material/chat_bubble:")
        return color
    return SENTENCE


def color_of(embeddings: Sequence[Embedding], sides: Sequence[Side]) -> dict[str, Any]:
    """The colouring as the component takes it; a side without a text encoder has no values.

    Raises:
        ConfigError: as `sentences.similarities`.
    """
    values = _values(embeddings, sides)
    known = np.concatenate([each[np.isfinite(each)] for each in values])
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    label = f"Similarity to: {VIEW[SENTENCE].strip()}"
    return {"label": label, "kind": "number", "names": [], "colors": [], "low": low, "high": high, "values": values}


def _values(embeddings: Sequence[Embedding], sides: Sequence[Side]) -> list[NDArray[np.float32]]:
    found = []
    for model, embedding in zip(choice.models_of(sides), embeddings, strict=True):
        if sentences.knows_words(model):
            key = f"{embedding.folder} {embedding.provenance.get('features_sha256')}"
            encoder = metrics_csv.signature(model.run.path / runs.TEXT_ENCODER)
            found.append(_similarities(key, encoder, VIEW[SENTENCE].strip(), model, embedding))
        else:
            found.append(np.full(embedding.num_images, np.nan, dtype=np.float32))
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _similarities(
    key: str, encoder: Any, sentence: str, _model: EncoderRef, _embedding: Embedding
) -> NDArray[np.float32]:
    """Kept, since one drawing of the page asks twice: whether the sentence is understood, and for its colours."""
    return sentences.similarities(_model, _projections(key, _model, _embedding), sentence)


@st.cache_resource(max_entries=4, show_spinner="Reading the features of the maps")
def _projections(key: str, _model: EncoderRef, _embedding: Embedding) -> NDArray[np.float32]:
    return sentences.projections_of(_model, _embedding)
