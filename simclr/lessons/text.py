"""The Markdown of a lesson: its sections, its links to pages, and the numbers that it says (no torch).

A link names a page and what it is to show, with runs of the lesson in braces:

    [their curves](curves?runs={flat},{learns})
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from simclr import config as cfg
from simclr.config import ConfigError
from simclr.lessons.lesson import PAPER, SECTIONS

# Addresses of the dashboard's pages that a lesson may lead to; the test of the page holds them and its navigation
# together.
PAGES = (
    "experiments",
    "race",
    "new-run",
    "curves",
    "results",
    "transfer",
    "run",
    "copies",
    "embeddings",
    "augmentations",
    "lessons",
)
_LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^()]*)\)")
_NAME = re.compile(r"\{([^{}]*)\}")
_FIGURE = re.compile(r"(?<![\w.])[-−]?\d[\d,]*\.\d+|(?<![\w.])\d[\d,.]*(?=\s*%)")
NOT_YET = "once its runs have finished"


def sections(body: str) -> dict[str, str]:
    """The text below each heading `## NAME`.

    Raises:
        ConfigError: if one is missing, unknown, there twice, empty, or not in its place.
    """
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in body.splitlines():
        if line.startswith("## "):
            name = line[3:].strip()
            if name not in SECTIONS:
                hint = cfg.nearest_name(name, SECTIONS)
                raise ConfigError(f"The heading {name[:60]} is none of a lesson; allowed: {_listed()}{hint or '.'}")
            if name in found:
                raise ConfigError(f"The heading {name} is there twice; allowed: once.")
            current = found[name] = []
        elif current is not None:
            current.append(line)
        elif line.strip():
            raise ConfigError(
                f"“{line.strip()[:60]}” stands above the first heading; allowed: below one of {_listed()}."
            )
    texts = {name: "\n".join(lines).strip() for name, lines in found.items()}
    for name in SECTIONS:
        if not texts.get(name):
            what = "empty" if name in texts else "missing"
            raise ConfigError(f"The heading ## {name} is {what}; allowed: {_listed()}, each with text below it.")
    if (order := list(texts)) != list(SECTIONS):
        raise ConfigError(f"The headings are {', '.join(order)}; allowed: in the order {_listed()}.")
    return texts


def _listed() -> str:
    return ", ".join(SECTIONS)


def check_links(text: str, names: Mapping[str, object]) -> None:
    """Raises ConfigError for a link to what is no page, or that names what is no run of the lesson, or for an image."""
    for mark, label, target in _LINK.findall(text):
        if mark:
            raise ConfigError(f"The image {label or target} cannot be shown; allowed: text and links.")
        if target.startswith("https://"):
            continue
        page = target.partition("?")[0]
        if page not in PAGES:
            hint = cfg.nearest_name(page, PAGES)
            allowed = f"https:// or one of the pages {', '.join(PAGES)}"
            raise ConfigError(f"The link {label} leads to {target[:60] or 'nothing'}; allowed: {allowed}{hint or '.'}")
        for name in _NAME.findall(target):
            if name not in names:
                hint = cfg.nearest_name(name, names)
                raise ConfigError(
                    f"The link {label} names {name[:60] or 'nothing'}, which is no run of the lesson; allowed: "
                    f"{', '.join(names) or 'none, as it has no runs'}{hint or '.'}"
                )


def linked(text: str, ids: Mapping[str, str]) -> str:
    """The text with the runs' ids in its links; a link to a run that is not there is its words, with when it will be.

    Args:
        ids: of the runs that a page can show, by their names in the lesson.
    """

    def of(match: re.Match[str]) -> str:
        label, target = match[2], match[3]
        if target.startswith("https://"):
            return match[0]
        if any(name not in ids for name in _NAME.findall(target)):
            return f"{label} ({NOT_YET})"
        return f"[{label}]({_NAME.sub(lambda name: quote(ids[name[1]], safe=''), target)})"

    return _LINK.sub(of, text)


def plain(text: str) -> str:
    """Words without emphasis and line ends, as a claim quotes them; of a link its label."""
    return " ".join(_LINK.sub(lambda match: match[2], text).replace("*", "").split())


def figures_said(parts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Numbers with a point or in per cent, with the sentence they stand in; what is told of the paper is the paper's.

    Args:
        parts: text by heading.
    """
    for name, text in parts.items():
        words = plain(text)
        for match in () if name == PAPER else _FIGURE.finditer(words):
            start = max(words.rfind(". ", 0, match.start()) + 1, 0)
            end = words.find(". ", match.end())
            yield match[0], words[start : end if end >= 0 else len(words)].strip()
