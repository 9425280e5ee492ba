"""Columns of a table of runs as the browser gets them: numbers as numbers, each text once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def words(values: Iterable[str]) -> tuple[list[int], list[str]]:
    """Places of texts in the list of those there are, and that list."""
    places: dict[str, int] = {}
    found = [places.setdefault(value, len(places)) for value in values]
    return found, list(places)


def numbers(values: Iterable[float | int | None]) -> list[float | int | None]:
    """As many digits as are shown or compared."""
    return [float(f"{value:.7g}") if isinstance(value, float) else value for value in values]


def packed(values: Sequence[Any], notes: Sequence[str] | None = None) -> dict[str, Any]:
    """One column.

    Args:
        values: numbers and None alone, or texts and None.
        notes: what stands small beside each value; empty for nothing.
    """
    found: dict[str, Any]
    if all(value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values):
        found = {"values": numbers(values)}
    else:
        places, texts = words("" if value is None else str(value) for value in values)
        found = {"values": places, "words": texts}
    if notes is not None and any(notes):
        found["notes"], found["noteWords"] = words(notes)
    return found
