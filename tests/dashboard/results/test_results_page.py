"""The Results page: the table, the answer in one sentence, and what is said when there is nothing."""

import json

import pytest
from dashboard_fixtures import (
    component_with,
    components_with,
    follow,
    make_experiment,
    make_group,
    make_run,
    named,
    open_page,
    query,
    texts,
)

from dashboard.results import rows as page_rows
from dashboard.shared import formats, store
from simclr import runs
from simclr.results import tables


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def results_of(pretraining, **more):
    summaries = store.get().summaries(max_age=0)
    own = next(item for item in summaries if item.id == pretraining.id)
    return tables.results(own, summaries, store.find, **more)


def rows_of(pretraining, **more):
    """The rows of the table as the component takes them."""
    found = results_of(pretraining, **more)
    return [page_rows.cells(row, found.evaluations.get(row.runs[0].id, {})) for row in found.rows]


def texts_of(rows, column):
    return [row[column]["text"] for row in rows]


def test_empty_says_what_to_do(folder):
    assert "Start a pre-training first" in texts(open_page("results"))
    run = make_run(folder)
    app = open_page("results", experiment=run.id)
    assert not app.exception
    assert "one click each" in texts(app)


def test_rows_compare_with_scratch_and_mark_the_best_of_each_fraction(folder):
    pretraining, found = make_experiment(folder, (0.01, 1.0))
    rows = rows_of(pretraining)
    assert texts_of(rows, "accuracy") == ["42.0 %", "48.0 %", "18.0 %", "50.0 %", "64.0 %", "74.0 %"]
    assert texts_of(rows, "difference") == ["+24.0 pp", "+30.0 pp", "–", "-24.0 pp", "-10.0 pp", "–"]
    assert [row["best"] for row in rows] == [False, True, False, False, False, True]
    assert rows[0]["labels"] == {"text": "1 %", "sub": "37"}
    assert rows[0]["budget"]["text"] == rows[0]["budget"]["title"] == "20 epochs of 37 images, batch 64"
    assert rows[0]["href"] == f"run?id={found['frozen-0.01'].id}"


def test_rows_tell_the_steps_and_seconds_to_where_from_scratch_nearly_ends(folder):
    rows = rows_of(make_experiment(folder)[0])
    assert texts_of(rows, "steps") == ["48", "96", "176"]
    assert [row["steps"]["sub"] for row in rows] == ["0.27 of scratch", "0.55 of scratch", ""]
    assert texts_of(rows, "seconds") == ["14.4", "28.8", "52.8"]
    labels = [column["label"] for column in page_rows.columns("cpu")]
    assert "Steps to 90\u00a0%" in labels and "CPU-seconds" in labels
    assert "Training seconds" in [column["label"] for column in page_rows.columns("wall")]


def test_the_page_leads_with_what_pre_training_was_worth(folder):
    pretraining, _ = make_experiment(folder, (0.01, 1.0))
    app = open_page("results", experiment=pretraining.id)
    assert [(item.label, item.value, item.delta) for item in app.metric] == [
        ("Test accuracy", "+30.0 points", "48.0 % instead of 18.0 %"),
        ("Steps to 90 % of from scratch", "0.55 ×", "96 instead of 176"),
        ("CPU-seconds to it", "0.55 ×", "28.8 instead of 52.8"),
    ]
    assert "in **0.55 of the steps** (96 instead of 176) and 0.55 of the CPU-seconds." in texts(app)
    assert "With 100 % of the labels −10.0 points and 0.55 of the steps. The pre-training itself took 40 s" in texts(
        app
    )
    figure = json.loads(
        next(item for item in components_with(app, '"figure":') if "circle-open" in item["figure"])["figure"]
    )
    rings = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert {trace["name"]: trace["x"] for trace in rings} == {
        "Frozen encoder": [48],
        "Fine-tuned": [96],
        "From scratch": [176],
    }


def test_seeds_are_shown_together_unless_one_is_asked_for(folder):
    made = [make_experiment(folder, seed=seed, better=0.02 * seed) for seed in (1, 2, 3)]
    pretraining, found = made[0]
    app = open_page("results", experiment=pretraining.id)
    assert not app.exception
    assert "**52.0 ± 2.0 %** (mean ± standard deviation of 3 seeds): 34.0 ± 2.0 points more" in texts(app)
    row = next(row for row in component_with(app, '"Against scratch"')["rows"] if row["arm"]["text"] == "Fine-tuned")
    assert (row["accuracy"]["text"], row["accuracy"]["sub"]) == ("52.0 %", "± 2.0")
    assert (row["difference"]["text"], row["difference"]["sub"]) == ("+34.0 pp", "± 2.0 · 29.0 to 39.0")
    assert row["difference"]["title"].startswith("95 % interval 29.0 to 39.0 points, paired by seed; p ")
    assert (row["steps"]["text"], row["steps"]["sub"]) == ("96 ± 0", "0.55 ± 0.00 of scratch")
    assert row["href"].startswith("curves?runs=") and row["href"].endswith("&seeds=std")
    named(app.segmented_control, "results-seeds").set_value("one").run()
    assert query(app, "seeds") == "one"
    assert "reaches **50.0 %**: 32.0 points more" in texts(app)
    row = next(row for row in component_with(app, '"Against scratch"')["rows"] if row["arm"]["text"] == "Fine-tuned")
    assert row["href"] == f"run?id={found['full-0.01'].id}"
    assert "reaches **50.0 %**" in texts(open_page("results", experiment=pretraining.id, seeds="one"))


def test_one_that_never_comes_to_it_is_said(folder):
    more = {"label_fraction": 0.01}
    pretraining = make_run(folder)
    make_run(folder, kind="scratch", experiment_version=pretraining.id, **more)
    make_run(folder, kind="finetune", experiment_version=pretraining.id, done=3, **more)
    rows = rows_of(pretraining)
    assert (rows[0]["steps"]["text"], rows[0]["steps"]["sub"], rows[0]["seconds"]["text"]) == (
        "never",
        "in 48 steps",
        "–",
    )
    app = open_page("results", experiment=pretraining.id)
    assert ("Steps to 90 % of from scratch", "never", "in 48 steps") in [
        (m.label, m.value, m.delta) for m in app.metric
    ]
    assert "It never comes to 90 % of from scratch's final accuracy" in texts(app)
    assert "With 1 % of the labels, fine-tuned has never come to it in 48 steps." in texts(app)
    newer = make_run(folder, seed=7)
    make_run(folder, kind="scratch", experiment_version=newer.id, seed=7, **more)
    make_run(folder, kind="finetune", experiment_version=newer.id, seed=7, done=3, **more)
    both = texts(open_page("results", experiment=pretraining.id))
    assert "With 1 % of the labels, no seed of fine-tuned has come to it in 48 steps." in both


def test_some_seeds_that_never_come_to_it_are_said_too(folder):
    for seed, done in ((1, 20), (2, 3), (3, 20)):
        pretraining = make_run(folder, seed=seed)
        more = {"label_fraction": 0.01, "seed": seed, "experiment_version": pretraining.id}
        make_run(folder, kind="scratch", **more)
        make_run(folder, kind="finetune", done=done, **more)
    rows = rows_of(pretraining)
    assert rows[0]["steps"]["sub"] == "1.00 ± 0.00 of scratch · 2 of 3 seeds"
    text = texts(open_page("results", experiment=pretraining.id))
    assert "1 of 3 seeds of fine-tuned has never come to it in 48 steps; the means are those of the others." in text
    assert "; 1 of 3 seeds never did." in text


def test_where_there_is_no_level_the_page_says_why_and_shows_the_accuracy_alone(folder):
    pretraining, found = make_experiment(folder)
    path = found["scratch-0.01"].metrics_path
    path.write_text(path.read_text().splitlines()[0] + "\n1,16,,,,,1.9,0.34,0.9,,,\n")
    app = open_page("results", experiment=pretraining.id)
    assert [item.label for item in app.metric] == ["Test accuracy"]
    assert (
        "With 1 % of the labels there is no level to reach: 90 % of where from scratch ends is no better than guessing."
        in texts(app)
    )
    assert "from scratch has no validation accuracy" not in texts(app)


def test_without_an_address_it_opens_on_the_newest_that_has_an_answer(folder):
    older, _ = make_experiment(folder)
    newer = make_run(folder)
    make_run(folder, kind="scratch", experiment_version=newer.id, label_fraction=0.01)
    assert query(open_page("results"), "experiment") == older.id


def test_the_answer_is_the_smallest_fraction_in_one_sentence(folder):
    pretraining, _ = make_experiment(folder, (0.01, 1.0))
    app = open_page("results", experiment=pretraining.id)
    assert not app.exception
    assert "With 1 % of the labels, the pre-trained encoder reaches **48.0 %**: 30.0 points more" in texts(app)
    assert "early stopping and the choice of the best epoch see the whole validation split" in texts(app)
    assert query(app, "experiment") == pretraining.id


def test_the_newest_run_with_a_result_stands_for_its_arm(folder):
    pretraining, found = make_experiment(folder)
    make_run(folder, "failed", kind="scratch", experiment_version=pretraining.id, label_fraction=0.01)
    picked = results_of(pretraining).trials[0].runs
    assert picked[0.01, "scratch"].id == found["scratch-0.01"].id


def test_a_run_without_a_result_shows_its_state_and_marks_nothing(folder):
    pretraining = make_run(folder)
    make_run(folder, "running", kind="scratch", done=3, experiment_version=pretraining.id, label_fraction=0.01)
    rows = rows_of(pretraining)
    assert rows[0]["accuracy"]["text"] == "Running"
    assert not rows[0]["best"]
    assert results_of(pretraining).verdicts == ()
    assert not open_page("results", experiment=pretraining.id).exception


def test_a_difference_of_nothing_has_no_sign():
    assert formats.points(-0.0001) == "0.0 pp"
    assert formats.points(0.12) == "+12.0 pp"
    assert formats.points(None) == "–"


def test_a_damaged_evaluation_costs_only_its_numbers(folder):
    pretraining, found = make_experiment(folder)
    (found["full-0.01"].path / "evaluation.json").write_text('{"test/top1": "high", "num_labels": [], "budget": 3}')
    app = open_page("results", experiment=pretraining.id)
    assert not app.exception


def test_an_unknown_experiment_shows_another(folder):
    pretraining, _ = make_experiment(folder)
    app = open_page("results", experiment="nope")
    assert not app.exception
    assert query(app, "experiment") == pretraining.id


def give_figures(pretraining, **changes):
    """What a pre-training's own evaluation writes."""
    values = {
        "test/knn_top1": 0.61,
        "test/linear_top1": 0.68,
        "test/linear_loss": 0.9,
        "num_labels": 37,
        "protocols": {
            "knn": {"text": "The kNN sentence.", "num_neighbors": 20, "temperature": 0.07},
            "linear": {"text": "The linear sentence.", "l2": 0.001, "num_val": 5000},
        },
    }
    runs.write_evaluation(pretraining.path, values | changes)


def test_linear_probe_and_knn_stand_with_the_arms_that_use_all_labels(folder):
    pretraining, _ = make_experiment(folder, (0.01, 1.0))
    give_figures(pretraining)
    rows = rows_of(pretraining)
    names = [row["arm"]["text"] for row in rows]
    assert names[:3] == ["Frozen encoder", "Fine-tuned", "From scratch"]
    assert names[3:] == ["kNN", "Linear probe", "Frozen encoder", "Fine-tuned", "From scratch"]
    knn, linear = rows[3:5]
    assert (knn["accuracy"]["text"], linear["accuracy"]["text"]) == ("61.0 %", "68.0 %")
    assert (knn["difference"]["text"], linear["difference"]["text"]) == ("-13.0 pp", "-6.0 pp")
    assert (knn["loss"]["text"], linear["loss"]["text"]) == ("–", "0.900")
    assert linear["budget"]["title"] == "L2 strength 0.001, chosen on 5,000 validation images."
    assert linear["budget"]["text"] == "L2 strength 0.001"
    assert knn["budget"] == {
        "text": "20 neighbours",
        "title": "20 neighbours, temperature 0.07; nothing trained.",
    }
    assert linear["href"] == f"run?id={pretraining.id}"
    assert [row["tight"] for row in rows] == [True, True, False, True, True, True, True, False]
    assert [row["best"] for row in rows] == [False, True, False, False, False, False, False, True]


def test_figures_on_other_labels_are_not_set_against_scratch(folder):
    pretraining, _ = make_experiment(folder, (1.0,))
    give_figures(pretraining, num_labels=99)
    rows = rows_of(pretraining)
    assert [row["difference"]["text"] for row in rows[:3]] == ["–", "–", "-24.0 pp"]


def test_a_pre_training_alone_shows_its_own_figures(folder):
    run = make_run(folder)
    give_figures(run)
    app = open_page("results", experiment=run.id)
    assert not app.exception
    assert "The test images are looked at once, at the end." in texts(app)
    assert "one click each" in texts(app)


@pytest.mark.parametrize("protocols", ["none", {"linear": 3, "knn": None}, {"linear": {"l2": "strong"}}])
def test_a_damaged_record_costs_only_its_words(folder, protocols):
    run = make_run(folder)
    give_figures(run, protocols=protocols)
    rows = rows_of(run)
    assert [row["budget"]["text"] for row in rows] == ["–", "–"]
    assert not open_page("results", experiment=run.id).exception


def test_a_group_among_the_pre_trainings_leads_to_its_own_results(folder):
    make_experiment(folder)
    make_group(folder, {"0.1": [0.8], "0.5": [0.5]})
    app = follow(open_page("results", experiment="which-x7k2"))
    assert not app.exception
    assert "Temperature 0.1" in texts(app)
    app = open_page("results")
    app = follow(app.selectbox(key="results-group").select("which-x7k2").run())
    assert not app.exception
    assert "Temperature 0.1" in texts(app)
