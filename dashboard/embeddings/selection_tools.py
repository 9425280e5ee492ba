"""What becomes of selected images: a tag, a table, a folder of copies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import escape
from dashboard.embeddings import export, pictures_panel, searching, tags_panel
from dashboard.shared import ui
from simclr.config import ConfigError
from simclr.embeddings import shipped
from simclr.embeddings.projections import Projection
from simclr.embeddings.stored import Embedding
from simclr.files.user_paths import existing_folder
from simclr.image_sets import copies, files
from simclr.image_sets.files import ImageFiles

COPIES, LINKS = "Copies", "Links"


def tools(embeddings: Sequence[Embedding], asked: Projection, rows: NDArray[np.int64]) -> None:
    """The buttons beside the number of selected images."""
    first = embeddings[0]
    known = searching.image_files(first)
    with st.container(horizontal=True, horizontal_alignment="right", gap="small", key="selection-tools"):
        if st.button("Tag", icon=":material/sell:", key="selection-tag", help="Give these images a name"):
            tags_panel.make(first, rows, known.paths if known else None)
        ui.download(
            "CSV",
            partial(content, embeddings, asked, rows),
            file_name="selected-images.csv",
            mime="text/csv",
            key="selection-csv",
            icon=":material/table:",
            help="One row for each selected image: number, file, class, properties, tags, its places on both maps, "
            "predictions.",
        )
        if st.button(
            "Folder", icon=":material/folder_copy:", key="selection-folder", help="Copy these images into a folder"
        ):
            copy(first, rows, known)


def content(embeddings: Sequence[Embedding], asked: Projection, rows: NDArray[np.int64]) -> bytes:
    """The table of the selected images."""
    return export.table(embeddings, asked, "csv", rows, only_selected=True, **searching.file_columns(embeddings[0]))


@st.dialog("Copy the selected images into a folder")
def copy(embedding: Embedding, rows: NDArray[np.int64], known: ImageFiles | None) -> None:
    """Asks where to, then writes."""
    number = f"{len(rows):,} {'image' if len(rows) == 1 else 'images'}"
    sorted_by = ", a folder for each class" if embedding.labels is not None else ""
    has_files = known is not None
    written = "under their own names" if has_files else "as PNG, named by their numbers"
    st.caption(f"{number}, {written}{sorted_by}. Nothing that is there is written over.")
    with st.form("copies", border=False):
        text = st.text_input(
            "New folder on the computer that runs this page",
            key="copies-folder",
            placeholder="/home/me/chosen",
            help="Its full path. The folder is made; one that exists must be empty.",
        )
        source = ""
        if embedding.is_shipped and pictures_panel.folder_of(embedding) is None:
            source = st.text_input(f"Folder of {shipped.dataset_of(embedding)}", key="copies-source")
        kind = COPIES
        if has_files:
            kind = (
                st.segmented_control(
                    "What is written",
                    [COPIES, LINKS],
                    default=COPIES,
                    required=True,
                    key="copies-kind",
                    help="Links take no room, and lead nowhere when the data set is moved.",
                )
                or COPIES
            )
        if not st.form_submit_button("Write them", type="primary", icon=":material/folder_copy:"):
            return
    bar = st.empty()

    def progress(share: float) -> None:
        bar.progress(min(1.0, share), text="Reading and writing")

    try:
        target = copies.target_of(text)
        found = with_folder(embedding, known, source)
        progress(0.0)

        num_written = copies.copy_images(
            embedding,
            rows,
            target,
            searching.run_of(embedding),
            found,
            links=kind == LINKS,
            progress=progress,
        )
    except ConfigError as error:
        bar.error(escape.markdown(str(error)), icon=":material/error:")
        return
    noun = {COPIES: ("image was", "images were"), LINKS: ("link was", "links were")}[kind][num_written != 1]
    bar.success(escape.markdown(f"{num_written:,} {noun} written to {target}."), icon=":material/check:")


def with_folder(embedding: Embedding, known: ImageFiles | None, source: str) -> ImageFiles | None:
    """The files with the folder where they lie; of maps that came without photographs, it may have to be named.

    Raises:
        ConfigError: where it is needed and no folder.
    """
    if known is None or known.folder is not None:
        return known
    folder = existing_folder(source.strip()) if source.strip() else pictures_panel.folder_of(embedding)
    if folder is None:
        name = shipped.dataset_of(embedding)
        named = f"{source.strip()}, which is no folder" if source.strip() else "empty"
        raise ConfigError(f"folder of {name} is {named}; allowed: the folder below which {known.paths[0]} lies.")
    return files.files_of(embedding, searching.run_of(embedding), folder)
