"""The command line: subcommands, messages and exit codes; no logic of its own.

jsonargparse reads flags and YAML; every value reaches the option models as the text that was written, and those
alone decide what is allowed. So a value means the same in a file, behind a flag and in the dashboard's forms.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, set_loader

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.hardware import devices, ranks
from simclr.launch import control

FINISHED = 0

DESCRIPTION = """SimCLR: contrastive pre-training, fine-tuning and comparison of image encoders.

commands:
  pretrain   train an encoder without labels
  finetune   train a classifier on a pre-trained encoder, or the same network from scratch
  estimate   will it fit, and how long will it take: a few real steps of a run that is not started
  evaluate   repeat a run's test figures from its weights and compare
  embed      features of a split, and maps of them (PCA, UMAP, t-SNE)
  film       maps of how a training moved the images, epoch by epoch
  lab        what encoders have learned to ignore: by operation and strength, and factor by factor
  bench      what things cost, as ratios measured side by side
  runs       list the runs
  stop       stop a run; its last checkpoint is kept
  resume     go on with a run that was stopped or failed

python -m simclr COMMAND --help says more. Exit status: 0 finished, 2 bad input, 75 stopped on request, else failed."""

EXAMPLES = {
    "pretrain": """examples:
  python -m simclr pretrain --config simclr/recipes/quick.yaml
  python -m simclr pretrain --config simclr/recipes/quick.yaml --epochs 5 --augmentation.hue 0.2
  python -m simclr pretrain --config simclr/recipes/cifar10.yaml --dataset FOLDER --print_config
  python -m simclr pretrain --config simclr/recipes/quick.yaml --backend queue
  python -m simclr pretrain --config simclr/recipes/cifar10.yaml --backend slurm --slurm.time_minutes 240""",
    "finetune": """examples:
  python -m simclr finetune --config simclr/recipes/quick-finetune.yaml --experiment_version 0
  python -m simclr finetune --experiment_version RUN --freeze_encoder true --label_fraction 0.01
  python -m simclr finetune --config simclr/recipes/quick-scratch.yaml --experiment_version RUN""",
    "estimate": """examples:
  python -m simclr estimate pretrain --config simclr/recipes/cifar10.yaml --batch_size 1024
  python -m simclr estimate finetune --config simclr/recipes/quick-finetune.yaml --experiment_version 0 --json""",
    "evaluate": """examples:
  python -m simclr evaluate RUN
  python -m simclr evaluate RUN --protocol knn,linear,classifier --json""",
    "embed": """examples:
  python -m simclr embed RUN
  python -m simclr embed RUN OTHER_RUN --num_images 2000 --method umap
  python -m simclr embed RUN@epoch-10 RUN@best RUN@z --method pca,umap --dims 3""",
    "film": """examples:
  python -m simclr film RUN
  python -m simclr film RUN OTHER_RUN --method pca""",
    "lab": """examples:
  python -m simclr lab RUN
  python -m simclr lab RUN OTHER_RUN untrained:RUN --what factors
  python -m simclr lab RUN@epoch-10 RUN --what profile""",
    "bench": """examples:
  python -m simclr bench
  python -m simclr bench --only augmentation,loss --against lightly
  python -m simclr bench --plot costs.html --json costs.json""",
    "runs": """examples:
  python -m simclr runs
  python -m simclr runs --json""",
    "stop": """example:
  python -m simclr stop 20261122-1422""",
    "resume": """example:
  python -m simclr resume 20261122-1422""",
}


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help texts come complete from the option models: nothing is added to them."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=110)


def _text_loader(text: str) -> Any:
    return yaml.load(text, Loader=yaml.BaseLoader)


# Flags are read by the same rule as files: as text, or a list or section of texts.
set_loader("simclr_text", _text_loader, exceptions=(yaml.YAMLError,))


def _parser(command: str) -> ArgumentParser:
    return ArgumentParser(
        prog=f"python -m simclr {command}", description=SUMMARIES[command], epilog=EXAMPLES[command],
        formatter_class=_Help, parser_mode="simclr_text", exit_on_error=False, allow_abbrev=False, default_env=False,
    )  # fmt: skip


def option_help(name: str, info: Any, default: Any) -> str:
    """Help of one option: what it is, what is allowed, the default."""
    shown = "unset" if default is None else cfg.option_text(default) or "empty"
    return f"{info.description} Allowed: {cfg.allowed(info)}. Default: {shown}.".replace("%", "%%")


def _add_options(parser: ArgumentParser, model: type[cfg.Options]) -> None:
    groups = {name: parser.add_argument_group(name) for name in cfg.GROUPS}
    for name, info in cfg.option_names(model).items():
        group = groups[cfg.extra(info, "group")]
        group.add_argument(
            f"--{name}", type=str, metavar="VALUE", default=None, help=option_help(name, info, _default(model, name))
        )


def _add_slurm_options(parser: ArgumentParser) -> dict[str, bool]:
    """Adds the choice of where to train and what to ask there; returns these flags, all of which take a value."""
    from simclr.launch import slurm

    group = parser.add_argument_group("Where to train")
    group.add_argument(
        "--backend", metavar="VALUE",
        help="Allowed: local: here and now; queue: in the background, when its device is free; slurm: as a Slurm job. "
        "The last two return at once. Default: local.",
    )  # fmt: skip
    group.add_argument(
        "--device", metavar="VALUE",
        help="In the queue: cpu, gpu:0, gpu:0,1, or auto for whatever is free first. Default: auto.",
    )  # fmt: skip
    for name, info in cfg.option_names(slurm.SlurmOptions).items():
        shown = option_help(name, info, _default(slurm.SlurmOptions, name)).replace("Default:", "Default: the last, or")
        group.add_argument(f"--slurm.{name}", type=str, metavar="VALUE", default=None, help=shown)
    return {"--backend": True, "--device": True} | {f"--slurm.{name}": True for name in slurm.SlurmOptions.model_fields}


def _slurm_options(others: dict[str, str]) -> Any:
    """What to ask of Slurm; None where the run is to be trained here."""
    from simclr.launch import slurm

    values = {name.removeprefix("--slurm."): value for name, value in others.items() if name.startswith("--slurm.")}
    backend = others.get("--backend", "local")
    if backend not in ("local", "queue", "slurm"):
        raise ConfigError(f"backend is {backend}; allowed: local, queue or slurm.")
    if "--device" in others and backend != "queue":
        raise ConfigError(f"device is set and backend is {backend}; allowed: backend queue.")
    if backend != "slurm":
        if values:
            raise ConfigError(f"slurm.{next(iter(values))} is set and backend is {backend}; allowed: backend slurm.")
        return None
    kept, damaged = slurm.load_options()
    if damaged:
        print(damaged, file=sys.stderr)
    return slurm.build_options(kept.model_dump() | values)


def _default(model: type[cfg.Options], name: str) -> Any:
    section, _, inner = name.partition(".")
    default = model.model_fields[section].default
    return getattr(default, inner) if inner and default is not None else (None if inner else default)


def _split_flags(arguments: list[str], known: dict[str, bool]) -> tuple[dict[str, str], list[str]]:
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
    """The checked options of `pretrain` or `finetune`, flags winning over the file, and the other flags.

    Raises:
        ConfigError: with one sentence per problem.
    """
    model = cfg.MODELS[command]
    parser = _parser(command)
    parser.add_argument("--config", metavar="FILE.yaml", help="Options from a YAML file; flags win over it.")
    parser.add_argument("--print_config", action="store_true", help="Show the resolved options and exit.")
    parser.add_argument(
        "--runs_dir", metavar="DIR", help="Where the run folder goes. Default: $SIMCLR_RUNS_DIR, else runs."
    )
    parser.add_argument("--run_dir", metavar="DIR", help="Use an existing run folder, as queue and resume do.")
    slurm_flags = _add_slurm_options(parser)
    _add_options(parser, model)
    flags = {"--config": True, "--print_config": False, "--runs_dir": True, "--run_dir": True, **slurm_flags}
    others, rest = _split_flags(arguments, flags)
    if "--help" in rest or "-h" in rest:
        parser.print_help()
        raise SystemExit(FINISHED)
    _check_flags(rest, model)
    values = cfg.load_yaml(others["--config"]) if "--config" in others else {}
    pairs = iter(rest)  # joined, since a value such as -1e-3 would pass for a flag when it stands alone
    rest = [argument if "=" in argument else f"{argument}={next(pairs)}" for argument in pairs]
    try:
        parsed = parser.parse_args(rest, defaults=False).as_dict()
    except (argparse.ArgumentError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise ConfigError(f"{_first_line(error)}") from None
    return cfg.build(model, _merge(values, parsed)), others


def _merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in top.items():
        old = merged.get(name)
        merged[name] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _check_flags(arguments: list[str], model: type[cfg.Options]) -> None:
    """Names an unknown flag, with the nearest known one, before the parser does it less plainly."""
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


def _runs_dir(others: dict[str, Any]) -> Path:
    return Path(others.get("--runs_dir") or runs.default_runs_dir())


def _train(command: str, arguments: list[str]) -> int:
    config, others = parse_run_options(command, arguments)
    options = _slurm_options(others)
    if "--print_config" in others:
        print(cfg.to_yaml(config.resolved()), end="")
        return FINISHED
    if others.get("--backend", "local") != "local":
        return _submit(config, others, options)
    run_dir = Path(others["--run_dir"]) if "--run_dir" in others else None
    is_main = ranks.place(config).is_main
    if run_dir is not None and not run_dir.is_dir():
        raise ConfigError(f"run_dir is {run_dir}; allowed: an existing run folder.")
    if run_dir is not None and is_main:
        runs.begin_here(run_dir)
    runs_dir = Path(others["--runs_dir"]) if "--runs_dir" in others else None
    if runs_dir is None:
        runs_dir = run_dir.resolve().parent if run_dir is not None else runs.default_runs_dir()
    devices.keep_to(config.accelerator)
    from simclr.lifecycle.train import (
        follow,  # torch and lightning take seconds: only where something is trained
        train,
    )

    if not is_main:
        return follow(config, runs_dir=runs_dir, run_dir=run_dir)
    recipe = recipe_of(others.get("--config"))
    return _ended(
        train(
            config,
            runs_dir=runs_dir,
            run_dir=run_dir,
            command=["python", "-m", "simclr", command, *arguments],
            recipe=recipe,
        )
    )


def _submit(config: cfg.RunConfig, others: dict[str, str], options: Any) -> int:
    """Hands a run to the queue, or to Slurm where there are options for it, and prints its folder."""
    backend = others["--backend"]
    if "--run_dir" in others:
        raise ConfigError(
            f"run_dir is set and backend is {backend}; allowed: runs_dir, or resume for a run that has begun."
        )
    meta: dict[str, Any] = {}
    if isinstance(config, cfg.FinetuneConfig) and config.experiment_version is not None:
        found = runs.find_experiment(config.experiment_version, _runs_dir(others))
        meta |= {"experiment": found.id} if isinstance(found, runs.Run) else {}
    meta |= {"recipe": recipe} if (recipe := recipe_of(others.get("--config"))) else {}
    if backend == "slurm":
        from simclr.launch import queue as run_queue
        from simclr.launch import slurm

        run = slurm.submit(config, _runs_dir(others), options, **meta)
        state = f"Slurm job {run.status.job_id}"
    else:
        from simclr.launch import queue as run_queue
        from simclr.launch import slurm

        run = run_queue.submit(config, _runs_dir(others), others.get("--device", "auto"), **meta)
        state = run.status.state
    print(f"{state}: python -m simclr runs shows how it goes", file=sys.stderr)
    print(run.path, flush=True)
    return FINISHED


def recipe_of(path: str | None) -> str | None:
    """The shipped recipe whose file, or partner's file, `--config` named; None for any other file."""
    if path is None or Path(path).resolve().parent != cfg.RECIPES_DIR.resolve():
        return None
    name = Path(path).stem.removesuffix("-finetune").removesuffix("-scratch")
    return name if name in cfg.recipe_names() else None


def _ended(run: runs.Run) -> int:
    status = run.status
    print(run.path, flush=True)
    codes = {"finished": FINISHED, "stopped": runs.STOPPED_EXIT_CODE}
    if status.reason == "bad input":
        return runs.BAD_INPUT_EXIT_CODE
    return codes.get(status.state, 1)


def _resume(arguments: list[str]) -> int:
    options = _simple("resume", arguments)
    run = runs.find(options.RUN, _folder(options))
    config = runs.load_config(run)
    if not run.is_example and not runs.is_own(run.path) and ranks.place(config).is_main:
        from simclr.launch import queue as run_queue
        from simclr.launch import slurm, spawn

        if not options.foreign:
            spawn.check_own(run)
        if run.status.state == "queued":
            run_queue.allow(run)
            print(run.path, flush=True)
            return FINISHED
        spawn.check_resumable(run)
        spawn.allow(run)
    if runs.read_status(run.path).backend == "slurm":
        from simclr.launch import queue as run_queue
        from simclr.launch import slurm, spawn

        slurm.refresh(run.path.parent)
        slurm.resubmit(run)
        print(run.path, flush=True)
        return FINISHED
    is_main = ranks.place(config).is_main
    if is_main:
        from simclr.launch import queue as run_queue
        from simclr.launch import slurm, spawn

        if runs.has_supervisor(run.path):  # the launcher has looked already
            runs.begin_here(run.path)
        else:
            spawn.claim(run)
    devices.keep_to(config.accelerator)
    from simclr.lifecycle.train import follow, train

    if not is_main:
        return follow(config, runs_dir=run.path.parent, run_dir=run.path, resume=True)
    return _ended(train(config, runs_dir=run.path.parent, run_dir=run.path, resume=True))


def _stop(arguments: list[str]) -> int:

    options = _simple("stop", arguments)
    run = runs.find(options.RUN, _folder(options))
    status = control.stop(run.path)
    print(f"{run.id} is {status.state}{f' ({status.reason})' if status.reason else ''}")
    return FINISHED if not status.is_active else 1


def _list(arguments: list[str]) -> int:
    from simclr.launch import slurm

    options = _simple("runs", arguments)
    slurm.refresh(_folder(options))
    found = runs.list_runs(_folder(options))
    if options.json:
        rows = [{"id": run.id, "kind": run.kind, "state": run.status.state, "name": run.name,
                 "version": version_of(run), "folder": str(run.path)} for run in found]  # fmt: skip
        print(json.dumps(rows, indent=1))
        return FINISHED
    if not found:
        print(
            f"There are no runs in {_folder(options)}. Start one: "
            "python -m simclr pretrain --config simclr/recipes/quick.yaml"
        )
    for run in found:
        status = run.status
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created))
        version = version_of(run)
        number = f"version {version}" if version is not None else ""
        why = f"({status.reason})" if status.reason and status.reason != "on request" else ""
        print(f"{run.id:<56} {status.state:<9} {status.progress:>4.0%}  {when}  {number:<12} {why}".rstrip())
    return FINISHED


def version_of(run: runs.Run) -> int | None:
    version = run.brief.get("version")
    return version if type(version) is int else None


def _embed(arguments: list[str]) -> int:
    from simclr.embeddings import embed

    parser = _parser("embed")
    embed.add_arguments(parser)
    return embed.main(_parse(parser, arguments))


def _film(arguments: list[str]) -> int:
    from simclr.embeddings import film

    parser = _parser("film")
    film.add_arguments(parser)
    return film.main(_parse(parser, arguments))


def _lab(arguments: list[str]) -> int:
    from simclr.analysis import similarity

    parser = _parser("lab")
    similarity.add_arguments(parser)
    return similarity.main(_parse(parser, arguments))


def _bench(arguments: list[str]) -> int:
    from simclr.cli import bench

    parser = _parser("bench")
    bench.add_arguments(parser)
    return bench.main(_parse(parser, arguments))


def _estimate(arguments: list[str]) -> int:
    parser = _parser("estimate")
    parser.add_argument("KIND", help="pretrain or finetune, followed by their options.")
    parser.add_argument("--device", metavar="VALUE", help="auto, cpu, gpu:0, gpu:0,1 and so on. Default: auto.")
    parser.add_argument("--json", action="store_true", help="As JSON, for scripts.")
    parser.add_argument("--job_dir", metavar="DIR", help="Folder for status.json and the answer, for the dashboard.")
    if not arguments or arguments[0] in ("-h", "--help"):
        _parse(parser, arguments or ["--help"])
    kind = arguments[0]
    if kind not in ("pretrain", "finetune"):
        raise ConfigError(f"KIND is {kind}; allowed: pretrain or finetune.")
    mine, rest = _split_flags(arguments[1:], {"--device": True, "--json": False, "--job_dir": True})
    config, others = parse_run_options(kind, rest)
    from simclr.lifecycle import estimate

    return estimate.main(
        config,
        _runs_dir(others),
        device=mine.get("--device", "auto"),
        as_json="--json" in mine,
        job=Path(mine["--job_dir"]) if "--job_dir" in mine else None,
    )


def _evaluate(arguments: list[str]) -> int:
    parser = _parser("evaluate")
    parser.add_argument("RUN", help="A run's id, a unique beginning of it, or its folder.")
    parser.add_argument(
        "--protocol", type=str, metavar="VALUE",
        help="knn, linear, classifier, or several separated by commas. Default: those that the run's training "
        "measures, knn,linear for a pre-training and classifier for others.",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="As JSON, for scripts.")
    parser.add_argument("--runs_dir", metavar="DIR", help="Folder of the runs. Default: $SIMCLR_RUNS_DIR, else runs.")
    options = _parse(parser, arguments)
    run = runs.find(options.RUN, _folder(options))
    names = None if options.protocol is None else [name.strip() for name in options.protocol.split(",")]
    devices.keep_to(run.config.get("accelerator"))
    from simclr.evaluation import protocols  # loads torch

    return protocols.main(run, names, as_json=options.json)


def _simple(command: str, arguments: list[str]) -> Any:
    parser = _parser(command)
    if command in ("stop", "resume"):
        parser.add_argument("RUN", help="A run's id, a unique beginning of it, or its folder.")
    if command == "resume":
        parser.add_argument(
            "--foreign", action="store_true",
            help="Also a run that was not started here, such as a copied folder; with your own Slurm options.",
        )  # fmt: skip
    if command == "runs":
        parser.add_argument("--json", action="store_true", help="As JSON, for scripts.")
    parser.add_argument("--runs_dir", metavar="DIR", help="Folder of the runs. Default: $SIMCLR_RUNS_DIR, else runs.")
    return _parse(parser, arguments)


def _parse(parser: ArgumentParser, arguments: list[str]) -> Any:
    try:
        return parser.parse_args(arguments)
    except argparse.ArgumentError as error:
        raise ConfigError(_first_line(error)) from None


def _folder(options: Any) -> Path:
    return Path(options.runs_dir) if options.runs_dir else runs.default_runs_dir()


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "pretrain": lambda arguments: _train("pretrain", arguments),
    "finetune": lambda arguments: _train("finetune", arguments),
    "estimate": _estimate,
    "evaluate": _evaluate,
    "embed": _embed,
    "film": _film,
    "lab": _lab,
    "bench": _bench,
    "runs": _list,
    "stop": _stop,
    "resume": _resume,
}
SUMMARIES = {
    "pretrain": "Trains an encoder without labels (SimCLR, Chen et al. 2020).",
    "finetune": "Trains a classifier on a pre-trained encoder, frozen or free, or the same network from scratch.",
    "estimate": "Says whether a run fits into memory and how long it takes, by a few real steps; status 1: no fit.",
    "evaluate": "Measures a finished run on the test images, from its weights alone, and compares with what is stored.",
    "embed": "Computes features of a split, and maps of them, for one run or several on the same images.",
    "film": "Draws the maps of a run's training film, one for each epoch kept, so that they belong together.",
    "lab": "Measures what encoders have learned to ignore: similarity after each operation, factors of shapes.",
    "bench": "Measures augmentation, loss, training step, memory, probe and reading, side by side with others.",
    "runs": "Lists the runs, newest first.",
    "stop": "Stops a run: it saves a checkpoint and ends; after 60 s it is killed.",
    "resume": "Goes on with a run from its last checkpoint, in the same folder; without one it begins anew there.",
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
