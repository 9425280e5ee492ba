"""The Curves page: what is laid over each other, and its address."""

import pytest
from dashboard_fixtures import make_experiment, make_run, open_page, query, texts


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def test_empty_says_what_to_do(folder):
    app = open_page("curves")
    assert not app.exception
    assert "no run yet" in texts(app)


def test_an_address_chooses_runs_metric_and_axes(folder):
    pretraining, found = make_experiment(folder)
    other = found["full-0.01"]
    app = open_page(
        "curves",
        runs=f"{pretraining.id},{other.id}",
        metric="top1",
        smoothing="0.6",
        log="true",
        x="step",
        splits="val",
    )
    assert not app.exception
    assert app.multiselect[0].value == [pretraining.id, other.id]
    assert app.selectbox[0].value == "top1"
    assert app.slider[0].value == pytest.approx(0.6)
    assert app.toggle[0].value is True
    assert query(app, "runs") == f"{pretraining.id},{other.id}"


@pytest.mark.parametrize(
    "nonsense", [{"runs": "nope"}, {"metric": "../x"}, {"smoothing": "nan"}, {"smoothing": "1e999"}, {"x": "moon"}]
)
def test_nonsense_in_an_address_is_left_out(folder, nonsense):
    make_run(folder)
    app = open_page("curves", **nonsense)
    assert not app.exception
    assert not app.error


def test_a_choice_is_kept_while_other_pages_are_shown(folder):
    make_run(folder)
    app = open_page("curves")
    app.selectbox[0].set_value("knn_top1").run()
    app.switch_page("app_pages/runs.py").run()
    app.switch_page("app_pages/curves.py").run()
    assert app.selectbox[0].value == "knn_top1"


def test_runs_without_the_metric_give_a_sentence(folder):
    run = make_run(folder, kind="scratch")
    app = open_page("curves", runs=run.id, metric="uniformity")
    assert not app.exception
    assert "None of these runs has recorded uniformity" in texts(app)


def test_a_torn_file_is_drawn_up_to_the_tear(folder):
    make_run(folder, "failed", torn=True)
    assert not open_page("curves").exception
