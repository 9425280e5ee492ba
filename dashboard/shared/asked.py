"""What an address asks for that is not there, or makes no sense: said in one sentence with what is shown instead."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TypeVar

from dashboard.shared import store, url_state
from dashboard.shared.url_state import say_instead
from simclr import runs

Value = TypeVar("Value")
KIND_NAMES = {"pretrain": "a pre-training", "finetune": "a fine-tuning", "scratch": "a training from scratch"}


def one_of(query: url_state.Query, name: str, options: Mapping[str, Value], instead: str) -> Value | None:
    """What a parameter says, of a few words; None where it says nothing, or nothing that is known, which is noted.

    Args:
        options: by their texts in an address.
        instead: what is then shown.
    """
    text = url_state.last_values(query).get(name, "")
    if text in options:
        return options[text]
    if text:
        say_instead(name, text, url_state.none_of(list(options)), instead)
    return None


def number_in(
    query: url_state.Query, name: str, low: float, high: float, instead: str, *, whole: bool = False
) -> float | None:
    """A number that a parameter says; None where it says nothing, or none from `low` to `high`, which is noted."""
    text = url_state.last_values(query).get(name, "")
    if not text:
        return None
    try:
        value = float(text) if len(text) < 25 else math.nan
    except ValueError:
        value = math.nan
    if low <= value <= high and (not whole or text.isdecimal()):
        return int(value) if whole else value
    kind = "whole number" if whole else "number"
    say_instead(name, text, f"is no {kind} from {low:,g} to {high:,.10g}", instead)
    return None


def numbers(query: url_state.Query, name: str, instead: str, *, separator: str = ",", digits: int = 12) -> list[int]:
    """Whole numbers of at most so many digits that a parameter lists; what is none is left out and noted."""
    words = url_state.last_values(query).get(name, "").split(separator)
    wrong = [word for word in words if word and not (word.isdecimal() and len(word) <= digits)]
    if wrong:
        say_instead(name, wrong, "is no whole number", instead)
    return [int(word) for word in words if word and word not in wrong]


# --- runs ------------------------------------------------------------------------------------------------------------


def why_not(run_id: str, kinds: Iterable[str] = ()) -> str:
    """Why an id names no run that could be shown, in words that follow "which"; empty where it names one.

    Args:
        kinds: of runs that would do; none: any.
    """
    run = store.find(run_id)
    if run is None:
        is_deleted = (
            "/" not in run_id and run_id not in ("", ".", "..") and (store.runs_dir() / runs.TRASH / run_id).is_dir()
        )
        return "was deleted and lies in the trash" if is_deleted else "is no run here"
    if kinds and run.kind not in kinds:
        wanted = " or ".join(KIND_NAMES[kind] for kind in kinds)
        return f"is {KIND_NAMES.get(run.kind, 'a run of an unknown kind')} and not {wanted}"
    return ""
