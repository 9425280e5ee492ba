"""How many processor cores this process may use (no torch)."""

from __future__ import annotations

import contextlib
import os

from simclr.hardware import control_groups


def num_cores() -> int:
    """Cores that the system runs this process on; a batch system or `taskset` may leave it few of the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_cores() -> float:
    """The same, or fewer where a container has less time than that on them; 1.5 is one and a half cores."""
    return min([float(num_cores()), *_quotas()])


def _quotas() -> list[float]:
    """Cores that the control groups of this process allow it on average."""
    found = []
    for group, version in control_groups.folders("cpu"):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            if version == 2:
                quota, period = map(int, (group / "cpu.max").read_text().split())  # "max" where there is none
            else:
                quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            if quota > 0:  # -1 where there is none
                found.append(quota / period)
    return found
