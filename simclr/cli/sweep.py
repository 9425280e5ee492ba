"""The command `sweep`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from simclr.cli.parser import FINISHED, add_runs_dir, command_parser, folder_of_runs, parse
from simclr.cli.results import answer_of, finder
from simclr.config import ConfigError
from simclr.launch import jobs
from simclr.lifecycle import estimate
from simclr.results import arms, groups
from simclr.results.index import RunIndex
from simclr.runs import Run
from simclr.runs.status import Report, no_report
from simclr.sweeps import choice, cost, start, sweep_file
from simclr.sweeps.settings import Sweep


def sweep(arguments: list[str]) -> int:
    """Queues the runs of a sweep, adds to a group, or stops or resumes one; returns the exit status.

    Raises:
        ConfigError: for bad input.
    """
    parser = command_parser("sweep")
    names = ", ".join(sweep_file.shipped_names())
    parser.add_argument(
        "FILE", help=f"FILE.yaml; or a sweep that is shipped: {names}; or, to stop or resume it, a GROUP."
    )
    parser.add_argument(
        "--extend", metavar="GROUP", help="Add the file's new seeds, values, arms and shares to a group."
    )
    parser.add_argument("--stop", action="store_true", help="Stop the runs of GROUP; they keep what they have.")
    parser.add_argument(
        "--resume", action="store_true", help="Go on with the stopped, failed and missing runs of GROUP."
    )
    parser.add_argument(
        "--test",
        action="store_true",
        help="Measure the setting of GROUP that is best on validation images, and a baseline, on the test images.",
    )
    parser.add_argument("--measure", help="For --test: by what is chosen, such as val_knn. Default: the first it has.")
    parser.add_argument("--arm", help=f"For --test: which supervised runs are compared: {', '.join(arms.ARMS)}.")
    parser.add_argument("--labels", help="For --test: how many labels they use, such as 0.01, or 5pc: 5 per class.")
    parser.add_argument(
        "--baseline",
        help="For --test: a setting, as 'temperature 0.5'. Default: the recipe's, else the second best.",
    )
    parser.add_argument("--dry_run", action="store_true", help="Say what it would cost, and start nothing.")
    parser.add_argument("--no_estimate", action="store_true", help="Start without measuring what it will cost.")
    parser.add_argument("--device", default=None, help="cpu, gpu:0, or auto for whatever is free first. Default: auto.")
    add_runs_dir(parser)
    parser.add_argument("--job_dir", help=argparse.SUPPRESS)
    options = parse(parser, arguments)
    folder = folder_of_runs(options.runs_dir)
    chosen = [name for name in ("extend", "stop", "resume", "test") if getattr(options, name)]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} are set; allowed: one of them.")
    if options.stop:
        return _stop(options.FILE, folder)
    if options.resume:
        again = start.resume(options.FILE, folder, options.device)
        print(f"{len(again)} runs go on: python -m simclr runs shows how", file=sys.stderr)
        return FINISHED
    if options.test:
        with jobs.running(options.job_dir) as report:
            return _test(options, folder, report)
    return _start(sweep_file.load(options.FILE), folder, options)


def _start(wanted: Sweep, folder: Path, options: Any) -> int:
    """Says what a sweep will cost and queues it, or adds it to a group; prints the group's id."""
    device = options.device or "auto"
    number = None
    if wanted.limit_hours is not None or not options.no_estimate:
        number = _say_cost(wanted, folder, device)
    if options.dry_run:
        return FINISHED
    if options.extend:
        added = start.complete(options.extend, folder, device, wanted)
        print(f"{len(added)} runs were added: python -m simclr runs shows how they go", file=sys.stderr)
        print(options.extend, flush=True)
        return FINISHED
    group = start.start(wanted, folder, device, number)
    print("queued: python -m simclr runs shows how they go, the dashboard its page Experiments", file=sys.stderr)
    print(group, flush=True)
    return FINISHED


def _test(options: Any, folder: Path, report: Report) -> int:
    """Measures the choice of a group on the test images, once, and prints what it is worth."""
    find, group_id = finder(folder), options.FILE
    group = groups.find_group(group_id, RunIndex(folder).summaries(max_age=0))
    if group is None:
        start.runs_of(group_id, folder)  # says that there is none
        return FINISHED
    chosen = choice.choose(group, find, options.measure, options.arm, options.labels, options.baseline)
    print(choice.sentence(chosen), file=sys.stderr)

    def evaluate(run: Run, report: Report) -> None:
        from simclr.evaluation import protocols  # loads torch

        command = ["python", "-m", "simclr", "sweep", group_id, "--test"]
        protocols.add_figures(run, protocols.evaluate_run(run, None, report), shlex.join(command))

    choice.run_test(chosen, find, evaluate, report)
    tested = groups.find_group(group_id, RunIndex(folder).summaries(max_age=0)) or group
    print(answer_of(tested, find, choice.test_measure(chosen)))
    return FINISHED


def _say_cost(wanted: Sweep, folder: Path, device: str) -> int | None:
    """Prints the cost; returns the number of settings for a limit of hours, else None."""
    number, hours = None, wanted.limit_hours
    try:
        if hours is not None:
            one = cost.estimate_cost(wanted, folder, device, 1, _reporter())
            number = cost.settings_within(hours, wanted, one)
        found = cost.estimate_cost(wanted, folder, device, number, _reporter())
    except estimate.CannotMeasure as error:
        if number is None and hours is not None:
            raise ConfigError(f"limit is {hours:g} hours, and the cost cannot be measured: {error}") from None
        print(f"What it will cost could not be measured: {error}", file=sys.stderr)
        return number
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    print(found.sentence(), file=sys.stderr, flush=True)
    return number


def _reporter() -> Report:
    def report(what: str, share: float) -> None:
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)

    return report if sys.stderr.isatty() else no_report


def _stop(group: str, folder: Path) -> int:
    stopped = start.stop(group, folder)
    print(
        f"{len(stopped.waiting)} runs were taken out of the queue, {len(stopped.running)} save and end", file=sys.stderr
    )
    return FINISHED
