"""The first minutes on a GPU: does it work, how fast is it, and which line of the budget on paper is wrong.

    python tests/gpu/first_minutes.py                 parts `works` (2 minutes) and `speed` (3 minutes)
    python tests/gpu/first_minutes.py --rehearse cpu  tiny sizes; `pretended`: on the pretended GPU, as far as it goes

Each part is a process of its own that is ended when its time is up, each line in it has a limit too, and what was
found until then stands in the table at the end. Exit status 1 where a line failed. It has never run on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]
PARTS = {"works": 150, "speed": 240}  # seconds that they may take


def line(name: str, work: Callable[[], Any]) -> None:
    """Runs one measurement within its limit and prints it as a line of JSON."""
    from simclr.bench.gpu import table

    print(json.dumps(table.measured(name, work)), flush=True)


# --- part 1: it works -------------------------------------------------------------------------------------------------


def works(rehearse: str) -> None:
    import scenes

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SIMCLR_RUNS_DIR"] = folder
        is_pretended = rehearse == "pretended"
        stage = scenes.Stage("cpu" if rehearse == "cpu" else "gpu", Path(folder), is_pretended=is_pretended)
        for scene in scenes.SCENES:
            if is_pretended and scene in (scenes.stop_and_resume, scenes.cpu_means_no_cuda):
                continue  # processes of their own, which do not pretend
            line(scene.__name__.replace("_", " "), lambda scene=scene: scene(stage))


# --- part 2: throughput -----------------------------------------------------------------------------------------------


def speed(rehearse: str) -> None:
    from simclr.bench.gpu import figures

    for name, work in figures.lines(figures.Sizes(rehearse), rehearse):
        line(name, work)


# --- both -------------------------------------------------------------------------------------------------------------


def play(part: str, rehearse: str) -> list[dict[str, Any]]:
    """The lines of a part, from a process of its own that is ended when its time is up."""
    command = [sys.executable, str(Path(__file__).resolve()), "--only", part, "--rehearse", rehearse]
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": ""} if rehearse else {})
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment)
        timer = signal.signal(signal.SIGALRM, lambda *_: process.kill())
        signal.alarm(PARTS[part])
        assert process.stdout is not None
        for text in process.stdout:
            found.append(json.loads(text))
            print(f"  {found[-1]['name']}: {found[-1]['found']} ({found[-1]['seconds']} s)", flush=True)
        status = process.wait()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, timer)
        if status:
            said.seek(0)
            end = said.read()[-500:] if status > 0 else f"ended after {PARTS[part]} s"
            found.append({"name": f"{part}, the rest", "ok": False, "found": end, "seconds": PARTS[part]})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(PARTS), help="one part, as lines of JSON")
    parser.add_argument("--rehearse", choices=["", "cpu", "pretended"], default="")
    options = parser.parse_args()
    if options.only:
        if options.rehearse == "pretended":
            import pretended

            with pretended.counting():
                globals()[options.only](options.rehearse)
        else:
            globals()[options.only](options.rehearse)
        return 0
    if not options.rehearse:
        import torch

        if not torch.cuda.is_available():
            print("No GPU: torch finds none that it can use here; --rehearse cpu tries this script.", file=sys.stderr)
            return 1
    from simclr.bench.gpu import table

    rows = [row for part in PARTS for row in play(part, options.rehearse)]
    print(f"\n{table.text(rows)}")
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
