"""The commands on runs that exist: `runs`, `stop` and `resume`."""

from __future__ import annotations

import json
import time

from simclr import runs
from simclr.cli.parser import FINISHED, add_run, add_runs_dir, command_parser, folder_of_runs, parse
from simclr.cli.training import report_end
from simclr.hardware import devices, ranks
from simclr.launch import control, queue, spawn


def list_runs(arguments: list[str]) -> int:
    """Prints the runs, newest first, as lines or as JSON."""
    from simclr.launch import slurm_runs

    parser = command_parser("runs")
    parser.add_argument("--json", action="store_true", help="As JSON, for scripts.")
    add_runs_dir(parser)
    options = parse(parser, arguments)
    folder = folder_of_runs(options.runs_dir)
    slurm_runs.refresh(folder)
    found = runs.list_runs(folder)
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
    if not found:
        print(f"There are no runs in {folder}. Start one: python -m simclr pretrain --config simclr/recipes/quick.yaml")
    for run in found:
        status = run.status
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created))
        version = version_of(run)
        number = f"version {version}" if version is not None else ""
        why = f"({status.reason})" if status.reason and status.reason != "on request" else ""
        print(f"{run.id:<56} {status.state:<9} {status.progress:>4.0%}  {when}  {number:<12} {why}".rstrip())
    return FINISHED


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
