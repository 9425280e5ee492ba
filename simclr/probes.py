"""Training and judging classifiers: heads on fixed features, and the one look at the test set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simclr import optim
from simclr.config import FinetuneConfig
from simclr.data import EpochBatches
from simclr.model import classification_shares


@dataclass(frozen=True)
class HeadEpoch:
    """What one epoch of head training measured; `step` counts optimizer steps since the start."""

    epoch: int
    step: int
    lr: float
    train: dict[str, float]
    val: dict[str, float]


@torch.no_grad()
def classify(head: nn.Module, features: Tensor, labels: Tensor) -> dict[str, float]:
    """Loss (nats), top-1 and top-5 (0..1) of a head on features (N, D)."""
    logits = head(features).float()
    shares = classification_shares(logits, labels)
    return {"loss": float(F.cross_entropy(logits, labels)), **{name: float(value) for name, value in shares.items()}}


def train_head(
    head: nn.Module, features: Tensor, labels: Tensor, val: tuple[Tensor, Tensor] | None, config: FinetuneConfig, *,
    num_steps: int, warmup_steps: int, state: dict[str, Any] | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Iterator[tuple[HeadEpoch, Callable[[], dict[str, Any]]]]:  # fmt: skip
    """Trains a head on the features of a frozen encoder, in a bare loop: half a million steps are usual.

    Args:
        head: changed in place.
        features, labels: (N, D) and (N,), on the head's device.
        val: the same of the validation split.
        num_steps: after which it ends.
        state: what an earlier call's state function returned, to go on from there.
        on_step: called after each step, with the number of steps done.

    Yields:
        After every epoch, its measurements and a function that returns the state to go on from.
    """
    optimizer = optim.make_optimizer(config.optimizer, [head], config.learning_rate, config.weight_decay)
    scheduler = optim.schedule(
        optimizer, num_steps=num_steps, warmup_steps=warmup_steps, peak=config.learning_rate, eta_min=config.eta_min
    )
    step = first_epoch = 0
    if state is not None:
        head.load_state_dict(state["head"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        step, first_epoch = state["step"], state["epoch"]
    batches = EpochBatches(len(features), config.batch_size, seed=config.seed, drop_last=False)
    for epoch in range(first_epoch, config.epochs):
        batches.set_epoch(epoch)
        head.train()
        total, count = torch.zeros(3, device=features.device), 0
        for positions in batches:
            rows = torch.as_tensor(positions, device=features.device)
            logits, target = head(features[rows]), labels[rows]
            loss = F.cross_entropy(logits, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
            with torch.no_grad():
                shares = classification_shares(logits, target)
                total += torch.stack([loss.detach(), shares["top1"], shares["top5"]]) * len(rows)
            count += len(rows)
            step += 1
            if on_step is not None:
                on_step(step)
            if step >= num_steps:
                break
        head.eval()
        loss_mean, top1, top5 = (total / count).tolist()
        measured = HeadEpoch(
            epoch + 1, step, float(scheduler.get_last_lr()[0]), {"loss": loss_mean, "top1": top1, "top5": top5},
            classify(head, *val) if val is not None else {},
        )  # fmt: skip
        done, now = epoch + 1, step

        def current(done: int = done, now: int = now) -> dict[str, Any]:
            return {
                "head": head.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
                "step": now, "epoch": done,
            }  # fmt: skip

        yield measured, current
        if step >= num_steps:
            return


def evaluation_of(logits: Tensor, labels: Tensor, classes: tuple[str, ...]) -> dict[str, Any]:
    """Test figures for `evaluation.json`: loss, top-1, top-5, accuracy per class (0..1) and the confusion matrix.

    Args:
        logits: (N, num_classes), labels: (N,).

    Returns:
        `confusion[i][j]` counts images of class i that were called j.
    """
    logits, labels = logits.float().cpu(), labels.cpu()
    predicted = logits.argmax(dim=1)
    num_classes = len(classes)
    confusion = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2).view(num_classes, -1)
    per_class = confusion.diagonal() / confusion.sum(dim=1).clamp(min=1)
    shares = classification_shares(logits, labels)
    return {
        "test/loss": float(F.cross_entropy(logits, labels)),
        "test/top1": float(shares["top1"]),
        "test/top5": float(shares["top5"]),
        "num_test_images": len(labels),
        "classes": list(classes),
        "per_class": per_class.tolist(),
        "confusion": confusion.tolist(),
    }
