"""The filter of a table of runs: a line of words and conditions, as `dataset:cifar10 knn>85 -tag:old`.

    line       = term, separated by spaces
    term       = ["-"] (condition | word)            "-": the runs that it does not hold for
    condition  = name operator value {"," value}     several values: one of them is enough
    operator   = ":" | "=" | "!=" | ">" | ">=" | "<" | "<="
    value      = characters, or "in quotation marks", where \\" is a quotation mark and \\\\ a backslash

A run passes if all terms hold. A word is looked for in its name, id, data set, backbone, tags, notes and experiment.
Of a text `:` looks for a part, `=` for the whole, in capitals or not, with any kind of space and apostrophe; of a
number both are equality. `name:*` holds where there is a value. An accuracy or other share above 1 is meant in per
cent, so that `knn>85`, `knn>85%` and `knn>0.85` are the same. A duration is seconds, or has a unit: s, min, h, d. A
moment is a date: `started>=2026-11-29`.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from simclr import config as cfg
from simclr.files.names import folded
from simclr.results.index import Summary
from simclr.run_table import columns
from simclr.run_table.columns import Column

MAX_LENGTH, MAX_TERMS = 2000, 60
OPERATORS = (":", "=", "!=", ">", ">=", "<", "<=")
ORDERS = (">", ">=", "<", "<=")
Value = Callable[[Column, Summary], Any]  # what a column has of a run

_TOKEN = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*(?:"|\\?\Z))+')
_CONDITION = re.compile(r"([A-Za-z_][\w.\-/]*)(!=|>=|<=|:|=|>|<)(.*)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)("|\\?\Z)')
_UNITS = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([\d.]+)\s*(s|min|h|d|)")
_DATES = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m", "%Y")


@dataclass(frozen=True)
class Term:
    """One part of a filter.

    Attributes:
        values: of which one has to hold; of a word the word alone.
        name: of a figure or option, as it was written; empty for a word.
        operator: one of `OPERATORS`; empty for a word.
        is_not: whether it must not hold.
    """

    values: tuple[str, ...]
    name: str = ""
    operator: str = ""
    is_not: bool = False

    def __str__(self) -> str:
        values = ",".join(map(_quoted, self.values))
        return f"{'-' if self.is_not else ''}{self.name}{self.operator}{values}"


@dataclass(frozen=True)
class Filter:
    """A filter that was read.

    Attributes:
        terms: those that are understood.
        problems: a sentence for each that is not.
    """

    terms: tuple[Term, ...] = ()
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    @property
    def names(self) -> set[str]:
        """Of the figures and options that it asks for, none by its short name."""
        return {columns.ALIASES.get(term.name, term.name) for term in self.terms if term.name}


def _quoted(value: str) -> str:
    if value and not re.search(r'[\s",\\:=<>!]', value) and not value.startswith("-"):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _split(text: str) -> tuple[str, ...]:
    """The values of a list, of which parts may be in quotation marks."""
    parts, place = [""], 0
    while place < len(text):
        quoted = _QUOTED.match(text, place)
        if quoted:
            parts[-1] += re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
            place = quoted.end()
            continue
        if text[place] == ",":
            parts.append("")
        else:
            parts[-1] += text[place]
        place += 1
    return tuple(parts)


def parse(text: str, more: Mapping[str, Column] | None = None) -> Filter:
    """The filter that a line says; never raises.

    Args:
        text: the line; what is longer than `MAX_LENGTH` is cut.
        more: options that only some run folders know.
    """
    terms: list[Term] = []
    problems: list[str] = []
    if len(text) > MAX_LENGTH:
        problems.append(f"The filter has {len(text):,} characters; allowed: {MAX_LENGTH:,}.")
    for token in _TOKEN.findall(text[:MAX_LENGTH])[: MAX_TERMS + 1]:
        if len(terms) == MAX_TERMS:
            problems.append(f"The filter has more than {MAX_TERMS} parts; allowed: {MAX_TERMS}.")
            break
        is_not = len(token) > 1 and token.startswith("-")
        body = token[1:] if is_not else token
        condition = _CONDITION.fullmatch(body)
        if condition is None:
            term = Term(("".join(_split(body)) if '"' in body else body,), is_not=is_not)
        else:
            name, operator, rest = condition.groups()
            term = Term(_split(rest), name, operator, is_not)
        problem = _problem(term, more)
        if problem:
            problems.append(problem)
        elif any(term.values):
            terms.append(term)
    return Filter(tuple(terms), tuple(dict.fromkeys(problems)))


def _problem(term: Term, more: Mapping[str, Column] | None) -> str:
    """Why a term makes no sense, in a sentence; empty if it does."""
    if not term.name:
        return ""
    column = columns.find(term.name, more)
    shown = term.name if len(term.name) <= 60 else f"{term.name[:57]}..."
    if column is None:
        known = [*columns.names(), *columns.ALIASES, *(more or {})]
        return f"{shown} is no figure or option of a run{cfg.nearest_name(term.name[:60], known) or '.'}"
    for value in term.values:
        said = value if len(value) <= 60 else f"{value[:57]}..."
        if not value:
            return f"{shown}{term.operator} has no value; allowed: a value after it, or {shown}:* for any."
        if column.allowed and term.operator in (":", "=", "!=") and value.lower() not in (*column.allowed, "*"):
            return f"{shown} is {said}; allowed: {', '.join(column.allowed)}."
        if term.operator in ORDERS and column.kind in ("text", "words"):
            return f"{shown} is text, which is not more or less than {said}; allowed: {shown}:{said}."
        if value != "*" and column.kind not in ("text", "words"):
            read = number(value, column)
            if read is None and not (column.is_option and term.operator not in ORDERS):
                return f"{shown} is {said}; allowed: {_allowed(column)}."
    return ""


def _allowed(column: Column) -> str:
    return {
        "share": "a number, as 85 or 85% (per cent) or 0.85",
        "seconds": "a duration, as 90, 90s, 5min, 2h or 1d",
        "moment": "a date, as 2026-11-29 or 2026-11-29T14:30",
    }.get(column.kind, "a number")


def number(text: str, column: Column) -> float | None:
    """A value of a filter in the unit of its column; None if it is no such number."""
    text = text.strip().lower()
    if len(text) > 40:
        return None
    if column.kind == "moment":
        return _moment(text)
    if column.kind == "seconds":
        found = _DURATION.fullmatch(text)
        value = _float(found[1]) if found else None
        return None if found is None or value is None else value * _UNITS[found[2]]
    is_percent = column.kind == "share" and text.endswith("%")
    value = _float(text.removesuffix("%").strip() if is_percent else text)
    if value is not None and column.kind == "share" and (is_percent or value > 1):
        value /= 100
    return value


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _moment(text: str) -> float | None:
    for form in _DATES:
        try:
            return datetime.datetime.strptime(text.upper() if "T" in form else text, form).timestamp()
        except (ValueError, OverflowError, OSError):
            continue
    return None


# --- which runs pass --------------------------------------------------------------------------------------------------


def passing(
    found: Filter, items: Iterable[Summary], value: Value, more: Mapping[str, Column] | None = None
) -> list[Summary]:
    """The runs that pass a filter, in their order.

    Args:
        value: what a column has of a run; None where it has nothing.
        more: options that only some run folders know, as the filter was parsed with.
    """
    tests = [_test_of(term, value, more) for term in found.terms]
    return [item for item in items if all(test(item) for test in tests)]


def _test_of(term: Term, value: Value, more: Mapping[str, Column] | None) -> Callable[[Summary], bool]:
    if not term.name:
        word = folded(term.values[0])
        return lambda item: (word in haystack(item)) != term.is_not
    column = columns.find(term.name, more)
    if column is None:
        raise ValueError(f"{term.name} is no column")
    is_not = term.is_not != (term.operator == "!=")
    operator = term.operator.removeprefix("!")
    return lambda item: any(_is(column, value(column, item), operator, text, item) for text in term.values) != is_not


def haystack(item: Summary) -> str:
    """What a word is looked for in, folded."""
    group = item.group.title if item.group is not None else ""
    words = (item.name, item.id, item.dataset, item.backbone, *item.tags, group, item.notes)
    return folded(" ".join(words))


def _is(column: Column, own: Any, operator: str, text: str, item: Summary) -> bool:
    if text == "*":
        return own not in (None, "", ())
    if column.name == "state" and text.lower() == "active":
        return item.is_active
    if column.kind == "words":
        parts, asked = [folded(str(word)) for word in own or ()], folded(text)
        return asked in parts if operator == "=" else any(asked in part for part in parts)
    if own is None:
        return column.is_option and text.lower() in ("null", "none")
    wanted = number(text, column)
    if isinstance(own, (int, float)) and not isinstance(own, bool) and wanted is not None and column.kind != "text":
        return _compare(float(own), operator, wanted, column)
    if operator in ORDERS:
        return False
    if column.kind == "text" and isinstance(own, (int, float)) and not isinstance(own, bool):
        as_number = _float(text)
        return as_number == own if as_number is not None else False
    said, asked = folded(str(own)), folded(text)
    return said == asked if operator == "=" or column.allowed else asked in said


def _compare(own: float, operator: str, wanted: float, column: Column) -> bool:
    if operator in ORDERS:
        close = math.isclose(own, wanted, rel_tol=1e-9)
        is_more = own > wanted and not close
        return {">": is_more, ">=": is_more or close, "<": not is_more and not close, "<=": not is_more}[operator]
    if column.kind == "moment":  # the day that it names
        return 0 <= own - wanted < 86_400
    # as exactly as it is shown: 85.3 % stands for all from 85.25 % on
    tolerance = 5e-4 if column.is_accuracy else 0.0
    return math.isclose(own, wanted, rel_tol=1e-9, abs_tol=tolerance)
