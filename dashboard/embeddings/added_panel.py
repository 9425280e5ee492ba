"""Embeddings of other encoders on the Embeddings page: adding them from a file, deleting them, what they are called."""

from __future__ import annotations

import uuid
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.embeddings.choice import VIEW
from dashboard.maps import map_images
from dashboard.shared import formats, store, ui
from simclr.added import adding, reading, sets
from simclr.added.sets import AddedSet
from simclr.config import ConfigError
from simclr.embeddings.stored import Embedding

MAX_UPLOAD_MIB = 200
HERE, UPLOAD = "On this machine", "Upload"
EVERY = "All images"
SPLITS = {EVERY: None, "Training": "train", "Validation": "val", "Test": "test"}
ASKED = "embeddings-asked"  # the form was sent
ADDED = "embeddings-added"  # sentences about what was just added or deleted
GONE = "embeddings-gone"  # a set was deleted: the page behind the dialog may show it
ABOUT = (
    "Vectors that any encoder made of images become a model here: maps, neighbours, agreement and disagreement, beside "
    "each run. A file has a row for each image."
)
FILE_HELP = (
    "CSV and Parquet: a column image, path or id, and the features as h_0, h_1, ... or as one column of lists. "
    ".npz: an array of embeddings, and the names of the images as image or path. "
    ".npy: a row for each image in sorted order, or in that of a list."
)


def button(place: Any) -> None:
    """What opens the dialog."""
    with place:
        is_wanted = st.button("Other encoders", icon=":material/add_chart:", key="embedding-others", help=ABOUT)
    if is_wanted or ASKED in st.session_state:
        dialog()
    for sentence in st.session_state.pop(ADDED, []):
        st.success(escape.markdown(sentence), icon=":material/check:")


@st.dialog("Embeddings of other encoders", width="medium")
def dialog() -> None:
    """The sets that there are, and the form for another."""
    if st.session_state.pop(GONE, False):
        st.rerun()
    st.caption(ABOUT)
    found = sets.find_all(store.runs_dir())
    for item in found:
        row(item)
    if found:
        st.divider()
    form()


def text_of(item: AddedSet) -> str:
    """How many embeddings of which images."""
    each = [
        f"{having:,} of {number:,} {map_images.split_name(name)}" if having < number else f"all {number:,} {name}"
        for name, (number, having) in item.num_images.items()
        if having
    ]
    words = [f"{' and '.join(each)} images of {item.dataset}", f"{item.num_features:,} features"]
    return " · ".join([*words, f"added {formats.ago(item.created)}"])


def row(item: AddedSet) -> None:
    """A set with its button to delete it."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        with st.container(gap=None, width="stretch"):
            st.markdown(f"**{escape.markdown(item.name)}**")
            st.caption(escape.markdown(text_of(item)))
        with st.popover("Delete", icon=":material/delete:", type="tertiary", key=f"added-delete-{item.name}"):
            st.markdown("Its maps and neighbours go with it. The file that it came from stays.")
            st.button(
                "Delete it", key=f"added-yes-{item.name}", icon=":material/delete:", on_click=delete, args=(item.name,)
            )


def delete(name: str) -> None:
    with ui.report_errors():
        sets.delete(name, store.runs_dir())
        st.session_state[ADDED] = [f"The embeddings {name} were deleted."]
        st.session_state[GONE] = True


def form() -> None:
    """The file, the images and the name."""
    where = st.segmented_control("File", [HERE, UPLOAD], default=HERE, required=True, key="added-where", help=FILE_HELP)
    path, upload = "", None
    endings = ", ".join(reading.ENDINGS)
    if where == UPLOAD:
        upload = st.file_uploader(
            f"{endings}, up to {MAX_UPLOAD_MIB} MiB",
            type=[ending.removeprefix(".") for ending in reading.ENDINGS],
            key="added-upload",
            max_upload_size=MAX_UPLOAD_MIB,
        )
    else:
        path = st.text_input("Path of the file", key="added-file", placeholder="~/dino.parquet", max_chars=4000)
    images = st.text_input(
        "Folder of the images",
        key="added-images",
        placeholder="/data/photos",
        max_chars=4000,
        help="The folder that a run was trained on, or any other, on which the encoders of the runs look then. Or a "
        "data set by name, such as cifar10.",
    )
    with st.container(horizontal=True, gap="small"):
        name = st.text_input("Name", key="added-name", placeholder="dino", max_chars=60)
        split = st.selectbox(
            "Rows are of", list(SPLITS), key="added-split", help="Which images of the folder the file has rows of."
        )
    order = st.text_input(
        "List of the images, if the file names none",
        key="added-paths",
        placeholder="sorted by path",
        max_chars=4000,
        help="A text file with the path of an image for each row. Without one, rows are taken in the order of all "
        "images, sorted by path.",
    )
    st.button("Add", type="primary", icon=":material/add:", key="added-go", on_click=ask)
    if not st.session_state.pop(ASKED, False):
        return
    try:
        with st.spinner("Reading the embeddings and looking for their images"):
            item, how = add(path.strip(), upload, images.strip(), name.strip(), SPLITS[split], order.strip() or None)
    except ConfigError as error:
        st.error(escape.markdown(str(error)), icon=":material/error:")
        return
    st.session_state[ADDED] = [f"{item.name} was added: {text_of(item)}.", *how]
    show(item.name)
    st.rerun()


def ask() -> None:
    """Lets the form read its file when it is drawn the next time, where it can say that it does."""
    st.session_state[ASKED] = True


def add(
    path: str, upload: Any, images: str, name: str, split: str | None, order: str | None
) -> tuple[AddedSet, list[str]]:
    """Adds what the form asks for. Raises ConfigError with one sentence."""
    if not path and upload is None:
        raise ConfigError(f"FILE is empty; allowed: {reading.ALLOWED}.")
    if not images:
        raise ConfigError("images is empty; allowed: the folder of the images, or a data set by name.")
    folder, options = store.runs_dir(), {"split": split, "paths": order}
    if upload is None:
        return adding.add(path, images, name, folder, **options)
    draft = sets.home(folder) / f".upload-{uuid.uuid4().hex[:8]}"
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(upload.getbuffer())
        return adding.add(draft, images, name, folder, called=upload.name, **options)
    except OSError as error:
        raise ConfigError(f"The runs folder does not take it: {error.strerror or error}.") from None
    finally:
        draft.unlink(missing_ok=True)


def show(name: str) -> None:
    """Puts a set beside the run on the left."""
    if VIEW["left"] is not None and store.find(VIEW["left"]) is None:
        VIEW["left"] = None
    VIEW.update(**{"right": name, "right-checkpoint": "", "right-layer": "h", "mode": "maps", "partner-of": None})
    VIEW.redraw()


def say_shared(embedding: Embedding) -> None:
    """How many images are drawn where added embeddings do not have all."""
    if embedding.shared_images is None:
        return
    having, number = embedding.shared_images
    split = map_images.split_name(embedding.provenance["split"])
    drawn = f", and {embedding.num_images:,} of them are drawn" if embedding.num_images < having else ""
    if having < number:
        st.caption(f"{having:,} of {number:,} {split} images have embeddings on both sides{drawn}.")
