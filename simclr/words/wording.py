"""Figures of words and images in words, for commands and pages (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from simclr.files.safe_read import finite_number

LABELS = {
    "zeroshot_top1": "Shape, by its name",
    "zeroshot_color": "Colour, by its name",
    "zeroshot_pair": "Colour and shape together",
    "seen_pair": "Colour and shape, combinations that were trained on",
    "held_out_pair": "Colour and shape, combinations never seen",
    "seen_top1": "Shape, combinations that were trained on",
    "held_out_top1": "Shape, combinations never seen",
    "seen_color": "Colour, combinations that were trained on",
    "held_out_color": "Colour, combinations never seen",
    "image_to_text_r1": "Caption of an image, first",
    "image_to_text_r5": "Caption of an image, among 5",
    "image_to_text_r10": "Caption of an image, among 10",
    "text_to_image_r1": "Image for a caption, first",
    "text_to_image_r5": "Image for a caption, among 5",
    "text_to_image_r10": "Image for a caption, among 10",
    "color_order": "Which colour is the shape's, which the background's",
}


class Row(NamedTuple):
    """One figure and what guessing comes to, each 0..1."""

    name: str
    label: str
    value: float
    chance: float


def rows_of(evaluation: Mapping[str, Any]) -> list[Row]:
    """The figures in an `evaluation.json`, in the order of `LABELS`; none where there are none, or no numbers."""
    about = about_of(evaluation)
    chance = about.get("chance")
    chance = chance if isinstance(chance, dict) else {}
    found = []
    for name, label in LABELS.items():
        value, guess = finite_number(evaluation.get(f"test/{name}")), finite_number(chance.get(name))
        if value is not None and guess is not None:
            found.append(Row(name, label, value, guess))
    return found


def about_of(evaluation: Mapping[str, Any]) -> Mapping[str, Any]:
    """How these figures came about: `text`, `temperature`; empty where it is not told."""
    protocols = evaluation.get("protocols")
    about = protocols.get("words") if isinstance(protocols, dict) else None
    return about if isinstance(about, dict) else {}


def sentence(evaluation: Mapping[str, Any]) -> str:
    """The first figures beside guessing, in one line: for the log of a training."""
    short = {
        "zeroshot_top1": "zero-shot",
        "image_to_text_r1": "image to text R@1",
        "text_to_image_r1": "text to image R@1",
        "held_out_pair": "combinations never seen",
    }
    return ", ".join(
        f"{short[row.name]} {row.value:.2%} (chance {row.chance:.2%})"
        for row in rows_of(evaluation)
        if row.name in short
    )
