"""The supervisor of a run: starts it, carries out a stop request, and writes how it ended (no torch).

As the parent of the training process it alone learns how that ended. It outlives the process that asked for the run.

    python -m simclr.supervisor FOLDER -- COMMAND ...    starts COMMAND, if the status names it, and watches it
    python -m simclr.supervisor FOLDER                   watches a run that has lost its supervisor
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
    """Writes to `status.json`, repeatedly while the disk is full; gives up if the folder is gone."""
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
    """Passes a stop request on, once, and kills the run's process group after the grace time."""

    def __init__(self, folder: Path, pid: int, start: float | None, may_ask: Callable[[Status], bool]) -> None:
        self.folder, self.pid, self.start, self.may_ask = folder, pid, start, may_ask
        self._seen: float | None = None  # a monotonic time: the clock may be set meanwhile
        self._asked = False

    def look(self) -> None:
        status = runs.read_status(self.folder)
        if _is_deleted(self.folder):  # nothing that it writes can be kept
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
    # not before it can save: until then SIGTERM would end it at once
    stop = _Stop(folder, process.pid, None, lambda status: status.started is not None)
    # Not waited for before its own children, such as readers of images, have ended: until then its pid is not reused.
    while not _has_ended(process.pid):
        stop.look()
        time.sleep(processes.POLL_SECONDS)
    left = processes.end_group(process.pid, None)
    code = process.wait()
    if (
        runs.read_status(folder).supervisor_pid == os.getpid()
    ):  # else it was resumed, and another supervisor writes its status
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
    """Watches a run whose own supervisor is gone. How it ends, only the run itself can write."""
    _ignore_stop_signals()
    status = runs.read_status(folder)
    is_alive, has_supervisor = runs.processes_alive(status)
    if not runs.is_own(folder):  # the process it names may be any other
        return
    if status.pid is None or not is_alive or has_supervisor:  # it has ended meanwhile, or been resumed
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
    """A stop is for the training process, which has a checkpoint to write; the supervisor stays until its end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # and not SIG_IGN, which the trainer would inherit


def _conclude(folder: Path, code: int | None, left: list[int]) -> None:
    """Writes how a process ended, as far as it has not done so itself."""
    status = runs.read_status(folder)
    ended: dict[str, Any] = {}
    if code is not None:
        ended = {"exit_code": code if code >= 0 else None, "signal": -code if code < 0 else None}
    if status.is_active:
        ended |= {"ended": time.time(), "eta_seconds": None, "phase": "", **describe_end(folder, status, code)}
    if _is_deleted(folder):
        ended |= {"state": "failed", "reason": "deleted", "error": "Its folder was deleted while it was going on."}
    if left:
        ended["error"] = f"Its processes {', '.join(map(str, left))} cannot be ended, not even by SIGKILL."
    _write_status(folder, **ended)


def describe_end(folder: Path, status: Status, code: int | None) -> dict[str, str]:
    """State, reason and sentence for a process that ended without writing them."""
    message = rank_messages.first_failure(rank_messages.supervised_folder(folder))
    if message is not None and code and status.stop_requested is None:  # another process of the run failed first
        return {"state": "failed", "reason": message.reason, "error": message.sentence}
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
        return {
            "state": "failed",
            "reason": f"killed by signal {-code}",
            "error": f"The process was killed by signal {-code} ({name}).{more}",
        }
    if code == 0:
        return {"state": "finished", "reason": ""}
    return {
        "state": "failed",
        "reason": f"exit status {code}",
        "error": f"The process ended with exit status {code}; the end of the log tells more.",
    }


def main(arguments: list[str]) -> int:
    folder, *command = arguments
    if not command:
        adopt(Path(folder))
        return 0
    sys.stdin.read()  # until the process that started this one has written the status, or has died
    if runs.read_status(Path(folder)).supervisor_pid != os.getpid():
        return 0
    code = supervise(Path(folder), command[1:])
    if Path(folder).parent.name != runs.JOBS:  # a run's device is free now
        from simclr.launch import queue

        queue.ensure_scheduler(Path(folder).parent)
    return code and 1
