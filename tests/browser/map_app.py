"""A page with nothing but the maps, for the tests of the component; the address says how many images and which kind."""

from __future__ import annotations

import base64
import io
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE, COLUMNS = 8, 50
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
COLORS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
NUM_FRAMES = 6


def sheets(num_images: int) -> list[bytes]:
    """One PNG with a tile of a single colour per image: red and green count the images."""
    found = []
    for first in range(0, num_images, COLUMNS * COLUMNS):
        rows = np.arange(first, min(num_images, first + COLUMNS * COLUMNS))
        height = -(-len(rows) // COLUMNS)
        pixels = np.zeros((height * COLUMNS, 3), np.uint8)
        pixels[: len(rows)] = np.stack([rows // 256 % 256, rows % 256, np.full(len(rows), 90)], axis=1)
        tiles = pixels.reshape(height, 1, COLUMNS, 1, 3).repeat(SIDE, 1).repeat(SIDE, 3)
        stream = io.BytesIO()
        Image.fromarray(tiles.reshape(height * SIDE, COLUMNS * SIDE, 3)).save(stream, "png")
        found.append(stream.getvalue())
    return found


def example(num_images: int, num_panels: int = 2, kind: str = "class", has_frames: bool = False) -> dict[str, Any]:
    """Ten clusters on a circle; on the right the same ones turned by a right angle and less clear."""
    generator = np.random.default_rng(0)
    labels = np.arange(num_images) % len(CLASSES)
    angle = 2 * np.pi * labels / len(CLASSES)
    centers = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    left = centers + 0.12 * generator.normal(size=(num_images, 2))
    right = np.stack([-centers[:, 1], centers[:, 0]], axis=1) + 0.25 * generator.normal(size=(num_images, 2))
    panels: list[dict[str, Any]] = []
    for title, points in (("SimCLR", left), ("<b>From scratch</b>", right))[:num_panels]:
        stats = [{"value": "91.2 %", "label": "kNN accuracy", "help": "Share of images"}]
        panel: dict[str, Any] = {"title": title, "subtitle": "resnet18", "stats": stats, "note": ""}
        if has_frames:
            start = generator.normal(size=(num_images, 2))
            panel["frames"] = np.stack([start + (points - start) * part for part in np.linspace(0, 1, NUM_FRAMES)])
        else:
            panel["points"] = points
        panels.append(panel)
    color: dict[str, Any] = {"label": "Class", "kind": "class", "names": CLASSES, "colors": COLORS, "values": labels}
    if kind == "right":  # differs between the models
        values = [(generator.random(num_images) < share).astype(int) for share in (0.1, 0.4)]
        color = {
            "label": "Prediction",
            "kind": "category",
            "names": ["right", "wrong"],
            "colors": ["#3f90da", "#e76300"],
            "values": values[:num_panels],
        }
    elif kind != "class":
        values = generator.random(num_images)
        values[0] = np.nan
        color = {"label": "Agreement", "kind": kind, "names": [], "colors": [], "values": values}
    search = {
        "fields": [
            {"name": "hue", "label": "Hue of the shape", "values": np.linspace(0, 1, num_images)},
            {"name": "size", "label": "Size", "values": np.array(["small", "", "large"])[np.arange(num_images) % 3]},
        ],
        "files": [f"{CLASSES[label]}/{row:05d}.png" for row, label in enumerate(labels)],
        "tags": {"first ones": np.arange(7)},
    }
    return {
        "search": search,
        "panels": panels,
        "ids": 3 * np.arange(num_images),
        "labels": labels,
        "classes": [{"name": name, "color": color} for name, color in zip(CLASSES, COLORS, strict=True)],
        "color": {"low": 0.0, "high": 1.0, **color},
        "tile": {"side": SIDE, "columns": COLUMNS, "per_sheet": COLUMNS * COLUMNS},
        "split": "test",
        "frame_names": [str(10 * frame) for frame in range(NUM_FRAMES)],
        "frame_label": "Epoch",
    }


def page() -> None:
    import streamlit as st

    from dashboard.components.embedding_map import MapState, embedding_map, read_state, selected_rows

    st.set_page_config(layout="wide")
    query = st.query_params
    num_images = int(query.get("n", "1000"))

    @st.cache_resource
    def data(num_images: int, *options: Any) -> dict[str, Any]:
        addresses = ["data:image/png;base64," + base64.b64encode(sheet).decode() for sheet in sheets(num_images)]
        return {**example(num_images, *options), "sheets": addresses}

    @st.fragment
    def maps() -> None:
        shown = data(num_images, int(query.get("panels", "2")), query.get("kind", "class"), "frames" in query)
        start = MapState(
            image=int(query.get("image", "-1")),
            frame=int(query.get("frame", "0")),
            selection=selected_rows(query.get("selection", ""), num_images),
            search=query.get("search", ""),
            drawing=query.get("drawing", "points"),
        )
        token = str(st.session_state.get("cleared", "link"))
        begun = start if token == "link" else MapState()
        state = read_state("maps", shown["ids"], begun, token)
        details = None
        if state.image >= 0:
            row = state.image // 3
            near = [[(row + step) % num_images, 1 - step / 100] for step in range(10, 90, 10)]
            details = {"index": row, "facts": [["Size", "0.5"]], "neighbors": [near] * len(shown["panels"])}
        embedding_map(shown, "maps", start=begun, token=token, details=details)
        runs = st.session_state["runs"] = st.session_state.get("runs", 0) + 1
        st.text(
            f"run {runs} · selected {len(state.selection)} · first {state.selection[:1].tolist()} "
            f"· image {state.image} · frame {state.frame} · hidden {list(state.hidden)} "
            f"· zoom {[round(each[0], 2) for each in state.zoom]} · search {state.search!r} · drawn as {state.drawing}"
        )
        if st.button("Clear from the server"):
            st.session_state["cleared"] = time.monotonic()
            st.rerun(scope="fragment")

    maps()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    page()
