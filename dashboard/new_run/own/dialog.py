"""Your own images: the dialog that puts a folder of this machine, or an upload, into the data set field."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard.new_run.own import folders, upload_panel
from dashboard.shared import form_fields, ui
from simclr.config.remedies import Remedy

OPEN = "own-images-open"
HERE, UPLOAD = "On this machine", "Upload"
ABOUT = "Choose a folder on this machine, or upload one, and see how it is read before anything is trained."


def button() -> None:
    """What opens the dialog, and the dialog while it is open: the page behind it may be drawn again meanwhile."""
    st.button(
        "Your own images",
        icon=":material/add_photo_alternate:",
        key="own-images",
        type="tertiary",
        on_click=open_it,
        help=ABOUT,
    )
    if st.session_state.get(OPEN):
        dialog()


def open_it() -> None:
    st.session_state[OPEN] = True
    folders.begin()


def close() -> None:
    """What was uploaded and is not used goes with the dialog."""
    if st.session_state.pop(OPEN, False):
        upload_panel.drop()


@st.dialog("Your own images", width="medium", on_dismiss=close)
def dialog() -> None:
    """Both ways, one at a time."""
    if not st.session_state.get(OPEN):
        st.rerun()
    ui.show_message()
    where = st.segmented_control(
        "Where they are",
        [HERE, UPLOAD],
        default=HERE,
        required=True,
        key="own-images-where",
        label_visibility="collapsed",
    )
    if where == UPLOAD:
        upload_panel.panel(use)
    else:
        folders.panel(use)


def use(folder: Path) -> None:
    """Puts a folder into the data set field, with what was typed into others meanwhile, and closes the dialog."""
    form_fields.use(Remedy("dataset", str(folder)))
    st.session_state.pop(OPEN, None)
