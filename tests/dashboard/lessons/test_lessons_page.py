"""The page Lessons in its states, from the list to what came out."""

import json

import pytest
import written_lessons
from conftest import supervise_nothing
from dashboard_fixtures import make_run, named, open_page, press, query, texts

from dashboard.components import escape
from simclr import runs
from simclr.launch import spawn
from simclr.lessons import answers, shelf, text
from simclr.lessons.answers import Answers
from simclr.runs import Run

NAME = "which-temperature"
GIVEN = {"better": "high", "loss": 5.0}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    monkeypatch.setattr(spawn, "_supervise", supervise_nothing)
    written_lessons.write(tmp_path / shelf.OWN)
    return tmp_path


def lesson_of(folder):
    return shelf.find(NAME, folder)


def with_runs(folder, **states):
    """The lesson with its prediction kept, and its runs in these states; a number is that of a finished one."""
    lesson, ids = lesson_of(folder), {}
    answers.keep(lesson, GIVEN, folder)
    for name, state in states.items():
        is_done = isinstance(state, float)
        run = make_run(folder, "finished" if is_done else state, epochs=2, temperature=0.1)
        if is_done:
            runs.write_evaluation(run.path, {"test/linear_top1": state})
        ids[name] = run.id
    with answers.changing(folder):
        answers.write(lesson, Answers(dict(GIVEN), 1.0, ids), folder)
    return {name: Run(folder / run_id) for name, run_id in ids.items()}


def predict(app, loss=5.0, better="high"):
    named(app.number_input, f"predict-{NAME}-loss").set_value(loss)
    named(app.radio, f"predict-{NAME}-better").set_value(better)
    return app.button("lesson-keep").click().run()


def test_the_list_names_all_lessons_and_what_is_wrong_with_one(folder):
    written_lessons.write(folder / shelf.OWN, "broken", old="minutes: 5", new="minutes: x")
    app = open_page("lessons")
    assert not app.exception
    shown = texts(app)
    for lesson in shelf.lessons(folder)[0]:
        assert lesson.question in shown
        assert app.button(f"open-lesson-{lesson.name}").label == escape.markdown(lesson.title)
    assert "The lesson broken cannot be read: minutes is x; allowed: a whole number from 1 to 600." in shown
    assert "`kNN accuracy`, `linear accuracy`" in shown  # how one is written
    press(app, f"open-lesson-{NAME}")
    assert app.title[0].value == escape.markdown("Which temperature?") and query(app, "lesson") == NAME


def test_an_address_that_names_no_lesson_is_said(folder):
    written_lessons.write(folder / shelf.OWN, "broken", old="minutes: 5", new="minutes: x")
    app = open_page("lessons", lesson="nothing")
    assert "lesson in the address is nothing, which is no lesson here; shown instead: all lessons." in texts(app)
    app = open_page("lessons", lesson="broken")
    assert "which cannot be read; shown instead: all lessons." in texts(app) and "minutes is x" in texts(app)


def test_first_the_prediction_then_the_experiment(folder):
    app = open_page("lessons", lesson=NAME)
    assert not app.exception
    assert app.button("lesson-start").disabled and "A low one is better" not in texts(app)
    app.button("lesson-keep").click().run()
    assert "is empty; allowed: one of the answers." in texts(app) and app.button("lesson-start").disabled
    predict(app)
    assert not app.exception
    assert answers.read(lesson_of(folder), folder).predictions == GIVEN
    assert "**Temperature 1**" in texts(app) and "Kept just now." in texts(app)
    app = open_page("lessons", lesson=NAME)  # a reload, or another server
    assert "**Temperature 1**" in texts(app) and not app.button("lesson-start").disabled
    press(app, "lesson-start")
    assert not app.exception
    assert len(runs.list_runs(folder)) == 3
    assert {button.key for button in app.button} >= {"lesson-stop"}
    assert "lesson-start" not in {button.key for button in app.button}
    assert "appears here as soon as all runs have finished" in texts(app)
    again = open_page("lessons", lesson=NAME)
    assert "lesson-stop" in {button.key for button in again.button} and len(runs.list_runs(folder)) == 3


def test_what_came_out_stands_beside_the_prediction_and_is_explained(folder):
    found = with_runs(folder, low=0.75, high=0.5, few=0.5)
    app = open_page("lessons", lesson=NAME)
    assert not app.exception
    shown = [(each.label, each.value) for each in app.metric]
    loss = f"{found['low'].status.loss:.2f}"
    assert shown == [
        ("You predicted", "Temperature 1"),
        ("It was", "Temperature 0.05"),
        ("You predicted", "5.00"),
        ("It was", loss),
    ]
    assert "Temperature 0.05 75.0 %, Temperature 1 50.0 %" in texts(app)
    assert "A low one is better." in texts(app) and "Chen et al. 2020, section 5.1" in texts(app)
    assert f"(curves?runs={found['low'].id},{found['high'].id}&metric=loss)" in texts(app)
    assert "Chance **6.24**" in texts(app)
    runs.write_evaluation(found["high"].path, {"test/linear_top1": 0.9})  # figures are those of the files
    app.run()
    assert app.metric[1].value == "Temperature 1"


def test_half_of_what_came_out_explains_nothing_yet(folder):
    with_runs(folder, low=0.75, high="failed", few="queued")
    app = open_page("lessons", lesson=NAME)
    assert not app.exception
    assert "Temperature 1 has failed. The loss is not a number after step 80." in texts(app)
    assert "A low one is better" not in texts(app)
    assert app.metric[3].value != "–" and app.metric[1].value == "–"


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_what_ended_too_early_goes_on_with_one_click(folder, state):
    found = with_runs(folder, low=0.75, high=state, few=0.5)
    app = open_page("lessons", lesson=NAME)
    assert app.button("lesson-start").label == "Resume"
    press(app, "lesson-start")
    assert not app.exception and found["high"].status.is_active
    assert "lesson-stop" in {button.key for button in app.button}


def test_a_run_that_was_deleted_is_started_again(folder):
    found = with_runs(folder, low=0.75, high=0.5, few=0.5)
    runs.delete(found["high"], folder)
    app = open_page("lessons", lesson=NAME)
    assert not app.exception and "Temperature 1 · not started" in "".join(
        str(node.proto) for node in app.get("progress")
    )
    press(app, "lesson-start")
    ids = answers.read(lesson_of(folder), folder).runs
    assert ids["low"] == found["low"].id and ids["high"] != found["high"].id


def test_begin_again_forgets_the_prediction_and_keeps_the_runs(folder):
    with_runs(folder, low=0.75, high=0.5, few=0.5)
    app = open_page("lessons", lesson=NAME)
    press(app, "lesson-forget")
    assert not app.exception
    assert "lesson-keep" in {button.key for button in app.button} and app.button("lesson-start").disabled
    assert len(runs.list_runs(folder)) == 3
    predict(app, 7.0, "same")
    assert answers.read(lesson_of(folder), folder).predictions == {"better": "same", "loss": 7.0}


def test_a_readout_that_is_lacking_is_offered(folder, finished_run):
    """With weights that are there: what the job is to compute, and that the page asks for it before it explains."""
    import shutil

    lesson = shelf.find("what-is-forgotten", folder)
    answers.keep(lesson, {"hue": "plain", "shape": "jitter", "amount": 0.2}, folder)
    ids = {}
    for name in lesson.runs:
        ids[name] = f"{finished_run.id}-{name}"
        shutil.copytree(finished_run.path, folder / ids[name])
    with answers.changing(folder):
        answers.write(lesson, Answers({"hue": "plain", "shape": "jitter", "amount": 0.2}, 1.0, ids), folder)
    app = open_page("lessons", lesson="what-is-forgotten")
    assert not app.exception
    assert "lesson-read-out" in {button.key for button in app.button}
    assert "The hue is read better" not in texts(app)


def test_damaged_answers_and_texts_that_are_markup_do_no_harm(folder):
    path = answers.path_of(lesson_of(folder), folder)
    path.parent.mkdir()
    path.write_text(
        json.dumps({"format": 1, "predictions": {"loss": "x"}, "runs": {"low": "../../etc"}, "kept": "now"})
    )
    written_lessons.write(folder / shelf.OWN, old="ask: Which encoder is better?", new='ask: "<b>**which** $x$?"')
    app = open_page("lessons", lesson=NAME)
    assert not app.exception
    assert "<b>**which** $x$?" in texts(app)  # as it is written


def test_the_pages_that_lessons_may_lead_to_are_those_there_are():
    source = (shelf.PACKAGE.parent / "dashboard" / "shell.py").read_text()
    for name in text.PAGES:
        assert f'url_path="{name}"' in source or f'("{name}", ' in source


def test_the_first_page_offers_them():
    assert "three questions, ten minutes each" in texts(open_page())
