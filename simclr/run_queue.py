"""Entry point: the process that starts waiting runs, `launch.queue`. Found by this name after an update."""

import subprocess
import sys
from pathlib import Path


def wake(runs_dir: Path) -> None:
    """Has the waiting runs looked at by a process of its own: called at the end of a run that the version before has
    started, in whose memory `simclr.launch` is still a module, not this package.
    """
    command = [sys.executable, "-m", "simclr.run_queue", str(runs_dir.resolve())]
    nowhere = subprocess.DEVNULL
    subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)


if __name__ == "__main__":
    from simclr.launch.queue import run_scheduler

    run_scheduler(Path(sys.argv[1]))
