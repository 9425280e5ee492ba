"""Reads a lesson from its folder; whatever is wrong is one sentence (no torch).

    NAME/lesson.md    values between two lines ---, then Markdown below five headings

What each value means: README.md beside the lessons that ship with the package.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simclr import config as cfg
from simclr.config import ConfigError, PretrainConfig
from simclr.files import safe_read
from simclr.lessons import figures, text
from simclr.lessons.lesson import Claim, Lesson, LessonRun, Prediction
from simclr.results import arms

FILE = "lesson.md"
MAX_BYTES = 100_000
KEYS = ("title", "question", "minutes", "runs", "examples", "predictions", "shown", "claims")
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
MAX_NAME, MAX_TITLE, MAX_RUNS, MAX_PREDICTIONS = 40, 120, 12, 12
SAME = "same"


def read(folder: Path) -> Lesson:
    """The lesson in a folder.

    Raises:
        ConfigError: with one sentence for what is wrong, which begins with the folder's name.
    """
    try:
        return _lesson(folder)
    except ConfigError as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"The lesson {folder.name} cannot be read: {first}") from None


def _lesson(folder: Path) -> Lesson:
    _check_name(folder.name, "its folder")
    values, body = _taken_apart(folder)
    for key in values:
        _check_key(key, KEYS, "a value of a lesson")
    parts = text.sections(body)
    runs = {name: _run(name, each) for name, each in _section(values, "runs", MAX_RUNS).items()}
    examples = {name: _words(each, f"examples.{name}") for name, each in _section(values, "examples", MAX_RUNS).items()}
    for name, run_id in examples.items():
        if Path(run_id).name != run_id or run_id.startswith("."):
            raise ConfigError(f"examples.{name} is {run_id}; allowed: the id of a run that ships with the package.")
        if name in runs:
            raise ConfigError(f"{name} is both in runs and in examples; allowed: in one of them.")
    names: dict[str, object] = {**runs, **examples}
    _check_arms(runs, names)
    for part in parts.values():
        text.check_links(part, names)
    predictions = {
        name: _prediction(name, each, names) for name, each in _section(values, "predictions", MAX_PREDICTIONS).items()
    }
    if not predictions:
        raise ConfigError("predictions is empty; allowed: at least one, since a lesson begins with one.")
    shown = {
        _words(label, "shown"): figures.parse(_words(each, f"shown.{label}"), f"shown.{label}", names)
        for label, each in _mapping(values.get("shown"), "shown").items()
    }
    claims = values.get("claims") or []
    if not isinstance(claims, list):
        raise ConfigError(f"claims is {str(claims)[:60]}; allowed: a list of statements.")
    words = " ".join(text.plain(part) for part in parts.values())
    return Lesson(
        folder=folder,
        title=_words(values.get("title"), "title"),
        question=_words(values.get("question"), "question"),
        minutes=int(_number(values.get("minutes"), "minutes", 1, 600, is_whole=True)),
        runs=runs,
        examples=examples,
        predictions=predictions,
        shown=shown,
        claims=tuple(_claim(number, each, names, words) for number, each in enumerate(claims, 1)),
        sections=parts,
    )


def _taken_apart(folder: Path) -> tuple[dict[str, Any], str]:
    """The values at the head of the file, all as text, and the Markdown below."""
    try:
        content = safe_read.read_text(folder / FILE, MAX_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{FILE} is not in the folder; allowed: a folder with that file.") from None
    except OSError as error:
        raise ConfigError(f"{FILE}: {error.strerror}.") from None
    except ValueError:
        raise ConfigError(f"{FILE} is not text in UTF-8.") from None
    lines = content.lstrip("\ufeff").splitlines()
    if not lines or lines[0].strip() != "---":
        raise ConfigError(f"{FILE} does not begin with a line ---; allowed: values between two such lines, then text.")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        raise ConfigError(f"{FILE} has no second line ---; allowed: values between two such lines, then text.")
    try:
        values = safe_read.parse_yaml("\n".join(["", *lines[1:end]]), as_text=True)
    except ValueError as error:
        why = f" ({error})" if isinstance(error, safe_read.NotYaml) and str(error) else ""
        raise ConfigError(
            f"what stands between the lines --- is not YAML{why}; allowed: lines such as minutes: 10."
        ) from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError("what stands between the lines --- holds no names with values; allowed: such as minutes: 10.")
    return values, "\n".join(lines[end + 1 :])


# --- values -----------------------------------------------------------------------------------------------------------


def _check_name(name: str, what: str) -> None:
    if len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise ConfigError(
            f"{what} is called {name[:60]}; allowed: small letters, digits and single hyphens, at most {MAX_NAME}."
        )


def _check_key(key: str, known: Sequence[str], what: str) -> None:
    if key not in known:
        raise ConfigError(f"{key[:60]} is not {what}; allowed: {', '.join(known)}{cfg.nearest_name(key, known) or '.'}")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{where} is {str(value)[:60]}; allowed: names with values.")
    return value


def _section(values: Mapping[str, Any], key: str, most: int) -> dict[str, Any]:
    found = _mapping(values.get(key), key)
    if len(found) > most:
        raise ConfigError(f"{key} holds {len(found)}; allowed: at most {most}.")
    for name in found:
        _check_name(name, f"one of {key}")
    return found


def _words(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where} is {str(value)[:60] if value else 'empty'}; allowed: text.")
    found = " ".join(value.split())
    if len(found) > 2 * MAX_TITLE or (where == "title" and len(found) > MAX_TITLE):
        most = MAX_TITLE if where == "title" else 2 * MAX_TITLE
        raise ConfigError(f"{where} has {len(found)} signs; allowed: at most {most}.")
    return found


def _number(value: Any, where: str, low: float, high: float, *, is_whole: bool = False) -> float:
    kind = "a whole number" if is_whole else "a number"
    try:
        found = float(value) if isinstance(value, str) and len(value) < 25 else math.nan
    except ValueError:
        found = math.nan
    if not low <= found <= high or (is_whole and found != int(found)):
        shown = str(value)[:60] if value else "empty"
        raise ConfigError(f"{where} is {shown}; allowed: {kind} from {low:g} to {high:g}.")
    return found


# --- runs -------------------------------------------------------------------------------------------------------------


def _run(name: str, value: Any) -> LessonRun:
    where = f"runs.{name}"
    values = _mapping(value, where)
    for key in values:
        _check_key(key, ("title", "recipe", "options", "arm", "of", "labels"), f"a value of {where}")
    options = cfg.flatten(_mapping(values.get("options"), f"{where}.options"))
    arm = str(values.get("arm") or "")
    title = _words(values.get("title"), f"{where}.title")
    if arm:
        if arm not in arms.ARMS:
            raise ConfigError(f"{where}.arm is {arm[:60]}; allowed: {', '.join(arms.ARMS)}.")
        if "recipe" in values:
            raise ConfigError(f"{where} has an arm and a recipe; allowed: an arm alone, which has that of its of.")
        of = _words(values.get("of"), f"{where}.of")
        labels = _number(values.get("labels", "1"), f"{where}.labels", 1e-6, 1)
        return LessonRun(name, title, "", options, arm, of, labels)
    for key in ("of", "labels"):
        if key in values:
            raise ConfigError(f"{where} has {key} and no arm; allowed: both, or neither.")
    recipe = str(values.get("recipe") or "quick")
    if recipe not in (names := cfg.recipe_names()):
        hint = cfg.nearest_name(recipe, names)
        raise ConfigError(f"{where}.recipe is {recipe[:60]}; allowed: {', '.join(names)}{hint or '.'}")
    run = LessonRun(name, title, recipe, options)
    try:
        pretraining(run)
    except ConfigError as error:
        raise ConfigError(f"{where}.options: {error}") from None
    return run


def pretraining(run: LessonRun) -> PretrainConfig:
    """The options of a pre-training of a lesson. Raises ConfigError if they do not make a valid run."""
    values = cfg.overlaid(cfg.recipe(run.recipe), cfg.nest(run.options))
    config = cfg.build(PretrainConfig, values)
    assert isinstance(config, PretrainConfig)
    return config


def _check_arms(runs: Mapping[str, LessonRun], names: Mapping[str, object]) -> None:
    for run in runs.values():
        if not run.arm:
            continue
        known = [name for name in names if name not in runs or not runs[name].arm]
        if run.of not in known:
            hint = cfg.nearest_name(run.of, known)
            allowed = f"a pre-training of the lesson, {', '.join(known) or 'of which it has none'}{hint or '.'}"
            raise ConfigError(f"runs.{run.name}.of is {run.of}; allowed: {allowed}")
        for option in run.options:
            if option not in (known_options := cfg.option_names(cfg.FinetuneConfig)):
                hint = cfg.nearest_name(option, known_options)
                raise ConfigError(f"runs.{run.name}.options: {option} is not an option{hint or '.'}")


# --- predictions and claims -------------------------------------------------------------------------------------------


def _prediction(name: str, value: Any, names: Mapping[str, object]) -> Prediction:
    where = f"predictions.{name}"
    values = _mapping(value, where)
    for key in values:
        _check_key(key, ("ask", "figure", "low", "high", "options", "largest", "same_within"), f"a value of {where}")
    ask = _words(values.get("ask"), f"{where}.ask")
    if ("figure" in values) == ("options" in values):
        raise ConfigError(f"{where} has both figure and options, or neither; allowed: one of them.")
    if "figure" in values:
        spec = figures.parse(_words(values["figure"], f"{where}.figure"), f"{where}.figure", names)
        low = _number(values.get("low"), f"{where}.low", -1e6, 1e6)
        high = _number(values.get("high"), f"{where}.high", -1e6, 1e6)
        if low >= high:
            raise ConfigError(f"{where}.high is {high:g}; allowed: above low, which is {low:g}.")
        return Prediction(name, ask, figure=spec, low=low, high=high)
    options = {
        key: _words(each, f"{where}.options.{key}") for key, each in _section(values, "options", MAX_RUNS).items()
    }
    largest = {
        key: figures.parse(_words(each, f"{where}.largest.{key}"), f"{where}.largest.{key}", names)
        for key, each in _mapping(values.get("largest"), f"{where}.largest").items()
    }
    if len(largest) < 2 or set(largest) != set(options) - {SAME}:
        raise ConfigError(
            f"{where}.largest holds {', '.join(largest) or 'nothing'}; allowed: a figure for each of its options but "
            f"{SAME}, two at least."
        )
    within = _number(values.get("same_within", "0"), f"{where}.same_within", 0, 1e6)
    if (SAME in options) != (within > 0):
        raise ConfigError(f"{where} has one of the option {SAME} and same_within; allowed: both, or neither.")
    return Prediction(name, ask, options=options, largest=largest, same_within=within)


def _claim(number: int, value: Any, names: Mapping[str, object], words: str) -> Claim:
    where = f"claims.{number}"
    values = _mapping(value, where)
    for key in values:
        _check_key(key, ("text", "figure", "number", "within", "larger", "than", "by"), f"a value of {where}")
    said = _words(values.get("text"), f"{where}.text")
    if text.plain(said) not in words:
        raise ConfigError(f"{where}.text is “{said[:80]}”, which is not in the text; allowed: words that stand there.")
    specs = {
        key: figures.parse(_words(values[key], f"{where}.{key}"), f"{where}.{key}", names)
        for key in ("figure", "larger", "than")
        if key in values
    }
    if set(specs) == {"larger", "than"}:
        by = _number(values.get("by", "0"), f"{where}.by", 0, 1e6)
        return Claim(said, larger=specs["larger"], than=specs["than"], by=by)
    if set(specs) != {"figure"}:
        raise ConfigError(f"{where} has {', '.join(specs) or 'no figure'}; allowed: figure, or larger and than.")
    wanted = values.get("number", said)
    found = _number(str(wanted).replace(",", "").removesuffix("%").strip(), f"{where}.number", -1e9, 1e9)
    digits = len(str(wanted).partition(".")[2].rstrip(" %"))
    within = _number(values.get("within", str(0.5 * 10.0**-digits)), f"{where}.within", 0, 1e9)
    return Claim(said, figure=specs["figure"], number=found, within=within)
