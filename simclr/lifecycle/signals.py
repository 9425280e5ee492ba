"""Signals that ask a training to stop, and what is said of it then (no torch).

How a killed one ended, `launch.supervisor` writes.
"""

from __future__ import annotations

import signal
import threading
from typing import Any, Protocol

from simclr import runs


class StopPolicy(Protocol):
    """What the starter of a training knows of its stops, such as that its Slurm job will be queued again."""

    signals: tuple[int, ...]  # that ask for a stop, besides the usual ones

    def final_status(self, received: set[int]) -> dict[str, Any]:
        """State, reason and sentence for a run that was asked to stop and has saved.

        Args:
            received: the signals that this process was sent; grows meanwhile.
        """


class StopSignals:
    """SIGTERM and Ctrl-C ask for a clean stop, as does what a policy names; a second Ctrl-C ends at once.

    Args:
        policy: of the starter of this run; None: a stop ends it.
    """

    def __init__(self, policy: StopPolicy | None = None) -> None:
        self.requested = threading.Event()
        self._policy = policy
        self._received: set[int] = set()
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        more = self._policy.signals if self._policy is not None else ()
        for number in (signal.SIGTERM, signal.SIGINT, *more):
            before = signal.signal(number, self._handle)
            if before != self._handle:
                self._before.setdefault(number, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._before)  # a Slurm task has held them back until now

    def _handle(self, number: int, frame: Any) -> None:
        if self.requested.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received.add(number)
        self.requested.set()

    def final_status(self) -> dict[str, Any]:
        """What to write into the status of a run that was asked to stop and has saved."""
        if self._policy is not None:
            return self._policy.final_status(self._received)
        return {"state": "stopped", "reason": "on request", "exit_code": runs.STOPPED_EXIT_CODE}

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
