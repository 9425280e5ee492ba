"""Accuracy after equal CPU seconds: a recipe as this package trains it, beside lightly's SimCLR on the same network."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simclr import runs
from simclr.bench.timing import Row, threads
from simclr.config import PretrainConfig, build, recipes
from simclr.data.loading import load_run_data
from simclr.evaluation import protocols
from simclr.models import backbones, compute
from simclr.objectives import optim

RECIPE = "photos"
WARM_UP_STEPS = 3  # before steps are timed


@dataclass(frozen=True)
class Outcome:
    """cpu_seconds: of training, with reading, decoding and views. knn, linear: test accuracy, 0..1."""

    cpu_seconds: float
    steps: int
    knn: float
    linear: float


def recipe_config(data: Path, seed: int, epochs: int | None) -> PretrainConfig:
    """The recipe on a folder of images, with one thread."""
    values = recipes.recipe(RECIPE) | {"dataset": str(data), "seed": seed, "num_threads": 1, "evaluate": False}
    values |= {"knn_every_epochs": 0, "film_frames": 0} | ({"epochs": epochs} if epochs else {})
    config = build(PretrainConfig, values)
    assert isinstance(config, PretrainConfig)
    return config


def own_outcome(config: PretrainConfig) -> tuple[Outcome, PretrainConfig]:
    """Trains as `python -m simclr pretrain` does, in a temporary folder; also returns the options with none open."""
    from simclr.lifecycle.train import train

    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            run = train(config, runs_dir=Path(folder))
        seconds = time.process_time() - start
        if run.status.state != "finished":
            raise RuntimeError(run.status.error)
        complete = runs.load_config(run)
        assert isinstance(complete, PretrainConfig)
        state = torch.load(run.path / runs.MODEL, weights_only=True)
        steps = run.status.step
    return _judged(complete, state, seconds, steps), complete


def lightly_outcome(config: PretrainConfig, cpu_seconds: float) -> Outcome:
    """Trains the same network for as many CPU seconds with lightly's loader, transform, head and loss.

    Optimizer, rate, schedule, batch, temperature, precision and the strength of the augmentation are those of `config`;
    the number of steps is what fits, by the time of the first ones. It sees all training images, where the own training
    holds a tenth of them out for validation.

    Args:
        config: complete options; `dataset` is a folder with `train/`.
        cpu_seconds: how long, with the reading of the images.
    """
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    assert config.dataset and config.image_size and config.backbone and config.learning_rate and config.optimizer
    start = time.process_time()
    torch.manual_seed(config.seed)
    strength = config.augmentation
    transform = SimCLRTransform(
        input_size=config.image_size,
        cj_prob=strength.jitter_probability,
        cj_strength=1.0,
        cj_bright=strength.brightness,
        cj_contrast=strength.contrast,
        cj_sat=strength.saturation,
        cj_hue=strength.hue,
        min_scale=strength.crop_scale_min,
        random_gray_scale=strength.grayscale_probability,
        gaussian_blur=strength.blur_probability,
    )
    images = LightlyDataset(input_dir=str(Path(config.dataset) / "train"), transform=transform)
    loader = torch.utils.data.DataLoader(images, batch_size=config.batch_size, shuffle=True, drop_last=True)
    encoder = backbones.build_encoder(config.backbone, config.image_size)
    head = SimCLRProjectionHead(encoder.num_features, config.hidden_dim, config.projection_dim)
    network = nn.Sequential(encoder.network, nn.Flatten(1), head).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss = NTXentLoss(temperature=config.temperature)
    optimizer = optim.make_optimizer(config.optimizer, [network], config.learning_rate, config.weight_decay)
    dtype = compute.AUTOCAST[config.precision]

    def train_step(views: list[Tensor]) -> None:
        x = torch.cat(views).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            z = network(x)
        optimizer.zero_grad()
        loss(*z.float().chunk(2)).backward()
        optimizer.step()

    num_steps, step, began, warmup = 0, 0, start, 0
    while not num_steps or step < num_steps:
        for views, _, _ in loader:
            if num_steps:
                factor = optim.warmup_cosine(step, num_steps=num_steps, warmup_steps=warmup, floor=0.0)
            else:
                factor = (step + 1) / (config.warmup_epochs * len(loader))  # the rise begins before its end is known
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * factor
            train_step(views)
            step += 1
            if step == WARM_UP_STEPS:
                began = time.process_time()
            elif step == 5 * WARM_UP_STEPS:
                cost = (time.process_time() - began) / (step - WARM_UP_STEPS)
                num_steps = step + max(1, int((cpu_seconds - (time.process_time() - start)) / cost))
                warmup = min(int(config.warmup_epochs * len(loader)), num_steps // 10)
            if num_steps and step == num_steps:
                break
    seconds = time.process_time() - start
    encoder_state = {key.removeprefix("0."): value for key, value in network.state_dict().items() if key[:2] == "0."}
    return _judged(config, encoder_state, seconds, step)


def _judged(config: PretrainConfig, state: dict[str, Any], seconds: float, steps: int) -> Outcome:
    data = load_run_data(config)
    found = protocols.pretrain_figures(config, state, data, torch.device("cpu"))
    return Outcome(seconds, steps, found["test/knn_top1"], found["test/linear_top1"])


def measure(peers: tuple[str, ...], repeats: int, *, data: Path, epochs: int | None = None) -> Iterator[Row]:
    """Test accuracy of the recipe `photos` on a folder of images, and of lightly's SimCLR after as many CPU seconds."""
    for seed in range(repeats):
        with threads(1):
            own, config = own_outcome(recipe_config(data, seed, epochs))
            yield from _rows("own", seed, own)
            if "lightly" in peers:
                yield from _rows("lightly", seed, lightly_outcome(config, own.cpu_seconds))


def _rows(who: str, seed: int, outcome: Outcome) -> Iterator[Row]:
    row = partial(Row, "accuracy")
    note = f"after {outcome.cpu_seconds:,.0f} CPU-s and {outcome.steps:,} steps"
    yield row(f"{who}, seed {seed}: linear probe on the test images", 100 * outcome.linear, "%", note=note)
    yield row(f"{who}, seed {seed}: kNN on the test images", 100 * outcome.knn, "%", note=note)
