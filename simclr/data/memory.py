"""How many bytes of images a process may keep in memory."""

from __future__ import annotations

import contextlib

import psutil

from simclr.hardware import control_groups


def memory_limit(share: float, num_processes: int = 1, device_bytes: int | None = None) -> int:
    """Bytes of decoded images that each process may keep in memory.

    Args:
        share: 0..1 of the memory; 0 means that all images are streamed.
        num_processes: on this machine, each with images of its own; they share its memory, not their GPUs'.
        device_bytes: memory of each process's GPU, where the images would lie.
    """
    available = min([psutil.virtual_memory().total, *_cgroup_limits()]) // max(1, num_processes)
    return int(share * min(available, device_bytes or available))


def _cgroup_limits() -> list[int]:
    """Memory limits, in bytes, of the control groups that this process is in."""
    limits = []
    for group, version in control_groups.folders("memory"):
        with contextlib.suppress(OSError, ValueError):  # "max" where there is none
            limits.append(int((group / ("memory.limit_in_bytes" if version == 1 else "memory.max")).read_text()))
    return limits
