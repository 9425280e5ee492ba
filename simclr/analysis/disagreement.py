"""Where two encoders disagree: groups of images that one holds together and the other scatters (no torch).

Found and judged on different halves of the images. One half is clustered in one encoder (k-means on directions: the
mean taken off, length 1). The images of the other half fall into these clusters, and they alone decide: how near they
are to each other in this encoder, how far apart in the other, and what they share, by class and recorded factors. What
is claimed is corrected for all groups and factors that were looked at (Holm 1979): chance calls a group scattered in
one of 20 comparisons at most, and says of one what its images share in one of 100.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.analysis import traits
from simclr.analysis.traits import Trait
from simclr.embeddings import compare, neighbors

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

# More images are thinned out; earlier where random sets of them are drawn thousands of times.
MIN_IMAGES, MAX_IMAGES, MAX_DRAWN_FROM = 100, 10_000, 2000
NUM_TRIALS, MAX_STEPS = 4, 50  # of k-means
IMAGES_PER_GROUP, MIN_GROUPS, MAX_GROUPS = 50, 4, 40
VERSION = 1  # raise it when the rules here or in `traits` change: cards that are kept are then found anew
MIN_JUDGED = 8  # images of the judged half in a group
KEPT = 0.5  # scattered: nearer to each other by less than this share of what the other's own groups are
ALPHA = 0.05  # of all groups together


@dataclass(frozen=True)
class Card:
    """A group that one encoder holds together and the other scatters.

    together: 0 or 1, the encoder that holds it together.
    rows: (n,) of the judged images, those nearest to the middle first.
    similarity, elsewhere: mean cosine of two of them in this encoder and in the other.
    spread, num_groups: over how many of the other's own groups they fall, of how many.
    p: that they lie at least `KEPT` times as near to each other in the other as its own groups do, corrected.
    traits: what they share, the surest first.
    """

    together: int
    rows: NDArray[np.int64]
    similarity: float
    elsewhere: float
    spread: int
    num_groups: int
    p: float
    traits: tuple[Trait, ...] = ()


def find_cards(
    features: tuple[Floats, Floats],
    labels: Ints | None = None,
    classes: Sequence[str] = (),
    factors: Mapping[str, NDArray[Any]] | None = None,
    measured: Mapping[str, NDArray[Any]] | None = None,
    *,
    num_cards: int = 10,
    seed: int = 0,
) -> list[Card]:
    """The groups of images on which two encoders disagree most, at most `num_cards`; those that share something first.

    Args:
        features: of both encoders on the same images, (N, D) and (N, E).
        labels, classes: (N,) and the names; None: no class is claimed.
        factors: recorded, name to (N,) numbers or words; those in `CIRCULAR` are shares of a circle.
        measured: of `appearance.measure`, what the images look like.
        seed: of the halves, the clusters and the random sets.

    Raises:
        ValueError: if there are fewer than `MIN_IMAGES` images, or the two do not have as many.
    """
    count = len(features[0])
    if count != len(features[1]) or count < MIN_IMAGES:
        raise ValueError(f"there are {count} and {len(features[1])} images; allowed: as many, at least {MIN_IMAGES}")
    generator = np.random.default_rng(seed)
    told = traits.what_is_told(labels, classes, factors, measured)
    chosen = generator.permutation(count)[: MAX_DRAWN_FROM if traits.needs_random_sets(told) else MAX_IMAGES]
    found, judged = np.sort(chosen[: len(chosen) // 2]), np.sort(chosen[len(chosen) // 2 :])
    rows = [neighbors.unit_rows((each - each[found].mean(axis=0)).astype(np.float32)) for each in features]
    num_groups = min(max(len(found) // IMAGES_PER_GROUP * 2, MIN_GROUPS), MAX_GROUPS)
    middles = [_middles(each[found], num_groups, seed) for each in rows]
    groups = [(each[judged] @ middle.T).argmax(axis=1) for each, middle in zip(rows, middles, strict=True)]
    own = [_typical(each[judged], group) for each, group in zip(rows, groups, strict=True)]
    candidates: list[tuple[float, Card]] = []
    for side in (0, 1):
        other = 1 - side
        for group in range(num_groups):
            members = np.flatnonzero(groups[side] == group)
            if len(members) < MIN_JUDGED:
                continue
            inside = _mean_cosine(rows[side][judged[members]])
            outside, error = _cosine_and_error(rows[other][judged[members]])
            if inside < KEPT * own[side]:
                continue  # not held together by either
            order = np.argsort(-(rows[side][judged[members]] @ middles[side][group]))
            p = _normal_tail((KEPT * own[other] - outside) / max(error, 1e-12))
            spread = len(np.unique(groups[other][members]))
            card = Card(side, judged[members[order]], inside, outside, spread, num_groups, p)
            candidates.append((inside / own[side] - outside / max(own[other], 1e-12), card))
    corrected = compare.holm([card.p for _, card in candidates])
    kept = [(gap, replace(card, p=p)) for (gap, card), p in zip(candidates, corrected, strict=True) if p < ALPHA]
    kept = sorted(kept, key=lambda pair: -pair[0])[:num_cards]
    cards = [card for _, card in kept]
    shared = traits.shared_by([card.rows for card in cards], told, judged, generator)
    found_cards = [replace(card, traits=each) for card, each in zip(cards, shared, strict=True)]
    return sorted(found_cards, key=lambda card: not card.traits)


def shared(card: Card) -> str:
    """What the images of a card share, in words."""
    text = "; ".join(trait.text for trait in card.traits)
    return f"{text[0].upper()}{text[1:]}" if text else "Nothing that is recorded or measured explains it"


def who(card: Card, titles: Sequence[str]) -> str:
    """Who holds the images of a card together, and who scatters them."""
    return (
        f"{titles[card.together]} holds these {len(card.rows)} images together (cosine {card.similarity:.2f}), "
        f"{titles[1 - card.together]} scatters them over {card.spread} of {card.num_groups} groups "
        f"({card.elsewhere:.2f})."
    )


def _middles(rows: Floats, num_groups: int, seed: int) -> Floats:
    """(G, D) directions of the groups of (N, D) rows by k-means on directions (Dhillon and Modha 2001).

    Each row belongs to the direction of largest cosine, each direction is the mean of its rows at length 1; first
    directions as by k-means++. Of `NUM_TRIALS` the one with the largest sum of cosines. Written out here, since the
    page that shows the cards loads neither scipy nor scikit-learn.
    """
    best: tuple[float, Floats] | None = None
    for trial in range(NUM_TRIALS):
        generator = np.random.default_rng([seed, trial])
        middles = rows[[generator.integers(len(rows))]]
        while len(middles) < num_groups:
            distance = np.maximum(0.0, 1.0 - (rows @ middles.T).max(axis=1).astype(np.float64))
            total = distance.sum()
            share = distance / total if total > 1e-9 else np.full(len(rows), 1 / len(rows))
            middles = np.concatenate([middles, rows[[generator.choice(len(rows), p=share)]]])
        groups = np.full(len(rows), -1)
        for _ in range(MAX_STEPS):
            cosines = rows @ middles.T
            nearest = cosines.argmax(axis=1)
            if np.array_equal(nearest, groups):
                break
            groups = nearest
            order = np.argsort(groups, kind="stable")
            used, starts = np.unique(groups[order], return_index=True)
            middles = middles.copy()  # a direction that has lost its rows stays
            middles[used] = neighbors.unit_rows(np.add.reduceat(rows[order], starts, axis=0))
        score = float((rows @ middles.T).max(axis=1).sum())
        if best is None or score > best[0]:
            best = score, middles
    assert best is not None
    return best[1]


def _mean_cosine(rows: Floats) -> float:
    """Of all pairs of two of the (n, D) rows of length 1."""
    n = len(rows)
    return float((np.square(rows.sum(axis=0, dtype=np.float64)).sum() - n) / (n * (n - 1)))


def _cosine_and_error(rows: Floats) -> tuple[float, float]:
    """The mean cosine of pairs of (n, D) rows, and its standard error by leaving one image out (jackknife)."""
    n = len(rows)
    to_others = rows @ rows.sum(axis=0) - 1.0  # (n,), the cosines of each to all others, added up
    whole = float(to_others.sum())
    without = (whole - 2 * to_others) / ((n - 1) * (n - 2))
    error = math.sqrt((n - 1) / n * float(np.square(without - without.mean()).sum()))
    return whole / (n * (n - 1)), error


def _typical(rows: Floats, groups: Ints) -> float:
    """The median over groups of the mean cosine of their rows."""
    sizes = np.bincount(groups)
    found = [_mean_cosine(rows[groups == group]) for group in np.flatnonzero(sizes >= MIN_JUDGED)]
    return float(np.median(found)) if found else 1.0


def _normal_tail(z: float) -> float:
    """How likely a standard normal value is above z."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))
