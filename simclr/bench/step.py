"""What a training step costs, and how much of its time is not the network's."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from simclr.bench.augmentation import SIDE, lightly_transform, photos
from simclr.bench.timing import Row, speedup, take_turns, threads
from simclr.config import PretrainConfig, build
from simclr.models.backbones import build_encoder
from simclr.objectives.optim import make_optimizer


class StepClock(L.Callback):
    """When each training step began and ended.

    Between the end of one step and the beginning of the next, the batch is read and augmented, and metrics are written.
    """

    def __init__(self) -> None:
        self.began: list[float] = []
        self.ended: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.began.append(self._now())

    def on_train_batch_end(self, *_: Any) -> None:
        self.ended.append(self._now())

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def step_seconds(self) -> list[float]:
        """From one beginning to the next, without the first step, which warms up."""
        return list(np.diff(self.began)[1:])

    def waiting_share(self) -> float:
        """Share of the time that is not spent in steps, 0..1."""
        between = sum(begin - end for begin, end in zip(self.began[2:], self.ended[1:], strict=False))
        return between / (self.began[-1] - self.began[1])


def own_steps(steps: int, **options: Any) -> StepClock:
    """Trains that many steps as `python -m simclr pretrain` does, in a temporary folder."""
    from simclr.lifecycle.train import train

    clock = StepClock()
    values = {"max_steps": steps, "val_fraction": 0, "evaluate": False, "knn_every_epochs": 0, "dataset": "shapes"}
    config = build(PretrainConfig, values | options)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = train(config, runs_dir=Path(folder), callbacks=[clock])
        if run.status.state != "finished":
            raise RuntimeError(run.status.error)
    return clock


def lightly_steps(steps: int, *, batch_size: int, workers: int = 0) -> StepClock:
    """Trains the same network, batch and optimizer as lightly's example for Lightning does."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from torchvision.transforms.functional import to_pil_image

    views = lightly_transform(SIDE, blur=False)
    pictures = [to_pil_image(image) for image in photos(batch_size * 2, SIDE)]

    class Pictures(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return batch_size * steps

        def __getitem__(self, index: int) -> Any:
            return views(pictures[index % len(pictures)])

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = build_encoder("resnet18", SIDE).network
            self.projection_head = SimCLRProjectionHead(512, 512, 128)
            self.criterion = NTXentLoss()

        def training_step(self, batch: Any, batch_index: int) -> Tensor:
            z0, z1 = (self.projection_head(self.backbone(x).flatten(start_dim=1)) for x in batch)
            return self.criterion(z0, z1)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.06)

    clock = StepClock()
    trainer = L.Trainer(
        max_steps=steps,
        accelerator="auto",
        devices=1,
        logger=False,
        callbacks=[clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = torch.utils.data.DataLoader(
        Pictures(), batch_size=batch_size, shuffle=True, drop_last=True, num_workers=workers
    )
    trainer.fit(Module(), loader)
    return clock


STEP = {
    "backbone": "resnet18",
    "batch_size": 128,
    "hidden_dim": 512,
    "optimizer": "sgd",
    "learning_rate": 0.06,
    "image_size": SIDE,
    "checkpoint_every_minutes": 0,
}


def optimizer_work(name: str, device: torch.device) -> Callable[[], Any]:
    """A step of an optimizer on the layers of `cnn_tiny`; `torch.optim.Muon` gets convolutions as matrices."""
    parameters = [p for p in build_encoder("cnn_tiny", SIDE).network.to(device).parameters() if p.ndim > 1]
    matrices = [torch.nn.Parameter(p.detach().flatten(1)) for p in parameters]
    layers = torch.nn.ParameterList(matrices)
    optimizer = torch.optim.Muon(matrices) if name == "torch" else make_optimizer(name, [layers], 1e-3, 1e-4)
    for p in matrices:
        p.grad = torch.randn_like(p)
    return optimizer.step


def measure_muon(repeats: int) -> Iterator[Row]:
    """Milliseconds of a step of Muon, whose products are in bfloat16 only where that is native."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with threads(1):
        works = {name: optimizer_work(name, device) for name in ("muon", "torch", "adamw")}
        times = take_turns(works, repeats, time.perf_counter if device.type == "cuda" else time.process_time)
    for other, label in (("torch", "torch.optim.Muon"), ("adamw", "AdamW")):
        compared = speedup(times["muon"], times[other])
        yield Row("step", "Muon, cnn_tiny", 1e3 * min(times["muon"]), "ms", label, **compared, repeats=repeats)


def measure(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """Images per second of ResNet-18 on 32 px in batches of 128, and what of the time is not the network."""
    turns = max(2, repeats // 2)
    mine, others, waiting = [], [], []
    other = "lightly + Lightning" if "lightly" in peers else "own in float32"
    for _ in range(turns):
        clock = own_steps(5, **STEP)
        mine.append(min(clock.step_seconds()))
        waiting.append(clock.waiting_share())
        clock = lightly_steps(3, batch_size=128) if "lightly" in peers else own_steps(3, precision="32-true", **STEP)
        others.append(min(clock.step_seconds()))
    what = f"ResNet-18, batch 128, {torch.get_num_threads()} threads"
    yield Row("step", what, 128 / min(mine), "images/s", other, **speedup(mine, others), repeats=turns)
    yield Row("step", "share of a step that waits for data, views and logging", 100 * max(waiting), "%", repeats=turns)
    yield from measure_muon(turns)


def step_peak(batch_size: int, micro_batch_size: int | None = None, image_size: int = SIDE) -> Callable[[], Any]:
    """The work whose peak memory is that of a training step."""
    options = STEP | {"batch_size": batch_size, "image_size": image_size, "backbone": "resnet_tiny"}
    own_steps(1, **options | {"batch_size": 4})  # so that what libraries and data sets take on first use is not counted
    return lambda: own_steps(1, **options, micro_batch_size=micro_batch_size)
