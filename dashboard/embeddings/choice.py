"""What the Embeddings page is asked to show: read from the address, chosen with widgets, written back into the address.

The address alone says what is shown; who comes back without one finds that of the last visit.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st
from numpy.typing import NDArray

from dashboard.components import escape
from dashboard.components.embedding_map import MapState, read_state, selected_rows, selection_text
from dashboard.embeddings import colors as embedding_colors
from dashboard.shared import formats, run_labels, store
from dashboard.shared.palette import PALETTE
from simclr import runs
from simclr.config import ConfigError
from simclr.embeddings import projections, references, selection
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import Embedding
from simclr.results import arms, index
from simclr.runs import Run

BLUE, ORANGE = PALETTE[:2]
KEPT = "embeddings-kept"
START = "embeddings-start"
OPEN = "embeddings-open"
SHOWN = "embeddings-shown"
SPACE = 3  # dimensions of a map that no longer is a plane
NUM_IMAGES = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
NUM_NEIGHBORS = (5, 10, 20, 50, 100)
SPLITS = {"auto": "Test", "val": "Validation", "train": "Training"}
MODES = {"maps": "Final maps", "film": "Training film"}
OTHERS = {references.UNTRAINED: "Untrained network", references.PIXELS: "Raw pixels"}
OTHER_SUBTITLES = {
    references.UNTRAINED: "The same network with its first random weights",
    references.PIXELS: "No network: the colour values of the image itself",
}


# --- the address ----------------------------------------------------------------------------------------------------


def recall() -> None:
    """Brings back the address of the last visit where there is none."""
    if not st.query_params.to_dict():
        st.query_params.update(st.session_state.get(KEPT, {}))


def put(**values: Any) -> None:
    """Writes values into the address; what is empty leaves it."""
    for name, value in values.items():
        text = "" if value is None else str(value)
        if st.query_params.get(name, "") == text:
            continue
        if text:
            st.query_params[name] = text
        else:
            del st.query_params[name]
    st.session_state[KEPT] = st.query_params.to_dict()


def start_value(name: str, options: Sequence[Any], default: Any, asked: str | None = None) -> str:
    """Sets a choice that is not made yet, or cannot be made any more, from the address; returns its key.

    Args:
        asked: what the address says; unset: its value of this name.
    """
    key = f"embeddings-{name}"
    if st.session_state.get(key) not in options or key not in st.session_state:
        texts = {str(option): option for option in options}
        st.session_state[key] = texts.get(str(st.query_params.get(name) if asked is None else asked), default)
    return key


def start_number(name: str, option: projections.Option) -> str:
    """The same for a number in a range."""
    key = f"embeddings-{name}"
    if key not in st.session_state:
        try:
            value = float(st.query_params.get(name, ""))
            option.check(name, value)
        except ValueError:
            value = option.default
        st.session_state[key] = int(value) if option.step == 1 else value
    return key


# --- the two models -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """One of the two models that are compared.

    what: a run's id, `untrained` or `pixels`. reference: the text by which `references.resolve_encoders` finds it.
    """

    what: str
    reference: str
    title: str
    subtitle: str
    color: str

    @property
    def run(self) -> Run | None:
        return None if self.what in OTHERS else store.find(self.what)


def subtitle(item: index.Summary) -> str:
    words = [run_labels.KIND_LABELS[item.kind], item.backbone, item.dataset]
    if item.arm:
        words[0] = f"{run_labels.ARM_LABELS[item.arm]}, {formats.fraction_text(item.label_fraction)} of the labels"
    return " · ".join(word for word in words if word)


def default_right(left: index.Summary, others: list[index.Summary]) -> str:
    """The newest from-scratch partner, else any partner, else the network before it was trained."""
    own = [item for item in others if arms.belongs_to(item, left) or arms.belongs_to(left, item)]
    for item in sorted(own, key=lambda item: (item.kind != "scratch", -item.created)):
        return item.id
    return references.UNTRAINED


@st.cache_data(max_entries=2000, show_spinner=False)
def images_of(path: str, modified: int, split: str) -> dict[str, Any]:
    """The options of a run that decide which images it is shown; read once per change of its file."""
    return selection.data_identity(runs.Run(Path(path)), split)


def comparable(left: str, others: list[index.Summary], split: str) -> list[index.Summary]:
    """The runs that can be shown the same images as `left`."""

    def images(run_id: str) -> dict[str, Any] | None:
        run = store.find(run_id)
        if run is None or not (file := run.path / runs.CONFIG).is_file():
            return None
        return images_of(str(run.path), file.stat().st_mtime_ns, split)

    own = images(left)
    return [item for item in others if images(item.id) == own]


def reason_against(left: str, right: str, split: str) -> str:
    """Why these two cannot be compared, in one sentence; empty where they can."""
    try:
        selection.check_same_data(
            references.resolve_encoders([left, right], store.runs_dir()), ImageSelection(split=split)
        )
    except ConfigError as error:
        return str(error)
    return ""


def taken_apart(text: str) -> tuple[str, str, str]:
    """Run, checkpoint and layer of a reference such as `RUN@epoch-8@z`; empty where it names none."""
    name, *words = text.split("@")
    layer = next((word for word in words if word in references.LAYERS), "")
    return name, next((word for word in words if word not in references.LAYERS), ""), layer


def choose_side(
    place: str,
    column: Any,
    options: list[str],
    default: str,
    items: Mapping[str, index.Summary],
    colors: dict[str, str],
    is_film: bool,
) -> Side:
    """The widgets of the left or the right model."""
    name, asked_checkpoint, asked_layer = taken_apart(st.query_params.get(place, ""))
    names = {item.id: run_labels.label(item) for item in items.values()} | OTHERS
    asked = next((option for option in options if name and option.startswith(name)), "")
    key = start_value(place, options, default, asked)
    with column:
        what = st.selectbox(
            place.capitalize(),
            options,
            format_func=names.__getitem__,
            key=key,
            help="Finished runs with weights; a network before its training; or the bare pixels."
            + (" Runs that cannot be shown the same images as the left one are left out." if place == "right" else ""),
        )
        run = None if what in OTHERS else store.find(what)
        checkpoints = ["", *(references.checkpoints_of(run) if run else [])]
        layers = ("h", "z") if what == references.UNTRAINED or (run and items[what].kind == "pretrain") else ("h",)
        checkpoint, layer = "", "h"
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            if len(checkpoints) > 1:
                checkpoint = st.selectbox(
                    f"Weights, {place}",
                    checkpoints,
                    format_func=run_labels.checkpoint_label,
                    label_visibility="collapsed",
                    width=190,
                    disabled=is_film,
                    key=start_value(f"{place}-checkpoint", checkpoints, "", asked_checkpoint),
                )
            if len(layers) > 1:
                layer = (
                    st.segmented_control(
                        f"Layer, {place}",
                        layers,
                        required=True,
                        label_visibility="collapsed",
                        disabled=is_film,
                        key=start_value(f"{place}-layer", layers, "h", asked_layer),
                        format_func=lambda layer: {"h": "Features h", "z": "Projections z"}[layer],
                    )
                    or "h"
                )
    more = [run_labels.checkpoint_label(checkpoint).lower()] * bool(checkpoint) + [f"layer {layer}"] * (layer != "h")
    reference = "@".join([what, *([checkpoint] if checkpoint else []), *([layer] if layer != "h" else [])])
    below = OTHER_SUBTITLES[what] if what in OTHERS else subtitle(items[what])
    color = run_labels.OTHER_COLORS[what] if what in OTHERS else colors[what]
    return Side(what, reference, " · ".join([names[what], *more]), below, color)


def swap() -> None:
    """Left becomes right; what they were stands in the address."""
    left, right = (st.query_params.get(place, "") for place in ("left", "right"))
    st.query_params.update(left=right, right=left)
    for name in [name for name in st.session_state if str(name).startswith(("embeddings-left", "embeddings-right"))]:
        del st.session_state[name]
    st.session_state.pop("embeddings-partner-of", None)


def choose_sides(found: list[index.Summary], split: str, is_film: bool = False) -> tuple[Side, Side]:
    """Left and right model; another one on the left brings its own partner.

    Args:
        is_film: weights and layers make no difference.
    """
    items = {item.id: item for item in found}
    colors = store.colors(items)
    asked = {place: taken_apart(st.query_params.get(place, ""))[0] for place in ("left", "right")}
    wanted = asked["left"] if "embeddings-left" not in st.session_state else ""
    if wanted and wanted not in OTHERS and not any(run_id.startswith(wanted) for run_id in items):
        st.warning("The run in the address is not there, or has no weights yet; another is shown.")
    left_column, middle, right_column = st.columns([1, 0.09, 1], gap="small", vertical_alignment="top")
    before = st.session_state.get("embeddings-partner-of")
    left = choose_side("left", left_column, [*items, *OTHERS], found[0].id, items, colors, is_film)
    if before not in (None, left.what):
        for name in ("right", "right-checkpoint", "right-layer"):
            st.session_state.pop(f"embeddings-{name}", None)
        put(right=None)
    st.session_state["embeddings-partner-of"] = left.what
    if left.what in OTHERS:
        fine, default = found, found[0].id
    else:
        fine = comparable(left.what, found, split)
        default = default_right(items[left.what], [item for item in fine if item.id != left.what])
        is_new = asked["right"] in items and "embeddings-right" not in st.session_state
        if is_new and (sentence := reason_against(left.what, asked["right"], split)):
            st.warning(escape.markdown(sentence))
    options = [item.id for item in fine] + ([] if left.what in OTHERS else list(OTHERS))
    right = choose_side("right", right_column, options, default, items, colors, is_film)
    with middle:
        st.button(
            ":material/swap_horiz:", key="embeddings-swap", on_click=swap, type="tertiary", help="Swap left and right"
        )
    if right.color == left.color:
        right = replace(right, color=ORANGE if left.color != ORANGE else BLUE)
    return left, right


# --- images and map -------------------------------------------------------------------------------------------------


def choose_images(place: Any) -> ImageSelection:
    """How many images of which split."""
    with place:
        number = st.selectbox(
            "Images",
            NUM_IMAGES,
            format_func=lambda number: f"{number:,}",
            key=start_value("images", NUM_IMAGES, selection.DEFAULT_IMAGES),
            help="At most so many, in class proportion, and the same ones for both.",
        )
        split = (
            st.segmented_control(
                "Of the images for",
                list(SPLITS),
                format_func=SPLITS.__getitem__,
                required=True,
                key=start_value("split", list(SPLITS), "auto"),
                help="Test images were seen by no training; data without any show validation images.",
            )
            or "auto"
        )
    return ImageSelection(split=split, num_images=number)


def choose_map(place: Any, method: str, dims: int) -> Projection:
    """The numbers that the method takes; those at their default are not named."""
    values: dict[str, Any] = {}
    with place:
        for name, option in projections.OPTIONS[method].items():
            whole = option.step == 1
            kind: Callable[[float], float] = int if whole else float
            value = st.number_input(
                f"{option.label} of {projections.LABELS[method]}",
                kind(option.low),
                kind(option.high),
                step=kind(option.step),
                key=start_number(name, option),
                help=f"{option.help} Default: {option.default:g}.",
            )
            if value is not None and value != option.default:
                values[name] = kind(value)
    return Projection(method, dims, **values)


def choose_color(place: Any, embeddings: Sequence[Embedding]) -> str:
    options = embedding_colors.color_choices(embeddings)
    if not options:
        return ""
    return (
        place.selectbox(
            "Colour",
            list(options),
            format_func=options.__getitem__,
            key=start_value("color", list(options), next(iter(options))),
        )
        or ""
    )


def choose_measures(place: Any, embeddings: Sequence[Embedding]) -> tuple[int, str]:
    """How many neighbours are compared, and who predicts."""
    most = embeddings[0].neighbors.shape[1]
    numbers = [number for number in NUM_NEIGHBORS if number <= most] or [most]
    judges = embedding_colors.judges(embeddings)
    with place:
        k = st.selectbox(
            "Neighbours compared",
            numbers,
            key=start_value("k", numbers, 20 if 20 in numbers else numbers[-1]),
            help="The nearest of each image by cosine of the features: for agreement and the lists of neighbours.",
        )
        judge = "knn"
        if judges:
            judge = st.selectbox(
                "Predictions by",
                list(judges),
                format_func=judges.__getitem__,
                key=start_value("by", list(judges), "knn"),
                help="Whose predicted classes are coloured, counted and compared.",
            )
    return k, judge


# --- what is chosen in the maps -------------------------------------------------------------------------------------


def _start_of_address(ids: NDArray[Any], frame: int) -> MapState:
    query = st.query_params
    image = query.get("image", "")
    hidden = tuple(int(word) for word in query.get("hidden", "").split(".") if word.isdecimal() and len(word) < 6)
    try:
        zoom = tuple(
            (float(size), float(x), float(y))
            for size, x, y in (part.split("~") for part in query.get("zoom", "").split("_"))
        )
    except ValueError:
        zoom = ()
    return MapState(
        image=int(image) if image.isdecimal() and len(image) < 12 else -1,
        selection=selected_rows(query.get("selection", ""), len(ids)),
        frame=frame,
        hidden=hidden,
        zoom=zoom,
    )


def map_state(key: str, ids: NDArray[Any], frame: int = 0) -> tuple[MapState, MapState, str]:
    """What is chosen in the maps now, and what they start with, under which token.

    They start with what the address says, and again with what the page itself opens.

    Args:
        frame: of the film, as the address says.
    """
    kept = st.session_state.get(START)
    if kept is None or kept[0] != key or key not in st.session_state:
        kept = st.session_state[START] = (key, _start_of_address(ids, frame), "link")
    state = read_state(key, ids, kept[1], kept[2])
    clicked = st.session_state.pop(OPEN, None)
    if clicked is not None:
        state = replace(state, image=int(clicked))
        kept = st.session_state[START] = (key, state, uuid.uuid4().hex[:8])
    shown()[key] = state
    return state, kept[1], kept[2]


def shown() -> dict[str, MapState]:
    """What is chosen in each of the maps, always up to date; also where there is no session, as while downloading."""
    return st.session_state.setdefault(SHOWN, {})


def put_map_state(state: MapState, num_images: int) -> None:
    is_zoomed = any(size > 1.001 for size, *_ in state.zoom)
    put(
        image=state.image if state.image >= 0 else None,
        selection=selection_text(state.selection, num_images),
        hidden=".".join(map(str, state.hidden)),
        zoom="_".join("~".join(f"{value:.5g}" for value in each) for each in state.zoom) if is_zoomed else None,
    )


def open_clicked(key: str) -> Callable[[], None]:
    """What a grid of images under `key` does when one is clicked: its neighbours are shown."""

    def opened() -> None:
        state = st.session_state.get(key)
        clicked = state.get("clicked") if isinstance(state, Mapping) else None
        if isinstance(clicked, int):
            st.session_state[OPEN] = clicked

    return opened


def models_of(sides: Sequence[Side]) -> list[EncoderRef]:
    """Raises ConfigError if one is not there."""
    return references.resolve_encoders([side.reference for side in sides], store.runs_dir())
