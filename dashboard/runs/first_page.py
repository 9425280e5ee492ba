"""The Runs page before the first run: what this is, in a sentence, a button and a picture that moves."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components.embedding_map import MapState, embedding_map, read_state
from dashboard.components.table import table
from dashboard.maps import race_films
from dashboard.shared import formats, forms, palette, run_labels, store, ui, url_state
from simclr import config as cfg
from simclr.experiments import race
from simclr.results import index

MAX_ROWS = 200
PICTURE, PICTURE_METHOD, PICTURE_SPEED = "race-picture", "tsne", 4  # of the shipped race; frames a second

COLUMNS: list[dict[str, Any]] = [
    {"key": "name", "label": "Run"},
    {"key": "state", "label": "State"},
    {"key": "kind", "label": "Kind", "rank": 2},
    {"key": "data", "label": "Data", "rank": 2},
    {"key": "backbone", "label": "Backbone", "rank": 3},
    {"key": "epochs", "label": "Epochs", "align": "right", "rank": 2},
    {
        "key": "accuracy",
        "label": "Accuracy",
        "align": "right",
        "help": "Test accuracy; for a pre-training the best kNN accuracy on validation images.",
    },
    {
        "key": "loss",
        "label": "Loss",
        "align": "right",
        "rank": 3,
        "help": "The newest validation loss, else training loss.",
    },
    {"key": "duration", "label": "Duration", "align": "right", "rank": 3},
    {"key": "created", "label": "Started", "align": "right", "rank": 2},
]


def row(summary: index.Summary) -> dict[str, Any]:
    """One run as a row of the table; it leads to the run's own page by id."""
    status = summary.status
    seconds = index.elapsed(status)
    sub = ""
    if summary.arm:
        sub = run_labels.arm_text(summary)
    elif summary.name != summary.id:
        sub = index.short_id(summary.id)
    if summary.is_example:
        sub = f"Example · {sub}" if sub else "Example"
    return {
        "href": url_state.address("run", id=summary.id),
        "name": {"text": summary.title, "title": summary.id, "sub": sub},
        "state": {
            "text": run_labels.STATE_LABELS[summary.state],
            "state": palette.STATE_COLORS[summary.state],
            "sub": status.reason if status.state in ("failed", "queued") else "",
        },
        "kind": {"text": run_labels.KIND_LABELS[summary.kind]},
        "data": {"text": summary.dataset or "–"},
        "backbone": {"text": summary.backbone or "–"},
        "epochs": {"text": f"{status.epoch} / {status.epochs}" if status.epochs else "–", "sort": status.epoch},
        "accuracy": {
            "text": formats.percent(summary.accuracy),
            "sort": summary.accuracy,
            "strong": True,
            "sub": "" if summary.accuracy is None else "val kNN" if summary.kind == "pretrain" else "test",
        },
        "loss": {"text": formats.decimal(summary.loss), "sort": summary.loss},
        "duration": {"text": formats.duration(seconds), "sort": seconds},
        "created": {"text": formats.ago(summary.created), "sort": summary.created},
    }


def examples(found: list[index.Summary]) -> None:
    """The shipped runs, on the first page of someone who has none yet."""
    st.space("small")
    st.header("Or look at finished ones first", anchor=False)
    st.caption("These ship with it. Open one for its curves, or compare them under Curves, Results and Embeddings.")
    table(COLUMNS, [row(item) for item in found[:MAX_ROWS]], key="examples")


def empty(found: list[index.Summary]) -> None:
    """Before the first run: what this is, in a sentence, a button and a picture that moves."""
    st.title("Train a network without labels, and see what it learned", anchor=False)
    st.markdown(
        "SimCLR teaches a network to recognize two distorted views of one image, without being told what is in it. "
        "Watch it beside the same network trained from scratch on a few labels."
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.button("Start the race", type="primary", icon=":material/flag:", key="first-race"):
            first_race()
        if st.button("Start a run of your own", icon=":material/add_circle:", key="first-run"):
            if "quick" in cfg.recipe_names():
                forms.prefill("pretrain", {}, "quick")
            url_state.go("new-run")
        st.caption("Some three minutes on two processor cores, on images that ship with it.", width="content")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("To learn how it works: three questions, ten minutes each.", width="content")
        st.page_link("lessons/page.py", label="Lessons", icon=":material/school:", width="content")
    picture(found)


def first_race() -> None:
    """Starts SimCLR and from scratch side by side, and shows them."""
    with ui.report_errors():
        started = race.start("quick", store.runs_dir())
        url_state.go("race", id=started.scratch.id)


@st.fragment
def picture(found: list[index.Summary]) -> None:
    """The shipped race, playing."""
    shipped = race.list_races(found, store.runs_dir(), shipped=True)
    frames = race_films.frames_of(shipped[0], PICTURE_METHOD) if shipped else None
    if frames is None:
        return
    last = len(frames.seen) - 1
    state = read_state(PICTURE, frames.films[0].ids, MapState(frame=last), PICTURE)
    data = race_films.payload(shipped[0], frames, last) | {"plays": PICTURE_SPEED}
    details = race_films.details(frames, min(max(0, state.frame), last), state.image)
    embedding_map(data, PICTURE, start=MapState(frame=last), token=PICTURE, details=details)
    st.caption(
        f"A finished race: each point is one of {frames.films[0].num_images:,} validation images, its colour the shape "
        f"that it shows. Neighbours are right for {100 * (frames.right(0, last) or 0):.0f} % of them under SimCLR, for "
        f"{100 * (frames.right(1, last) or 0):.0f} % from scratch on {frames.films[1].about.get('num_labels')} labels."
    )
