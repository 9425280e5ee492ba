"""Measures what a run's processes use: processor, memory, GPUs (no torch).

NVML reports processes by the pids of the machine. In a container with its own pids they cannot be matched; the figures
are then those of the whole GPU, and `gpu_scope` says so.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from simclr.hardware import devices, nvidia, waiting

EVERY_SECONDS = 2.0
# Looking costs some milliseconds, and more with more processes and memory: at most one part in this many of the time.
COST_LIMIT = 200
# The number of the first namespace of process ids, fixed in Linux (PROC_PID_INIT_INO).
FIRST_NAMESPACE = "pid:[4026531836]"
RUN, GPU = "run", "gpu"  # whose figures they are: the run's, or those of all users of the GPU


def cpu_seconds() -> float:
    """Processor seconds that this process has used since it began, with those of the processes that read images for it.

    Those are children of `multiprocessing`; others count once they have ended. It costs some microseconds, and some
    tens more for each child.
    """
    reading = multiprocessing.active_children()  # first, as it waits for those that have ended: they count below then
    total = sum(os.times()[:4])
    for child in reading:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(child.pid).cpu_times()
            total += times.user + times.system
    return total


class UsageMeter:
    """Measures a process and all its descendants.

    Memory is the sum of the proportional set sizes (PSS) where Linux has several processes to add up: those that read
    images are forked and share most of their pages, which a sum of resident sizes would count once for each. One
    process alone has its resident size, which is cheap to query.

    Args:
        pid: of the process; None: this one.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._root = psutil.Process(pid)
        self._seconds: dict[psutil.Process, float] = {}  # of processor time, at the last sample
        self._at: float | None = None
        self._waiting = waiting.WaitMeter()
        self._gpu_since = 0  # microseconds, the driver's own clock
        self._due = 0.0

    def sample_if_due(self, device: str = "") -> dict[str, Any]:
        """As `sample`, if the last one is long enough ago; else empty."""
        start = time.monotonic()
        if start < self._due:
            return {}
        found = self.sample(device)
        end = time.monotonic()
        self._due = end + max(EVERY_SECONDS, COST_LIMIT * (end - start))
        return found

    def sample(self, device: str = "") -> dict[str, Any]:
        """`cpu_percent` since the last sample (of one core), `held_up` (share of the time in which its threads wanted a
        core that others held, 0..1), `memory` (bytes), `gpu_percent` (mean over the GPUs that are used) and
        `gpu_memory` (bytes), and whose these two are, `gpu_scope`; None where it cannot be told.

        Args:
            device: that the run holds, as `gpu:0,1`; asked where NVML's processes cannot be told apart.
        """
        try:
            family = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            family = [self._root]
        scope = RUN if _sees_the_machines_pids() else GPU
        if scope == RUN:
            gpu_percent, gpu_memory = self._gpus({process.pid for process in family})
        else:
            gpu_percent, gpu_memory = _whole_gpus(device)
        cpu_percent = self._cpu(family)
        held_up = self._waiting.sample(process.pid for process in family)
        return {
            "cpu_percent": cpu_percent,
            "held_up": None if held_up is None else 0.0 if waiting.fills_the_cores(cpu_percent) else round(held_up, 3),
            "memory": _memory(family),
            "gpu_percent": gpu_percent,
            "gpu_memory": gpu_memory,
            "gpu_scope": scope if (gpu_percent, gpu_memory) != (None, None) else None,
        }

    def _cpu(self, family: list[psutil.Process]) -> float | None:
        before, at = self._seconds, self._at
        self._seconds, self._at = {}, time.monotonic()
        for process in family:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                self._seconds[process] = times.user + times.system
        if at is None or self._at <= at:
            return None
        spent = sum(seconds - before.get(process, 0.0) for process, seconds in self._seconds.items())
        return round(100.0 * max(0.0, spent) / (self._at - at), 1)

    def _gpus(self, pids: set[int]) -> tuple[float | None, int | None]:
        """Load and memory of these processes on all GPUs; one that does not answer does not hide the others."""
        library = nvidia.nvml()
        memory, shares, newest = 0, [], self._gpu_since
        for unit in (unit for card in nvidia.cards() for unit in card):
            try:
                own = [item for item in library.nvmlDeviceGetComputeRunningProcesses(unit.handle) if item.pid in pids]
            except library.NVMLError:
                continue
            if not own:
                continue
            memory += sum(item.usedGpuMemory or 0 for item in own)
            try:
                samples = library.nvmlDeviceGetProcessUtilization(unit.handle, self._gpu_since)
            except library.NVMLError:  # none since, or a GPU that does not tell
                samples = []
            newest = max([newest, *(item.timeStamp for item in samples)])
            if samples:
                latest = {item.pid: item.smUtil for item in samples if item.pid in pids}
                shares.append(min(100.0, float(sum(latest.values()))))
        self._gpu_since = newest
        return (sum(shares) / len(shares) if shares else None), (memory or None)


def _sees_the_machines_pids() -> bool:
    try:
        return os.readlink("/proc/self/ns/pid") == FIRST_NAMESPACE
    except OSError:  # not Linux
        return True


def _whole_gpus(device: str) -> tuple[float | None, int | None]:
    """Load and memory of the GPUs of `device`, of all their users."""
    wanted = [name for name in devices.names_in(device) if name != devices.CPU]
    units, library = nvidia.usable_units(), nvidia.nvml()
    # The queue's numbers count its own GPUs; a process that it started sees those of the run alone.
    held = units if len(units) == len(wanted) else [u for i, u in enumerate(units) if f"gpu:{i}" in wanted]
    if library is None or not wanted or len(held) != len(wanted):
        return None, None
    shares, memory = [], 0
    for unit in held:
        with contextlib.suppress(library.NVMLError):
            memory += int(library.nvmlDeviceGetMemoryInfo(unit.handle).used)
        with contextlib.suppress(library.NVMLError):  # slices do not tell
            shares.append(float(library.nvmlDeviceGetUtilizationRates(unit.handle).gpu))
    return (sum(shares) / len(shares) if shares else None), (memory or None)


def _memory(family: list[psutil.Process]) -> int | None:
    found = [size for process in family if (size := _size(process, is_alone=len(family) == 1)) is not None]
    return sum(found) if found else None


def _size(process: psutil.Process, is_alone: bool) -> int | None:
    """PSS, or where that is not known, or not needed, RSS."""
    if sys.platform == "linux" and not is_alone:
        with contextlib.suppress(OSError, ValueError, StopIteration):
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            return 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return None
