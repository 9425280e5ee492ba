"""The commands `pretrain` and `finetune`: here, in the queue, or as a Slurm job; and `race`, which starts both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from simclr import config as cfg
from simclr import runs
from simclr.cli.parser import (
    FINISHED,
    add_runs_dir,
    command_parser,
    folder_of_runs,
    parse,
    parse_run_options,
    slurm_options,
)
from simclr.config import ConfigError
from simclr.experiments import race as experiment
from simclr.hardware import devices, ranks
from simclr.launch import queue


def _slurm_options(others: dict[str, str]) -> Any:
    """What to request from Slurm; None for a run that is not submitted to Slurm."""
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
    return slurm_options(values)


def pretrain(arguments: list[str]) -> int:
    return _train("pretrain", arguments)


def finetune(arguments: list[str]) -> int:
    return _train("finetune", arguments)


def _train(command: str, arguments: list[str]) -> int:
    """Trains here, or submits the run as `--backend` says; returns the exit status."""
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
    devices.hide_unused_gpus(config.accelerator)
    from simclr.lifecycle.train import train, train_worker  # torch and lightning take seconds

    if not is_main:
        return train_worker(config, runs_dir=runs_dir, run_dir=run_dir)
    command_line = ["python", "-m", "simclr", command, *arguments]
    recipe = recipe_of(others.get("--config"))
    return report_end(train(config, runs_dir=runs_dir, run_dir=run_dir, command=command_line, recipe=recipe))


def _submit(config: cfg.RunConfig, others: dict[str, str], options: Any) -> int:
    """Submits a run to the queue or to Slurm, and prints its folder."""
    backend = others["--backend"]
    if "--run_dir" in others:
        raise ConfigError(
            f"run_dir is set and backend is {backend}; allowed: runs_dir, or resume for a run that has begun."
        )
    meta: dict[str, Any] = {}
    if isinstance(config, cfg.FinetuneConfig) and config.experiment_version is not None:
        found = runs.find_experiment(config.experiment_version, folder_of_runs(others.get("--runs_dir")))
        meta |= {"experiment": found.id} if isinstance(found, runs.Run) else {}
    meta |= {"recipe": recipe} if (recipe := recipe_of(others.get("--config"))) else {}
    if backend == "slurm":
        from simclr.launch import slurm_submit

        run = slurm_submit.submit(config, folder_of_runs(others.get("--runs_dir")), options, **meta)
        state = f"Slurm job {run.status.job_id}"
    else:
        run = queue.submit(config, folder_of_runs(others.get("--runs_dir")), others.get("--device", "auto"), **meta)
        state = run.status.state
    print(f"{state}: python -m simclr runs shows how it goes", file=sys.stderr)
    print(run.path, flush=True)
    return FINISHED


def recipe_of(path: str | None) -> str | None:
    """Name of the shipped recipe that `--config` named, itself or a partner, by name or file; None for any other."""
    if path is None or cfg.config_path(path).resolve().parent != cfg.RECIPES_DIR.resolve():
        return None
    name = Path(path).stem.removesuffix("-finetune").removesuffix("-scratch")
    return name if name in cfg.recipe_names() else None


def report_end(run: runs.Run) -> int:
    """Prints the folder of a run that has ended; returns the exit status."""
    status = run.status
    print(run.path, flush=True)
    codes = {"finished": FINISHED, "stopped": runs.STOPPED_EXIT_CODE}
    if status.reason == "bad input":
        return runs.BAD_INPUT_EXIT_CODE
    return codes.get(status.state, 1)


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
