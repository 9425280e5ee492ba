"""The command line: the commands, and how their errors become messages and exit codes."""

from __future__ import annotations

import errno
import signal
import sys
from importlib import import_module

from simclr import runs
from simclr.cli.help_texts import DESCRIPTION
from simclr.config import ConfigError
from simclr.files import names
from simclr.hardware import threads

# What a folder or disk does not allow: nothing that the code could know better.
OF_A_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}

# Module and function, imported when called: a command needs libraries that others do not.
COMMANDS = {
    "pretrain": ("training", "pretrain"),
    "finetune": ("training", "finetune"),
    "race": ("training", "race"),
    "sweep": ("sweep", "sweep"),
    "estimate": ("estimate", "estimate_run"),
    "evaluate": ("encoders.evaluate", "evaluate"),
    "transfer": ("encoders.transfer", "transfer"),
    "shift": ("encoders.shift", "shift"),
    "corrupt": ("encoders.shift", "write_corrupted"),
    "embed": ("encoders.embed", "embed"),
    "add-embeddings": ("encoders.added", "add_embeddings"),
    "embeddings": ("encoders.added", "embeddings"),
    "predict": ("encoders.own_images", "predict"),
    "neighbors": ("encoders.own_images", "neighbors"),
    "film": ("encoders.maps", "film"),
    "disagree": ("encoders.maps", "disagree"),
    "pictures": ("encoders.embed", "pictures"),
    "leaks": ("encoders.leaks", "leaks"),
    "export": ("encoders.export", "export"),
    "lab": ("encoders.lab", "lab"),
    "bench": ("bench", "bench"),
    "results": ("results", "show_results"),
    "report": ("results", "make_report"),
    "dashboard": ("runs", "dashboard"),
    "runs": ("runs", "list_runs"),
    "stop": ("runs", "stop"),
    "resume": ("runs", "resume"),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    names.use_for_output()
    threads.wait_briefly()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(DESCRIPTION)
        return 0 if arguments else runs.BAD_INPUT_EXIT_CODE
    command = arguments.pop(0)
    try:
        if command not in COMMANDS:
            raise ConfigError(f"{command} is not a command; allowed: {', '.join(COMMANDS)}.")
        module, function = COMMANDS[command]
        exit_code: int = getattr(import_module(f"simclr.cli.{module}"), function)(arguments)
        return exit_code
    except ConfigError as error:
        print(error, file=sys.stderr)
        return runs.BAD_INPUT_EXIT_CODE
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno not in OF_A_PLACE:
            raise
        place = f"{error.filename}: " if error.filename is not None else ""
        print(f"{place}{error.strerror}.", file=sys.stderr)
        return runs.BAD_INPUT_EXIT_CODE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
