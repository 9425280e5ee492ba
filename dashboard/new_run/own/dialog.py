"""Your own images: the dialog that puts a folder of this machine, or an upload, into the data set field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.new_run.own import folders, upload_panel
from dashboard.shared import form_fields, forms, ui
from simclr.config.remedies import Remedy

OPEN = "own-images-open"
WHERE = "own-images-where"
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


def ask(place: Any) -> None:
    """What is missing where another page only looked at somebody's images, with the click that brings them."""
    if not forms.images_are_asked():
        return
    with place.container(
        border=True, horizontal=True, vertical_alignment="center", gap="small", key="own-images-asked"
    ):
        st.markdown(
            "Your images were only looked at and are kept nowhere. Add them, or train on the data set below.",
            width="stretch",
        )
        st.button(
            "Add your images",
            key="own-images-add",
            type="primary",
            icon=":material/add_photo_alternate:",
            on_click=open_it,
            args=(UPLOAD,),
        )


def open_it(where: str = "") -> None:
    """where: one of both ways; unset: the one that was shown last."""
    st.session_state[OPEN] = True
    if where:
        st.session_state[WHERE] = where
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
    st.session_state.setdefault(WHERE, HERE)
    where = st.segmented_control(
        "Where they are",
        [HERE, UPLOAD],
        required=True,
        key=WHERE,
        label_visibility="collapsed",
    )
    if where == UPLOAD:
        upload_panel.panel(use)
    else:
        folders.panel(use)


def use(folder: Path) -> None:
    """Puts a folder into the data set field, with what was typed into others meanwhile, and closes the dialog."""
    st.session_state.pop(forms.IMAGES_ASKED, None)
    form_fields.use(Remedy("dataset", str(folder)))
    st.session_state.pop(OPEN, None)
