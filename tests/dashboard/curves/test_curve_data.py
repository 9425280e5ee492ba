"""What the Curves page computes: points, groups of seeds, bands, values, differences, warnings, CSV."""

import base64
import csv
import io

import numpy as np
import pytest
from dashboard_fixtures import make_experiment, make_run
from lightning_log import write_log

from dashboard.curves import curve_data
from dashboard.shared import store
from simclr import runs
from simclr.results import comparisons, curves, metric_info
from simclr.results.curves import View
from simclr.results.sources import Group, alone, by_seed
from simclr.runs import lightning_logs, metrics_csv


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def sources():
    return curve_data.of_runs(store.get().summaries(max_age=0))


def numbers(text):
    return np.frombuffer(base64.b64decode(text), dtype="<f4")


def test_lines_are_those_of_the_file(folder):
    run = make_run(folder)
    (line,) = curve_data.lines(alone(sources()), ["knn_top1"], View())
    columns = run.metrics()
    expected = [100 * value for value in columns["val/knn_top1"] if value == value]
    np.testing.assert_allclose(numbers(line["y"]), expected, rtol=1e-6)
    np.testing.assert_allclose(numbers(line["x"]), range(1, 21), rtol=1e-6)
    assert "raw_y" not in line


def test_smoothing_keeps_the_measured_line_and_the_choice_of_lines_holds(folder):
    make_run(folder)
    groups = alone(sources())
    plain = curve_data.lines(groups, ["loss"], View(splits=("val",)))
    (smooth,) = curve_data.lines(groups, ["loss"], View(smoothing=0.9, splits=("val",)))
    assert [line["column"] for line in plain] == ["val/loss"]
    assert smooth["raw_y"] == plain[0]["y"]
    assert smooth["y"] != plain[0]["y"]
    assert [line["faint"] for line in curve_data.lines(groups, ["loss"], View())] == [True, False]


def test_a_running_run_grows_and_one_that_has_ended_is_not_read_again(folder, monkeypatch):
    running, ended = make_run(folder, "running", done=3), make_run(folder)
    groups = alone(sources())
    before = {line["run"]: line for line in curve_data.lines(groups, ["knn_top1"], View())}
    with open(running.metrics_path, "a") as stream:
        stream.write(f"4,64{',' * 9},0.75{',' * 8}\n")
    monkeypatch.setattr(metrics_csv, "read_columns", lambda *_: pytest.fail("an ended run was read again"))
    after = {line["run"]: line for line in curve_data.lines(groups, ["knn_top1"], View())}
    assert after[ended.id] == before[ended.id]
    assert numbers(after[running.id]["y"])[-1] == pytest.approx(75)
    assert len(numbers(after[running.id]["y"])) == len(numbers(before[running.id]["y"])) + 1


def test_seeds_of_one_configuration_are_one_group_with_their_mean(folder):
    for seed in (0, 1, 2):
        make_run(folder, seed=seed, name=f"Wide crop, seed {seed}", notes=f"note {seed}", epochs=20)
    make_run(folder, seed=0, temperature=0.9)
    groups = by_seed(sources())
    assert sorted(len(group.members) for group in groups) == [1, 3]
    group = max(groups, key=lambda group: len(group.members))
    assert group.title == "Wide crop"
    found = curve_data.lines([group], ["loss"], View(splits=("val",)))
    assert found[0]["num_runs"] == 3
    (single,) = curve_data.lines(alone(group.members[:1]), ["loss"], View(splits=("val",)))
    for name in ("y", "low", "high"):  # the fixture's runs are all alike
        np.testing.assert_allclose(numbers(found[0][name]), numbers(single["y"]), rtol=1e-6)


def test_partners_of_pretrainings_that_differ_in_the_seed_belong_together(folder):
    for seed in (0, 1):
        start = make_run(folder, seed=seed)
        make_run(folder, kind="finetune", seed=seed, experiment_version=start.id, label_fraction=0.1)
    other = make_run(folder, temperature=0.9)
    make_run(folder, kind="finetune", seed=0, experiment_version=other.id, label_fraction=0.1)
    partners = [source for source in sources() if source.kind == "finetune"]
    assert sorted(len(group.members) for group in by_seed(partners, sources())) == [1, 2]


def test_runs_without_options_are_never_taken_for_seeds_of_each_other(folder):
    for name in ("version_0", "version_1"):
        write_log(folder / name, hparams=None)
    logs = curve_data.of_logs(lightning_logs.find_logs(folder))
    assert [len(group.members) for group in by_seed(logs)] == [1, 1]


def test_columns_of_other_programs_are_offered_under_their_own_names(folder):
    make_run(folder, kind="scratch")
    write_log(folder / "version_0", "epoch,step,train_loss,val/loss,n_params\n0,0,1.5,2.5,7\n")
    (log,) = curve_data.of_logs(lightning_logs.find_logs(folder))
    assert curves.offered([log]) == ["loss", "train_loss", "n_params"]  # val/loss is one that is known
    both = curves.offered([*sources(), log])
    assert both[:2] == ["loss", "top1"]
    assert both[-2:] == ["train_loss", "n_params"]
    assert curves.first_metrics([log], curves.offered([log])) == ["loss", "train_loss"]
    (line,) = curve_data.lines(alone([log]), ["train_loss"], View())
    assert numbers(line["y"]).tolist() == [1.5]


@pytest.mark.parametrize(
    ("name", "direction"),
    [("train_loss", "low"), ("val/acc", "high"), ("valid_accuracy_epoch", "high"), ("bce_loss_step", "low"),
     ("grad_norm", None), ("macc", None), ("val_RMSE", "low")],
)  # fmt: skip
def test_the_good_direction_of_a_foreign_column_is_read_from_its_words(name, direction):
    assert metric_info.guessed_direction(name) == direction


def test_last_and_best_come_from_validation_and_know_the_direction(folder):
    make_run(folder)
    (source,) = sources()
    loss, accuracy = curves.values(source, "loss"), curves.values(source, "knn_top1")
    columns = {name: [value for value in values if value == value] for name, values in runs_metrics(folder).items()}
    assert loss.best == pytest.approx(min(columns["val/loss"]), rel=1e-6)
    assert accuracy.best == pytest.approx(max(columns["val/knn_top1"]), rel=1e-6)
    assert accuracy.best_epoch == 20
    assert loss.last == pytest.approx(columns["val/loss"][-1], rel=1e-6)
    assert curves.values(source, "lr").best is None  # no learning rate is better than another
    assert curves.values(source, "no such column").last is None


def runs_metrics(folder):
    return runs.list_runs(folder)[0].metrics()


def test_without_validation_the_last_is_of_training_and_there_is_no_best(folder):
    run = make_run(folder, kind="scratch")
    lines = run.metrics_path.read_text().splitlines()
    kept = [lines[0], *[line for line in lines[1:] if line.split(",")[3]]]  # rows of training
    run.metrics_path.write_text("\n".join(kept) + "\n")
    found = curves.values(sources()[0], "loss")
    assert found.last is not None
    assert found.last_is_training
    assert found.best is None


def test_differences_hide_what_is_equal_and_name_nested_options_with_dots(folder):
    first = make_run(folder, temperature=0.5, augmentation={"hue": 0.1})
    second = make_run(folder, temperature=0.7, augmentation={"hue": 0.3})
    rows, hidden = comparisons.differences(sources())
    found = {name: dict(zip([source.id for source in sources()], texts, strict=True)) for name, texts in rows}
    assert found == {
        "temperature": {first.id: "0.5", second.id: "0.7"}, "augmentation.hue": {first.id: "0.1", second.id: "0.3"},
    }  # fmt: skip
    assert hidden == 0
    assert len(comparisons.differences(sources(), everything=True)[0]) > 30
    make_run(folder, kind="scratch")
    assert comparisons.differences(sources())[1] > 5  # what a supervised run has no option for


def test_losses_that_must_not_be_compared_are_named(folder):
    make_run(folder, batch_size=64, temperature=0.5)
    assert comparisons.warnings(sources(), ["loss"]) == []
    make_run(folder, batch_size=128, temperature=0.2)
    (sentence,) = comparisons.warnings(sources(), ["loss"])
    assert "batch_size is 64 or 128 and temperature is 0.2 or 0.5" in sentence
    assert "depend on the batch" in comparisons.warnings(sources(), ["top1", "mean_rank"])[0]
    assert comparisons.warnings(sources(), ["knn_top1"]) == []
    make_run(folder, kind="scratch", batch_size=64)
    assert "cross-entropy" in comparisons.warnings(sources(), ["loss"])[0]


def test_the_csv_holds_every_measured_point(folder):
    pretraining, _ = make_experiment(folder)
    (source,) = [source for source in sources() if source.id == pretraining.id]
    view = View(x="step", smoothing=0.5, limit=10)
    rows = list(csv.DictReader(io.StringIO(curves.csv_text(alone([source]), ["loss"], view))))
    columns = pretraining.metrics()
    for name in ("train/loss", "val/loss"):
        own = [row for row in rows if row["column"] == name]
        values = [value for value in columns[name] if value == value]
        np.testing.assert_allclose([float(row["value"]) for row in own], values, rtol=1e-6)
        assert [row["name"] for row in own] == [source.title] * len(values)
        assert float(own[0]["smoothed"]) == pytest.approx(values[0], rel=1e-6)
    grouped = [Group("g", "G", "#111111", (source, source))]
    rows = list(csv.DictReader(io.StringIO(curves.csv_text(grouped, ["loss"], View(), "range"))))
    assert {row["num_runs"] for row in rows} == {"2"}
    assert all(row["low"] == row["value"] == row["high"] for row in rows)


def test_a_hostile_options_file_costs_neither_time_nor_memory(folder):
    lol = "\n".join(["a0: &a0 [lol, lol]", *[f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]])
    write_log(folder / "version_0", hparams=lol)
    write_log(folder / "version_1", hparams=lol.replace("lol, lol", "lol"))
    logs = curve_data.of_logs(lightning_logs.find_logs(folder))
    rows, _ = comparisons.differences(logs, everything=True)
    assert all(len(text) < 200_000 for _, texts in rows for text in texts)
    assert len(by_seed(logs)) in (1, 2)
