"""The command `leaks`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from simclr.analysis.leaks import copies, planted
from simclr.analysis.leaks.planted import Trial
from simclr.cli.encoders.embed import DATASET_TEXT, with_dataset
from simclr.cli.parser import FINISHED, add_job_options, command_parser, folder_of_runs, parse
from simclr.config import ConfigError
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.encoders import table_files
from simclr.evaluation.leaks import record
from simclr.evaluation.leaks.record import Leaks
from simclr.files.user_paths import user_path
from simclr.launch import jobs
from simclr.results import table_formats

SHOWN = 10  # pairs that are printed
MODELS = ("weights", "untrained", "pixels")


def leaks(arguments: list[str]) -> int:
    """Says which test images are copies of training images, or how well copies are found; returns the exit status 0.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    parser = command_parser("leaks")
    parser.add_argument("RUN", help="A run with weights, by id, unique beginning or folder; RUN@best for a checkpoint.")
    parser.add_argument("--json", action="store_true", help="As JSON, for scripts.")
    parser.add_argument(
        "--planted", action="store_true", help="Looks for copies that are planted, and says how many of them are found."
    )
    texts = {
        "model": "weights, or untrained or pixels: the network before training, or no network, as a second opinion. "
        "Default: weights, the only ones whose pairs are kept.",
        "dataset": DATASET_TEXT.replace("whose results are kept apart", "of which nothing is kept"),
        "out": "FILE.csv or FILE.parquet for the pairs.",
        "n": f"How many training images are planted. Default: {planted.NUM_PLANTED}.",
        "seeds": "Of the draws of planted images, separated by commas. Default: 0,1,2.",
    }
    add_job_options(parser, texts)
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as report:
        (model,) = references.resolve_encoders([options.RUN], folder_of_runs(options.runs_dir))
        what = _what(options.model)
        model = EncoderRef(model.run, what, model.checkpoint if what == "weights" else None)
        path = None if options.out is None else user_path(options.out)
        table_files.check(path)
        planting = _planting(options)
        say = _quiet if options.json and options.job_dir is None else report
        choice = with_dataset(ImageSelection(), [model], options.dataset, say)
        if planting is not None:
            images = copies.load_images(model.run, choice, say)
            trials = list(planted.measure(model, images, planting[1], planting[0], report=say))
            print(json.dumps([asdict(trial) for trial in trials], indent=1) if options.json else text_of(trials))
            return FINISHED
        found, sheet = copies.check(model, choice, say)
        if choice.other is None and model.what == "weights" and model.checkpoint is None:
            record.write(model.run.computed, found, sheet)
        if path is not None:
            _write(found, path)
        if choice.other is not None and not options.json:
            print(f"on {choice.other.dataset}, which are other images than {model.run.id} was trained on, or cannot be")
            print("shown to be the same; nothing is kept")
        print(json.dumps(asdict(found), indent=1) if options.json else "\n".join(lines(found)), flush=True)
    return FINISHED


def _quiet(what: str, share: float) -> None:
    pass


def _what(text: str | None) -> Any:
    word = (text or "weights").strip().lower()
    if word not in MODELS:
        raise ConfigError(f"model is {text}; allowed: {', '.join(MODELS)}.")
    return word


def _planting(options: Any) -> tuple[int, tuple[int, ...]] | None:
    """How many copies are planted, and the seeds; None where none are.

    Raises:
        ConfigError: if a number is none, or is given without `--planted`.
    """
    if not options.planted:
        for name in ("n", "seeds"):
            if getattr(options, name) is not None:
                raise ConfigError(f"{name} is {getattr(options, name)}; allowed: with --planted.")
        return None
    if options.out is not None:
        raise ConfigError(f"out is {options.out} and --planted is set; allowed: one of them.")
    text = str(options.n or planted.NUM_PLANTED)
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 10_000:
        raise ConfigError(f"n is {options.n}; allowed: a whole number from 1 to 10,000.")
    words = [word.strip() for word in str(options.seeds or "0,1,2").split(",")]
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        raise ConfigError(f"seeds is {options.seeds}; allowed: whole numbers from 0, separated by commas.")
    return int(text), tuple(dict.fromkeys(map(int, words)))


def _write(found: Leaks, path: Any) -> None:
    head, *rows = record.table(found.pairs)
    columns = list(zip(*rows, strict=True)) or [()] * len(head)
    with table_files.writer(path) as write:
        write({name: list(values) for name, values in zip(head, columns, strict=True)})


def lines(found: Leaks) -> list[str]:
    """What is printed: the sentence, and the first pairs."""
    text = [record.sentence(found)]
    if found.pairs:
        head, *rows = record.table(found.pairs[:SHOWN])
        shown = [[*row[:2], *row[3:]] for row in (head, *rows)]
        text += ["", table_formats.as_text(shown)]
        if found.num_copies > SHOWN:
            text.append(f"and {found.num_copies - SHOWN:,} more; --out FILE.csv writes them.")
        text += ["", f"distance: as a share of the median nearest distance; a copy is below {found.share:g}."]
    return text


def text_of(trials: Sequence[Trial]) -> str:
    """What was found of planted copies, over the draws: mean and standard deviation."""
    first = trials[0]
    rows = [["change", "recall", "its own image", "precision"]]
    for place, item in enumerate(first.found):
        each = [trial.found[place] for trial in trials]
        values = ([getattr(one, name) for one in each] for name in ("recall", "origin", "precision"))
        rows.append([f"{item.operation} {item.strength:g}", *map(_spread, values)])
    alarms = _spread([next(iter(trial.false_alarms.values())) for trial in trials])
    return "\n".join(
        [
            f"{first.model}: {first.num_planted:,} of {first.num_train:,} training images, changed, among "
            f"{first.num_test:,} test images; {len(trials)} draws; per cent, mean ± standard deviation",
            table_formats.as_text(rows),
            f"found among the test images as they are: {alarms} %",
        ]
    )


def _spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation in per cent, of the draws that have a value; a dash where none has one."""
    many = np.array([value for value in values if value is not None]) * 100
    if not len(many):
        return "-"
    text = f"{many.mean():.1f} ± {many.std(ddof=1):.1f}" if len(many) > 1 else f"{many.mean():.1f}"
    return text if len(many) == len(values) else f"{text} ({len(many)} of {len(values)} draws)"
