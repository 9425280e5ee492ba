"""The words that captions of `shapes` are made of, and combinations of them to leave out of training (no torch)."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pydantic_core import PydanticCustomError

SIZES = ("small", "large")
COLORS = ("red", "yellow", "green", "cyan", "blue", "magenta")  # sixths of the colour circle, each around its hue
SHAPES = ("circle", "ring", "square", "triangle", "cross", "star", "crescent", "heart", "arrow", "hourglass")
# With so small a temperature the loss looks at one negative alone (CLIP, Radford et al. 2021, section 2.5).
LEAST_TEMPERATURE = 0.01


def combination(text: str) -> tuple[int, int]:
    """`red star` as the places of its words in `COLORS` and `SHAPES`.

    Raises:
        ValueError: if it is no colour and shape.
    """
    color, shape = text.lower().split()
    return COLORS.index(color), SHAPES.index(shape)


def check_held_out(held_out: Sequence[str]) -> None:
    """Refuses what is no combination, and combinations that leave nothing of a colour or a shape.

    Raises:
        PydanticCustomError: with one sentence.
    """
    pairs = set()
    for text in held_out:
        try:
            pairs.add(combination(text))
        except ValueError:
            known = [f"{color} {shape}" for color in COLORS for shape in SHAPES]
            near = difflib.get_close_matches(text.lower(), known, n=1, cutoff=0.5)
            raise PydanticCustomError(
                "order",
                f"held_out is {text[:80]}; allowed: a colour ({', '.join(COLORS)}) and a shape ({', '.join(SHAPES)})"
                f"{f'; did you mean {near[0]}?' if near else ', such as red star.'}",
            ) from None
    for place, (words, others) in enumerate(((COLORS, SHAPES), (SHAPES, COLORS))):
        for number, word in enumerate(words):
            if sum(pair[place] == number for pair in pairs) == len(others):
                raise PydanticCustomError(
                    "order",
                    f"held_out leaves no image with {word}; allowed: combinations that leave some of each word.",
                )
