"""The best run of each data set: one line, and a table that leads to the runs."""

import html

import pytest
from dashboard_fixtures import component_with, components_with, make_experiment, make_run, open_page, write_evaluation

from dashboard.runs import best_runs
from simclr import runs
from simclr.results.index import RunIndex
from simclr.run_table import arrange
from simclr.run_table.late_values import LateValues


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def supervised(folder, dataset, *accuracies):
    """Runs from scratch on a data set, with these accuracies on its test images."""
    made = []
    for seed, top1 in enumerate(accuracies):
        run = make_run(folder, kind="scratch", dataset=dataset, seed=seed, epochs=2, name=f"{dataset} {seed}")
        write_evaluation(run, top1)
        made.append(run)
    return made


def lines(app):
    return [html.unescape(item.label) for item in app.expander]


def found_in(folder):
    return arrange.best_by_dataset(RunIndex(folder).summaries(max_age=0), LateValues(folder).value)


def test_it_names_the_best_of_each_data_set_and_leads_to_it(folder):
    supervised(folder, "cifar10", 0.4, 0.7, 0.6)
    best_shapes = supervised(folder, "shapes", 0.9, 0.8)[0]
    app = open_page("runs")
    assert not app.exception
    assert lines(app) == ["Best: cifar10 70.0 %, shapes 90.0 %"]
    table = component_with(app, '"key":"measure"')
    shown = [(row["name"]["sub"], row["name"]["text"], row["accuracy"]["text"]) for row in table["rows"]]
    assert shown == [("cifar10", "cifar10 1", "70.0 %"), ("shapes", "shapes 0", "90.0 %")]
    assert table["rows"][1]["href"] == f"run?id={best_shapes.id}"
    assert {row["accuracy"]["sub"] for row in table["rows"]} == {"Test"}


def test_a_new_best_run_is_seen_and_a_deleted_one_is_not(folder):
    supervised(folder, "shapes", 0.5, 0.6)
    assert lines(open_page("runs")) == ["Best: shapes 60.0 %"]
    (better,) = supervised(folder, "shapes", 0.8)
    assert lines(open_page("runs")) == ["Best: shapes 80.0 %"]
    runs.delete(better, folder)
    assert lines(open_page("runs")) == ["Best: shapes 60.0 %"]


def test_one_run_alone_is_no_best_and_nothing_is_drawn(folder):
    supervised(folder, "shapes", 0.5)
    app = open_page("runs")
    assert not app.expander
    assert components_with(app, '"key":"measure"') == []


def test_many_data_sets_stay_one_line_and_each_measure_has_a_row(folder):
    for number in range(5):
        supervised(folder, f"set{number}", 0.5, 0.6)
    make_experiment(folder)  # shapes: pre-trainings too
    make_experiment(folder)
    found = found_in(folder)
    assert best_runs.line(found) == "Best: set0 60.0 %, set1 60.0 %, set2 60.0 % and 3 more data sets"
    rows = best_runs.rows(found)
    of_last = [row for row in rows if row["name"]["sub"] not in [f"set{number}" for number in range(5)]]
    assert len(of_last) > 1
    assert [row["accuracy"]["strong"] for row in of_last] == [True] + [False] * (len(of_last) - 1)
    assert [row["tight"] for row in of_last] == [True] * (len(of_last) - 1) + [False]
