"""A pretended Slurm that takes jobs, numbers them and tells what became of them; it runs none."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

PROGRAMS = {
    "sbatch": """
[ -e "$here/refuses" ] && { echo "sbatch: error: $(cat "$here/refuses")" >&2; exit 1; }
number=$(($(cat "$here/count") + 1)); echo $number > "$here/count"
cat > "$here/scripts/$number"
echo "PENDING|$(sed -n 's/^#SBATCH --job-name=//p' "$here/scripts/$number")|None" > "$here/jobs/$number"
echo "$number"
""",
    "squeue": """
case "$*" in *%j*) form=named;; *) form=plain;; esac
wanted=,$(sed -n 's/.*--jobs=\\([0-9,]*\\).*/\\1/p' <<< "$*"),
for file in "$here"/jobs/*; do
    [ -e "$file" ] || continue
    [ $form = plain ] && [[ "$wanted" != *",$(basename "$file"),"* ]] && continue
    IFS='|' read -r state name reason < "$file"
    [ $form = named ] && echo "$(basename "$file")|$state|$name" || echo "$(basename "$file")|$state|$reason|N/A"
done
""",
    "scancel": """
for number in "$@"; do sed -i 's/^[A-Z]*|/CANCELLED|/' "$here/jobs/$number"; done
""",
    "scontrol": "",
    "sinfo": "",
    "srun": "",
}


class PretendedSlurm:
    """Its programs lie first in `PATH`.

    Args:
        folder: an empty one, for its programs and what they keep.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("bin", "jobs", "scripts"):
            (folder / name).mkdir(parents=True)
        (folder / "count").write_text("0")
        (folder / "calls").touch()
        for name, script in PROGRAMS.items():
            head = f'#!/bin/bash\nhere="{folder}"\necho "{name} $*" >> "$here/calls"\n'
            (folder / "bin" / name).write_text(head + script)
            (folder / "bin" / name).chmod(0o755)

    @property
    def scripts(self) -> dict[str, str]:
        """The scripts that were submitted, by the number of the job."""
        return {path.name: path.read_text() for path in sorted((self.folder / "scripts").iterdir(), key=_number)}

    def calls(self, program: str) -> list[str]:
        """The arguments of each call of a program."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == program]

    def becomes(self, job_id: str, state: str, reason: str = "None") -> None:
        """Gives a job another state, and a reason for it."""
        path = self.folder / "jobs" / job_id
        path.write_text(f"{state}|{path.read_text().split('|')[1]}|{reason}\n")

    def refuse(self, sentence: str) -> None:
        """Takes no job any more; empty: it does again."""
        (self.folder / "refuses").write_text(sentence) if sentence else (self.folder / "refuses").unlink()

    def option(self, job_id: str, name: str) -> str:
        """What the script of a job says of an option; empty where nothing."""
        found = re.search(rf"^#SBATCH --{name}=(.*)$", self.scripts[job_id], re.MULTILINE)
        return found[1].strip("'\"") if found else ""


def _number(path: Path) -> int:
    return int(path.name)


@pytest.fixture
def pretended_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretendedSlurm:
    found = PretendedSlurm(tmp_path / "cluster")
    monkeypatch.setenv("PATH", f"{found.folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return found
