"""What the linear probe costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from simclr.bench.timing import Row, seconds_of
from simclr.evaluation.linear_probe import fit_linear_probe


def labelled_features(count: int, dim: int, num_classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (count, dim) in which classes overlap and directions differ in spread, as an encoder's do."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % num_classes
    mixing = torch.randn(dim, dim, generator=torch.Generator().manual_seed(1)) / dim**0.5
    centres = torch.randn(num_classes, dim, generator=torch.Generator().manual_seed(2))
    spread = torch.logspace(0, -2, dim)
    features = (0.5 * centres[labels] + 2 * torch.randn(count, dim, generator=generator)) * spread @ mixing
    return features.relu(), labels


def measure(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """The linear probe on 45,000 x 512 features, its regularisation chosen on 5,000 others."""
    features, labels = labelled_features(50_000, 512, 10)
    train, val = (features[:45_000], labels[:45_000]), (features[45_000:], labels[45_000:])
    seconds = [seconds_of(lambda: fit_linear_probe(*train, val, 10), time.perf_counter) for _ in range(2)]
    yield Row(
        "probe", "linear probe, 45,000 x 512, ten classes, all strengths", statistics.median(seconds), "s", repeats=2
    )
