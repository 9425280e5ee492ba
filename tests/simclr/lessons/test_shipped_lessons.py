"""The lessons that ship: every figure in their words is that of real runs."""

import shutil
from pathlib import Path

import pytest

from simclr import PACKAGE, runs
from simclr.lessons import experiment, outcome, reading, shelf
from simclr.lessons.answers import Answers
from simclr.lessons.figures import FIGURES
from simclr.training import time_left

RUNS = Path(__file__).resolve().parents[3] / "runs"
LESSONS = {name: shelf.load(shelf.SHIPPED / name) for name in shelf.FIRST}


def test_all_that_ship_can_be_read_and_stand_in_their_order(tmp_path):
    found, faults = shelf.lessons(tmp_path)
    assert [lesson.name for lesson in found] == list(shelf.FIRST) and not faults


@pytest.mark.parametrize("name", LESSONS)
def test_every_figure_of_the_text_has_a_claim(name):
    assert outcome.unproved(LESSONS[name]) == []


@pytest.mark.parametrize("name", LESSONS)
def test_what_is_said_of_shipped_runs_and_of_guessing_is_so(name):
    """What needs runs that a learner starts is checked by the slow test below."""
    lesson = LESSONS[name]
    known = experiment.known_runs(lesson, Answers(), RUNS)
    assert set(known) == set(lesson.examples)  # each example is there and finished
    verdicts = [outcome.verdict(claim, known) for claim in lesson.claims]
    assert [said for said in verdicts if said] == []
    own = [claim for claim in lesson.claims if any(spec.run in lesson.runs for spec in claim.specs)]
    assert verdicts.count(None) == len(own)


def test_the_readme_names_every_figure_and_value():
    words = (PACKAGE / "lessons" / "texts" / "README.md").read_text(encoding="utf-8")
    for name in (*FIGURES, *reading.KEYS):
        assert f"`{name}`" in words


def test_the_lesson_in_the_readme_is_one(tmp_path):
    """The example as it stands, in a folder of its own."""
    words = (PACKAGE / "lessons" / "texts" / "README.md").read_text(encoding="utf-8")
    block = [line[4:] if line.strip() else "" for line in words.split("\n    ---\n", 1)[1].splitlines()]
    end = next(number for number, line in enumerate(words.split("\n    ---\n", 1)[1].splitlines()) if line[:1] == "|")
    folder = tmp_path / "temperature"
    folder.mkdir()
    (folder / "lesson.md").write_text("---\n" + "\n".join(block[:end]), encoding="utf-8")
    assert set(reading.read(folder).runs) == {"low", "high"}


@pytest.mark.slow
@pytest.mark.parametrize("name", LESSONS)
def test_what_is_said_of_the_runs_that_a_learner_starts_is_so(name, tmp_path):
    """Each run is trained as the lesson starts it; then all that the lesson says holds, and takes the time it says."""
    from simclr.analysis import stored
    from simclr.embeddings.references import EncoderRef
    from simclr.lifecycle.train import train

    lesson = LESSONS[name]
    shutil.copytree(RUNS / runs.EXAMPLES, tmp_path / runs.EXAMPLES)
    given, seconds = {}, 0.0
    for item in sorted(lesson.runs.values(), key=lambda each: bool(each.arm)):
        config, meta = experiment.options_of(lesson, item, Answers(runs=given), tmp_path)
        run = train(config, runs_dir=tmp_path, recipe=meta.pop("recipe"), meta=meta)
        assert run.status.state == "finished", run.status.error
        given[item.name] = run.id
        seconds += run.status.elapsed_seconds or 0.0
    known = experiment.known_runs(lesson, Answers(runs=given), tmp_path)
    for run_name in lesson.read_out:
        stored.compute(EncoderRef(known[run_name]), "factors")
    assert [outcome.verdict(claim, known) for claim in lesson.claims] == [""] * len(lesson.claims)
    found = outcome.outcomes(lesson, {}, known)
    assert all(each.happened for each in found)
    print(name, time_left.duration_text(seconds), [each.happened for each in found])
