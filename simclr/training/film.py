"""Keeps features of the same images after some epochs, for the training film."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from torch import Tensor

from simclr.data.splits import film_part, images_digest
from simclr.evaluation.features import features_of
from simclr.hardware import ranks
from simclr.runs import Run, extensions, film_frames
from simclr.training.prepared import Prepared
from simclr.views.thumbnails import write_sheets


def film_callbacks(run: Run, prepared: Prepared, device: torch.device) -> list[L.Callback]:
    """What keeps the training film: features of the same validation images, or training images where there are none."""
    config, data = prepared.config, prepared.data
    ends_before = [extension.epoch for extension in extensions.extensions_of(run)]
    epochs = film_frames.planned_epochs(prepared.num_epochs, config.film_frames, ends_before)
    split = data.val if data.val is not None else prepared.train or data.train
    if not epochs or not ranks.place(config).is_main or split.num_images < film_frames.MIN_IMAGES:
        return []
    chosen = film_part(split, config.seed)
    labels = None if chosen.labels is None else chosen.labels.cpu().numpy()
    folder = film_frames.begin(
        run,
        epochs,
        ids=chosen.ids.cpu().numpy(),
        labels=labels,
        write_sheets=lambda place: write_sheets(chosen, place),
        factors=chosen.factors,
        split=split.name,
        seed=config.seed,
        classes=list(data.classes or []) if labels is not None else [],
        num_epochs=prepared.num_epochs,
        num_labels=prepared.train.num_images if prepared.train is not None else 0,
        images_seen=[prepared.images_seen(epoch) for epoch in epochs],
        images=images_digest(chosen),
    )

    def features(module: Any) -> Tensor:
        return features_of(module.encoder, chosen, prepared.image_size, device=device, precision=config.precision)

    return [FilmRecorder(features, lambda epoch, found: film_frames.write_frame(folder, epoch, found), epochs)]


class FilmRecorder(L.Callback):
    """Keeps features of the same images after some epochs, for the training film.

    Args:
        features: returns those of the encoder as it is, (N, num_features); called in eval mode.
        keep: is given an epoch and its features.
        epochs: those to keep; 0 is before the training.
    """

    def __init__(
        self, features: Callable[[L.LightningModule], Tensor], keep: Callable[[int, Any], None], epochs: list[int]
    ) -> None:
        self.features, self.keep, self.epochs = features, keep, frozenset(epochs)

    def _take(self, trainer: L.Trainer, pl_module: L.LightningModule, epoch: int) -> None:
        if epoch not in self.epochs or not trainer.is_global_zero:
            return
        was_training = pl_module.training
        pl_module.eval()
        with torch.inference_mode():
            self.keep(epoch, self.features(pl_module).cpu().numpy())
        pl_module.train(was_training)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == 0:
            self._take(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._take(trainer, pl_module, trainer.current_epoch + 1)
