"""Predictions, runs and what came out: kept beside the runs, found again, and never changed afterwards."""

import json
import math
import threading

import pytest
import written_lessons
from conftest import supervise_nothing
from dashboard_fixtures import make_run

from simclr import runs
from simclr.config import ConfigError
from simclr.launch import spawn
from simclr.lessons import answers, experiment, figures, outcome, reading
from simclr.lessons.answers import Answers

GIVEN = {"better": "low", "loss": 5.0}


@pytest.fixture
def lesson(tmp_path):
    return reading.read(written_lessons.write(tmp_path / "written"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(spawn, "_supervise", supervise_nothing)
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def finish(run, linear=None, **changes):
    """Lets a run be one that has finished, with a test figure."""
    if linear is not None:
        runs.write_evaluation(run.path, {"test/linear_top1": linear})
    runs.update_status(run.path, **({"state": "finished", "pid": None, "queued": None} | changes))


def test_predictions_are_kept_once_and_found_again(lesson, folder):
    assert not answers.read(lesson, folder).is_complete(lesson)
    answers.keep(lesson, GIVEN, folder)
    found = answers.read(lesson, folder)
    assert found.is_complete(lesson) and found.predictions == GIVEN and found.kept > 1e9
    answers.keep(lesson, GIVEN, folder)  # a second click
    assert answers.read(lesson, folder) == found
    with pytest.raises(ConfigError, match="were kept before, in another tab"):
        answers.keep(lesson, GIVEN | {"loss": 6.0}, folder)
    assert answers.read(lesson, folder).predictions["loss"] == 5.0
    answers.begin_again(lesson, folder)
    assert answers.read(lesson, folder) == Answers()
    answers.keep(lesson, GIVEN | {"loss": 6.0}, folder)
    assert answers.read(lesson, folder).predictions["loss"] == 6.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": None}, "is empty; allowed: a number from 0 to 20."),
        ({"loss": math.nan}, "is empty; allowed"),
        ({"loss": 21.0}, "is 21.0; allowed: a number from 0 to 20."),
        ({"loss": "low"}, "is low; allowed: a number"),
        ({"better": "neither"}, "is neither; allowed: one of the answers."),
        ({"better": None}, "is empty; allowed: one of the answers."),
    ],
)
def test_a_prediction_that_makes_no_sense_is_said(lesson, folder, changes, words):
    with pytest.raises(ConfigError) as caught:
        answers.keep(lesson, GIVEN | changes, folder)
    assert words in str(caught.value)
    assert not answers.path_of(lesson, folder).exists()


@pytest.mark.parametrize(
    "content",
    ["", "[", "[]", '{"format": 2}', '{"format": 1, "predictions": [], "runs": 5, "kept": "x"}', '{"format": 1}'],
)
def test_a_damaged_file_counts_as_nothing_given(lesson, folder, content):
    path = answers.path_of(lesson, folder)
    path.parent.mkdir()
    path.write_text(content)
    assert answers.read(lesson, folder) == Answers()
    answers.keep(lesson, GIVEN, folder)
    assert answers.read(lesson, folder).is_complete(lesson)


def test_what_the_lesson_does_not_ask_and_ids_that_are_paths_are_left_out(lesson, folder):
    path = answers.path_of(lesson, folder)
    path.parent.mkdir()
    given = {"better": "low", "loss": 1e300, "else": 3}
    path.write_text(
        json.dumps(
            {"format": 1, "predictions": given, "runs": {"low": "../x", "high": "h-1", "few": ".trash", "z": "z"}}
        )
    )
    assert answers.read(lesson, folder) == Answers({"better": "low"}, 0.0, {"high": "h-1"})


def test_a_folder_that_cannot_be_written_is_said(lesson, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        answers.keep(lesson, GIVEN, tmp_path / "file")


def test_nothing_starts_before_the_prediction_and_one_click_starts_all(lesson, folder):
    with pytest.raises(ConfigError, match="Nothing has been predicted yet"):
        experiment.start(lesson, folder)
    assert not runs.list_runs(folder)
    answers.keep(lesson, GIVEN, folder)
    clicks = [threading.Thread(target=experiment.start, args=(lesson, folder)) for _ in range(3)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    there = experiment.started(lesson, answers.read(lesson, folder), folder)
    assert len(runs.list_runs(folder)) == 3 == len({run.id for run in there.values()})
    assert there["low"].config["temperature"] == 0.05 and there["high"].config["temperature"] == 1
    few = there["few"]
    assert (few.kind, few.config["label_fraction"], few.config["random_weight_init"]) == ("scratch", 0.01, True)
    assert few.experiment == there["low"].id
    assert few.meta["after"] == there["low"].id  # it waits for its pre-training
    assert there["low"].name == "Which temperature?: Temperature 0.05" and there["low"].tags == ["lesson"]
    assert [run.status.state for run in there.values()] == ["starting", "queued", "queued"]


def test_stopped_failed_and_deleted_runs_go_on_with_the_next_click(lesson, folder):
    answers.keep(lesson, GIVEN, folder)
    experiment.start(lesson, folder)
    there = experiment.started(lesson, answers.read(lesson, folder), folder)
    finish(there["low"], 0.5)
    finish(there["high"], state="failed", exit_code=1, error="The loss is not a number.", ended=1.0)
    runs.update_status(there["few"].path, state="stopped")
    runs.delete(there["low"], folder)
    experiment.start(lesson, folder)
    again = experiment.started(lesson, answers.read(lesson, folder), folder)
    assert again["high"].id == there["high"].id and again["high"].status.is_active
    assert again["few"].id == there["few"].id and again["few"].status.is_active
    assert again["low"].id != there["low"].id and again["low"].status.is_active


def test_a_supervised_run_needs_the_pre_training_it_names(tmp_path, folder):
    path = written_lessons.write(tmp_path / "w", old="    of: low", new="    of: shipped")
    text = (path / "lesson.md").read_text().replace("predictions:", "examples: {shipped: no-such-run}\npredictions:", 1)
    (path / "lesson.md").write_text(text)
    lesson = reading.read(path)
    answers.keep(lesson, GIVEN, folder)
    with pytest.raises(ConfigError, match="needs the run no-such-run, which ships with the package, and is not"):
        experiment.start(lesson, folder)
    make_run(folder / runs.EXAMPLES).path.rename(folder / runs.EXAMPLES / "no-such-run")
    experiment.start(lesson, folder)
    few = experiment.started(lesson, answers.read(lesson, folder), folder)["few"]
    assert few.experiment == "no-such-run" and "after" not in few.meta


def test_stop_asks_all_and_what_waited_can_be_started_again(lesson, folder):
    answers.keep(lesson, GIVEN, folder)
    experiment.start(lesson, folder)
    before = experiment.started(lesson, answers.read(lesson, folder), folder)
    experiment.stop(lesson, folder)
    assert before["low"].status.stop_requested
    there = experiment.started(lesson, answers.read(lesson, folder), folder)
    assert there["high"] is None and there["few"] is None  # they had not begun, and lie in the trash
    runs.update_status(there["low"].path, state="stopped")
    experiment.start(lesson, folder)
    again = experiment.started(lesson, answers.read(lesson, folder), folder)
    assert again["low"].id == before["low"].id and all(run.status.is_active for run in again.values())


# --- what came out ----------------------------------------------------------------------------------------------------


def two_runs(folder, low, high):
    found = {}
    for name, value in (("low", low), ("high", high)):
        found[name] = make_run(folder, epochs=2, batch_size=64, temperature=0.1)
        if value is not None:
            runs.write_evaluation(found[name].path, {"test/linear_top1": value})
    return found


@pytest.mark.parametrize(
    ("low", "high", "right"),
    [(0.6, 0.5, "low"), (0.5, 0.6, "high"), (0.51, 0.5, "same"), (0.5, None, None), (None, None, None)],
)
def test_a_choice_is_right_by_the_larger_figure(lesson, folder, low, high, right):
    known = two_runs(folder, low, high)
    asked = lesson.predictions["better"]
    assert outcome.right_option(asked, known) == right
    found = outcome.outcome(asked, "low", known)
    assert found.predicted == "Temperature 0.05" and found.happened == ("" if right is None else asked.options[right])
    assert found.is_right == (None if right is None else right == "low")
    assert ("Temperature 1 60.0 %" in found.note) == (high == 0.6)


def test_a_number_stands_beside_what_it_was_with_the_difference(lesson, folder):
    known = two_runs(folder, None, None)
    asked = lesson.predictions["loss"]
    value = known["low"].status.loss  # of the last validation, as the fixture wrote it
    assert figures.FIGURES["validation loss"].of(known["low"]) == pytest.approx(value)
    found = outcome.outcome(asked, 5.0, known)
    assert (found.predicted, found.happened) == ("5.00", f"{value:.2f}")
    assert found.note == f"{abs(round(value, 2) - 5):.2f} above your prediction" if value > 5 else "below" in found.note
    assert outcome.outcome(asked, round(value, 2), known).note == "as you predicted"
    assert outcome.outcome(asked, 5.0, {}).happened == ""


def test_figures_come_from_the_files_of_the_run(folder):
    run = make_run(folder, epochs=2, batch_size=64, temperature=0.1)
    runs.write_evaluation(run.path, {"test/linear_top1": 0.625, "test/knn_top1": float("nan"), "num_labels": 37})
    runs.add_meta(run.path, num_classes=8)
    of = {name: each.of(run) for name, each in figures.FIGURES.items()}
    rows = [line.split(",") for line in run.metrics_path.read_text().splitlines()]
    column = rows[0].index("train/loss")
    losses = [(row[0], float(row[column])) for row in rows[1:] if row[column]]
    assert of["first loss"] == pytest.approx(losses[0][1])
    last = [value for epoch, value in losses if epoch == "2"]
    assert of["last loss"] == pytest.approx(sum(last) / len(last))
    assert of["chance loss"] == pytest.approx(math.log(127))
    assert of["validation loss in SupCon's code"] == pytest.approx(of["validation loss"] * 0.1 / 0.07)
    assert (of["linear accuracy"], of["kNN accuracy"], of["guessing"]) == (62.5, None, 12.5)
    assert (of["temperature"], of["number of labels"]) == (0.1, 37)
    assert of["shape readout"] is None  # its weights are no weights
    run.metrics_path.write_text("epoch,step\n1,1\n")
    run.path.joinpath("evaluation.json").write_text("[1]")
    assert {figures.FIGURES[name].of(run) for name in ("first loss", "last loss", "linear accuracy")} == {None}


def test_the_loss_of_guessing_is_that_of_equal_similarities():
    """Against the loss itself, for views that are all alike."""
    import torch

    from simclr.objectives.nt_xent import nt_xent

    same = torch.ones(256, 8)
    assert figures.chance_loss(256) == pytest.approx(float(nt_xent(same, same, 0.1)), abs=1e-5)
    assert figures.chance_loss(256, 0.1) == pytest.approx(8.909, abs=5e-4)
    assert figures.chance_loss(256, 0.07) == figures.chance_loss(256)


def test_a_claim_that_does_not_hold_is_said_with_what_was_measured(lesson, folder):
    known = two_runs(folder, 0.6, 0.5)
    number, order = lesson.claims
    assert outcome.verdict(number, {}) == "" and outcome.verdict(order, known) == ""
    assert outcome.verdict(order, {}) is None
    wrong = outcome.verdict(order, two_runs(folder, 0.5, 0.6))
    assert wrong == (
        "“A low one is better”: linear accuracy of low is 50, not larger by 1 than linear accuracy of high, 60."
    )


def test_a_figure_without_a_claim_is_found(tmp_path):
    path = written_lessons.write(tmp_path, old="A low one is better. ", new="A low one is better. By 12 %. ")
    assert outcome.unproved(reading.read(path)) == ["By 12 %"]
    assert outcome.unproved(reading.read(written_lessons.write(tmp_path, "as-it-is"))) == []
