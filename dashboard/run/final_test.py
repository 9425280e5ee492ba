"""What a run's final test found: per class, what was taken for what, and what was found by words alone."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.components.confusion_matrix import confusion_matrix
from dashboard.components.live_chart import live_chart
from dashboard.components.table import table
from dashboard.run import figures
from dashboard.shared import formats
from simclr.files import safe_read
from simclr.results import confusion
from simclr.runs import Run
from simclr.words import wording

MOST_BESIDE = 13  # columns of a matrix that has half of the page
MOST_HEIGHT = 620  # pixels; more classes are scrolled
WORD_COLUMNS = [
    {"key": "label", "label": "Found by words alone", "sortable": False, "wrap": True},
    {"key": "value", "label": "Right", "align": "right", "sortable": False},
    {"key": "chance", "label": "Guessing", "align": "right", "sortable": False},
]


def words(run: Run) -> None:
    """The table; nothing where such figures were not measured."""
    evaluation = run.evaluation
    if not (rows := wording.rows_of(evaluation)):
        return
    about = wording.about_of(evaluation)
    with st.container(border=True, key="words"):
        text = about.get("text")
        st.markdown("**Words and images: test images**", help=escape.markdown(text) if isinstance(text, str) else None)
        if (temperature := safe_read.finite_number(about.get("temperature"))) is not None:
            st.caption(f"No label is used. The temperature was learned: {temperature:.3g}.")
        lines = [
            {
                "label": {"text": row.label, "strong": row.name == "held_out_pair"},
                "value": {"text": formats.percent(row.value), "strong": row.name == "held_out_pair"},
                "chance": {"text": formats.percent(row.chance)},
            }
            for row in rows
        ]
        table(WORD_COLUMNS, lines, key=f"words-{run.id}")


def measured(run: Run) -> list[tuple[str, float]]:
    """Each class with its share of test images that were right; empty where that was not measured."""
    classes, per_class = run.evaluation.get("classes"), run.evaluation.get("per_class")
    if not isinstance(classes, list) or not isinstance(per_class, list) or len(classes) != len(per_class):
        return []
    numbers = map(safe_read.finite_number, per_class)
    return [(str(name), number) for name, number in zip(classes, numbers, strict=True) if number is not None]


def is_there(run: Run) -> bool:
    return bool(measured(run) or wording.rows_of(run.evaluation))


def section(run: Run) -> None:
    """All that was found on the test images."""
    words(run)
    classes(run)


def classes(run: Run) -> None:
    """Per class, and what was taken for what."""
    if not (shares := measured(run)):
        return
    found = run.evaluation
    names = [str(name) for name in found["classes"]]
    matrix = confusion.readable(names, found.get("confusion") or [])
    beside = matrix is not None and len(matrix.columns) <= MOST_BESIDE
    left, right = st.columns([0.42, 0.58], gap="small") if beside else (st.container(), st.container())
    with left.container(border=True, height="stretch"):
        is_probe = run.kind == "pretrain"
        st.markdown("**Linear probe: test accuracy by class**" if is_probe else "**Test accuracy by class**")
        st.caption(escape.markdown(budget_sentence(found)))
        height = figures.per_class_height(len(shares))
        with st.container(height=MOST_HEIGHT if height > MOST_HEIGHT else "content", border=False):
            figure = figures.per_class([name for name, _ in shares], [value for _, value in shares], "primary")
            live_chart(figure, f"classes-{run.id}", "Test accuracy by class", height=height)
    if matrix is not None:
        with right.container(border=True, height="stretch"):
            st.markdown("**What was taken for what**")
            st.caption(matrix_caption(matrix))
            confusion_matrix(matrix, key=f"confusion-{run.id}")


def matrix_caption(matrix: confusion.Confusion) -> str:
    text = "Rows: the true class; columns: the answer; per cent of each row, blue where it is right."
    if matrix.num_classes > len(matrix.rows):
        text += (
            f" Of {matrix.num_classes} classes these {len(matrix.rows)} are in the most frequent confusions; the last "
            "column holds all other answers."
        )
    return text


def budget_sentence(found: dict) -> str:
    parts = []
    if safe_read.finite_number(found.get("num_labels")) is not None:
        parts.append(f"{formats.thousands(found['num_labels'])} labels")
    if safe_read.finite_number(found.get("num_test_images")) is not None:
        parts.append(f"{formats.thousands(found['num_test_images'])} test images")
    if isinstance(found.get("budget"), str):
        parts.append(found["budget"])
    return " · ".join(parts)
