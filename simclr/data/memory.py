"""How many bytes of images a process may keep in memory."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


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
    """Memory limits, in bytes, of the control groups (versions 1 and 2) that this process is in; containers and
    batch systems set them."""
    limits = []
    with contextlib.suppress(OSError):
        for line in OWN_CGROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            top = CGROUPS / controllers
            inner = top / path.strip("/")
            for group in (inner, *inner.parents):  # any group above may have the lower limit
                if not group.is_relative_to(top):
                    break
                with contextlib.suppress(OSError, ValueError):  # "max" where there is none
                    limits.append(int((group / ("memory.limit_in_bytes" if controllers else "memory.max")).read_text()))
    return limits
