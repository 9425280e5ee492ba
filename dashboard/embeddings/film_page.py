"""The training film on the Embeddings page: the same images after every few epochs, with the curves beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import escape
from dashboard.components.embedding_map import embedding_map
from dashboard.components.live_chart import live_chart
from dashboard.embeddings import choice
from dashboard.embeddings.choice import Side
from dashboard.maps import film_maps
from dashboard.shared import figures, palette, store, url_state
from dashboard.shared.jobs import offer, progress
from simclr import runs
from simclr.curves import metric_info, smoothing
from simclr.embeddings import projections
from simclr.films import film
from simclr.films.film import Film
from simclr.runs import metrics_csv

FILM = "embedding-film"
CURVE_HEIGHT = 190
NOTES = {
    "pca": "Each epoch's own PCA, turned to lie as that of the next epoch does and never bent: what moves, moves.",
    "umap": "AlignedUMAP draws all epochs at once and holds neighbouring ones together; distances between groups mean "
    "little.",
}
TIMES = {"pca": "This takes a few seconds.", "umap": "This takes about a minute."}

Floats = NDArray[np.float32]


# --- values ---------------------------------------------------------------------------------------------------------


def timeline(films: Sequence[Film]) -> list[int]:
    """The epochs at which any of the films has a frame, once all have begun."""
    begun = max(item.epochs[0] for item in films)
    return sorted({epoch for item in films for epoch in item.epochs if epoch >= begun})


def together(maps: Sequence[Floats]) -> list[Floats]:
    """Films (F, N, 2) turned as a whole, so that each one's last frame lies as that of the first film does."""
    found = [maps[0]]
    for other in maps[1:]:
        middle = other[-1].mean(axis=0)
        turn = projections.procrustes_rotation(maps[0][-1], other[-1])
        found.append(((other - middle) @ turn).astype(np.float32))
    return found


def frame_of(epochs: Sequence[int], text: str) -> int:
    """The place of the epoch that an address names, or of the one nearest to it; without one, the last."""
    if not text.isdecimal() or len(text) > 9:
        return len(epochs) - 1
    return int(np.abs(np.array(epochs) - int(text)).argmin())


def curve(
    columns: smoothing.Columns, metrics: Sequence[str], color: str, epochs: Sequence[int], frame: int
) -> dict | None:
    """The first of these metrics that a run has recorded, with a cursor that follows the film; None without one.

    Args:
        epochs: of the run, at each frame of the film.
    """
    metric = next(
        (name for name in metrics if any(columns.get(column) for column in metric_info.METRICS[name].suffixes)), None
    )
    if metric is None:
        return None
    figure = figures.run_figure(columns, metric, color)
    if not figure["data"]:
        return None
    layout = figure["layout"]
    layout["margin"] = {"l": 44, "r": 8, "t": 26, "b": 34}
    layout["title"] = {
        "text": metric_info.METRICS[metric].label,
        "x": 0,
        "xref": "paper",
        "y": 0.99,
        "font": {"size": 13},
    }
    layout["showlegend"] = False
    layout["annotations"] = []
    figures.follow_film(figure, FILM, epochs, frame, palette.RING)
    return figure


# --- the page's part ------------------------------------------------------------------------------------------------


def missing(side: Side) -> str:
    """Why there is no film of this side, in one sentence."""
    run = side.run
    if run is None:
        return f"{side.title} has no training, and so no film."
    if run.config.get("film_frames") == 0:
        return f"{side.title} was trained with film_frames 0, which keeps no film."
    return f"{side.title} has kept no film: it was trained before there were films, or for less than two of its epochs."


def page(sides: Sequence[Side], place: Any) -> None:
    """Draws the film of the left run, beside it that of the right one where it shows the same images.

    Args:
        place: container for the choice of the method.
    """
    method = (
        place.segmented_control(
            "Map",
            film.METHODS,
            format_func=film.LABEL.__getitem__,
            required=True,
            label_visibility="collapsed",
            **choice.VIEW.widget("film-method", film.METHODS),
        )
        or "pca"
    )
    found = [(side, film.load(side.run) if side.run is not None else None) for side in sides]
    if sides[0].what == sides[1].what:
        found = found[:1]
    shown = [(side, item) for side, item in found if item is not None]
    notes = [missing(side) for side, item in found if item is None]
    if not shown:
        with st.container(border=True):
            st.markdown("**No film of these two**")
            for note in notes:
                st.markdown(escape.markdown(note))
            st.markdown(
                "A new training keeps one by itself: features of some validation images after every few epochs."
            )
            run = next((side.run for side in sides if side.run is not None), None)
            if run is not None and st.button("Train it again, with a film", key="film-again", icon=":material/replay:"):
                url_state.go("new-run", clone=run.id)
        return
    if len(shown) == 2 and not film_maps.same_images([item for _, item in shown]):
        notes.append(
            f"The film of {shown[1][0].title} shows other images (another seed, data or share of validation images), "
            "so it cannot be shown beside."
        )
        shown = shown[:1]
    for note in notes:
        st.caption(escape.markdown(note))
    to_do = [(side, item) for side, item in shown if item.maps(method) is None]
    if to_do:
        wanted = [side.run for side, _ in to_do if side.run is not None]
        job = film.find_job(wanted, method, store.runs_dir())
        if job is not None and runs.current_status(job).is_active:
            progress(str(job), {run.id: side.title for side, run in ((side, side.run) for side, _ in to_do) if run})
        else:
            offer(
                f"The film by {film.LABEL[method]} is not drawn yet",
                f"{TIMES[method]} The result is kept with the runs.",
                job,
                lambda: film.start_job(wanted, method, store.runs_dir()),
                key="film-compute",
            )
        return
    screen([side for side, _ in shown], method)
    st.caption(NOTES[method])


@st.fragment
def screen(sides: Sequence[Side], method: str) -> None:
    """Slider, maps and curves; what moves draws only this part again."""
    films = [item for side in sides if side.run is not None and (item := film.load(side.run)) is not None]
    maps = [found for item in films if (found := item.maps(method)) is not None]
    if len(maps) < len(sides):
        st.rerun()
    epochs = timeline(films)
    first = films[0]
    if choice.VIEW.was_asked("epoch") and choice.VIEW["epoch"] not in map(str, epochs):
        nearest = epochs[frame_of(epochs, choice.VIEW["epoch"])]
        url_state.say_instead("epoch", choice.VIEW["epoch"], "has no frame", f"epoch {nearest}")
    state, start, token = choice.map_state(FILM, first.ids, frame_of(epochs, choice.VIEW["epoch"]))
    frame = min(max(0, state.frame), len(epochs) - 1)
    choice.keep_map_state(state, first.num_images)
    choice.VIEW["epoch"] = str(epochs[frame])
    choice.write_address(FILM)
    own_places = [list(film_maps.newest(item.epochs, epochs)) for item in films]
    panels = []
    for side, item, points, places in zip(sides, films, together(maps), own_places, strict=True):
        last = f"epochs {item.epochs[0]} to {item.epochs[-1]}, {len(item.epochs)} frames"
        panels.append(
            {
                "title": side.title,
                "subtitle": side.subtitle,
                "stats": [],
                "note": last,
                "frames": points[places],
            }
        )
    data = {
        **film_maps.images(first),
        "panels": panels,
        "frame_names": [f"{epoch}" for epoch in epochs],
        "frame_label": "Epoch",
    }
    shown = [item.epochs[places[frame]] for item, places in zip(films, own_places, strict=True)]
    details = film_maps.details(films, shown, state.image, ["Neighbours after epoch", str(epochs[frame])])
    embedding_map(data, FILM, start=start, token=token, details=details)
    for column, side, item, places in zip(st.columns(len(sides), gap="medium"), sides, films, own_places, strict=True):
        assert side.run is not None
        own = [item.epochs[place] for place in places]
        columns = metrics_csv.live_columns(side.run.metrics_path)
        with column, st.container(horizontal=True, gap="small"):
            for number, metrics in enumerate((("loss",), ("knn_top1", "top1"))):
                figure = curve(columns, metrics, side.color, own, frame)
                with st.container(width="stretch"):
                    if figure is not None:
                        live_chart(
                            figure,
                            f"film-curve-{side.what}-{number}",
                            metric_info.METRICS[metrics[0]].label,
                            height=CURVE_HEIGHT,
                        )
