"""Peak memory of a piece of work, measured in a process of its own."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psutil
import torch

from simclr import PACKAGE


def peak_memory(prepare: Callable[..., Callable[[], Any]], **arguments: Any) -> float:
    """MiB by which the memory of a fresh process grows at most while what `prepare(**arguments)` returns runs."""
    code = (
        f"from {prepare.__module__} import {prepare.__name__} as prepare\n"
        "from simclr.bench.peak_memory import report_peak\n"
        f"report_peak(prepare(**{arguments!r}))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *sys.path])}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if found.returncode:
        raise RuntimeError(found.stderr.strip().splitlines()[-1])
    return float(found.stdout.strip().splitlines()[-1])


def report_peak(work: Callable[[], Any]) -> None:
    """In that fresh process: runs the work once and prints the growth of its peak memory, MiB."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        print((torch.cuda.max_memory_allocated() - before) / 2**20)
        return
    from simclr.lifecycle.measure import PeakMemory

    memory = PeakMemory(torch.device("cpu"))
    memory.begin()
    before = psutil.Process().memory_info().rss
    work()
    print((memory.peak() - before) / 2**20)
