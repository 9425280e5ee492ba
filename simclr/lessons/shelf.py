"""Where lessons lie: those that ship with the package, and a teacher's own beside the runs (no torch).

simclr/lessons/texts/NAME/lesson.md
RUNS/lessons/NAME/lesson.md
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from simclr import PACKAGE
from simclr.config import ConfigError
from simclr.lessons import reading
from simclr.lessons.lesson import Lesson
from simclr.runs import metrics_csv

SHIPPED = PACKAGE / "lessons" / "texts"
OWN = "lessons"
MAX_FOLDERS = 100
# In the order in which they are learned; others follow by name.
FIRST = ("chance-line", "what-is-forgotten", "one-per-cent")


def folders(runs_dir: Path) -> list[Path]:
    """The folders of all lessons: the shipped ones, then a teacher's own by name."""
    own = sorted(_inside(runs_dir / OWN))[:MAX_FOLDERS]
    shipped = sorted(_inside(SHIPPED), key=lambda path: (path.name not in FIRST, _place(path.name), path.name))
    names = {path.name for path in shipped}
    return [*shipped, *(path for path in own if path.name not in names)]


def _place(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)


def _inside(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            yield from [Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return


def lessons(runs_dir: Path) -> tuple[list[Lesson], list[str]]:
    """All that can be read, and a sentence for each that cannot."""
    found, faults = [], []
    for folder in folders(runs_dir):
        try:
            found.append(load(folder))
        except ConfigError as error:
            faults.append(str(error))
    return found, faults


def find(name: str, runs_dir: Path) -> Lesson | None:
    """The lesson of this name; None if there is none.

    Raises:
        ConfigError: if it cannot be read.
    """
    folder = next((path for path in folders(runs_dir) if path.name == name), None)
    return load(folder) if folder is not None else None


def load(folder: Path) -> Lesson:
    """A lesson, read again when its file has changed; raises ConfigError as `reading.read`."""
    return _load(folder, metrics_csv.signature(folder / reading.FILE))


@lru_cache(maxsize=2 * MAX_FOLDERS)
def _load(folder: Path, _signature: tuple[int, int] | None) -> Lesson:
    return reading.read(folder)
