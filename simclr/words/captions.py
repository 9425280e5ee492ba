"""Captions of shapes, and sentences as numbers (no torch).

A caption says some of an image's facts in one of several phrasings: "a small red star on blue", "a red star", "blue
behind a red star". Size, colour, shape and background come from the factors that the image was drawn with.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simclr.config import ConfigError
from simclr.config.words import COLORS, SHAPES, SIZES
from simclr.data.shape_facts import FIELDS

VALUES = {"size": SIZES, "color": COLORS, "shape": SHAPES, "ground": COLORS}  # in the order of FIELDS
# The first says all facts. Short ones are among them, since `a star` is what a class is named by afterwards.
PHRASINGS = (
    "a {size} {color} {shape} on {ground}",
    "a {color} {shape} on a {ground} background",
    "a {color} {shape} on {ground}",
    "{ground} behind a {color} {shape}",
    "the {shape} on {ground} is {size} and {color}",
    "a {size} {color} {shape}",
    "a {color} {shape}",
    "a {size} {shape} on {ground}",
    "a {color} shape on {ground}",
    "a {color} shape",
    "a {shape}",
)
FULL = 0  # the phrasing that says all facts
NO_WORD = 0  # fills a sentence up to the longest
MAX_SIGNS = 200  # of a typed sentence


def _parts(phrasing: str) -> list[str]:
    return phrasing.split()


@dataclass(frozen=True)
class Vocabulary:
    """The words of captions in the order of their numbers, from 1; 0 is no word.

    Attributes:
        words: each once, in lower case.
        max_words: of a sentence.
    """

    words: tuple[str, ...]
    max_words: int

    @classmethod
    def of_captions(cls) -> Vocabulary:
        """That of `PHRASINGS`."""
        said = {part for phrasing in PHRASINGS for part in _parts(phrasing) if not part.startswith("{")}
        named = {word for words in VALUES.values() for word in words}
        return cls(tuple(sorted(said | named)), max(len(_parts(phrasing)) for phrasing in PHRASINGS))

    def numbers(self, sentence: str) -> NDArray[np.int64]:
        """(max_words,) the sentence as numbers; case and punctuation do not matter.

        Raises:
            ConfigError: for a word that is not in the vocabulary, no word at all, or too many.
        """
        found = re.findall(r"[^\W_]+", sentence[:MAX_SIGNS].lower())
        if not 0 < len(found) <= self.max_words or len(sentence) > MAX_SIGNS:
            raise ConfigError(
                f"The sentence has {len(found) or 'no'} words; allowed: 1 to {self.max_words}, such as "
                f"{caption(FULL, (0, 0, 5, 4))}."
            )
        known = {word: number for number, word in enumerate(self.words, 1)}
        for word in found:
            if word not in known:
                near = difflib.get_close_matches(word, self.words, n=1, cutoff=0.7)
                hint = f"; did you mean {near[0]}?" if near else "."
                raise ConfigError(
                    f"The word {word} is in no caption that this run was trained on; allowed: {', '.join(self.words)}"
                    f"{hint}"
                )
        return np.array([known[word] for word in found] + [NO_WORD] * (self.max_words - len(found)), dtype=np.int64)

    def all_numbers(self, sentences: Iterable[str]) -> NDArray[np.int64]:
        """(N, max_words) of several sentences; raises ConfigError as `numbers`."""
        return np.stack([self.numbers(sentence) for sentence in sentences])


def caption(phrasing: int, facts: Sequence[int]) -> str:
    """A caption in words: the phrasing with facts (size, color, shape, ground) of one image."""
    words = {name: VALUES[name][number] for name, number in zip(FIELDS, facts, strict=True)}
    return PHRASINGS[phrasing].format(**words)


def caption_numbers(
    vocabulary: Vocabulary, facts: NDArray[np.int64], phrasings: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(N, max_words): `vocabulary.numbers` of the captions of N images at once.

    Args:
        facts: (N, 4), see `shape_facts.facts_of`.
        phrasings: (N,) indices into `PHRASINGS`.
    """
    known = {word: number for number, word in enumerate(vocabulary.words, 1)}
    found = np.full((len(facts), vocabulary.max_words), NO_WORD, dtype=np.int64)
    for phrasing in np.unique(phrasings):
        rows = np.flatnonzero(phrasings == phrasing)
        for place, part in enumerate(_parts(PHRASINGS[phrasing])):
            if part.startswith("{"):
                name = part[1:-1]
                numbers = np.array([known[word] for word in VALUES[name]])
                found[rows, place] = numbers[facts[rows, FIELDS.index(name)]]
            else:
                found[rows, place] = known[part]
    return found


def said_facts(facts: NDArray[np.int64], phrasings: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) a number for what each caption says: two are equal where the captions say the same of the same facts.

    Args:
        facts, phrasings: as of `caption_numbers`.
    """
    says = np.array([[f"{{{name}}}" in phrasing for name in FIELDS] for phrasing in PHRASINGS])  # (P, 4)
    told = np.where(says[phrasings], facts + 1, 0)  # 0: not said
    found = np.zeros(len(facts), dtype=np.int64)
    for column, name in enumerate(FIELDS):
        found = found * (len(VALUES[name]) + 1) + told[:, column]
    return found
