"""SimCLR for a Trainer of one's own: any loader of pairs, any logger, any callbacks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from simclr.config import ConfigError, PretrainConfig, build, nearest_name
from simclr.models.backbones import backbone_of, build_encoder
from simclr.training import modules
from simclr.training.modules import Views

# The options of a pre-training that concern the module; the others are the Trainer's, the loader's or the run's.
OPTIONS = (
    *("hidden_dim", "projection_dim", "temperature", "batch_size", "micro_batch_size", "optimizer", "learning_rate"),
    *("lr_scaling_method", "warmup_epochs", "eta_min", "weight_decay"),
)
BATCHES = "(x0, x1) or ((x0, x1), y) with two tensors of views, each (N, 3, S, S)"


class SimCLR(modules.SimCLR):
    """Contrastive pre-training (Chen et al. 2020) as a LightningModule: `Trainer(...).fit(SimCLR("resnet18"), loader)`.

    A batch is two views of the same N images, `(x0, x1)` or `((x0, x1), y)`, normalized, as a DataLoader gives them of
    a data set with the transform `TwoViews`. In several processes each contrasts its images with those of all.

    `train/loss train/top1 train/top5 train/mean_rank` are logged at each step, and with a validation loader the same of
    it, `val/alignment val/uniformity val/positive_similarity val/negative_similarity val/effective_rank
    val/effective_rank_z` after each epoch. The learning rate warms up and falls along a cosine over the steps that the
    Trainer plans. `load_encoder(CHECKPOINT, backbone=..., image_size=...)` loads what such a Trainer has saved.

    Args:
        backbone: a name of `simclr.config.BACKBONES`, or a module that turns images (N, 3, S, S) into features (N, D),
            which is trained as it is.
        image_size: side of the views in pixels; up to 64 a ResNet gets the stem for small images.
        options: of a pre-training, with the same defaults: `hidden_dim projection_dim temperature batch_size
            micro_batch_size optimizer learning_rate lr_scaling_method warmup_epochs eta_min weight_decay`. `batch_size`
            is that of the loader and all processes together; a scaled learning rate and `micro_batch_size` need it.

    Raises:
        ConfigError: with one sentence for each option that is wrong.
    """

    def __init__(self, backbone: str | nn.Module = "resnet18", *, image_size: int = 32, **options: Any) -> None:
        for name in options:
            if name not in OPTIONS:
                hint = nearest_name(name, OPTIONS)
                raise ConfigError(f"{name} is not an option of this module; allowed: {', '.join(OPTIONS)}{hint or '.'}")
        named = {"backbone": backbone} if isinstance(backbone, str) else {}
        config = build(PretrainConfig, named | {"image_size": image_size} | options).resolved()
        if isinstance(backbone, str):
            encoder = build_encoder(config.backbone, image_size)
        else:
            encoder = backbone_of(backbone, image_size)
        super().__init__(config, encoder, num_steps=1, warmup_steps=0)
        self.save_hyperparameters(named | {"image_size": image_size} | options)

    def configure_optimizers(self) -> Any:
        planned = self.trainer.estimated_stepping_batches
        if not math.isfinite(planned):
            raise ConfigError("The Trainer has no end, and the learning rate falls towards it; allowed: max_epochs.")
        per_epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        self._num_steps = max(1, int(planned))
        self._warmup_steps = round(self.config.warmup_epochs * per_epoch)
        return super().configure_optimizers()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Leaves torch's random numbers alone, which the loader may draw from."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        return super().training_step(as_views(batch), batch_idx)

    def note(self, measured: dict[str, Tensor], num_images: int) -> None:
        if self._trainer is not None:
            values = {f"train/{name}": value for name, value in measured.items()}
            self.log("train/loss", values.pop("train/loss"), prog_bar=True, batch_size=num_images)
            self.log_dict(values, batch_size=num_images)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        views = as_views(batch)
        if len(views.first) > 1:  # a last batch of one image has nothing to be contrasted with
            super().validation_step(views, batch_idx)

    def on_validation_epoch_end(self) -> None:
        if self._val_features:
            super().on_validation_epoch_end()
            self.log_dict(self.val_metrics)


def as_views(batch: Any) -> Views:
    """The two views in a batch of a loader of one's own, or of this package's.

    Raises:
        ConfigError: if it holds none.
    """
    if isinstance(batch, Views):
        return batch
    pair = batch
    if isinstance(pair, list | tuple) and pair and isinstance(pair[0], list | tuple):
        pair = pair[0]
    if isinstance(pair, list | tuple) and len(pair) == 2:
        first, second = pair
        are_views = all(isinstance(part, Tensor) and part.ndim == 4 and part.is_floating_point() for part in pair)
        if are_views and first.shape == second.shape:
            return Views(first, second, torch.arange(len(first)))
    raise ConfigError(f"A batch is {_in_words(batch)}; allowed: {BATCHES}.")


def _in_words(batch: Any) -> str:
    if isinstance(batch, Tensor):
        return f"a tensor of {str(batch.dtype).removeprefix('torch.')} {tuple(batch.shape)}"
    if isinstance(batch, list | tuple):
        return f"({', '.join(_in_words(part) for part in batch)})"
    return f"a {type(batch).__name__}"
