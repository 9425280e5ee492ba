"""Maps that came with an example without its photographs: where these come from, and reading them from there."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard.components import escape
from dashboard.shared import store
from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.embeddings import shipped
from simclr.embeddings.stored import Embedding
from simclr.files.user_paths import existing_folder

FOLDER = "pictures-folder"


def panel(embedding: Embedding) -> None:
    """Says where the photographs come from as long as there are none; reads them at once if they are found."""
    if embedding.sheets or not embedding.is_shipped:
        return
    job = shipped.find_job(embedding, store.runs_dir())
    found = find_folder(embedding)
    error = ""
    if job is None and found is not None:
        try:
            job = shipped.start_job(embedding, found, store.runs_dir())
        except ConfigError as problem:
            error = str(problem)
    status = runs.current_status(job) if job is not None else None
    if status is not None and status.is_active:
        reading(str(job))
        return
    if status is not None and status.state == "failed":
        error = status.error or "It failed."
    name = escape.markdown(shipped.dataset_of(embedding))
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="pictures"):
        st.caption(f":material/hide_image: The photographs of {name} did not come with this example.", width="content")
        with st.popover("Show them", icon=":material/folder_open:"):
            st.markdown("They are read from the folder of the data set, where you have it, and kept beside your runs.")
            if FOLDER not in st.session_state and found is not None:
                st.session_state[FOLDER] = str(found)
            st.text_input(
                f"Folder of {name}",
                key=FOLDER,
                placeholder=f"/data/{shipped.dataset_of(embedding)}",
                help=f"The folder below which {example_of(embedding)} and the others lie.",
            )
            st.button("Read them", type="primary", key="pictures-read", on_click=start, args=(embedding,))
    if error:
        st.markdown(f":red[:material/error:] The photographs could not be read. {escape.markdown(error)}")


def find_folder(embedding: Embedding) -> Path | None:
    """The folder of the data set, where it lies at one of the usual places."""
    return shipped.find_folder(embedding, [store.ROOT, store.runs_dir().parent, Path.cwd(), cfg.data_root()])


def folder_of(embedding: Embedding) -> Path | None:
    """The folder of the data set: the one that the user has named, or `find_folder`."""
    named = str(st.session_state.get(FOLDER) or "").strip()
    return (existing_folder(named) if named else None) or find_folder(embedding)


def example_of(embedding: Embedding) -> str:
    """The file of one of the images."""
    try:
        return escape.markdown(shipped.paths_of(embedding)[0])
    except ConfigError:
        return "the images"


def start(embedding: Embedding) -> None:
    folder = str(st.session_state.get(FOLDER) or "").strip()
    try:
        if not folder:
            raise ConfigError(f"folder is empty; allowed: the folder of {shipped.dataset_of(embedding)}.")
        shipped.start_job(embedding, Path(folder), store.runs_dir())
    except ConfigError as error:
        st.session_state["message"] = str(error)


@st.fragment(run_every=1)
def reading(job: str) -> None:
    """How far it is; the page is drawn again when it ends."""
    status = runs.current_status(Path(job))
    if not status.is_active:
        st.rerun()
    st.progress(status.progress, text="Reading the photographs from the folder of the data set")
