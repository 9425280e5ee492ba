"""The linear probe: a regularized logistic regression on fixed features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from simclr.objectives.metrics import classification_shares

# Strengths that a linear probe chooses from, strongest first: half decades.
L2_STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(0, -11, -1))
DEFAULT_L2 = 1e-3  # where there are no validation images to choose with


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


def fit_linear_probe(
    features: Tensor,
    labels: Tensor,
    val: tuple[Tensor, Tensor] | None,
    num_classes: int,
    *,
    strengths: Sequence[float] = L2_STRENGTHS,
    tolerance: float = 1e-3,
    on_strength: Callable[[float], None] | None = None,
) -> LinearProbe:
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
            [position],
            max_iter=self.MAX_ITERATIONS,
            tolerance_grad=tolerance,
            tolerance_change=10.0 * tolerance**2,
            history_size=20,
            line_search_fn="strong_wolfe",
        )
        optimizer.step(loss_and_gradient)  # type: ignore[arg-type]
        self.weight, self.bias = position[:, :-1] * units, position[:, -1:] * bias_units
        return self.weight @ self.directions.T, self.bias[:, 0]
