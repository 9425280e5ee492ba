"""The LightningModule of a pre-training on images and their captions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from simclr.config import PretrainConfig
from simclr.config.words import LEAST_TEMPERATURE
from simclr.models.backbones import Backbone
from simclr.objectives import metrics
from simclr.objectives.image_text import image_text_loss
from simclr.training.image_text.batches import CaptionedViews
from simclr.training.modules import SimCLR
from simclr.words.captions import Vocabulary
from simclr.words.text_encoder import TextEncoder


class ImageText(SimCLR):
    """Contrastive pre-training of an image and a text encoder (CLIP, Radford et al. 2021, section 2).

    The image side is that of SimCLR, one view of each image; z of its caption comes from a text encoder. The
    temperature is learned, and kept from falling below `LEAST_TEMPERATURE`, as there.

    Args:
        config: complete options with a `text_encoder`; others as of `SimCLR`.
    """

    def __init__(self, config: PretrainConfig, encoder: Backbone, *, num_steps: int, warmup_steps: int) -> None:
        super().__init__(config, encoder, num_steps=num_steps, warmup_steps=warmup_steps)
        assert config.text_encoder is not None
        self.text = TextEncoder(
            config.text_encoder, Vocabulary.of_captions(), config.projection_dim, config.temperature
        )

    def trained_modules(self) -> list[nn.Module]:
        return [*super().trained_modules(), self.text]

    def _compare(self, batch: CaptionedViews) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """As of `SimCLR`: h (N, num_features), and z (2N, projection_dim) of the images, then of their captions."""
        h = self(batch.first.contiguous(memory_format=torch.channels_last))
        images, texts = self.head(h), self.text(batch.captions)
        loss, ranks = image_text_loss(images, texts, self.text.scale, batch.said)
        z = torch.cat([images, texts.to(images.dtype)])
        measured = metrics.contrastive_metrics(ranks, self._num_candidates(len(z)))
        return h, z, loss, {"loss": loss.detach(), **measured}

    def _num_candidates(self, num_rows: int) -> int:
        return num_rows // 2

    def optimizer_step(self, *arguments: Any, **more: Any) -> None:
        super().optimizer_step(*arguments, **more)
        with torch.no_grad():
            self.text.log_scale.clamp_(max=-math.log(LEAST_TEMPERATURE))
