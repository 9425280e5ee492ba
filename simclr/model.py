"""The LightningModules: SimCLR pre-training, and supervised training of an encoder with a classifier."""

from __future__ import annotations

from typing import Any, NamedTuple

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simclr import metrics, optim
from simclr.backbones import Encoder
from simclr.config import FinetuneConfig, PretrainConfig
from simclr.heads import classifier, projection_head
from simclr.loss import cosine_similarities, nt_xent_from_similarities

# Uniformity looks at all pairs: 5,000 rows are 12 million of them, plenty for a mean.
MAX_MONITORED_ROWS = 5_000


class Views(NamedTuple):
    """A pre-training batch on the device: two normalized views (N, 3, S, S) of the images `ids` (N,)."""

    first: Tensor
    second: Tensor
    ids: Tensor


class Labelled(NamedTuple):
    """A supervised batch on the device: normalized images (N, 3, S, S) and their classes (N,)."""

    images: Tensor
    labels: Tensor


class RunningMeans:
    """Means of scalars that stay on their device until asked for: no step waits for a GPU to be logged."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.detach().float()
            # a sum that was restored from a checkpoint lies on the CPU at first
            self._sums[name] = self._sums[name].to(value.device) + value if self._count else value
        self._count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"sums": {name: float(total) for name, total in self._sums.items()}, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums = {name: torch.tensor(total) for name, total in state["sums"].items()}
        self._count = state["count"]

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: float(total) / self._count for name, total in self._sums.items()} if self._count else {}
        self._sums, self._count = {}, 0
        return means


class _Trained(L.LightningModule):
    """What both modules share: optimizer with warm-up and cosine, and running means of what was measured."""

    def __init__(
        self, config: PretrainConfig | FinetuneConfig, encoder: Encoder, head: nn.Module, *, num_steps: int,
        warmup_steps: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.run_config = config
        self.encoder, self.head = encoder.network, head
        self.train_means = RunningMeans()
        self.val_metrics: dict[str, float] = {}
        self._parts = encoder
        self._num_steps, self._warmup_steps = num_steps, warmup_steps

    @property
    def parts(self) -> Encoder:
        """The encoder with its classifier's name, as `backbones.join_state` wants it."""
        return self._parts

    def trained_modules(self) -> list[nn.Module]:
        return [self.encoder, self.head]

    def configure_optimizers(self) -> Any:
        config, peak = self.run_config, self.run_config.peak_learning_rate
        assert config.optimizer is not None
        optimizer = optim.make_optimizer(config.optimizer, self.trained_modules(), peak, config.weight_decay)
        scheduler = optim.schedule(
            optimizer, num_steps=self._num_steps, warmup_steps=self._warmup_steps, peak=peak, eta_min=config.eta_min
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class SimCLR(_Trained):
    """Contrastive pre-training: encoder h = f(x), projector z = g(h), NT-Xent on z (Chen et al. 2020).

    Args:
        config: complete options.
        encoder: the backbone without classifier.
        num_steps: optimizer steps of the whole training, for the schedule.
        warmup_steps: steps of linear warm-up.
    """

    def __init__(self, config: PretrainConfig, encoder: Encoder, *, num_steps: int, warmup_steps: int) -> None:
        head = projection_head(encoder.num_features, config.hidden_dim, config.projection_dim)
        super().__init__(config, encoder, head, num_steps=num_steps, warmup_steps=warmup_steps)
        self.config = config
        self._val_means = RunningMeans()
        self._val_features: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) normalized images to representations h (N, num_features)."""
        h: Tensor = self.encoder(x)
        return h.flatten(1)

    def _contrast(self, batch: Views) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        x = torch.cat([batch.first, batch.second])  # (2N, 3, S, S): one pass, so BatchNorm sees both views
        h = self(x.contiguous(memory_format=torch.channels_last))  # (2N, num_features)
        z = self.head(h)  # (2N, projection_dim)
        similarities = cosine_similarities(*z.chunk(2))  # (2N, 2N)
        loss = nt_xent_from_similarities(similarities, self.config.temperature)
        return h, z, loss, metrics.contrastive_metrics(similarities.detach())

    def training_step(self, batch: Views, batch_idx: int) -> Tensor:
        _, _, loss, measured = self._contrast(batch)
        self.train_means.add({"loss": loss, **measured})
        return loss

    def on_validation_epoch_start(self) -> None:
        self._val_features = []

    def validation_step(self, batch: Views, batch_idx: int) -> None:
        h, z, loss, measured = self._contrast(batch)
        self._val_means.add({"loss": loss, **measured})
        if sum(len(rows) for rows, _, _ in self._val_features) < MAX_MONITORED_ROWS:
            z1, z2 = z.float().chunk(2)
            self._val_features.append((h.float()[: len(z1)], z1, z2))

    def on_validation_epoch_end(self) -> None:
        means = {f"val/{name}": value for name, value in self._val_means.take().items()}
        h, z1, z2 = (torch.cat(rows)[:MAX_MONITORED_ROWS] for rows in zip(*self._val_features, strict=True))
        positive, negative = metrics.mean_similarities(z1, z2)
        self._val_features = []
        self.val_metrics = means | {
            "val/alignment": float(metrics.alignment(z1, z2)),
            "val/uniformity": float(metrics.uniformity(z1)),
            "val/positive_similarity": float(positive),
            "val/negative_similarity": float(negative),
            "val/effective_rank": float(metrics.effective_rank(h)),
            "val/effective_rank_z": float(metrics.effective_rank(z1)),
        }


class Classifier(_Trained):
    """Encoder and classifier on labels: fine-tuning, or training from scratch.

    Args:
        config: complete options; with `freeze_encoder` only the head is trained and BatchNorm keeps its statistics.
        encoder: the backbone without classifier.
        num_classes: width of the output.
    """

    def __init__(
        self, config: FinetuneConfig, encoder: Encoder, num_classes: int, *, num_steps: int, warmup_steps: int
    ) -> None:
        head = classifier(encoder.num_features, num_classes, config.head, config.hidden_dim)
        super().__init__(config, encoder, head, num_steps=num_steps, warmup_steps=warmup_steps)
        self.config = config
        self._val_sums: list[Tensor] = []
        if config.freeze_encoder:
            self.encoder.requires_grad_(False).eval()  # Lightning keeps the modes it finds

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        if self.config.freeze_encoder:
            self.encoder.eval()
        return self

    def trained_modules(self) -> list[nn.Module]:
        return [self.head] if self.config.freeze_encoder else [self.encoder, self.head]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) normalized images to logits (N, num_classes)."""
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_encoder):
            h = self.encoder(x).flatten(1)
        logits: Tensor = self.head(h)
        return logits

    def training_step(self, batch: Labelled, batch_idx: int) -> Tensor:
        logits = self(batch.images).float()
        loss = F.cross_entropy(logits, batch.labels)
        self.train_means.add({"loss": loss, **classification_shares(logits.detach(), batch.labels)})
        return loss

    def on_validation_epoch_start(self) -> None:
        self._val_sums = []

    def validation_step(self, batch: Labelled, batch_idx: int) -> None:
        logits = self(batch.images).float()
        n = len(batch.labels)
        loss = F.cross_entropy(logits, batch.labels)
        shares = classification_shares(logits, batch.labels)
        self._val_sums.append(torch.stack([loss, shares["top1"], shares["top5"], torch.ones_like(loss)]) * n)

    def on_validation_epoch_end(self) -> None:
        loss, top1, top5, n = torch.stack(self._val_sums).sum(dim=0).tolist()
        self.val_metrics = {"val/loss": loss / n, "val/top1": top1 / n, "val/top5": top5 / n}


def classification_shares(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """`top1` and `top5` (best min(5, classes)) of (N, num_classes) logits: shares of the N rows, 0..1."""
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (N, 5)
    hit = best == labels[:, None]
    return {"top1": hit[:, 0].float().mean(), "top5": hit.any(dim=1).float().mean()}
