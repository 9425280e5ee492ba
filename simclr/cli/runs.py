"""The commands on runs that exist: `runs`, `stop`, `resume`, and `dashboard`, which shows them."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from simclr import PACKAGE, runs
from simclr.cli.parser import FINISHED, add_run, add_runs_dir, command_parser, folder_of_runs, parse, split_flags
from simclr.cli.training import report_end
from simclr.config import ConfigError
from simclr.files import safe_read
from simclr.files.user_paths import user_path
from simclr.hardware import devices, ranks
from simclr.launch import control, queue, spawn
from simclr.lifecycle import extend, other_devices

DEVICE_HELP = {
    "devices": "Another number of GPUs, or of processes on a CPU, than it had. Its batch is divided among them.",
    "num_nodes": "Another number of machines than it had.",
    "accelerator": "Where it goes on: auto, cpu or gpu.",
}
APP = PACKAGE.parent / "dashboard" / "app.py"  # installed or not, it lies beside this package
OPTIONS_SECONDS = 120.0  # until the main process of a run with several has recorded what was asked for


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
        print(f"There are no runs in {folder}. Start one: python -m simclr pretrain --config quick")
    for run in found:
        status = run.status
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created))
        version = version_of(run)
        number = f"version {version}" if version is not None else ""
        why = f"({status.reason})" if status.reason and status.reason != "on request" else ""
        name = run.name if run.name != run.id else ""
        line = f"{run.id:<56} {status.state:<9} {status.progress:>4.0%}  {when}  {number:<12} {name:<40} {why}"
        print(line.rstrip())
    if sentence := runs.dead_links_said(folder):
        print(sentence)
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
        "--epochs",
        metavar="N",
        help="Trains a run that has come to its end on, to N epochs in all, with the learning rates of N epochs from "
        "there on.",
    )
    parser.add_argument(
        "--max_steps", metavar="N", help="The same for a run that max_steps has ended: to N steps in all."
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME|FOLDER",
        help="Where the run's images lie now, if they have moved. They have to be the same, which is looked at.",
    )
    for name, text in DEVICE_HELP.items():
        parser.add_argument(f"--{name}", metavar="N" if name != "accelerator" else "NAME", help=text)
    parser.add_argument(
        "--foreign",
        action="store_true",
        help="Also a run that was not started here, such as a copied folder; with your own Slurm options.",
    )
    add_runs_dir(parser)
    options = parse(parser, arguments)
    run = runs.find(options.RUN, folder_of_runs(options.runs_dir))
    config = runs.load_config(run)
    if elsewhere := _given(options, other_devices.OPTIONS):
        config = other_devices.check(run, elsewhere)  # so many processes there are now
    is_main = ranks.place(config).is_main
    is_first = is_main and not runs.has_supervisor(run.path) and runs.read_status(run.path).backend != "slurm"
    if is_first and options.dataset is None and not run.is_example:
        spawn.check_data_is_here(run)
    if elsewhere or options.dataset is not None or _given(options, extend.OPTIONS):
        run = _changed(run, options) if is_main else _wait_for_options(run, options)
    config = runs.load_config(run)
    if not run.is_example and not runs.is_own(run.path) and is_main:
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


def _given(options: Any, names: Iterable[str]) -> dict[str, Any]:
    """Those of some options that the command line gives."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _changed(run: runs.Run, options: Any) -> runs.Run:
    """The run with its new devices, place of images and later end recorded, before anything of it is started.

    Raises:
        ConfigError: if it cannot be resumed, its images are others, or nothing is left to train.
    """
    if not options.foreign and not run.is_example:  # which is refused for what it is
        spawn.check_own(run)
    is_longer = bool(_given(options, extend.OPTIONS))
    if is_longer:
        extend.check(run, options.epochs, options.max_steps)  # before a data set is read
    else:
        spawn.check_resumable(run)
    if options.dataset is not None:
        from simclr.data import identity  # loads torch

        _say(run, identity.move(run, options.dataset))
        run = runs.Run(run.path)
    if elsewhere := _given(options, other_devices.OPTIONS):
        _say(run, other_devices.change(run, elsewhere))
        run = runs.Run(run.path)
    if is_longer:
        extend.extend(run, options.epochs, options.max_steps)
        print(f"{run.id} is trained longer; the log says how its learning rate goes on", file=sys.stderr, flush=True)
    return runs.Run(run.path)


def _say(run: runs.Run, sentence: str) -> None:
    """Prints a sentence, if there is one, and keeps it in the run's log."""
    if sentence:
        print(sentence, flush=True)
        with contextlib.suppress(OSError), safe_read.open_to_append(run.log_path) as log:
            log.write(f"{sentence}\n".encode())


def _wait_for_options(run: runs.Run, options: Any) -> runs.Run:
    """The run once its main process has recorded these options, which it checks.

    Raises:
        ConfigError: if that has not happened after a while.
    """
    asked = _given(options, (*extend.OPTIONS, *other_devices.OPTIONS))
    deadline = time.monotonic() + OPTIONS_SECONDS
    while True:
        run = runs.Run(run.path)
        is_there = all(str(run.config.get(name)) == str(value) for name, value in asked.items())
        if options.dataset is not None:
            names = {options.dataset, str(user_path(options.dataset).resolve())}
            is_there &= run.config.get("dataset") in names
        if is_there:
            return run
        if time.monotonic() > deadline:
            raise ConfigError(f"{run.id} was not given its new options by its main process, whose log tells why.")
        time.sleep(0.2)


def dashboard(arguments: list[str]) -> NoReturn:
    """Serves the dashboard of the runs in this folder, in place of this process.

    Raises:
        ConfigError: if a part of it is not installed.
    """
    parser = command_parser("dashboard")
    parser.add_argument("--runs_dir", metavar="DIR", help="Folder of the runs. Default: $SIMCLR_RUNS_DIR, else ./runs.")
    others, further = split_flags(arguments, {"--runs_dir": True})
    if "--help" in further or "-h" in further:
        parser.print_help()
        raise SystemExit(FINISHED)
    if not APP.is_file():
        raise ConfigError(f"The dashboard is missing: {APP}; allowed: an installation with both packages.")
    if find_spec("streamlit") is None:
        raise ConfigError("The dashboard needs the package streamlit: pip install streamlit.")
    os.environ["SIMCLR_RUNS_DIR"] = str(folder_of_runs(others.get("--runs_dir")).absolute())
    # -P: a file or folder of this folder, such as one called dashboard, is not taken for a package
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(APP), *further]
    sys.stdout.flush()
    os.execv(sys.executable, command)
