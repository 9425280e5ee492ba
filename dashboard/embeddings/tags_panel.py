"""The tags of the Embeddings page: named sets of images, made of a selection, chosen again, renamed and deleted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import escape
from dashboard.embeddings import choice, searching
from dashboard.embeddings.colors import TAGS
from dashboard.shared import store
from simclr.config import ConfigError
from simclr.embeddings.stored import Embedding
from simclr.image_sets import tags
from simclr.image_sets.tags import Tag


def panel(embedding: Embedding) -> None:
    """The list of all tags of the data set; nothing where there are none."""
    try:
        found = tags.read(store.runs_dir(), searching.dataset_of(embedding))
    except ConfigError as error:
        st.markdown(f":red[:material/error:] {escape.markdown(str(error))}")
        return
    if not found:
        return
    rows = searching.tag_rows(embedding)
    with st.expander(f"Tags of these images ({len(found)})", icon=":material/sell:"):
        for tag in found:
            line(embedding, tag, rows.get(tag.name, np.empty(0, dtype=np.int64)))
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if st.button(
                "Colour the maps by tag",
                icon=":material/palette:",
                key="tags-color",
                disabled=choice.VIEW["color"] == TAGS,
            ):
                choice.VIEW["color"] = TAGS
                st.rerun()
            st.caption("In the search above the maps, `tag = name` finds the images of a tag.")


def line(embedding: Embedding, tag: Tag, rows: NDArray[np.int64]) -> None:
    """A tag with its numbers and what can be done with it."""
    here = len(rows)
    words = f"{tag.num_images:,} {'image' if tag.num_images == 1 else 'images'}"
    if here != tag.num_images:
        words += f", {here:,} on these maps"
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"tag-{tag.created}"):
        st.markdown(f"**{escape.markdown(tag.name)}**  \n:small[{words}]", width="stretch")
        st.button(
            "Select",
            key=f"tag-select-{tag.created}",
            help=f"Select the images of {escape.markdown(tag.name)} on the maps",
            disabled=not here,
            on_click=choice.select,
            args=(rows, embedding.num_images),
        )
        if st.button("Rename", key=f"tag-rename-{tag.created}", icon=":material/edit:"):
            rename(searching.dataset_of(embedding), tag.name)
        if st.button("Delete", key=f"tag-delete-{tag.created}", icon=":material/delete:"):
            delete(searching.dataset_of(embedding), tag.name, tag.num_images)


# --- dialogs --------------------------------------------------------------------------------------------------------


def _ask_name(label: str, value: str, key: str) -> str:
    return st.text_input(
        label,
        value=value,
        key=key,
        placeholder="such as mistakes, or blue backgrounds",
        help=f"At most {tags.MAX_NAME} signs, without quotation marks.",
    )


@st.dialog("Make a tag")
def make(embedding: Embedding, rows: NDArray[np.int64], paths: Sequence[str] | None) -> None:
    """Asks for a name, then keeps the selected images under it."""
    st.caption(
        f"A name for {len(rows):,} selected {'image' if len(rows) == 1 else 'images'}. It is kept beside your runs, "
        "for all maps of these images."
    )
    with st.form("tag-make", border=False, enter_to_submit=True):
        name = _ask_name("Name", "", "tag-name")
        if not st.form_submit_button("Make the tag", type="primary", icon=":material/sell:"):
            return
        try:
            tags.save(
                store.runs_dir(),
                searching.dataset_of(embedding),
                name,
                str(embedding.provenance.get("split")),
                embedding.ids[rows],
                None if paths is None else [paths[row] for row in rows],
            )
        except ConfigError as error:
            st.error(escape.markdown(str(error)), icon=":material/error:")
            return
    st.rerun()


@st.dialog("Rename a tag")
def rename(dataset: str, name: str) -> None:
    with st.form("tag-rename", border=False, enter_to_submit=True):
        new_name = _ask_name("Name", name, f"tag-new-name-{name}")
        if not st.form_submit_button("Rename", type="primary"):
            return
        try:
            if new_name.strip() != name:
                tags.rename(store.runs_dir(), dataset, name, new_name)
        except ConfigError as error:
            st.error(escape.markdown(str(error)), icon=":material/error:")
            return
    st.rerun()


@st.dialog("Delete this tag?")
def delete(dataset: str, name: str, num_images: int) -> None:
    st.markdown(f"**{escape.markdown(name)}**")
    st.caption(f"The {num_images:,} images themselves stay where they are.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="tag-delete-no"):
            st.rerun()
        if st.button("Delete the tag", key="tag-delete-yes", type="primary", icon=":material/delete:"):
            try:
                tags.delete(store.runs_dir(), dataset, name)
            except ConfigError as error:
                st.session_state["message"] = str(error)
            st.rerun()
