"""What a learner has predicted and started, kept beside the runs (no torch).

RUNS/.lessons/NAME.json
    format, predictions (by name: a number, or the key of an option), kept (seconds), runs (name: id)
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from simclr.config import ConfigError, not_written
from simclr.files import safe_read, writing
from simclr.lessons.lesson import Lesson, Prediction

FOLDER = ".lessons"
FORMAT = 1
Value = float | str


@dataclass(frozen=True)
class Answers:
    """predictions: by name, only those that the lesson still asks for. kept: when; 0 before. runs: ids by name."""

    predictions: dict[str, Value] = field(default_factory=dict)
    kept: float = 0.0
    runs: dict[str, str] = field(default_factory=dict)

    def is_complete(self, lesson: Lesson) -> bool:
        """Whether everything that the lesson asks has been predicted."""
        return set(self.predictions) == set(lesson.predictions)


def path_of(lesson: Lesson, runs_dir: Path) -> Path:
    return runs_dir / FOLDER / f"{lesson.name}.json"


def checked(prediction: Prediction, value: object) -> Value | None:
    """A value that the prediction may have; None for any other."""
    if prediction.options is not None:
        return value if isinstance(value, str) and value in prediction.options else None
    number = safe_read.finite_number(value)
    return number if number is not None and prediction.low <= number <= prediction.high else None


def read(lesson: Lesson, runs_dir: Path) -> Answers:
    """What was kept; what is damaged, or answers what is not asked any more, counts as not given."""
    values = safe_read.json_dict(path_of(lesson, runs_dir))
    if values.get("format") != FORMAT:
        return Answers()
    given, started = values.get("predictions"), values.get("runs")
    predictions = {
        name: value
        for name, each in lesson.predictions.items()
        if isinstance(given, dict) and (value := checked(each, given.get(name))) is not None
    }
    runs = {
        name: run_id
        for name, run_id in (started.items() if isinstance(started, dict) else ())
        if name in lesson.runs and _is_id(run_id)
    }
    return Answers(predictions, safe_read.finite_number(values.get("kept")) or 0.0, runs)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) < 200 and Path(value).name == value and not value.startswith(".")


def keep(lesson: Lesson, values: Mapping[str, object], runs_dir: Path) -> None:
    """Keeps the learner's predictions, once: what was predicted is not changed when the figures are there.

    Raises:
        ConfigError: if one is missing or makes no sense, others are kept already, or the folder cannot be written.
    """
    found: dict[str, Value] = {}
    for name, each in lesson.predictions.items():
        value = checked(each, values.get(name))
        if value is None:
            given = values.get(name)
            is_given = given is not None and not (isinstance(given, float) and math.isnan(given))
            allowed = "one of the answers" if each.options else f"a number from {each.low:g} to {each.high:g}"
            raise ConfigError(
                f"Your prediction for “{each.ask}” is {given if is_given else 'empty'}; allowed: {allowed}."
            )
        found[name] = value
    with changing(runs_dir):
        before = read(lesson, runs_dir)
        if before.is_complete(lesson) and before.predictions != found:
            raise ConfigError("Your predictions were kept before, in another tab; allowed: new ones after Begin again.")
        write(lesson, Answers(found, before.kept if before.is_complete(lesson) else time.time(), before.runs), runs_dir)


def begin_again(lesson: Lesson, runs_dir: Path) -> None:
    """Forgets predictions and which runs belong to them; the runs stay in the runs folder.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    with changing(runs_dir):
        path_of(lesson, runs_dir).unlink(missing_ok=True)


@contextlib.contextmanager
def changing(runs_dir: Path) -> Iterator[None]:
    """Holds the lock of the answers. Raises ConfigError if they cannot be written."""
    folder = runs_dir / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with writing.locked(folder):
            yield
    except OSError as error:
        raise not_written(f"{folder} cannot be written", error, "SIMCLR_RUNS_DIR") from None


def write(lesson: Lesson, answers: Answers, runs_dir: Path) -> None:
    """Replaces what is kept; under the lock of `changing`."""
    values = {"format": FORMAT, "predictions": answers.predictions, "kept": answers.kept, "runs": answers.runs}
    writing.write_atomically(path_of(lesson, runs_dir), json.dumps(values))
