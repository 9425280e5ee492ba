"""Optimizers, parameter groups and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.9


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


def parameter_groups(modules: Iterable[nn.Module], weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: weights with decay, and biases and normalization layers (one-dimensional) without."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay, "adapt": True},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, "adapt": False},
    ]


def make_optimizer(name: str, modules: Iterable[nn.Module], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """The optimizer called `name`: adamw, adam, sgd (momentum 0.9) or lars."""
    groups = parameter_groups(modules, weight_decay)
    if name == "lars":
        return LARS(groups, lr=lr)
    for group in groups:
        group.pop("adapt")  # only LARS reads it
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
