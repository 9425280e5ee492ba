"""Optimizers, parameter groups and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from simclr.models import compute

MOMENTUM = 0.9
ADAM_BETAS, ADAM_EPSILON = (0.9, 0.999), 1e-8
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # a, b, c of x <- a x + b (x x^T) x + c (x x^T)^2 x: steep at zero


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose step is scaled per layer by |weights| / |gradient| (You, Gitman and Ginsburg 2017).

    Groups with `adapt=False` (biases and normalization layers) take plain momentum steps, as in Chen et al. 2020,
    section B.1. The weight decay is part of the gradient that is scaled, as in the reference code. Each operation takes
    all tensors of a group at once, so that a GPU waits for few of them.

    Args:
        lr: peak learning rate.
        trust_coefficient: how far a layer may move in one step, relative to its norm.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = MOMENTUM,
        trust_coefficient: float = 0.001,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "adapt": True,
            "trust_coefficient": trust_coefficient,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            steps = [parameter.grad for parameter in parameters]
            if group["adapt"]:
                steps = list(torch._foreach_add(steps, parameters, alpha=group["weight_decay"]))
                torch._foreach_mul_(steps, _trust(parameters, steps, group["trust_coefficient"]))
            for parameter in parameters:
                if "momentum_buffer" not in self.state[parameter]:
                    self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
            buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, steps)
            torch._foreach_add_(parameters, buffers, alpha=-group["lr"])
        return loss


def _trust(parameters: list[Tensor], steps: list[Tensor], coefficient: float) -> tuple[Tensor, ...]:
    """By what each layer's step is multiplied: `coefficient` |weights| / |step|, or 1 where one of them is zero.

    No `if` on the norms: it would wait for the GPU.
    """
    weights, lengths = torch.stack(torch._foreach_norm(parameters)), torch.stack(torch._foreach_norm(steps))
    trust = coefficient * weights / lengths
    return torch.where((weights > 0) & (lengths > 0), trust, torch.ones_like(trust)).unbind()


class Muon(torch.optim.Optimizer):
    """Momentum whose step is the nearest orthogonal matrix (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

    A convolution's weights are taken as a matrix with a row for each output channel. The step is scaled to the size
    that one of AdamW has (Liu et al. 2025, arXiv 2502.16982), so that the learning rates of AdamW serve. Groups with
    `adapt=False` (biases and normalization layers) take the steps of Adam. `torch.optim.Muon` does the same for
    matrices, and takes nothing else.

    Args:
        lr: peak learning rate.
        weight_decay: taken off the weights themselves, as in AdamW.
    """

    def __init__(self, params: Iterable[Any], lr: float, weight_decay: float = 0.0, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "adapt": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                step = self._orthogonal_step if group["adapt"] and parameter.ndim > 1 else self._adam_step
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(step(parameter, group["momentum"]), alpha=-group["lr"])
        return loss

    def _orthogonal_step(self, parameter: Tensor, momentum: float) -> Tensor:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        matrix = gradient.lerp(buffer, momentum).flatten(1)  # Nesterov's
        scale = 0.2 * math.sqrt(max(matrix.shape))
        return scale * orthogonalized(matrix).to(parameter.dtype).view(parameter.shape)

    def _adam_step(self, parameter: Tensor, momentum: float) -> Tensor:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state |= {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        first, second = ADAM_BETAS
        state["step"] += 1
        state["exp_avg"].lerp_(gradient, 1 - first)
        state["exp_avg_sq"].lerp_(gradient.square(), 1 - second)
        mean = state["exp_avg"] / (1 - first ** state["step"])
        deviation = (state["exp_avg_sq"] / (1 - second ** state["step"])).sqrt_()
        return mean / (deviation + ADAM_EPSILON)


def orthogonalized(matrix: Tensor) -> Tensor:
    """About U V^T of a matrix U S V^T: singular values mostly of 0.7 to 1.2, by five steps of Newton and Schulz.

    In bfloat16, which is exact enough for that, where the device computes it natively, else in float32.

    Args:
        matrix: (rows, columns); of zeros alone, it stays so.
    """
    x = matrix.bfloat16() if compute.has_native_bfloat16(matrix.device) else matrix.float()
    if is_tall := x.shape[0] > x.shape[1]:
        x = x.mT
    x = x / x.norm().clamp(min=1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(5):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


def parameter_groups(modules: Iterable[nn.Module], weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: weights with decay, and biases and normalization layers (one-dimensional) without."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay, "adapt": True},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, "adapt": False},
    ]


def make_optimizer(name: str, modules: Iterable[nn.Module], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """The optimizer called `name`: adamw, adam, sgd (momentum 0.9), lars or muon."""
    groups = parameter_groups(modules, weight_decay)
    if name in ("lars", "muon"):
        return {"lars": LARS, "muon": Muon}[name](groups, lr=lr)
    for group in groups:
        group.pop("adapt")  # only those two read it
    fused = all(p.dtype == torch.float32 for group in groups for p in group["params"])
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM, fused=fused)
    return {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[name](groups, lr=lr, fused=fused)


def warmup_cosine(step: int, *, num_steps: int, warmup_steps: int, floor: float) -> float:
    """Factor on the peak learning rate at `step`: linear rise, then a cosine to `floor` at the last step.

    Args:
        step: optimizer steps done, 0..num_steps - 1.
        num_steps: steps in all.
        warmup_steps: length of the rise; the first step is already above zero.
        floor: final rate divided by the peak rate.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    share = (step - warmup_steps) / max(1, num_steps - 1 - warmup_steps)
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))


def follow(scheduler: Any) -> None:
    """Sets the learning rates to those that a scheduler of `schedule` has at its step.

    Those of a checkpoint are of the schedule that was in force when it was written, which may have been shorter.
    """
    for group, base, factor in zip(
        scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
    ):
        group["lr"] = base * factor(scheduler.last_epoch)
    scheduler._last_lr = [group["lr"] for group in scheduler.optimizer.param_groups]


def schedule(
    optimizer: torch.optim.Optimizer, *, num_steps: int, warmup_steps: int, peak: float, eta_min: float
) -> torch.optim.lr_scheduler.LambdaLR:
    """A scheduler, stepped once per optimizer step, that follows `warmup_cosine`."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: warmup_cosine(
            step, num_steps=num_steps, warmup_steps=min(warmup_steps, num_steps // 2), floor=eta_min / peak
        ),
    )
