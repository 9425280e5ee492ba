"""The Transfer page: its matrix in every state, what it offers, and what of its address is not there."""

import json
import os
import time

import numpy as np
import pytest
import torch
from conftest import make_folder
from dashboard_fixtures import address, component_with, make_run, named, open_page, texts

from dashboard.transfer import rows
from simclr import runs
from simclr.added import adding
from simclr.evaluation import few_shot, kept
from simclr.hardware import processes
from simclr.transfer import added_figures, matrix
from simclr.transfer.matrix import Cell, Value


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def pretraining(folder):
    run = make_run(folder, dataset="shapes", name="mine")
    torch.save({}, run.model_path)
    found = {"test/knn_top1": 0.5, "test/linear_top1": 0.6, "num_test_images": 2000, "protocols": {}}
    runs.write_evaluation(run.path, found)
    return run


def keep(run, dataset, accuracy, **more):
    item = few_shot.FewShot(1, "mean", (accuracy, accuracy + 0.02, accuracy - 0.02), 0)
    about = {"knn": {"num_test": 400}, "fewshot": {"figures": {item.name: item.numbers}}}
    found = {"test/knn_top1": accuracy, item.name: accuracy, "dataset": dataset, "fingerprint": {"of": dataset}}
    kept.keep(run, found | {"protocols": about} | more, "test")


def cells_of(app):
    return [
        {name: cell["text"] for name, cell in row.items() if isinstance(cell, dict)}
        for row in component_with(app, '"columns":')["rows"]
    ]


def test_empty_says_what_to_do(folder):
    assert "Train one first" in texts(open_page("transfer"))
    make_run(folder, "failed", dataset="shapes")  # without weights
    assert "Train one first" in texts(open_page("transfer"))


def test_it_begins_with_a_pre_training_and_its_untrained_network(pretraining):
    app = open_page("transfer")
    assert not app.exception
    assert cells_of(app) == [
        {"encoder": "mine", "d0": "60.0 %", "d1": "–"},
        {"encoder": "mine", "d0": "–", "d1": "–"},
    ]
    assert "3 cells are not measured" in texts(app)
    assert address(app)["data"] == ["shapes", "digits"]
    assert address(app)["encoders"] == [f"{pretraining.id},untrained:{pretraining.id}"]


def test_another_figure_has_its_own_cells_and_interval(pretraining):
    keep(pretraining, "digits", 0.4)
    app = open_page("transfer")
    assert cells_of(app)[0]["d1"] == "–"
    named(app.selectbox, "transfer-figure").select("knn").run()
    assert cells_of(app)[0] == {"encoder": "mine", "d0": "50.0 %", "d1": "40.0 %"}
    assert "below it the 95 % interval for other test images" in texts(app)
    named(app.selectbox, "transfer-figure").select("1-mean").run()
    assert cells_of(app)[0]["d1"] == "40.0 %"
    assert "100 draws of the labelled images" in texts(app) and address(app)["figure"] == ["1-mean"]
    again = open_page("transfer", figure="1-mean", encoders=pretraining.id, data="digits")
    assert cells_of(again) == [{"encoder": "mine", "d0": "40.0 %"}]
    assert [column["label"] for column in component_with(again, '"columns":')["columns"]] == [
        "Encoder",
        "digits, n\u00a03",
    ]


def test_queued_running_and_failed_cells_are_told(pretraining, folder):
    job = folder / runs.JOBS / "20261130-100000-transfer-aaaa"
    job.mkdir(parents=True)
    cells = [
        [pretraining.id, "digits", "running", ""],
        [f"untrained:{pretraining.id}", "digits", "queued", ""],
        [f"untrained:{pretraining.id}", "shapes", "failed", "There was not enough memory."],
    ]
    (job / matrix.CELLS).write_text(json.dumps({"cells": cells}))
    mine = {"pid": os.getpid(), "process_start": processes.process_start(os.getpid()), "heartbeat": time.time()}
    runs.update_status(job, state="running", phase="mine on digits", **mine)
    app = open_page("transfer")
    assert [(row["d0"], row["d1"]) for row in cells_of(app)] == [("60.0 %", "Running"), ("Failed", "Queued")]
    said = texts(app)
    assert "Untrained · mine on shapes: There was not enough memory." in said
    assert "mine on digits" in said and "when the measurement above has ended" in said
    assert "1 cell is not measured" in said


def test_one_click_queues_what_is_lacking(pretraining, folder, monkeypatch):
    started = []

    def start(name, arguments, runs_dir, device="cpu"):
        started.append((name, arguments))
        job = runs_dir / runs.JOBS / f"20261130-100000-{name}-aaaa"
        job.mkdir(parents=True)
        runs.update_status(job, state="finished")
        return job

    monkeypatch.setattr("simclr.launch.spawn.start_job", start)
    app = open_page("transfer", encoders=pretraining.id, data="digits")
    named(app.button, "transfer-measure").click().run()
    assert not app.exception
    assert started == [
        ("transfer", ["transfer", pretraining.id, "--dataset", "digits", "--runs_dir", str(folder.resolve())])
    ]


def test_a_data_set_that_is_not_here_is_shown_and_not_offered(pretraining):
    keep(pretraining, "/far/photos", 0.3)
    app = open_page("transfer", encoders=pretraining.id, data="/far/photos", figure="linear")
    assert "photos is not on this machine" in texts(app) and "not measured" not in texts(app)


def test_what_of_an_address_is_not_there_is_said(pretraining):
    app = open_page("transfer", encoders=f"nothing,{pretraining.id}", data="no-such-set", figure="best")
    assert not app.exception
    said = texts(app)
    assert "encoders in the address is nothing, which is no run here; shown instead: the others" in said
    assert "figure in the address is best" in said
    assert "no-such-set: no data set of this name and no folder on this machine." in said
    assert "Choose at least one encoder and one data set." in said


def test_a_folder_that_is_typed_becomes_a_column(pretraining, tmp_path):
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    app = open_page("transfer", encoders=pretraining.id, data=str(tmp_path / "pictures"))
    assert [column["label"] for column in component_with(app, '"columns":')["columns"]] == ["Encoder", "pictures"]


def test_the_best_of_a_column_is_marked_where_there_are_two():
    value = Value(0.5, 0.48, 0.52, 100, "draws")
    assert rows.cell_of(Cell("done", value), 0.5) == {
        "text": "50.0 %", "sort": 0.5, "sub": "48.0–52.0", "strong": True,
    }  # fmt: skip
    assert rows.cell_of(Cell("done", Value(0.5, None, None, 1, "draws")), None)["sub"] == "1 draw"
    assert rows.cell_of(Cell("failed", None, "why"), 0.5) == {"text": "Failed", "state": "red"}
    assert rows.cell_of(Cell("empty"), 0.5) == {"text": "–"}


def test_embeddings_that_were_added_are_rows_and_say_what_they_cannot_have(pretraining, folder, tmp_path):
    photos = make_folder(tmp_path / "photos", {"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 2})
    item = adding.add(np.eye(10), str(photos), "dino", folder)[0]
    app = open_page("transfer", encoders=f"{pretraining.id},dino", data=["digits", str(photos)], figure="knn")
    assert not app.exception
    assert "Another encoder · dino" in named(app.multiselect, "transfer-encoders").options
    assert [(row["encoder"], row["d0"], row["d1"]) for row in cells_of(app)] == [("mine", "–", "–"), ("dino", "–", "–")]
    drawn = component_with(app, '"columns":')["rows"][1]
    said = f"dino has features of images of {photos} alone, and came without an encoder for others."
    assert drawn["d0"]["title"] == said and "title" not in drawn["d1"]
    assert drawn["href"].endswith("embeddings?left=dino") and drawn["encoder"]["sub"] == "Another encoder"
    assert said in texts(app) and "3 cells are not measured" in texts(app)
    found = {"test/knn_top1": 0.5, "dataset": str(photos), "fingerprint": {}, "protocols": {"knn": {"num_test": 4}}}
    kept.add_other_figures(added_figures.path_of(item, found), found)
    app = open_page("transfer", encoders=f"{pretraining.id},dino", data=["digits", str(photos)], figure="knn")
    assert cells_of(app)[1] == {"encoder": "dino", "d0": "–", "d1": "50.0 %"}
    assert "2 cells are not measured" in texts(app)
