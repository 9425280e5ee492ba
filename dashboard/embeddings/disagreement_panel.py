"""Where the two encoders disagree, as cards: found groups of images, each with a contact sheet and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard.components import escape
from dashboard.components.embedding_map import selection_text
from dashboard.embeddings.choice import VIEW, Side
from dashboard.maps import map_images
from simclr.analysis import disagreement
from simclr.analysis.disagreement import Card
from simclr.embeddings import stored
from simclr.embeddings.stored import Embedding

PER_ROW, TILES, TILE_SIDE = 2, 9, 52
METHOD = (
    "Half of the images are grouped in one encoder (k-means on directions); the other half alone decides how near the "
    "images of a group are to each other there and in the other encoder, and what they share. Claims are corrected for "
    "all groups and factors that were looked at (Holm): chance finds a scattered group in one of 20 comparisons at "
    "most, and something shared in one of 100."
)


@st.cache_data(max_entries=40, ttl=3600, show_spinner=False)
def find(folders: tuple[str, str], digests: tuple[str, str]) -> list[Card]:
    """The cards of two stored embeddings; computed once for all browser sessions.

    Args:
        digests: of their features, so that others under the same name are another question.
    """
    first, second = (stored.load_embedding(Path(folder)) for folder in folders)
    if first is None or second is None:
        return []
    measured = {} if first.factors else stored.measured_of(first)
    return disagreement.find_cards(
        (first.features, second.features), first.labels, first.classes, first.factors, measured
    )


def select(card: Card, num_images: int) -> None:
    """Selects the images of a card on both maps."""
    VIEW.update(selection=selection_text(card.rows, num_images), image="", zoom="")
    VIEW.redraw()


def panel(embeddings: Sequence[Embedding], sides: Sequence[Side]) -> None:
    """The cards of these two, below their maps."""
    st.subheader("Where they disagree", anchor=False, help=METHOD)
    first, second = embeddings
    if first.num_images < disagreement.MIN_IMAGES:
        st.caption(f"Groups are looked for among at least {disagreement.MIN_IMAGES} images.")
        return
    digests = tuple(str(item.provenance.get("features_sha256")) for item in embeddings)
    with st.spinner("Looking for groups that one holds together and the other scatters ..."):
        cards = find((str(first.folder), str(second.folder)), (digests[0], digests[1]))
    if not cards:
        st.caption("No group of images is held together by one of them and scattered by the other.")
        return
    titles = [side.title for side in sides]
    for start in range(0, len(cards), PER_ROW):
        for column, number in zip(st.columns(PER_ROW, gap="small"), range(start, start + PER_ROW), strict=True):
            if number < len(cards):
                with column:
                    draw(cards[number], number, first, titles)


def draw(card: Card, number: int, embedding: Embedding, titles: Sequence[str]) -> None:
    """One card: its images, what they share, and the way to both maps."""
    with st.container(border=True, horizontal=True, gap="small", height="stretch", key=f"disagree-card-{number}"):
        sheet = map_images.contact_sheet(
            embedding.sheets, embedding.provenance["thumbnails"], card.rows[:TILES].tolist(), TILE_SIDE
        )
        if sheet is not None:
            st.image(sheet, width=3 * TILE_SIDE)
        with st.container(gap="small", width="stretch"):
            st.markdown(f"**{escape.markdown(disagreement.shared(card))}**")
            st.caption(escape.markdown(disagreement.who(card, titles)))
            st.button(
                "Select on both maps",
                key=f"disagree-{number}",
                icon=":material/lasso_select:",
                on_click=select,
                args=(card, embedding.num_images),
            )
