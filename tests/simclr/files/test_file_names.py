"""Files and class folders whose names are no text (not UTF-8): how they are written, read again and shown."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
from conftest import make_folder
from dashboard_fixtures import make_experiment, open_page, texts

from simclr import PACKAGE, runs
from simclr.config import ConfigError, PretrainConfig, build
from simclr.data.folders import folder_layout, reading
from simclr.embeddings import tables
from simclr.embeddings.neighbors import nearest
from simclr.embeddings.stored import Embedding
from simclr.files import names, safe_read, writing
from simclr.lifecycle import console
from simclr.results import table_formats
from simclr.runs import Run

CAFE = os.fsdecode(b"caf\xe9")  # Latin-1
SHOWN = r"caf\xe9"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes; a name that is no text in each place, and one broken file."""
    made = make_folder(tmp_path / "set", {CAFE: 12, "grün": 12, "tea": 12})
    for path in sorted((made / CAFE).iterdir()):
        path.rename(path.with_name(os.fsdecode(b"im\xff" + path.name.encode())))
    next((made / CAFE).iterdir()).write_bytes(b"broken")
    return made


@pytest.mark.parametrize(
    ("name", "shown"),
    [(CAFE, SHOWN), ("café", "café"), ("tea", "tea"), ("\ud800x", r"\ud800x"), (os.fsdecode(b"\xff\x80"), r"\xff\x80")],
)
def test_only_what_is_no_text_is_escaped(name: str, shown: str) -> None:
    assert names.readable(name) == shown
    assert names.is_text(name) == (name == shown)
    shown.encode()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_every_terminal_prints_every_name(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    names.use_for_output()
    print(f"{CAFE} é ±\u2212", end="")
    written = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    full = {"utf-8": "é ±\u2212", "ascii": r"\xe9 \xb1\u2212", "latin-1": "é ±\\u2212"}
    assert written == f"{SHOWN} {full[encoding]}"


def test_text_files_and_json_take_any_name(tmp_path: Path) -> None:
    writing.write_atomically(tmp_path / "a", f"{CAFE} é")
    writing.append_text(tmp_path / "a", CAFE)
    assert (tmp_path / "a").read_text(encoding="utf-8") == f"{SHOWN} é{SHOWN}"
    (tmp_path / "b.json").write_text(json.dumps({"classes": [CAFE, "é"], CAFE: 1}))  # as earlier versions wrote it
    assert safe_read.json_dict(tmp_path / "b.json") == {"classes": [SHOWN, "é"], SHOWN: 1}


def test_a_log_takes_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names.use_for_output()
    with console.log_to(tmp_path / "log.txt", wanted=True):
        print(f"{CAFE} is broken")
    assert (tmp_path / "log.txt").read_text(encoding="utf-8") == f"{SHOWN} is broken\n"


def test_classes_are_called_as_they_are_written_and_their_images_are_found(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = folder_layout.read(str(folder))
    assert layout.classes == (SHOWN, "grün", "tea")
    assert f"{SHOWN} 12" in layout.sentence({"train": 36})
    found = reading.load(str(folder), tmp_path, None, seed=0, labelled_only=False)
    assert found.classes is not None and list(found.classes) == [SHOWN, "grün", "tea"]
    assert found.train.labels is not None and set(found.train.labels.tolist()) == {0, 1, 2}
    assert "1 of 36" in caplog.text  # the broken one, and no other, is left out
    assert SHOWN in caplog.text and caplog.text.encode()


def test_two_classes_that_would_be_written_alike_are_refused(folder: Path) -> None:
    make_folder(folder, {SHOWN: 2})
    with pytest.raises(ConfigError) as refused:
        folder_layout.read(str(folder))
    assert str(refused.value) == (
        f"dataset is {folder}, which has several class folders that are written as {SHOWN}; allowed: names in UTF-8."
    )


def test_a_data_set_that_is_called_so_is_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigError) as refused:
        build(PretrainConfig, {"dataset": f"/{CAFE}"})
    sentence = names.readable(str(refused.value))
    assert sentence.startswith(rf"dataset is /{SHOWN}; allowed: text in UTF-8") and "\n" not in sentence


def embedding(folder: Path) -> Embedding:
    features = np.eye(6, 4, dtype=np.float32) + 0.1
    labels = np.array([0, 1, 0, 1, 0, 1])
    provenance = {"classes": [CAFE, "tea"], "split": "test", "thumbnails": {"side": 16, "columns": 6, "per_sheet": 6}}
    near = nearest(features, 3)
    return Embedding(folder, features, np.arange(6), labels, {}, provenance, near, {"knn": labels}, None)


def test_tables_of_embeddings_take_any_class(tmp_path: Path) -> None:
    frame = tables.table([embedding(tmp_path)], "pca", points=[np.zeros((6, 2), dtype=np.float32)])
    tables.write_csv(frame, tmp_path / "a.csv")
    tables.write_parquet(frame, tmp_path / "a.parquet")
    rows = list(csv.DictReader((tmp_path / "a.csv").open(encoding="utf-8")))
    assert rows[0]["class"] == rows[0]["model_1 knn class"] == SHOWN
    assert pandas.read_parquet(tmp_path / "a.parquet")["class"][0] == SHOWN


@pytest.mark.parametrize("kind", table_formats.FORMATS)
def test_tables_of_results_take_any_name(kind: str, tmp_path: Path) -> None:
    text = table_formats.FORMATS[kind]([["run", "accuracy"], [CAFE, "1"]])
    writing.write_atomically(tmp_path / "table", text)
    assert r"xe9" in (tmp_path / "table").read_text(encoding="utf-8")


@pytest.fixture
def old_run(tiny_runs: Path) -> Run:
    """A run whose evaluation holds such a class as earlier versions wrote it."""
    _, partners = make_experiment(tiny_runs, (0.1,))
    run = partners["full-0.1"]
    path = run.path / runs.EVALUATION
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"classes": [CAFE, *values["classes"][1:]]}))
    return run


def test_commands_write_such_a_run_to_any_terminal(old_run: Run, tmp_path: Path) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    environment = os.environ | ascii_only | {"PYTHONPATH": str(PACKAGE.parent)}
    page = tmp_path / "report.html"
    for command in (["results", "--format", "latex"], ["runs"], ["report", old_run.id, "--out", str(page)]):
        done = subprocess.run(
            [sys.executable, "-m", "simclr", *command], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")


@pytest.mark.parametrize(("page", "name", "more"), [("run", "id", {"tab": "test"}), ("results", "experiment", {})])
def test_pages_show_such_a_class(old_run: Run, page: str, name: str, more: dict[str, str]) -> None:
    app = open_page(page, **more, **{name: old_run.id if page == "run" else str(old_run.experiment)})
    assert not app.exception and texts(app)


@pytest.mark.parametrize("page", ["new_run", "augmentations"])
def test_pages_show_such_a_data_set_before_a_run(tiny_runs: Path, folder: Path, page: str) -> None:
    app = open_page(page, dataset=str(folder))
    assert not app.exception
    if page == "new_run":
        assert rf"Read as 3 classes ({SHOWN} 12, grün 12, tea 12)" in texts(app)
    else:
        assert not app.error  # the broken file is left out, as a training does


def test_a_dashboard_over_runs_in_such_a_folder_does_not_start(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "SIMCLR_RUNS_DIR": str(tmp_path / CAFE)}
    done = subprocess.run(
        [sys.executable, "-c", "import dashboard.app"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.endswith(
        f"The runs folder is {tmp_path}/{SHOWN}; allowed: SIMCLR_RUNS_DIR set to a path in UTF-8.\n"
    )
