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
    """Names this boot of this machine, so that a pid from before a reboot is never taken for a living one."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{psutil.boot_time():.0f}"


def process_start(pid: int) -> float | None:
    """When process `pid` started; None if it does not live. Zombies do not live.

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
    """True if the process with this pid AND start time lives: pids are reused, so the pid alone says nothing."""
    if pid is None or start is None:
        return False
    now = process_start(pid)
    return now is not None and abs(now - start) < 0.02


def group_members(leader: int, start: float | None) -> list[int]:
    """Pids of the living among a process and the group it leads; none where its pid is another process's by now.

    Args:
        start: when the leader started; None if it is a child not yet collected, whose pid nobody else can have.
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
    """Kills a process and the group it leads; returns the pids that live `seconds` later, which should be none.

    Args:
        start: when it started, lest another process that has its pid by now is killed; None for a child of this one.
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
