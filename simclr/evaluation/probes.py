"""Training and judging classifiers: heads and linear probes on fixed features, and the one look at the test set."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simclr.config import FinetuneConfig
from simclr.data.batches import EpochBatches
from simclr.data.transfer import to_device
from simclr.objectives import optim
from simclr.objectives.metrics import RunningMeans, classification_shares

# Strengths that a linear probe chooses from, strongest first: half decades.
L2_STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(0, -11, -1))
DEFAULT_L2 = 1e-3  # where there are no validation images to choose with


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
        if step >= num_steps:
            return
        batches.set_epoch(epoch)
        head.train()
        means = RunningMeans()
        positions = list(batches)
        on_device = to_device(torch.cat(positions), features.device)  # once for the epoch
        for rows in on_device.split([len(batch) for batch in positions]):
            logits, target = head(features[rows]), labels[rows]
            loss = F.cross_entropy(logits, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
            means.add({"loss": loss, **classification_shares(logits.detach(), target)}, len(rows))
            step += 1
            if on_step is not None:
                on_step(step)
            if step >= num_steps:
                break
        head.eval()
        measured = HeadEpoch(
            epoch + 1, step, float(scheduler.get_last_lr()[0]), means.take(),
            classify(head, *val) if val is not None else {},
        )  # fmt: skip
        done, now = epoch + 1, step

        def current(done: int = done, now: int = now) -> dict[str, Any]:
            return {
                "head": head.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
                "step": now, "epoch": done,
            }  # fmt: skip

        yield measured, current


TRIAL_STEPS, TRIAL_ROWS = 20, 8192


def try_head(head: nn.Module, num_features: int, config: FinetuneConfig) -> tuple[float, int]:
    """Seconds that some steps of a copy of `head` take, and their number; `head` and random numbers stay as they are.

    Args:
        num_features: of its input.
    """
    device = next(head.parameters()).device
    num_steps = max(1, min(TRIAL_STEPS, TRIAL_ROWS // config.batch_size))
    rows = num_steps * config.batch_size
    features, labels = torch.zeros(rows, num_features, device=device), torch.zeros(rows, device=device).long()
    seconds = 0.0
    for _ in range(2):  # the first time, libraries set themselves up
        start = time.monotonic()
        next(train_head(copy.deepcopy(head), features, labels, None, config, num_steps=num_steps, warmup_steps=0))
        seconds = time.monotonic() - start
    return seconds, num_steps


# --- linear probe ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LinearProbe:
    """A multinomial logistic regression on features, as `linear_probe` fits it.

    mean, spread: (D,) and (D,), by which features are standardized.
    weight, bias: (num_classes, D) and (num_classes,), for standardized features.
    l2: the strength used, of |W|^2 / 2 beside the mean cross-entropy in nats, W the weight.
    c: the same as scikit-learn's `C`, 1 / (l2 N).
    tried: for each strength its accuracy (0..1) and loss (nats) on the validation features; empty without them.
    """

    mean: Tensor
    spread: Tensor
    weight: Tensor
    bias: Tensor
    l2: float
    c: float
    tried: dict[float, tuple[float, float]]

    def __call__(self, features: Tensor) -> Tensor:
        """Logits (N, num_classes) of features (N, D)."""
        standardized = (features.to(self.mean.dtype) - self.mean) / self.spread
        return torch.addmm(self.bias, standardized, self.weight.T)


def linear_probe(
    features: Tensor, labels: Tensor, val: tuple[Tensor, Tensor] | None, num_classes: int, *,
    strengths: Sequence[float] = L2_STRENGTHS, tolerance: float = 1e-3,
    on_strength: Callable[[float], None] | None = None,
) -> LinearProbe:  # fmt: skip
    """The L2-regularized logistic regression that does best on validation features: a linear probe.

    Fitted by L-BFGS without augmentation, the strength from a logarithmic grid (Kornblith et al. 2019; Chen et al.
    2020, B.8). Two things differ from there. Features are standardized by the training images, as by the BatchNorm
    without weights before the classifier in Doersch et al. 2015 and He et al. 2022 (MAE, A.1): one grid then fits every
    encoder, whatever the scale of its features. And the validation images choose only, nothing is fitted on them
    afterwards, since no other arm of the comparison trains on them.

    Args:
        features, labels: (N, D) and (N,) of the training images. float64 is computed in float64, all else in float32.
        val: the same of the validation images. Most right answers win; ties the lower loss, then the stronger. None
            or empty: `DEFAULT_L2`.
        num_classes: K; classes without a training image are allowed.
        strengths: to choose from, strongest first: each fit starts where the one before ended.
        tolerance: a fit ends when no entry of its gradient is larger, in the units of `_Regression`.
        on_strength: called with the share of the strengths done, 0..1.

    Raises:
        ValueError: if there are no features, or some are not finite.
    """
    if len(features) == 0 or not features.isfinite().all():
        raise ValueError(f"features are {tuple(features.shape)}; allowed: at least one row, all values finite")
    if val is None or len(val[0]) == 0:
        val, strengths = None, (DEFAULT_L2,)
    problem = _Regression(features if features.dtype == torch.float64 else features.float(), labels, num_classes)
    tried: dict[float, tuple[float, float]] = {}
    best: tuple[tuple[float, float], LinearProbe] | None = None
    for done, l2 in enumerate(strengths, start=1):
        weight, bias = problem.fit(l2, tolerance)
        probe = LinearProbe(problem.mean, problem.spread, weight, bias, l2, 1.0 / (l2 * len(features)), tried)
        score = (0.0, 0.0)
        if val is not None:
            logits = probe(val[0])
            top1, loss = float(classification_shares(logits, val[1])["top1"]), float(F.cross_entropy(logits, val[1]))
            tried[l2], score = (top1, loss), (top1, -loss)
        if best is None or score > best[0]:
            best = score, probe
        if on_strength is not None:
            on_strength(done / len(strengths))
    assert best is not None, "no strengths"
    return best[1]


class _Regression:
    """Mean cross-entropy + l2 |W|^2 / 2 on standardized features: convex, smooth, and badly scaled.

    Features of an encoder are strongly correlated, so that plain L-BFGS needs hundreds of passes over them. Along their
    principal directions x they are not, and |W| stays what it is: there each weight is measured in units of its own
    curvature^(-1/2), with mean p (1 - p) x^2 + l2 at the start of a fit, p the share of its class. Steps are then of
    about the same size in all directions, and some tens of passes do.
    """

    MAX_ITERATIONS = 500

    def __init__(self, features: Tensor, labels: Tensor, num_classes: int) -> None:
        self.mean = features.mean(dim=0)
        x = features - self.mean  # (N, D)
        spread = x.square().mean(dim=0).sqrt()
        # a feature that is constant but for rounding is not enlarged: that would be noise
        self.spread = torch.where(spread > 1e-6 * features.abs().amax(dim=0), spread, torch.ones_like(spread))
        x /= self.spread
        _, self.directions = torch.linalg.eigh(x.T @ x / len(x))  # (D, D)
        self.x = x @ self.directions
        self.labels, self.rows = labels, torch.arange(len(x), device=x.device)
        self.weight = x.new_zeros(num_classes, features.shape[1])  # (K, D) along the directions
        self.bias = x.new_zeros(num_classes, 1)

    def _log_shares(self, weight: Tensor, bias: Tensor) -> Tensor:
        # Classes first, (K, N): with few of them, products and sums of this shape are several times quicker.
        return torch.addmm(bias, weight, self.x.T).log_softmax(dim=0)

    @torch.no_grad()
    def fit(self, l2: float, tolerance: float) -> tuple[Tensor, Tensor]:
        """Weight (K, D) and bias (K,), starting from those of the last fit."""
        shares = self._log_shares(self.weight, self.bias).exp_()
        curvature = (shares * (1.0 - shares)) / len(self.x)  # (K, N)
        units = (curvature @ self.x.square() + l2).rsqrt()  # (K, D)
        bias_units = curvature.sum(dim=1, keepdim=True).clamp(min=1e-6).rsqrt()
        position = torch.cat([self.weight / units, self.bias / bias_units], dim=1)  # (K, D + 1)

        def loss_and_gradient() -> Tensor:
            weight, bias = position[:, :-1] * units, position[:, -1:] * bias_units
            log_shares = self._log_shares(weight, bias)
            loss = 0.5 * l2 * weight.square().sum() - log_shares[self.labels, self.rows].mean()
            error = log_shares.exp_()
            error[self.labels, self.rows] -= 1.0
            error /= len(self.x)
            by_weight = error @ self.x + l2 * weight
            position.grad = torch.cat([by_weight * units, error.sum(dim=1, keepdim=True) * bias_units], dim=1)
            return loss

        optimizer = torch.optim.LBFGS(
            [position], max_iter=self.MAX_ITERATIONS, tolerance_grad=tolerance, tolerance_change=10.0 * tolerance**2,
            history_size=20, line_search_fn="strong_wolfe",
        )  # fmt: skip
        optimizer.step(loss_and_gradient)  # type: ignore[arg-type]
        self.weight, self.bias = position[:, :-1] * units, position[:, -1:] * bias_units
        return self.weight @ self.directions.T, self.bias[:, 0]


# --- the test images ------------------------------------------------------------------------------------------------


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
