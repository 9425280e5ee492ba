"""A rule, and the verdict that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["wait", "ok", "note", "alarm"]


@dataclass(frozen=True)
class Verdict:
    """How a run does.

    Attributes:
        state: one or two words for the rule that applies, such as `learning` or `collapse`.
        severity: `wait` before anything can be said, `ok`, `note` for something to know, `alarm` for something to act
            on.
        title: two or three words.
        sentence: what is seen, with its numbers.
        rule: when this is said.
        since: the epoch that it is true from; None where nothing is wrong.
        advice: what to do, or to watch; empty where there is nothing.
    """

    state: str
    severity: Severity
    title: str
    sentence: str
    rule: str
    since: int | None = None
    advice: str = ""


@dataclass(frozen=True)
class Rule:
    """One thing that a run can be told.

    Attributes:
        text: when it is said, with every number that decides.
    """

    state: str
    severity: Severity
    title: str
    text: str

    def found(self, sentence: str, since: int | None = None, advice: str = "") -> Verdict:
        """The verdict by this rule, on what was seen."""
        return Verdict(self.state, self.severity, self.title, sentence, self.text, since, advice)


def percent(share: float) -> str:
    """0.123 as `12.3 %`."""
    return f"{100 * share:.1f} %"
