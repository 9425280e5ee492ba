"""The packages installed where another user, who runs them, cannot write; that user has no name and no home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
UID = 54321


def can_be_another() -> bool:
    return os.geteuid() == 0 and shutil.which("setpriv") is not None


class OtherUser:
    """`code` holds a copy that nobody but root can write, `own` is the one folder that is the user's.

    The user may read everything, as this machine's Python may lie in a folder that is root's alone.
    """

    def __init__(self, folder: Path) -> None:
        self.code, self.own = folder / "installed", folder / "own"
        for name in ("simclr", "dashboard", ".streamlit"):
            ignored = shutil.ignore_patterns("cache", "screenshots")
            shutil.copytree(ROOT / name, self.code / name, ignore=ignored)
        for path in [self.code, *self.code.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        self.own.mkdir()
        os.chown(self.own, UID, UID)

    def command(self, *arguments: str) -> list[str]:
        allowed = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
        return ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", *allowed, *arguments]

    def options(self, **environment: str) -> dict[str, Any]:
        """For `subprocess`: without HOME, with a folder for temporary files."""
        kept = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "TMPDIR": str(self.own)}
        return {"cwd": self.code, "env": kept | {"PYTHONPATH": str(self.code)} | environment}

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = self.command(sys.executable, *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=300, **self.options(**environment))
