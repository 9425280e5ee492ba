"""What a run's image and text encoder know together, beside guessing."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.components.table import table
from dashboard.shared import formats
from simclr.files.safe_read import finite_number
from simclr.runs import Run
from simclr.words import wording

COLUMNS = [
    {"key": "label", "label": "Found by words alone", "sortable": False, "wrap": True},
    {"key": "value", "label": "Right", "align": "right", "sortable": False},
    {"key": "chance", "label": "Guessing", "align": "right", "sortable": False},
]


def section(run: Run) -> None:
    """The table; nothing where such figures were not measured."""
    evaluation = run.evaluation
    if not (rows := wording.rows_of(evaluation)):
        return
    about = wording.about_of(evaluation)
    with st.container(border=True, key="words"):
        text = about.get("text")
        st.markdown("**Words and images: test images**", help=escape.markdown(text) if isinstance(text, str) else None)
        if (temperature := finite_number(about.get("temperature"))) is not None:
            st.caption(f"No label is used. The temperature was learned: {temperature:.3g}.")
        lines = [
            {
                "label": {"text": row.label, "strong": row.name == "held_out_pair"},
                "value": {"text": formats.percent(row.value), "strong": row.name == "held_out_pair"},
                "chance": {"text": formats.percent(row.chance)},
            }
            for row in rows
        ]
        table(COLUMNS, lines, key=f"words-{run.id}")
