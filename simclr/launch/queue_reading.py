"""What the queue knows of run folders, read again only where a file has changed (no torch).

The scheduler looks every second, and a sweep may have hundreds of runs that wait for others. A file that was replaced
has another inode, and no user can set the time of its last change (`st_ctime`), so that a file whose signature is the
same need not be read again.
"""

from __future__ import annotations

import socket
from pathlib import Path

from simclr import runs
from simclr.runs import Run, seals
from simclr.runs.status import Status

Signature = tuple[int, int, int, int]
# Status files of runs that have ended.
_ended: dict[Path, Signature] = {}
# Those of runs that wait, which change only when somebody changes them.
_waiting: dict[Path, tuple[Signature, Status]] = {}
# Of runs that this user has put there, the id of the run that has to be finished before.
_known: dict[Path, tuple[tuple[Signature | None, ...], str | None]] = {}


def _signature(path: Path) -> Signature | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size


def statuses(runs_dir: Path) -> list[tuple[Run, Status]]:
    """The local runs of the folder that are active, with their status; no examples."""
    found = []
    for run in sorted(runs.run_folders(runs_dir), key=lambda run: run.id, reverse=True):
        status = None if run.is_example else active(run.path)
        if status is not None and status.backend == "local":
            found.append((run, status))
    return found


def active(folder: Path) -> Status | None:
    """The status of a run or job if it is active."""
    path = folder / runs.STATUS
    if (signature := _signature(path)) is None or _ended.get(path) == signature:
        return None
    if (known := _waiting.get(path)) is not None and known[0] == signature:
        return known[1]
    status = runs.current_status(folder)
    if not status.is_active:
        _ended[path] = signature
        return None
    if (status.state, status.backend) == ("queued", "local"):
        _waiting[path] = signature, status
    return status


def _facts(run: Run) -> tuple[bool, str | None]:
    """Whether this user has put the run there, and the id of the run that has to be finished before it."""
    signatures = _signature(run.path / runs.META), _signature(run.path / seals.SEAL), _signature(run.path)
    known = _known.get(run.path)
    if known is not None and known[0] == signatures:
        return True, known[1]
    is_own, after = runs.is_own(run.path), run.after
    if is_own:  # what proves it may only not be readable at the moment
        _known[run.path] = signatures, after
    return is_own, after


def is_mine(run: Run, status: Status) -> bool:
    """Whether the run waits for a device of this machine, and this user has put it there: the folder may be shared
    with others, and a run folder may come from anywhere."""
    return status.state == "queued" and status.host in ("", socket.gethostname()) and _facts(run)[0]


class Before:
    """What waiting runs wait for, each looked up once.

    Args:
        found: the active local runs of the folder, with their status.
    """

    def __init__(self, found: list[tuple[Run, Status]]) -> None:
        self._active = {run.id for run, _ in found}
        self._states: dict[str, str] = {}

    def _state(self, run: Run, before: str) -> str:
        """`active`, `finished`, or another: that run will not be finished without anyone's doing."""
        if before in self._active:
            return "active"
        if before not in self._states:
            status = Run(run.path.parent / before).status
            self._states[before] = "active" if status.is_active else status.state
        return self._states[before]

    def waits(self, run: Run) -> bool:
        """Whether a run has to come after another that is not finished."""
        before = _facts(run)[1]
        return before is not None and self._state(run, before) != "finished"

    def is_held_up(self, run: Run) -> bool:
        """Whether it waits for a run that has failed, was stopped or is gone: only somebody's resuming that helps."""
        before = _facts(run)[1]
        return before is not None and self._state(run, before) not in ("finished", "active")
