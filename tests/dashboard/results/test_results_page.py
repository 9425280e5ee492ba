"""The Results page: the table, the answer in one sentence, and what is said when there is nothing."""

import pytest
from dashboard_fixtures import make_experiment, make_run, open_page, query, texts

from dashboard.results import page
from dashboard.shared import formats, store
from simclr import runs
from simclr.results import arms, statistics, tables


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def table_of(pretraining):
    picked = tables.arm_runs(store.partners(pretraining.id))
    return picked, rows_of(picked, {item.id: store.find(item.id).evaluation for item in picked.values()})


def rows_of(picked, evaluations, own=None):
    rows = tables.result_rows(picked, evaluations, own)
    return [page.cells(row, evaluations.get(row.summary.id, {})) for row in rows]


def test_empty_says_what_to_do(folder):
    assert "Start a pre-training first" in texts(open_page("results"))
    run = make_run(folder)
    app = open_page("results", experiment=run.id)
    assert not app.exception
    assert "one click each" in texts(app)


def test_rows_compare_with_scratch_and_mark_the_best_of_each_fraction(folder):
    pretraining, _ = make_experiment(folder, (0.01, 1.0))
    picked, rows = table_of(pretraining)
    assert list(picked) == [(fraction, arm) for fraction in (0.01, 1.0) for arm in arms.ARMS]
    assert [row["accuracy"]["text"] for row in rows] == ["42.0 %", "48.0 %", "18.0 %", "50.0 %", "64.0 %", "74.0 %"]
    assert [row["difference"]["text"] for row in rows] == ["+24.0 pp", "+30.0 pp", "–", "-24.0 pp", "-10.0 pp", "–"]
    assert [row["best"] for row in rows] == [False, True, False, False, False, True]
    assert rows[0]["labels"]["text"] == "1 % · 37"
    assert rows[0]["budget"]["text"] == "20 epochs of 37 images, batch 64"
    assert rows[0]["href"] == f"/run?id={picked[0.01, 'frozen'].id}"


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
    picked, _ = table_of(pretraining)
    assert picked[0.01, "scratch"].id == found["scratch-0.01"].id


def test_a_run_without_a_result_shows_its_state_and_marks_nothing(folder):
    pretraining = make_run(folder)
    make_run(folder, "running", kind="scratch", done=3, experiment_version=pretraining.id, label_fraction=0.01)
    picked, rows = table_of(pretraining)
    assert rows[0]["accuracy"]["text"] == "Running"
    assert not rows[0]["best"]
    assert statistics.verdict(picked) is None
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
    picked = tables.arm_runs(store.partners(pretraining.id))
    own = store.get().summary(pretraining)
    evaluations = {item.id: store.find(item.id).evaluation for item in [*picked.values(), own]}
    rows = rows_of(picked, evaluations, own)
    names = [row["arm"]["text"] for row in rows]
    assert names[:3] == ["Frozen encoder", "Fine-tuned", "From scratch"]
    assert names[3:] == ["kNN", "Linear probe", "Frozen encoder", "Fine-tuned", "From scratch"]
    knn, linear = rows[3:5]
    assert (knn["accuracy"]["text"], linear["accuracy"]["text"]) == ("61.0 %", "68.0 %")
    assert (knn["difference"]["text"], linear["difference"]["text"]) == ("-13.0 pp", "-6.0 pp")
    assert (knn["loss"]["text"], linear["loss"]["text"]) == ("–", "0.900")
    assert linear["budget"]["text"] == "L2 strength 0.001, chosen on 5 000 validation images."
    assert knn["budget"]["text"] == "20 neighbours, temperature 0.07; nothing trained."
    assert linear["href"] == f"/run?id={pretraining.id}"
    assert [row["tight"] for row in rows] == [True, True, False, True, True, True, True, False]
    assert [row["best"] for row in rows] == [False, True, False, False, False, False, False, True]


def test_figures_on_other_labels_are_not_set_against_scratch(folder):
    pretraining, _ = make_experiment(folder, (1.0,))
    give_figures(pretraining, num_labels=99)
    picked = tables.arm_runs(store.partners(pretraining.id))
    own = store.get().summary(pretraining)
    evaluations = {item.id: store.find(item.id).evaluation for item in [*picked.values(), own]}
    rows = rows_of(picked, evaluations, own)
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
    rows = rows_of({}, {run.id: run.evaluation}, store.get().summary(run))
    assert [row["budget"]["text"] for row in rows] == ["–", "–"]
    assert not open_page("results", experiment=run.id).exception
