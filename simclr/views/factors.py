"""The random factors of views: what is drawn for each image, and how one view is taken apart into its operations.

Every random factor of a view is a hash of (seed, epoch, image, view): the same view comes out for any batch, order,
number of processes or device, and any view can be drawn again later. Factors are drawn for whole batches, one per
image, so that the dashboard can show them and the trainer never loops over images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from simclr.config import Augmentation
from simclr.views.policies.drawing import PolicyDraw, draw_policy, num_uniforms

JITTER_PARTS = ("brightness", "contrast", "saturation", "hue")
# Validation views are drawn in an epoch that training never reaches: the same ones each time.
VALIDATION_EPOCH = 1 << 30
NUM_UNIFORMS = 16  # of a view, before those of its crop
CROP_TRIES = 10  # as in torchvision's RandomResizedCrop, before it falls back to the largest centred box

_MASK = 0xFFFFFFFF
Integers = TypeVar("Integers", int, Tensor)


def _mix(x: Integers) -> Integers:
    """A 32-bit integer hash with low bias, on int64 so that it is the same on every device."""
    x = (x ^ (x >> 16)) * 0x7FEB352D & _MASK
    x = (x ^ (x >> 15)) * 0x846CA68B & _MASK
    return x ^ (x >> 16)


def uniforms(seed: int, epoch: int, ids: Tensor, view: int | Tensor, num: int) -> Tensor:
    """Returns (N, num) float32 in [0, 1): the random numbers of images `ids` (N,) in this epoch and view.

    `view` may be one number or one per image, (N,).
    """
    ids = ids.to(torch.int64)
    state = _mix(seed * 0x9E3779B1 & _MASK)
    state = _mix((state + epoch * 0x85EBCA77 + 1) & _MASK)
    by_view = _mix((state + torch.as_tensor(view, device=ids.device) * 0xC2B2AE3D + 2) & _MASK)  # () or (N,)
    rows = _mix((by_view + ids * 0x27D4EB2F) & _MASK)  # (N,)
    columns = _mix((torch.arange(1, num + 1, device=ids.device) * 0x165667B1) & _MASK)  # (num,)
    bits = _mix(_mix(rows[:, None] ^ columns) + columns & _MASK)  # (N, num)
    return (bits >> 8).to(torch.float32) * 2.0**-24


@dataclass(frozen=True)
class Factors:
    """What was drawn for one view of N images; every tensor has N rows."""

    box: Tensor  # (N, 4) int64: top, left, height, width of the crop, in pixels
    flip: Tensor  # (N,) bool
    jitter: Tensor  # (N,) bool
    order: Tensor  # (N, 4) int64: the jitter parts in the order they are applied
    brightness: Tensor  # (N,) factor, 1 = unchanged
    contrast: Tensor  # (N,) factor
    saturation: Tensor  # (N,) factor
    hue: Tensor  # (N,) shift along the colour circle, -0.5..0.5
    grayscale: Tensor  # (N,) bool
    blur: Tensor  # (N,) bool
    sigma: Tensor  # (N,) pixels
    policy: PolicyDraw | None = None  # what a policy drew, if the augmentation has one

    def __getitem__(self, rows: Tensor | slice) -> Self:
        found: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        found = {name: None if value is None else value[rows] for name, value in found.items()}
        return type(self)(**found)


def draw_factors(
    augmentation: Augmentation, ids: Tensor, *, seed: int, epoch: int, view: int | Tensor, height: int, width: int
) -> Factors:
    """Draws all random factors for one view of images `ids` (N,), which are `height` x `width` pixels large.

    `view` may be one number or one per image, (N,).
    """
    a = augmentation
    num_plain = NUM_UNIFORMS + 4 * CROP_TRIES
    u = uniforms(seed, epoch, ids, view, num_plain + num_uniforms(a))  # (N, 56 or more)
    reach = torch.tensor([a.brightness, a.contrast, a.saturation])
    jitter_factors = 1.0 + reach * (2 * u[:, 5:8] - 1)
    return Factors(
        box=_draw_boxes(a, u[:, 0], u[:, NUM_UNIFORMS:num_plain].unflatten(1, (CROP_TRIES, 4)), height, width),
        flip=u[:, 1] < a.flip_probability,
        jitter=u[:, 2] < a.jitter_probability,
        grayscale=u[:, 3] < a.grayscale_probability,
        blur=u[:, 4] < a.blur_probability,
        brightness=jitter_factors[:, 0],
        contrast=jitter_factors[:, 1],
        saturation=jitter_factors[:, 2],
        hue=a.hue * (2 * u[:, 8] - 1),
        sigma=a.blur_sigma_min + (a.blur_sigma_max - a.blur_sigma_min) * u[:, 9],
        order=u[:, 10:14].argsort(dim=1),
        policy=draw_policy(a, u[:, num_plain:]),
    )


def _draw_boxes(a: Augmentation, u_apply: Tensor, u: Tensor, height: int, width: int) -> Tensor:
    """(N, 4) crop boxes from u (N, tries, 4), by torchvision's rule: area and log ratio uniform, first that fits."""
    area = height * width * (a.crop_scale_min + (a.crop_scale_max - a.crop_scale_min) * u[..., 0])
    log_low, log_high = math.log(a.crop_ratio_min), math.log(a.crop_ratio_max)
    ratio = torch.exp(log_low + (log_high - log_low) * u[..., 1])
    w = torch.round(torch.sqrt(area * ratio))  # (N, tries)
    h = torch.round(torch.sqrt(area / ratio))
    fits = (w >= 1) & (w <= width) & (h >= 1) & (h <= height)
    first = fits.to(torch.int8).argmax(dim=1, keepdim=True)  # (N, 1)
    w, h, u_top, u_left = (value.gather(1, first)[:, 0] for value in (w, h, u[..., 2], u[..., 3]))
    top, left = torch.floor(u_top * (height - h + 1)), torch.floor(u_left * (width - w + 1))

    none_fits = ~fits.any(dim=1)
    in_ratio = width / height
    best_w = min(width, max(1, round(height * a.crop_ratio_max))) if in_ratio > a.crop_ratio_max else width
    best_h = min(height, max(1, round(width / a.crop_ratio_min))) if in_ratio < a.crop_ratio_min else height
    h, w = torch.where(none_fits, best_h, h), torch.where(none_fits, best_w, w)
    top = torch.where(none_fits, (height - best_h) // 2, top)
    left = torch.where(none_fits, (width - best_w) // 2, left)

    whole = u_apply >= a.crop_probability
    box = torch.stack([top, left, h, w], dim=1).to(torch.int64)
    return torch.where(whole[:, None], torch.tensor([0, 0, height, width]), box)


def step_by_step(factors: Factors) -> tuple[list[str], Factors]:
    """One view taken apart: its operations by name, in the order they are applied, and the factors of each stage.

    Args:
        factors: one row.

    Returns:
        K names (crop, flip, `policy 0` and so on for what a policy drew, the jitter parts as drawn, grayscale, blur)
        and K rows: row k does what the view does up to operation k and nothing of what follows. The last row is the
        view itself, to the bit.
    """
    order = [JITTER_PARTS[part] for part in factors.order[0].tolist()]
    num_drawn = 0 if factors.policy is None else factors.policy.operations.shape[1]
    names = ["crop", "flip", *(f"policy {number}" for number in range(num_drawn)), *order, "grayscale", "blur"]
    stages = torch.arange(len(names))
    done = {name: stages >= index for index, name in enumerate(names)}  # (K,) each
    rows = factors[torch.zeros_like(stages)]
    policy = rows.policy
    if policy is not None:
        policy = replace(policy, applied=policy.applied & (stages[:, None] >= 2 + torch.arange(num_drawn)))
    switches = {name: getattr(rows, name) & done[name] for name in ("flip", "grayscale", "blur")}
    unchanged = torch.tensor([1.0, 1.0, 1.0, 0.0])
    parts = {
        name: torch.where(done[name], getattr(rows, name), value)
        for name, value in zip(JITTER_PARTS, unchanged, strict=True)
    }
    return names, replace(rows, policy=policy, jitter=rows.jitter & done[order[0]], **switches, **parts)
