"""The command `estimate`."""

from __future__ import annotations

from pathlib import Path

from simclr.cli.parser import command_parser, folder_of_runs, parse, parse_run_options, split_flags
from simclr.config import ConfigError


def estimate(arguments: list[str]) -> int:
    parser = command_parser("estimate")
    parser.add_argument("KIND", help="pretrain or finetune, followed by their options.")
    parser.add_argument("--device", metavar="VALUE", help="auto, cpu, gpu:0, gpu:0,1 and so on. Default: auto.")
    parser.add_argument("--json", action="store_true", help="As JSON, for scripts.")
    parser.add_argument("--job_dir", metavar="DIR", help="Folder for status.json and the answer, for the dashboard.")
    if not arguments or arguments[0] in ("-h", "--help"):
        parse(parser, arguments or ["--help"])
    kind = arguments[0]
    if kind not in ("pretrain", "finetune"):
        raise ConfigError(f"KIND is {kind}; allowed: pretrain or finetune.")
    mine, rest = split_flags(arguments[1:], {"--device": True, "--json": False, "--job_dir": True})
    config, others = parse_run_options(kind, rest)
    from simclr.lifecycle import estimate

    return estimate.main(
        config,
        folder_of_runs(others.get("--runs_dir")),
        device=mine.get("--device", "auto"),
        as_json="--json" in mine,
        job=Path(mine["--job_dir"]) if "--job_dir" in mine else None,
    )
