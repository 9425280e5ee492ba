"""Embeddings: what two encoders make of the same images, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import embedding_view, forms, store, ui
from dashboard.components.embedding_map import MapState, embedding_map, read_state
from simclr import config as cfg
from simclr import embeddings as stored
from simclr import launch, reduce, runs
from simclr.config import ConfigError
from simclr.embeddings import Choice, Embedding

QUESTION = (
    "Does the encoder put images of one class together, and other things apart? Each point is an image; "
    "both maps show the same images."
)
MAP = "embedding-map"
KEPT = "embeddings-kept"
NUM_IMAGES = (500, 1000, 2000, 5000, 10_000)
OTHERS = {stored.UNTRAINED: "Untrained network", stored.PIXELS: "Raw pixels"}
OTHER_SUBTITLES = {
    stored.UNTRAINED: "The same network with its first random weights",
    stored.PIXELS: "No network: the colour values of the image itself",
}
TIMES = {
    "pca": "This takes a few seconds.",
    "umap": "This takes about a minute; UMAP spends half of it on compiling itself.",
    "tsne": "This takes about a minute for 2,000 images.",
}
METHOD_NOTES = {
    "pca": "PCA turns the features so that the two directions in which they vary most lie in the plane. It bends "
    "nothing, but two of many directions show little.",
    "umap": "UMAP keeps near images near; distances between groups, their size and their density mean little.",
    "tsne": "t-SNE keeps near images near; distances between groups, their size and their density mean little.",
}
READING = """
The right map is turned, and mirrored where that helps, to lie as the left one does; it is not stretched.

Judge by the numbers, not by the picture. kNN accuracy and the neighbours of a clicked image are measured on the
features themselves, by cosine similarity of the layer h; with more images it rises, since neighbours are then nearer.
The second number says how much of these neighbourhoods the map shows.

In a map: wheel or pinch to zoom, drag to move, double click to see all. With the keyboard: arrow keys choose an image,
plus and minus zoom, 0 shows all, Escape lets go.
"""


# --- runs to choose from -------------------------------------------------------------------------------------------


def usable(summaries: list[store.Summary]) -> list[store.Summary]:
    """Runs with weights that no longer change, pre-trainings first, newest first."""
    found = []
    for item in summaries:
        run = store.find(item.id)
        if item.is_active or run is None or item.kind not in cfg.MODELS:
            continue
        # The file alone decides where it can: options are slow to read where there are hundreds of runs.
        if run.model_path.is_file() or stored.has_weights(run):
            found.append(item)
    return sorted(found, key=lambda item: (item.kind != "pretrain", -item.created))


def label(item: store.Summary) -> str:
    """A run's name; without one, what it is and the end of its id, which tells it apart."""
    if item.name != item.id:
        return item.name
    kind = "SimCLR" if item.kind == "pretrain" else store.ARM_LABELS.get(item.arm or "", store.KIND_LABELS[item.kind])
    parts = [kind]
    if item.arm:
        parts.append(f"{store.fraction_text(item.label_fraction)} of labels")
    return " · ".join([*parts, item.dataset, item.id.rsplit("-", 1)[-1]])


def subtitle(item: store.Summary) -> str:
    words = [store.KIND_LABELS[item.kind], item.backbone, item.dataset]
    if item.arm:
        words[0] = f"{store.ARM_LABELS[item.arm]}, {store.fraction_text(item.label_fraction)} of the labels"
    return " · ".join(word for word in words if word)


def default_right(left: store.Summary, others: list[store.Summary]) -> str:
    """The newest from-scratch partner, else any partner, else the network before it was trained."""
    own = [item for item in others if store.belongs_to(item, left) or store.belongs_to(left, item)]
    for item in sorted(own, key=lambda item: (item.kind != "scratch", -item.created)):
        return item.id
    return stored.UNTRAINED


@st.cache_data(max_entries=2000, show_spinner=False)
def images_of(path: str, modified: int) -> dict[str, Any]:
    """The options of a run that decide which images it is shown; read once per change of its file."""
    return stored.data_identity(runs.Run(Path(path)), Choice().split)


def comparable(left: str, others: list[store.Summary]) -> list[store.Summary]:
    """The runs that can be shown the same images as `left`."""

    def images(run_id: str) -> dict[str, Any] | None:
        run = store.find(run_id)
        if run is None or not (file := run.path / runs.CONFIG).is_file():
            return None
        return images_of(str(run.path), file.stat().st_mtime_ns)

    own = images(left)
    return [item for item in others if images(item.id) == own]


def reason_against(left: str, right: str) -> str:
    """Why these two cannot be compared, in one sentence; empty where they can."""
    try:
        stored.check_same_data(stored.resolve_models([left, right], store.runs_dir()), Choice())
    except ConfigError as error:
        return str(error)
    return ""


def start_value(name: str, options: list[Any], default: Any) -> str:
    """Sets a choice from the address, else from what was chosen before, else the default; returns its key."""
    key = f"embeddings-{name}"
    if st.session_state.get(key) not in options:
        asked = (
            st.query_params.get(name) if key not in st.session_state else None,
            st.session_state.get(KEPT, {}).get(name),
        )
        texts = {str(option): option for option in options}
        st.session_state[key] = next((texts[str(text)] for text in asked if str(text) in texts), default)
    return key


def keep(**choices: Any) -> None:
    """Remembers the choices for the next visit, and puts them into the address."""
    st.session_state[KEPT] = st.session_state.get(KEPT, {}) | choices
    for name, value in choices.items():
        if st.query_params.get(name) != str(value):
            st.query_params[name] = str(value)


# --- states --------------------------------------------------------------------------------------------------------


def empty(summaries: list[store.Summary]) -> None:
    active = [item for item in summaries if item.is_active]
    with st.container(border=True):
        st.subheader("No trained network yet", anchor=False)
        if active:
            st.markdown("A map needs a run that has finished. One is on its way:")
            st.page_link(
                ui.PAGE_RUN,
                label=ui.plain(label(active[0])),
                icon=":material/arrow_forward:",
                query_params={"id": active[0].id},
            )
            return
        st.markdown(
            "Pre-train a network first. Then its maps appear here, beside those of the same network trained from "
            "scratch."
        )
        if st.button("Start a pre-training", type="primary", icon=":material/play_arrow:", key="embeddings-first"):
            if "quick" in cfg.recipe_names():
                forms.prefill("pretrain", {}, "quick")
            st.switch_page(ui.PAGE_NEW)


@st.fragment(run_every=1)
def progress(job: str, first: list[str], names: dict[str, str]) -> None:
    """The job's bar and phase; the page is drawn anew when it ends, and when there is something to look at meanwhile.

    Args:
        job: its folder.
        first: folders whose PCA maps the page does not show yet.
        names: run id to what the page calls the run.
    """
    status = runs.current_status(Path(job))
    found = [stored.load_embedding(Path(folder)) for folder in first]
    can_be_shown = bool(first) and all(item is not None and item.map("pca") is not None for item in found)
    if not status.is_active or can_be_shown:
        st.rerun()
    with st.container(border=True, key="embedding-job"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            phase = "Stopping" if status.state == "stopping" else status.phase or "Starting"
            for run_id, name in names.items():
                phase = phase.replace(run_id, name)
            with st.container(gap=None, width="stretch"):
                st.markdown(f"**{ui.plain(phase)}**")
                st.caption(f"{store.duration(store.elapsed(status) or 0)} so far")
            if st.button(
                "Cancel", key="embedding-cancel", icon=":material/close:", disabled=status.state == "stopping"
            ):
                try:
                    launch.request_stop(Path(job))
                except ConfigError:
                    st.rerun()  # it ended in between
        st.progress(status.progress)


def offer(names: list[str], choice: Choice, method: str, methods: tuple[str, ...], job: Path | None) -> None:
    """The button that starts the job, with what became of the last one."""
    status = runs.current_status(job) if job is not None else None
    with st.container(border=True, key="embedding-offer"):
        if status is not None and status.state == "failed":
            st.error(ui.plain(status.error or "The computation failed."), icon=":material/error:")
            log = runs.Run(job).log_tail(40) if job is not None else ""
            if log:
                with st.expander("Log"):
                    st.code(log, language=None)
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(gap=None, width="stretch"):
                st.markdown(f"**The {reduce.LABELS[method]} maps of these two are not computed yet**")
                st.caption(f"{TIMES[method]} The result is kept with the runs.")
            again = status is not None and status.state in ("failed", "stopped")
            if st.button("Try again" if again else "Compute", type="primary", key="embedding-compute",
                         icon=":material/play_arrow:"):  # fmt: skip
                try:
                    stored.start_job(names, choice, methods, store.runs_dir())
                except ConfigError as error:
                    st.session_state["message"] = str(error)
                st.rerun()


# --- maps ----------------------------------------------------------------------------------------------------------


@st.cache_resource(max_entries=4, show_spinner=False)
def unit_rows(folder: str, created: float) -> NDArray[np.float32]:
    """Features at length 1, kept for the next click."""
    found = stored.load_embedding(Path(folder))
    assert found is not None
    return reduce.unit_rows(np.array(found.features))


@st.fragment
def maps(folders: list[str], method: str, titles: list[tuple[str, str]], color: str) -> None:
    """The two maps; a click draws only this part anew."""
    embeddings = [found for folder in folders if (found := stored.load_embedding(Path(folder))) is not None]
    points = [embedding.map(method) for embedding in embeddings]
    if len(embeddings) < 2 or points[0] is None or points[1] is None:
        st.rerun()
    first, second = points[0], reduce.align(points[0], points[1])
    panels = [
        embedding_view.panel(embeddings[0], method, first, *titles[0]),
        embedding_view.panel(embeddings[1], method, second, *titles[1]),
    ]
    prefix = str(st.get_option("server.baseUrlPath") or "")
    data = embedding_view.payload(
        embeddings,
        panels,
        embedding_view.color_of(embeddings[0], color),
        embedding_view.sheet_addresses(embeddings[0], prefix),
    )
    text = st.query_params.get("image", "")
    start = MapState(image=int(text) if text.isdecimal() else -1)
    image = read_state(MAP, embeddings[0].ids, start).image
    if image >= 0:
        st.query_params["image"] = str(image)
    elif "image" in st.query_params:
        del st.query_params["image"]
    units = [unit_rows(str(item.folder), float(item.provenance["created"])) for item in embeddings]
    details = embedding_view.details(embeddings, units, image) if image >= 0 else None
    embedding_map(data, MAP, start=start, details=details)


def explanation(method: str, embeddings: list[Embedding]) -> None:
    first = embeddings[0].provenance
    widths = sorted({item.features.shape[1] for item in embeddings})
    split = {"val": "validation", "train": "training"}.get(first["split"], "test")
    dataset = store.short_dataset(first["data"]["dataset"])
    made = max(float(item.map_provenance(method).get("created") or 0) for item in embeddings)
    st.caption(
        f"{first['num_images']:,} {split} images of {ui.plain(dataset)}, not augmented · layer h, "
        f"{' and '.join(map(str, widths))} features · seed {first['seed']} · computed {store.ago(made)}"
    )
    with st.expander("How to read these maps"):
        st.markdown(f"{METHOD_NOTES[method]}\n\n{READING}")


def page() -> None:
    ui.head("Embeddings", QUESTION)
    ui.show_message()
    summaries = store.get().summaries()
    found = usable(summaries)
    if not found:
        empty(summaries)
        return
    by_id = {item.id: item for item in found}
    names = {item.id: label(item) for item in found} | OTHERS
    if asked := st.query_params.get("left"):
        known = [item.id for item in found if item.id.startswith(asked)]
        if not known and "embeddings-left" not in st.session_state:
            st.warning("The run in the address is not there, or has no weights yet; another is shown.")

    left_column, right_column = st.columns(2, gap="medium")
    left_key = start_value("left", list(by_id), found[0].id)
    if st.session_state.get("embeddings-partner-of") not in (None, st.session_state[left_key]):
        st.session_state.pop("embeddings-right", None)  # another run on the left brings its own partner
        st.session_state.get(KEPT, {}).pop("right", None)
        if "right" in st.query_params:
            del st.query_params["right"]
    left = left_column.selectbox("Left", list(by_id), format_func=names.__getitem__, key=left_key)
    st.session_state["embeddings-partner-of"] = left
    fine = comparable(left, [item for item in found if item.id != left])
    asked = st.query_params.get("right")
    is_new = asked in by_id and asked != left and "embeddings-right" not in st.session_state
    if is_new and (sentence := reason_against(left, asked)):
        st.warning(ui.plain(sentence))
    options = [item.id for item in fine] + list(OTHERS)
    right = right_column.selectbox(
        "Right", options, format_func=names.__getitem__,
        key=start_value("right", options, default_right(by_id[left], fine)),
        help="Runs that can be shown the same images as the left one; its network before training; or no network.",
    )  # fmt: skip

    with st.container(horizontal=True, vertical_alignment="top", gap="medium"):
        method = st.segmented_control(
            "Map", reduce.METHODS, format_func=reduce.LABELS.__getitem__, required=True,
            key=start_value("method", list(reduce.METHODS), "umap"),
        ) or "umap"  # fmt: skip
        images = st.selectbox(
            "Images", NUM_IMAGES, format_func=lambda number: f"{number:,}", width=130,
            key=start_value("images", list(NUM_IMAGES), stored.DEFAULT_IMAGES),
            help="At most so many, in class proportion, and the same ones for both.",
        )  # fmt: skip
        color_place = st.container(width=240)
    keep(left=left, right=right, method=method, images=images)

    choice = Choice(num_images=images)
    methods = ("pca",) if method == "pca" else ("pca", method)
    try:
        models = stored.resolve_models([left, right], store.runs_dir())
        request = stored.request_of([left, right], choice, methods, store.runs_dir())
    except (ConfigError, OSError) as error:
        st.error(ui.plain(str(error)), icon=":material/error:")
        return
    embeddings = [item for model in models if (item := stored.find_embedding(model, choice)) is not None]
    together = len(embeddings) == 2 and stored.same_images(*embeddings)

    def ready(name: str) -> bool:
        return together and all(embedding.map(name) is not None for embedding in embeddings)

    if not any(store.belongs_to(item, by_id[left]) for item in found) and by_id[left].kind == "pretrain":
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption("To compare with training from scratch, start the partner on the run's page.", width="content")
            st.page_link(ui.PAGE_RUN, label="Open the run", icon=":material/arrow_forward:", query_params={"id": left})

    if not ready(method):
        job = stored.find_job(request, store.runs_dir())
        if job is not None and runs.current_status(job).is_active:
            progress(str(job), [] if ready("pca") else request["folders"], names)
        else:
            offer([left, right], choice, method, methods, job)
    shown = method if ready(method) else "pca"
    if not ready(shown):
        return
    if shown != method:
        st.caption(
            f"Shown meanwhile: the PCA maps of the same features. The {reduce.LABELS[method]} maps take their place."
        )
    colors = embedding_view.color_choices(embeddings[0])
    color = color_place.selectbox(
        "Colour", list(colors), format_func=colors.__getitem__,
        key=start_value("color", list(colors), next(iter(colors), None)),
    ) if colors else ""  # fmt: skip
    keep(color=color)
    titles = [
        (names[name], subtitle(by_id[name]) if name in by_id else OTHER_SUBTITLES[name]) for name in (left, right)
    ]
    maps([str(embedding.folder) for embedding in embeddings], shown, titles, color or "")
    explanation(shown, embeddings)


page()
