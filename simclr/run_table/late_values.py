"""What a table shows of runs that their summaries do not hold: all options, and figures on validation images.

Reading them takes some milliseconds a run. So it is done when a column or filter asks for them, once for each state of
a file, and where there are many runs in the background while the table is shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simclr import runs
from simclr.results import groups
from simclr.results.groups import MEASURES
from simclr.results.index import Summary
from simclr.run_table import columns
from simclr.run_table.columns import Column
from simclr.runs import Run, metrics_csv

_MEASURES = {measure.key: measure for measure in MEASURES if not measure.is_test}
MAX_NAMES = 500  # of options that no model has
MAX_TEXT = 200  # signs of an option's text
_OPTIONS = "options"


class LateValues:
    """Of the runs of one folder, for any number of threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.more: dict[str, Column] = {}  # options that only run folders know
        self.version = 0  # rises with each value that was read
        self._lock = threading.Lock()  # of what the reader in the background is to read
        self._reading = threading.Lock()  # of what was read: a value is read by one thread, once
        self._known: dict[tuple[str, str], tuple[Any, Any]] = {}  # run and what: signature of the file, value
        self._wanted: dict[tuple[str, str], tuple[Summary, Any]] = {}
        self._reader: threading.Thread | None = None

    def read(self, items: Sequence[Summary], names: Iterable[str], seconds: float | None = None) -> int:
        """Reads what columns need; returns of how many runs something is still to be read.

        Args:
            items: the runs.
            names: of columns; those that summaries hold cost nothing.
            seconds: after so long the rest is read in the background; None: never.
        """
        wanted = self._parts(names)
        if not wanted:
            return 0
        deadline = None if seconds is None else time.monotonic() + seconds
        unread: dict[tuple[str, str], tuple[Summary, Any]] = {}
        for item in items:
            for part in wanted:
                if part in _MEASURES and (item.kind not in _MEASURES[part].of or item.state != "finished"):
                    continue
                signature = self._signature(item, part)
                known = self._known.get((item.id, part))
                if known is not None and known[0] == signature:
                    continue
                if deadline is None or time.monotonic() < deadline:
                    self._take(item, part, signature)
                else:
                    unread[item.id, part] = item, signature
        with self._lock:
            self._wanted = unread
            if unread and (self._reader is None or not self._reader.is_alive()):
                self._reader = threading.Thread(target=self._read_on, name="options", daemon=True)
                self._reader.start()
        return len({run_id for run_id, _ in unread})

    def value(self, column: Column, item: Summary) -> Any:
        """What a column has of a run; None where it has nothing, or it was not read yet."""
        if column.read is not None:
            return column.read(item)
        if column.name in _MEASURES:
            known = self._known.get((item.id, column.name))
            is_meant = item.state == "finished" and item.kind in _MEASURES[column.name].of
            return known[1] if known is not None and is_meant else None
        known = self._known.get((item.id, _OPTIONS))
        return known[1].get(column.name) if known is not None else None

    @staticmethod
    def _parts(names: Iterable[str]) -> set[str]:
        """What has to be read for some columns; an unknown name may be an option that only a folder knows."""
        found = set()
        for name in names:
            column = columns.find(name)
            if column is None or column.read is None:
                found.add(name if name in _MEASURES else _OPTIONS)
        return found

    def _run(self, item: Summary) -> Run:
        return Run(self.folder / runs.EXAMPLES / item.id if item.is_example else self.folder / item.id)

    def _signature(self, item: Summary, part: str) -> Any:
        place = f"{runs.EXAMPLES}/{item.id}" if item.is_example else item.id
        return metrics_csv.signature(f"{self.folder}/{place}/{runs.CONFIG if part == _OPTIONS else runs.METRICS}")

    def _take(self, item: Summary, part: str, signature: Any) -> None:
        with self._reading:
            known = self._known.get((item.id, part))
            if known is not None and known[0] == signature:
                return  # another thread was quicker
            run = self._run(item)
            if part == _OPTIONS:
                value: Any = flat(run.config)
                self._note_names(value)
            else:
                value = groups.figure(item, _MEASURES[part], lambda _: run)
            self._known[item.id, part] = signature, value
            self.version += 1

    def _note_names(self, found: Mapping[str, Any]) -> None:
        for name, value in found.items():
            if name not in self.more and columns.find(name) is None and len(self.more) < MAX_NAMES:
                is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
                kind: columns.Kind = "number" if is_number else "text"
                self.more[name] = Column(name, name, kind, "An option from elsewhere.", is_option=True)

    def _read_on(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    return
                key = next(iter(self._wanted))
                item, signature = self._wanted.pop(key)
            start = time.monotonic()
            self._take(item, key[1], signature)
            time.sleep((time.monotonic() - start) / 2)  # a third of the time is the page's


def flat(values: Mapping[str, Any], prefix: str = "", depth: int = 4) -> dict[str, Any]:
    """Options by dotted name: numbers, texts, yes and no as they are, lists as text; nothing where there is none."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        full = f"{prefix}{name}"[:MAX_TEXT]
        if isinstance(value, dict):
            if depth and value:
                found |= flat(value, f"{full}.", depth - 1)
        elif isinstance(value, (list, tuple)):
            found[full] = ", ".join(str(each) for each in value[:20])[:MAX_TEXT] or None
        else:
            found[full] = value[:MAX_TEXT] if isinstance(value, str) else value
    return found
