"""Writes `status.json`: single changes under the folder's lock, and a running process's progress (no torch)."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from simclr.files import writing
from simclr.hardware import processes
from simclr.hardware.usage import UsageMeter
from simclr.runs.current_status import current_status
from simclr.runs.file_names import STATUS
from simclr.runs.status import DAMAGED, Status, load_status


def update_status(folder: Path, **changes: Any) -> Status:
    """Merges `changes` into `status.json` under the folder's lock; each field has one writer."""
    return change_status(folder, changes)


def change_status(
    folder: Path,
    changes: dict[str, Any] | Callable[[], dict[str, Any]],
    check: Callable[[], None] | None = None,
    lost: Status | None = None,
) -> Status:
    """Merges `changes` into `status.json` under the folder's lock.

    Args:
        changes: or what gives them, called under the lock: for those that depend on what the file holds.
        check: is called first, under the lock, and raises if the changes must not be made.
        lost: what the file held, in case it is gone or damaged.
    """
    with writing.locked(folder):
        try:
            status = load_status(folder)
        except FileNotFoundError:
            status = lost or Status()
        except ValueError:
            status = lost or DAMAGED
        if check is not None:
            check()
        status = replace(status, **(changes() if callable(changes) else changes))
        text = json.dumps(asdict(status), indent=1)
        try:
            writing.write_atomically(folder / STATUS, text)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            # A full disk has no room for a second file, but the blocks of this one exist. A reader may see it half
            # written, which is better than not showing that the disk is full.
            with open(folder / STATUS, "r+", encoding="utf-8") as stream:
                stream.write(text)
                stream.truncate()
    return status


class _TrainingUsage:
    """What a training used of the machine so far: means and peaks of what was measured while it trained."""

    def __init__(self) -> None:
        self._samples = 0
        self._means = {"held_up": (0.0, 0), "gpu_percent": (0.0, 0)}  # sum, count
        self._peaks: dict[str, int] = {}

    def add(self, found: dict[str, Any]) -> dict[str, Any]:
        """Takes in a sample of `UsageMeter` and gives the fields of the status."""
        self._samples += 1
        for name, (total, count) in self._means.items():
            if found.get(name) is not None:
                self._means[name] = (total + found[name], count + 1)
        for name in ("memory", "gpu_memory"):
            if found.get(name) is not None:
                self._peaks[name] = max(found[name], self._peaks.get(name, 0))
        return self.values()

    def values(self) -> dict[str, Any]:
        return {
            "usage_samples": self._samples,
            **{f"mean_{name}": total / count if count else None for name, (total, count) in self._means.items()},
            "peak_memory": self._peaks.get("memory"),
            "peak_gpu_memory": self._peaks.get("gpu_memory"),
        }


class StatusWriter:
    """Writes a process's own progress to `status.json` from a thread of its own, so that work never waits for a disk.

    It notes when step or phase last changed, counts the time left down between two updates, and measures what the
    process and its descendants use of the machine.

    Args:
        folder: where `status.json` is.
        interval: seconds between two writes; a heartbeat goes out even when nothing changed.
    """

    def __init__(self, folder: Path, interval: float = 1.0) -> None:
        self.folder = folder
        self._changes: dict[str, Any] = {}
        self._guard = threading.Lock()
        self._end = threading.Event()
        self._interval = interval
        self._seen: dict[str, Any] = {}  # step and phase as they were set last
        self._done_at: float | None = None  # when the work should be done
        self._last: Status | None = None  # as written last
        self._began = time.monotonic()
        self._training_usage = _TrainingUsage()
        self._thread = threading.Thread(target=self._loop, name="status", daemon=True)

    def start(self, **changes: Any) -> StatusWriter:
        """Writes which process this is and starts the heartbeat."""
        pid, now = os.getpid(), time.time()
        self._began = time.monotonic()

        def first() -> dict[str, Any]:
            before = current_status(self.folder)
            return {
                "state": "running",
                "pid": pid,
                "process_start": processes.process_start(pid),
                "host": socket.gethostname(),
                "boot": processes.boot_id(),
                "started": now,
                "heartbeat": now,
                "progressed": now,
                "seconds_before": before.elapsed_seconds or 0.0,
                "ended": None,
                "exit_code": None,
                "signal": None,
                "error": "",
                "reason": "",
                # one that was asked for while this process was starting still counts; from before a resume it does not
                "stop_requested": before.stop_requested if before.is_active else None,
                **self._training_usage.values(),
                **changes,
            }

        self._last = change_status(self.folder, first)
        self._thread.start()
        return self

    def set(self, **changes: Any) -> None:
        progress: dict[str, Any] = {name: changes[name] for name in ("step", "phase") if name in changes}
        with self._guard:
            if progress and progress != {name: self._seen.get(name) for name in progress}:
                self._seen |= progress
                self._changes["progressed"] = time.time()
            if "eta_seconds" in changes:
                left = changes["eta_seconds"]
                self._done_at = None if left is None else time.monotonic() + left
            self._changes |= changes

    def close(self, **changes: Any) -> None:
        """Stops the heartbeat and writes the final status."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
        unused = dict.fromkeys(
            ("eta_seconds", "cpu_percent", "held_up", "memory", "gpu_percent", "gpu_memory", "gpu_scope")
        )
        self.set(ended=time.time(), heartbeat=time.time(), **unused, **changes)
        self._write()

    def _write(self) -> None:
        with self._guard:
            changes, self._changes = self._changes, {}
            if self._done_at is not None:
                left = self._done_at - time.monotonic()
                changes["eta_seconds"] = left if left > 0 else None  # it takes longer than estimated
        if (last := self._last) is not None and last.started is not None:
            jump = time.time() - (time.monotonic() - self._began) - last.started
            if abs(jump) > 1:  # the clock was set; durations stay what they are
                changes["started"] = last.started + jump
                if last.progressed is not None:
                    changes.setdefault("progressed", last.progressed + jump)
        try:
            self._last = change_status(self.folder, changes, lost=self._last)
        except OSError:
            with self._guard:
                self._changes = changes | self._changes  # for the next try
            raise

    def _loop(self) -> None:
        usage = UsageMeter()
        while not self._end.wait(self._interval):
            with contextlib.suppress(Exception):  # an error in a driver must not stop the heartbeat
                found = usage.sample_if_due(self._last.device if self._last is not None else "")
                self.set(**found)
                if found and self._seen.get("phase") == "training":
                    self.set(**self._training_usage.add(found))
            # A full disk or a deleted folder must not end the training: the next beat tries again.
            with contextlib.suppress(OSError):
                self.set(heartbeat=time.time())
                self._write()
