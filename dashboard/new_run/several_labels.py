"""The supervised runs that follow each pre-training of several: how they are trained, and with how many labels."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.shared import formats, forms
from simclr.config import ConfigError
from simclr.results import arms, wording

MOST_DRAWS = 20


def choose() -> None:
    """The arms; with one of them also how many labels they are trained with."""
    chosen = st.pills(
        "Supervised runs after each",
        arms.ARMS,
        selection_mode="multi",
        format_func=wording.ARM_NAMES.__getitem__,
        key="several-arms",
        persist_state="session",
        help="Each pre-training is followed by these on labelled images. From scratch has the same network and no "
        "pre-training: what they differ by is what it is worth.",
    )
    if not chosen:
        return
    st.pills(
        "Shares of the labels",
        arms.LABEL_FRACTIONS,
        selection_mode="multi",
        default=[arms.LABEL_FRACTIONS[0]],
        format_func=formats.fraction_text,
        key="several-fractions",
        persist_state="session",
        help="Each supervised run is trained once with each of these shares of the training labels.",
    )
    left, right = st.columns(2, gap="small")
    left.text_input(
        "Labels per class",
        key="several-per-class",
        persist_state="session",
        placeholder="1, 5, 10, 50",
        help="Numbers separated by commas, each from 1 to 1,000,000: so many labelled images of each class, beside or "
        "in place of the shares.",
    )
    right.number_input(
        "Draws",
        1,
        MOST_DRAWS,
        None,
        key="several-draws",
        persist_state="session",
        placeholder="By seed",
        help="How many times the labelled images are drawn for each seed. With few labels the draw matters more than "
        "the seed. Empty: the seed draws them, once.",
    )


def parts() -> dict[str, Any]:
    """What of a sweep file says the same; empty without an arm.

    Raises:
        ConfigError: if there is an arm and no number of labels.
    """
    chosen = st.session_state.get("several-arms")
    if not chosen:
        return {}
    fractions = list(st.session_state.get("several-fractions", [arms.LABEL_FRACTIONS[0]]))
    counts = forms.words("several-per-class")
    if not fractions and not counts:
        raise ConfigError("No number of labels is chosen; allowed: shares of the labels, labels per class or both.")
    found: dict[str, Any] = {"arms": list(chosen), "label_fractions": fractions, "labels_per_class": counts}
    if draws := st.session_state.get("several-draws"):
        found["subset_seeds"] = int(draws)
    return {name: value for name, value in found.items() if value}
