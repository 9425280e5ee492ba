"""A run that was stopped and resumed ends bit for bit where an uninterrupted one does (one thread, one machine)."""

import shutil

import pytest
import torch
from conftest import TINY, TINY_PRETRAIN
from trainings import assert_equal_ends, interrupted, run_and_find, stop_at  # noqa: F401

from simclr import runs
from simclr.cli.main import main
from simclr.models.weights import file_hash
from simclr.runs import metrics_csv

# An epoch has 16 batches and a row after each.
PRETRAIN = TINY_PRETRAIN | {
    "limit_images": 300,
    "epochs": 2,
    "augmentation.hue": 0.2,
    "augmentation.policy": "autoaugment_cifar",
}
LARGE_STEPS = PRETRAIN | {"batch_size": 8, "epochs": 2}  # 33 batches: a row every third


@pytest.mark.parametrize(
    ("options", "step"),
    [(PRETRAIN, 5), (LARGE_STEPS, 38)],
    ids=["mid epoch", "between two rows"],
)
def test_a_stopped_pretraining_goes_on_as_if_nothing_had_been(tiny_runs, stop_at, monkeypatch, capsys, options, step):
    expected = run_and_find(tiny_runs, "pretrain", options)
    run = interrupted(tiny_runs, "pretrain", options | {"version": 0}, stop_at, monkeypatch, step)
    status = run.status
    assert (status.state, status.reason, status.exit_code) == ("stopped", "on request", 75)
    assert "stopped (on request)" in run.log_tail()
    capsys.readouterr()
    assert main(["resume", run.id]) == 0
    assert capsys.readouterr().out.strip().splitlines()[-1] == str(run.path)
    assert_equal_ends(run, expected)
    for clock in ("perf/seconds", "perf/cpu_seconds"):  # go on from where they were
        values = run.metrics()[clock].tolist()
        assert values == sorted(values) and values[0] > 0, clock


def test_it_can_be_stopped_twice(tiny_runs, stop_at, monkeypatch):
    expected = run_and_find(tiny_runs, "pretrain", PRETRAIN)
    run = interrupted(tiny_runs, "pretrain", PRETRAIN | {"version": 0}, stop_at, monkeypatch, 4)
    stop_at(9)
    assert main(["resume", run.id]) == 75
    monkeypatch.undo()
    assert main(["resume", run.id, "--runs_dir", str(tiny_runs)]) == 0
    assert_equal_ends(run, expected)


def test_a_crash_costs_no_more_than_the_epoch(tiny_runs, stop_at, monkeypatch):
    expected = run_and_find(tiny_runs, "pretrain", PRETRAIN)
    run = interrupted(tiny_runs, "pretrain", PRETRAIN | {"version": 0}, stop_at, monkeypatch, 21, kind="crash")
    assert (run.status.state, run.status.reason) == ("failed", "error")
    with run.metrics_path.open("a") as stream:
        stream.write("2,22,0.00")  # torn by the crash
    with run.health_path.open("a") as stream:
        stream.write('{"epoch":2,"st')
    assert main(["resume", run.id]) == 0
    assert_equal_ends(run, expected)


def test_what_cannot_be_resumed_is_told(finished_run, tiny_runs, capsys):
    assert main(["resume", str(finished_run.path)]) == 2
    assert "is finished; allowed: a run that was stopped or failed." in capsys.readouterr().err
    assert main(["resume", "nothing"]) == 2
    assert capsys.readouterr().err.startswith("RUN is nothing; allowed: a run's folder, id or unique prefix")


def test_a_run_that_came_to_no_checkpoint_begins_anew_in_its_folder(tiny_runs, tiny_pretrain):
    run = runs.create(tiny_pretrain.model_copy(update={"epochs": 1, "evaluate": False}), tiny_runs)
    runs.update_status(run.path, state="failed")
    assert main(["resume", run.id]) == 0
    assert run.status.state == "finished"
    assert [other.id for other in runs.list_runs(tiny_runs)] == [run.id]


def test_a_head_does_not_go_on_on_features_of_other_weights(tiny_runs, finished_run, tmp_path, capsys):
    weights = tmp_path / "weights.pt"
    shutil.copyfile(finished_run.model_path, weights)
    options = TINY | {
        "backbone": "resnet_tiny",
        "freeze_encoder": True,
        "experiment_version": str(weights),
        "limit_images": 40,
    }
    run = run_and_find(tiny_runs, "finetune", options)
    assert run.meta["weights_sha256"] == file_hash(weights)
    runs.update_status(run.path, state="failed")
    state = torch.load(weights, weights_only=True)
    torch.save({name: value + 1 if value.is_floating_point() else value for name, value in state.items()}, weights)
    assert main(["resume", run.id]) == 2
    assert f"whose weights have changed since {run.id} began; allowed: the same weights" in capsys.readouterr().err
    for path in (run.path / runs.CHECKPOINTS).iterdir():
        path.unlink()
    assert main(["resume", run.id]) == 0  # nothing was trained on the old ones
    assert run.meta["weights_sha256"] == file_hash(weights)


def test_rows_after_the_checkpoint_are_cut_line_by_line(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,lr\n1,1,0.1\nnonsense\n1,2,0.2\n1,3,0.3\n1,4,0.")
    log = metrics_csv.MetricsLog(path, ("epoch", "step", "lr"), keep_steps=2)
    log.append({"epoch": 1, "step": 3, "lr": 0.5})
    assert path.read_text().splitlines()[0] == "epoch,step,lr"
    tail = runs.MetricsTail(path)
    tail.refresh()
    assert [tail.columns[name].tolist() for name in ("step", "lr")] == [[1.0, 2.0, 3.0], [0.1, 0.2, 0.5]]


def test_rows_of_a_version_with_other_columns_are_kept(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,gone,lr\n1,1,7,0.1\n1,2,8\n1,2,8,\n1,3,9,0.3\n")
    metrics_csv.MetricsLog(path, ("epoch", "step", "lr", "new"), keep_steps=2).append({"step": 3, "new": 4})
    assert path.read_text() == "epoch,step,lr,new\n1,1,0.1,\n1,2,,\n,3,,4\n"


def test_a_new_start_in_an_old_folder_begins_the_rows_anew(tmp_path):
    path = tmp_path / "metrics.csv"
    metrics_csv.MetricsLog(path, ("step", "lr")).append({"step": 1, "lr": 0.1})
    log = metrics_csv.MetricsLog(path, ("step", "lr"))
    log.append({"step": 1, "lr": 0.5})
    assert path.read_text() == "step,lr\n1,0.5\n"
