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

from simclr.analysis.factors import CIRCULAR
from simclr.embeddings import compare, neighbors

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

MIN_IMAGES, MAX_IMAGES = 100, 2000  # more are thinned out: random sets of them are drawn thousands of times
NUM_TRIALS, MAX_STEPS = 4, 50  # of k-means
IMAGES_PER_GROUP, MIN_GROUPS, MAX_GROUPS = 50, 4, 40
MIN_JUDGED = 8  # images of the judged half in a group
KEPT = 0.5  # scattered: nearer to each other by less than this share of what the other's own groups are
ALPHA, TRAIT_ALPHA = 0.05, 0.01  # of all groups together, and of all that is said to be shared
NUM_DRAWS = 20_000
HUES = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
# Words for the lower, middle and upper third of a factor's values.
THIRDS = {
    "size": ("small", "of middle size", "large"),
    "position_x": ("at the left", "in the middle from left to right", "at the right"),
    "position_y": ("at the bottom", "in the middle from bottom to top", "at the top"),
    "rotation": ("turned one way", "upright", "turned the other way"),
}
HUE_ENDS = (0.04, 0.11, 0.19, 0.44, 0.54, 0.70, 0.81, 0.95)  # where each ends; red goes on after the last


@dataclass(frozen=True)
class Trait:
    """What the images of a group share: `name` is `class` or a factor, `text` says it, `p` is corrected for all."""

    name: str
    text: str
    p: float


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
    *,
    num_cards: int = 10,
    seed: int = 0,
) -> list[Card]:
    """The groups of images on which two encoders disagree most, at most `num_cards`.

    Args:
        features: of both encoders on the same images, (N, D) and (N, E).
        labels, classes: (N,) and the names; None: no class is claimed.
        factors: name to (N,) numbers or words; those in `CIRCULAR` are shares of a circle.
        seed: of the halves, the clusters and the random sets.

    Raises:
        ValueError: if there are fewer than `MIN_IMAGES` images, or the two do not have as many.
    """
    count = len(features[0])
    if count != len(features[1]) or count < MIN_IMAGES:
        raise ValueError(f"there are {count} and {len(features[1])} images; allowed: as many, at least {MIN_IMAGES}")
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(count)[:MAX_IMAGES]
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
    told = {name: values for name, values in (factors or {}).items() if not repeats_the_class(values, classes)}
    if labels is not None and len(classes) > 1:
        told = {"class": np.array(classes, dtype=object)[labels].astype(str), **told}
    return _with_traits(cards, told, judged, generator)


def repeats_the_class(values: NDArray[Any], classes: Sequence[str]) -> bool:
    """True for a factor that is the class in other words."""
    return values.dtype.kind in "USO" and set(values.tolist()) <= set(classes)


def shared(card: Card) -> str:
    """What the images of a card share, in words."""
    text = "; ".join(trait.text for trait in card.traits)
    return f"{text[0].upper()}{text[1:]}" if text else "Nothing that is recorded explains it"


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
            sums = np.zeros_like(middles)
            np.add.at(sums, groups, rows)
            is_used = np.square(sums).sum(axis=1) > 0  # a direction that has lost its rows stays
            middles = np.where(is_used[:, None], neighbors.unit_rows(sums), middles)
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


# --- what a group shares --------------------------------------------------------------------------------------------


def _with_traits(
    cards: list[Card], told: Mapping[str, NDArray[Any]], judged: Ints, generator: np.random.Generator
) -> list[Card]:
    sets: dict[int, Ints] = {}
    tests: list[tuple[int, str, str, float]] = []
    for number, card in enumerate(cards):
        size = len(card.rows)
        if size not in sets:
            sets[size] = random_sets(len(judged), size, generator)
        for name, values in told.items():
            if values.dtype.kind in "USO":
                text, p = _shared_word(name, values[card.rows], values[judged])
            else:
                text, p = _shared_value(name, values[card.rows], values[judged], sets[size])
            tests.append((number, name, text, p))
    corrected = compare.holm([p for *_, p in tests])
    traits: dict[int, list[Trait]] = {}
    for (number, name, text, _), p in zip(tests, corrected, strict=True):
        if p < TRAIT_ALPHA:
            traits.setdefault(number, []).append(Trait(name, text, p))
    return [
        replace(card, traits=tuple(sorted(traits.get(number, ()), key=lambda trait: trait.p)))
        for number, card in enumerate(cards)
    ]


def random_sets(count: int, size: int, generator: np.random.Generator) -> Ints:
    """(NUM_DRAWS, size) sets of rows below `count`, none twice in a set."""
    chunk = max(1, 4_000_000 // count)
    found = []
    for start in range(0, NUM_DRAWS, chunk):
        keys = generator.random((min(chunk, NUM_DRAWS - start), count), dtype=np.float32)
        found.append(np.argpartition(keys, size - 1, axis=1)[:, :size].astype(np.int32))
    return np.concatenate(found)


def _shared_word(name: str, own: NDArray[Any], all_values: NDArray[Any]) -> tuple[str, float]:
    """The most common word of a set, and how likely one is as common in a random set of that size."""
    words, counts = np.unique(own, return_counts=True)
    best, number = words[counts.argmax()], int(counts.max())
    total, num_words = int((all_values == best).sum()), len(np.unique(all_values))
    p = hypergeometric_tail(number, len(all_values), total, len(own)) * num_words
    whole = "all" if number == len(own) else f"{number} of {len(own)}"
    return (f"{whole} are “{best}”" if name == "class" else f"{whole} have {name} {best}"), min(1.0, p)


def hypergeometric_tail(least: int, count: int, marked: int, drawn: int) -> float:
    """How likely at least `least` marked ones are among `drawn` of `count`, of which so many are marked."""
    ways = sum(
        math.comb(marked, number) * math.comb(count - marked, drawn - number)
        for number in range(least, min(marked, drawn) + 1)
    )
    return ways / math.comb(count, drawn)


def _shared_value(name: str, own: NDArray[Any], all_values: NDArray[Any], sets: Ints) -> tuple[str, float]:
    """What is alike in the numbers of a set, and how likely they are as alike in a random set of that size."""
    own, all_values = own.astype(np.float64), all_values.astype(np.float64)
    if not (np.isfinite(own).all() and np.isfinite(all_values).all()) or not np.ptp(all_values) > 0:
        return "", 1.0
    if name in CIRCULAR:
        points, middle = np.exp(2j * np.pi * all_values), np.exp(2j * np.pi * own).mean()
        p = (1 + int((np.abs(points[sets].mean(axis=1)) >= abs(middle)).sum())) / (1 + len(sets))
        word = hue_name((np.angle(middle) / (2 * np.pi)) % 1.0)
        return (f"on {word} background" if name == "background" else f"{word} in colour"), p
    spread = own.std()
    p = (1 + int((all_values[sets].std(axis=1) <= spread).sum())) / (1 + len(sets))
    return _third(name, own.mean(), all_values), p


def hue_name(hue: float) -> str:
    """The word for a place on the colour circle, 0..1."""
    return next((word for word, end in zip(HUES, HUE_ENDS, strict=True) if hue < end), HUES[0])


def _third(name: str, value: float, all_values: Floats) -> str:
    """In which third of all values one lies, in words."""
    place = min(2, int(3 * float((all_values < value).mean())))
    words = THIRDS.get(name)
    return words[place] if words else f"{name.replace('_', ' ')} {('low', 'medium', 'high')[place]}"
