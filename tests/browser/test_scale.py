"""Five hundred runs of a thousand epochs, and five thousand: how soon the Runs page is there, what it costs when idle.

Needs Chromium and a gigabyte of disk.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import psutil
import pytest
from dashboard_fixtures import make_run
from server import PAGE_MS, Server

from simclr import runs
from simclr.bench import run_table
from simclr.runs.metrics_csv import MetricsLog
from simclr.training.callbacks import ROWS_PER_EPOCH

pytest.importorskip("playwright.sync_api")

NUM_RUNS, NUM_EPOCHS, STEPS_PER_EPOCH = 500, 1000, 170
MANY_RUNS = 5000
FIRST_PAINT_SECONDS, FIRST_PAINT_OF_MANY_SECONDS, TICK_SECONDS = 1.5, 3.0, 0.05
IDLE_SECONDS, SETTLE_SECONDS = 30.0, 120.0
# As fields of status.json; a run from before they were written has to do without.
FIGURES = ("loss", "accuracy")

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(900)]


def write_rows(run: runs.Run) -> dict[str, float]:
    """Writes `metrics.csv` as a training of `NUM_EPOCHS` epochs leaves it; returns what its status says of it."""
    columns = runs.PRETRAIN_METRICS if run.kind == "pretrain" else runs.FINETUNE_METRICS
    log, draw = MetricsLog(run.metrics_path, columns), random.Random(run.kind)
    accuracy, best = "val/knn_top1" if run.kind == "pretrain" else "val/top1", 0.0
    for epoch in range(1, NUM_EPOCHS + 1):
        for part in range(1, ROWS_PER_EPOCH + 1):
            row = {name: draw.random() for name in columns if name.startswith(("train/", "perf/", "lr"))}
            step = (epoch - 1) * STEPS_PER_EPOCH + part * STEPS_PER_EPOCH // ROWS_PER_EPOCH
            log.append(row | {"epoch": epoch, "step": step})
        row = {name: draw.random() for name in columns if name.startswith("val/")}
        log.append(row | {"epoch": epoch, "step": epoch * STEPS_PER_EPOCH, "perf/seconds": 30.0 * epoch})
        best = max(best, row[accuracy])
    return {"loss": row["val/loss"], "accuracy": best}


def write_runs(folder: Path, with_figures: bool = True) -> None:
    """`NUM_RUNS` run folders that have ended, of all kinds, an hour apart."""
    kinds = ("pretrain", "finetune", "scratch")
    more = {"finetune": {"experiment_version": "a-run-of-before"}}
    moulds = {
        kind: make_run(folder / ".moulds", kind=kind, epochs=NUM_EPOCHS, done=1, **more.get(kind, {})) for kind in kinds
    }
    figures = {kind: write_rows(run) for kind, run in moulds.items()}
    now = time.time()
    for number in range(NUM_RUNS):
        kind = kinds[number % 3]
        created = now - 3600 * (NUM_RUNS - number)
        moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(created))
        path = folder / f"{moment}-{kind}-shapes-resnet_tiny-{number:04d}"
        shutil.copytree(moulds[kind].path, path)
        status = json.loads((path / runs.STATUS).read_text()) | {
            "state": ("finished", "finished", "stopped", "failed")[number % 4],
            "epoch": NUM_EPOCHS,
            "step": NUM_EPOCHS * STEPS_PER_EPOCH,
            "steps": NUM_EPOCHS * STEPS_PER_EPOCH,
            "created": created,
            "started": created,
            "ended": created + 50,
            "heartbeat": created + 50,
            **figures[kind],
        }
        if not with_figures:
            status = {name: value for name, value in status.items() if name not in FIGURES}
        (path / runs.STATUS).write_text(json.dumps(status, indent=1))
        meta = json.loads((path / runs.META).read_text()) | {"created": created, "name": f"Run {number}"}
        (path / runs.META).write_text(json.dumps(meta, indent=1))
    shutil.rmtree(folder / ".moulds")


@pytest.fixture(scope="module", params=["own", "elsewhere"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server that is not started yet; runs from elsewhere have figures in their `metrics.csv` alone."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "runs").mkdir()
    write_runs(folder / "runs", with_figures=request.param == "own")
    return Server(folder)


# When the newest run is in the table, in milliseconds since the address was asked for: the page's own clock, for
# Playwright looks ever more rarely, in the end every half second.
WHEN_SEEN = """
const look = () => {
  if ([...document.querySelectorAll(".run-grid a")].some((link) => link.textContent.trim() === "Run NEWEST")) {
    requestAnimationFrame(() => { window.seen = performance.now(); });
  } else {
    requestAnimationFrame(look);
  }
};
look();
"""


def open_runs(browser: object, server: Server, newest: int = NUM_RUNS - 1) -> object:
    """The Runs page with its table, in a browser that has never been there. newest: the number of its first row."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(PAGE_MS)
    page.add_init_script(WHEN_SEEN.replace("NEWEST", str(newest)))
    page.goto(server.url)
    page.get_by_role("link", name=f"Run {newest}", exact=True).first.wait_for()
    return page


def first_paints(server: Server, browser: object, newest: int) -> list[float]:
    """Seconds until the table is there, of a server just started, three times."""
    seconds = []
    for _ in range(3):
        server.start()
        try:
            page = open_runs(browser, server, newest)
            page.wait_for_function("() => window.seen")
            seconds.append(page.evaluate("window.seen") / 1000)
            page.context.close()
        finally:
            server.kill()
    print(f"first paint: {', '.join(f'{value:.2f}' for value in sorted(seconds))} s")
    return seconds


def test_the_table_is_there_at_once(server: Server, browser: object) -> None:
    # the least disturbed by whatever else the machine does
    assert min(first_paints(server, browser, NUM_RUNS - 1)) < FIRST_PAINT_SECONDS


def test_the_table_of_five_thousand_runs_is_there_soon(tmp_path: Path, browser: object) -> None:
    (tmp_path / "runs").mkdir()
    run_table.make_runs(tmp_path / "runs", MANY_RUNS)
    assert min(first_paints(Server(tmp_path), browser, MANY_RUNS - 1)) < FIRST_PAINT_OF_MANY_SECONDS


def spent(process: psutil.Process, seconds: float) -> float:
    """Share of a core that it takes for some seconds."""
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    return (sum(process.cpu_times()[:2]) - before) / seconds


def test_a_tick_without_news_costs_little(server: Server, browser: object) -> None:
    server.start()
    try:
        page = open_runs(browser, server)
        # of runs from elsewhere the figures come after the page
        page.wait_for_function(
            "() => !/–\\t\\d+ s\\t/.test(document.querySelector('.run-grid').innerText)",
            timeout=SETTLE_SECONDS * 1000,
        )
        process = psutil.Process(server.process.pid)
        deadline = time.monotonic() + SETTLE_SECONDS
        while spent(process, 5) > 0.06 and time.monotonic() < deadline:  # and those of rows further down
            pass
        start, before = time.monotonic(), sum(process.cpu_times()[:2])
        time.sleep(IDLE_SECONDS)
        ticks = sum((time.monotonic() - start) / every for every in (2, 5, 5))  # the page's parts that refresh
        each = (sum(process.cpu_times()[:2]) - before) / ticks
        print(f"tick: {1000 * each:.1f} ms of processor time")
        assert each < TICK_SECONDS
        page.context.close()
    finally:
        server.kill()
