"""Heads on top of an encoder: the projection head of the loss, and classifiers."""

from __future__ import annotations

from typing import Literal

from torch import nn


def mlp(num_features: int, hidden_dim: int, out_dim: int) -> nn.Sequential:
    """Linear, ReLU, linear: (N, num_features) to (N, out_dim). Its keys are `0` and `2`."""
    return nn.Sequential(nn.Linear(num_features, hidden_dim), nn.ReLU(inplace=True), nn.Linear(hidden_dim, out_dim))


def projection_head(num_features: int, hidden_dim: int, projection_dim: int) -> nn.Sequential:
    """z = g(h), the nonlinear head in which views are compared (Chen et al. 2020, section 4.2)."""
    return mlp(num_features, hidden_dim, projection_dim)


def classifier(num_features: int, num_classes: int, kind: Literal["linear", "mlp"], hidden_dim: int) -> nn.Module:
    """(N, num_features) to (N, num_classes) logits."""
    return nn.Linear(num_features, num_classes) if kind == "linear" else mlp(num_features, hidden_dim, num_classes)
