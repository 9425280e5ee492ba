"""The commands on runs that exist: `runs`, `stop` and `resume`."""

from __future__ import annotations

import json
import time
from pathlib import Path

from simclr import runs
from simclr.cli.parser import FINISHED, add_run, add_runs_dir, command_parser, folder_of_runs, parse
from simclr.cli.training import report_end
from simclr.config import ConfigError
from simclr.hardware import devices, ranks
from simclr.launch import control, queue, spawn


def list_runs(arguments: list[str]) -> int:
    """Prints the runs, or those that pass a filter, newest first, as lines or as JSON."""
    from simclr.launch import slurm_runs

    parser = command_parser("runs")
    parser.add_argument(
        "--filter",
        default="",
        metavar="LINE",
        help='Only runs that pass it, as on the page Runs: words and conditions, as "dataset:cifar10 knn>85 -tag:old".',
    )
    parser.add_argument("--json", action="store_true", help="As JSON, for scripts.")
    add_runs_dir(parser)
    options = parse(parser, arguments)
    folder = folder_of_runs(options.runs_dir)
    slurm_runs.refresh(folder)
    found = runs.list_runs(folder)
    if options.filter:
        passing = ids_that_pass(options.filter, folder)
        found = [run for run in found if run.id in passing]
    if options.json:
        rows = [
            {
                "id": run.id,
                "kind": run.kind,
                "state": run.status.state,
                "name": run.name,
                "version": version_of(run),
                "folder": str(run.path),
            }
            for run in found
        ]
        print(json.dumps(rows, indent=1))
        return FINISHED
    if not found and options.filter:
        print(f"No run in {folder} passes the filter.")
    elif not found:
        print(f"There are no runs in {folder}. Start one: python -m simclr pretrain --config simclr/recipes/quick.yaml")
    for run in found:
        status = run.status
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created))
        version = version_of(run)
        number = f"version {version}" if version is not None else ""
        why = f"({status.reason})" if status.reason and status.reason != "on request" else ""
        print(f"{run.id:<56} {status.state:<9} {status.progress:>4.0%}  {when}  {number:<12} {why}".rstrip())
    return FINISHED


def ids_that_pass(line: str, folder: Path) -> set[str]:
    """Ids of the runs that pass a filter.

    Raises:
        ConfigError: if a part of it makes no sense.
    """
    from simclr.results.index import RunIndex
    from simclr.run_table import columns, run_filter
    from simclr.run_table.late_values import LateValues

    index, late = RunIndex(folder), LateValues(folder)
    summaries = [index.summary(run) for run in runs.run_folders(folder)]  # with figures that only `metrics.csv` tells
    found = run_filter.parse(line)
    if found.problems:  # it may name an option that only a folder from elsewhere knows
        late.read(summaries, columns.options())
        found = run_filter.parse(line, late.more)
    if found.problems:
        raise ConfigError(f"filter is {line[:200]}; {found.problems[0]}")
    late.read(summaries, found.names)
    return {item.id for item in run_filter.passing(found, summaries, late.value, late.more)}


def version_of(run: runs.Run) -> int | None:
    """The number by which fine-tuning can name a pre-training, if any."""
    version = run.brief.get("version")
    return version if type(version) is int else None


def stop(arguments: list[str]) -> int:
    """Stops a run; returns 0 if it has ended, else 1."""
    parser = command_parser("stop")
    add_run(parser)
    add_runs_dir(parser)
    options = parse(parser, arguments)
    run = runs.find(options.RUN, folder_of_runs(options.runs_dir))
    status = control.stop(run.path)
    print(f"{run.id} is {status.state}{f' ({status.reason})' if status.reason else ''}")
    return FINISHED if not status.is_active else 1


def resume(arguments: list[str]) -> int:
    """Resumes a run: here, in the queue if it waits there, or as a Slurm job if it was one."""
    parser = command_parser("resume")
    add_run(parser)
    parser.add_argument(
        "--foreign",
        action="store_true",
        help="Also a run that was not started here, such as a copied folder; with your own Slurm options.",
    )
    add_runs_dir(parser)
    options = parse(parser, arguments)
    run = runs.find(options.RUN, folder_of_runs(options.runs_dir))
    config = runs.load_config(run)
    if not run.is_example and not runs.is_own(run.path) and ranks.place(config).is_main:
        if not options.foreign:
            spawn.check_own(run)
        if run.status.state == "queued":
            queue.allow(run)
            print(run.path, flush=True)
            return FINISHED
        spawn.check_resumable(run)
        spawn.allow(run)
    if runs.read_status(run.path).backend == "slurm":
        from simclr.launch import slurm_runs, slurm_submit

        slurm_runs.refresh(run.path.parent)
        slurm_submit.resubmit(run)
        print(run.path, flush=True)
        return FINISHED
    is_main = ranks.place(config).is_main
    if is_main:
        if runs.has_supervisor(run.path):  # the launcher has checked already
            runs.begin_here(run.path)
        else:
            spawn.claim_resume(run)
    devices.hide_unused_gpus(config.accelerator)
    from simclr.lifecycle.train import train, train_worker  # loads torch and lightning

    if not is_main:
        return train_worker(config, runs_dir=run.path.parent, run_dir=run.path, resume=True)
    code = report_end(train(config, runs_dir=run.path.parent, run_dir=run.path, resume=True))
    queue.ensure_scheduler(run.path.parent)  # for runs that have waited for the end of this one
    return code
