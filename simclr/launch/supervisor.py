"""The small process above a run: starts it, sees a stop through, and writes how it ended (no torch).

It is the trainer's parent, so it alone learns how the trainer ended, and it outlives whoever asked for the run.

    python -m simclr.supervisor FOLDER -- COMMAND ...    starts COMMAND, if the status names it, and stays
    python -m simclr.supervisor FOLDER                   stays with a run that has lost its supervisor
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from simclr import runs
from simclr.hardware import processes, rank_messages
from simclr.runs.status import Status

# A full disk may be emptied much later, and only this process knows what has to be written then.
WRITE_SECONDS = 3600.0


def _write_status(folder: Path, **changes: Any) -> None:
    """Writes to `status.json`, again and again while the disk does not take it; gives up where the folder is gone."""
    deadline = time.monotonic() + WRITE_SECONDS
    while folder.is_dir():
        try:
            runs.update_status(folder, **changes)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _is_deleted(folder: Path) -> bool:
    """Whether a run's folder was deleted under it; what it was writing at that moment may be left or come again."""
    return not any((folder / name).exists() for name in (runs.CONFIG, runs.META, runs.LOG))


class _Stop:
    """Passes a stop on, once, and kills the run's group when the time for a checkpoint is over."""

    def __init__(self, folder: Path, pid: int, start: float | None, may_ask: Callable[[Status], bool]) -> None:
        self.folder, self.pid, self.start, self.may_ask = folder, pid, start, may_ask
        self._seen: float | None = None  # counted from here: the clock on the wall may be set meanwhile
        self._asked = False

    def look(self) -> None:
        status = runs.read_status(self.folder)
        if _is_deleted(self.folder):  # nothing that it does can be kept any more
            processes.end_group(self.pid, self.start)
        if status.stop_requested is None:
            self._seen, self._asked = None, False
            return
        if self._seen is None:
            self._seen = time.monotonic()
        if not self._asked and self.may_ask(status):
            self._asked = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        if time.monotonic() - self._seen > runs.STOP_GRACE_SECONDS:
            processes.end_group(self.pid, self.start)


def supervise(folder: Path, command: list[str]) -> int:
    """Runs `command` in a group of its own, waits, and writes how it ended; returns its exit status."""
    _ignore_stop_signals()
    environment = rank_messages.fresh_environment(folder)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, env=environment)
    if not runs.read_status(folder).pid:
        _write_status(folder, pid=process.pid, process_start=processes.process_start(process.pid))
    # not before it can save: until then SIGTERM would just end it
    stop = _Stop(folder, process.pid, None, lambda status: status.started is not None)
    # Not collected before what it left behind, such as readers of images, has ended too: until then its pid is its own.
    while not _has_ended(process.pid):
        stop.look()
        time.sleep(processes.POLL_SECONDS)
    left = processes.end_group(process.pid, None)
    code = process.wait()
    if runs.read_status(folder).supervisor_pid == os.getpid():  # else resumed: its word is another supervisor's
        _conclude(folder, code, left)
        rank_messages.remove(rank_messages.supervised_folder(folder))
    return code


def _has_ended(child: int) -> bool:
    """Whether a child has ended; it stays uncollected. (`os.waitid` does the same, but not on every macOS.)"""
    try:
        return psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (OSError, psutil.Error):  # such as too many open files: says nothing about the child
        return False


def adopt(folder: Path) -> None:
    """Sees a run to its end whose own supervisor is gone. How it ends, only the run itself can say."""
    _ignore_stop_signals()
    status = runs.read_status(folder)
    is_alive, has_supervisor = runs.processes_alive(status)
    if not runs.is_own(folder):  # the process it names may be any other
        return
    if status.pid is None or not is_alive or has_supervisor:  # it has ended meanwhile, and may have been resumed
        return
    _write_status(folder, supervisor_pid=os.getpid(), supervisor_start=processes.process_start(os.getpid()))
    stop = _Stop(folder, status.pid, status.process_start, lambda _: True)
    while processes.is_alive(status.pid, status.process_start):
        stop.look()
        time.sleep(processes.POLL_SECONDS)
    left = processes.end_group(status.pid, status.process_start)
    if runs.read_status(folder).supervisor_pid == os.getpid():
        _conclude(folder, None, left)


def _ignore_stop_signals() -> None:
    """A stop is asked of the trainer, which has a checkpoint to write; the supervisor sees it through to the end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # and not SIG_IGN, which the trainer would inherit


def _conclude(folder: Path, code: int | None, left: list[int]) -> None:
    """Writes how a process ended, and what it did not say itself."""
    status = runs.read_status(folder)
    ended: dict[str, Any] = {}
    if code is not None:
        ended = {"exit_code": code if code >= 0 else None, "signal": -code if code < 0 else None}
    if status.is_active:
        ended |= {"ended": time.time(), "eta_seconds": None, "phase": "", **final_status(folder, status, code)}
    if _is_deleted(folder):
        ended |= {"state": "failed", "reason": "deleted", "error": "Its folder was deleted while it was going on."}
    if left:
        ended["error"] = f"Its processes {', '.join(map(str, left))} cannot be ended, not even by SIGKILL."
    _write_status(folder, **ended)


def final_status(folder: Path, status: Status, code: int | None) -> dict[str, str]:
    """State, reason and sentence for a process that ended without saying its own."""
    word = rank_messages.first_failure(rank_messages.supervised_folder(folder))
    if word is not None and code and status.stop_requested is None:  # another process of the run failed first
        return {"state": "failed", "reason": word.reason, "error": word.sentence}
    if code is None or code < 0:
        if status.stop_requested is not None:
            return {
                "state": "stopped",
                "reason": "killed after the grace time",
                "error": "It did not stop in time and was killed; what came after the last checkpoint is lost.",
            }
        if code is None:
            return {"state": "failed", "reason": "crashed", "error": runs.CRASHED}
        name = signal.Signals(-code).name if -code in signal.valid_signals() else "unknown"
        more = " The machine may have run out of memory." if -code == signal.SIGKILL else ""
        return {"state": "failed", "reason": f"killed by signal {-code}",
                "error": f"The process was killed by signal {-code} ({name}).{more}"}  # fmt: skip
    if code == 0:
        return {"state": "finished", "reason": ""}
    return {"state": "failed", "reason": f"exit status {code}",
            "error": f"The process ended with exit status {code}; the end of the log tells more."}  # fmt: skip


def main(arguments: list[str]) -> int:
    folder, *command = arguments
    if not command:
        adopt(Path(folder))
        return 0
    sys.stdin.read()  # until whoever started this has written so, or has died
    if runs.read_status(Path(folder)).supervisor_pid != os.getpid():
        return 0
    code = supervise(Path(folder), command[1:])
    if Path(folder).parent.name != runs.JOBS:  # a run's device is free now
        from simclr.launch import queue

        queue.ensure_scheduler(Path(folder).parent)
    return code and 1
