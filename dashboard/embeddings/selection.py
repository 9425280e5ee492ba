"""The selected images of the Embeddings page: which they are, what they are taken for, where the models differ most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import escape
from dashboard.components.image_grid import image_grid
from dashboard.components.live_chart import live_chart
from dashboard.embeddings import choice, colors, selection_tools, view
from dashboard.embeddings.choice import Side
from dashboard.maps import map_images
from dashboard.shared import figures
from dashboard.shared.formats import fine_percent
from simclr.embeddings import compare
from simclr.embeddings.projections import Projection
from simclr.embeddings.stored import Embedding

Rows = NDArray[np.int64]
MOST_IMAGES = 300  # drawn of a selection
MOST_CLASSES = 12  # with bars of their own
GRID, DIFFERING = "embedding-selected", "embedding-differing"


# --- what there is to say -------------------------------------------------------------------------------------------


def counts(values: Rows, num_classes: int) -> Rows:
    """(num_classes,) how often each class is there; values below 0 are none."""
    return np.bincount(values[values >= 0], minlength=num_classes)


def class_mix(
    embeddings: Sequence[Embedding], rows: Rows, judge: str, titles: Sequence[str], shades: Sequence[str]
) -> dict[str, Any]:
    """Bars of how many selected images are of each class, and are taken for it by each model, the most frequent first.

    Returns:
        plotly's `data` and `layout`; the classes shown are those of the true labels or predictions.
    """
    first = embeddings[0]
    assert first.labels is not None
    series = [("True class", "muted", counts(first.labels[rows], len(first.classes)))]
    if judge in colors.judges(embeddings):
        series += [
            (f"{colors.JUDGES[judge]}, {title}", shade, counts(item.predictions[judge][rows], len(first.classes)))
            for item, title, shade in zip(embeddings, titles, shades, strict=True)
        ]
    highest = np.max([values for *_, values in series], axis=0)
    order = [place for place in np.argsort(-series[0][2], kind="stable") if highest[place]][:MOST_CLASSES]
    names = [first.classes[place] for place in order]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": names,
            "x": [int(values[place]) for place in order],
            "marker": {"color": shade},
            "hovertemplate": "%{x:,} images<extra>%{fullData.name}</extra>",
        }
        for name, shade, values in series
    ]
    layout = figures.layout("Selected images")
    layout |= {"barmode": "group", "bargap": 0.28, "hovermode": "y unified"}
    layout["legend"] |= {"traceorder": "normal"}
    layout["xaxis"] |= {"rangemode": "tozero", "nticks": 5, "tickformat": ",d"}
    layout["yaxis"] = {"type": "category", "autorange": "reversed", "showgrid": False, "title": {"text": ""}}
    return {"data": data, "layout": layout}


def agreement_of(embeddings: Sequence[Embedding], rows: Rows, k: int) -> tuple[float, float]:
    """Mean neighbourhood agreement of a selection, and of all images, 0..1."""
    found = compare.neighbor_jaccard(embeddings[0].neighbors, embeddings[1].neighbors, k)
    return float(found[rows].mean()), float(found.mean())


def differing(embeddings: Sequence[Embedding], rows: Rows | None, k: int) -> list[tuple[int, int]]:
    """The five images of a selection (None: all) whose neighbourhoods differ most: row and number of shared ones."""
    first, second = (item.neighbors for item in embeddings)
    places = compare.differ_most(first, second, k, rows)
    common = compare.shared(first[places, :k], second[places, :k])
    return [(int(place), int(number)) for place, number in zip(places, common, strict=True)]


# --- the panel ------------------------------------------------------------------------------------------------------


def items_of(embedding: Embedding, rows: Sequence[int], opened: int) -> list[dict[str, Any]]:
    """The images of these rows, for `components.image_grid`."""
    found = []
    for row in rows:
        image = int(embedding.ids[row])
        name = f"Image {image}"
        if embedding.labels is not None:
            name = f"{embedding.classes[int(embedding.labels[row])]}, image {image}"
        found.append({"row": int(row), "id": image, "name": name, "open": image == opened})
    return found


def grid(embedding: Embedding, items: list[dict[str, Any]], key: str, **options: Any) -> None:
    image_grid(
        items,
        key,
        sheets=view.sheets_of(embedding),
        tile=map_images.tile_of(embedding.provenance["thumbnails"]),
        on_click=choice.open_clicked(key),
        **options,
    )


def panel(
    embeddings: Sequence[Embedding],
    sides: Sequence[Side],
    rows: Rows,
    opened: int,
    *,
    asked: Projection,
    k: int,
    judge: str,
) -> None:
    """Draws what is selected; without a selection, only where the models differ most.

    Args:
        opened: the number of the image that is open, -1 for none.
        asked: the maps that are shown.
    """
    first = embeddings[0]
    is_pair = len(embeddings) == 2
    if not len(rows):
        if is_pair:
            st.markdown("**Where the two differ most**")
            differing_row(embeddings, None, opened, k)
            st.caption(
                "Select images with the lasso or a search to see what they are and what each model takes them for, to "
                "tag them, and to take them along as a table or a folder."
            )
        return
    with st.container(border=True, key="embedding-selection"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            noun = "image" if len(rows) == 1 else "images"
            st.markdown(f"**{len(rows):,} {noun} selected**", width="content")
            st.caption(f"{fine_percent(len(rows) / first.num_images)} of all", width="content")
            selection_tools.tools(embeddings, asked, rows)
        left, right = st.columns([1.05, 1], gap="medium")
        with left:
            grid(first, items_of(first, rows[:MOST_IMAGES].tolist(), opened), GRID, max_height=300)
            if len(rows) > MOST_IMAGES:
                st.caption(f"The first {MOST_IMAGES} of {len(rows):,}; the export holds all.")
            if is_pair:
                own, all_images = agreement_of(embeddings, rows, k)
                text = (
                    f"Neighbourhood agreement here **{fine_percent(own)}**, over all images {fine_percent(all_images)}"
                )
                st.markdown(text, help=f"Mean Jaccard index of the {k} nearest neighbours in both models.")
        with right:
            if first.labels is not None:
                figure = class_mix(
                    embeddings, rows, judge, [side.title for side in sides], [side.color for side in sides]
                )
                num_bars = len(figure["data"]) * len(figure["data"][0]["y"])
                live_chart(figure, "embedding-mix", "Classes of the selection", height=min(520, 130 + 15 * num_bars))
            else:
                st.caption("These images have no classes.")
        if is_pair:
            st.markdown("**Of these, the neighbourhoods that differ most**")
            differing_row(embeddings, rows, opened, k)


def differing_row(embeddings: Sequence[Embedding], rows: Rows | None, opened: int, k: int) -> None:
    found = differing(embeddings, rows, k)
    first = embeddings[0]
    items = items_of(first, [row for row, _ in found], opened)
    most = min(k, *(item.neighbors.shape[1] for item in embeddings))
    for item, (row, number) in zip(items, found, strict=True):
        name = first.classes[int(first.labels[row])] if first.labels is not None else f"image {first.ids[row]}"
        item["caption"] = f"{name}\n{number} of {most} shared"
    grid(first, items, DIFFERING, side=84)


def neighbors(embeddings: Sequence[Embedding], sides: Sequence[Side], image: int, *, k: int, judge: str) -> None:
    """The open image and its neighbours in each model, beside maps that do not show them themselves."""
    first = embeddings[0]
    row = map_images.row_of(first.ids, image)
    if row < 0:
        return
    with st.container(border=True, key="embedding-open"):
        titles = [side.title for side in sides]
        about = view.facts(embeddings, titles, row, k, judge)
        grid(first, items_of(first, [row], image), "embedding-opened", side=96)
        words = [items_of(first, [row], image)[0]["name"], *(f"{name}: {text}" for name, text in about)]
        st.caption(escape.markdown(" · ".join(words)))
        near = view.nearest(embeddings, row, k)
        for place, (column, side) in enumerate(zip(st.columns(len(sides)), sides, strict=True)):
            with column:
                st.markdown(f"**Nearest in {escape.markdown(side.title)}**")
                entries = near[place][: view.MAX_SHOWN]
                items = items_of(first, [other for other, *_ in entries], image)
                for item, (other, similarity, is_shared) in zip(items, entries, strict=True):
                    name = first.classes[int(first.labels[other])] if first.labels is not None else ""
                    item |= {"caption": f"{similarity:.3f}\n{name}", "mark": is_shared, "open": False}
                grid(first, items, f"embedding-near-{place}", side=56)
        st.caption("Framed neighbours are shared by both models.")
