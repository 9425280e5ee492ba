"""A table of texts, head first, in the forms in which it leaves the product."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence

from simclr.config import ConfigError
from simclr.results.wording import NOTHING

Rows = Sequence[Sequence[str]]
LATEX_SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "–": "--",
    "\u2212": "$-$",
    "`": r"\textasciigrave{}",
    "\u00a0": "~",
    "\u202f": r"\,",
    "\u2011": r"\mbox{-}",
}


def without_empty(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """A table without the columns that hold nothing but dashes, of which a file for a program keeps all."""
    if len(rows) < 2:
        return [list(row) for row in rows]
    kept = [place for place in range(len(rows[0])) if any(row[place] != NOTHING for row in rows[1:])]
    return [[row[place] for place in kept] for row in rows]


def as_text(rows: Rows) -> str:
    """Columns of one width: the first to the left, the others to the right."""
    rows = without_empty(rows)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def as_csv(rows: Rows) -> str:
    """Comma-separated values (RFC 4180)."""
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue().rstrip("\r\n")


def as_markdown(rows: Rows) -> str:
    """A table of GitHub's Markdown: the first column to the left, the others to the right."""
    rows = without_empty(rows)

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    escaped = [[" ".join(cell.replace("\\", "\\\\").replace("|", "\\|").split()) for cell in row] for row in rows]
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join([line(escaped[0]), line(rule), *map(line, escaped[1:])])


def as_latex(rows: Rows) -> str:
    """A tabular with rules of the package booktabs."""
    rows = without_empty(rows)

    def line(cells: Sequence[str]) -> str:
        return "  " + " & ".join(map(_in_latex, cells)) + r" \\"

    columns = "l" + "r" * (len(rows[0]) - 1)
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"  \toprule",
            line(rows[0]),
            r"  \midrule",
            *map(line, rows[1:]),
            r"  \bottomrule",
            r"\end{tabular}",
        ]
    )


def _in_latex(text: str) -> str:
    """A text in which nothing is a command, and the minus of a number is as long as its plus."""
    text = re.sub(r"(?<!\w)-(?=\d)", "\u2212", re.sub(r"[^\S\u00a0\u202f]+", " ", text))
    return "".join(LATEX_SIGNS.get(sign, sign) for sign in text)


FORMATS: dict[str, Callable[[Rows], str]] = {
    "table": as_text,
    "csv": as_csv,
    "markdown": as_markdown,
    "latex": as_latex,
}
HELP = f"{', '.join(FORMATS)} or json. Default: table."


def chosen(text: str | None) -> str:
    """What a user asked for: one of `FORMATS` or `json`; `table` if it is unset.

    Raises:
        ConfigError: for another word.
    """
    form = "table" if text is None else text
    if form not in (*FORMATS, "json"):
        raise ConfigError(f"format is {form or 'empty'}; allowed: {', '.join(FORMATS)} or json.")
    return form
