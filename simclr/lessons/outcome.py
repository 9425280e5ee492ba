"""What happened beside what was predicted, and whether what a lesson says is so (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simclr.lessons import text
from simclr.lessons.answers import Value
from simclr.lessons.lesson import Claim, Lesson, Prediction
from simclr.lessons.reading import SAME
from simclr.runs import Run


@dataclass(frozen=True)
class Outcome:
    """A prediction beside what happened, as texts.

    happened: empty as long as it is not known. note: how far apart they are, or the figures a choice was made by.
    is_right: of a choice; None of a number, which is nearer or farther.
    """

    ask: str
    predicted: str
    happened: str
    note: str
    is_right: bool | None


def right_option(prediction: Prediction, known: Mapping[str, Run]) -> str | None:
    """The key of what turned out to be so; None as long as a figure is missing.

    Args:
        known: finished runs, by the names that the lesson gives them.
    """
    values = {key: spec.value(known) for key, spec in (prediction.largest or {}).items()}
    found = {key: value for key, value in values.items() if value is not None}
    if not found or len(found) < len(values):
        return None
    best, second = sorted(found.values(), reverse=True)[:2]
    if prediction.same_within and best - second <= prediction.same_within:
        return SAME
    return max(found, key=found.__getitem__)


def outcome(prediction: Prediction, given: Value | None, known: Mapping[str, Run]) -> Outcome:
    """One prediction beside what happened.

    Args:
        given: what the learner predicted; None if nothing.
    """
    if prediction.figure is not None:
        spec = prediction.figure
        value = spec.value(known)
        number = given if isinstance(given, float) else None
        note = ""
        if value is not None and number is not None:
            # the difference of what is shown
            shown = (
                float(spec.shown(each).split(" ")[0].replace(",", "").replace("−", "-")) for each in (value, number)
            )
            difference = next(shown) - next(shown)
            side = "above" if difference > 0 else "below"
            unit = " points" if spec.unit == "%" else ""
            size = spec.shown(abs(difference)).removesuffix(" %")
            note = f"{size}{unit} {side} your prediction" if abs(difference) > 1e-9 else "as you predicted"
        return Outcome(prediction.ask, spec.shown(number), spec.shown(value) if value is not None else "", note, None)
    options = prediction.options or {}
    right = right_option(prediction, known)
    figures = ", ".join(
        f"{options[key]} {spec.shown(spec.value(known))}" for key, spec in (prediction.largest or {}).items()
    )
    return Outcome(
        prediction.ask,
        options.get(str(given), "–"),
        options[right] if right is not None else "",
        figures if right is not None else "",
        None if right is None or given is None else right == given,
    )


def outcomes(lesson: Lesson, given: Mapping[str, Value], known: Mapping[str, Run]) -> list[Outcome]:
    """Each prediction of a lesson beside what happened, in its order."""
    return [outcome(each, given.get(name), known) for name, each in lesson.predictions.items()]


# --- whether what the text says is so ---------------------------------------------------------------------------------


def verdict(claim: Claim, known: Mapping[str, Run]) -> str | None:
    """Empty if a statement holds for these runs, else what was measured, as a sentence; None without it."""
    if claim.figure is not None:
        value = claim.figure.value(known)
        if value is None:
            return None
        # half a unit of the last digit, and what a float of it may be off by
        holds = abs(value - claim.number) <= claim.within + 1e-9
        return "" if holds else f"“{claim.text}”: {claim.figure.text} is {value:.5g}, not {claim.number:g}."
    assert claim.larger is not None and claim.than is not None
    larger, than = claim.larger.value(known), claim.than.value(known)
    if larger is None or than is None:
        return None
    more = f" by {claim.by:g}" if claim.by else ""
    holds = larger - than >= claim.by if claim.by else larger > than
    return (
        ""
        if holds
        else (
            f"“{claim.text}”: {claim.larger.text} is {larger:.5g}, not larger{more} than {claim.than.text}, {than:.5g}."
        )
    )


def unproved(lesson: Lesson) -> list[str]:
    """Sentences of the text with a figure that no claim about them holds."""
    said = [text.plain(claim.text) for claim in lesson.claims]
    return [
        sentence
        for number, sentence in text.figures_said(lesson.sections)
        if not any(number in each and each in sentence for each in said)
    ]
