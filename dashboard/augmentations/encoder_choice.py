"""Which encoder is asked, and which others stand beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from dashboard.augmentations.encoder_state import VIEW
from dashboard.shared import asked, palette, run_labels, store, url_state
from simclr import runs
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef, Representation
from simclr.results import arms, index

MOST_ENCODERS = 5
UNTRAINED_LABEL = "Before training"


# --- encoders -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChosenEncoder:
    """An encoder as the page calls it."""

    model: EncoderRef
    title: str
    color: str


def encoder_title(item: index.Summary, weights: str) -> str:
    name = run_labels.label(item)
    if weights == references.UNTRAINED:
        return f"{name}, before training"
    return name + (f", {run_labels.checkpoint_label(weights).lower()}" if weights else "")


def model_of(run: runs.Run, weights: str) -> EncoderRef:
    return (
        EncoderRef(run, "untrained") if weights == references.UNTRAINED else EncoderRef(run, checkpoint=weights or None)
    )


def weights_label(weights: str) -> str:
    return UNTRAINED_LABEL if weights == references.UNTRAINED else run_labels.checkpoint_label(weights)


def has_data(item: index.Summary, dataset: str) -> bool:
    return item.dataset == index.short_dataset(dataset)


def choose_encoder(
    items: dict[str, index.Summary], dataset: str, show: str
) -> tuple[ChosenEncoder, Representation] | None:
    """The widgets of the encoder: run, weights, layer."""
    first = next((item for item in items.values() if has_data(item, dataset)), next(iter(items.values())))
    if (named := VIEW["encoder"]) not in (None, "", *items):
        why = asked.why_not(str(named)) or "has no weights yet"
        url_state.say_instead("encoder", str(named), why, run_labels.label(first))
        VIEW["encoder"] = first.id
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="lab-choice"):
        run_id = st.selectbox(
            "Encoder",
            list(items),
            format_func=lambda name: run_labels.label(items[name]),
            **VIEW.widget("encoder", list(items), first.id),
            width=330,
            help="Runs with weights: pre-trainings, fine-tunings and trainings from scratch.",
        )
        run = store.find(run_id)
        if run is None:
            st.error("This run is not there any more.", icon=":material/error:")
            return None
        options = ["", *references.checkpoints_of(run), references.UNTRAINED]
        weights = (
            st.selectbox(
                "Weights",
                options,
                format_func=weights_label,
                **VIEW.widget("weights", options, ""),
                width=190,
                help="Of which moment of the training.",
            )
            or ""
        )
        model = model_of(run, weights)
        layers = list(references.layers_of(model))
        # The loss compares z; other encoders can only be compared in h.
        name, first_layer = ("layer", "z") if show in ("pairs", "batch") else ("compared_layer", "h")
        layer: Representation = "h"
        if len(layers) > 1:
            layer = (
                st.segmented_control(
                    "Layer",
                    layers,
                    required=True,
                    **VIEW.widget(name, layers, first_layer),
                    format_func=lambda layer: {"h": "Features h", "z": "Projections z"}[layer],
                    help="The loss compares projections z; the features h are kept after training.",
                )
                or "h"
            )
    return ChosenEncoder(model, encoder_title(items[run_id], weights), store.colors(items)[run_id]), layer


# --- what an encoder ignores, and what it has forgotten -------------------------------------------------------------


def comparisons(items: dict[str, index.Summary], choice: ChosenEncoder) -> dict[str, ChosenEncoder]:
    """What can be compared: the chosen weights, the network before training, other moments of it, all other runs."""
    found = {"": choice}
    run = choice.model.run
    if choice.model.what != "untrained":
        found[references.UNTRAINED] = ChosenEncoder(EncoderRef(run, "untrained"), "Before training", "")
    own = items[run.id]
    for weights in ["", *references.checkpoints_of(run)] if choice.model.what == "weights" else []:
        if weights != (choice.model.checkpoint or ""):
            found[f"{run.id}@{weights}"] = ChosenEncoder(model_of(run, weights), encoder_title(own, weights), "")
    for item in items.values():
        other = store.find(item.id)
        if other is not None and (item.id != run.id or choice.model.what == "untrained"):
            found[item.id] = ChosenEncoder(model_of(other, ""), encoder_title(item, ""), "")
    return found


def choose_compared(items: dict[str, index.Summary], choice: ChosenEncoder) -> list[ChosenEncoder]:
    """The chosen encoder and those to set beside it, each with a colour of its own."""
    options = comparisons(items, choice)
    partner = next(
        (
            item.id
            for item in items.values()
            if item.kind == "scratch" and item.id in options and arms.belongs_to(item, items[choice.model.run.id])
        ),
        None,
    )
    others = [name for name in options if name]
    default = [name for name in (references.UNTRAINED, partner) if name in options]
    named = VIEW["against"]
    if named is None or any(name not in others for name in named):
        known = [name for name in named or () if name in others]
        if VIEW.was_asked("against"):
            for name in [name for name in named or () if name and name not in others]:
                why = asked.why_not(name.partition("@")[0]) or "cannot stand beside it"
                url_state.say_instead("against", name, why, "the others" if known else "the usual ones")
        VIEW["against"] = (known or default)[: MOST_ENCODERS - 1]
    picked = st.multiselect(
        "Beside it",
        others,
        format_func=lambda name: options[name].title,
        max_selections=MOST_ENCODERS - 1,
        help="Other encoders for the same images: the same network before training, trained from scratch, other runs.",
        **VIEW.widget("against"),
    )
    wanted = [choice, *(options[name] for name in picked)]
    own = store.colors([item.model.run.id for item in wanted])
    taken: list[str] = []
    for item in wanted:
        color = (
            run_labels.OTHER_COLORS[references.UNTRAINED]
            if item.model.what == "untrained"
            else (own[item.model.run.id])
        )
        free = [each for each in palette.PALETTE if each not in taken]
        taken.append(color if color not in taken else free[0])
    return [replace(item, color=color) for item, color in zip(wanted, taken, strict=True)]
