"""From arguments to checked options.

Every value reaches the option models as the text that was written, and they alone decide what is allowed. So a value
means the same in a file, behind a flag and in the dashboard's forms.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from simclr import config as cfg
from simclr import runs
from simclr.cli.help_texts import EXAMPLES, SUMMARIES
from simclr.config import ConfigError

FINISHED = 0


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help texts are complete as the option models give them: nothing is added."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=110)


class ArgumentParser(argparse.ArgumentParser):
    """Raises ConfigError for bad input, in place of ending the program."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def command_parser(command: str) -> ArgumentParser:
    """A parser with the texts of a command, and no options yet."""
    return ArgumentParser(
        prog=f"python -m simclr {command}",
        description=SUMMARIES[command],
        epilog=EXAMPLES[command],
        formatter_class=_Help,
        allow_abbrev=False,
    )


def option_help(name: str, info: Any, default: Any) -> str:
    """Help of one option: description, what is allowed, default."""
    shown = "unset" if default is None else cfg.option_text(default) or "empty"
    return f"{info.description} Allowed: {cfg.allowed(info)}. Default: {shown}.".replace("%", "%%")


def _add_options(parser: ArgumentParser, model: type[cfg.Options]) -> None:
    groups = {name: parser.add_argument_group(name) for name in cfg.GROUPS}
    for name, info in cfg.option_names(model).items():
        group = groups[cfg.extra(info, "group")]
        group.add_argument(
            f"--{name}", type=str, metavar="VALUE", default=None, help=option_help(name, info, _default(model, name))
        )


WHERE = (
    "Allowed: local: here and now; queue: in the background, when its device is free; slurm: as a Slurm job. "
    "The last two return at once. Default: local."
)


def add_places(parser: ArgumentParser, where: str = WHERE) -> dict[str, bool]:
    """Adds where to train and what to request from Slurm; returns these flags, all of which take a value.

    Args:
        where: help of `--backend`.
    """
    from simclr.launch.slurm_options import SlurmOptions

    group = parser.add_argument_group("Where to train")
    group.add_argument("--backend", metavar="VALUE", help=where)
    group.add_argument(
        "--device",
        metavar="VALUE",
        help="In the queue: cpu, gpu:0, gpu:0,1, or auto for whatever is free first. Default: auto.",
    )
    for name, info in cfg.option_names(SlurmOptions).items():
        shown = option_help(name, info, _default(SlurmOptions, name)).replace("Default:", "Default: the last, or")
        group.add_argument(f"--slurm.{name}", type=str, metavar="VALUE", default=None, help=shown)
    return {"--backend": True, "--device": True} | {f"--slurm.{name}": True for name in SlurmOptions.model_fields}


def slurm_options(values: Mapping[str, str], kept: Any = None) -> Any:
    """The checked options of Slurm jobs.

    Args:
        values: that were given, by name.
        kept: what they stand on; None: what this user asked for last.

    Raises:
        ConfigError: with one sentence per problem.
    """
    from simclr.launch import slurm_options as slurm

    if kept is None:
        kept, damaged = slurm.load_options()
        if damaged:
            print(damaged, file=sys.stderr)
    return slurm.build_options(kept.model_dump() | dict(values))


def _default(model: type[cfg.Options], name: str) -> Any:
    section, _, inner = name.partition(".")
    default = model.model_fields[section].default
    return getattr(default, inner) if inner and default is not None else (None if inner else default)


def split_flags(arguments: list[str], known: dict[str, bool]) -> tuple[dict[str, str], list[str]]:
    """Takes the flags that are not options (`--config`, `--runs_dir` ...) out of the arguments.

    Args:
        known: flag to whether it takes a value.
    """
    found: dict[str, str] = {}
    rest: list[str] = []
    queue = list(arguments)
    while queue:
        argument = queue.pop(0)
        name, equals, value = argument.partition("=")
        if name not in known:
            rest.append(argument)
        elif not known[name]:
            found[name] = "true"
        elif equals:
            found[name] = value
        elif queue and not queue[0].startswith("--"):
            found[name] = queue.pop(0)
        else:
            raise ConfigError(f"{name} has no value; allowed: {name} VALUE.")
    return found, rest


def parse_run_options(command: str, arguments: list[str]) -> tuple[cfg.RunConfig, dict[str, str]]:
    """The checked options of `pretrain` or `finetune`, where a flag overrides the file, and the other flags.

    Raises:
        ConfigError: with one sentence per problem.
    """
    model = cfg.MODELS[command]
    parser = command_parser(command)
    parser.add_argument(
        "--config",
        metavar="NAME|FILE.yaml",
        help="Options of a recipe, by its name, or from a YAML file; flags win over them.",
    )
    parser.add_argument("--print_config", action="store_true", help="Show the resolved options and exit.")
    parser.add_argument(
        "--runs_dir", metavar="DIR", help="Where the run folder goes. Default: $SIMCLR_RUNS_DIR, else runs."
    )
    parser.add_argument("--run_dir", metavar="DIR", help="Use an existing run folder, as queue and resume do.")
    slurm_flags = add_places(parser)
    _add_options(parser, model)
    flags = {"--config": True, "--print_config": False, "--runs_dir": True, "--run_dir": True, **slurm_flags}
    others, rest = split_flags(arguments, flags)
    if "--help" in rest or "-h" in rest:
        parser.print_help()
        raise SystemExit(FINISHED)
    _check_flags(rest, model)
    values = cfg.load_yaml(cfg.config_path(others["--config"])) if "--config" in others else {}
    return cfg.build(model, cfg.overlaid(values, _values(rest))), others


def _values(arguments: list[str]) -> dict[str, Any]:
    """The texts behind checked flags, those of a section in a dictionary of their own; the last of several counts."""
    found: dict[str, Any] = {}
    queue = iter(arguments)
    for argument in queue:
        name, equals, text = argument[2:].partition("=")
        section, point, inner = name.partition(".")
        where = found.setdefault(section, {}) if point else found
        where[inner or section] = text if equals else next(queue)
    return found


def _check_flags(arguments: list[str], model: type[cfg.Options]) -> None:
    """Refuses an unknown flag, and names the nearest known one, before the parser does so less clearly."""
    names = cfg.option_names(model)
    expects_value: str | None = None
    for argument in arguments:
        if re.match(r"--[A-Za-z]", argument):
            if expects_value is not None:
                raise ConfigError(f"{expects_value} has no value; allowed: {cfg.allowed(names[expects_value])}.")
            name, equals, _ = argument[2:].partition("=")
            if name not in names:
                raise ConfigError(f"{name} is not an option{cfg.nearest_name(name, names) or '.'}")
            expects_value = None if equals else name
        elif expects_value is None:
            raise ConfigError(f"{argument} belongs to no option; allowed: options such as --epochs 100.")
        else:
            expects_value = None
    if expects_value is not None:
        raise ConfigError(f"{expects_value} has no value; allowed: {cfg.allowed(names[expects_value])}.")


def parse(parser: ArgumentParser, arguments: list[str]) -> Any:
    """The parsed arguments.

    Raises:
        ConfigError: with the parser's first line.
    """
    return parser.parse_args(arguments)


def folder_of_runs(named: str | None) -> Path:
    """The folder that `--runs_dir` named, else the default one."""
    return Path(named or runs.default_runs_dir())


def add_runs_dir(parser: ArgumentParser) -> None:
    parser.add_argument("--runs_dir", metavar="DIR", help="Folder of the runs. Default: $SIMCLR_RUNS_DIR, else runs.")


def add_run(parser: ArgumentParser) -> None:
    parser.add_argument("RUN", help="A run's id, a unique beginning of it, or its folder.")


def add_job_options(parser: ArgumentParser, texts: Mapping[str, str]) -> None:
    """Adds a job's options, given by name and help, and those that all jobs share."""
    common = {
        "runs_dir": "Folder of the runs. Default: $SIMCLR_RUNS_DIR, else runs.",
        "job_dir": "Folder whose status.json is to tell the progress, as the dashboard uses it.",
    }
    for name, text in {**texts, **common}.items():
        parser.add_argument(f"--{name}", type=str, metavar="DIR" if name.endswith("dir") else "VALUE", help=text)


def comma_words(name: str, text: str | None, allowed: Sequence[str]) -> list[str]:
    """The words of an option, separated by commas; all that are allowed if it is unset.

    Raises:
        ConfigError: for a word that is not allowed.
    """
    found = [word.strip() for word in (text or ",".join(allowed)).split(",") if word.strip()]
    for word in found:
        if word not in allowed:
            raise ConfigError(f"{name} is {word}; allowed: {', '.join(allowed)}.")
    return found
