"""Gallery: every part that pages are made of, in each of its states; with made values, for those who change its look.

No page leads here, `/gallery` does. Tests keep its pictures.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import streamlit as st

from dashboard.components.confusion_matrix import confusion_matrix
from dashboard.components.live_chart import live_chart
from dashboard.components.run_diagram import run_diagram
from dashboard.components.run_picker import run_picker
from dashboard.components.setting_grid import setting_grid
from dashboard.components.similarity_matrix import similarity_matrix
from dashboard.components.sparkline import sparkline
from dashboard.components.table import table
from dashboard.gallery.made import curve, picture, rows_of_runs, stages
from dashboard.shared import figures, formats, palette, run_labels, ui
from simclr.results import confusion, wording

CLASSES = ["circle", "ring", "square", "triangle"]
COLUMNS: list[dict[str, Any]] = [
    {"key": "run", "label": "Run"},
    {"key": "state", "label": "State"},
    {"key": "accuracy", "label": "Accuracy", "align": "right"},
    {"key": "gain", "label": "Against scratch", "align": "right", "rank": 2},
]


def words() -> None:
    st.header("Words", anchor=False)
    st.markdown("Text of a page. **Strong**, `code`, a [link](gallery), :gray[grey], :small[small].")
    st.caption("A caption, with a number: 18,000 images, 88.5 %, −2.1 points, 3 min 05 s.")
    with st.container(horizontal=True, gap="small"):
        for state, color in palette.STATE_COLORS.items():
            st.badge(run_labels.STATE_LABELS[state], color=color)
    st.error("What was wrong, which value, what is allowed.", icon=":material/error:")
    st.warning("What may be wrong, and what to do about it.", icon=":material/warning:")
    st.info("What is good to know here.", icon=":material/info:")
    st.success("What has been done.", icon=":material/check_circle:")


def controls() -> None:
    st.header("Controls", anchor=False)
    with st.container(horizontal=True, gap="small"):
        st.button("Start", type="primary", icon=":material/play_arrow:", key="gallery-primary")
        st.button("Clone", icon=":material/content_copy:", key="gallery-second")
        st.button("Dismiss", type="tertiary", key="gallery-third")
        st.button("Not now", disabled=True, key="gallery-disabled")
        st.button("Start", type="primary", disabled=True, key="gallery-primary-disabled")
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.text_input("Name", "jitter off", key="gallery-text", width=180, help="What the help of a field says.")
        st.number_input("Epochs", 1, 100, 20, key="gallery-number", width=150)
        st.selectbox("Data set", ["shapes", "cifar10"], key="gallery-choice", width=150)
        st.multiselect("Metrics", ["Loss", "kNN"], ["Loss"], key="gallery-several", width=200)
        st.segmented_control("Labels used", ["1 %", "10 %"], default="1 %", key="gallery-segments")
        st.toggle("Log y", key="gallery-toggle")
    st.slider("Smoothing", 0.0, 0.99, 0.3, key="gallery-slider", width=240)


def numbers() -> None:
    st.header("Numbers and progress", anchor=False)
    with st.container(border=True, key="gallery-facts", horizontal=True, horizontal_alignment="distribute"):
        for label, value in (("Epoch", "8 of 20"), ("Images per second", "1,612"), ("Time left", "34 s")):
            st.metric(label, value, width="content")
        st.metric("Frozen encoder", "40.2 %", "+27.5 pp against from scratch", width="content")
        st.metric("Fine-tuned", formats.percent(None), width="content")
    st.progress(0.4, text="Training")
    sparkline([math.sin(number / 5) + number / 20 for number in range(60)], "A line", key="gallery-line")


def tables() -> None:
    st.header("Tables", anchor=False)
    table(COLUMNS, rows_of_runs(), key="gallery-table", sort="-accuracy")
    st.caption("Without a row:")
    table(COLUMNS, [], key="gallery-no-rows")
    left, right = st.columns(2, gap="medium")
    with left:
        st.caption("What was taken for what")
        counts = [[90, 8, 2, 0], [4, 96, 0, 0], [9, 0, 80, 11], [0, 0, 0, 0]]
        if (found := confusion.readable(CLASSES, counts)) is not None:
            confusion_matrix(found, key="gallery-confusion")
    with right:
        st.caption("Settings of two options, of which one has not ended")
        cell = [{"text": f"{70 + 3 * place} %", "sub": "± 1.2", "value": place / 3} for place in range(3)]
        setting_grid(
            ["0.1", "0.2"], ["crop", "jitter"], [[cell[0], cell[1]], [cell[2] | {"best": True}, None]], "gallery-grid"
        )


def charts() -> None:
    st.header("Charts", anchor=False)
    shown = {name: figures.layout("Epoch", percent=True, legend=name == "arms") for name in ("arms", "one", "none")}
    arms = [
        figures.line_trace(*curve(number), wording.ARM_NAMES[arm], color, percent=True)
        for number, (arm, color) in enumerate(palette.ARM_COLORS.items())
        if arm in wording.ARM_NAMES
    ]
    one = [figures.line_trace([1], [0.4], "kNN", "primary", percent=True)]
    for column, (name, data) in zip(
        st.columns(3, gap="small"), (("arms", arms), ("one", one), ("none", [])), strict=True
    ):
        title = {"arms": "Each arm in its colour", "one": "A first point", "none": "Nothing yet"}[name]
        with column.container(border=True, gap=None):
            st.markdown(f"**{title}**")
            live_chart({"data": data, "layout": shown[name]}, f"gallery-chart-{name}", title, height=240)


def pictures() -> None:
    st.header("A method in pictures", anchor=False)
    for state in ("done", "empty"):
        with st.container(border=True):
            run_diagram(stages(state == "done"), f"gallery-diagram-{state}", wanted=False, on_wanted=lambda: None)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(8, 6)) + np.repeat(rng.normal(size=(4, 6)) * 2, 2, axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity_matrix(
        vectors @ vectors.T,
        titles=[f"image {number}" for number in range(4)],
        sprite=picture(8),
        columns=8,
        marks=[],
        temperature=0.2,
        revision="made",
        key="gallery-similarities",
    )


def lists() -> None:
    st.header("Runs to choose from", anchor=False)
    items = [
        {
            "id": f"made-{number}",
            "title": f"From scratch, 10 % of the labels, seed {number}",
            "sub": "From scratch · shapes",
            "words": f"scratch shapes seed {number}",
            "color": palette.PALETTE[number],
            "dash": "solid",
            "active": number == 2,
            "experiment": "made",
            "section": None,
        }
        for number in range(3)
    ]
    for column, (name, shown) in zip(st.columns(3, gap="medium"), (("some", items), ("none", [])), strict=False):
        with column:
            run_picker(shown, ["made-0"] if shown else [], key=f"gallery-picker-{name}", most=10)


def page() -> None:
    ui.head("Gallery", "All parts of pages in their states, with made values: no run and no result.")
    for part in (words, controls, numbers, tables, charts, pictures, lists):
        part()


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
