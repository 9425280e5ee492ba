"""What a policy draws for each view: which operations, how strong, and whether they are applied.

RandAugment (Cubuk et al. 2020, section 3) draws each operation from 14 with one strength for all. AutoAugment (Cubuk et
al. 2019, table 7) draws one of 25 pairs that were found for CIFAR-10; each of the two has its own probability and
strength. Strengths, and that an operation with a direction is turned round in half of the cases, are torchvision's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from simclr.config import Augmentation
from simclr.config.augmentation import NUM_MAGNITUDES

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
    "invert",
)
GEOMETRIC = OPERATIONS[1:6]
NUM_RANDAUGMENT = 14  # RandAugment's are all but the last
SIGNED = OPERATIONS[1:10]  # half of the times the other way
CIFAR_MAGNITUDES = 10

# Of each pair: operation, probability, magnitude from 0 to 9 or None where there is none.
CIFAR_PAIRS = (
    (("invert", 0.1, None), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, None), ("equalize", 0.9, None)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, None), ("equalize", 0.5, None)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, None), ("autocontrast", 0.4, None)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, None)),
    (("equalize", 0.2, None), ("autocontrast", 0.6, None)),
    (("equalize", 0.2, None), ("equalize", 0.6, None)),
    (("color", 0.9, 9), ("equalize", 0.6, None)),
    (("autocontrast", 0.8, None), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, None)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, None), ("solarize", 0.8, 3)),
    (("equalize", 0.8, None), ("invert", 0.1, None)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, None)),
)


@dataclass(frozen=True)
class PolicyDraw:
    """What a policy drew for N views, K operations each, in the order they are applied."""

    operations: Tensor  # (N, K) int64: index into OPERATIONS
    applied: Tensor  # (N, K) bool
    # (N, K) float64. shear: tangent; translate: share of the side; rotate: degrees, against the clock; brightness,
    # color, contrast, sharpness: factor, 1 = unchanged; posterize: bits kept; solarize: the first byte that is turned
    # round. 0 for the others.
    strengths: Tensor

    def __getitem__(self, rows: Tensor | slice) -> Self:
        return type(self)(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


def strengths_of(operation: str, num_magnitudes: int) -> Tensor:
    """(num_magnitudes,) float64: the strength at each magnitude, of those with a direction before it is drawn."""
    ends = {"translate_x": 150 / 331, "translate_y": 150 / 331, "rotate": 30.0}
    if operation == "posterize":
        return (8 - torch.arange(num_magnitudes) / ((num_magnitudes - 1) / 4)).round().double()
    if operation == "solarize":
        return 255.0 * torch.linspace(1.0, 0.0, num_magnitudes).double()
    if operation not in SIGNED:
        return torch.zeros(num_magnitudes, dtype=torch.float64)
    end = 0.3 if operation.startswith("shear") else ends.get(operation, 0.9)
    return torch.linspace(0.0, end, num_magnitudes).double()


def _signed(operations: Tensor, strengths: Tensor, negative: Tensor) -> Tensor:
    """Turns those with a direction round where `negative` says so; a blend's strength becomes its factor."""
    codes = torch.arange(len(OPERATIONS))
    has_sign = (codes >= 1) & (codes <= len(SIGNED))
    is_blend = has_sign & (codes > len(GEOMETRIC))
    strengths = torch.where(has_sign[operations] & negative, -strengths, strengths)
    return strengths + is_blend[operations]


def num_uniforms(augmentation: Augmentation) -> int:
    """How many random numbers a policy takes for one view."""
    if augmentation.policy is None:
        return 0
    return 5 if augmentation.policy == "autoaugment_cifar" else 2 * augmentation.randaugment_ops


def draw_policy(augmentation: Augmentation, u: Tensor) -> PolicyDraw | None:
    """Draws for N views from u (N, `num_uniforms`), uniform in [0, 1); None without a policy."""
    if augmentation.policy is None:
        return None
    if augmentation.policy == "randaugment":
        operations, negative = u.chunk(2, dim=1)
        operations = (operations * NUM_RANDAUGMENT).to(torch.int64).clamp_(max=NUM_RANDAUGMENT - 1)
        magnitude = augmentation.randaugment_magnitude
        table = torch.stack([strengths_of(name, NUM_MAGNITUDES)[magnitude] for name in OPERATIONS])
        strengths, applied = table[operations], torch.ones_like(operations, dtype=torch.bool)
    else:
        pair = (u[:, 0] * len(CIFAR_PAIRS)).to(torch.int64).clamp_(max=len(CIFAR_PAIRS) - 1)
        operations = torch.tensor([[OPERATIONS.index(name) for name, _, _ in each] for each in CIFAR_PAIRS])[pair]
        probabilities = torch.tensor([[share for _, share, _ in each] for each in CIFAR_PAIRS])[pair]
        table = torch.stack(
            [
                torch.stack([strengths_of(name, CIFAR_MAGNITUDES)[magnitude or 0] for name, _, magnitude in each])
                for each in CIFAR_PAIRS
            ]
        )
        strengths, applied, negative = table[pair], u[:, 1:3] < probabilities, u[:, 3:5]
    return PolicyDraw(operations, applied, _signed(operations, strengths, negative < 0.5))
