"""What programs log as JSON: an object for each line, a list of them, or a list for each figure (no torch).

As MAE's and DINO's log.txt, the metrics.json of detectron2, the .log.json of OpenMMLab, and a history of Keras. Nothing
in a text is trusted: what is no number is left out, and a line that is no object costs that line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from simclr.files import safe_read

SUFFIXES = (".json", ".jsonl", ".ndjson", ".jsonlines", ".txt", ".log")
BEGINNING = re.compile(r"\s*(?:\{\s*(?:[\"}]|$)|\[\s*(?:\{|$))")
BEGINNING_BYTES = 256
MAX_NAMES = 2000  # of one row
MAX_NESTED = 4
LOOKED_AT = 200  # rows whose names tell whether it is a log
# What programs call the images that a row's figures are of; their value stands before the names, as in val/loss.
PARTS = ("mode", "split", "phase", "subset")
HISTORY = "log_history"  # in trainer_state.json of transformers


class NoRows(ValueError):
    """A text is no log in JSON; the message says why."""


def begins(text: str) -> bool:
    """Whether a text begins as one of these does."""
    return BEGINNING.match(text) is not None


def names(text: str) -> tuple[str, ...]:
    """The names in the first rows, where there are two: a single object may be options, of which many are numbers."""
    found = _entries(text)
    if isinstance(found, dict):
        return tuple(name for name, value in found.items() if isinstance(value, list) and len(value) > 1)
    if len(found) < 2:
        return ()
    return tuple(dict.fromkeys(name for entry in found[:LOOKED_AT] for name in _numbers(entry, frozenset())))


def rows(text: str, places: frozenset[str]) -> list[dict[str, float]]:
    """The numbers of each row, by name; those of an inner object as `train/loss`.

    Args:
        places: names, in lower case, that say where a row lies, so that nothing is put before them.

    Raises:
        NoRows: if there are none.
    """
    found = _entries(text)
    if isinstance(found, dict):
        told = (name for name, value in found.items() if _number(value) is not None)
        is_row = "\n" not in text.strip() and any(_is_place(name, places) for name in told)
        found = [found] if is_row else _of_lists(found)
    if not found:
        raise NoRows("it is JSON, but neither an object in each line, nor a list of them, nor a list for each figure")
    return [row for entry in found if (row := _numbers(entry, places))]


def _entries(text: str) -> list[dict[str, Any]] | dict[str, Any]:
    """The objects of the rows; or the one object that all is."""
    found = []
    for line in text.split("\n"):
        line = line.strip().lstrip("[").rstrip(",]")  # of a list that a program has not ended yet
        if line.startswith("{") and isinstance(values := _parsed(line), dict):
            found.append(values)
    if len(found) > 1:
        return found
    whole = _parsed(text)
    if isinstance(whole, dict):
        history = whole.get(HISTORY)
        if not isinstance(history, list):
            return whole
        whole = history
    return [entry for entry in whole if isinstance(entry, dict)] if isinstance(whole, list) else found


def _parsed(text: str) -> Any:
    try:
        return safe_read.parse_json(text)
    except ValueError:
        return None


def _is_place(name: str, places: frozenset[str]) -> bool:
    return name.strip().lower() in places


def _of_lists(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of lists side by side, as a history of Keras has them."""
    columns = {name: value for name, value in values.items() if isinstance(value, list)}
    table: list[dict[str, Any]] = [{} for _ in range(max(map(len, columns.values()), default=0))]
    for name, column in list(columns.items())[:MAX_NAMES]:
        for row, value in zip(table, column, strict=False):
            row[name] = value
    return table


def _numbers(entry: Mapping[str, Any], places: frozenset[str]) -> dict[str, float]:
    part = next((entry[name] for name in PARTS if isinstance(entry.get(name), str)), "")[:40]
    found: dict[str, float] = {}
    waiting = [("", entry, 0)]
    while waiting:
        prefix, values, depth = waiting.pop(0)
        for name, value in values.items():
            if len(found) >= MAX_NAMES:
                return found
            if isinstance(value, dict) and depth < MAX_NESTED:
                waiting.append((f"{prefix}{name}/", value, depth + 1))
            elif (number := _number(value)) is not None:
                is_place = not prefix and _is_place(name, places)
                found[f"{prefix}{name}" if is_place or not part else f"{part}/{prefix}{name}"] = number
    return found


def _number(value: Any) -> float | None:
    """A finite number, also in a list of its own or in a text, as some programs write it."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and len(value) <= safe_read.MAX_NUMBER_LENGTH:
        try:
            value = float(value)
        except ValueError:
            return None
    return safe_read.finite_number(value)
