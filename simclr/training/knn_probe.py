"""The kNN accuracy of a pre-training's encoder on the validation images, every few epochs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning as L
import torch

from simclr.config import PretrainConfig
from simclr.data.splits import ImageData
from simclr.evaluation import knn
from simclr.evaluation.features import features_of
from simclr.objectives import metrics
from simclr.training.modules import SimCLR

# The kNN probe compares with this many training images at most: a monitor, not a result.
MAX_BANK_IMAGES = 10_000


def knn_measure(
    config: PretrainConfig, data: ImageData, size: int, model: SimCLR, device: torch.device
) -> Callable[[], float] | None:
    """A function that measures kNN accuracy on the val split; None where there are no labels to do so."""
    bank, val = data.probe, data.val
    if not config.knn_every_epochs or bank is None or bank.labels is None or val is None or val.labels is None:
        return None
    if bank.num_images > MAX_BANK_IMAGES:
        order = torch.randperm(bank.num_images, generator=torch.Generator().manual_seed(config.seed))
        bank = bank.take(order[:MAX_BANK_IMAGES].sort().values)
    num_classes = len(data.classes or ())
    splits = {"bank": bank, "val": val}

    def measure() -> float:
        features = {}
        for name, split in splits.items():
            features[name] = features_of(model, split, size, device=device, precision=config.precision)
        bank_labels, val_labels = (splits[name].labels for name in ("bank", "val"))
        assert bank_labels is not None and val_labels is not None
        predicted = knn.knn_predict(features["bank"], bank_labels.to(device), features["val"], num_classes)
        return metrics.accuracy(predicted, val_labels.to(device))

    return measure


class KNNProbe(L.Callback):
    """Adds `val/knn_top1` to a pre-training's validation metrics every few epochs, and after the last.

    Args:
        measure: returns the accuracy of the encoder as it is, 0..1.
        every_epochs: how often.
    """

    def __init__(self, measure: Callable[[], float], every_epochs: int) -> None:
        self.measure, self.every_epochs = measure, every_epochs
        self.seconds: float | None = None  # that the last one took, until someone has taken note

    def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % self.every_epochs == 0 or epoch == trainer.max_epochs:
            start = time.monotonic()
            measured = self.measure() if trainer.is_global_zero else None
            pl_module.val_metrics["val/knn_top1"] = trainer.strategy.broadcast(measured)
            self.seconds = time.monotonic() - start
