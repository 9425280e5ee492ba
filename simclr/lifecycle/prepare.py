"""prepare(config) -> Prepared: everything that can be wrong with a run is found here, before its folder is made."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simclr import runs
from simclr.config import CROP_AND_FLIP, CUDA_GRAPHS, DATASETS, ConfigError, FinetuneConfig, PretrainConfig, RunConfig
from simclr.data.batches import EpochBatches
from simclr.data.splits import ImageData
from simclr.evaluation.protocols import labelled_split
from simclr.files.user_paths import user_path
from simclr.lifecycle import experiment as experiments
from simclr.models import backbones, compute, state_dicts
from simclr.models.weights import Weights
from simclr.runs import Run
from simclr.runs.status import Report, no_report
from simclr.training.prepared import Prepared


def _fill_in(config: RunConfig, **found: Any) -> Any:
    """The options with precision, threads and `found` filled in."""
    device = compute.find_device(config.accelerator, config.devices)
    if config.compile in CUDA_GRAPHS and device.type == "cpu":
        raise ConfigError(f"compile is {config.compile}, which needs a GPU; allowed here: false or true.")
    if config.dataset not in DATASETS:  # a folder: config.yaml has to mean the same wherever it is read
        found["dataset"] = str(user_path(config.dataset or "").resolve())
    threads = config.num_threads or max(1, torch.get_num_threads() // config.devices)
    if config.devices > 1:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # else Lightning sets a number of its own
    torch.set_num_threads(threads)
    return config.model_copy(
        update={
            "precision": compute.resolve_precision(config.precision, device, config.devices),
            "num_threads": threads,
            **found,
        }
    )


def _count_steps(config: RunConfig, num_images: int, *, drop_last: bool) -> tuple[int, int, int]:
    """Optimizer steps of the whole training and of its warm-up, and its epochs."""
    num_ranks = config.devices * config.num_nodes
    per_rank = config.batch_size // num_ranks
    per_epoch = len(EpochBatches(num_images, per_rank, drop_last=drop_last, num_ranks=num_ranks))
    num_steps = min(config.epochs * per_epoch, config.max_steps or sys.maxsize)
    return num_steps, round(config.warmup_epochs * per_epoch), math.ceil(num_steps / per_epoch)


def prepare(config: RunConfig, runs_dir: Path, report: Report = no_report, *, has_begun: bool = False) -> Prepared:
    """Checks data, classes, weights, backbone and sizes, and fills in what was left open.

    Args:
        has_begun: the budget of a run that matches an experiment is the one it began with, whatever became of that.

    Raises:
        ConfigError: with one sentence for what is wrong.
    """
    if isinstance(config, PretrainConfig):
        return _prepare_pretrain(config.resolved(), runs_dir, report)
    return _prepare_finetune(config, runs_dir, report, has_begun)


def _prepare_pretrain(config: PretrainConfig, runs_dir: Path, report: Report) -> Prepared:
    compute.find_device(config.accelerator, config.devices)
    if config.image_size is not None:
        _check_sizes(config, config.image_size)  # before minutes are spent on reading images
    start = None if config.init_weights is None else _start_weights(config.init_weights, runs_dir)
    data = compute.load_images(config, report)
    size = config.image_size or data.image_size
    if config.batch_size > data.train.num_images:
        raise ConfigError(
            f"batch_size is {config.batch_size}; allowed: at most the {data.train.num_images:,} training images."
        )
    if config.image_size is None:
        _check_sizes(config, size)
    config = _fill_in(config, image_size=size, **_value_range(data))
    torch.manual_seed(config.seed)
    encoder = backbones.build_encoder(config.backbone, size)
    if start is not None:
        with _naming("init_weights"):
            state_dicts.load_encoder(encoder, start.state, start.path, any_stem=True)
        config = config.model_copy(update={"init_weights": start.reference})
    steps = _count_steps(config, data.train.num_images, drop_last=True)
    return Prepared(config, data, encoder, size, *steps, weights_sha256=start.sha256 if start is not None else None)


class _Start(NamedTuple):
    """The weights that a pre-training begins with, and how they are named in its options."""

    state: dict[str, Tensor]
    sha256: str
    path: Path
    reference: str


def _start_weights(wanted: int | str, runs_dir: Path) -> _Start:
    with _naming("init_weights"):
        found = runs.find_experiment(wanted, runs_dir)
        path = found.model_path if isinstance(found, Run) else found
        try:
            opened = Weights(path)
        except OSError as error:
            raise ConfigError(f"experiment_version is {path}, which cannot be read: {error.strerror}.") from None
        with contextlib.closing(opened):
            state, digest = opened.read_state(), opened.sha256
    return _Start(state, digest, path, found.id if isinstance(found, Run) else str(path.resolve()))


@contextlib.contextmanager
def _naming(option: str) -> Iterator[None]:
    """Names another option in what readers of weights say of `experiment_version`."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(str(error).replace("experiment_version is", f"{option} is", 1)) from None


def _value_range(data: ImageData) -> dict[str, float]:
    """The options that say which pixel values become black and white, where a folder's do not fill their format."""
    low, high = data.values.low, data.values.high
    return {} if low is None or high is None else {"value_min": low, "value_max": high}


def _check_sizes(config: PretrainConfig, image_size: int) -> None:
    """Whether the encoder can take views of all sizes that the training has."""
    if problem := config.initial_size_problem(image_size):
        raise ConfigError(problem)
    backbones.check_size(config.backbone, image_size, config.initial_image_size)


def _prepare_finetune(config: FinetuneConfig, runs_dir: Path, report: Report, has_begun: bool) -> Prepared:
    compute.find_device(config.accelerator, config.devices)
    experiment, weights = experiments.find(
        config.experiment_version, runs_dir, needs_weights=not config.random_weight_init
    )
    if experiment is not None and isinstance(config.experiment_version, int):
        print(f"experiment_version {config.experiment_version} is {experiment.id}", flush=True)
    config = experiments.inherit_options(config, experiment)
    assert config.backbone is not None and config.dataset is not None

    backbone: str = config.backbone
    state: dict[str, Tensor] | None = None
    digest: str | None = None
    if not config.random_weight_init:
        assert weights is not None
        try:
            opened = Weights(weights)  # what is recorded is what is loaded
        except OSError as error:
            raise ConfigError(f"experiment_version is {weights}, which cannot be read: {error.strerror}.") from None
        with contextlib.closing(opened):
            state, digest = opened.read_state(), opened.sha256
    data = compute.load_images(config, report)
    if data.classes is None or data.train.labels is None:
        raise ConfigError(
            f"dataset is {config.dataset}, whose images have no classes; allowed: a data set with classes."
        )
    if config.early_stopping_patience is not None and data.val is None:
        raise ConfigError(
            f"early_stopping_patience is {config.early_stopping_patience} and there are no validation images; allowed: "
            "unset, or a val_fraction above 0."
        )
    num_classes = len(data.classes)
    if config.num_classes not in (None, num_classes):
        raise ConfigError(f"num_classes is {config.num_classes}; allowed: {num_classes}, as {config.dataset} has.")
    size = config.image_size or data.image_size
    small_stem = None
    if experiment is not None:
        small_stem = int(experiment.config.get("image_size") or size) <= backbones.SMALL_IMAGE_SIDE
    if state is not None and state_dicts.has_small_stem(state) is not None:
        small_stem = state_dicts.has_small_stem(state)

    if config.match_experiment and not (has_begun and config.images_per_epoch is not None):
        config = _match(config, experiment, data.train.num_images)
    train = labelled_split(config, data)
    augmentation = config.augmentation
    if augmentation is None and not config.freeze_encoder:
        augmentation = CROP_AND_FLIP
    reference = config.experiment_version
    if experiment is not None:  # by its id where that is enough to find it again, for a repetition or a resume
        folder = experiment.path.resolve().parent
        here = folder in (runs_dir.resolve(), runs_dir.resolve() / runs.EXAMPLES)
        reference = experiment.id if here else str(experiment.path.resolve())
    elif weights is not None:
        reference = str(weights.resolve())
    config = _fill_in(
        config,
        image_size=size,
        num_classes=num_classes,
        augmentation=augmentation,
        experiment_version=reference,
        **_value_range(data),
    )
    torch.manual_seed(config.seed)
    encoder = backbones.build_encoder(backbone, size, small_stem=small_stem)
    if state is not None and weights is not None:
        state_dicts.load_encoder(encoder, state, weights)
    num_images = config.images_per_epoch or train.num_images
    steps = _count_steps(config, num_images, drop_last=False)
    return Prepared(config, data, encoder, size, *steps, experiment=experiment, train=train, weights_sha256=digest)


def _match(config: FinetuneConfig, experiment: Run | None, num_images: int) -> FinetuneConfig:
    """The options with the budget of the pre-training: as many epochs, and as many images in each.

    Args:
        num_images: training images, before labels are left out.
    """
    if experiment is None:
        raise ConfigError(
            f"match_experiment is true and experiment_version is {config.experiment_version}, a weights file; allowed: "
            "a pre-training, whose epochs can be matched."
        )
    theirs = runs.load_config(experiment)
    assert isinstance(theirs, PretrainConfig)
    num_steps, _, epochs = _count_steps(theirs, num_images, drop_last=True)
    per_epoch = theirs.images_in_epoch(num_images)
    is_cut = num_steps * theirs.batch_size < epochs * per_epoch
    size = min(config.batch_size, per_epoch)
    return config.model_copy(
        update={
            "epochs": epochs,
            "images_per_epoch": per_epoch,
            "max_steps": -(-num_steps * theirs.batch_size // size) if is_cut else None,
        }
    )
