"""A lesson as plain values, as `reading` takes it from its folder (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from simclr.lessons.figures import Spec

# Headings of the text, in this order. What they are for: README.md beside the lessons.
QUESTION, PREDICTION, EXPERIMENT, HAPPENED, PAPER = SECTIONS = (
    "Question",
    "Prediction",
    "Experiment",
    "What happened",
    "The paper",
)


@dataclass(frozen=True)
class LessonRun:
    """A run that the learner starts.

    recipe, options: of a pre-training; options also of a supervised run, over those of its recipe.
    arm, of, labels: of a supervised run: `frozen`, `full` or `scratch`, the name of the pre-training it belongs to,
        and the share of the labels.
    """

    name: str
    title: str
    recipe: str
    options: Mapping[str, Any]
    arm: str = ""
    of: str = ""
    labels: float = 1.0


@dataclass(frozen=True)
class Prediction:
    """What the learner is asked before anything runs.

    figure, low, high: of a number. options: of a choice, by key; what is right is the key of the largest figure of
    `largest`, or `same` where the two largest differ by at most `same_within`.
    """

    name: str
    ask: str
    figure: Spec | None = None
    low: float = 0.0
    high: float = 0.0
    options: Mapping[str, str] | None = None
    largest: Mapping[str, Spec] | None = None
    same_within: float = 0.0


@dataclass(frozen=True)
class Claim:
    """A statement of the text, and the figures by which it is checked.

    text: as it stands there. figure: is the number in the text, `within` what it may be off by; or larger: is larger
    than `than`, by at least `by`.
    """

    text: str
    figure: Spec | None = None
    number: float = 0.0
    within: float = 0.0
    larger: Spec | None = None
    than: Spec | None = None
    by: float = 0.0

    @property
    def specs(self) -> list[Spec]:
        return [spec for spec in (self.figure, self.larger, self.than) if spec is not None]


@dataclass(frozen=True)
class Lesson:
    """A lesson. name: of its folder. examples: ids of shipped runs by the names that the lesson gives them.

    shown: figures that stand beside the predictions, with their labels. sections: Markdown by heading.
    """

    folder: Path
    title: str
    question: str
    minutes: int
    runs: Mapping[str, LessonRun]
    examples: Mapping[str, str]
    predictions: Mapping[str, Prediction]
    shown: Mapping[str, Spec]
    claims: tuple[Claim, ...]
    sections: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def specs(self) -> list[Spec]:
        """Every figure that the page needs."""
        found = [*self.shown.values()]
        for each in self.predictions.values():
            found += [each.figure] if each.figure is not None else list((each.largest or {}).values())
        return found

    @property
    def read_out(self) -> list[str]:
        """Names of the runs of which factors have to be read out."""
        return list(dict.fromkeys(spec.run for spec in self.specs if spec.is_readout))
