"""load_encoder(RUN or FILE): the encoder of a run folder, of one of its checkpoints, or of a file of weights."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from simclr import runs
from simclr.config import DATASETS, ConfigError, PretrainConfig, RunConfig, build
from simclr.data import identity, shapes
from simclr.data.folders.pixel_values import PixelValues
from simclr.data.loading import OWN_SIDES
from simclr.embeddings import networks, references
from simclr.embeddings.references import EncoderRef
from simclr.encoders import exported
from simclr.encoders.encoder import Encoder
from simclr.encoders.images import Preprocessing
from simclr.models import backbones, heads, own_networks, state_dicts
from simclr.models.weights import Weights
from simclr.runs import Run


def load_encoder(
    run: Any,
    *,
    runs_dir: str | os.PathLike[str] | None = None,
    backbone: str | nn.Module | None = None,
    image_size: int | None = None,
) -> Encoder:
    """The encoder of a run, in eval mode on the CPU.

    Args:
        run: a folder that `export` has written; or a run, its folder, its id or a unique beginning of it, each also
            with a checkpoint behind it (`RUN@best`, `RUN@epoch-10`); or a file of weights: `model.pt` or a checkpoint
            in a run folder, or any file that `--experiment_version` takes.
        runs_dir: where ids are looked up; None: `$SIMCLR_RUNS_DIR`, else `runs` in the current folder.
        backbone, image_size: of a file that lies in no run folder, whose network nothing else tells; for a run that
            has trained a module of one's own, a module like that as `backbone`.

    Raises:
        ConfigError: with one sentence, if there is no such run or file, or the weights are not of that network.
    """
    is_named = isinstance(backbone, str)
    if isinstance(backbone, nn.Module):
        backbone = own_networks.remember(backbone)
    folder = Path(runs_dir) if runs_dir is not None else runs.default_runs_dir()
    path = getattr(run, "path", run)
    if isinstance(path, str | os.PathLike) and (about := exported.about(Path(path).expanduser())):
        return _of_export(Path(path).expanduser(), about)
    if isinstance(path, str | os.PathLike) and Path(path).expanduser().is_file():
        file = Path(path).expanduser().resolve()
        model = _run_around(file)
        if model is None or is_named:
            with torch.random.fork_rng(devices=[]):  # a network begins with random weights
                return _of_file(file, backbone, image_size)
    else:
        (model,) = references.resolve_encoders([str(path)], folder)
    with torch.random.fork_rng(devices=[]):
        return _of_run(model)


def _run_around(file: Path) -> EncoderRef | None:
    """The run whose final weights or checkpoint a file is; None for any other file."""
    if file.name == runs.MODEL and runs.is_run_folder(file.parent):
        return EncoderRef(Run(file.parent))
    is_checkpoint = file.suffix == ".ckpt" and references.is_checkpoint(file.stem)
    if is_checkpoint and file.parent.name == runs.CHECKPOINTS and runs.is_run_folder(file.parent.parent):
        return EncoderRef(Run(file.parent.parent), checkpoint=file.stem)
    return None


def _of_run(model: EncoderRef) -> Encoder:
    config = runs.load_config(model.run)
    if config.backbone is None:
        raise ConfigError(f"{model.run.id} does not say its backbone; allowed: a run whose {runs.CONFIG} is whole.")
    preprocessing = preprocessing_of(model.run)
    size = preprocessing.size
    with references.open_weights(model) as weights:
        try:
            encoder, head = networks.parts_of(replace(model, layer=_top_layer(model)), size, weights)
        except networks.NoProjectorError:
            encoder, head = networks.parts_of(replace(model, layer="h"), size, weights)
        except ConfigError as error:
            raise ConfigError(str(error).replace("experiment_version is", "RUN has the weights", 1)) from None
    is_supervised = model.run.kind != "pretrain"
    classes: tuple[str, ...] = ()
    if is_supervised and head is not None:
        number = getattr(config, "num_classes", None) or 0
        names = identity.classes_of(model.run) or ()
        classes = names if len(names) == number else tuple(map(str, range(number)))
    return Encoder(
        encoder.network,
        encoder.num_features,
        preprocessing,
        config=config.model_copy(update={"image_size": size}),
        projector=None if is_supervised else head,
        classifier=head if is_supervised else None,
        classes=classes,
        name=model.run.id,
        classifier_name=encoder.classifier_name,
    )


def _of_export(folder: Path, about: dict[str, Any]) -> Encoder:
    """Of a folder that `export` has written; a classifier is part of it."""
    own, wrong = about[exported.MARK], f"{folder / exported.CONFIG} does not fit"
    allowed = "allowed: a folder as export wrote it."
    classes = about.get("label_names") or []
    backbone, size, hidden = about.get("architecture"), own.get("image_size"), own.get("hidden_dim")
    if not (isinstance(backbone, str) and type(size) is int and type(hidden) is int and isinstance(classes, list)):
        raise ConfigError(f"{wrong}; {allowed}")
    with torch.random.fork_rng(devices=[]):
        encoder = _of_file(folder / exported.WEIGHTS, backbone, size)
        if classes:
            kind: Literal["linear", "mlp"] = "mlp" if own.get("head") == "mlp" else "linear"
            head = heads.classifier(encoder.num_features, len(classes), kind, hidden)
            with contextlib.closing(Weights(folder / exported.WEIGHTS)) as weights:
                if not networks.load_head(head, weights.read_state(), encoder.classifier_name):
                    raise ConfigError(f"{wrong} its weights, which hold no classifier of {len(classes)}; {allowed}")
            encoder.classifier, encoder.classes = head.eval(), tuple(map(str, classes))
    return encoder


def _top_layer(model: EncoderRef) -> references.Representation:
    return "z" if "z" in references.layers_of(model) else "h"


def preprocessing_of(run: Run, largest_side: int | None = None) -> Preprocessing:
    """How images become what the network of a run is given.

    Args:
        largest_side: of the result, where it is to be smaller than the network's, as raw pixels are.

    Raises:
        ConfigError: if the run does not say its image size.
    """
    config = runs.load_config(run)
    own_side = _own_side(config)
    size = config.image_size or own_side
    if size is None:
        raise ConfigError(f"{run.id} does not say its image_size; allowed: a run whose {runs.CONFIG} is whole.")
    values = PixelValues(config.value_min, config.value_max, config.extra_channels)
    return Preprocessing(min(size, largest_side or size), own_side, values)


def _own_side(config: RunConfig) -> int | None:
    """Side at which the images of a named data set are kept; None of a folder's."""
    if config.dataset == "shapes":
        return config.image_size or shapes.DEFAULT_SIDE
    return OWN_SIDES[config.dataset] if config.dataset in DATASETS else None


def _of_file(file: Path, backbone: str | None, image_size: int | None) -> Encoder:
    for name, value in (("backbone", backbone), ("image_size", image_size)):
        if value is None:
            raise ConfigError(f"{name} is unset, and {file} lies in no run folder; allowed: {name} of its network.")
    config: PretrainConfig = build(PretrainConfig, {"backbone": backbone, "image_size": image_size})
    assert config.image_size is not None
    try:
        with contextlib.closing(Weights(file)) as weights:
            state = weights.read_state()
            encoder = backbones.build_encoder(
                config.backbone, config.image_size, small_stem=state_dicts.has_small_stem(state)
            )
            state_dicts.load_encoder(encoder, state, file)
    except OSError as error:
        raise ConfigError(f"RUN is {file}, which cannot be read: {error.strerror}.") from None
    except ConfigError as error:
        raise ConfigError(str(error).replace("experiment_version is", "RUN is", 1)) from None
    return Encoder(
        encoder.network,
        encoder.num_features,
        Preprocessing(config.image_size),
        config=config,
        name=file.name,
        classifier_name=encoder.classifier_name,
    )
