"""What the table of runs costs with many run folders: finding them, filtering them, and its values."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from simclr import config as cfg
from simclr import runs
from simclr.bench.timing import Row
from simclr.results.index import RunIndex
from simclr.run_table import columns, run_filter
from simclr.run_table.late_values import LateValues

SIZES = (500, 5000)
FILTER = "dataset:shapes knn>40 temperature<=0.2 -tag:old"
KINDS = ("pretrain", "finetune", "scratch")
TEMPERATURES = (0.1, 0.2, 0.5)
STATES = ("finished", "finished", "stopped", "failed")


@cache
def options_of(kind: str, temperature: float) -> dict[str, Any]:
    """All options of a run."""
    chosen: dict[str, Any] = {"dataset": "shapes", "backbone": "resnet_tiny"}
    if kind == "pretrain":
        chosen["temperature"] = temperature
    else:
        chosen |= {"label_fraction": 0.05, "experiment_version": 0, "random_weight_init": kind == "scratch"}
    return cfg.build(cfg.MODELS[kind], chosen).model_dump(mode="json")


@cache
def yaml_of(kind: str, temperature: float) -> bytes:
    """The same, as `config.yaml` holds them."""
    return yaml.safe_dump(options_of(kind, temperature)).encode()


def make_runs(folder: Path, count: int) -> None:
    """Folders of `count` runs that have ended an hour apart, of all kinds, with the files that a table reads."""
    now = time.time()
    for number in range(count):
        kind, created = KINDS[number % 3], now - 3600 * (count - number)
        temperature = TEMPERATURES[number // 3 % 3]
        config = options_of(kind, temperature)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(created))
        path = folder / f"{stamp}-{kind}-shapes-resnet_tiny-{number:04d}"
        path.mkdir()
        text = yaml_of(kind, temperature)
        (path / runs.CONFIG).write_bytes(text)
        brief = {name: config[name] for name in runs.BRIEF_OPTIONS if name in config}
        meta = {"created": created, "name": f"Run {number}", "notes": "", "tags": ["old"] if number % 7 == 0 else []}
        meta |= {"brief": {"config_crc32": zlib.crc32(text), "options": brief}}
        (path / runs.META).write_text(json.dumps(meta, indent=1))
        accuracy = 0.3 + 0.6 * (number % 100) / 100
        status = {"state": STATES[number % 4], "created": created, "started": created, "ended": created + 50.0}
        status |= {"epoch": 100, "epochs": 100, "step": 1700, "steps": 1700, "loss": 1.5, "accuracy": accuracy}
        (path / runs.STATUS).write_text(json.dumps(status, indent=1))
        if kind != "pretrain":
            (path / runs.EVALUATION).write_text(json.dumps({"test/top1": accuracy}))


def milliseconds(work: Callable[[], object], repeats: int) -> list[float]:
    """Processor time of each of `repeats` turns."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(1e3 * (time.process_time() - start))
    return found


def measure(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """The table of 500 and of 5,000 runs on the server: processor time, median of the turns."""
    for count in SIZES:
        yield from measure_size(count, repeats)


def measure_size(count: int, repeats: int) -> Iterator[Row]:
    """Rows for one number of runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_runs(folder, count)
        late, index = LateValues(folder), RunIndex(folder)
        chosen = [columns.FIGURES[each] for each in columns.DEFAULT]
        asked = run_filter.parse(FILTER)

        def first_look() -> None:
            RunIndex(folder).summaries()

        def read_values() -> list[list[object]]:
            return [[late.value(column, item) for item in everything] for column in chosen]

        everything = index.summaries()
        for what, work in (
            ("found by a server just started", first_look),
            ("looked at again, none changed", lambda: index.summaries(max_age=0)),
            (f"filtered by {FILTER}", lambda: run_filter.passing(asked, everything, late.value)),
            ("values of the usual columns", read_values),
        ):
            found = milliseconds(work, repeats)
            note = f"({min(found):.4g} to {max(found):.4g}, n {len(found)})"
            yield Row("table", f"{count:,} runs {what}", statistics.median(found), "CPU-ms", repeats=repeats, note=note)
