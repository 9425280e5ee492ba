"""What an image and a text encoder know together, on test images of shapes: named, found, and never seen before.

zero-shot     an image gets the class whose sentence ("a star") is the most similar to it; no label is used
retrieval     the caption of an image among all captions of the test images, and images for each caption
colour order  an image prefers its caption to the same with the colours of shape and background exchanged, which
              an encoder that takes a sentence for a bag of words cannot tell apart
held out      zero-shot on combinations of colour and shape that no training image shows, beside the others
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from simclr.config.words import COLORS, SHAPES
from simclr.data.shape_facts import FIELDS, is_held_out
from simclr.words.captions import FULL, PHRASINGS, caption
from simclr.words.text_encoder import TextEncoder

SHAPE_PHRASING, COLOR_PHRASING, PAIR_PHRASING = (
    PHRASINGS.index(text) for text in ("a {shape}", "a {color} shape", "a {color} {shape}")
)
RECALLS = (1, 5, 10)
TEXT = (
    "No label is used: images and sentences are compared by the cosine of their projections z. zeroshot: an image gets "
    "the shape (top1), the colour, or both (pair, 60 of them) whose sentence (a star; a red shape; a red star) is the "
    "most similar. image_to_text_rK: its caption (a small red star on blue) is among the first K of the {captions:,} "
    "that the test images have; text_to_image_rK: an image that it is true of is among its first K of {images:,}. "
    "color_order: an image prefers its caption to that with the colours of shape and background exchanged."
)
HELD_OUT_TEXT = (
    " held_out: the same zero-shot figures on the {number:,} test images of {pairs} combinations of colour and shape "
    "that no training or validation image shows; seen: on the others."
)


class Figures(NamedTuple):
    """Shares 0..1 by name without `test/`: what was measured, and what guessing comes to."""

    found: dict[str, float]
    chance: dict[str, float]
    text: str


def word_figures(z: Tensor, facts: NDArray[np.int64], text: TextEncoder, held_out: Sequence[str] = ()) -> Figures:
    """All figures of an image encoder's projections with a text encoder.

    Args:
        z: (N, projection_dim) of the test images.
        facts: (N, 4) what they show, see `shape_facts.facts_of`.
        held_out: combinations that training did not see, such as `red star`.
    """
    images = F.normalize(z.float().cpu(), dim=1)
    right = zero_shot(images, facts, text)
    guesses = {"top1": 1 / len(SHAPES), "color": 1 / len(COLORS), "pair": 1 / (len(SHAPES) * len(COLORS))}
    found = {f"zeroshot_{name}": float(values.mean()) for name, values in right.items()}
    chance = {f"zeroshot_{name}": guesses[name] for name in right}
    recalls, by_chance, num_captions = retrieval(images, facts, text)
    found, chance = found | recalls, chance | by_chance
    order = color_order(images, facts, text)
    if order is not None:
        found, chance = found | {"color_order": order}, chance | {"color_order": 0.5}
    said = TEXT.format(captions=num_captions, images=len(images))
    away = is_held_out(facts, held_out)
    if away.any() and not away.all():
        said += HELD_OUT_TEXT.format(number=int(away.sum()), pairs=len(set(held_out)))
        for part, rows in (("held_out", away), ("seen", ~away)):
            found |= {f"{part}_{name}": float(values[rows].mean()) for name, values in right.items()}
            chance |= {f"{part}_{name}": guesses[name] for name in right}
    return Figures(found, chance, said)


def zero_shot(images: Tensor, facts: NDArray[np.int64], text: TextEncoder) -> dict[str, NDArray[np.bool_]]:
    """(N,) whether each image (rows of length 1) is named right, by its shape `top1`, its `color`, and both, `pair`."""
    colors, shapes = facts[:, FIELDS.index("color")], facts[:, FIELDS.index("shape")]
    pairs = [(color, shape) for color in range(len(COLORS)) for shape in range(len(SHAPES))]
    asked = {
        "top1": (SHAPE_PHRASING, [(0, shape) for shape in range(len(SHAPES))], shapes),
        "color": (COLOR_PHRASING, [(color, 0) for color in range(len(COLORS))], colors),
        "pair": (PAIR_PHRASING, pairs, colors * len(SHAPES) + shapes),
    }
    found = {}
    for name, (phrasing, named, truth) in asked.items():
        sentences = [caption(phrasing, (0, color, shape, 0)) for color, shape in named]
        found[name] = (images @ text.embed(sentences).T).argmax(dim=1).numpy() == truth
    return found


def retrieval(
    images: Tensor, facts: NDArray[np.int64], text: TextEncoder
) -> tuple[dict[str, float], dict[str, float], int]:
    """Recalls both ways, what a random order gives on average, and the number of different captions.

    Equally similar candidates count half, so that an encoder that maps everything to one point finds nothing.
    """
    different, places = np.unique(facts, axis=0, return_inverse=True)
    own = torch.from_numpy(np.ravel(places))  # (N,) which caption is an image's
    similarities = images @ text.embed([caption(FULL, row) for row in different.tolist()]).T  # (N, M)
    num_images, num_captions = similarities.shape
    to_text = _ranks(similarities, similarities.gather(1, own[:, None]))
    is_own = own[:, None] == torch.arange(num_captions)  # (N, M)
    best = similarities.masked_fill(~is_own, -torch.inf).amax(dim=0)  # (M,) of the images that a caption is true of
    others = similarities.masked_fill(is_own, -torch.inf)
    # the best right image is no candidate against itself, and is put back by the 1 that ranks begin with
    to_image = 1 + (others > best).sum(dim=0) + 0.5 * (others == best).sum(dim=0)
    found, chance = {}, {}
    counts = is_own.sum(dim=0).tolist()
    for k in RECALLS:
        found[f"image_to_text_r{k}"] = float((to_text <= k).float().mean())
        chance[f"image_to_text_r{k}"] = min(k, num_captions) / num_captions
        found[f"text_to_image_r{k}"] = float((to_image <= k).float().mean())
        missed = [math.comb(num_images - count, k) / math.comb(num_images, k) for count in counts]
        chance[f"text_to_image_r{k}"] = 1 - sum(missed) / len(missed)
    return found, chance, num_captions


def _ranks(similarities: Tensor, positive: Tensor) -> Tensor:
    """(N,) of the positives (N, 1), each in its row of (N, M), whose entries it is among."""
    equal = (similarities == positive).sum(dim=1) - 1
    return 1 + (similarities > positive).sum(dim=1) + 0.5 * equal


def color_order(images: Tensor, facts: NDArray[np.int64], text: TextEncoder) -> float | None:
    """Share of images with two colours that prefer their caption to the one with the colours exchanged.

    Equal similarities count half. None where no image has two colours.
    """
    color, ground = FIELDS.index("color"), FIELDS.index("ground")
    rows = np.flatnonzero(facts[:, color] != facts[:, ground])
    if not len(rows):
        return None
    true, swapped = facts[rows], facts[rows].copy()
    swapped[:, [color, ground]] = true[:, [ground, color]]
    # each sentence once, so that one and the same has one and the same embedding
    sentences = [caption(FULL, row) for row in np.concatenate([true, swapped]).tolist()]
    different, place = np.unique(sentences, return_inverse=True)
    embedded = text.embed([str(sentence) for sentence in different])[torch.from_numpy(np.ravel(place))]
    own, other = embedded.chunk(2)
    gap = ((own - other) * images[torch.from_numpy(rows)]).sum(dim=1)
    return float((gap > 0).float().mean() + 0.5 * (gap == 0).float().mean())
