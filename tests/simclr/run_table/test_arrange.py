"""Groups of rows, the best run of each data set, and what a baseline is compared with."""

import statistics
import threading
import time
from dataclasses import replace

import pytest
from dashboard_fixtures import make_group, make_run

from simclr.results.index import RunIndex
from simclr.run_table import arrange, columns, late_values
from simclr.run_table.late_values import LateValues


@pytest.fixture
def items(tmp_path):
    made = [make_run(tmp_path, kind=kind) for kind in ("pretrain", "pretrain", "pretrain", "scratch", "scratch")]
    found = {item.id: item for item in RunIndex(tmp_path).summaries()}
    knn, test = (0.8, 0.9, 0.7), (0.75, 0.95)
    changed = [replace(found[run.id], best_knn=value) for run, value in zip(made, knn, strict=False)]
    changed += [replace(found[run.id], test_accuracy=value) for run, value in zip(made[3:], test, strict=True)]
    changed[0] = replace(changed[0], dataset="digits")
    return changed


def value(column, item):
    return column.read(item) if column.read else None


def test_groups_have_mean_deviation_and_number_of_each_measure(items):
    shown = [columns.FIGURES["accuracy"], columns.FIGURES["test_top1"], columns.FIGURES["loss"]]
    digits, shapes = arrange.grouped(items, columns.FIGURES["dataset"], shown, value)
    assert (digits.label, shapes.label, len(shapes.members)) == ("digits", "shapes", 4)
    assert "loss" not in shapes.spreads
    knn, test = shapes.spreads["accuracy"]["best_knn"], shapes.spreads["accuracy"]["test_top1"]
    assert (knn.num, test.num) == (2, 2)
    assert knn.mean == pytest.approx(statistics.mean([0.9, 0.7]))
    assert knn.deviation == pytest.approx(statistics.stdev([0.9, 0.7]))
    assert shapes.spreads["test_top1"] == {"test_top1": test}


def test_runs_without_a_value_come_last(items):
    items[0] = replace(items[0], dataset="")
    groups = arrange.grouped(items, columns.FIGURES["dataset"], [], value)
    assert [group.key for group in groups] == ["= shapes", arrange.NONE]


def test_groups_of_runs_are_told_apart_by_id(tmp_path):
    for number in range(2):
        make_group(tmp_path, {"0.1": [0.5]}, group_id=f"group {number}", title="one title")
    groups = arrange.grouped(RunIndex(tmp_path).summaries(), columns.FIGURES["group"], [], value)
    assert [group.label for group in groups] == ["one title", "one title"]


def test_the_best_is_found_by_one_measure_and_among_at_least_two(items):
    found = {(best.dataset, best.measure): best for best in arrange.best_by_dataset(items, value)}
    assert set(found) == {("shapes", "best_knn"), ("shapes", "test_top1")}
    assert found["shapes", "best_knn"].run is items[1]
    assert found["shapes", "test_top1"].run is items[4]


def test_a_baseline_says_by_what_it_was_measured(items):
    shown = [columns.FIGURES[name] for name in ("accuracy", "best_knn", "test_top1", "loss")]
    assert arrange.baseline_values(items[1], shown, value) == {
        "accuracy": (0.9, "best_knn"),
        "best_knn": (0.9, "best_knn"),
    }
    assert arrange.baseline_values(items[4], shown, value)["accuracy"] == (0.95, "test_top1")


def test_options_are_read_once_and_again_when_they_change(tmp_path):
    run = make_run(tmp_path, temperature=0.3)
    found = RunIndex(tmp_path).summaries()
    late, column = LateValues(tmp_path), columns.find("augmentation.hue")
    assert late.value(column, found[0]) is None
    assert late.read(found, ["augmentation.hue"], seconds=0) == 1  # in the background
    assert late.read(found, ["augmentation.hue"]) == 0
    before = late.value(column, found[0])
    version = late.version
    assert late.read(found, ["augmentation.hue"]) == 0 and late.version == version
    path = run.path / "config.yaml"
    path.write_text(path.read_text().replace(f"hue: {before}", "hue: 0.25") + "of_another: 5\n")
    late.read(found, ["augmentation.hue"])
    assert (before, late.value(column, found[0])) != (0.25, before) and late.value(column, found[0]) == 0.25
    assert late.more["of_another"].kind == "number" and late.value(late.more["of_another"], found[0]) == 5


def test_a_value_is_read_once_however_many_threads_want_it(tmp_path, monkeypatch):
    make_run(tmp_path)
    found = RunIndex(tmp_path).summaries()
    late, reads = LateValues(tmp_path), []

    def slow(values):
        reads.append(threading.current_thread().name)
        time.sleep(0.2)  # long enough for the others to come to the same value
        return dict(values)

    monkeypatch.setattr(late_values, "flat", slow)
    assert late.read(found, ["augmentation.hue"], seconds=0) == 1  # in the background
    threads = [threading.Thread(target=late.read, args=(found, ["augmentation.hue"])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert late.read(found, ["augmentation.hue"]) == 0
    assert len(reads) == 1 and late.version == 1


def test_figures_on_validation_images_are_those_of_the_groups(tmp_path):
    from simclr.results import groups

    run = make_run(tmp_path)
    make_run(tmp_path, "failed")
    found = RunIndex(tmp_path).summaries()
    late = LateValues(tmp_path)
    assert late.read(found, ["val_knn", "val_top1"]) == 0
    values = {item.id: late.value(columns.FIGURES["val_knn"], item) for item in found}
    (measure,) = [measure for measure in groups.MEASURES if measure.key == "val_knn"]
    (own,) = [item for item in found if item.id == run.id]
    assert values.pop(run.id) == groups.figure(own, measure, lambda _: run)
    assert list(values.values()) == [None]
