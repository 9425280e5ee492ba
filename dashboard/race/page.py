"""Race: SimCLR without labels and the same network from scratch on few, side by side while they train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.components.embedding_map import (
    MapState,
    embedding_map,
    read_state,
    selection_text,
    state_from_texts,
    state_texts,
)
from dashboard.components.live_chart import live_chart
from dashboard.maps import disagreement_cards, film_maps, map_choice, map_images, race_films
from dashboard.maps.race_films import Frames
from dashboard.race import curves
from dashboard.shared import asked, formats, run_actions, store, ui, url_state
from simclr import config as cfg
from simclr import runs
from simclr.analysis import cards
from simclr.analysis.disagreement import Card
from simclr.experiments import race
from simclr.experiments.race import Race
from simclr.films import growing as growing_films
from simclr.runs.status import Status

TITLE = "SimCLR and from scratch, side by side"
MAP = "race-map"
START = "race-start"
MAP_PARTS = ("image", "selection", "hidden")  # what is chosen in the maps, as text
FRACTIONS = (0.01, 0.05, 0.1, 1.0)
CURVE_HEIGHT = 190
WATCH_SECONDS = 0.1  # a frame is on the screen within a second of its epoch
QUESTION = (
    "The same network twice, on the same images: SimCLR learns from pairs of views and sees no label, the other learns "
    "from scratch on a few labels. Both maps show the same validation images while they train."
)
READING = """
Both networks start from the same random weights, and at each frame both have seen as many training images: SimCLR two
views of each, the other one view and its label, over and over where there are few. The maps show validation images;
test images are looked at once, when a run has finished.

**t-SNE** keeps near images near: it goes on from the frame before for 60 steps, so points move and the cloud does not
jump. Distances between groups, their size and their density mean little. **PCA** is a plane through the features,
turned to show much of their variance and to lie as before; it bends nothing, and shows little of what a network tells
apart. In both, later frames change no earlier one.

So judge by the share of right neighbours: it is measured in all dimensions of the features, each image left out of its
own vote (kNN with 20 neighbours, among the images of the film alone). The kNN accuracy on the page of a run takes all
training images as neighbours and is higher. When both have finished, AlignedUMAP draws all frames at once.
"""


def read_address(query: url_state.Query) -> dict[str, Any]:
    """What an address says of the page."""
    one = url_state.last_values(query)
    found: dict[str, Any] = {"id": one["id"]} if "id" in one else {}
    method = asked.one_of(query, "method", {name: name for name in growing_films.METHODS}, growing_films.METHODS[0])
    seen = asked.number_in(query, "seen", 0, 10**15, "the newest frame", whole=True)
    found |= {"method": method} if method else {}
    found |= {"seen": one["seen"]} if seen is not None else {}
    return found | map_choice.read(query, MAP_PARTS)


VIEW = url_state.View("race", {"id": "", "method": "tsne", "seen": "", **dict.fromkeys(MAP_PARTS, "")}, read_address)


# --- which race -------------------------------------------------------------------------------------------------------


def named(run_id: str) -> Race | None:
    """The race of the run from scratch with this id; None if there is none."""
    run = store.find(run_id)
    return race.find(run) if run is not None else None


def find(known: list[Race]) -> Race | None:
    """The race that the address names, else the newest that is going on or has frames; says so where it names none."""
    if wanted := VIEW["id"]:
        if (found := named(wanted)) is not None:
            return found
        why = asked.why_not(wanted, ("scratch",)) or "has no pre-training beside it"
        url_state.say_instead("id", wanted, why, "the newest race" if known else "how to start one")
        VIEW["id"] = ""
    shown = [item for item in known if has_frames(item) or any(run.status.is_active for run in item)]
    return next(iter([*shown, *known]), None)


def has_frames(found: Race) -> bool:
    """Whether both have kept something to look at."""
    return all(map(race_films.num_frames, found))


def start(recipe: str, fraction: float) -> None:
    """Starts both runs; the page then shows them."""
    with ui.report_errors():
        VIEW.update(id=race.start(recipe, store.runs_dir(), label_fraction=fraction).scratch.id, seen="", image="")
        VIEW.redraw()


def starter(label: str) -> None:
    """What a race is made of, and the button that starts one."""
    names = [name for name in cfg.recipe_names() if cfg.recipe(name).get("dataset") in ("shapes", "digits")]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        recipe = st.selectbox("Recipe", names, key="race-recipe", width=180) if len(names) > 1 else names[0]
        fraction = st.selectbox(
            "Labels from scratch",
            FRACTIONS,
            format_func=formats.fraction_text,
            key="race-fraction",
            width=180,
            help="Share of the training labels that the network from scratch may use. SimCLR uses none.",
        )
        st.button(
            label,
            type="primary",
            icon=":material/flag:",
            key="race-go",
            on_click=start,
            args=(recipe, float(fraction or race.LABEL_FRACTION)),
        )


# --- what is going on -----------------------------------------------------------------------------------------------


def mark(found: Race) -> tuple[Any, ...]:
    """What the page is drawn for: it is drawn again when this changes."""
    return tuple((run.status.state, race_films.num_frames(run)) for run in found)


@st.fragment(run_every=WATCH_SECONDS)
def watch(run_id: str, drawn: tuple[Any, ...]) -> None:
    """Draws the page again when a frame has come, or a run has begun or ended."""
    found = named(run_id)
    if found is None or mark(found) != drawn:
        st.rerun()


def badge(statuses: list[Status]) -> tuple[str, str]:
    """The state of both in a word, with its colour."""
    states = {status.state for status in statuses}
    if "failed" in states:
        return "Failed", "red"
    if "stopping" in states:
        return "Stopping", "orange"
    if states == {"queued"}:
        return "Waits for the processor or a GPU", "gray"
    if states & {"starting", "running", "queued"}:
        return "Training", "blue"
    return ("Stopped", "gray") if "stopped" in states else ("Finished", "green")


def answer(frames: Frames, frame: int) -> str:
    """The sentence above the maps."""
    num_labels = frames.films[1].about.get("num_labels") or 0
    labels = f"from scratch, trained on {num_labels:,} labels" if num_labels else "from scratch"
    seen = f"After **{frames.seen[frame]:,} images** each"
    ours, theirs = (frames.right(side, frame) for side in (0, 1))
    if ours is None or theirs is None:
        return f"{seen}. The images have no classes, so no neighbour can be right or wrong."
    split = map_images.split_name(str(frames.films[0].about.get("split")))
    return (
        f"{seen}, SimCLR's nearest neighbours name the class of **{100 * ours:.0f} %** of the {split} images, without "
        f"a label; {labels}, **{100 * theirs:.0f} %**."
    )


@st.fragment(run_every=1.0)
def progress(run_id: str) -> None:
    """How far both are, and how long it takes. It holds no widget: a refresh could lose a click."""
    found = named(run_id)
    if found is None:
        return
    if any(item.status.is_active for item in found):
        share = sum(item.status.progress for item in found) / len(found)
        ui.page_title(f"{100 * share:.0f} % · {TITLE}")
    for column, item, name in zip(st.columns(2, gap="medium"), found, race_films.NAMES, strict=True):
        status = item.status
        with column:
            st.progress(status.progress, text=escape.markdown(f"{name} · {run_actions.progress_words(status)}"))
            if stalled := runs.stalled(status):
                st.caption(f":orange[:material/hourglass_disabled:] {escape.markdown(stalled)}")


def stop(run_id: str) -> None:
    with ui.report_errors():
        if (found := named(run_id)) is not None:
            race.stop(found)


def resume(run_id: str) -> None:
    with ui.report_errors():
        if (found := named(run_id)) is not None:
            race.resume(found)


def actions(found: Race) -> None:
    """Stop and resume, beside the title."""
    statuses = [run.status for run in found]
    own = all(runs.is_own(run.path) for run in found)
    if any(status.is_active for status in statuses):
        st.button(
            "Stop both",
            icon=":material/stop:",
            key="race-stop",
            disabled=all(status.state == "stopping" or not status.is_active for status in statuses),
            on_click=stop,
            args=(found.scratch.id,),
        )
    elif own and any(status.state in ("stopped", "failed") for status in statuses):
        st.button(
            "Resume",
            type="primary",
            icon=":material/resume:",
            key="race-resume",
            on_click=resume,
            args=(found.scratch.id,),
        )
    if not any(status.is_active for status in statuses):
        with st.popover("New race", icon=":material/flag:", key="race-new"):
            starter("Start")


def failures(found: Race) -> None:
    """What went wrong, and what is missing."""
    for run, name in zip(found, race_films.NAMES, strict=True):
        if run.status.state == "failed":
            text = run.status.error or "Its log tells more."
            st.error(escape.markdown(f"{name} has failed. {text}"), icon=":material/error:")


# --- maps and curves ------------------------------------------------------------------------------------------------


def map_state(found: Race, frames: Frames) -> tuple[MapState, MapState, str]:
    """What is chosen in the maps now, and what they start with, under which token."""
    last = len(frames.seen) - 1
    key, ids = f"{MAP}-{found.scratch.id}", frames.films[0].ids
    origin = VIEW.component_key(key)
    kept = st.session_state.get(START)
    if not isinstance(kept, tuple) or kept[1] != origin or key not in st.session_state:
        map_choice.say_unknown_image(VIEW, ids)
        begun = state_from_texts({name: VIEW[name] for name in MAP_PARTS}, len(ids))
        begun = replace(begun, frame=frame_at(frames, VIEW["seen"]), follows=not VIEW["seen"])
        kept = st.session_state[START] = (begun, origin)
    begun = replace(kept[0], frame=last) if kept[0].follows else kept[0]
    state = read_state(key, ids, begun, origin)
    return replace(state, frame=last if state.follows else min(max(0, state.frame), last)), begun, origin


def frame_at(frames: Frames, text: str) -> int:
    """The frame that an address names by its number of images, or the one before it; without one, the last."""
    if not text.isdecimal() or len(text) > 15:
        return len(frames.seen) - 1
    return max(0, film_maps.newest(frames.seen, [int(text)])[0])


@st.fragment
def maps(run_id: str, method: str, is_going_on: bool) -> None:
    """The sentence, both maps and the curves; what moves in them draws only this part again."""
    found = named(run_id)
    frames = race_films.frames_of(found, method) if found is not None else None
    if found is None or frames is None:
        st.rerun()
        return
    state, begun, token = map_state(found, frames)
    texts = state_texts(state, frames.films[0].num_images)
    VIEW.update(
        seen="" if state.follows else str(frames.seen[state.frame]), **{name: texts[name] for name in MAP_PARTS}
    )
    url_state.write(VIEW.changed(), part=MAP)
    key = f"{MAP}-{found.scratch.id}"
    st.markdown(answer(frames, state.frame), width="stretch")
    data = race_films.payload(found, frames, state.frame) | {"grows": is_going_on}
    embedding_map(data, key, start=begun, token=token, details=race_films.details(frames, state.frame, state.image))
    num_labels = frames.films[1].about.get("num_labels") or 0
    num_classes = len(frames.films[0].classes)
    drawn: Mapping[str, dict[str, Any] | None] = {
        "Neighbours right": curves.neighbors_right(frames),
        "Contrastive loss of SimCLR": curves.of_training(found.simclr, "loss", curves.BLUE),
        f"From scratch on {num_labels:,} labels": curves.of_training(found.scratch, "top1", curves.ORANGE, num_classes),
    }
    for number, (column, (title, figure)) in enumerate(zip(st.columns(3, gap="small"), drawn.items(), strict=True)):
        with column.container(border=True, gap=None, height="stretch"):
            st.markdown(f"**{title}**", help=CURVE_HELP[number])
            if figure is None:
                st.caption("Appears with the first epoch.")
                continue
            figure = curves.with_cursor(figure, key, frames.seen, state.frame, frames.total)
            live_chart(figure, f"race-curve-{number}", title, height=CURVE_HEIGHT)


CURVE_HELP = (
    "Share of the images of the film whose class most of their 20 nearest neighbours have, in all dimensions of the "
    "features, themselves left out. Blue: SimCLR; orange: from scratch; dashed: guessing.",
    "NT-Xent of the training (thin) and validation images (bold). The dashed line is the loss when all similarities "
    "are equal.",
    "Share of the images that the classifier names rightly: its few training images (thin), which it soon knows by "
    "heart, and validation images (bold). The dashed line is guessing.",
)


# --- the page -------------------------------------------------------------------------------------------------------


def empty() -> None:
    ui.head(TITLE)
    with st.container(border=True):
        st.markdown(QUESTION)
        st.caption(
            "It takes some three minutes on two processor cores, and the maps move from the first epoch. The data set "
            "is drawn by the package, nothing is downloaded."
        )
        starter("Start the race")


def waiting(found: Race) -> None:
    """Before both have a first frame."""
    with st.container(border=True, height=420, horizontal_alignment="center", vertical_alignment="center"):
        if any(run.status.is_active for run in found):
            st.markdown(
                ":material/hourglass_top: Both networks are on their way: libraries and images are loaded.",
                width="content",
            )
            st.caption(
                "The maps appear with the untrained networks, some twenty seconds after the start.", width="content"
            )
        else:
            st.markdown("This pair has kept no frames that can be shown together.", width="content")
            st.caption("A race that is started here keeps them by itself.", width="content")


def next_steps(found: Race) -> None:
    """Where to go on, once both have finished."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown("**Next**", width="content")
        pair = {"left": found.simclr.id, "right": found.scratch.id}
        if st.button("Film by UMAP", icon=":material/scatter_plot:", key="race-umap"):
            url_state.go("embeddings", **pair, mode="film", method="umap")
        if st.button("Final maps", icon=":material/bubble_chart:", key="race-maps"):
            url_state.go("embeddings", **pair)
        for run, name in zip(found, race_films.NAMES, strict=True):
            if st.button(f"Run of {name}", icon=":material/open_in_full:", key=f"race-run-{run.id}"):
                url_state.go("run", id=run.id)


def disagree(frames: Frames) -> None:
    """The groups on which the last frames of both disagree; a click selects one on both maps."""
    first, second = frames.films

    def select(card: Card) -> None:
        VIEW.update(selection=selection_text(card.rows, first.num_images), image="", seen="")
        VIEW.redraw()

    try:
        sides = cards.of_films(first, second)
    except OSError:  # a frame that is gone by now
        return
    disagreement_cards.panel(sides, race_films.NAMES, first.sheets, first.about["thumbnails"], select)


def page() -> None:
    VIEW.open()
    known = race.list_races(store.get().summaries(), store.runs_dir())
    found = find(known)
    if found is None:
        ui.show_message()
        empty()
        url_state.write({})
        return
    VIEW["id"] = found.scratch.id
    statuses = [run.status for run in found]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
            st.title(TITLE, anchor=False, width="content")
            text, color = badge(statuses)
            st.badge(text, color=color)  # type: ignore[arg-type]
        with st.container(horizontal=True, width="content", gap="small", vertical_alignment="center"):
            methods = growing_films.METHODS
            method = st.segmented_control(
                "Map",
                methods,
                format_func=growing_films.LABELS.__getitem__,
                required=True,
                label_visibility="collapsed",
                **VIEW.widget("method", methods),
            )
            actions(found)
    ui.show_message()
    failures(found)
    drawn = mark(found)
    is_going_on = any(status.is_active for status in statuses)
    if is_going_on or "stopped" in {status.state for status in statuses}:
        progress(found.scratch.id)
    method = method or methods[0]
    frames = race_films.frames_of(found, method)
    if frames is None:
        waiting(found)
        url_state.write(VIEW.changed(), part=MAP)
    else:
        maps(found.scratch.id, method, is_going_on)
        if not is_going_on and all(status.state == "finished" for status in statuses):
            next_steps(found)
            disagree(frames)
        with st.expander("How to read this"):
            st.markdown(READING)
    if is_going_on:
        watch(found.scratch.id, drawn)


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
