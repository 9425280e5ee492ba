"""Views of the table of runs that are kept under a name, in one file beside the runs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from simclr.config import ConfigError, not_written
from simclr.files import safe_read, writing

FILE = ".views.json"
PARTS = ("kind", "state", "text", "columns", "sort", "group", "baseline")
MAX_VIEWS, MAX_NAME, MAX_PART, MAX_BYTES = 100, 60, 4000, 2**20

View = dict[str, str]  # the parts that are not as at first, as they stand in an address


def read(runs_dir: Path) -> dict[str, View]:
    """The views by name, in the order in which they were kept; what is damaged, or makes no sense, is left out."""
    with contextlib.suppress(OSError, ValueError):
        found = safe_read.read_json(runs_dir / FILE, MAX_BYTES)
        views = found.get("views") if isinstance(found, dict) else None
        if isinstance(views, dict):
            pairs = ((clean_name(name), view) for name, view in list(views.items())[:MAX_VIEWS])
            return {name: _view(view) for name, view in pairs if name and isinstance(view, dict)}
    return {}


def _view(values: Mapping[str, object]) -> View:
    return {
        name: value
        for name in PARTS
        if isinstance(value := values.get(name), str) and value and len(value) <= MAX_PART and value.isprintable()
    }


def clean_name(name: str) -> str:
    """A name in one line, without spaces around it, of at most `MAX_NAME` characters."""
    return "".join(sign for sign in " ".join(name.split()) if sign.isprintable())[:MAX_NAME].strip()


def keep(runs_dir: Path, name: str, view: Mapping[str, str]) -> str:
    """Keeps a view, in place of one of the same name; returns the name as it is kept.

    Raises:
        ConfigError: if the name is empty, there are too many, or the file cannot be written.
    """
    name = clean_name(name)
    if not name:
        raise ConfigError("The view has no name; allowed: 1 to 60 characters.")

    def change(views: dict[str, View]) -> None:
        if name not in views and len(views) >= MAX_VIEWS:
            raise ConfigError(f"There are {MAX_VIEWS} views already, which is as many as are kept; delete one first.")
        views[name] = _view(view)

    _change(runs_dir, change)
    return name


def delete(runs_dir: Path, name: str) -> None:
    """Deletes a view; one that is not there is none already.

    Raises:
        ConfigError: if the file cannot be written.
    """
    _change(runs_dir, lambda views: views.pop(name, None))


def _change(runs_dir: Path, change: Callable[[dict[str, View]], object]) -> None:
    try:
        with writing.locked(runs_dir):
            views = read(runs_dir)
            change(views)
            writing.write_atomically(runs_dir / FILE, json.dumps({"views": views}, indent=1))
    except OSError as error:
        raise not_written(f"{runs_dir / FILE} cannot be written", error, "SIMCLR_RUNS_DIR") from None
