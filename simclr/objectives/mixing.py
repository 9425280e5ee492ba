"""MixUp and CutMix: a batch of images mixed with itself, and the targets that belong to it.

Both train on images between the training images (vicinal risk, Zhang et al. 2018). One weight holds for a whole batch,
and the image before each in the batch is the one that it is mixed with, as in `torchvision.transforms.v2`: batches are
shuffled anyway. Weight and box depend on (seed, step) alone, so that they are the same on every device, in every
process, and in a run that was resumed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from simclr.data.sampling import MIX_STREAM
from simclr.objectives import metrics


class Mix(NamedTuple):
    """How one batch is mixed.

    Attributes:
        weight: of each image's own class in its target, 0..1; the class of the image before it has the rest.
        box: top, left, bottom and right in pixels (CutMix): what lies within is of the image before. None: all pixels
            are blended by the weight (MixUp).
    """

    weight: float
    box: tuple[int, int, int, int] | None = None


def cutmix(weight: float, center: tuple[int, int], height: int, width: int) -> Mix:
    """The box that takes 1 - `weight` of the area around a center (row, column), cut off at the image's edges.

    The mix has the weight that is left by what lies within the image (Yun et al. 2019; as torchvision rounds it).
    """
    ratio = 0.5 * math.sqrt(1.0 - weight)
    half_height, half_width = int(ratio * height), int(ratio * width)
    top, left = max(center[0] - half_height, 0), max(center[1] - half_width, 0)
    bottom, right = min(center[0] + half_height, height), min(center[1] + half_width, width)
    return Mix(1.0 - (bottom - top) * (right - left) / (height * width), (top, left, bottom, right))


def draw_mix(
    mixup_alpha: float, cutmix_alpha: float, probability: float, *, seed: int, step: int, height: int, width: int
) -> Mix | None:
    """How the batch of a step is mixed; None: not at all.

    Args:
        mixup_alpha, cutmix_alpha: of Beta(alpha, alpha), from which the weight is drawn; 0: not so. With both above 0
            each batch is mixed by one of them, half and half (torchvision's `RandomChoice`).
        probability: share of the batches that are mixed, 0..1.
        step: optimizer steps before this one.
        height, width: of the images, in pixels.
    """
    generator = np.random.default_rng([MIX_STREAM, seed, step])
    # always as many numbers, so that one option changes nothing that another draws
    share, choice, row, column = generator.random(4)
    if share >= probability or not (mixup_alpha > 0 or cutmix_alpha > 0):
        return None
    cuts = choice < 0.5 if mixup_alpha > 0 and cutmix_alpha > 0 else cutmix_alpha > 0
    alpha = cutmix_alpha if cuts else mixup_alpha
    weight = float(generator.beta(alpha, alpha))
    return cutmix(weight, (int(row * height), int(column * width)), height, width) if cuts else Mix(weight)


def partners_of(rows: Tensor) -> Tensor:
    """What each row of a batch (N, ...) is mixed with: the row before it, and the last for the first.

    With several processes it is the row before it in the whole batch, of which process r of R has every R-th row from
    the r-th on: so that they mix as one would. All of them have to call it.
    """
    number = metrics.num_processes()
    if number == 1:
        return rows.roll(1, 0)
    rank, received = dist.get_rank(), torch.empty_like(rows, memory_format=torch.contiguous_format)
    messages = [
        dist.P2POp(dist.isend, rows.contiguous(), (rank + 1) % number),
        dist.P2POp(dist.irecv, received, (rank - 1) % number),
    ]
    for work in dist.batch_isend_irecv(messages):
        work.wait()
    return received.roll(1, 0) if rank == 0 else received


def mix_images(images: Tensor, partners: Tensor, mix: Mix) -> Tensor:
    """Images (N, C, H, W), float, mixed with others of the same shape; MixUp (Zhang et al. 2018), equation 1."""
    if mix.box is None:
        return partners.mul(1.0 - mix.weight).add_(images.mul(mix.weight))
    top, left, bottom, right = mix.box
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = partners[..., top:bottom, left:right]
    return mixed


def mix_targets(labels: Tensor, partners: Tensor, weight: float, num_classes: int) -> Tensor:
    """Targets (N, num_classes) float32 of mixed images whose own classes, and their partners', are given (N,)."""
    own, other = (F.one_hot(classes, num_classes).float() for classes in (labels, partners))
    return other.mul_(1.0 - weight).add_(own.mul(weight))


def mixed_shares(logits: Tensor, labels: Tensor, partners: Tensor, weight: float) -> dict[str, Tensor]:
    """`top1` and `top5` of (N, num_classes) logits of mixed images, 0..1: a class counts by its weight in the target.

    As in the code of Zhang et al. 2018. The best that can be reached is below 1: the larger weight is most of it.
    """
    own, other = (metrics.classification_shares(logits, classes) for classes in (labels, partners))
    return {name: weight * own[name] + (1.0 - weight) * other[name] for name in own}
