"""Embeddings: what two encoders make of the same images, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.components.embedding_map import embedding_map
from dashboard.components.live_chart import live_chart
from dashboard.components.table import table
from dashboard.embeddings import (
    added_panel,
    colors,
    export,
    film_page,
    pictures_panel,
    searching,
    selection,
    tags_panel,
    view,
)
from dashboard.embeddings import choice as embedding_choice
from dashboard.embeddings import numbers as embedding_numbers
from dashboard.embeddings.choice import VIEW, Side
from dashboard.embeddings.trying import own_images, sentence, try_panel, tug_panel
from dashboard.maps import disagreement_cards, map_images
from dashboard.shared import asked, formats, forms, run_labels, store, ui, url_state
from dashboard.shared.jobs import offer, progress
from simclr import config as cfg
from simclr import runs
from simclr.analysis import cards
from simclr.analysis.disagreement import Card
from simclr.config import ConfigError
from simclr.embeddings import embed_job, projections, stored
from simclr.embeddings.projections import Projection
from simclr.embeddings.selection import ImageSelection, for_models
from simclr.embeddings.stored import Embedding
from simclr.results import arms, index

QUESTION = (
    "Does the encoder put images of one class together, and other things apart? Each point is an image; "
    "both maps show the same images. Left and right stand finished runs with weights, a network before its training, "
    "the bare pixels, or embeddings of other encoders that were added; on the right only what can be shown the same "
    "images as the left one."
)
MAP = "embedding-map"
SPACE_HEIGHT = 460
COLOR_WIDTH = 150
TIMES = {
    "pca": "This takes a few seconds.",
    "umap": "This takes about a minute; UMAP spends half of it on compiling itself, the first time.",
    "tsne": "This takes about a minute for 2,000 images.",
}
METHOD_NOTES = {
    "pca": "PCA turns the features so that the directions in which they vary most lie in the map. It bends "
    "nothing, but two or three of many directions show little.",
    "umap": "UMAP keeps near images near; distances between groups, their size and their density mean little.",
    "tsne": "t-SNE keeps near images near; distances between groups, their size and their density mean little.",
}
READING = """
The right map is turned, and mirrored where that helps, to lie as the left one does; it is not stretched.

Judge by the numbers, not by the picture. Accuracies, silhouette and the neighbours of a clicked image are measured on
the features themselves, neighbours by cosine similarity; with more images kNN accuracy rises, since neighbours are then
nearer. Trustworthiness, continuity and neighbours kept say how much of that the map shows.

The name of a class stands where the class is densest, if enough of it lies there and little else does. A class that
lies all over a map has no name on it.

In a map: wheel or pinch to zoom, drag to move, Shift and drag to select, click to open. Where there is room for them,
points become their images. The question mark above the maps lists all keys.

An open image can be tugged: while its hue, brightness, crop, rotation, blur or place is changed, it wanders on both
maps. How far it goes, over the median distance of two images, says what the encoder has learned to ignore.
"""


# --- states ---------------------------------------------------------------------------------------------------------


def empty(summaries: list[index.Summary]) -> None:
    active = [item for item in summaries if item.is_active]
    with st.container(border=True):
        st.header("No trained network yet", anchor=False)
        if active:
            st.markdown("A map needs a run that has finished. One is on its way:")
            st.page_link(
                ui.PAGE_RUN,
                label=escape.markdown(run_labels.label(active[0])),
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
            url_state.go("new-run")


def suggest_partner(sides: Sequence[Side], found: list[index.Summary]) -> None:
    """Where a pre-training has no partner yet, how to get one."""
    own = next((item for item in found if item.id == sides[0].what), None)
    if own is None or own.kind != "pretrain" or any(arms.belongs_to(item, own) for item in found):
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("To compare with training from scratch, start the partner on the run's page.", width="content")
        st.page_link(ui.PAGE_RUN, label="Open the run", icon=":material/arrow_forward:", query_params={"id": own.id})


# --- maps -----------------------------------------------------------------------------------------------------------


def load(folders: Sequence[str]) -> list[Embedding]:
    return [found for folder in folders if (found := stored.load_embedding(Path(folder))) is not None]


def data_of(
    embeddings: Sequence[Embedding], asked: Projection, sides: Sequence[Side], color: str, k: int, judge: str
) -> dict[str, Any] | None:
    """The two maps as the component takes them; None if they are not there any more."""
    points = view.maps(embeddings, asked)
    if points is None:
        return None
    panels = [
        {
            "title": side.title,
            "subtitle": side.subtitle,
            "points": each,
            "note": "",
            "stats": embedding_numbers.feature_stats(item) + embedding_numbers.map_stats(item, asked),
        }
        for side, item, each in zip(sides, embeddings, points, strict=True)
    ]
    search = searching.search_data(embeddings[0])
    if color == sentence.SENTENCE:
        painted = sentence.color_of(embeddings, sides)
    else:
        painted = colors.color_of(embeddings, color, judge=judge, k=k, tags=search["tags"])
    return view.payload(embeddings, panels, painted, view.sheets_of(embeddings[0]), search)


@st.fragment
def maps(
    folders: list[str], asked: Projection, sides: Sequence[Side], color: str, k: int, judge: str, verdict: str
) -> None:
    """The two maps and what is selected in them; a click or a lasso draws only this part again.

    Args:
        verdict: what the numbers say, in one sentence; it stands below the maps.
    """
    embeddings = load(folders)
    data = data_of(embeddings, asked, sides, color, k, judge) if len(embeddings) == len(sides) else None
    if data is None:
        st.rerun()
    first = embeddings[0]
    state, start, token = embedding_choice.map_state(MAP, first.ids)
    embedding_choice.keep_map_state(state, first.num_images)
    embedding_choice.write_address(MAP)
    common: dict[str, Any] = {"k": k, "judge": judge}
    own = own_images.place(embeddings, sides, asked, [panel["points"] for panel in data["panels"]])
    if asked.dims == embedding_choice.SPACE:
        space(data, state.selection, map_images.row_of(first.ids, state.image))
        selection.neighbors(embeddings, sides, state.image, **common)
    else:
        titles = [side.title for side in sides]
        details = view.details(embeddings, titles, state.image, k, judge)
        points = [panel["points"] for panel in data["panels"]]
        can_tug = any(side.has_encoder for side in sides)
        tug = tug_panel.changed(embeddings, sides, asked, points, state, own) if can_tug else None
        embedding_map(data, MAP, start=start, token=token, details=details, guests=own.marks, tug=tug)
    st.markdown(escape.markdown(verdict))
    added_panel.say_shared(first)
    selection.panel(embeddings, sides, state.selection, state.image, asked=asked, **common)
    tags_panel.panel(first)
    try_panel.panel(own, sides, asked.label)


def space(data: dict[str, Any], chosen: Any, opened: int) -> None:
    """Two maps in space, side by side."""
    ids, labels, classes = data["ids"], data["labels"], data["classes"]
    names = [f"image {image}" for image in ids]
    if labels is not None:
        names = [f"{classes[label]['name']}, {name}" for label, name in zip(labels, names, strict=True)]
    panels = data["panels"]
    for column, panel in zip(st.columns(len(panels)), panels, strict=True):
        with column:
            st.markdown(f"**{escape.markdown(panel['title'])}**  \n:small[{escape.markdown(panel['subtitle'])}]")
            with st.container(horizontal=True, gap="small"):
                for stat in panel["stats"]:
                    about = escape.markdown(stat["help"])
                    st.markdown(f"**{stat['value']}** :small[{stat['label']}]", help=about, width="content")
    for place, column in enumerate(st.columns(len(panels))):
        with column:
            figure = view.space_figure(panels[place]["points"], data["color"], place, names, chosen, opened)
            live_chart(figure, f"embedding-space-{place}", f"Map of {panels[place]['title']}", height=SPACE_HEIGHT)
    st.caption("Drag to turn, wheel to zoom. Images are selected and opened on the plane maps, in 2-D.")


def disagree(embeddings: Sequence[Embedding], titles: Sequence[str]) -> None:
    """The groups on which the two disagree; a click selects one on both maps."""
    first, second = embeddings

    def select(card: Card) -> None:
        embedding_choice.select(card.rows, first.num_images)

    disagreement_cards.panel(
        cards.of_embeddings(first, second), titles, first.sheets, first.provenance["thumbnails"], select
    )


def between(
    embeddings: Sequence[Embedding],
    sides: Sequence[Side],
    sentences: Sequence[str],
    stats: list[dict[str, str]],
    rows: list,
    judge: str,
) -> None:
    """Numbers about the two models together, and where one beats the other."""
    st.header("Between the two", anchor=False)
    st.markdown(escape.markdown(" ".join(sentences)))
    with st.container(horizontal=True, gap="large"):
        for stat in stats:
            with st.container(width="content", gap=None):
                st.metric(stat["label"], stat["value"], help=stat["help"], width="content")
                st.caption(stat["note"])
    if not rows:
        st.caption("Without classes there is no table of where one beats the other.")
        return
    columns, lines = embedding_numbers.class_table(rows, [side.title for side in sides])
    st.caption(f"Share of each class that is predicted right ({colors.JUDGES[judge]}); click a head to sort.")
    table(columns, lines, key="embedding-classes")


def explanation(asked: Projection, embeddings: Sequence[Embedding]) -> None:
    first = embeddings[0].provenance
    widths = sorted({int(item.provenance.get("num_features") or 0) for item in embeddings})
    layers = sorted({str(item.provenance.get("layer", "h")) for item in embeddings})
    dataset = index.short_dataset(first["data"]["dataset"])
    about = [item.map_provenance(asked) for item in embeddings]
    made = max(float(each.get("created") or 0) for each in about)
    chosen = {
        name: value
        for name, value in (about[0].get("parameters") or {}).items()
        if name in projections.OPTIONS[asked.method]
    }
    numbers = [f"{projections.OPTIONS[asked.method][name].label.lower()} {value:g}" for name, value in chosen.items()]
    words = [
        f"{first['num_images']:,} {map_images.split_name(first['split'])} images of {dataset}, not augmented",
        f"layer {' and '.join(layers)}, {' and '.join(map(str, widths))} features",
        ", ".join([asked.label, *numbers, f"seed {first['seed']}"]),
        f"computed {formats.ago(made)}",
    ]
    st.caption(escape.markdown(" · ".join(words)))
    with st.expander("How to read these maps"):
        st.markdown(f"{METHOD_NOTES[asked.method]}\n\n{READING}")


# --- the page -------------------------------------------------------------------------------------------------------


def forget_other_images(mode: str) -> None:
    """Film and final maps show other images: what is selected in one means nothing in the other."""
    if VIEW["mode-before"] not in (None, mode):
        VIEW.update(epoch="", **dict.fromkeys(embedding_choice.MAP_PARTS, ""))
    VIEW["mode-before"] = mode


def page() -> None:
    is_asked = VIEW.open()
    head = ui.head("Embeddings", about=QUESTION)
    ui.show_message()
    summaries = store.get().summaries()
    found = run_labels.usable(summaries)
    if is_asked:
        embedding_choice.take_group()
    if not found:
        for place in ("left", "right"):
            if is_asked and (named := embedding_choice.VIEW[place]) and named not in embedding_choice.OTHERS:
                url_state.say_instead(place, named, asked.why_not(named) or "has no weights yet", "nothing yet")
        empty(summaries)
        return
    pair = st.container(horizontal=True, vertical_alignment="center", gap="small", key="embedding-pair")
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="embedding-controls"):
        modes = embedding_choice.MODES
        mode = (
            st.segmented_control(
                "Show",
                list(modes),
                format_func=modes.__getitem__,
                required=True,
                label_visibility="collapsed",
                **VIEW.widget("mode", list(modes)),
            )
            or "maps"
        )
        method_place = st.container(width="content")
        color_place = st.container(width=COLOR_WIDTH)
        options = st.popover("Options", icon=":material/tune:", key="embedding-options") if mode == "maps" else None
    added_panel.button(head)
    without_test = embedding_choice.leave_test_images(found)
    sides = embedding_choice.choose_sides(pair, options, found, is_asked)
    forget_other_images(mode)
    if mode == "film":
        film_page.page(sides, method_place)
    else:
        final_maps(sides, found, head, method_place, color_place, options, without_test)
    embedding_choice.write_address()


def final_maps(
    sides: Sequence[Side],
    found: list[index.Summary],
    head: Any,
    method_place: Any,
    color_place: Any,
    options: Any,
    without_test: bool,
) -> None:
    """Everything below the choice of the models, for the maps of their final features."""
    method = (
        method_place.segmented_control(
            "Map",
            projections.METHODS,
            format_func=projections.LABELS.__getitem__,
            required=True,
            label_visibility="collapsed",
            **VIEW.widget("method", projections.METHODS),
        )
        or "umap"
    )
    dims = (
        options.segmented_control(
            "Space",
            projections.DIMS,
            format_func="{}-D".format,
            required=True,
            **VIEW.widget("dims", projections.DIMS),
        )
        or 2
    )
    choice = embedding_choice.choose_images(options, without_test)
    asked = embedding_choice.choose_map(options, method, dims)
    pca = Projection("pca", dims)
    methods = [pca] if method == "pca" else [pca, asked]
    references = [side.reference for side in sides]
    try:
        models = embedding_choice.models_of(sides)
        choice = for_models(models, choice)
        request = embed_job.request_of(references, choice, methods, store.runs_dir())
    except (ConfigError, OSError) as error:
        st.error(escape.markdown(str(error)), icon=":material/error:")
        return
    embeddings = [item for model in models if (item := stored.find_embedding(model, choice)) is not None]
    together = len(embeddings) == 2 and stored.same_images(*embeddings)

    def ready(projection: Projection) -> bool:
        return together and all(item.map(projection) is not None for item in embeddings)

    pair = stored.find_pair(*embeddings) if together else None
    if not ready(asked) or pair is None:
        wait(sides, choice, methods, request, asked, pca if not ready(pca) else None, has_maps=ready(asked))
    shown = asked if ready(asked) else pca
    if not ready(shown):
        suggest_partner(sides, found)
        return
    if shown != asked:
        st.caption(f"Shown meanwhile: the PCA maps of the same features. The {asked.label} maps take their place.")
    color = embedding_choice.choose_color(color_place, embeddings, searching.tag_rows(embeddings[0]))
    color = sentence.ask(embeddings, sides, color)
    k, judge = embedding_choice.choose_measures(options, embeddings)
    titles = [side.title for side in sides]
    rows = embedding_numbers.class_rows(embeddings, judge)
    stats = embedding_numbers.pair_stats(embeddings, pair, k)
    sentences = [embedding_numbers.verdict(rows, judge, titles), embedding_numbers.overlap_sentence(stats, k)]
    if references[0] == references[1]:
        sentences = [
            "Both sides show the same model: choose another run, other weights or another layer on one of them."
        ]
    says = " ".join(filter(None, sentences))
    # the first sentence stands with the maps, the rest with its numbers, below
    maps([str(item.folder) for item in embeddings], shown, sides, color, k, judge, sentences[0] or says)
    suggest_partner(sides, found)  # here, since above them it would push the maps down
    pictures_panel.panel(embeddings[0])
    explanation(shown, embeddings)
    if references[0] != references[1]:
        disagree(embeddings, titles)
    between(embeddings, sides, sentences[1:], stats, rows, judge)
    export.menu(
        head,
        embeddings,
        sides,
        shown,
        lambda: data_of(embeddings, shown, sides, color, k, judge) or {},
        verdict=says,
        key=MAP,
        k=k,
    )


def wait(
    sides: Sequence[Side],
    choice: ImageSelection,
    methods: list[Projection],
    request: dict[str, Any],
    asked: Projection,
    first: Projection | None,
    has_maps: bool,
) -> None:
    """The job that computes what is missing: offered, or how far it is.

    Args:
        first: the map that can be shown while others are computed, where it is not shown yet.
        has_maps: only the numbers between the two are missing.
    """
    job = embed_job.find_job(request, store.runs_dir())
    if job is not None and runs.current_status(job).is_active:
        names = {run.id: side.title for side in sides if (run := side.run) is not None}
        progress(str(job), names, request["folders"] if first is not None else (), first)
        return
    title = f"The {asked.label} maps of these two are not computed yet"
    if has_maps:
        title = "The numbers between these two are not computed yet"
    offer(
        title,
        f"{TIMES['pca' if has_maps else asked.method]} The result is kept with the runs.",
        job,
        lambda: embed_job.start_job([side.reference for side in sides], choice, methods, store.runs_dir()),
        key="embedding-compute",
    )


page()
