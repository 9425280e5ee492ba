"""Similarities of a batch of augmented images, and what NT-Xent makes of them at a temperature (no torch).

A batch is held as unit rows (2N, D) with pairs adjacent: rows 2i and 2i + 1 are the two views of image i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def interleave(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """Embeddings (N, D) of both views as unit rows (2N, D), pairs adjacent; a row of zeros stays one."""
    return unit_rows(np.stack([first, second], axis=1).reshape(2 * len(first), -1))


def similarity_matrix(rows: Floats) -> Floats:
    """(2N, 2N) cosine similarities of unit rows (2N, D)."""
    return np.clip(rows @ rows.T, -1.0, 1.0)


@dataclass(frozen=True)
class AtTemperature:
    """What NT-Xent makes of a batch at one temperature.

    loss: mean over the 2N anchors, in nats; `simclr.objectives.nt_xent.nt_xent` of the same rows.
    weights: (2N, 2N), each anchor's shares of the push on its negatives; rows sum to 1, 0 at itself and its positive.
    effective: (2N,) effective number of negatives, exp of the entropy of `weights`: 1 to 2N - 2.
    """

    loss: float
    weights: Floats
    effective: Floats


def at_temperature(similarities: Floats, temperature: float) -> AtTemperature:
    """Loss and gradient weights of a batch, from its similarities (2N, 2N) with pairs adjacent.

    The gradient of an anchor's loss with respect to the similarity of negative k is P_ik / T, and minus the sum of
    those for the positive. `weights` are these gradients as shares of their sum, softmax(s_ik / T) over the negatives
    alone: the penalty of Wang and Liu 2021 (section 3.1). A low temperature leaves few negatives that count.

    Raises:
        ValueError: for fewer than two pairs, or a temperature that is not above 0.
    """
    num = len(similarities)
    if similarities.shape != (num, num) or num < 4 or num % 2:
        raise ValueError(f"similarities are {similarities.shape}; allowed: (2N, 2N) of at least two pairs")
    if not (temperature > 0 and np.isfinite(temperature)):
        raise ValueError(f"temperature is {temperature}; allowed: a number above 0")
    anchors = np.arange(num)
    logits = similarities / temperature
    logits[anchors, anchors] = -np.inf
    positive = logits[anchors, anchors ^ 1]
    high = logits.max(axis=1)
    losses = high + np.log(np.exp(logits - high[:, None]).sum(axis=1)) - positive
    logits[anchors, anchors ^ 1] = -np.inf
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    entropy = -(weights * np.log(np.where(weights > 0, weights, 1.0))).sum(axis=1)
    return AtTemperature(float(losses.mean()), weights, np.exp(entropy))


@dataclass(frozen=True)
class HardNegativePair:
    """Two images of a batch that look alike: rows of their most similar views, and whether their class is the same."""

    row: int
    column: int
    similarity: float
    same_class: bool | None


def likely_false_negatives(similarities: Floats, names: Sequence[str], count: int = 6) -> list[HardNegativePair]:
    """The most similar views of different images, one pair of views for each pair of images, the most similar first.

    The loss pushes them apart although they look alike to the encoder: where both show the same thing they are false
    negatives (Chuang et al. 2020), else hard ones.

    Args:
        similarities: (2N, 2N), pairs adjacent.
        names: (N,) classes; empty words where they are not known.
    """
    num = len(similarities) // 2
    cells = similarities.reshape(num, 2, num, 2).transpose(0, 2, 1, 3).reshape(num, num, 4)
    firsts, seconds = np.triu_indices(num, 1)
    best = cells[firsts, seconds].max(axis=1)
    found = []
    for place in np.argsort(-best, kind="stable")[:count]:
        i, j = int(firsts[place]), int(seconds[place])
        which = int(cells[i, j].argmax())
        known = bool(names[i] and names[j])
        found.append(
            HardNegativePair(
                2 * i + which // 2, 2 * j + which % 2, float(best[place]), names[i] == names[j] if known else None
            )
        )
    return found


@dataclass(frozen=True)
class PairNumbers:
    """Pairs against other images. pairs: (N,) similarity of both views. others: (N, M) those of view 1 to all views of
    other images. top1: share of the 2N views whose most similar other view is their own partner, ties half."""

    pairs: Floats
    others: Floats
    top1: float


def pair_numbers(similarities: Floats) -> PairNumbers:
    """From similarities (2N, 2N) with pairs adjacent, N at least 2."""
    num = len(similarities)
    anchors = np.arange(num)
    positive = similarities[anchors, anchors ^ 1]
    is_other = anchors[:, None] // 2 != anchors // 2
    others = similarities[is_other].reshape(num, num - 2)
    best = others.max(axis=1)
    wins = (positive > best) + 0.5 * (positive == best)
    return PairNumbers(positive[::2], others[::2], float(wins.mean()))


def unit_rows(rows: NDArray[Any]) -> Floats:
    rows = rows.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.where(length > 0, length, 1.0)
    return unit
