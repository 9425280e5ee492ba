"""What the Embeddings page is asked to show: read from the address, chosen with widgets, put into the address."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st
from numpy.typing import NDArray

from dashboard.components.embedding_map import (
    MapState,
    read_state,
    selection_text,
    state_from_texts,
    state_texts,
)
from dashboard.embeddings import colors as embedding_colors
from dashboard.maps import map_choice
from dashboard.shared import asked, run_labels, store, url_state
from dashboard.shared.palette import PALETTE
from simclr import runs
from simclr.added import sets
from simclr.config import ConfigError
from simclr.embeddings import projections, references, selection
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import Embedding
from simclr.films import film
from simclr.results import arms, groups, index
from simclr.runs import Run

BLUE, ORANGE = PALETTE[:2]
START = "embeddings-start"
OPEN = "embeddings-open"
SHOWN = "embeddings-shown"
PULL = "embeddings-pull"
FIRST_TUG = "hue~0"
SPACE = 3  # dimensions of a map that no longer is a plane
NUM_IMAGES = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
NUM_NEIGHBORS = (5, 10, 20, 50, 100)
SPLITS = {"auto": "Test", "val": "Validation", "train": "Training"}
MODES = {"maps": "Maps", "film": "Film"}
OTHERS = {references.UNTRAINED: "Untrained network", references.PIXELS: "Raw pixels"}
OTHER_SUBTITLES = {
    references.UNTRAINED: "The same network with its first random weights",
    references.PIXELS: "No network: the colour values of the image itself",
}


def others() -> dict[str, str]:
    """Models that are no runs, and what they are called: also embeddings that were added, each by its name."""
    return OTHERS | {item.name: item.name for item in sets.find_all(store.runs_dir())}


def _subtitle_of_other(what: str) -> str:
    added = sets.find(what, store.runs_dir())
    if added is None:
        return OTHER_SUBTITLES[what]
    return f"Another encoder · {index.short_dataset(added.dataset)}"


# --- the address ----------------------------------------------------------------------------------------------------

NUMBERS = {name: option for options in projections.OPTIONS.values() for name, option in options.items()}
MAP_PARTS = ("image", "selection", "hidden", "zoom", "search", "drawing", "tug")  # what is chosen in the maps, as text

MAX_SENTENCE = 200  # signs


def kind_of(option: projections.Option) -> Callable[[float], float]:
    """Whole numbers stay whole: a widget takes all of its numbers in one type."""
    return int if option.step == 1 else float


FIRST: dict[str, Any] = {
    "left": None,
    "left-checkpoint": "",
    "left-layer": "h",
    "right": None,
    "right-checkpoint": "",
    "right-layer": "h",
    "partner-of": None,
    "references": ("", ""),
    "mode": "maps",
    "mode-before": None,
    "method": "umap",
    "film-method": "pca",
    "dims": 2,
    "images": selection.DEFAULT_IMAGES,
    "split": "auto",
    "color": None,
    "sentence": "",
    "k": 20,
    "by": "knn",
    "epoch": "",
    **dict.fromkeys(MAP_PARTS, ""),
    **{name: kind_of(option)(option.default) for name, option in NUMBERS.items()},
}


def read_address(query: url_state.Query) -> dict[str, Any]:
    """What an address says of the page; what makes no sense is left out."""
    one = url_state.last_values(query)
    found: dict[str, Any] = {name: one[name] for name in ("color", "by") if name in one}
    found |= {"sentence": one["sentence"][:MAX_SENTENCE]} if "sentence" in one else {}
    found |= map_choice.read(query, MAP_PARTS)
    if asked.number_in(query, "epoch", 0, 10**9, "the last epoch", whole=True) is not None:
        found["epoch"] = one["epoch"]
    for place in ("left", "right"):
        name, checkpoint, layer = taken_apart(one.get(place, ""))
        found |= {place: name or None, f"{place}-checkpoint": checkpoint, f"{place}-layer": layer or "h"}
    choices: dict[str, Sequence[Any]] = {
        "mode": list(MODES),
        "method": projections.METHODS,
        "dims": projections.DIMS,
        "images": NUM_IMAGES,
        "split": list(SPLITS),
        "k": NUM_NEIGHBORS,
    }
    for name, options in choices.items():
        texts = {str(option): option for option in options}
        if (value := asked.one_of(query, name, texts, str(FIRST[name]))) is not None:
            found[name] = value
    if one.get("method") in film.METHODS:
        found["film-method"] = one["method"]
    for name, option in NUMBERS.items():
        kind, (low, high) = kind_of(option), (option.low, option.high)
        number = asked.number_in(query, name, low, high, f"{option.default:g}", whole=kind is int)
        if number is not None:
            found[name] = kind(number)
    return found


VIEW = url_state.View("embeddings", FIRST, read_address)


def write_address(part: str = "page") -> None:
    """Puts what the page shows into the address."""
    is_film = VIEW["mode"] == "film"
    method = VIEW["film-method" if is_film else "method"]
    left, right = VIEW["references"]
    query = {"left": left, "right": right} | VIEW.changed("mode") | {"method": method}
    if not is_film:
        query["images"] = str(VIEW["images"])
        query |= VIEW.changed("dims", "split", "k", "by", "sentence", *projections.OPTIONS[method])
        query["color"] = VIEW["color"] or ""
    query |= VIEW.changed(*MAP_PARTS, *(["epoch"] if is_film else []))
    url_state.write(query, part)


# --- the two models -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """One of the two models that are compared.

    what: a run's id, `untrained`, `pixels` or the name of added embeddings.
    reference: the text by which `references.resolve_encoders` finds it.
    """

    what: str
    reference: str
    title: str
    subtitle: str
    color: str

    @property
    def run(self) -> Run | None:
        return None if self.what in OTHERS else store.find(self.what)

    @property
    def has_encoder(self) -> bool:
        """Whether it can be shown an image; embeddings that were added came without what made them."""
        return self.what in OTHERS or self.run is not None


def subtitle(item: index.Summary) -> str:
    words = [run_labels.arm_text(item) or run_labels.KIND_LABELS[item.kind], item.backbone, item.dataset]
    return " · ".join(word for word in words if word)


def default_left(found: list[index.Summary]) -> str:
    """The newest pre-training; as long as there are only shipped ones, that whose maps came with it."""
    if not found[0].is_example:
        return found[0].id
    shipped = [run for item in found if item.is_example and (run := store.find(item.id)) is not None]
    return next((run.id for run in shipped if any((run.path / runs.EMBEDDINGS).glob("auto-*"))), found[0].id)


def default_right(left: index.Summary, others: list[index.Summary]) -> str:
    """The newest from-scratch partner, else any partner, else the network before it was trained."""
    own = [item for item in others if arms.belongs_to(item, left) or arms.belongs_to(left, item)]
    for item in sorted(own, key=lambda item: (item.kind != "scratch", -item.created)):
        return item.id
    return references.UNTRAINED


@st.cache_data(max_entries=2000, show_spinner=False)
def images_of(path: str, modified: int, split: str) -> dict[str, Any]:
    """The options of a run that decide which images it is shown; read once per change of its file."""
    return selection.comparable_data(runs.Run(Path(path)), split)


def comparable(left: str, others: list[index.Summary], split: str) -> list[index.Summary]:
    """The runs that can be shown the same images as `left`."""

    def images(run_id: str) -> dict[str, Any] | None:
        run = store.find(run_id)
        if run is None or not (file := run.path / runs.CONFIG).is_file():
            return None
        return images_of(str(run.path), file.stat().st_mtime_ns, split)

    own = images(left)
    if own is None:
        return []
    found = ((item, images(item.id)) for item in others)
    return [item for item, theirs in found if theirs is not None and not selection.difference(own, theirs)]


def _on_images_of(added: sets.AddedSet, found: list[index.Summary], split: str) -> list[index.Summary]:
    """The runs that were trained on the images of added embeddings."""

    def is_own(run: Run | None) -> bool:
        if run is None or not (file := run.path / runs.CONFIG).is_file():
            return False
        return added.dataset in images_of(str(run.path), file.stat().st_mtime_ns, split)[selection.PLACES]

    return [item for item in found if is_own(store.find(item.id))]


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


def take_group() -> None:
    """A group that the address names in place of a run gives the two of its runs that show its answer."""
    group = store.find_group(VIEW["left"])
    if group is None:
        return
    both = groups.two_encoders(group, store.find)
    if both is None:
        url_state.say_instead("left", group.id, "has no two finished runs to compare", "the newest runs")
    VIEW.update(left=both[0].id if both else None, right=both[1].id if both else None)


def choose_side(
    place: str,
    column: Any,
    more: Any,
    options: list[str],
    default: str,
    items: Mapping[str, index.Summary],
    colors: dict[str, str],
    is_asked: bool,
) -> Side:
    """The widgets of the left or the right model; what an address has just named that is not offered is noted.

    Args:
        column: where the model is chosen. more: where its weights and layer are; None where they make no difference.
    """
    names = {item.id: run_labels.label(item) for item in items.values()} | others()
    if (named := VIEW[place]) and named not in options:
        VIEW[place] = next((option for option in options if option.startswith(named)), None)
        if VIEW[place] is None and is_asked:
            why = asked.why_not(named) or why_absent(named, items)
            url_state.say_instead(place, named, why, names[default])
            VIEW.update(**{f"{place}-checkpoint": "", f"{place}-layer": "h"})
    what = column.selectbox(
        place.capitalize(),
        options,
        format_func=names.__getitem__,
        label_visibility="collapsed",
        **VIEW.widget(place, options, default),
    )
    run = store.find(what) if what in items else None
    checkpoints = ["", *(references.checkpoints_of(run) if run else [])]
    layers = ("h", "z") if what == references.UNTRAINED or (run and items[what].kind == "pretrain") else ("h",)
    checkpoint, layer = "", "h"
    if more is not None and len(checkpoints) > 1:
        checkpoint = more.selectbox(
            f"Weights, {place}",
            checkpoints,
            format_func=run_labels.checkpoint_label,
            **VIEW.widget(f"{place}-checkpoint", checkpoints),
        )
    if more is not None and len(layers) > 1:
        layer = (
            more.segmented_control(
                f"Layer, {place}",
                layers,
                required=True,
                format_func=lambda layer: {"h": "Features h", "z": "Projections z"}[layer],
                help="h is what the encoder makes of an image, z what the projection head makes of h for the loss.",
                **VIEW.widget(f"{place}-layer", layers),
            )
            or "h"
        )
    words = [run_labels.checkpoint_label(checkpoint).lower()] * bool(checkpoint) + [f"layer {layer}"] * (layer != "h")
    reference = "@".join([what, *([checkpoint] if checkpoint else []), *([layer] if layer != "h" else [])])
    below = subtitle(items[what]) if what in items else _subtitle_of_other(what)
    color = colors[what] if what in items else run_labels.OTHER_COLORS.get(what, run_labels.ADDED_COLOR)
    return Side(what, reference, " · ".join([names[what], *words]), below, color)


def why_absent(run_id: str, items: Mapping[str, index.Summary]) -> str:
    """Why a run that is there is not offered."""
    return "cannot be shown the same images as the left one" if run_id in items else "has no weights yet"


def swap() -> None:
    """Left becomes right, with weights and layer."""
    for part in ("", "-checkpoint", "-layer"):
        VIEW.update(**{f"left{part}": VIEW[f"right{part}"], f"right{part}": VIEW[f"left{part}"]})
    VIEW["partner-of"] = None


def choose_sides(place: Any, more: Any, found: list[index.Summary], is_asked: bool) -> tuple[Side, Side]:
    """Left and right model; another one on the left brings its own partner.

    Args:
        place: of the two choices. more: of weights and layers; None in a film, where they make no difference.
        is_asked: an address has just named them.
    """
    split = VIEW["split"]
    items = {item.id: item for item in found}
    colors = store.colors(items)
    with place:
        left_column, middle, right_column = (st.container(width=width) for width in ("stretch", "content", "stretch"))
    before = VIEW["partner-of"]
    left = choose_side("left", left_column, more, [*items, *others()], default_left(found), items, colors, is_asked)
    if before not in (None, left.what):
        VIEW.update(**{name: FIRST[name] for name in ("right", "right-checkpoint", "right-layer")})
    VIEW["partner-of"] = left.what
    added = sets.find(left.what, store.runs_dir())
    if left.what not in items:
        fine = found
        own = ([] if added is None else _on_images_of(added, found, split)) or found
        default = default_left([item for item in own if item.kind == "pretrain"] or own)
    else:
        fine = comparable(left.what, found, split)
        default = default_right(items[left.what], [item for item in fine if item.id != left.what])
        named = VIEW["right"] if is_asked else None
        if named in items and named not in [item.id for item in fine]:
            sentence = reason_against(left.what, named, split) or "Both cannot be shown the same images."
            url_state.note(
                f"right in the address is {named}. {sentence} Shown instead: "
                f"{others().get(default) or run_labels.label(items[default])}."
            )
            VIEW["right"] = None
    options = [item.id for item in fine]
    if left.what in items:
        options += others()
    elif added is not None:
        known = sets.find_all(store.runs_dir())
        options += [item.name for item in known if item.dataset == added.dataset and item.name != added.name]
    right = choose_side("right", right_column, more, options, default, items, colors, is_asked)
    with middle:
        st.button(
            ":material/swap_horiz:", key="embeddings-swap", on_click=swap, type="tertiary", help="Swap left and right"
        )
    if right.color == left.color:
        right = replace(right, color=ORANGE if left.color != ORANGE else BLUE)
    VIEW["references"] = (left.reference, right.reference)
    return left, right


# --- images and map -------------------------------------------------------------------------------------------------


def leave_test_images(found: list[index.Summary]) -> bool:
    """Whether a sweep that one of the models belongs to still chooses on validation images; those are shown then."""
    names = (VIEW["left"] or default_left(found), VIEW["right"])
    chosen = [run for name in names if name not in others() and (run := store.find(name)) is not None]
    held_back = any(run.awaits_choice and not _is_tested(run) for run in chosen)
    if held_back and VIEW["split"] == "auto":
        VIEW["split"] = "val"
    return held_back


def _is_tested(run: Run) -> bool:
    """Whether the choice among its group's settings was tested, which ends the choosing."""
    group = store.find_group(run.group.id) if run.group is not None else None
    return group is not None and bool(group.tests)


def choose_images(place: Any, without_test: bool = False) -> ImageSelection:
    """How many images of which split.

    Args:
        without_test: the test images are not offered, as `leave_test_images` says.
    """
    splits = [name for name in SPLITS if name != "auto" or not without_test]
    help_text = "Test images were seen by no training; data without any show validation images."
    if without_test:
        help_text = (
            "Test images are left alone as long as the sweep that one of these runs belongs to chooses on "
            "validation images."
        )
    with place:
        number = st.selectbox(
            "Images",
            NUM_IMAGES,
            format_func=lambda number: f"{number:,}",
            **VIEW.widget("images", NUM_IMAGES),
            help="At most so many, in class proportion, and the same ones for both.",
        )
        split = (
            st.segmented_control(
                "Of the images for",
                splits,
                format_func=SPLITS.__getitem__,
                required=True,
                **VIEW.widget("split", splits, splits[0]),
                help=help_text,
            )
            or splits[0]
        )
    return ImageSelection(split=split, num_images=number)


def choose_map(place: Any, method: str, dims: int) -> Projection:
    """The numbers that the method takes; those at their default are not named."""
    values: dict[str, Any] = {}
    with place:
        for name, option in projections.OPTIONS[method].items():
            kind = kind_of(option)
            value = st.number_input(
                f"{option.label} of {projections.LABELS[method]}",
                kind(option.low),
                kind(option.high),
                step=kind(option.step),
                **VIEW.widget(name),
                help=f"{option.help} Default: {option.default:g}.",
            )
            if value is not None and value != option.default:
                values[name] = kind(value)
    return Projection(method, dims, **values)


def choose_color(place: Any, embeddings: Sequence[Embedding], tags: embedding_colors.TagRows | None = None) -> str:
    options = embedding_colors.color_choices(embeddings, tags)
    if not options:
        return ""
    return (
        place.selectbox(
            "Colour",
            list(options),
            format_func=lambda name: f"Colour: {options[name].lower()}",
            label_visibility="collapsed",
            **VIEW.widget("color", list(options), next(iter(options))),
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
            **VIEW.widget("k", numbers, 20 if 20 in numbers else numbers[-1]),
            help="The nearest of each image by cosine of the features: for agreement and the lists of neighbours.",
        )
        judge = "knn"
        if judges:
            judge = st.selectbox(
                "Predictions by",
                list(judges),
                format_func=judges.__getitem__,
                **VIEW.widget("by", list(judges)),
                help="Whose predicted classes are coloured, counted and compared.",
            )
    return k, judge


# --- what is chosen in the maps -------------------------------------------------------------------------------------


def _start_of_address(ids: NDArray[Any], frame: int) -> MapState:
    map_choice.say_unknown_image(VIEW, ids)
    return replace(state_from_texts({name: VIEW[name] for name in MAP_PARTS}, len(ids)), frame=frame)


def map_state(key: str, ids: NDArray[Any], frame: int = 0) -> tuple[MapState, MapState, str]:
    """What is chosen in the maps now, and what they start with, under which token.

    They start with what the address says, and again with what the page itself opens.

    Args:
        frame: of the film, as the address says.
    """
    origin = VIEW.component_key(key)
    kept = st.session_state.get(START)
    if kept is None or kept[0] != origin or key not in st.session_state:
        kept = st.session_state[START] = (origin, _start_of_address(ids, frame), origin)
    state = read_state(key, ids, kept[1], kept[2])
    clicked = st.session_state.pop(OPEN, None)
    if clicked is not None:
        state = replace(state, image=int(clicked))
        kept = st.session_state[START] = (origin, state, uuid.uuid4().hex[:8])
    if st.session_state.pop(PULL, False):
        state = replace(state, image=-1, tug=state.tug or FIRST_TUG)
        kept = st.session_state[START] = (origin, state, uuid.uuid4().hex[:8])
    shown()[key] = state
    return state, kept[1], kept[2]


def shown() -> dict[str, MapState]:
    """What is chosen in each of the maps, always up to date; also where there is no session, as while downloading."""
    return st.session_state.setdefault(SHOWN, {})


def select(rows: NDArray[Any], num_images: int) -> None:
    """Selects images from outside the maps, which then show all of it."""
    VIEW.update(selection=selection_text(rows, num_images), image="", zoom="", search="")
    VIEW.redraw()


def keep_map_state(state: MapState, num_images: int) -> None:
    VIEW.update(**state_texts(state, num_images))


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
