"""Images from the computer of whoever looks at the page: copied into the data folder, and how they are read there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.components.folder_drop import folder_drop
from dashboard.new_run.own import look
from simclr import config as cfg
from simclr.config import ConfigError
from simclr.data.own_images import given_files, uploads
from simclr.data.own_images.uploads import Draft

DRAFT = "own-uploads-draft"  # what was copied, and of which files
ROUND = "own-uploads-round"
FOLDERS, FILES = "own-upload-folders", "own-upload-files"
TYPES = ["zip", "jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"]
MAX_FOLDER_MIB = 480
MAX_ZIP_MIB = 500  # a folder's archive holds names too
SECONDS = 3.0


def drop() -> None:
    """Removes what was copied, and lets the fields for files begin anew."""
    _, draft, _ = st.session_state.pop(DRAFT, (None, None, ""))
    if draft is not None:
        uploads.discard(draft)
    st.session_state[ROUND] = st.session_state.get(ROUND, 0) + 1


def panel(use: Callable[[Path], None]) -> None:
    """Where to drop or choose, and what was copied with how it is read."""
    number = st.session_state.setdefault(ROUND, 0)
    folders, files = f"{FOLDERS}-{number}", f"{FILES}-{number}"
    chosen = st.file_uploader(
        "A folder: drop it here, or choose it",
        accept_multiple_files="directory",
        key=folders,
        max_upload_size=MAX_FOLDER_MIB,
        help=f"Its folders become classes, as in cats/ and dogs/, or train/cats/. Up to {MAX_FOLDER_MIB} MiB.",
    )
    single = st.file_uploader(
        "Images, or a .zip of folders",
        type=TYPES,
        accept_multiple_files=True,
        key=files,
        max_upload_size=MAX_ZIP_MIB,
    )
    folder_drop(folders, files, "own-upload-drop", MAX_FOLDER_MIB, given_files.MAX_FILES)
    given = [*chosen, *single]
    if not given:
        return
    draft, problem = _copied(chosen, single)
    if draft is None:
        st.warning(escape.markdown(problem), icon=":material/broken_image:")
        return
    found = look.look_at(draft.folder, SECONDS)
    if found.problem:
        found = look.Look(problem=found.problem.replace(str(draft.folder), draft.name))
    look.show(found)
    if text := draft.left_out_text:
        st.caption(escape.markdown(text))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Train on these",
            key="own-train",
            type="primary",
            icon=":material/check:",
            disabled=bool(found.problem),
            on_click=_keep,
            args=(draft, use),
        )
        st.button("Remove them", key="own-remove", icon=":material/close:", on_click=drop)
    st.caption(
        escape.markdown(f"“Train on these” keeps them as {Path(cfg.data_root()) / uploads.FOLDER / draft.name}.")
    )


def _copied(chosen: Sequence[Any], single: Sequence[Any]) -> tuple[Draft | None, str]:
    """The copies of these files, else why there are none; copied once."""
    ids = tuple(file.file_id for file in (*chosen, *single))
    known, draft, problem = st.session_state.get(DRAFT, (None, None, ""))
    if known == ids and (draft is None or draft.folder.is_dir()):
        return draft, problem
    if draft is not None:
        uploads.discard(draft)
        del st.session_state[DRAFT]
    draft, problem = None, ""
    bar = st.empty()

    def progress(share: float) -> None:
        bar.progress(share, text="Copying the images")

    progress(0.0)
    try:
        name, files = _files(chosen, single)
        draft = uploads.copy_images(files, name, cfg.data_root(), progress)
    except ConfigError as error:
        problem = str(error)
    finally:
        bar.empty()
    st.session_state[DRAFT] = (ids, draft, problem)
    return draft, problem


def _files(chosen: Sequence[Any], single: Sequence[Any]) -> tuple[str, list[given_files.GivenFile]]:
    """What the set is to be called, and its files; each of several archives is a folder of its own."""
    top, files = given_files.without_top([given_files.of_bytes(file.name, file.getbuffer()) for file in chosen])
    name = top or given_files.name_of([file.name for file in single])
    is_alone = not chosen and len(single) == 1
    for file in single:
        if not given_files.is_archive(file.name):
            files.append(given_files.of_bytes(file.name, file.getbuffer()))
            continue
        inside = given_files.of_archive(file.name, file)
        above = "" if is_alone else f"{Path(file.name).stem}/"
        files += [each._replace(name=above + each.name) for each in inside]
    return name, files


def _keep(draft: Draft, use: Callable[[Path], None]) -> None:
    try:
        folder = uploads.keep(draft, cfg.data_root())
    except ConfigError as error:
        st.session_state["message"] = str(error)
        return
    st.session_state.pop(DRAFT, None)
    drop()
    use(folder)
