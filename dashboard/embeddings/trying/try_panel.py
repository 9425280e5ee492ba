"""Try images: what both models make of a user's own images, beside the Embeddings page's maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from dashboard.components import escape
from dashboard.components.paste_images import paste_images
from dashboard.embeddings import selection
from dashboard.embeddings.choice import Side
from dashboard.embeddings.trying import own_images, tug_panel
from dashboard.embeddings.trying.encoders import NoPlacer, Placer
from dashboard.embeddings.trying.own_images import SHOWN_NEIGHBORS, TILE_SIDE, UPLOADER, Fall, OwnImages
from dashboard.shared.formats import fine_percent
from simclr.analysis.placing import PLACED_AMONG
from simclr.embeddings import compare
from simclr.embeddings.neighbors import Nearest
from simclr.evaluation.knn import NUM_NEIGHBORS
from simclr.views import sample_images

TOP_CLASSES = 3
UNUSUAL = 0.05  # the nearest neighbour is less like the image than all but this share of the map's images have theirs

# --- in words -------------------------------------------------------------------------------------------------------


def place_sentence(is_exact: bool, label: str) -> str:
    if is_exact:
        return "On these PCA maps the images stand where their features put them, exactly."
    return (
        f"{label} gives new images no place of their own: each stands at the weighted mean of its {PLACED_AMONG} "
        "nearest neighbours, in a dashed frame."
    )


def verdict(placer: Placer, found: Fall, place: int) -> list[str]:
    """What a model takes an image for, and whether it knows anything like it, in sentences."""
    embedding, words = placer.embedding, []
    if found.probabilities is not None:
        row = found.probabilities[place]
        best = np.argsort(-row, kind="stable")[: min(TOP_CLASSES, len(row))]
        names = [f"{placer.encoder.classes[index]} {fine_percent(float(row[index]))}" for index in best]
        words.append(f"Its classifier says {', '.join(names)}.")
    if embedding.labels is not None and embedding.classes:
        near = Nearest(found.near.indices[place : place + 1], found.near.similarities[place : place + 1])
        voted = int(compare.knn_votes(near, embedding.labels)[0])
        k = min(NUM_NEIGHBORS, near.indices.shape[1])
        same = int((embedding.labels[near.indices[0, :k]] == voted).sum())
        words.append(f"kNN vote: {embedding.classes[voted]}, {same} of its {k} nearest.")
    if placer.space.share_farther(float(found.near.similarities[place, 0])) < UNUSUAL:
        words.append("It is less like its nearest image than nearly all images of the map are like theirs.")
    return words


# --- the panel ------------------------------------------------------------------------------------------------------


def panel(own: OwnImages, sides: Sequence[Side], label: str) -> None:
    """Draws the place to give images, and what both models make of those that were given.

    Args:
        label: of the map that is shown.
    """
    if not any(side.has_encoder for side in sides):
        st.caption(
            "To try images of your own, choose a run or the raw pixels on one side: added embeddings came without an "
            "encoder."
        )
        return
    with st.container(border=True, key="embedding-try"):
        st.markdown(
            "**Try images of your own**  \n:small[Drop, paste or choose some: where do they fall on the maps, and what "
            "are they taken for? They stay in this session.]"
        )
        with st.container(gap=None):  # what listens for pasted images takes no room
            st.file_uploader(
                "Images to try",
                type=["png", "jpg", "jpeg", "webp", "gif"],
                accept_multiple_files=True,
                key=UPLOADER,
                max_upload_size=sample_images.MAX_UPLOAD_MIB,
                on_change=own_images.take_files,
                label_visibility="collapsed",
            )
            paste_images(UPLOADER, "embedding-paste")
        if own.problem:
            st.warning(escape.markdown(own.problem), icon=":material/error:")
        for sentence in own.problems:
            st.warning(escape.markdown(sentence), icon=":material/broken_image:")
        if own.images:
            words = [place_sentence(own.is_exact, label)] if own.marks is not None else []
            words += ["Framed neighbours are shared by both models."] if None not in own.falls else []
            st.caption(" ".join(words))
        for place in reversed(range(len(own.images))):  # the newest is seen first
            _card(place, own, sides)
            if place:
                st.divider()


def _card(place: int, own: OwnImages, sides: Sequence[Side]) -> None:
    item = own.images[place]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.image(item.tile, width=TILE_SIDE)
        st.markdown(
            f"**{place + 1} · {escape.markdown(item.name)}**  \n:small[{escape.markdown(item.note)}]", width="stretch"
        )
        if own.marks is not None:
            st.button(
                "Tug",
                icon=":material/gesture:",
                key=f"embedding-pull-{place}",
                on_click=tug_panel.pull,
                args=(own_images.digest_of(item.largest),),
                help="Change its colours, crop or turn it, and see where it goes on both maps above.",
            )
    rows = [each.near.indices[place, :SHOWN_NEIGHBORS].tolist() for each in own.falls if each is not None]
    shared = set(rows[0]).intersection(*rows[1:]) if len(rows) > 1 else set()
    for number, (column, placer, side) in enumerate(zip(st.columns(len(sides)), own.placers, sides, strict=True)):
        found = own.falls[number]
        with column:
            st.markdown(f"**Nearest in {escape.markdown(side.title)}**")
            if isinstance(placer, NoPlacer) or found is None:
                st.caption(escape.markdown(placer.why if isinstance(placer, NoPlacer) else ""))
                continue
            first, near = placer.embedding, found.near.indices[place, :SHOWN_NEIGHBORS].tolist()
            if words := verdict(placer, found, place):
                st.caption(escape.markdown(" ".join(words)))
            items = selection.items_of(first, near, -1)
            for entry, row, similarity in zip(items, near, found.near.similarities[place], strict=False):
                name = first.classes[int(first.labels[row])] if first.labels is not None else ""
                entry |= {"caption": f"{similarity:.3f}\n{name}", "mark": row in shared, "open": False}
            selection.grid(first, items, f"embedding-try-{place}-{number}", side=56)
