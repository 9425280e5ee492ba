"""The command `sweep`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from simclr.cli.parser import FINISHED, add_places, add_runs_dir, command_parser, folder_of_runs, parse, slurm_options
from simclr.config import ConfigError
from simclr.launch.slurm_options import SlurmOptions
from simclr.lifecycle import estimate
from simclr.runs.status import Report, no_report
from simclr.sweeps import cost, on_slurm, start, sweep_file
from simclr.sweeps.settings import Sweep

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
    parser.add_argument("--dry_run", action="store_true", help="Say what it would cost, and start nothing.")
    parser.add_argument("--no_estimate", action="store_true", help="Start without measuring what it will cost.")
    add_runs_dir(parser)
    add_places(parser, WHERE)
    parser.add_argument(
        "--max_running", metavar="N", help="In Slurm: how many of the runs go on at once at most. Default: all."
    )
    options = parse(parser, arguments)
    folder = folder_of_runs(options.runs_dir)
    chosen = [name for name in ("extend", "stop", "resume") if getattr(options, name)]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} are set; allowed: one of them.")
    if options.stop:
        return _stop(options.FILE, folder)
    if options.resume:
        again = start.resume(options.FILE, folder, _target(options, folder, options.FILE))
        print(f"{len(again)} runs go on: python -m simclr runs shows how", file=sys.stderr)
        return FINISHED
    return _start(sweep_file.load(options.FILE), folder, options)


def _target(options: Any, folder: Path, group: str | None = None) -> start.Target | None:
    """Where the runs are to train; None: where those of the group do.

    Args:
        group: that is extended or resumed, whose options hold where no others are given.

    Raises:
        ConfigError: if what is given does not go together, or is not allowed.
    """
    backend, number = options.backend, options.max_running
    given = {name: value for name in SlurmOptions.model_fields if (value := options.get(f"slurm.{name}")) is not None}
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
    number = None
    if slurm is not None:
        _say_most(wanted, slurm)
    elif wanted.limit_hours is not None or not options.no_estimate:
        number = _say_cost(wanted, folder, target if isinstance(target, str) else "auto")
    if options.dry_run:
        return FINISHED
    how = "submitted" if slurm is not None else "queued"
    if options.extend:
        added = start.complete(options.extend, folder, target, wanted)
        print(f"{len(added)} runs were added: python -m simclr runs shows how they go", file=sys.stderr)
        print(options.extend, flush=True)
        return FINISHED
    group = start.start(wanted, folder, target or "auto", number)
    print(f"{how}: python -m simclr runs shows how they go, the dashboard its page Experiments", file=sys.stderr)
    print(group, flush=True)
    return FINISHED


def _say_most(wanted: Sweep, slurm: on_slurm.OnSlurm) -> None:
    """Prints how many jobs there are. What they cost is not measured: this may not be a machine like theirs.

    Raises:
        ConfigError: for a limit of hours, which would have to be measured.
    """
    if (hours := wanted.limit_hours) is not None:
        raise ConfigError(f"limit is {hours:g} hours and backend is slurm; allowed: a limit of runs.")
    text = (
        f"{sum(1 for _ in wanted.members()):,} runs, each a Slurm job of {slurm.options.time_minutes:,} min at a time"
    )
    print(text + (f", {slurm.max_running:,} at once." if slurm.max_running else "."), file=sys.stderr)


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
