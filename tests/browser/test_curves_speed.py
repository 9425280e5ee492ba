"""What a refresh of the Curves page costs: 20 runs of 1,000 epochs that all go on, and 200 of which four do.

Needs Chromium. Prints what it measured: processor time of the server, kilobytes sent, and for how long the browser
could not answer, as its own observer of long tasks (50 ms and more) tells it.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from dashboard_fixtures import make_run
from server import Server

from simclr import runs
from simclr.hardware import processes
from simclr.training.callbacks import ROWS_PER_EPOCH

pytest.importorskip("playwright.sync_api")

NUM_EPOCHS, STEPS_PER_EPOCH, NUM_TICKS, TICK_SECONDS = 1000, 170, 10, 2.0
BLOCKED_MS, THREAD_MS = 150, 400
METRICS = ("loss", "top1", "mean_rank", "knn_top1")

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(900)]

OBSERVER = """
window.longTasks = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.longTasks.push(entry.duration)))
  .observe({ type: "longtask" });
"""


def write_rows(path: Path, first: int, last: int, draw: random.Random) -> None:
    """Appends the epochs `first` to `last` as a training writes them."""
    rows: list[dict[str, float]] = []
    for epoch in range(first, last + 1):
        for part in range(1, ROWS_PER_EPOCH + 1):
            row = {
                name: draw.random() + 1000 / (100 + epoch)
                for name in runs.PRETRAIN_METRICS
                if name.startswith(("train/", "lr"))
            }
            step = (epoch - 1) * STEPS_PER_EPOCH + part * STEPS_PER_EPOCH // ROWS_PER_EPOCH
            rows.append(row | {"epoch": epoch, "step": step, "perf/seconds": 30.0 * epoch})
        row = {name: draw.random() for name in runs.PRETRAIN_METRICS if name.startswith("val/")}
        rows.append(row | {"epoch": epoch, "step": epoch * STEPS_PER_EPOCH})
    with open(path, "a", newline="") as stream:
        writer = csv.DictWriter(stream, runs.PRETRAIN_METRICS, restval="", lineterminator="\n")
        if stream.tell() == 0:
            writer.writeheader()
        writer.writerows({name: f"{value:.7g}" for name, value in row.items()} for row in rows)


def make_runs(folder: Path, count: int, num_active: int) -> list[runs.Run]:
    """`count` pre-trainings of 1,000 epochs; the first `num_active` are said to be this process, and go on."""
    mould = make_run(folder / ".mould", epochs=NUM_EPOCHS, done=0)
    write_rows(mould.metrics_path, 1, NUM_EPOCHS, random.Random(0))
    found = []
    for number in range(count):
        path = folder / f"20261101-{number:06d}-pretrain-shapes-resnet_tiny-{number:04d}"
        shutil.copytree(mould.path, path)
        state: dict[str, Any] = {"loss": 1.0, "accuracy": 0.5}
        if number < num_active:
            pid = os.getpid()
            state |= {"state": "running", "pid": pid, "process_start": processes.process_start(pid), "ended": None}
        runs.update_status(path, **state)
        found.append(runs.Run(path))
    shutil.rmtree(folder / ".mould")
    return found


@dataclass
class Cost:
    """What ticks cost: each list has one entry per tick."""

    cpu_ms: float = 0.0
    first_s: float = 0.0
    kilobytes: list[float] = field(default_factory=list)
    blocked_ms: list[float] = field(default_factory=list)
    drawing_ms: list[float] = field(default_factory=list)
    thread_ms: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        names = ("blocked_ms", "drawing_ms", "thread_ms", "kilobytes")
        middle = {name: statistics.median(getattr(self, name)) for name in names}
        return (
            f"n = {len(self.blocked_ms)} ticks; blocked least {min(self.blocked_ms):.0f} ms, "
            f"median {middle['blocked_ms']:.0f} ms, most {max(self.blocked_ms):.0f} ms; drawing of all charts "
            f"{middle['drawing_ms']:.0f} ms; page's thread {middle['thread_ms']:.0f} ms of processor time; "
            f"sent {middle['kilobytes']:.0f} kB; server {self.cpu_ms:.0f} ms of processor time; "
            f"first charts after {self.first_s:.1f} s"
        )


def thread_ms(tools: Any) -> float:
    """Processor time of the page's main thread so far, which other programs do not lengthen as they do all others."""
    found = tools.send("Performance.getMetrics")["metrics"]
    return 1000 * next(item["value"] for item in found if item["name"] == "TaskDuration")


def measure(browser: Any, server: Server, found: list[runs.Run], num_active: int, query: str = "") -> Cost:
    """Opens all runs with four metrics, lets the active ones write an epoch every tick, and watches."""
    cost = Cost()
    page = browser.new_context(viewport={"width": 1440, "height": 1400}).new_page()
    page.set_default_timeout(180_000)
    page.add_init_script(OBSERVER)
    sent = [0]
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sent.append(sent.pop() + len(frame))))
    start = time.monotonic()
    metrics = "&".join(f"metric={metric}" for metric in METRICS)
    page.goto(f"{server.url}/curves?runs={','.join(run.id for run in found)}&{metrics}{query}")
    drawn = "() => document.querySelectorAll('.cg-plot .main-svg').length >= 4 * 3"
    page.wait_for_function(drawn)
    cost.first_s = time.monotonic() - start
    page.wait_for_timeout(8_000)
    draw, process = random.Random(1), psutil.Process(server.process.pid)
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = sum(process.cpu_times()[:2])
    for tick in range(1, NUM_TICKS + 1):
        page.evaluate("window.longTasks.length = 0")
        sent[0] = 0
        thread = thread_ms(tools)
        tick_start = time.monotonic()
        for run in found[:num_active]:
            write_rows(run.metrics_path, NUM_EPOCHS + tick, NUM_EPOCHS + tick, draw)
        page.wait_for_timeout(1000 * max(0.0, TICK_SECONDS - (time.monotonic() - tick_start)))
        cost.blocked_ms.append(page.evaluate("window.longTasks.reduce((sum, ms) => sum + ms, 0)"))
        cost.thread_ms.append(thread_ms(tools) - thread)
        cost.kilobytes.append(sent[0] / 1000)
        cost.drawing_ms.append(
            page.evaluate("[...document.querySelectorAll('.cg-plot')].reduce((sum, node) => sum + node.drawMs, 0)")
        )
    cost.cpu_ms = 1000 * (sum(process.cpu_times()[:2]) - before) / NUM_TICKS
    # what was written is drawn
    ends = "[...document.querySelectorAll('.cg-plot')].map(node => node._fullLayout.xaxis.range[1])"
    page.wait_for_function(f"() => Math.min(...{ends}) >= {NUM_EPOCHS + NUM_TICKS}")
    page.context.close()
    return cost


@pytest.mark.parametrize(
    ("count", "num_active", "query"),
    [(20, 20, ""), (20, 4, "&smoothing=0.80"), (200, 4, "&splits=val"), (200, 4, "")],
    ids=["20 all running", "20 smoothed", "200 validation", "200 both"],
)
def test_a_refresh_hardly_blocks_the_browser(
    tmp_path: Path, browser: Any, count: int, num_active: int, query: str
) -> None:
    server = Server(tmp_path)
    server.runs_dir.mkdir()
    found = make_runs(server.runs_dir, count, num_active)
    server.start()
    try:
        cost = measure(browser, server, found, num_active, query)
    finally:
        server.kill()
    print(f"{count} runs of {NUM_EPOCHS} epochs, {num_active} going on, {len(METRICS)} metrics{query}: {cost}")
    assert statistics.median(cost.blocked_ms) < (BLOCKED_MS if count <= 20 else 2 * BLOCKED_MS)
    assert statistics.median(cost.thread_ms) < THREAD_MS
