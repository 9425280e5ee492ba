"""The command line: the commands, and how their errors become messages and exit codes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from simclr import runs
from simclr.cli.bench import bench
from simclr.cli.embed import embed
from simclr.cli.estimate import estimate
from simclr.cli.evaluate import evaluate
from simclr.cli.film import film
from simclr.cli.help_texts import DESCRIPTION
from simclr.cli.lab import lab
from simclr.cli.parser import FINISHED
from simclr.cli.runs import list_runs, resume, stop
from simclr.cli.training import pretrain_or_finetune
from simclr.config import ConfigError

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "pretrain": lambda arguments: pretrain_or_finetune("pretrain", arguments),
    "finetune": lambda arguments: pretrain_or_finetune("finetune", arguments),
    "estimate": estimate,
    "evaluate": evaluate,
    "embed": embed,
    "film": film,
    "lab": lab,
    "bench": bench,
    "runs": list_runs,
    "stop": stop,
    "resume": resume,
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(DESCRIPTION)
        return FINISHED if arguments else runs.BAD_INPUT_EXIT_CODE
    command = arguments.pop(0)
    try:
        if command not in COMMANDS:
            raise ConfigError(f"{command} is not a command; allowed: {', '.join(COMMANDS)}.")
        return COMMANDS[command](arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return runs.BAD_INPUT_EXIT_CODE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return FINISHED
