"""What a chosen encoder makes of the views on the Augmentations page: pairs, a batch, invariance and factors.

Views of few images are encoded here, on the CPU, as soon as they are shown; what takes longer is a job.
Torch is imported inside the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboard.augmentations import outline
from dashboard.augmentations.encoder_batch import draw_matrix, draw_pairs
from dashboard.augmentations.encoder_choice import choose_encoder
from dashboard.augmentations.encoder_results import draw_factors, draw_invariance
from dashboard.augmentations.encoder_state import VIEW
from dashboard.components import escape
from dashboard.shared import run_labels, store, url_state
from simclr.config import ConfigError
from simclr.embeddings.references import EncoderRef
from simclr.views import sample_images

SHOWS = {
    "pairs": "Pairs and others",
    "batch": "Batch and temperature",
    "invariance": "Invariance",
    "factors": "Factors",
}
NOTES = {
    "pairs": "Cosine similarity of the two views of each image beside that of its first view and views of others. "
    "Pre-training pulls pairs together in z (Chen et al. 2020); h is what is kept. The grey bars reach from the 5th to "
    "the 95th percentile of the others.",
    "batch": "Every view against every other, the two views of an image side by side. Move the temperature: the loss "
    "and the weights of the negatives follow in the browser, on the same embeddings. A low one leaves few negatives "
    "that count, the most similar (Wang and Liu 2021). Different images that are most alike have a frame: of one class "
    "they are false negatives, which the loss pushes apart though they show the same thing (Chuang et al. 2020), else "
    "hard ones. ln(2N − 1) is the loss where all similarities are equal.",
    "invariance": "Mean cosine similarity of an image and its changed self, for one operation at a time. A flat, high "
    "curve is an operation that the network has learned to ignore. Beside other images: 1 is unchanged, 0 like two "
    "different images. An untrained network puts all images close together, so plain cosines alone would make "
    "it look invariant. Ericsson et al. 2021 (arXiv 2111.11398) measure invariances in this way.",
    "factors": "How well a linear map reads each factor of the generated shapes from the features: accuracy for the "
    "shape, R² of ridge regression for the others, on images that it was not fitted to. Hue is a point on the colour "
    "circle; rotation leaves out circle and ring. What the augmentation changes, the encoder forgets, z more "
    "than h (Chen et al. 2020, section 4.2; Xiao et al. 2021, arXiv 2008.05659).",
}


# What there will be, by what is shown: the figures and the height of the picture.
COMING: dict[str, tuple[tuple[str, ...], int]] = {
    "pairs": (("The two views of an image", "Different images", "Partner is the most similar"), 340),
    "batch": ((), 520),
    "invariance": ((), 220),
    "factors": ((), 340),
}
LOADED = "lab-loaded"  # encoders that this session has waited for


# --- all of it ------------------------------------------------------------------------------------------------------


def section(kept: dict[str, Any], found: sample_images.SampleImages, numbers: Sequence[int]) -> None:
    """Draws this part of the Augmentations page.

    Args:
        kept: the page's state: `values` (options of the augmentation), `dataset`, `size`, and `seed` and `epoch` of the
            views, which else are 0 and `draw`.
        found: images to choose from.
        numbers: of the chosen images.
    """
    usable = run_labels.usable(store.get().summaries())
    if not usable:
        with st.container(border=True, key="lab-empty"):
            st.markdown("**No encoder yet**")
            st.markdown("As soon as a run has finished, its network can be asked what it makes of these views.")
            if st.button("Start a run", key="lab-start", type="primary", icon=":material/play_arrow:"):
                url_state.go("new-run")
        return
    items = {item.id: item for item in usable}
    show = (
        st.segmented_control(
            "What to show",
            list(SHOWS),
            format_func=SHOWS.__getitem__,
            required=True,
            label_visibility="collapsed",
            **VIEW.widget("show", list(SHOWS), "pairs"),
        )
        or "pairs"
    )
    chosen = choose_encoder(items, kept["dataset"], show)
    if chosen is None:
        return
    choice, layer = chosen
    draw: dict[str, Callable[[], None]] = {
        "pairs": lambda: draw_pairs(choice, layer, kept, found, numbers),
        "batch": lambda: draw_matrix(choice, layer, kept, found, numbers),
        "invariance": lambda: draw_invariance(items, choice, layer, found),
        "factors": lambda: draw_factors(items, choice, layer),
    }
    _size_note(choice.model, kept["size"] or found.side, show)
    loaded: set[str] = st.session_state.setdefault(LOADED, set())
    known = f"{choice.model.reference} {show}"
    waiting = st.empty()
    if known not in loaded:  # reading a network for the first time takes seconds
        with waiting.container():
            figures, height = COMING[show]
            outline.draw(
                f"The network of {escape.markdown(choice.title)} is read, and looks at the images.", figures, height
            )
    try:
        draw[show]()
    except (ConfigError, OSError) as error:
        st.error(escape.markdown(str(error)), icon=":material/error:")
    loaded.add(known)
    waiting.empty()
    st.caption(NOTES[show])


def _size_note(model: EncoderRef, side: int, show: str) -> None:
    """Says where views are resized, since a blur or a small shape then is another."""
    size = model.run.config.get("image_size")
    if show in ("pairs", "batch") and size and int(size) != side:
        st.caption(f"This network was made for {size} pixels: views of {side} pixels are resized to that.")
