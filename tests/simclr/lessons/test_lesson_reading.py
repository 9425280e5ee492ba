"""The reader of lessons: what it takes, and one sentence for each fault."""

import os

import pytest
import written_lessons

from simclr.config import ConfigError
from simclr.lessons import reading, shelf, text
from simclr.lessons.lesson import SECTIONS


def test_a_lesson_is_read_as_it_is_written(tmp_path):
    lesson = reading.read(written_lessons.write(tmp_path))
    assert (lesson.name, lesson.title, lesson.minutes) == ("which-temperature", "Which temperature?", 5)
    assert list(lesson.runs) == ["low", "high", "few"] and list(lesson.sections) == list(SECTIONS)
    assert reading.pretraining(lesson.runs["low"]).temperature == 0.05
    assert reading.pretraining(lesson.runs["low"]).backbone == "resnet_tiny"  # of the recipe quick
    assert (lesson.runs["few"].arm, lesson.runs["few"].of, lesson.runs["few"].labels) == ("scratch", "low", 0.01)
    assert lesson.predictions["loss"].figure.run == "low" and lesson.predictions["better"].same_within == 2
    assert [claim.number for claim in lesson.claims] == [6.236, 0]
    assert lesson.read_out == []


FAULTS = {
    # what is replaced, by what, and words of the sentence
    "---\ntitle": ("title", "does not begin with a line ---"),
    "title: Which": ("titel: Which", "titel is not a value of a lesson; allowed: title, question"),
    "title: Which temperature?": ("title: {a: b}", "title is"),
    "minutes: 5": ("minutes: soon", "minutes is soon; allowed: a whole number from 1 to 600."),
    "minutes: 5\n": ("minutes: 5\n  - x: [\n", "is not YAML"),
    "  low:\n": ("  Low One:\n", "one of runs is called Low One; allowed: small letters, digits and single hyphens"),
    "{epochs: 2, temperature: 0.05}": (
        "{epochs: 2, temperature: -1}",
        "runs.low.options: temperature is -1; allowed: ",
    ),
    "{epochs: 2, temperature: 1}": ("{epochs: 2, temprature: 1}", "runs.high.options: temprature is not an option"),
    "    options: {epochs: 2, temperature: 1}": ("    recipe: quik", "runs.high.recipe is quik; allowed: "),
    "arm: scratch": ("arm: cold", "runs.few.arm is cold; allowed: frozen, full, scratch."),
    "of: low": ("of: lowest", "runs.few.of is lowest; allowed: a pre-training of the lesson, low, high"),
    "    labels: 0.01": ("    labels: 2", "runs.few.labels is 2; allowed: a number from 1e-06 to 1."),
    "    arm: scratch\n": ("", "runs.few has of and no arm; allowed: both, or neither."),
    "validation loss of low": ("vlidation loss of low", "allowed: first loss, last loss"),
    "figure: validation loss of low": (
        "figure: validation loss of lo",
        "which is no run of the lesson; allowed: low, high",
    ),
    "    low: 0\n    high: 20": (
        "    low: 20\n    high: 0",
        "predictions.loss.high is 0; allowed: above low, which is 20.",
    ),
    "    figure: validation loss of low\n": ("", "predictions.loss has both figure and options, or neither"),
    "    same_within: 2\n": ("", "predictions.better has one of the option same and same_within"),
    ", high: linear accuracy of high}": ("}", "predictions.better.largest holds low; allowed: a figure for each"),
    "than: linear accuracy of high, ": ("", "claims.2 has larger; allowed: figure, or larger and than."),
    "text: A low one is better": (
        "text: A high one is better",
        "claims.2.text is “A high one is better”, which is not in",
    ),
    "## Prediction": ("## Prediktion", "The heading Prediktion is none of a lesson; allowed: Question, Prediction"),
    "Why one might want to know.": ("", "The heading ## Question is empty; allowed: "),
    "## The paper": ("## Question", "The heading Question is there twice; allowed: once."),
    "## Question\n": ("Words.\n\n## Question\n", "“Words.” stands above the first heading"),
    "(curves?runs={low}": (
        "(curve?runs={low}",
        "The link Their curves leads to curve?runs={low},{high}&metric=loss; allowed",
    ),
    "{low},{high}&metric": (
        "{low},{hi}&metric",
        "The link Their curves names hi, which is no run of the lesson; allowed",
    ),
    "[one of them](https": ("![one of them](https", "The image one of them cannot be shown; allowed: text and links."),
    "https://example.org/x": ("javascript:alert", "The link one of them leads to javascript:alert; allowed: https://"),
}


@pytest.mark.parametrize(("old", "changed"), FAULTS.items(), ids=[words[:40] for _, words in FAULTS.values()])
def test_each_fault_is_one_sentence_that_names_the_lesson(tmp_path, old, changed):
    new, words = changed
    with pytest.raises(ConfigError) as caught:
        reading.read(written_lessons.write(tmp_path, old=old, new=new))
    said = str(caught.value)
    assert said.startswith("The lesson which-temperature cannot be read: ") and words in said
    assert "\n" not in said and len(said) < 600


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe---\n", "not text in UTF-8"),
        (b"", "does not begin with a line ---"),
        (b"---\ntitle: x\n", "has no second line ---"),
        (b"---\n- a\n---\n", "holds no names with values"),
        (b"---\n" + b"a" * 200_000, "it is larger than"),
        (b"---\ntitle: x\n---\n", "The heading ## Question is missing"),
    ],
)
def test_whatever_the_file_holds_it_is_one_sentence(tmp_path, content, words):
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "lesson.md").write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        reading.read(folder)


def test_no_file_a_pipe_and_a_link_out_of_the_folder_are_said(tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"lesson\.md is not in the folder"):
        reading.read(folder)
    os.mkfifo(folder / "lesson.md")
    with pytest.raises(ConfigError, match="it is not a regular file"):
        reading.read(folder)
    (folder / "lesson.md").unlink()
    (folder / "lesson.md").symlink_to(written_lessons.write(tmp_path, "other") / "lesson.md")
    with pytest.raises(ConfigError, match="a link that leaves its folder"):
        reading.read(folder)


def test_own_lessons_follow_the_shipped_ones_and_faults_stand_beside_them(tmp_path):
    written_lessons.write(tmp_path / shelf.OWN)
    written_lessons.write(tmp_path / shelf.OWN, "broken", old="minutes: 5", new="minutes: x")
    written_lessons.write(tmp_path / shelf.OWN, "chance-line")  # no own one takes the place of a shipped one
    found, faults = shelf.lessons(tmp_path)
    assert [lesson.name for lesson in found] == [*shelf.FIRST, "which-temperature"]
    assert len(faults) == 1 and faults[0].startswith("The lesson broken cannot be read: minutes is x")
    assert shelf.find("chance-line", tmp_path).title == "The chance line"
    assert shelf.find("../examples", tmp_path) is None
    assert shelf.lessons(tmp_path / "nowhere")[1] == []


def test_a_lesson_that_was_changed_is_read_again(tmp_path):
    folder = written_lessons.write(tmp_path / shelf.OWN)
    assert shelf.find("which-temperature", tmp_path).minutes == 5
    written_lessons.write(tmp_path / shelf.OWN, old="minutes: 5", new="minutes: 25")
    os.utime(folder / "lesson.md", ns=(1, 1))
    assert shelf.find("which-temperature", tmp_path).minutes == 25


def test_links_name_the_runs_that_are_there(tmp_path):
    part = reading.read(written_lessons.write(tmp_path)).sections["What happened"]
    assert "Their curves (once its runs have finished), and" in text.linked(part, {"low": "a-1"})
    both = text.linked(part, {"low": "a-1", "high": "b?2"})
    assert "[Their curves](curves?runs=a-1,b%3F2&metric=loss)" in both
    assert "[one of them](https://example.org/x)" in both


def test_figures_of_the_text_are_found_but_those_of_the_paper():
    parts = {"Question": "It is **6.236**, or 12 % of it. See 3 runs.", "The paper": "It says 76.5 %."}
    assert list(text.figures_said(parts)) == [
        ("6.236", "It is 6.236, or 12 % of it"),
        ("12", "It is 6.236, or 12 % of it"),
    ]
