"""The rows of a CSV text that another program wrote, each with the line breaks that its quoted cells hold (no torch).

A quote that is never closed, as in a torn line or an unquoted text, costs its own row and none after it: the module
`csv` would take all that follows for one cell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_CELL_LINES = 200  # a trace of an error is a cell of some fifty
# What ends a line in a CSV file; `str.splitlines` also ends one at a form feed and at signs that a text may hold.
LINE_END = re.compile(r"\r\n|\n|\r")


def lines_of(text: str) -> list[str]:
    """The lines that are not blank."""
    return [line for line in LINE_END.split(text) if line.strip()]


def unquoted(row: str) -> str:
    """A row without what stands in quotes: separators in it separate nothing."""
    return re.sub(r'"[^"]*"', '""', row) if '"' in row else row


def joined(lines: Sequence[str], delimiters: str) -> list[str]:
    """The rows, where a line break within a quoted cell ends none.

    Args:
        delimiters: the signs after which a cell may begin; several where it is not known yet which one it is.
    """
    if not any('"' in line for line in lines):
        return list(lines)
    opening = re.compile(rf'(?:^|[{re.escape(delimiters)}]) *"')
    closing = re.compile(rf'"(?= *(?:$|[{re.escape(delimiters)}]))')
    rows: list[str] = []
    place = 0
    while place < len(lines):
        end = _end(lines, place, opening, closing)
        rows.append("\n".join(lines[place:end]))
        place = end
    return rows


def _end(lines: Sequence[str], place: int, opening: re.Pattern[str], closing: re.Pattern[str]) -> int:
    """The line after the row that begins with this one; the next where a quote of it is not closed as it should be."""
    at, is_open = 0, False
    for number in range(place, min(len(lines), place + MAX_CELL_LINES)):
        line = lines[number]
        while True:
            if not is_open:
                found = opening.search(line, at)
                if found is None:
                    return number + 1
                at, is_open = found.end(), True
            quote = _next_quote(line, at)
            if quote < 0:
                break
            if closing.match(line, quote) is None:
                if number > place:
                    return place + 1
                at = quote + 1  # as in "yes" or no
                is_open = False
                continue
            at, is_open = quote + 1, False
        at = 0
    return place + 1


def _next_quote(line: str, at: int) -> int:
    """Where the next quote stands that is not one of two, which stand for one; -1 if there is none."""
    while (quote := line.find('"', at)) >= 0 and line.startswith('""', quote):
        at = quote + 2
    return quote
