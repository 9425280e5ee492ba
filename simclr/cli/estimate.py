"""The command `estimate`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from simclr import runs
from simclr.cli.parser import command_parser, folder_of_runs, parse, parse_run_options, split_flags
from simclr.config import ConfigError, RunConfig
from simclr.files import writing
from simclr.launch import jobs
from simclr.lifecycle import estimate
from simclr.runs import StatusWriter


def estimate_run(arguments: list[str]) -> int:
    """Parses a run's options and the command's own, and estimates memory and time."""
    parser = command_parser("estimate")
    parser.add_argument("KIND", help="pretrain or finetune, followed by their options.")
    parser.add_argument("--device", metavar="VALUE", help="auto, cpu, gpu:0, gpu:0,1 and so on. Default: auto.")
    parser.add_argument("--json", action="store_true", help="As JSON, for scripts.")
    parser.add_argument("--job_dir", metavar="DIR", help="Folder for status.json and the answer, for the dashboard.")
    if not arguments:
        raise ConfigError("KIND is missing; allowed: pretrain or finetune, followed by their options.")
    if arguments[0] in ("-h", "--help"):
        parse(parser, arguments)
    kind = arguments[0]
    if kind not in ("pretrain", "finetune"):
        raise ConfigError(f"KIND is {kind}; allowed: pretrain or finetune.")
    mine, rest = split_flags(arguments[1:], {"--device": True, "--json": False, "--job_dir": True})
    config, others = parse_run_options(kind, rest)
    return _print_estimate(
        config,
        folder_of_runs(others.get("--runs_dir")),
        device=mine.get("--device", "auto"),
        as_json="--json" in mine,
        job=Path(mine["--job_dir"]) if "--job_dir" in mine else None,
    )


def _print_estimate(config: RunConfig, runs_dir: Path, *, device: str, as_json: bool, job: Path | None) -> int:
    """Prints what a run will take; returns 0, 1 if it does not fit or could not be measured, or 75 if stopped.

    Raises:
        ConfigError: for bad input; with `job` its `status.json` says so too.
    """
    if job is not None and not job.is_dir():
        raise ConfigError(f"job_dir is {job}; allowed: an existing folder.")
    # there before a stop can be asked for, so that one within its first lines is written down too
    writer = StatusWriter(job, interval=0.5) if job is not None else None

    def report(what: str, share: float) -> None:
        if writer is not None:
            writer.set(phase=what, step=round(100 * share), steps=100)
        elif sys.stderr.isatty():
            print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)

    final_status: dict[str, Any] = {"state": "failed", "exit_code": 1}
    try:
        with jobs.stop_on_signals():  # before the status says that there is a process to stop
            if writer is not None:
                writer.start(phase="loading libraries", steps=100)
            found = estimate.estimate_run(config, runs_dir, device=device, report=report)
        if job is not None:
            writing.write_atomically(job / estimate.ESTIMATE, json.dumps(asdict(found), indent=1))
        final_status = {"state": "finished", "step": 100, "exit_code": 0}
        if sys.stderr.isatty() and writer is None:
            print("\r\033[K", end="", file=sys.stderr)
        print(json.dumps(asdict(found), indent=1) if as_json else "\n".join(found.sentences()), flush=True)
        return 0 if found.fits or job is not None else 1
    except jobs.Stopped:
        final_status = {"state": "stopped", "reason": "on request", "exit_code": runs.STOPPED_EXIT_CODE}
        return runs.STOPPED_EXIT_CODE
    except ConfigError as error:
        final_status |= {"reason": "bad input", "error": str(error), "exit_code": runs.BAD_INPUT_EXIT_CODE}
        raise
    except estimate.CannotMeasure as error:
        final_status |= {"reason": "error", "error": str(error)}
        print(error, file=sys.stderr)
        return 1
    finally:
        if writer is not None:
            writer.close(phase="", **final_status)
