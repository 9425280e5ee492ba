"""An hour of a live run and two open pages: neither the server's memory nor the browser's may grow.

`SIMCLR_SOAK_MINUTES` (60) says how long. Needs Chromium.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
from conftest import TINY_PRETRAIN
from server import PAGE_MS, ROOT, Server, server  # noqa: F401  (a fixture)

from simclr import config as cfg
from simclr import runs

pytest.importorskip("playwright.sync_api")

MINUTES = float(os.environ.get("SIMCLR_SOAK_MINUTES", "60"))
WARM_UP = 0.1  # of the time: caches fill
NUM_SAMPLES = 60
GROWTH = 0.10
MIB = 1024**2
HEAD_START = 1600  # steps, of 530 epochs: from then on curves have as many points as are drawn at most
# A real training with a callback that lets it rest, so that it takes a small part of one core.
SLOW_TRAINING = f"""
import sys, time
from pathlib import Path
import lightning as L
from simclr import runs
from simclr.train import train

class Rest(L.Callback):
    def on_train_batch_end(self, trainer, *_):
        time.sleep(trainer.global_step > {HEAD_START})

run = runs.Run(Path(sys.argv[1]))
train(runs.load_config(run), runs_dir=run.path.parent, run_dir=run.path, callbacks=[Rest()])
"""

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(int(60 * MINUTES) + 1800)]


@pytest.fixture
def live_run(server: Server) -> Iterator[runs.Run]:
    """A training that outlasts the test."""
    run = runs.create(cfg.build(cfg.PretrainConfig, TINY_PRETRAIN | {"epochs": 50_000}), server.runs_dir)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "SIMCLR_DATA_DIR": str(server.folder / "data")}
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_TRAINING, str(run.path)], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    while run.status.step < HEAD_START and process.poll() is None:
        time.sleep(0.2)
    yield run
    process.terminate()
    try:
        process.wait(60)
    finally:
        process.kill()


class Tab:
    """A page in a browser of its own."""

    def __init__(self, browser: object, url: str, text: str) -> None:
        self.page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        self.page.set_default_timeout(PAGE_MS)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)
        self.page.get_by_text(text).first.wait_for()
        self.devtools = self.page.context.new_cdp_session(self.page)

    def heap(self) -> int:
        """Bytes that its scripts hold, without garbage."""
        self.devtools.send("HeapProfiler.collectGarbage")
        return self.devtools.send("Runtime.getHeapUsage")["usedSize"]


def test_nothing_grows(server: Server, live_run: runs.Run, browser: object) -> None:
    process = psutil.Process(server.process.pid)
    samples: dict[str, list[float]] = {"server": [], "Run page": [], "Runs page": []}
    tabs = {
        "Run page": Tab(browser, f"{server.url}/run?id={live_run.id}", "Images per second"),
        "Runs page": Tab(browser, server.url, "All runs"),
    }
    time.sleep(60 * MINUTES * WARM_UP)
    first_step = live_run.status.step
    interval = 60 * MINUTES * (1 - WARM_UP) / NUM_SAMPLES
    for number in range(NUM_SAMPLES):
        time.sleep(interval)
        samples["server"].append(process.memory_info().rss / MIB)
        for name, tab in tabs.items():
            samples[name].append(tab.heap() / MIB)
        if number % 10 == 9:
            print(
                ", ".join(f"{name} {values[-1]:.1f} MiB" for name, values in samples.items()),
                f"{process.num_threads()} threads, {process.num_fds()} files",
                flush=True,
            )
    assert live_run.status.is_active, live_run.status.error
    assert live_run.status.step > first_step
    # and it is still seen: the page says what the files say
    tabs["Run page"].page.get_by_text(f"of {live_run.status.epochs}").first.wait_for()
    errors = [error for tab in tabs.values() for error in tab.errors]
    quarter = NUM_SAMPLES // 4
    growth = {
        name: statistics.median(values[-quarter:]) / statistics.median(values[:quarter]) - 1
        for name, values in samples.items()
    }
    print("growth: " + ", ".join(f"{name} {value:+.1%}" for name, value in growth.items()))
    assert errors == []
    assert max(growth.values()) < GROWTH, growth
