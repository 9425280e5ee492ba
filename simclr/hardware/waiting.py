"""How long a run's threads wait for a core that others hold (Linux; no torch).

The scheduler counts for each thread the time on a core and the time that it wanted one
(`/proc/PID/task/TID/schedstat`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from simclr.hardware.cores import num_cores

OWN_SHARE = 0.9  # of all cores: a run that has this much of them waits for its own threads


class WaitMeter:
    """Measures processes with all their threads."""

    def __init__(self) -> None:
        self._before: dict[tuple[int, str], tuple[int, int]] = {}

    def sample(self, pids: Iterable[int]) -> float | None:
        """Share of the time since the last sample in which threads that wanted a core had none, 0..1.

        None at the first sample, and where nobody tells.
        """
        before, self._before = self._before, dict(_times(pids))
        both = self._before.keys() & before.keys()
        ran, waited = (sum(self._before[key][part] - before[key][part] for key in both) for part in (0, 1))
        return waited / (ran + waited) if ran + waited > 0 else None


def fills_the_cores(cpu_percent: float | None) -> bool:
    """Whether a run takes nearly all cores that it may use, so that what waits are its own threads."""
    return cpu_percent is not None and cpu_percent >= 100 * OWN_SHARE * num_cores()


def _times(pids: Iterable[int]) -> Iterable[tuple[tuple[int, str], tuple[int, int]]]:
    """Nanoseconds on a core and in wait for one, of each thread."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError, ValueError):
                    ran, waited, _ = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()
                    yield (pid, thread), (int(ran), int(waited))
