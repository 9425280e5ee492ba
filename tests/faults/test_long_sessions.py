"""What a server keeps of long runs, and many sessions that ask at the same time: memory, and no thread that falls."""

import json
import shutil
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
from dashboard_fixtures import make_run

from dashboard.run import verdict_panel
from simclr.results.index import RunIndex
from simclr.runs import METRICS, STATUS, health_log, metrics_csv

MIB = 2**20


@pytest.fixture
def kept():
    """Asks for the bytes that were allocated since and are still held."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()


def test_a_long_metrics_csv_is_kept_as_plain_numbers_and_read_in_parts(tmp_path, kept):
    num_rows, num_columns = 100_000, 12
    path, line = tmp_path / "metrics.csv", ",".join(["1.2345678"] * num_columns)
    path.write_text(",".join(f"c{i}" for i in range(num_columns)) + "\n" + f"{line}\n" * num_rows)
    for _ in range(3):  # refreshes
        assert len(metrics_csv.live_columns(path)["c0"]) == num_rows
        with path.open("a") as stream:
            stream.write(f"{line}\n")
        num_rows += 1
    plain = 8 * num_rows * num_columns
    assert plain <= kept() < 1.5 * plain  # as objects, each number alone is three times as large
    assert tracemalloc.get_traced_memory()[1] < 3 * plain  # while a copy for a page is made


def test_of_a_watched_run_only_the_newest_health_is_kept(tmp_path, kept):
    run, epochs = make_run(tmp_path), 150
    layer = {"dim": 512, "std": 0.1, "effective_rank": 20.0, "num_singular": 256}
    layer["singular"] = [0.5] * len(health_log.spectrum_indices(256))
    about = {"images": 256, "candidates": 511, "h": layer, "z": layer, "d_prime": 2.0}
    about |= {"positive": [1.0] * health_log.NUM_BINS, "negative": [1.0] * health_log.NUM_BINS}
    log = health_log.HealthLog(run.health_path)
    held = []
    for epoch in range(1, epochs + 1):
        log.append({"epoch": epoch, "step": epoch} | about)
        if epoch % 10 == 0:
            assert len(verdict_panel.rows_of(run)) == epoch
            held.append(kept())
    numbers = 2 * (len(layer["singular"]) + health_log.NUM_BINS)
    assert held[-1] - held[4] < 2 * 8 * numbers * (epochs - 50)  # of the epochs that came, once


def test_many_sessions_ask_for_runs_that_come_change_and_go(tmp_path, monkeypatch):
    """Threads change places after every few instructions, so that what could be pulled away is."""
    fallen: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", fallen.append)
    monkeypatch.setattr("simclr.results.index.FILL_DELAY_SECONDS", 0.0)
    read = metrics_csv.newest_figures

    def slowly(path):
        time.sleep(0.002)
        return read(path)

    monkeypatch.setattr(metrics_csv, "newest_figures", slowly)
    made = []
    for _ in range(24):
        run = make_run(tmp_path, epochs=2)
        status = json.loads((run.path / STATUS).read_text())  # as a run from elsewhere: figures from metrics.csv
        (run.path / STATUS).write_text(json.dumps({n: v for n, v in status.items() if n not in ("loss", "accuracy")}))
        made.append(run)
    known, over = RunIndex(tmp_path), threading.Event()

    def ask(seed: int) -> None:
        order = np.random.default_rng(seed)
        while not over.is_set():
            for item in known.summaries(max_age=0):
                assert item.id.startswith("2")
            known.summary(made[order.integers(8)])  # that stay

    def change() -> None:
        for place, run in enumerate(made[8:]):
            for stays in made[:8]:
                with (stays.path / METRICS).open("a") as stream:  # so that its figures are read again
                    stream.write("\n")
            shutil.rmtree(run.path)
            time.sleep(0.01)
            if place % 2:
                known._summaries.clear()  # what the index does by itself where many are gone

    before = sys.getswitchinterval()
    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    try:
        sys.setswitchinterval(1e-5)
        for thread in threads:
            thread.start()
        change()
    finally:
        over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    assert [str(item.exc_value) for item in fallen] == []
    assert {item.id for item in known.summaries(max_age=0)} == {run.id for run in made[:8]}
    assert all(known.summary(run).loss is not None for run in made[:8])
