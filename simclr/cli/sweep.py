"""The command `sweep`."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simclr.cli.parser import FINISHED, add_places, add_runs_dir, command_parser, folder_of_runs, parse, slurm_options
from simclr.cli.results import answer_of
from simclr.config import ConfigError
from simclr.hardware import devices
from simclr.launch import jobs
from simclr.launch.slurm_options import SlurmOptions
from simclr.lifecycle import estimate
from simclr.results import arms, groups
from simclr.results.index import RunIndex, finder
from simclr.runs import Run
from simclr.runs.status import Report, no_report
from simclr.sweeps import choice, cost, on_slurm, start, sweep_file
from simclr.sweeps.settings import Member, Sweep

WHERE = (
    "Allowed: queue: on this machine, each when its device is free; slurm: each as a Slurm job. "
    "Default: queue; for a GROUP, where it is."
)


def sweep(arguments: list[str]) -> int:
    """Queues or submits the runs of a sweep, adds to a group, or stops or resumes one; returns the exit status.

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
    add_runs_dir(parser)
    parser.add_argument("--job_dir", help=argparse.SUPPRESS)
    add_places(parser, WHERE)
    parser.add_argument(
        "--max_running", metavar="N", help="In Slurm: how many of the runs go on at once at most. Default: all."
    )
    options = parse(parser, arguments)
    folder = folder_of_runs(options.runs_dir)
    chosen = [name for name in ("extend", "stop", "resume", "test") if getattr(options, name)]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} are set; allowed: one of them.")
    if options.stop:
        return _stop(options.FILE, folder)
    if options.resume:
        again = start.resume(options.FILE, folder, _target(options, folder, options.FILE))
        print(f"{len(again)} runs go on: python -m simclr runs shows how", file=sys.stderr)
        return FINISHED
    if options.test:
        with jobs.running(options.job_dir) as report:
            return _test(options, folder, report)
    if options.job_dir:
        return _measure_cost(options, folder)
    return _start(sweep_file.load(options.FILE), folder, options)


def _target(options: Any, folder: Path, group: str | None = None) -> start.Target | None:
    """Where the runs are to train; None: where those of the group do.

    Args:
        group: that is extended or resumed, whose options hold where no others are given.

    Raises:
        ConfigError: if what is given does not go together, or is not allowed.
    """
    backend, number = options.backend, options.max_running
    given = {name: value for name in SlurmOptions.model_fields if (value := vars(options)[f"slurm.{name}"]) is not None}
    if backend not in (None, "queue", "slurm"):
        raise ConfigError(f"backend is {backend}; allowed: queue or slurm.")
    before = None if group is None else on_slurm.target_of(start.runs_of(group, folder))
    in_slurm = backend == "slurm" or (backend is None and before is not None and options.device is None)
    names = [*(["max_running"] if number is not None else []), *(f"slurm.{name}" for name in given)]
    if not in_slurm:
        if names:
            raise ConfigError(f"{names[0]} is set and backend is {backend or 'queue'}; allowed: backend slurm.")
        return options.device or ("auto" if backend == "queue" or group is None else None)
    if options.device is not None:
        raise ConfigError("device is set and backend is slurm; allowed: backend queue.")
    if backend is None and not names:
        return None
    limit = on_slurm.check_limit(number) if number is not None else before.max_running if before is not None else None
    return on_slurm.OnSlurm(slurm_options(given, None if before is None else before.options), limit)


def _start(wanted: Sweep, folder: Path, options: Any) -> int:
    """Says what a sweep will cost and starts it, or adds it to a group; prints the group's id."""
    target = _target(options, folder, options.extend)
    slurm = target if isinstance(target, on_slurm.OnSlurm) else None
    if options.extend and target is None:
        slurm = on_slurm.target_of(start.runs_of(options.extend, folder))
    number, device = None, target if isinstance(target, str) else "auto"
    if options.extend:
        _say_extension(wanted, options, folder, device, slurm)
    elif slurm is not None:
        _say_most(slurm, [*wanted.members()], wanted.limit_hours)
    elif wanted.limit_hours is not None or not options.no_estimate:
        number = _say_cost(wanted, folder, device)
    if options.dry_run:
        return FINISHED
    how = "submitted" if slurm is not None else "queued"
    if options.extend:
        added = start.complete(options.extend, folder, target, wanted)
        were = "run was" if len(added) == 1 else "runs were"
        print(f"{len(added):,} {were} added: python -m simclr runs shows how they go", file=sys.stderr)
        print(options.extend, flush=True)
        return FINISHED
    group = start.start(wanted, folder, target or "auto", number)
    print(f"{how}: python -m simclr runs shows how they go, the dashboard its page Experiments", file=sys.stderr)
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
        devices.hide_unused_gpus(run.config.get("accelerator"))
        from simclr.evaluation import kept, protocols  # loads torch

        command = ["python", "-m", "simclr", "sweep", group_id, "--test"]
        kept.add_figures(run, protocols.evaluate_run(run, None, report), shlex.join(command))

    choice.run_test(chosen, find, evaluate, report)
    tested = groups.find_group(group_id, RunIndex(folder).summaries(max_age=0)) or group
    print(answer_of(tested, find, choice.test_measure(chosen)))
    return FINISHED


def _measure_cost(options: Any, folder: Path) -> int:
    """Keeps with a job what the sweep that is given in place of a file would cost."""
    with jobs.running(options.job_dir) as report:
        wanted = sweep_file.parse(json.loads(options.FILE))
        cost.save(Path(options.job_dir), cost.estimate_cost(wanted, folder, options.device or "auto", report=report))
    return FINISHED


def _say_extension(wanted: Sweep, options: Any, folder: Path, device: str, slurm: on_slurm.OnSlurm | None) -> None:
    """Prints what the runs cost that a group is to get.

    Raises:
        ConfigError: if it cannot get them; or for a limit of hours, of which those that are there have taken some.
    """
    if (hours := wanted.limit_hours) is not None:
        raise ConfigError(f"limit is {hours:g} hours and extend is set; allowed: a limit of runs.")
    sweep, missing = start.extension(options.extend, folder, wanted)
    if not missing:
        return
    if slurm is not None:
        _say_most(slurm, missing)
    elif not options.no_estimate:
        _say_cost(sweep, folder, device, missing)


def _say_most(slurm: on_slurm.OnSlurm, members: Sequence[Member], hours: float | None = None) -> None:
    """Prints how many jobs there are. What they cost is not measured: this may not be a machine like theirs.

    Raises:
        ConfigError: for a limit of hours, which would have to be measured.
    """
    if hours is not None:
        raise ConfigError(f"limit is {hours:g} hours and backend is slurm; allowed: a limit of runs.")
    text = f"{len(members):,} runs, each a Slurm job of {slurm.options.time_minutes:,} min at a time"
    print(text + (f", {slurm.max_running:,} at once." if slurm.max_running else "."), file=sys.stderr)


def _say_cost(wanted: Sweep, folder: Path, device: str, members: Sequence[Member] | None = None) -> int | None:
    """Prints the cost of these members or of all; returns the number of settings for a limit of hours, else None."""
    number, hours = None, wanted.limit_hours
    try:
        if hours is not None:
            one = cost.estimate_cost(wanted, folder, device, 1, _reporter())
            number = cost.settings_within(hours, wanted, one)
        found = cost.estimate_cost(wanted, folder, device, number, _reporter(), members)
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
