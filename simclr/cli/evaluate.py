"""The command `evaluate`."""

from __future__ import annotations

from simclr import runs
from simclr.cli.parser import add_run, add_runs_dir, command_parser, folder_of_runs, parse
from simclr.hardware import devices


def evaluate(arguments: list[str]) -> int:
    parser = command_parser("evaluate")
    add_run(parser)
    parser.add_argument(
        "--protocol", type=str, metavar="VALUE",
        help="knn, linear, classifier, or several separated by commas. Default: those that the run's training "
        "measures, knn,linear for a pre-training and classifier for others.",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="As JSON, for scripts.")
    add_runs_dir(parser)
    options = parse(parser, arguments)
    run = runs.find(options.RUN, folder_of_runs(options.runs_dir))
    names = None if options.protocol is None else [name.strip() for name in options.protocol.split(",")]
    devices.keep_to(run.config.get("accelerator"))
    from simclr.evaluation import protocols  # loads torch

    return protocols.main(run, names, as_json=options.json)
