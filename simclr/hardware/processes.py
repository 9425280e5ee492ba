"""Processes by pid and start time: whether they live, their groups, and ending these (no torch)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from functools import lru_cache
from pathlib import Path

import psutil

POLL_SECONDS = 0.2
KILL_SECONDS = 10.0  # from SIGKILL to the end of a process that may be waiting for a disk


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Identifies this boot of this machine: a pid from before a reboot is another process."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{psutil.boot_time():.0f}"


def process_start(pid: int) -> float | None:
    """When process `pid` started; None if it is not alive, as a zombie.

    On Linux in seconds since the boot, which stays the same when the clock is set; elsewhere since the epoch.
    """
    try:
        if sys.platform == "linux":
            # the name, the only field that may hold anything, ends at the last bracket; state and start follow
            fields_after_name = Path(f"/proc/{pid:d}/stat").read_text().rpartition(")")[2].split()
            return None if fields_after_name[0] in "ZXx" else int(fields_after_name[19]) / os.sysconf("SC_CLK_TCK")
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (OSError, psutil.Error, ValueError, OverflowError):
        return None


def is_alive(pid: int | None, start: float | None) -> bool:
    """True if the process with this pid AND start time is alive: pids are reused, so both count."""
    if pid is None or start is None:
        return False
    now = process_start(pid)
    return now is not None and abs(now - start) < 0.02


def group_members(leader: int, start: float | None) -> list[int]:
    """Pids of a process and the group it leads, as far as they are alive; none if its pid was reused.

    Args:
        start: when the leader started; None if it is a child not yet waited for, whose pid cannot be reused.
    """
    now = process_start(leader)
    if start is not None and now is not None and not is_alive(leader, start):
        return []
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if (pid == leader or os.getpgid(pid) == leader) and process_start(pid) is not None:
                found.append(pid)
    return found


def end_group(pid: int, start: float | None, seconds: float = KILL_SECONDS) -> list[int]:
    """Kills a process and the group it leads; returns the pids still alive `seconds` later, which should be none.

    Args:
        start: when it started, so that no process that reuses its pid is killed; None for a child of this process.
    """
    deadline = time.monotonic() + seconds
    while left := group_members(pid, start):
        for member in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(member, signal.SIGKILL)
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS / 10)
    return left
