"""What can be taken away from the Embeddings page: coordinates as tables, and the comparison as one HTML file."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components.embedding_map import MapState
from dashboard.components.embedding_map.standalone import standalone_html
from dashboard.embeddings import choice, searching, view
from dashboard.embeddings.choice import Side
from dashboard.shared import ui
from simclr.embeddings import tables
from simclr.embeddings.projections import Projection
from simclr.embeddings.stored import Embedding
from simclr.files.names import readable


def table(
    embeddings: Sequence[Embedding],
    asked: Projection,
    kind: str,
    selection: NDArray[np.int64],
    *,
    only_selected: bool = False,
    paths: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
) -> bytes:
    """Coordinates, classes, predictions and ids of all images as `csv` or `parquet`; maps lie as they are shown.

    Args:
        only_selected: the rows of `selection` alone.
        paths, tags: (N,) the file and the tags of each image, where there are any.
    """
    frame = tables.table(embeddings, asked, points=view.maps(embeddings, asked))
    if paths is not None:
        frame.insert(1, "file", [readable(path) for path in paths])
    if tags is not None:
        about = [name for name in frame.columns if name in ("id", "file", "class") or ":" in name]
        frame.insert(len(about), "tags", list(tags))
    if only_selected:
        frame = frame.iloc[selection]
    else:
        frame["selected"] = np.isin(np.arange(len(frame)), selection)
    stream = io.BytesIO()
    (tables.write_csv if kind == "csv" else tables.write_parquet)(frame, stream)
    return stream.getvalue()


def page_of(
    embeddings: Sequence[Embedding], data: dict[str, Any], title: str, description: str, k: int, state: MapState
) -> str:
    """The maps as an HTML file that needs neither server nor network, with neighbours for every image."""
    k = min(k, view.MAX_SHOWN)
    panels = [
        {**panel, "neighbors": item.neighbors[:, :k], "similarities": item.similarities[:, :k]}
        for panel, item in zip(data["panels"], embeddings, strict=True)
    ]
    return standalone_html({**data, "panels": panels}, title, embeddings[0].sheets, description, state)


def menu(
    place: Any,
    embeddings: Sequence[Embedding],
    sides: Sequence[Side],
    asked: Projection,
    data: Callable[[], dict[str, Any]],
    *,
    verdict: str,
    key: str,
    k: int,
) -> None:
    """The menu with all downloads; each is made when it is asked for.

    Args:
        data: of the two maps, as the component takes them. verdict: what the numbers say. key: of the component.
    """
    name = "-".join(["embeddings", asked.text.replace(":", "-").replace("=", "-")])
    shown = choice.shown()

    def chosen() -> MapState:
        return shown.get(key, MapState())

    def content(kind: str) -> bytes:
        return table(embeddings, asked, kind, chosen().selection, **searching.file_columns(embeddings[0]))

    titles = " and ".join(side.title for side in sides)
    with place.popover("Export", icon=":material/download:", key="embedding-export"):
        for kind, label, mime in (
            ("csv", "Table as CSV", "text/csv"),
            ("parquet", "Table as Parquet", "application/vnd.apache.parquet"),
        ):
            ui.download(
                label,
                partial(content, kind),
                file_name=f"{name}.{kind}",
                mime=mime,
                key=f"embedding-{kind}",
                icon=":material/table:",
                width="stretch",
                help="One row for each image: number, file, class, tags, factors, where it lies on both maps, "
                "predictions, agreement, and whether it is selected.",
            )
        if asked.dims == 2:
            ui.download(
                "Comparison as one HTML file",
                lambda: page_of(embeddings, data(), titles, verdict, k, chosen()),
                file_name=f"{name}.html",
                mime="text/html",
                key="embedding-html",
                icon=":material/code:",
                width="stretch",
                help="Both maps with all images in one file that opens in any browser, without a network.",
            )
            st.caption("Pictures: the buttons PNG and SVG above the maps.")
        else:
            st.caption("Pictures: the camera above each map. The plane maps can be saved as one HTML file.")
