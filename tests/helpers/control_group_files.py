"""Control groups that stand in for those of the system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from simclr.hardware import control_groups


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: str, files: Mapping[str, str]) -> None:
    """Has this process be in other groups.

    Args:
        lines: of `/proc/self/cgroup`. files: what those below `/sys/fs/cgroup` say, by relative path.
    """
    (folder / "own").write_text(lines)
    for name, value in files.items():
        (folder / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "groups" / name).write_text(value + "\n")
    monkeypatch.setattr(control_groups, "OWN_CGROUPS", folder / "own")
    monkeypatch.setattr(control_groups, "CGROUPS", folder / "groups")
