"""The commands on images of one's own: `predict`, `neighbors`, and the table of `embed --out`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simclr.cli.parser import FINISHED, add_job_options, command_parser, folder_of_runs, parse
from simclr.config import ConfigError
from simclr.encoders import table_files
from simclr.files.user_paths import user_path
from simclr.launch import jobs

if TYPE_CHECKING:
    from simclr.encoders.streaming import OwnImages

OUT = "FILE.csv or FILE.parquet. Default: CSV on the standard output."
MOST_NEIGHBORS = 10_000
SHOWN_UNREAD = 3


def predict(arguments: list[str]) -> int:
    """Writes what a supervised run says of images; returns the exit status 0.

    Raises:
        ConfigError: for bad input, or a run that has no classifier.
    """
    parser = command_parser("predict")
    parser.add_argument("RUN", help="A fine-tuned run, or one from scratch, or the folder of its export.")
    parser.add_argument("IMAGE", nargs="+", type=str, help="Image files, and folders of them.")
    add_job_options(parser, {"out": OUT})
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as report, _table(options) as (write, encoder):
        from simclr.encoders import streaming

        encoder.up_to("classes")  # before images are listed
        images = streaming.OwnImages(encoder, _places(options.IMAGE))
        count = streaming.write_predictions(images, write, _quietly(report, options))
        _tell(images, count, options.out)
    return FINISHED


def neighbors(arguments: list[str]) -> int:
    """Writes the nearest images of a folder to images; returns the exit status 0.

    Raises:
        ConfigError: for bad input.
    """
    parser = command_parser("neighbors")
    parser.add_argument("RUN", help="A run, or a file of weights, or the folder of an export.")
    parser.add_argument("QUERY", nargs="+", type=str, help="Image files, and folders of them.")
    texts = {
        "among": "The folder of images that are looked through.",
        "k": "How many neighbours of each. Default: 9.",
        "out": OUT,
    }
    add_job_options(parser, texts)
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as report, _table(options) as (write, encoder):
        from simclr.encoders import streaming

        if options.among is None:
            raise ConfigError("among is unset; allowed: the folder of images that are looked through.")
        k = _number(options.k)
        queries = streaming.OwnImages(encoder, _places(options.QUERY))
        among = streaming.OwnImages(encoder, _places([options.among]))
        count = streaming.write_neighbors(queries, among, k, write, _quietly(report, options))
        _tell(queries, count, options.out)
    return FINISHED


def features(run: str, dataset: str, options: Any, report: Any) -> None:
    """Writes the features of a folder's images to a table, for `embed --out`.

    Raises:
        ConfigError: for bad input.
    """
    with _table(options, run) as (write, encoder):
        from simclr.encoders import streaming

        images = streaming.OwnImages(encoder, _places([dataset]))
        count = streaming.write_features(images, str(options.layer or "h").strip().lower(), write, report)
        _tell(images, count, options.out)


@contextmanager
def _table(options: Any, run: str | None = None) -> Iterator[tuple[table_files.Write, Any]]:
    """The function that takes rows, and the encoder."""
    path = None if options.out is None else user_path(options.out)
    table_files.check(path)
    from simclr.encoders.load import load_encoder  # loads torch

    encoder = load_encoder(run or options.RUN, runs_dir=folder_of_runs(options.runs_dir))
    with table_files.writer(path) as write:
        yield write, encoder


def _places(names: Sequence[str]) -> list[Path]:
    return [user_path(name) for name in names]


def _number(text: str | None) -> int:
    number = int(text) if text is not None and text.isdecimal() else 9 if text is None else 0
    if not 1 <= number <= MOST_NEIGHBORS:
        raise ConfigError(f"k is {text}; allowed: a whole number from 1 to {MOST_NEIGHBORS:,}.")
    return number


def _quietly(report: Any, options: Any) -> Any:
    """Phases are no part of a table that is printed."""
    if options.out is not None or options.job_dir is not None:
        return report
    return lambda phase, share: None


def _tell(images: OwnImages, count: int, out: str | None) -> None:
    """Says what was written and what was left out, beside a table that is printed."""
    if images.unread:
        more = f"; and {len(images.unread) - SHOWN_UNREAD:,} more" * (len(images.unread) > SHOWN_UNREAD)
        print(f"{len(images.unread):,} left out: {' '.join(images.unread[:SHOWN_UNREAD])}{more}", file=sys.stderr)
    if out is not None:
        print(f"{out}: {count:,} rows", flush=True)
