"""The commands `shift`, on test images that are not like the training images, and `corrupt`, which writes some."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simclr.cli.parser import (
    FINISHED,
    add_job_options,
    comma_words,
    command_parser,
    folder_of_runs,
    parse,
)
from simclr.config import ConfigError, data_root
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef
from simclr.files.user_paths import user_path
from simclr.launch import jobs
from simclr.results import table_formats
from simclr.results.statistics import spread
from simclr.results.wording import share_text

if TYPE_CHECKING:
    from simclr.transfer.shift import Condition, Shifted

CORRUPTIONS = ("gaussian_noise", "gaussian_blur", "contrast")  # those of `views.corruptions`, which loads torch
SEVERITIES = ("1", "2", "3", "4", "5")
USUAL = "1,3,5"
PROTOCOLS = ("linear", "knn")
MAX_SEED = 2**31 - 1


def shift(arguments: list[str]) -> int:
    """Prints accuracies of encoders on shifted test images; returns the exit status 0.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    parser = command_parser("shift")
    parser.add_argument(
        "RUN",
        nargs="+",
        type=str,
        help="Runs, or untrained:RUN. Several with a comma between them make one row: mean and standard deviation.",
    )
    parser.add_argument(
        "--target",
        nargs="+",
        default=[],
        metavar="NAME|FOLDER",
        help="Data sets with the classes of the source, whose test images are judged too. Default: none.",
    )
    texts = {
        "dataset": "The source, whose training images the head is made of: a name or a folder. Default: that of the "
        "first RUN.",
        "corruption": "Of the source's test images: gaussian_noise, gaussian_blur, contrast, several with commas, or "
        "none. Default: all three.",
        "severity": f"1 to 5, as in CIFAR-10-C, several with commas. Default: {USUAL}.",
        "protocol": "linear or knn. Default: linear.",
        "format": table_formats.HELP,
    }
    add_job_options(parser, texts)
    options = parse(parser, arguments)
    form = table_formats.chosen(options.format)
    protocol = PROTOCOLS[0] if options.protocol is None else options.protocol
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol is {protocol or 'empty'}; allowed: {' or '.join(PROTOCOLS)}.")
    names = [] if options.corruption == "none" else _words("corruption", options.corruption, CORRUPTIONS)
    severities = [
        int(word) for word in _words("severity", USUAL if options.severity is None else options.severity, SEVERITIES)
    ]
    runs_dir = folder_of_runs(options.runs_dir)
    groups = [_group(text, runs_dir) for text in options.RUN]
    source = options.dataset if options.dataset is not None else groups[0][0].run.config.get("dataset")
    from simclr.data.identity import resolved  # loads torch
    from simclr.transfer import shift as shifted

    if source is None:
        raise ConfigError(f"dataset is unset, and {groups[0][0].run.id} names none; allowed: a name or a folder.")
    source, targets = resolved(source), [resolved(target) for target in options.target]
    asked = shifted.conditions(names, severities, targets)
    with jobs.running(options.job_dir) as report:
        found = []
        total, done = sum(map(len, groups)), 0
        for group in groups:
            row = []
            for encoder in group:
                base = done / total

                def tell(phase: str, share: float, base: float = base, name: str = encoder.run.name) -> None:
                    if options.job_dir is not None:
                        report(f"{name}: {phase}", base + share / total)

                row.append(shifted.measure(encoder, source, asked, protocol, tell))
                done += 1
            found.append(row)
    if form == "json":
        print(_as_json(found, source, protocol))
    else:
        print(table_formats.FORMATS[form](_table(found, asked)))
    return FINISHED


def _words(name: str, text: str | None, allowed: Sequence[str]) -> list[str]:
    if text is not None and not text.strip(" ,"):
        raise ConfigError(f"{name} is {text or 'empty'}; allowed: {', '.join(allowed)}.")
    return list(dict.fromkeys(comma_words(name, text, allowed)))


def _group(text: str, runs_dir: Path) -> list[EncoderRef]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"RUN is {text or 'empty'}; allowed: a run, or several with a comma between them.")
    return [references.run_or_untrained(name, runs_dir) for name in names]


def _name(group: Sequence[Shifted]) -> str:
    first = group[0].encoder
    return f"untrained {first.run.name}" if first.what == references.UNTRAINED else first.run.name


def _table(found: Sequence[Sequence[Shifted]], asked: Sequence[Condition]) -> list[list[str]]:
    head = ["Encoder", "n", *(condition.text.replace("_", " ") for condition in asked)]
    rows = [
        [
            _name(group),
            str(len(group)),
            *(share_text(spread(item.accuracies[condition] for item in group)) for condition in asked),
        ]
        for group in found
    ]
    return [head, *rows]


def _as_json(found: Sequence[Sequence[Shifted]], source: str, protocol: str) -> str:
    rows = [
        {
            "encoders": [
                f"{references.UNTRAINED}:{item.encoder.run.id}"
                if item.encoder.what == references.UNTRAINED
                else item.encoder.run.id
                for item in group
            ],
            "name": _name(group),
            "conditions": [
                {
                    **condition._asdict(),
                    "accuracies": [item.accuracies[condition] for item in group],
                    "num_test": group[0].num_test[condition],
                }
                for condition in group[0].accuracies
            ],
        }
        for group in found
    ]
    return json.dumps({"source": source, "protocol": protocol, "rows": rows}, indent=1)


def write_corrupted(arguments: list[str]) -> int:
    """Writes a corrupted copy of a data set as a folder, and prints it; returns the exit status 0.

    Raises:
        ConfigError: for bad input.
    """
    parser = command_parser("corrupt")
    parser.add_argument("DATASET", help="A data set by its name, or a folder of images in classes.")
    texts = {
        "corruption": "gaussian_noise, gaussian_blur or contrast.",
        "severity": "1 to 5, as in CIFAR-10-C. Default: 3.",
        "out": "The folder that is written.",
        "seed": "Of the noise, a whole number from 0. Default: 0.",
        "limit_images": "At most so many training images, in class proportion. Default: all.",
        "data_dir": "Where downloaded data sets are. Default: $SIMCLR_DATA_DIR, else ~/.cache/simclr.",
    }
    add_job_options(parser, texts)
    options = parse(parser, arguments)
    for name in ("corruption", "out"):
        if getattr(options, name) is None:
            allowed = ", ".join(CORRUPTIONS) if name == "corruption" else "a new folder"
            raise ConfigError(f"{name} is unset; allowed: {allowed}.")
    if options.corruption not in CORRUPTIONS:
        raise ConfigError(f"corruption is {options.corruption or 'empty'}; allowed: {', '.join(CORRUPTIONS)}.")
    severity = "3" if options.severity is None else options.severity
    if severity not in SEVERITIES:
        raise ConfigError(f"severity is {severity or 'empty'}; allowed: {', '.join(SEVERITIES)}.")
    if not options.out.strip():
        raise ConfigError("out is empty; allowed: a new folder.")
    numbers = {
        "seed": _whole("seed", options.seed, 0) or 0,
        "limit_images": _whole("limit_images", options.limit_images, 1),
    }
    from simclr.transfer.corrupted_set import write_corrupted_set  # loads torch

    folder = user_path(options.out)
    with jobs.running(options.job_dir) as report:
        more: dict[str, Any] = numbers | {"data_dir": str(data_root(options.data_dir))}
        count = write_corrupted_set(
            options.DATASET,
            options.corruption,
            int(severity),
            folder,
            report=report if options.job_dir is not None else lambda phase, share: None,
            **more,
        )
    print(f"{folder}: {count:,} images", flush=True)
    return FINISHED


def _whole(name: str, text: str | None, low: int) -> int | None:
    """A whole number from `low`; None where it is unset."""
    if text is None:
        return None
    if not (text.isdecimal() and text.isascii() and len(text) < 11 and low <= int(text) <= MAX_SEED):
        raise ConfigError(f"{name} is {text or 'empty'}; allowed: a whole number from {low} to {MAX_SEED:,}.")
    return int(text)
