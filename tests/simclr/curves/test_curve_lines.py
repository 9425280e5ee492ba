"""Curves of several runs: groups of seeds, values, differences, warnings, CSV."""

import csv
import io

import numpy as np
import pytest
from dashboard_fixtures import make_experiment, make_run
from lightning_log import write_log

from simclr import runs
from simclr.curves import curve_lines, metric_info, other_logs
from simclr.curves.curve_lines import View
from simclr.curves.curve_sources import Group, Source, alone, by_seed
from simclr.results import comparisons
from simclr.results.index import RunIndex


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def sources(folder):
    """All runs of a folder, as curves are drawn of them."""
    return [
        Source(
            item.id,
            item.title,
            "",
            item.kind,
            folder / item.id / runs.METRICS,
            folder / item.id / runs.CONFIG,
            "",
            item.is_active,
        )
        for item in RunIndex(folder).summaries(max_age=0)
    ]


def of_logs(folder):
    return [
        Source(log.id, log.title, "", "log", log.file, log.options_path, "") for log in other_logs.find_logs(folder)
    ]


def test_partners_of_pretrainings_that_differ_in_the_seed_belong_together(folder):
    for seed in (0, 1):
        start = make_run(folder, seed=seed)
        make_run(folder, kind="finetune", seed=seed, experiment_version=start.id, label_fraction=0.1)
    other = make_run(folder, temperature=0.9)
    make_run(folder, kind="finetune", seed=0, experiment_version=other.id, label_fraction=0.1)
    partners = [source for source in sources(folder) if source.kind == "finetune"]
    assert sorted(len(group.members) for group in by_seed(partners, sources(folder))) == [1, 2]


def test_a_run_from_before_an_option_came_belongs_to_those_that_leave_it_alone(folder):
    old, new, other = (make_run(folder, seed=seed) for seed in (0, 1, 2))
    path = old.path / runs.CONFIG
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("test_fraction:")))
    assert "test_fraction: 0.2" in (new.path / runs.CONFIG).read_text()
    path = other.path / runs.CONFIG
    path.write_text(path.read_text().replace("test_fraction: 0.2", "test_fraction: 0.5"))
    assert sorted(len(group.members) for group in by_seed(sources(folder))) == [1, 2]


def test_runs_without_options_are_never_taken_for_seeds_of_each_other(folder):
    for name in ("version_0", "version_1"):
        write_log(folder / name, hparams=None)
    logs = of_logs(folder)
    assert [len(group.members) for group in by_seed(logs)] == [1, 1]


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("train_loss", "low"),
        ("val/acc", "high"),
        ("valid_accuracy_epoch", "high"),
        ("bce_loss_step", "low"),
        ("grad_norm", None),
        ("macc", None),
        ("val_RMSE", "low"),
    ],
)
def test_the_good_direction_of_a_foreign_column_is_read_from_its_words(name, direction):
    assert metric_info.guessed_direction(name) == direction


def test_last_and_best_come_from_validation_and_know_the_direction(folder):
    make_run(folder)
    (source,) = sources(folder)
    loss, accuracy = curve_lines.values(source, "loss"), curve_lines.values(source, "knn_top1")
    columns = {name: [value for value in values if value == value] for name, values in runs_metrics(folder).items()}
    assert loss.best == pytest.approx(min(columns["val/loss"]), rel=1e-6)
    assert accuracy.best == pytest.approx(max(columns["val/knn_top1"]), rel=1e-6)
    assert accuracy.best_epoch == 20
    assert loss.last == pytest.approx(columns["val/loss"][-1], rel=1e-6)
    assert curve_lines.values(source, "lr").best is None  # no learning rate is better than another
    assert curve_lines.values(source, "no such column").last is None


def runs_metrics(folder):
    return runs.list_runs(folder)[0].metrics()


def test_without_validation_the_last_is_of_training_and_there_is_no_best(folder):
    run = make_run(folder, kind="scratch")
    lines = run.metrics_path.read_text().splitlines()
    kept = [lines[0], *[line for line in lines[1:] if line.split(",")[3]]]  # rows of training
    run.metrics_path.write_text("\n".join(kept) + "\n")
    found = curve_lines.values(sources(folder)[0], "loss")
    assert found.last is not None
    assert found.last_is_training
    assert found.best is None


def test_differences_hide_what_is_equal_and_name_nested_options_with_dots(folder):
    first = make_run(folder, temperature=0.5, augmentation={"hue": 0.1})
    second = make_run(folder, temperature=0.7, augmentation={"hue": 0.3})
    rows, hidden = comparisons.differences(sources(folder))
    found = {name: dict(zip([source.id for source in sources(folder)], texts, strict=True)) for name, texts in rows}
    assert found == {
        "temperature": {first.id: "0.5", second.id: "0.7"},
        "augmentation.hue": {first.id: "0.1", second.id: "0.3"},
    }
    assert hidden == 0
    assert len(comparisons.differences(sources(folder), everything=True)[0]) > 30
    make_run(folder, kind="scratch")
    assert comparisons.differences(sources(folder))[1] > 5  # what a supervised run has no option for


def test_losses_that_must_not_be_compared_are_named(folder):
    make_run(folder, batch_size=64, temperature=0.5)
    assert comparisons.warnings(sources(folder), ["loss"]) == []
    make_run(folder, batch_size=128, temperature=0.2)
    (sentence,) = comparisons.warnings(sources(folder), ["loss"])
    assert "batch_size is 64 or 128 and temperature is 0.2 or 0.5" in sentence
    assert "depend on the batch" in comparisons.warnings(sources(folder), ["top1", "mean_rank"])[0]
    assert comparisons.warnings(sources(folder), ["knn_top1"]) == []
    make_run(folder, kind="scratch", batch_size=64)
    assert "cross-entropy" in comparisons.warnings(sources(folder), ["loss"])[0]


def test_training_curves_of_mixed_images_are_not_compared_with_those_of_whole_ones(folder):
    make_run(folder, kind="scratch")
    make_run(folder, kind="scratch", mixup_alpha=0.0)
    assert comparisons.warnings(sources(folder), ["loss"]) == []
    make_run(folder, kind="scratch", cutmix_alpha=1.0)
    for metric in ("loss", "top1", "top5"):
        (sentence,) = comparisons.warnings(sources(folder), [metric])
        assert "MixUp or CutMix" in sentence
    assert comparisons.warnings(sources(folder), ["lr"]) == []


def test_the_csv_holds_every_measured_point(folder):
    pretraining, _ = make_experiment(folder)
    (source,) = [source for source in sources(folder) if source.id == pretraining.id]
    view = View(x="step", smoothing=0.5, limit=10)
    rows = list(csv.DictReader(io.StringIO(curve_lines.csv_text(alone([source]), ["loss"], view))))
    columns = pretraining.metrics()
    for name in ("train/loss", "val/loss"):
        own = [row for row in rows if row["column"] == name]
        values = [value for value in columns[name] if value == value]
        np.testing.assert_allclose([float(row["value"]) for row in own], values, rtol=1e-6)
        assert [row["name"] for row in own] == [source.title] * len(values)
        assert float(own[0]["smoothed"]) == pytest.approx(values[0], rel=1e-6)
    grouped = [Group("g", "G", "#111111", (source, source))]
    rows = list(csv.DictReader(io.StringIO(curve_lines.csv_text(grouped, ["loss"], View(), "range"))))
    assert {row["num_runs"] for row in rows} == {"2"}
    assert all(row["low"] == row["value"] == row["high"] for row in rows)


def test_a_hostile_options_file_costs_neither_time_nor_memory(folder):
    lol = "\n".join(["a0: &a0 [lol, lol]", *[f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]])
    write_log(folder / "version_0", hparams=lol)
    write_log(folder / "version_1", hparams=lol.replace("lol, lol", "lol"))
    logs = of_logs(folder)
    rows, _ = comparisons.differences(logs, everything=True)
    assert all(len(text) < 200_000 for _, texts in rows for text in texts)
    assert len(by_seed(logs)) in (1, 2)
