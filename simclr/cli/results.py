"""The commands `results` and `report`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from simclr import runs
from simclr.cli.parser import (
    FINISHED,
    add_job_options,
    add_runs_dir,
    command_parser,
    folder_of_runs,
    parse,
)
from simclr.config import ConfigError
from simclr.evaluation.leaks import record
from simclr.evaluation.leaks.record import Leaks
from simclr.launch import jobs
from simclr.report import made
from simclr.results import group_progress, group_wording, groups, table_formats, tables, wording
from simclr.results.groups import Find, Group, Measure
from simclr.results.index import RunIndex, Summary, finder
from simclr.results.tables import Results


def show_results(arguments: list[str]) -> int:
    """Prints what pre-trainings were worth, and what groups say: the answer in words, and the table behind it.

    Raises:
        ConfigError: for bad input, or where there is no pre-training.
    """
    parser = command_parser("results")
    parser.add_argument(
        "RUN",
        nargs="*",
        help="Pre-trainings: id, prefix or folder; or groups. Default: the newest pre-training with results.",
    )
    parser.add_argument("--format", help=table_formats.HELP)
    parser.add_argument(
        "--measure", help=f"Of a group: {', '.join(item.key for item in groups.MEASURES)}. Default: the first it has."
    )
    parser.add_argument(
        "--one_seed", action="store_true", help="Not those that differ from it in nothing but the seed."
    )
    parser.add_argument("--json", action="store_true", help="The same as --format json.")
    add_runs_dir(parser)
    options = parse(parser, arguments)
    folder = folder_of_runs(options.runs_dir)
    form = table_formats.chosen("json" if options.json else options.format)
    summaries = RunIndex(folder).summaries(max_age=0)
    shown: set[str] = set()
    found = [_results_of(name, form, options, folder, summaries, shown) for name in options.RUN or [None]]
    found = [text for text in found if text]
    if form == "json" and len(found) > 1:
        print("[" + ",\n".join(found) + "]")
    else:
        print("\n\n".join(found))
    return FINISHED


def _results_of(
    name: str | None, form: str, options: Any, folder: Path, summaries: Sequence[Summary], shown: set[str]
) -> str:
    """Of one pre-training or group; empty for a seed of what was shown. shown: ids of pre-trainings, added to."""
    if name is not None and (group := groups.find_group(name, summaries)) is not None:
        return _of_group(group, finder(folder), form, options.measure)
    if options.measure is not None:
        raise ConfigError(f"measure is {options.measure} and RUN is no group; allowed: the id of a group.")
    named = runs.find(name, folder) if name is not None else None
    if named is not None and named.path.parent.resolve() not in (folder.resolve(), (folder / runs.EXAMPLES).resolve()):
        folder = named.path.parent
        summaries = RunIndex(folder).summaries()
    if named is not None and named.kind != "pretrain":
        raise ConfigError(f"RUN is {name}, which is a {named.kind} run; allowed: a pre-training.")
    own = tables.to_begin_with(summaries)
    if named is not None:
        own = next((item for item in summaries if item.id == named.id), None)
    if own is None:
        raise ConfigError(f"There is no pre-training in {folder}. Start one: python -m simclr pretrain --config quick")
    if own.id in shown:
        return ""
    found = tables.results(own, summaries, finder(folder), all_seeds=not options.one_seed)
    shown |= {trial.pretraining.id for trial in found.trials}
    copies = record.read(runs.find(own.id, folder))
    if form == "json":
        return as_json(own, found, copies)
    return (
        "\n".join(lines(own, found, copies)) if form == "table" else table_formats.FORMATS[form](wording.table(found))
    )


def _of_group(group: Group, find: Find, form: str, key: str | None) -> str:
    """What a group says by one measure: its answer and table, or the table alone in another form."""
    offered = groups.measures_of(group, find)
    measure = next((item for item in groups.MEASURES if item.key == key), offered[0])
    if key is not None and measure.key != key:
        raise ConfigError(f"measure is {key}; allowed: {', '.join(item.key for item in groups.MEASURES)}.")
    found = groups.cells(group, measure, find)
    if not found:
        raise ConfigError(f"measure is {measure.key}, which no run of the group has; allowed: {offered[0].key}.")
    found = groups.shown_cells(group, found, measure)
    rows = group_wording.table(group, found, measure, find)
    if form == "json":
        compared = groups.compared_in(group, found, measure)
        soon, clock = groups.convergence_in(compared, find)
        cells = [
            {
                "setting": dict(item.cell.setting),
                "trained": item.cell.arm,
                "labels": item.cell.share.key if item.cell.share is not None else None,
                "num_labels": item.cell.num_labels,
                "runs": [run.id for run in item.cell.runs],
                "values": dict(item.cell.values),
                "spread": _plain(item.cell.spread),
                "difference": _plain(item.difference),
                "p": item.p,
                "reached": _plain(reached),
            }
            for item, reached in zip(compared, soon, strict=True)
        ]
        about: dict[str, Any] = {
            "group": group.id,
            "title": group.title,
            "measure": measure.key,
            "measured": measure.label,
        }
        about |= {"level_share": wording.LEVEL_SHARE, "clock": clock}
        return json.dumps({**about, "cells": cells}, indent=1)
    if form != "table":
        return table_formats.FORMATS[form](rows)
    return answer_of(group, find, measure)


def answer_of(group: Group, find: Find, measure: Measure) -> str:
    """What a group says by a measure that it has, for a terminal: progress, answer and table."""
    found = groups.shown_cells(group, groups.cells(group, measure, find), measure)
    number = groups.num_images_of(groups.first_of(group, found, measure), measure, find)
    answer = group_wording.answer(group, found, measure, number).replace("**", "")
    head = [f"{group.title} ({group.id})", group_progress.counts(group), "", answer, ""]
    return "\n".join([*head, table_formats.as_text(group_wording.table(group, found, measure, find))])


def lines(own: Summary, found: Results, copies: Leaks | None) -> list[str]:
    """What is printed. copies: what was found of copies among the test images; None: nothing was looked for."""
    head = [f"{own.title} ({own.id})" if own.title != own.id else own.id]
    if len(found.trials) > 1:
        head.append(f"{len(found.trials)} seeds: {', '.join(str(seed) for seed in found.seeds)}")
    if not found.rows:
        return [*head, "", "Nothing was trained on it yet, and it has no test figures of its own."]
    answers = [text.replace("**", "") for text in wording.answers(found)]
    text = table_formats.as_text(wording.table(found))
    sure = [sentence] if (sentence := wording.how_sure(found)) else []
    notes = [*sure, *wording.notes(found), record.unchecked(own.id) if copies is None else record.sentence(copies)]
    return [*head, "", *answers, *([""] if answers else []), text, *(["", *notes] if notes else [])]


def as_json(own: Summary, found: Results, copies: Leaks | None) -> str:
    """Everything that the table is made of."""
    rows = [
        {
            "label_fraction": row.fraction,
            "trained": row.protocol,
            "runs": [run.id for run in row.runs],
            "seeds": [run.seed for run in row.runs],
            **{name: _plain(getattr(row, name)) for name in ("accuracy", "gain", "p", "loss", "num_labels", "reached")},
        }
        for row in found.rows
    ]
    about = {"pretraining": own.id, "level_share": wording.LEVEL_SHARE, "clock": found.clock}
    return json.dumps({**about, "rows": rows, "copies": record.summary(copies)}, indent=1)


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def make_report(arguments: list[str]) -> int:
    """Writes a report of runs and groups, and prints where; returns the exit status 0.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    from simclr.report import page

    parser = command_parser("report")
    parser.add_argument(
        "RUN",
        nargs="+",
        type=str,
        help="Runs by id, unique beginning or folder, groups by id, and embeddings that were added, by name.",
    )
    parser.add_argument("--force", action="store_true", help="Replaces a file that is no report, too.")
    parser.add_argument("--no_images", action="store_true", help="No image of a data set is in the file.")
    add_job_options(parser, {"out": "The file. Default: report-RUN.html in this folder. A report there is replaced."})
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as report:
        if options.out is None and options.job_dir is not None:
            path = Path(options.job_dir) / made.FILE
        else:
            path = Path(options.out or made.file_name(options.RUN))
            made.check_writable(path, force=options.force)
        folder = folder_of_runs(options.runs_dir)
        made.write(path, page.make(options.RUN, folder, with_images=not options.no_images, report=report))
        print(path, flush=True)
    return FINISHED
