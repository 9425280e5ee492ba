"""What a group of images shares, in words, and how likely chance alone would give as much (no torch).

Recorded factors are asked for how alike their numbers are in the group; classes and what was measured from the pixels
for how many images of the group have the same word. All that is asked of all groups is corrected together (Holm 1979).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.analysis.factors import CIRCULAR
from simclr.embeddings import compare
from simclr.views import appearance

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

ALPHA = 0.01  # of all that is said to be shared
NUM_DRAWS = 20_000
MIN_SHARE = 0.4  # of a group's images; in a large one fewer are still more than chance, but the eye does not see it
# Words for the lower, middle and upper third of a recorded factor's values.
THIRDS = {
    "size": ("small", "of middle size", "large"),
    "position_x": ("at the left", "in the middle from left to right", "at the right"),
    "position_y": ("at the bottom", "in the middle from bottom to top", "at the top"),
    "rotation": ("turned one way", "upright", "turned the other way"),
}
ALSO_OF_RECORDED = ("lightness",)
# How to say that images have a word of a factor.
SENTENCES = {
    "class": "are “{}”",
    "lightness": "are {}",
    "contrast": "have {} contrast",
    "middle": "are {} in the middle",
    "border": "have a {} border",
    "edges": "have mostly {} edges",
}


@dataclass(frozen=True)
class Trait:
    """What the images of a group share: `name` is `class` or a factor, `text` says it, `p` is corrected for all."""

    name: str
    text: str
    p: float


def what_is_told(
    labels: Ints | None,
    classes: Sequence[str],
    factors: Mapping[str, NDArray[Any]] | None,
    measured: Mapping[str, NDArray[Any]] | None,
) -> dict[str, NDArray[Any]]:
    """What a group may share: the class, and the recorded factors, or where none are, words for what was measured.

    Of shapes lightness is told too, by which SimCLR groups them and which none of their factors says. Each one more
    that is asked for makes it harder to claim any: so there are six of photographs, eight of shapes.
    """
    found = {name: values for name, values in (factors or {}).items() if not repeats_the_class(values, classes)}
    if measured:
        words = appearance.in_words(measured)
        found |= {name: words[name] for name in (ALSO_OF_RECORDED if found else words)}
    if labels is not None and len(classes) > 1:
        found = {"class": np.array(classes, dtype=object)[labels].astype(str), **found}
    return found


def repeats_the_class(values: NDArray[Any], classes: Sequence[str]) -> bool:
    """True for a factor that is the class in other words."""
    return values.dtype.kind in "USO" and set(values.tolist()) <= set(classes)


def needs_random_sets(told: Mapping[str, NDArray[Any]]) -> bool:
    """Whether some of what is told are numbers; words are counted, which is exact and quick."""
    return any(values.dtype.kind not in "USO" for values in told.values())


def shared_by(
    groups: Sequence[Ints], told: Mapping[str, NDArray[Any]], judged: Ints, generator: np.random.Generator
) -> list[tuple[Trait, ...]]:
    """What the images of each group share, the surest first.

    Args:
        groups: the rows of each, among those of `judged`.
        told: of `what_is_told`, each (N,).
        judged: rows that random sets are drawn from.
    """
    sets: dict[int, Ints] = {}
    tests: list[tuple[int, str, str, float]] = []
    for number, rows in enumerate(groups):
        for name, values in told.items():
            if values.dtype.kind in "USO":
                text, p = _shared_word(name, values[rows], values[judged])
            else:
                if len(rows) not in sets:
                    sets[len(rows)] = random_sets(len(judged), len(rows), generator)
                text, p = _shared_value(name, values[rows], values[judged], sets[len(rows)])
            tests.append((number, name, text, p))
    corrected = compare.holm([p for *_, p in tests])
    found: dict[int, list[Trait]] = {}
    for (number, name, text, _), p in zip(tests, corrected, strict=True):
        if p < ALPHA:
            found.setdefault(number, []).append(Trait(name, text, p))
    return [tuple(sorted(found.get(number, ()), key=lambda trait: trait.p)) for number in range(len(groups))]


def random_sets(count: int, size: int, generator: np.random.Generator) -> Ints:
    """(NUM_DRAWS, size) sets of rows below `count`, none twice in a set."""
    chunk = max(1, 4_000_000 // count)
    found = []
    for start in range(0, NUM_DRAWS, chunk):
        keys = generator.random((min(chunk, NUM_DRAWS - start), count), dtype=np.float32)
        found.append(np.argpartition(keys, size - 1, axis=1)[:, :size].astype(np.int32))
    return np.concatenate(found)


def _shared_word(name: str, own: NDArray[Any], all_values: NDArray[Any]) -> tuple[str, float]:
    """The most common word of a set, and how likely one is as common in a random set of that size.

    Nothing where fewer than `MIN_SHARE` have it. An empty word is none: it says nothing that could be shared.
    """
    words, counts = np.unique(own[own != ""], return_counts=True)
    if not len(words):
        return "", 1.0
    best, number = words[counts.argmax()], int(counts.max())
    if number < MIN_SHARE * len(own):
        return "", 1.0
    total, num_words = int((all_values == best).sum()), len(np.unique(all_values[all_values != ""]))
    p = hypergeometric_tail(number, len(all_values), total, len(own)) * num_words
    whole = "all" if number == len(own) else f"{number} of {len(own)}"
    return f"{whole} {SENTENCES.get(name, f'have {name} {{}}').format(best)}", min(1.0, p)


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
        word = appearance.hue_name((np.angle(middle) / (2 * np.pi)) % 1.0)
        return (f"on {word} background" if name == "background" else f"{word} in colour"), p
    spread = own.std()
    p = (1 + int((all_values[sets].std(axis=1) <= spread).sum())) / (1 + len(sets))
    return _third(name, own.mean(), all_values), p


def _third(name: str, value: float, all_values: Floats) -> str:
    """In which third of all values one lies, in words."""
    place = min(2, int(3 * float((all_values < value).mean())))
    words = THIRDS.get(name)
    return words[place] if words else f"{name.replace('_', ' ')} {('low', 'medium', 'high')[place]}"
