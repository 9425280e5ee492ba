"""Figures measured one after another, each within a limit, and the table of them: `bench --gpu`."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from simclr.bench.gpu import figures
from simclr.bench.timing import machine
from simclr.config import ConfigError

SECONDS = 120.0  # of the whole table
LINE_SECONDS = 75.0  # of one line
AGAIN_SECONDS = 1.0  # after which it is told again to end, since Python drops what is raised while it clears objects


def measured(name: str, work: Callable[[], Any], seconds: float = LINE_SECONDS) -> dict[str, Any]:
    """One line: `name`, `ok`, what was `found` or went wrong, in words, and the `seconds` it took.

    Args:
        seconds: after which it is ended; where the system has no such clock it runs to its end.
    """

    def end(*_: Any) -> None:
        raise TimeoutError(f"not done after {seconds:.0f} s")

    has_clock = hasattr(signal, "setitimer")
    if has_clock:
        before = signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    start, line = time.monotonic(), {"name": name, "ok": True}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            line["found"] = str(work())
    except (Exception, SystemExit) as error:
        line |= {"ok": False, "found": f"{type(error).__name__}: {error}"}
    finally:
        if has_clock:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    return line | {"seconds": round(time.monotonic() - start, 1)}


def play(works: Iterable[tuple[str, Callable[[], Any]]], seconds: float = SECONDS) -> Iterator[dict[str, Any]]:
    """The lines of `measured` one by one, of which those are left out that `seconds` in all leave no time for."""
    until = time.monotonic() + seconds
    for name, work in works:
        left = until - time.monotonic()
        if left <= 0:
            yield {"name": name, "ok": True, "found": f"left out: {seconds:.0f} s are over", "seconds": 0.0}
        else:
            yield measured(name, work, min(left, LINE_SECONDS))


def text(lines: Iterable[dict[str, Any]]) -> str:
    """The table: the machine, then a row for each line."""
    rows = [", ".join(f"{key} {value}" for key, value in machine().items() if value is not None)]
    for line in lines:
        mark = "ok" if line["ok"] else "FAILED"
        rows.append(f"{mark:<7}{line['name']:<44}{line['seconds']:>6} s  {line['found']}")
    return "\n".join(rows)


def measure() -> list[dict[str, Any]]:
    """All lines on the first GPU, told on the way, and the table last.

    Raises:
        ConfigError: where torch finds no GPU.
    """
    import torch

    if not torch.cuda.is_available():
        raise ConfigError("gpu is asked for, and torch finds no CUDA device that it can use here; allowed: with one.")
    lines = []
    for line in play(figures.lines(figures.Sizes())):
        lines.append(line)
        print(f"  {line['name']}: {line['found']} ({line['seconds']} s)", flush=True)
    print(f"\n{text(lines)}", flush=True)
    return lines
