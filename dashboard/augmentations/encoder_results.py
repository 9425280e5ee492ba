"""What takes longer and is a job: which operations an encoder ignores, which factors can be read from it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.augmentations.encoder_choice import ChosenEncoder, choose_compared
from dashboard.augmentations.encoder_figures import (
    CURVES,
    FACTOR_TITLES,
    TITLES,
    curve_figure,
    factor_figure,
    switch_figure,
)
from dashboard.augmentations.encoder_state import VIEW
from dashboard.components import escape
from dashboard.components.live_chart import live_chart
from dashboard.shared import formats, store
from dashboard.shared.jobs import offer, progress
from simclr import runs
from simclr.analysis import factors, invariance, stored
from simclr.embeddings.references import Representation
from simclr.results import index
from simclr.views import sample_images

SCALES = {"relative": "Beside other images", "plain": "Plain cosine"}


def _results(
    kind: str, wanted: Sequence[ChosenEncoder], images: NDArray[np.uint8] | None, title: str, caption: str
) -> list[dict[str, Any]] | None:
    """What was computed for each encoder; None where something is missing, and then the job for it is shown.

    Raises:
        ConfigError: if one has no weights.
    """
    key = stored.images_key(images) if images is not None else ""
    models = [item.model for item in wanted]
    found = [stored.load(stored.result_path(model, kind, key)) for model in models]
    missing = [model for model, result in zip(models, found, strict=True) if result is None]
    if not missing:
        return [result for result in found if result is not None]
    job = stored.find_job(missing, kind, key, store.runs_dir())
    if job is not None and runs.current_status(job).is_active:
        progress(str(job), {item.model.run.id: item.title for item in wanted})
    else:
        offer(title, caption, job, lambda: stored.start_job(missing, kind, images, store.runs_dir()), key=f"lab-{kind}")
    return None


def encoders_text(number: int) -> str:
    return "1 encoder" if number == 1 else f"{number} encoders"


def took(kind: str) -> str:
    """How long the last measurement of this kind took on this machine; no promise where there was none."""
    last = stored.last_duration(kind, store.runs_dir())
    if last is None:
        return "How long that takes was not measured here yet; a bar shows how far it is."
    seconds, number = last
    return f"The last one here took {formats.duration(seconds)} for {encoders_text(number)}."


def _layers(results: Sequence[dict[str, Any]], layer: Representation) -> list[dict[str, Any]]:
    """Of each encoder the layer asked for, or h where it has no projector."""
    return [result["layers"].get(layer) or result["layers"]["h"] for result in results]


def _legend(wanted: Sequence[ChosenEncoder], results: Sequence[dict[str, Any]], layer: Representation) -> None:
    parts = []
    for item, result in zip(wanted, results, strict=True):
        note = " (h)" if layer not in result["layers"] else ""
        parts.append(
            '<span style="display:inline-flex;align-items:center;gap:.4rem;margin-right:1.2rem">'
            f'<span class="dot" style="width:.8rem;height:.8rem;border-radius:50%;flex:none;background:{item.color}">'
            "</span>"
            f"{html.escape(item.title)}{note}</span>"
        )
    st.html(f'<div style="font-size:.85rem">{"".join(parts)}</div>')


def draw_invariance(
    items: dict[str, index.Summary], choice: ChosenEncoder, layer: Representation, found: sample_images.SampleImages
) -> None:
    if len(found.ids) < 2:
        st.info("One image has no others to be compared with; choose a data set of two or more.")
        return
    wanted = choose_compared(items, choice)
    places = np.unique(np.linspace(0, len(found.ids) - 1, min(stored.MAX_PROFILE_IMAGES, len(found.ids))).astype(int))
    results = _results(
        "profile",
        wanted,
        found.images[places],
        "What these encoders ignore is not measured yet",
        f"Eight operations at up to six strengths on {len(places)} images of this data set, for "
        f"each of the encoders. {took('profile')} The result is kept with the runs.",
    )
    if results is None:
        return
    scale = (
        st.segmented_control(
            "Similarity",
            list(SCALES),
            format_func=SCALES.__getitem__,
            required=True,
            **VIEW.widget("scale", list(SCALES), "relative"),
        )
        or "relative"
    )
    shown = _layers(results, layer)
    _legend(wanted, results, layer)
    if sentence := extremes(shown[0]):
        st.markdown(escape.markdown(f"{choice.title} {sentence}"))
    for start in range(0, len(CURVES), 3):  # row by row, so that a phone shows them in this order too
        for column, operation in zip(st.columns(3, gap="medium"), CURVES[start : start + 3], strict=True):
            with column:
                figure = curve_figure(operation, wanted, shown, scale)
                live_chart(figure, f"lab-curve-{operation}", f"Similarity: {TITLES[operation][0]}", height=220)
    left, _ = st.columns([2, 1], gap="medium")
    with left:
        live_chart(
            switch_figure(wanted, shown, scale),
            "lab-switches",
            "Similarity after a flip, a grey image and others",
            height=240,
        )


def extremes(measured: dict[str, Any]) -> str:
    """Which operation changes the features least and which most, on the average of its strengths; empty without."""
    means = {
        operation: invariance.relative(float(np.mean(values)), measured["others"])
        for operation, values in measured["curves"].items()
    }
    known = {operation: value for operation, value in means.items() if value is not None}
    if not known:
        return ""
    best, worst = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
    return (
        f"ignores {TITLES[best][0].lower()} best ({known[best]:.2f}) and reacts most to "
        f"{TITLES[worst][0].lower()} ({known[worst]:.2f}; 1 is unchanged, 0 like another image)."
    )


def draw_factors(items: dict[str, index.Summary], choice: ChosenEncoder, layer: Representation) -> None:
    wanted = choose_compared(items, choice)
    strangers = [
        item.title
        for item in wanted
        if item.model.what != "untrained" and str(item.model.run.config.get("dataset")) != "shapes"
    ]
    if strangers:
        st.caption(
            escape.markdown(
                f"Factors are known of the generated shapes alone; {', '.join(strangers)} never trained on them."
            )
        )
    results = _results(
        "factors",
        wanted,
        None,
        "What can be read from these features is not measured yet",
        f"Features of {factors.NUM_TRAIN + factors.NUM_TEST:,} generated shapes, and a linear map for each factor, for "
        f"each of the encoders. {took('factors')} The result is kept with the runs.",
    )
    if results is None:
        return
    shown = _layers(results, layer)
    _legend(wanted, results, layer)
    live_chart(factor_figure(wanted, shown), "lab-factors", "What is read from the features", height=340)
    heads = [
        "Factor",
        *(
            escape.markdown(item.title + (" (h)" if layer not in result["layers"] else ""))
            for item, result in zip(wanted, results, strict=True)
        ),
    ]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * len(wanted)}"]
    for name in factors.FACTORS:
        values = [formats.percent(each[name]) if name == "shape" else formats.two_digits(each[name]) for each in shown]
        lines.append(f"| {FACTOR_TITLES[name]}{', accuracy' if name == 'shape' else ', R²'} | {' | '.join(values)} |")
    st.html("<style>.st-key-lab-table [data-testid=stMarkdownContainer] { overflow-x: auto; }</style>")
    with st.container(key="lab-table"):  # on a phone it scrolls by itself
        st.markdown("\n".join(lines))
