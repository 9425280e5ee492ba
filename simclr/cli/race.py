"""The command `race`."""

from __future__ import annotations

import sys

from simclr import config as cfg
from simclr.cli.parser import FINISHED, add_runs_dir, command_parser, folder_of_runs, parse
from simclr.config import ConfigError
from simclr.experiments import race as experiment


def race(arguments: list[str]) -> int:
    """Starts SimCLR and the same network from scratch side by side, or has them wait; prints both folders.

    Raises:
        ConfigError: for bad input.
    """
    parser = command_parser("race")
    names = cfg.recipe_names()
    parser.add_argument("--recipe", default="quick", help=f"One of {', '.join(names)}. Default: quick.")
    parser.add_argument(
        "--label_fraction",
        default=str(experiment.LABEL_FRACTION),
        help=f"Share of the labels for the network from scratch. Default: {experiment.LABEL_FRACTION}.",
    )
    parser.add_argument("--dataset", help="A data set or a folder of images, in place of the recipe's.")
    parser.add_argument("--device", default="auto", help="cpu, gpu:0, or auto for whatever is free first.")
    add_runs_dir(parser)
    options = parse(parser, arguments)
    if options.recipe not in names:
        hint = cfg.nearest_name(options.recipe, names)
        raise ConfigError(f"recipe is {options.recipe}; allowed: {', '.join(names)}{hint or '.'}")
    found = experiment.start(
        options.recipe,
        folder_of_runs(options.runs_dir),
        options.device,
        label_fraction=options.label_fraction,
        changes={"dataset": options.dataset} if options.dataset else None,
    )
    print(f"{found.simclr.status.state}: the dashboard shows both on its page Race", file=sys.stderr)
    for run in found:
        print(run.path, flush=True)
    return FINISHED
