"""pretrain, finetune, resume and evaluate: what the commands of these names do, called from Python."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from pydantic import BaseModel
from torch import nn

from simclr import PACKAGE, runs
from simclr import config as cfg
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig, RunConfig
from simclr.data import identity
from simclr.evaluation import kept
from simclr.evaluation import protocols as judging
from simclr.launch import queue, spawn
from simclr.library import own_data
from simclr.library.run import Run, folder_of
from simclr.lifecycle.train import train
from simclr.models import own_networks

Folder = str | os.PathLike[str]


def pretrain(
    dataset: Any = "shapes",
    backbone: str | nn.Module | None = None,
    *,
    recipe: str | None = None,
    runs_dir: Folder | None = None,
    callbacks: Sequence[L.Callback] = (),
    **options: Any,
) -> Run:
    """Trains an encoder without labels here and now, and returns its run, as `simclr pretrain` does.

    Ctrl-C stops it with its state saved; the run that is returned is `stopped` then, and `resume` goes on.

    Args:
        dataset: a name of `simclr.config.DATASETS`, a folder of images, a map-style Dataset of torch, or a mapping of
            `train` and, where there are some, `val` and `test` to such Datasets. Their items are an image (PIL, uint8
            array or tensor, or a float tensor in 0..1) or an image and its class. The images are written once as files
            to the data folder (`data_dir`), where resume, evaluations and the dashboard find them: give Datasets
            without random transforms.
        backbone: a name of `simclr.config.BACKBONES`, or a module that turns images (N, 3, S, S) into features (N, D).
            A copy of it is trained, from the weights that it has. The run keeps these weights and the module's name,
            not its code: whatever goes on with the run needs such a module again, in Python.
        recipe: the shipped recipe that the options begin with.
        runs_dir: where the run folder is made; None: `$SIMCLR_RUNS_DIR`, else `runs` in the current folder.
        callbacks: Lightning callbacks of your own.
        options: of `simclr.PretrainConfig`, as on the command line: `epochs=20, batch_size=256, temperature=0.2`.

    Raises:
        ConfigError: for bad input, one sentence a problem; no run folder is left behind.
        RuntimeError: if the training fails; the message names the run, whose log tells more.
    """
    values = _recipe(recipe, "pretrain")
    about: dict[str, Any] = {}
    options["dataset"] = _dataset(dataset, options.get("data_dir"), about)
    if backbone is not None:
        options["backbone"] = _backbone(backbone, about)
    config = cfg.build(PretrainConfig, _merged(values, options))
    return _train(config, runs_dir, recipe, about, callbacks)


def finetune(
    run: Any,
    dataset: Any = None,
    *,
    backbone: nn.Module | None = None,
    recipe: str | None = None,
    runs_dir: Folder | None = None,
    callbacks: Sequence[L.Callback] = (),
    **options: Any,
) -> Run:
    """Trains a classifier on a pre-trained encoder here and now, and returns its run, as `simclr finetune` does.

    Args:
        run: the pre-training, its folder or id, or a file of weights.
        dataset: as of `pretrain`, with classes; None: the run's own.
        backbone: a module like the one that was pre-trained, where that was one of your own.
        recipe: the shipped recipe whose partner the options begin with.
        runs_dir: where the new run folder is made; None: beside the pre-training where a run or its folder is given.
        callbacks: as of `pretrain`.
        options: of `simclr.FinetuneConfig`: `label_fraction=0.01`, `freeze_encoder=True`, and for a network from
            scratch `random_weight_init=True`.

    Raises:
        ConfigError, RuntimeError: as of `pretrain`.
    """
    is_scratch = str(options.get("random_weight_init", False)).lower() in ("true", "1", "yes", "on")
    values = _recipe(recipe, "scratch" if is_scratch else "finetune")
    about: dict[str, Any] = {}
    if dataset is not None:
        options["dataset"] = _dataset(dataset, options.get("data_dir"), about)
    if backbone is not None:
        options["backbone"] = _backbone(backbone, about)
    reference = str(getattr(run, "path", run))
    if runs_dir is None and runs.is_run_folder(Path(reference)):
        folder = runs.Run(Path(reference).resolve())
        runs_dir = None if folder.is_example else folder.path.parent
    options["experiment_version"] = os.path.expanduser(reference)
    config = cfg.build(FinetuneConfig, _merged(values, options))
    return _train(config, runs_dir, recipe, about, callbacks)


def resume(run: Any, *, backbone: nn.Module | None = None, runs_dir: Folder | None = None) -> Run:
    """Goes on with a run that was stopped or failed, from its last checkpoint, as `simclr resume` does.

    Args:
        run: a run, its folder or its id.
        backbone: a module like the one that is trained, where that is one of your own.
        runs_dir: where ids are looked up.

    Raises:
        ConfigError: if it is active or finished, was not started here, or needs a module that is not given.
        RuntimeError: as of `pretrain`.
    """
    folder = folder_of(run, runs_dir)
    if backbone is not None:
        own_networks.remember(backbone)
    config = runs.load_config(folder)
    assert config.backbone is not None
    own_networks.check_known(config.backbone)
    if config.devices * config.num_nodes > 1:
        return _in_processes(["resume", str(folder.path)], config)
    spawn.claim_resume(folder)
    found = train(config, runs_dir=folder.path.parent, run_dir=folder.path, resume=True)
    queue.ensure_scheduler(folder.path.parent)  # for runs that have waited for the end of this one
    return _ended(found)


def evaluate(
    run: Any,
    dataset: Folder | None = None,
    *,
    protocols: Sequence[str] | None = None,
    backbone: nn.Module | None = None,
    runs_dir: Folder | None = None,
) -> dict[str, Any]:
    """Figures of a finished run on test images, as `simclr evaluate` measures and keeps them.

    Args:
        run: a run, its folder or its id.
        dataset: the run's own images where they lie now, or another data set or folder, whose figures are kept apart.
        protocols: of `knn linear fewshot classifier`; None: knn and linear for a pre-training, else classifier.
        backbone: a module like the one that was trained, where that was one of your own.
        runs_dir: where ids are looked up.

    Returns:
        Figures 0..1 under the keys of `evaluation.json`: `test/knn_top1`, `test/linear_top1`, `per_class` and others.

    Raises:
        ConfigError: with one sentence, if it is not finished or has no labelled test images.
    """
    folder = folder_of(run, runs_dir)
    if backbone is not None:
        own_networks.remember(backbone)
    place = None if dataset is None else identity.find_place([folder], os.fspath(dataset))
    names = [protocols] if isinstance(protocols, str) else protocols
    found = judging.evaluate_run(folder, names, place=place)
    kept.keep(folder, found, f"simclr.evaluate({folder.id!r})")
    return found


def _recipe(name: str | None, kind: str) -> dict[str, Any]:
    if name is None:
        return {}
    if name not in cfg.recipe_names():
        hint = cfg.nearest_name(name, cfg.recipe_names())
        raise ConfigError(f"recipe is {name}; allowed: {', '.join(cfg.recipe_names())}{hint or '.'}")
    return cfg.recipe(name, kind)


def _merged(values: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's values with the given ones over them, section by section."""
    merged = dict(values)
    plain = {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in options.items()}
    for name, value in cfg.nest(plain).items():
        old = merged.get(name)
        merged[name] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _dataset(dataset: Any, data_dir: Any, about: dict[str, Any]) -> str:
    """The name or folder of a data set; one that exists in Python alone is written to files first."""
    if isinstance(dataset, str | os.PathLike):
        return os.fspath(dataset)
    folder = own_data.as_folder(dataset, cfg.data_root(data_dir))
    about["own_dataset"] = own_data.about(dataset) | {"folder": str(folder)}
    return str(folder)


def _backbone(backbone: str | nn.Module, about: dict[str, Any]) -> str:
    if isinstance(backbone, str):
        return backbone
    about["own_backbone"] = own_networks.about(backbone)
    return own_networks.remember(backbone)


def _train(
    config: RunConfig,
    runs_dir: Folder | None,
    recipe: str | None,
    about: dict[str, Any],
    callbacks: Sequence[L.Callback],
) -> Run:
    folder = Path(runs_dir).expanduser() if runs_dir is not None else runs.default_runs_dir()
    command = runs.command_name(config.kind)
    if config.devices * config.num_nodes > 1:
        if callbacks:
            raise ConfigError("callbacks are given and several processes are asked for; allowed: devices 1.")
        about |= {"recipe": recipe} if recipe else {}
        return _in_processes([command, "--runs_dir", str(folder)], config, about)
    words = ["python", "-m", "simclr", command]
    for name, value in cfg.differences(config, type(config).model_construct()).items():
        words.append(f"--{name}={cfg.option_text(value)}")
    found = train(config, runs_dir=folder, command=words, recipe=recipe, meta=about, callbacks=callbacks)
    return _ended(found)


def _in_processes(arguments: list[str], config: RunConfig, about: Mapping[str, Any] | None = None) -> Run:
    """The same by the command line: Lightning starts a run's other processes by repeating the command of the first.

    Raises:
        ConfigError: for bad input, and for a backbone of one's own, which other processes do not have.
    """
    assert config.backbone is None or isinstance(config.backbone, str)
    if config.backbone is not None and own_networks.is_own(config.backbone):
        raise ConfigError(
            f"backbone is {own_networks.shown(config.backbone)}, a module that other processes do not have, and "
            f"devices is {config.devices}; allowed: devices 1, or a backbone by its name."
        )
    with tempfile.TemporaryDirectory() as scratch:
        if arguments[0] != "resume":
            file = Path(scratch) / "config.yaml"
            file.write_text(cfg.to_yaml(config), encoding="utf-8")
            arguments = [*arguments, "--config", str(file)]
        paths = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
        child = subprocess.Popen(
            runs.python_command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
        )
        while True:
            try:
                output, errors = child.communicate()
                break
            except KeyboardInterrupt:  # it has got the signal too, and saves
                continue
    if child.returncode == runs.BAD_INPUT_EXIT_CODE:
        raise ConfigError(errors.strip().splitlines()[-1])
    lines = output.strip().splitlines()
    if not lines or not runs.is_run_folder(Path(lines[-1])):
        raise RuntimeError(f"{shlex.join(arguments)} ended with status {child.returncode}: {errors.strip()[-2000:]}")
    found = runs.Run(Path(lines[-1]).resolve())
    with contextlib.suppress(OSError):
        runs.add_meta(found.path, **(about or {}))
    return _ended(found)


def _ended(found: runs.Run) -> Run:
    """The run, if it has come to an end of its own or was stopped."""
    status = found.status
    if status.state == "failed":
        raise RuntimeError(f"{found.id} failed ({status.reason}): {status.error} Its folder is {found.path}.")
    return Run(found.path)
