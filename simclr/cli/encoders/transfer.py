"""The command `transfer`: encoders by data sets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from simclr.cli.parser import (
    FINISHED,
    add_job_options,
    comma_words,
    command_parser,
    folder_of_runs,
    parse,
)
from simclr.config import DATASETS, ConfigError, nearest_name
from simclr.files.names import readable
from simclr.files.user_paths import existing_folder, user_path
from simclr.launch import jobs
from simclr.results import table_formats
from simclr.transfer import matrix


def transfer(arguments: list[str]) -> int:
    """Measures what is lacking and prints the matrix; returns 0, or 1 if a pair could not be measured.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    parser = command_parser("transfer")
    parser.add_argument(
        "RUN",
        nargs="+",
        type=str,
        help="Runs by id, unique beginning or folder; untrained:RUN: before its training; embeddings that were added, "
        "by name.",
    )
    parser.add_argument(
        "--dataset",
        nargs="+",
        default=[],
        metavar="NAME|FOLDER",
        help="The data sets, several with spaces between them. Default: those that the runs were trained on.",
    )
    parser.add_argument("--no_measure", action="store_true", help="Only what is kept already.")
    texts = {
        "protocol": "What is measured: knn, linear, fewshot, or several with commas. Default: all three.",
        "figure": f"What is printed: {', '.join(matrix.FIGURES)}. Default: the first that was measured.",
        "format": table_formats.HELP,
    }
    add_job_options(parser, texts)
    options = parse(parser, arguments)
    form = table_formats.chosen(options.format)
    if options.protocol is not None and not options.protocol.strip(" ,"):
        raise ConfigError(f"protocol is {options.protocol or 'empty'}; allowed: {', '.join(matrix.PROTOCOLS)}.")
    protocols = comma_words("protocol", options.protocol, matrix.PROTOCOLS)
    usual = next(key for key, item in matrix.FIGURES.items() if item.protocol in protocols)
    figure = matrix.FIGURES.get(usual if options.figure is None else options.figure)
    if figure is None:
        hint = nearest_name(options.figure, list(matrix.FIGURES)) or "."
        raise ConfigError(f"figure is {options.figure or 'empty'}; allowed: {', '.join(matrix.FIGURES)}{hint}")
    if figure.protocol not in protocols:
        raise ConfigError(
            f"figure is {figure.key} and protocol is {options.protocol}; allowed: a figure of what is measured."
        )
    runs_dir = folder_of_runs(options.runs_dir)
    with jobs.running(options.job_dir) as report:
        encoders = [matrix.find_encoder(name, runs_dir) for name in dict.fromkeys(options.RUN)]
        datasets = [_dataset(name) for name in options.dataset]
        datasets = list(dict.fromkeys(datasets or [d for e in encoders if (d := matrix.own_dataset(e))]))
        if not datasets:
            raise ConfigError("dataset is unset, and no RUN names one; allowed: names and folders.")
        failed: dict[matrix.Pair, str] = {}
        if not options.no_measure:
            job = Path(options.job_dir) if options.job_dir is not None else None
            with matrix.turn(runs_dir, report):
                work = matrix.work_of(encoders, datasets, protocols)
                noted = matrix.JobCells(job, work)
                quiet = job is None and not sys.stderr.isatty()
                failed = matrix.measure(work, report if job is not None else _printed(quiet), noted.note)
    found = matrix.cells(encoders, datasets, figure)
    if form == "json":
        print(_as_json(encoders, datasets, figure, found, failed))
    else:
        print(table_formats.FORMATS[form](matrix.table(encoders, datasets, figure, found)))
    for sentence in dict.fromkeys(cell.sentence for cell in found.values() if cell.state == "none"):
        print(sentence, file=sys.stderr)
    for pair, sentence in failed.items():
        print(f"{pair.encoder} on {pair.dataset}: {sentence}", file=sys.stderr)
    return 1 if failed and options.job_dir is None else FINISHED


def _dataset(name: str) -> str:
    """The name, or the folder by its full path.

    Raises:
        ConfigError: if it is neither.
    """
    text = name.strip()
    if text in DATASETS:
        return text
    if not text or existing_folder(text) is None:
        hint = nearest_name(text, list(DATASETS)) or "."
        raise ConfigError(
            f"dataset is {readable(text) or 'empty'}, which is neither a data set nor a folder; allowed: a folder, or "
            f"{', '.join(DATASETS)}{hint}"
        )
    return str(user_path(text).resolve())


def _printed(quiet: bool) -> Any:
    """Tells a terminal what is going on, on the line below which the table is printed."""
    said = ""

    def tell(phase: str, share: float) -> None:
        nonlocal said
        name = phase.partition(":")[0]
        if not quiet and name != said:
            said = name
            print(f"{share:4.0%} {name}", file=sys.stderr, flush=True)

    return tell


def _as_json(encoders: Any, datasets: Any, figure: matrix.Figure, found: Any, failed: Any) -> str:
    cells = []
    for encoder in encoders:
        for dataset in datasets:
            pair = matrix.Pair(matrix.reference(encoder), dataset)
            value = found[pair].value
            numbers = {} if value is None else vars(value)
            about = {"name": matrix.name_of(encoder), "weights": matrix.kind_text(encoder)}
            cells.append(
                {**pair._asdict(), **about, **numbers, "error": failed.get(pair) or found[pair].sentence or None}
            )
    return json.dumps({"figure": figure.key, "name": figure.name, "cells": cells}, indent=1)
