"""Encoders by data sets: what is read of each pair, what is lacking, the command, and its jobs."""

import json
import os
import random
import shutil
import time

import pytest
from conftest import make_folder
from waiting import wait_for

from simclr import config as cfg
from simclr import runs
from simclr.cli.main import main
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef
from simclr.evaluation import few_shot, kept
from simclr.hardware import processes
from simclr.launch import jobs
from simclr.lifecycle.train import train
from simclr.results.statistics import image_interval
from simclr.runs import Run
from simclr.transfer import matrix

LINEAR, KNN, FEW = (matrix.FIGURES[key] for key in ("linear", "knn", "5-mean"))


@pytest.fixture
def trained(finished_run, tiny_runs):
    return Run(shutil.copytree(finished_run.path, tiny_runs / finished_run.id))


@pytest.fixture
def both(trained):
    return [EncoderRef(trained), EncoderRef(trained, "untrained")]


def test_own_figures_are_those_of_the_run_and_others_are_lacking(trained, both):
    cells = matrix.cells(both, ["shapes", "digits"], LINEAR)
    own = cells[matrix.Pair(trained.id, "shapes")]
    accuracy = trained.evaluation["test/linear_top1"]
    assert own.state == "done" and own.value.accuracy == accuracy
    assert (own.value.low, own.value.high) == image_interval(accuracy, 2000) and own.value.num == 2000
    assert [cell.state for cell in cells.values()] == ["done", "empty", "empty", "empty"]
    assert matrix.lacking(both[0], "shapes") == ["fewshot"]
    assert matrix.lacking(both[1], "shapes", ["knn"]) == ["knn"]
    work = matrix.work_of(both, ["shapes", "digits", "/nowhere"], ["knn"])
    assert [(item.pair.encoder, item.dataset) for item in work] == [
        (trained.id, "digits"),
        (f"untrained:{trained.id}", "shapes"),
        (f"untrained:{trained.id}", "digits"),
    ]


def test_a_run_with_few_labels_is_judged_with_all_of_its_data_set(trained, tmp_path):
    options = {"experiment_version": trained.id, "random_weight_init": True, "epochs": 1, "label_fraction": 0.1}
    scratch = train(cfg.build(cfg.FinetuneConfig, options), runs_dir=trained.path.parent)
    evaluation = (scratch.path / runs.EVALUATION).read_bytes()
    assert main(["evaluate", scratch.id, "--protocol", "knn", "--runs_dir", str(trained.path.parent)]) == 0
    alone = scratch.evaluation["protocols"]["knn"]["num_train"]
    encoder = EncoderRef(scratch)
    assert matrix.lacking(encoder, "shapes", ["knn"]) == ["knn"]  # the run's own figure is of fewer labels
    old = kept.other_path(scratch, {"dataset": "shapes", "fingerprint": (found := judged(scratch))["fingerprint"]})
    runs_kept = {"dataset": "shapes", "fingerprint": found["fingerprint"], "test/knn_top1": 0.123, "protocols": {}}
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_text(json.dumps(runs_kept))  # of an older version, with fewer labels
    assert matrix.lacking(encoder, "shapes", ["knn"]) == ["knn"]
    assert matrix.measure(matrix.work_of([encoder], ["shapes"], ["knn"]), lambda *_: None) == {}
    shown = matrix.figures_of(encoder, "shapes")
    assert shown["protocols"]["knn"]["num_train"] > 9 * alone
    assert shown["test/knn_top1"] == found["test/knn_top1"] != 0.123
    stored = json.loads(evaluation)
    assert {name: scratch.evaluation[name] for name in stored if name != "protocols"} == {
        name: value for name, value in stored.items() if name != "protocols"
    }


def judged(run):
    from simclr.evaluation import protocols

    return protocols.evaluate_run(run, ["knn"], apart=True)


def test_what_is_measured_fills_its_cell_alone_and_stays(trained, both):
    evaluation = (trained.path / runs.EVALUATION).read_bytes()
    noted = []
    failed = matrix.measure(
        matrix.work_of(both, ["digits"], ["knn"]), lambda phase, share: None, lambda *each: noted.append(each)
    )
    assert failed == {}
    pairs = [matrix.Pair(name, "digits") for name in (trained.id, f"untrained:{trained.id}")]
    assert noted == [(pair, state, "") for pair in pairs for state in ("running", "done")]
    cells = matrix.cells(both, ["digits"], KNN)
    assert all(cells[pair].state == "done" for pair in pairs)
    assert cells[pairs[0]].value != cells[pairs[1]].value
    assert all(cell.state == "empty" for cell in matrix.cells(both, ["digits"], FEW).values())
    assert (trained.path / runs.EVALUATION).read_bytes() == evaluation
    assert matrix.work_of(both, ["digits"], ["knn"]) == []


def test_the_interval_of_few_labels_is_that_of_the_draws(trained, both):
    found = {"dataset": "digits", "fingerprint": {"a": 1}, "protocols": {"fewshot": {"figures": {}}}}
    item = few_shot.FewShot(5, "mean", (0.5, 0.6, 0.7), 0)
    found["protocols"]["fewshot"]["figures"][item.name] = item.numbers
    found[item.name] = item.numbers["mean"]
    kept.keep(trained, found, "test")
    value = matrix.cells(both[:1], ["digits"], FEW)[matrix.Pair(trained.id, "digits")].value
    assert (value.num, value.unit) == (3, "draws")
    assert (value.low, value.high) == (item.numbers["low"], item.numbers["high"])
    assert matrix.value_text(value) == f"60.0 % ({100 * value.low:.1f}–{100 * value.high:.1f})"


@pytest.mark.parametrize("wrong", [None, "much", 1.5, -0.1, float("nan"), True, [0.5]])
def test_a_damaged_figure_is_none(trained, both, wrong):
    path = kept.other_path(trained, found := {"dataset": "digits", "fingerprint": {}})
    path.parent.mkdir()
    path.write_text(json.dumps(found | {"test/knn_top1": wrong, "protocols": ["none"]}))
    assert matrix.cells(both[:1], ["digits"], KNN)[matrix.Pair(trained.id, "digits")].value is None


def test_data_sets_are_called_by_as_much_of_their_path_as_tells_them_apart():
    assert matrix.dataset_labels(["shapes", "/a/x", "/b/x", "/c/y"]) == {
        "shapes": "shapes",
        "/a/x": "a/x",
        "/b/x": "b/x",
        "/c/y": "y",
    }


def test_encoders_are_told_by_where_their_weights_are_from(tmp_path):
    from simclr import config as cfg

    def kind(name, **options):
        model = cfg.MODELS[name]
        return matrix.kind_text(EncoderRef(runs.create(cfg.build(model, options), tmp_path)))

    supervised = {"dataset": "shapes", "backbone": "resnet_tiny"}
    assert kind("pretrain") == "SimCLR"
    assert kind("scratch", **supervised, random_weight_init=True) == "From scratch"
    assert kind("finetune", **supervised, experiment_version="0") == "Fine-tuned"
    assert kind("finetune", **supervised, experiment_version="0", freeze_encoder=True) == "Frozen"
    assert kind("finetune", **supervised, experiment_version="/weights/r18.pt", freeze_encoder=True) == "Another's"


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_measures_what_is_lacking_and_prints_the_matrix(trained, capsys, tmp_path):
    folder = make_folder(tmp_path / "mine", {"x": 12, "y": 12, "z": 9}, side=20)
    names = [trained.id, f"untrained:{trained.id}"]
    arguments = ["transfer", *names, "--dataset", str(folder), "digits", "--protocol", "knn"]
    assert main([*arguments, "--no_measure"]) == 0
    assert capsys.readouterr().out.count("–") == 0  # columns that hold nothing are left out
    assert main([*arguments, "--format", "csv"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("kNN,Weights,mine (n ") and head.endswith("digits (n 359)")
    assert [line.split(",")[1] for line in lines] == ["SimCLR", "Untrained"]
    stamps = {path: path.stat().st_mtime_ns for path in (trained.path / runs.EVALUATIONS).iterdir()}
    assert len(stamps) == 4
    assert main([*arguments, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    stored = [json.loads(path.read_text())["test/knn_top1"] for path in stamps]
    assert sorted(cell["accuracy"] for cell in found["cells"]) == sorted(stored)
    assert all(cell["low"] <= cell["accuracy"] <= cell["high"] and cell["error"] is None for cell in found["cells"])
    for form, words in (("markdown", "| kNN | Weights |"), ("latex", r"\toprule")):
        assert main([*arguments, "--no_measure", "--format", form]) == 0
        assert words in capsys.readouterr().out


def test_a_pair_that_fails_costs_itself_and_is_said(trained, capsys, tmp_path):
    plain = make_folder(tmp_path / "plain", {".": 12})
    assert main(["transfer", trained.id, "--dataset", str(plain), "digits", "--protocol", "knn"]) == 1
    captured = capsys.readouterr()
    assert "which has no labelled test images" in captured.err and str(plain) in captured.err
    assert "digits (n 359)" in captured.out


WRONG = {
    "RUN": ["nothing", "untrained:nothing", "untrained:"],
    "--dataset": ["nowhere", "", "digit"],
    "--protocol": ["classifier", "", "knn,often"],
    "--figure": ["2-mean", "", "5-logistics"],
    "--format": ["html", ""],
}


def test_every_pair_of_wrong_options_is_one_sentence(trained, capsys):
    random.seed(3)
    for first in WRONG:
        for second in WRONG:
            for value in WRONG[first]:
                chosen = {"RUN": trained.id, "--dataset": "digits", first: value}
                if second != first:
                    chosen[second] = random.choice(WRONG[second])
                arguments = ["transfer", chosen.pop("RUN"), *(f"{name}={text}" for name, text in chosen.items())]
                assert main(arguments) == 2, arguments
                captured = capsys.readouterr()
                assert captured.out == "" and captured.err.strip().count("\n") == 0, captured.err
                assert "Traceback" not in captured.err
    assert main(["transfer", trained.id, "--protocol", "knn", "--figure", "linear"]) == 2
    assert "allowed: a figure of what is measured." in capsys.readouterr().err
    assert not (trained.path / runs.EVALUATIONS).exists()


# --- jobs -----------------------------------------------------------------------------------------------------------


def job_with(runs_dir, state, cells, name="20261130-100000-transfer-aaaa", **more):
    """A job's folder as the job leaves it; an active one is said to be this very process."""
    folder = runs_dir / runs.JOBS / name
    folder.mkdir(parents=True)
    status = {"state": state, **more}
    if state == "running":
        status |= {"pid": os.getpid(), "process_start": processes.process_start(os.getpid())}
        status |= {"heartbeat": time.time()}
    runs.update_status(folder, **status)
    if cells is not None:
        (folder / matrix.CELLS).write_text(json.dumps({"cells": cells}))
    return folder


def states(encoders, datasets, runs_dir):
    return [cell.state for cell in matrix.cells(encoders, datasets, KNN, runs_dir).values()]


def test_cells_show_what_jobs_do_with_them(trained, both, tiny_runs):
    sets = ["digits", "cifar10"]
    names = [matrix.reference(encoder) for encoder in both]
    assert states(both, sets, tiny_runs) == ["empty"] * 4
    cells = [
        [names[0], "digits", "running", ""],
        [names[0], "cifar10", "failed", "There is no network."],
        [names[1], "digits", "queued", ""],
    ]
    job = job_with(tiny_runs, "running", cells)
    assert states(both, sets, tiny_runs) == ["running", "failed", "queued", "empty"]
    found = matrix.cells(both, sets, KNN, tiny_runs)
    assert found[matrix.Pair(names[0], "cifar10")].sentence == "There is no network."
    runs.update_status(job, state="stopped")
    assert states(both, sets, tiny_runs) == ["empty", "failed", "empty", "empty"]
    runs.update_status(job, state="failed", error="It ran out of memory.")
    assert states(both, sets, tiny_runs) == ["failed", "failed", "failed", "empty"]
    job_with(tiny_runs, "running", [[names[0], "cifar10", "queued", ""]], "20261130-110000-transfer-bbbb")
    assert states(both, sets, tiny_runs) == ["failed", "queued", "failed", "empty"]


def test_a_job_that_has_not_begun_has_all_its_cells_queued_and_a_damaged_one_none(trained, both, tiny_runs):
    job = job_with(tiny_runs, "running", None)
    (job / jobs.REQUEST).write_text(json.dumps({"encoders": [trained.id], "datasets": ["digits"]}))
    assert states(both, ["digits"], tiny_runs) == ["queued", "empty"]
    for text in ("{", "[]", '{"encoders": 3, "datasets": []}'):
        (job / jobs.REQUEST).write_text(text)
        assert states(both, ["digits"], tiny_runs) == ["empty", "empty"]


@pytest.mark.slow
def test_one_click_fills_the_cells_in_a_process_of_its_own(trained, both, tiny_runs):
    job = matrix.start_job(both, ["digits"], tiny_runs)
    assert matrix.start_job(both, ["digits"], tiny_runs) == job  # a second click
    assert matrix.active_job(tiny_runs) == job
    wait_for(lambda: not runs.current_status(job).is_active, "the end of the job", 240)
    assert runs.current_status(job).state == "finished", Run(job).log_tail(20)
    assert all(cell.state == "done" for cell in matrix.cells(both, ["digits"], FEW, tiny_runs).values())
    assert references.resolve_with_untrained([f"untrained:{trained.id}"], tiny_runs)[0].what == "untrained"
