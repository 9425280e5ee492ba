"""What the Curves page computes: points, groups of seeds, bands, values, differences, warnings, CSV."""

import base64

import numpy as np
import pytest
from dashboard_fixtures import make_run
from lightning_log import write_log

from dashboard.curves import curve_data
from dashboard.shared import store
from simclr.curves import curve_lines, other_logs
from simclr.curves.curve_lines import View
from simclr.curves.curve_sources import alone, by_seed
from simclr.runs import metrics_csv


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
        stream.write(f"4,64{',' * 9},0.75{',' * 9}\n")
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


def test_columns_of_other_programs_are_offered_under_their_own_names(folder):
    make_run(folder, kind="scratch")
    write_log(folder / "version_0", "epoch,step,train_loss,val/loss,n_params\n0,0,1.5,2.5,7\n")
    (log,) = curve_data.of_logs(other_logs.find_logs(folder))
    assert curve_lines.offered([log]) == ["loss", "train_loss", "n_params"]  # val/loss is one that is known
    both = curve_lines.offered([*sources(), log])
    assert both[:2] == ["loss", "top1"]
    assert both[-2:] == ["train_loss", "n_params"]
    assert curve_lines.first_metrics([log], curve_lines.offered([log])) == ["loss", "train_loss"]
    (line,) = curve_data.lines(alone([log]), ["train_loss"], View())
    assert numbers(line["y"]).tolist() == [1.5]
