"""The LightningModules: SimCLR pre-training, and supervised training of an encoder with a classifier."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from simclr.config import FinetuneConfig, PretrainConfig
from simclr.data.sampling import NETWORK_STREAM
from simclr.models.backbones import Backbone
from simclr.models.heads import classifier, projection_head
from simclr.objectives import metrics, mixing, optim
from simclr.objectives.nt_xent import contrast
from simclr.runs import health_log

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


def stream_seed(*numbers: int) -> int:
    """A seed for torch, 0..2^64 - 1, made of a stream and of what names a place in it, each a number from 0."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _broadcast(tensors: list[Tensor]) -> None:
    """Gives every process the main one's values, in one message for each data type."""
    for dtype in {tensor.dtype: None for tensor in tensors}:  # in the same order in all processes
        same = [tensor for tensor in tensors if tensor.dtype == dtype]
        message = torch.cat([tensor.flatten() for tensor in same])
        dist.broadcast(message, 0)
        for tensor, values in zip(same, message.split([tensor.numel() for tensor in same]), strict=True):
            tensor.copy_(values.view(tensor.shape))


class _TrainingModule(L.LightningModule):
    """What both modules share: optimizer with warm-up and cosine, and running means of what was measured."""

    def __init__(
        self,
        config: PretrainConfig | FinetuneConfig,
        encoder: Backbone,
        head: nn.Module,
        *,
        num_steps: int,
        warmup_steps: int,
    ) -> None:
        super().__init__()
        self.run_config = config
        self.encoder, self.head = encoder.network, head
        self.train_means = metrics.RunningMeans()
        self.val_metrics: dict[str, float] = {}
        self.val_health: dict[str, Any] = {}  # a pre-training's, for a line of `health.jsonl`
        self._parts = encoder
        self._num_steps, self._warmup_steps = num_steps, warmup_steps
        self.is_extended = False  # it goes on from a checkpoint whose schedule was shorter

    @property
    def parts(self) -> Backbone:
        """The encoder with its classifier's name, as `state_dicts.join_state` wants it."""
        return self._parts

    def trained_modules(self) -> list[nn.Module]:
        return [self.encoder, self.head]

    def _seed_network(self, *place: int) -> None:
        """Seeds the random numbers of dropout and stochastic depth from what names the step.

        A resumed run then draws the same ones without a state to save.
        """
        torch.manual_seed(stream_seed(NETWORK_STREAM, self.run_config.seed, self.global_step, self.global_rank, *place))

    def on_train_start(self) -> None:
        if self.is_extended:
            optim.follow(self.lr_schedulers())

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self._seed_network()

    def on_validation_start(self) -> None:
        # On a CPU each process has running statistics of its own: the main one's are validated, and saved.
        if metrics.num_processes() > 1:
            _broadcast(list(self.buffers()))

    def configure_optimizers(self) -> Any:
        config, peak = self.run_config, self.run_config.peak_learning_rate
        assert config.optimizer is not None
        optimizer = optim.make_optimizer(config.optimizer, self.trained_modules(), peak, config.weight_decay)
        scheduler = optim.schedule(
            optimizer, num_steps=self._num_steps, warmup_steps=self._warmup_steps, peak=peak, eta_min=config.eta_min
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class SimCLR(_TrainingModule):
    """Contrastive pre-training: encoder h = f(x), projector z = g(h), NT-Xent on z (Chen et al. 2020).

    Args:
        config: complete options.
        encoder: the backbone without classifier.
        num_steps: optimizer steps of the whole training, for the schedule.
        warmup_steps: steps of linear warm-up.
    """

    def __init__(self, config: PretrainConfig, encoder: Backbone, *, num_steps: int, warmup_steps: int) -> None:
        head = projection_head(encoder.num_features, config.hidden_dim, config.projection_dim)
        super().__init__(config, encoder, head, num_steps=num_steps, warmup_steps=warmup_steps)
        self.config = config
        micro = config.micro_batch_size
        self.automatic_optimization = micro is None or micro >= config.batch_per_process
        self._val_means = metrics.RunningMeans()
        self._val_features: list[tuple[Tensor, Tensor, Tensor]] = []
        self._val_candidates = 0

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) normalized images to representations h (N, num_features)."""
        h: Tensor = self.encoder(x)
        return h.flatten(1)

    def _embed(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """h (2N, num_features) and z (2N, projection_dim) of both views, each (N, 3, S, S), in one pass.

        One pass, so that BatchNorm sees both views.
        """
        x = torch.cat([first, second])  # (2N, 3, S, S)
        h = self(x.contiguous(memory_format=torch.channels_last))
        return h, self.head(h)

    def _contrast(self, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of z (2N, D), rows of the first view then of the second, and how well positives are found."""
        z1, z2 = z.chunk(2)
        loss, ranks = contrast(z1, z2, self.config.temperature)
        return loss, {"loss": loss.detach(), **metrics.contrastive_metrics(ranks, self._num_candidates(len(z)))}

    def _num_candidates(self, num_rows: int) -> int:
        """Rows among which a positive is ranked, where this process has `num_rows` of z."""
        return num_rows * metrics.num_processes() - 1

    def training_step(self, batch: Views, batch_idx: int) -> Tensor | None:
        if not self.automatic_optimization:
            self._cached_step(batch)
            return None
        *_, loss, measured = self._compare(batch)
        self.note(measured, len(batch.first))
        return loss

    def _compare(self, batch: Any) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """h and z of a batch as `_embed` gives them, and of them what `_contrast` gives."""
        h, z = self._embed(batch.first, batch.second)
        return h, z, *self._contrast(z)

    def note(self, measured: dict[str, Tensor], num_images: int) -> None:
        """Takes in what a training step has measured of so many images."""
        self.train_means.add(measured, num_images)

    def _cached_step(self, batch: Views) -> None:
        """One optimizer step on a batch that is too large to be remembered (GradCache, Gao et al. 2021).

        The loss needs the embeddings of the whole batch, but its gradient by them is small: embeddings without a
        graph, the loss's gradient by all of them, then chunk by chunk again with a graph, which that gradient is sent
        through. The sum is the gradient of the whole batch, where plain accumulation would have contrasted each chunk
        with itself only. BatchNorm's statistics are those of a chunk, both views together; its running statistics
        take in every chunk once.
        """
        assert self.config.micro_batch_size is not None
        num_chunks = -(-len(batch.first) // self.config.micro_batch_size)
        chunks = list(zip(batch.first.tensor_split(num_chunks), batch.second.tensor_split(num_chunks), strict=True))
        with torch.no_grad(), _running_statistics_kept(self.encoder):
            found = []
            for i, (first, second) in enumerate(chunks):
                self._seed_network(i)  # both passes draw the same random numbers
                found.append(self._embed(first, second)[1])
        z1, z2 = (torch.cat(parts) for parts in zip(*(z.chunk(2) for z in found), strict=True))
        # The gradient stays in float32, under 16-mixed until the scaler has scaled it: much of it is below 6e-5, where
        # float16 has few digits or none.
        z = torch.cat([z1, z2])  # (2N, projection_dim)
        z = z.to(torch.promote_types(z.dtype, torch.float32)).requires_grad_()
        loss, measured = self._contrast(z)
        (gradient,) = torch.autograd.grad(loss, z)
        self.note(measured, len(batch.first))

        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        optimizer.zero_grad()  # type: ignore[union-attr]
        first_gradients, second_gradients = (g.tensor_split(num_chunks) for g in gradient.chunk(2))
        for i, (first, second) in enumerate(chunks):
            self._seed_network(i)
            # processes exchange gradients once, with the last chunk
            waits = i < num_chunks - 1 and metrics.num_processes() > 1
            with self.trainer.strategy.block_backward_sync() if waits else contextlib.nullcontext():  # type: ignore[attr-defined]
                _, z_chunk = self._embed(first, second)
                self.manual_backward((z_chunk * torch.cat([first_gradients[i], second_gradients[i]])).sum())
        optimizer.step()  # type: ignore[union-attr]
        scheduler.step()  # type: ignore[union-attr,call-arg]

    def on_validation_epoch_start(self) -> None:
        self._val_features = []

    def validation_step(self, batch: Views, batch_idx: int) -> None:
        h, z, _, measured = self._compare(batch)
        self._val_means.add(measured, len(batch.first))
        self._val_candidates = self._num_candidates(len(z))
        if sum(len(rows) for rows, _, _ in self._val_features) < MAX_MONITORED_ROWS:
            z1, z2 = z.float().chunk(2)
            h = h[: len(z1)].to(torch.float32, copy=True)  # a CUDA graph overwrites its result
            self._val_features.append((h, z1, z2))

    def on_validation_epoch_end(self) -> None:
        means = {f"val/{name}": value for name, value in self._val_means.take().items()}
        h, z1, z2 = (self._of_all_processes(torch.cat(rows)) for rows in zip(*self._val_features, strict=True))
        positive, negative = metrics.mean_similarities(z1, z2)
        singular_h, singular_z = metrics.singular_values(h), metrics.singular_values(z1)
        self._val_features = []
        self.val_metrics = means | {
            "val/alignment": float(metrics.alignment(z1, z2)),
            "val/uniformity": float(metrics.uniformity(z1)),
            "val/positive_similarity": float(positive),
            "val/negative_similarity": float(negative),
            "val/effective_rank": float(metrics.entropy_rank(singular_h)),
            "val/effective_rank_z": float(metrics.entropy_rank(singular_z)),
        }
        self.val_health = health_of(h, z1, z2, singular_h, singular_z) | {"candidates": self._val_candidates}

    def _of_all_processes(self, rows: Tensor) -> Tensor:
        """(n, D) of each process to (at most MAX_MONITORED_ROWS, D) of all."""
        if metrics.num_processes() > 1:
            rows = self.all_gather(rows).flatten(0, 1)  # type: ignore[union-attr]
        return rows[:MAX_MONITORED_ROWS]


def health_of(h: Tensor, z1: Tensor, z2: Tensor, singular_h: Tensor, singular_z: Tensor) -> dict[str, Any]:
    """What `health.jsonl` says of the probe images: layers, spectra and similarity histograms (see `health_log.Row`).

    Args:
        h: (N, num_features) of the first views.
        z1, z2: (N, projection_dim) of both views.
        singular_h, singular_z: the layers' `metrics.singular_values`.
    """

    def layer(features: Tensor, singular: Tensor) -> dict[str, Any]:
        count = len(singular)
        kept = (singular / len(features) ** 0.5).cpu()[torch.from_numpy(health_log.spectrum_indices(count))]
        return {
            "dim": features.shape[1],
            "std": _five_digits(metrics.feature_std(features)),
            "effective_rank": _five_digits(metrics.entropy_rank(singular)),
            "num_singular": count,
            "singular": [_five_digits(value) for value in kept] if bool(kept.isfinite().all()) else [],
        }

    found: dict[str, Any] = {"images": len(h), "h": layer(h, singular_h), "z": layer(z1, singular_z)}
    if not bool(z1.isfinite().all() and z2.isfinite().all()):
        return found | {"positive": [], "negative": [], "d_prime": None}
    pairs = metrics.similarity_histograms(z1, z2, health_log.NUM_BINS)
    return found | {
        "positive": [int(count) for count in pairs.positive],
        "negative": [int(count) for count in pairs.negative],
        "d_prime": _five_digits(pairs.d_prime),
    }


def _five_digits(value: Tensor | float) -> float | None:
    """Five digits, which is more than a plot shows; None for what is not finite."""
    number = float(value)
    return float(f"{number:.5g}") if math.isfinite(number) else None


@contextlib.contextmanager
def _running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """BatchNorm normalizes with the batch, and leaves its running statistics as they are."""
    layers = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [
        (m.momentum, m.num_batches_tracked.clone() if m.num_batches_tracked is not None else None) for m in layers
    ]
    for m in layers:
        m.momentum = 0.0
    try:
        yield
    finally:
        for m, (momentum, count) in zip(layers, before, strict=True):
            m.momentum = momentum
            if count is not None and m.num_batches_tracked is not None:
                m.num_batches_tracked.copy_(count)


class Classifier(_TrainingModule):
    """Encoder and classifier on labels: fine-tuning, or training from scratch.

    Args:
        config: complete options; with `freeze_encoder` only the head is trained and BatchNorm keeps its statistics.
        encoder: the backbone without classifier.
        num_classes: width of the output.
    """

    def __init__(
        self, config: FinetuneConfig, encoder: Backbone, num_classes: int, *, num_steps: int, warmup_steps: int
    ) -> None:
        head = classifier(encoder.num_features, num_classes, config.head, config.hidden_dim)
        super().__init__(config, encoder, head, num_steps=num_steps, warmup_steps=warmup_steps)
        self.config = config
        self._val_means = metrics.RunningMeans()
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
        mix = self._draw_mix(batch)
        if mix is not None:
            return self._mixed_step(batch, mix)
        logits = self(batch.images).float()
        loss = F.cross_entropy(logits, batch.labels)
        shares = metrics.classification_shares(logits.detach(), batch.labels)
        self.train_means.add({"loss": loss, **shares}, len(batch.labels))
        return loss

    def _draw_mix(self, batch: Labelled) -> mixing.Mix | None:
        config = self.config
        if not config.mixes:
            return None
        height, width = batch.images.shape[-2:]
        return mixing.draw_mix(
            config.mixup_alpha,
            config.cutmix_alpha,
            config.mix_probability,
            seed=config.seed,
            step=self.global_step,
            height=height,
            width=width,
        )

    def _mixed_step(self, batch: Labelled, mix: mixing.Mix) -> Tensor:
        """A step on mixed images and their targets; what it measures counts a class by its weight in the target."""
        images, labels = mixing.partners_of(batch.images), mixing.partners_of(batch.labels)
        logits = self(mixing.mix_images(batch.images, images, mix)).float()
        loss = F.cross_entropy(logits, mixing.mix_targets(batch.labels, labels, mix.weight, logits.shape[1]))
        shares = mixing.mixed_shares(logits.detach(), batch.labels, labels, mix.weight)
        self.train_means.add({"loss": loss, **shares}, len(batch.labels))
        return loss

    def validation_step(self, batch: Labelled, batch_idx: int) -> None:
        logits = self(batch.images).float()
        loss = F.cross_entropy(logits, batch.labels)
        self._val_means.add({"loss": loss, **metrics.classification_shares(logits, batch.labels)}, len(batch.labels))

    def on_validation_epoch_end(self) -> None:
        # every process has seen the whole split; their common mean is what decides in all of them which epoch was best
        self.val_metrics = {f"val/{name}": value for name, value in self._val_means.take().items()}
