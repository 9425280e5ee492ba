"""The control groups that this process is in (Linux; no torch): containers and batch systems set their limits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def folders(controller: str) -> Iterator[tuple[Path, int]]:
    """The folders of this process's groups that can limit a `controller` such as `memory` or `cpu`, innermost first.

    Each comes with its version, 1 or 2, in which the files have other names. Any group above may have the lower limit.
    """
    with contextlib.suppress(OSError):
        for line in OWN_CGROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            top = CGROUPS / controllers
            inner = top / path.strip("/")
            for group in (inner, *inner.parents):
                if not group.is_relative_to(top):
                    break
                yield group, 1 if controllers else 2
