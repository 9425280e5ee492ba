"""Run folders with values that nobody wrote, on every page: what cannot be shown is left out or said; no page ends.

Damage is drawn from a seed, so that a folder that ends a page can be made again: its number is in the failure.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import random
import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dashboard_fixtures import make_experiment, open_page
from leaky_runs import leaky, pair
from test_hostile_folders import ODD_VALUES, template

from dashboard.run import sections
from simclr import runs

NUM_QUICK, NUM_SLOW = 30, 300
AT_ONCE = 15  # folders on the pages that show many
CELLS = (
    "",
    "x",
    "nan",
    "-inf",
    "1e308",
    "-1e308",
    "1e-320",
    "9" * 400,
    "-1" + "0" * 300,
    "0x10",
    "1,5",
    '"',
    "\x00",
    "é",
)
MANY = ("runs", "curves", "results", "experiments", "race", "new_run", "trash")


def damaged_value(value: Any, draw: random.Random) -> Any:
    """The same with one part replaced, left out, or put one level deeper."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        name = draw.choice(sorted(value, key=str))
        kept = {key: each for key, each in value.items() if key != name}
        return kept if draw.random() < 0.15 else kept | {name: damaged_value(value[name], draw)}
    if isinstance(value, list) and value and draw.random() < 0.6:
        place = draw.randrange(len(value))
        return [*value[:place], damaged_value(value[place], draw), *value[place + 1 :]]
    return {"a": value} if draw.random() < 0.1 else draw.choice(ODD_VALUES)


def damaged_table(text: str, draw: random.Random) -> str:
    """A table with other cells, columns or lines."""
    rows = list(csv.reader(io.StringIO(text)))
    for _ in range(draw.randrange(1, 20)):
        row = draw.choice(rows)
        row[draw.randrange(len(row))] = draw.choice(CELLS)
    if draw.random() < 0.3:  # of the first rows, which name the columns
        draw.shuffle(rows)
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue()


def damaged(path: Path, draw: random.Random) -> bytes:
    """What may stand in a file in place of what it holds."""
    content = path.read_bytes()
    if draw.random() < 0.2:
        place = draw.randrange(len(content) + 1)
        return draw.choice((content[:place], content[:place] + draw.randbytes(9) + content[place + 9 :], b""))
    if path.suffix == ".csv":
        return damaged_table(content.decode(), draw).encode()
    if path.suffix == ".jsonl":
        lines = content.decode().splitlines()
        place = draw.randrange(len(lines))
        lines[place] = json.dumps(damaged_value(json.loads(lines[place]), draw))
        return "\n".join(lines).encode()
    if path.suffix == ".json":
        return json.dumps(damaged_value(json.loads(content), draw)).encode()
    value = damaged_value(yaml.safe_load(content), draw)
    return json.dumps(value).encode() if draw.random() < 0.5 else str(value).encode("utf-8", "replace")


FILES = (runs.CONFIG, runs.STATUS, runs.META, runs.METRICS, runs.EVALUATION, runs.HEALTH, runs.LEAKS)


def make_folders(runs_dir: Path, moulds: list[Path], numbers: range) -> Iterator[str]:
    """Copies of good folders with one to three damaged files each; gives their names."""
    for number in numbers:
        draw = random.Random(number)
        mould = draw.choice(moulds)
        folder = runs_dir / f"{mould.name[:15]}-{number:04d}-{mould.name[16:]}"
        shutil.copytree(mould, folder)
        known = [name for name in FILES if (folder / name).is_file()]
        for name in draw.sample(known, draw.randrange(1, 4)):
            (folder / name).write_bytes(damaged(folder / name, draw))
        yield folder.name


class Errors(logging.Handler):
    """What ended a page, which the page itself does not show."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.texts.append("".join(traceback.format_exception(*record.exc_info)[-3:]))


def tried(page: str, **query: str) -> str:
    """How opening a page ended; empty if well."""
    errors = Errors()
    logger = logging.getLogger("streamlit")
    logger.addHandler(errors)
    try:
        app = open_page(page, **query)
    except Exception as error:  # also a page that hangs
        return f"{page} {query}: {type(error).__name__}: {error}"
    finally:
        logger.removeHandler(errors)
    return f"{page} {query}: {''.join(errors.texts)}" if app.exception else ""


def show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: range, pages: Callable[[int], tuple[str, ...]]
) -> None:
    mould_dir, runs_dir = tmp_path / "moulds", tmp_path / "runs"
    mould_dir.mkdir()
    pretraining, partners = make_experiment(mould_dir)
    health = {"epoch": 1, "step": 16, "test": {"bins": [1, 2]}, "values": [0.5, 0.25]}
    (pretraining.path / runs.HEALTH).write_text(json.dumps(health) + "\n")
    leaky(pretraining, [pair(1), pair(2, distance=0.0, is_exact=True)])
    moulds = [template(mould_dir), pretraining.path, partners["full-0.01"].path, partners["scratch-0.01"].path]
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(runs_dir))
    found = []
    for start in range(numbers.start, numbers.stop, AT_ONCE):
        part = range(start, min(start + AT_ONCE, numbers.stop))
        runs_dir.mkdir()
        names = list(make_folders(runs_dir, moulds, part))
        for number, name in zip(part, names, strict=True):
            found += [tried(page.partition("/")[0], **address(page, name)) for page in pages(number)]
        found += [tried(page) for page in MANY]
        found.append(tried("curves", runs=",".join(names), x="epoch"))
        shutil.rmtree(runs_dir)
    assert [text for text in found if text] == []


def address(page: str, name: str) -> dict[str, str]:
    """page: its folder; of a run with the tab, `run/health`."""
    page, _, tab = page.partition("/")
    names = {"run": "id", "embeddings": "left", "augmentations": "run", "results": "experiment", "race": "id"}
    names |= {"copies": "id", "transfer": "encoders"}
    return {names[page]: name, "tab": tab} if tab else {names[page]: name}


TABS = [f"run/{name}" for name in sections.TABS]
OTHERS = ("embeddings", "augmentations", "results", "race", "copies", "transfer")
EACH = (*TABS, *OTHERS)


def test_thirty_folders_on_every_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show(
        tmp_path, monkeypatch, range(NUM_QUICK), lambda number: (TABS[number % len(TABS)], OTHERS[number % len(OTHERS)])
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_three_hundred_folders_on_every_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show(tmp_path, monkeypatch, range(NUM_QUICK, NUM_QUICK + NUM_SLOW), lambda number: EACH)
