"""What would do in place of a value that is refused: found by trying, so that what is offered is right (no torch)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from simclr.config.fields import Options, bounds, choices, field_type, is_optional, option_names

MAX_TRIED = 30
Problems = Callable[[Mapping[str, Any]], list[str]]  # what is wrong with values by dotted name, one sentence each


@dataclass(frozen=True)
class Remedy:
    """A value of an option with which a sentence no longer holds."""

    option: str
    value: Any


def subject(sentence: str, names: Mapping[str, Any]) -> str:
    """The option that a sentence is about, with whose name it begins; empty where it begins otherwise."""
    first = sentence.split(" ", 1)[0]
    return first if first in names else ""


def find(model: type[Options], values: Mapping[str, Any], sentence: str, problems: Problems) -> Remedy | None:
    """What would do, by what the sentence itself allows, else by what the options allow; None if nothing tried does.

    Args:
        values: by dotted name.
        problems: all that is wrong with values; with the remedy it says nothing new, and this no longer.
    """
    names = option_names(model)
    about, before = subject(sentence, names), set(problems(values))
    waiting = list(_candidates(names, values, sentence))
    tried: list[Remedy] = []
    while waiting and len(tried) < MAX_TRIED:
        remedy = waiting.pop(0)
        if remedy in tried or values.get(remedy.option) == remedy.value:
            continue
        tried.append(remedy)
        changed = {**values, remedy.option: remedy.value}
        after = set(problems(changed))
        same = [text for text in after if about and subject(text, names) == about]
        if sentence not in after and not same and after <= before:
            return remedy
        # too little in place of too much: what is said of that tells what lies between
        waiting[:0] = [item for text in same if text != sentence for item in _candidates(names, changed, text)]
    return None


def _candidates(names: Mapping[str, Any], values: Mapping[str, Any], sentence: str) -> Iterator[Remedy]:
    own = subject(sentence, names)
    allowed = sentence.partition("allowed")[2]
    for name, text in re.findall(r"\b(?=([a-z_]+(?:\.[a-z_]+)?) (?:such as )?([a-z0-9_.-]+))", allowed):
        if name in names and (value := _typed(names[name], text.rstrip("."))) is not None:
            yield Remedy(name, value)
    if not own:
        return
    info, current = names[own], values.get(own)
    if words := choices(info):
        near = difflib.get_close_matches(str(current), words, n=1, cutoff=0.5)
        named = [word for word in re.findall(r"[\w-]+", allowed) if word in words]
        yield from (Remedy(own, word) for word in (*near, *named))
    found = [_typed(info, text) for text in re.findall(r"-?\d[\d,]*(?:\.\d+)?", allowed)]
    if " odd " in allowed and isinstance(current, int):
        found += [current - 1, current + 1]
    numbers = [number for number in found if number is not None]
    limits = [number for limit in bounds(info).values() if (number := _typed(info, limit)) is not None]
    if isinstance(current, int | float):
        for each in (numbers, limits):
            each.sort(key=lambda number: abs(number - current))
    yield from (Remedy(own, number) for number in numbers)
    if is_optional(info) and "unset" in allowed:
        yield Remedy(own, None)
    yield from (Remedy(own, number) for number in limits)
    if info.default is not None and not info.is_required():
        yield Remedy(own, info.default)
    if is_optional(info):
        yield Remedy(own, None)


def _typed(info: Any, text: Any) -> Any:
    """A word or number of a sentence as a value of the option; None where it is none."""
    kind = field_type(info)
    if words := choices(info):
        return text if text in words else None
    if kind is bool:
        return {"true": True, "false": False}.get(str(text))
    if kind not in (int, float):
        return None
    try:
        number = float(str(text).replace(",", ""))
    except ValueError:
        return None
    return int(number) if kind is int and number == int(number) else None if kind is int else number
