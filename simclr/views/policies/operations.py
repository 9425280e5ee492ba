"""The operations of policies, on whole bytes as torchvision has them on uint8 images.

A policy is defined on bytes: to equalize a histogram, or to keep some bits, needs whole numbers. Pixels are 0..255 in
float32 here, always whole, and results are cut to whole numbers as torchvision does, so views are equal to its own. All
take planes (3, n, H, W) and give planes, and no image depends on what else is among the n.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from simclr.views.color import luma

LARGEST = 255.0


# --- where pixels come from ----------------------------------------------------------------------------------------


def _inverse(operation: str, strength: float, size: int) -> list[list[float]]:
    """(2, 3): from a pixel of the view to where it comes from; both measured from the centre."""
    if operation == "rotate":
        sine, cosine = math.sin(math.radians(-strength)), math.cos(math.radians(-strength))
        return [[cosine, sine, 0.0], [-sine, cosine, 0.0]]
    if operation.startswith("translate"):
        # cut to whole pixels towards 0; the small term is for products that are whole but for their rounding
        pixels = math.copysign(math.floor(abs(strength) * size + 1e-4), strength)
        return [[1.0, 0.0, -pixels], [0.0, 1.0, 0.0]] if operation == "translate_x" else [[1, 0, 0], [0, 1, -pixels]]
    # about the first corner, which is half of the size from the centre
    tangent = math.tan(math.radians(math.degrees(math.atan(strength))))
    if operation == "shear_x":
        return [[1.0, tangent, tangent * size * 0.5], [0.0, 1.0, 0.0]]
    return [[1.0, 0.0, 0.0], [tangent, 1.0, tangent * size * 0.5]]


@lru_cache(maxsize=256)
def source_map(operation: str, strength: float, size: int, device: torch.device) -> Tensor:
    """(size * size,) int64: which pixel of an image each pixel of the view is; size * size where it lies outside.

    The nearest pixel is taken. It is found on the CPU, so that ties fall the same way on every device.
    """
    steps = torch.linspace((1.0 - size) * 0.5, (size - 1.0) * 0.5, size)
    base = torch.stack([steps.expand(size, size), steps[:, None].expand(size, size), torch.ones(size, size)], dim=2)
    theta = torch.tensor(_inverse(operation, strength, size)).T / (0.5 * size)
    place = base.view(1, size * size, 3).bmm(theta[None])[0]  # (size * size, 2), from -1 to 1
    x, y = (((place + 1) * size - 1) / 2).round().to(torch.int64).unbind(1)
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    return torch.where(inside, y * size + x, size * size).to(device)


def move(planes: Tensor, maps: Tensor) -> Tensor:
    """Takes each pixel from where maps (n, H * W) say; black where that is outside."""
    pixels = torch.nn.functional.pad(planes.flatten(2), (0, 1))  # (3, n, H * W + 1)
    return pixels.gather(2, maps.expand(3, -1, -1)).view(planes.shape)


# --- blends --------------------------------------------------------------------------------------------------------


def _blend(planes: Tensor, others: Tensor, factor: Tensor) -> Tensor:
    """planes * factor + others * (1 - factor), cut to whole bytes; `factor` (n,) float64.

    The sum is rounded once, as by the instruction that torchvision's blend comes down to.
    """
    share, rest = factor.float()[:, None, None], (1.0 - factor).float()[:, None, None]
    mixed = torch.addcmul((planes * share).double(), others.double(), rest.double()).float()
    return mixed.clamp_(0.0, LARGEST).floor_()


def brightness(planes: Tensor, factor: Tensor) -> Tensor:
    return (planes * factor.float()[:, None, None]).clamp_(0.0, LARGEST).floor_()


def color(planes: Tensor, factor: Tensor) -> Tensor:
    """Blends each image with its luma: 0 = no colour, 1 = unchanged."""
    return _blend(planes, luma(planes, torch.empty_like(planes[0])).floor_(), factor)


def contrast(planes: Tensor, factor: Tensor) -> Tensor:
    """Blends each image with its mean luma."""
    others = luma(planes, torch.empty_like(planes[0])).floor_()
    # Whole numbers, and lines before images: exact, so it does not depend on how the sum is shared among threads.
    mean = (others.sum(dim=2).double().sum(dim=1) / others[0].numel()).float()
    return _blend(planes, mean[:, None, None], factor)


def sharpness(planes: Tensor, factor: Tensor) -> Tensor:
    """Blends each image with itself smoothed over 3 x 3 pixels; those at the border stay as they are."""
    if min(planes.shape[2:]) <= 2:
        return planes
    lines = planes[..., :-2, :] + planes[..., 1:-1, :] + planes[..., 2:, :]
    inner = planes[..., 1:-1, 1:-1]
    smooth = ((lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:] + 4 * inner) / 13).round_()
    rest = (1.0 - factor).float()[:, None, None].double()
    out = planes.clone()
    out[..., 1:-1, 1:-1] = torch.addcmul(inner.double(), (smooth - inner).double(), rest).float()
    return out.clamp_(0.0, LARGEST).floor_()


# --- byte by byte --------------------------------------------------------------------------------------------------


def posterize(planes: Tensor, bits: Tensor) -> Tensor:
    step = torch.exp2(8.0 - bits.float())[:, None, None]
    return (planes / step).floor_().mul_(step)


def solarize(planes: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(planes >= threshold.float()[:, None, None], LARGEST - planes, planes)


def autocontrast(planes: Tensor, _: Tensor) -> Tensor:
    """Stretches each channel to 0..255; a channel of one value stays."""
    low, high = planes.amin(dim=(2, 3), keepdim=True), planes.amax(dim=(2, 3), keepdim=True)
    flat = low == high
    low, scale = torch.where(flat, 0.0, low), torch.where(flat, 1.0, (high - low) * (1.0 / LARGEST))
    return ((planes - low) / scale).clamp_(0.0, LARGEST).floor_()


def equalize(planes: Tensor, _: Tensor) -> Tensor:
    """Spreads each channel's histogram evenly, by Pillow's rule, which leaves a channel of few values as it is."""
    levels = planes.flatten(2).to(torch.int64)  # (3, n, H * W)
    counts = torch.zeros(*levels.shape[:2], 256, dtype=torch.int32, device=planes.device)
    counts.scatter_add_(2, levels, torch.ones((), dtype=torch.int32, device=planes.device).expand(levels.shape))
    of_largest = counts.gather(2, levels.amax(dim=2, keepdim=True))
    step = (levels.shape[2] - of_largest).div(255, rounding_mode="floor")  # (3, n, 1)
    below = counts.cumsum(dim=2, dtype=torch.int32) - counts
    table = (below + step // 2).div_(step.clamp(min=1), rounding_mode="floor").clamp_(0, 255).float()
    # the darkest byte stays 0 whatever the step
    table = torch.where(step > 0, table, torch.arange(256.0, device=planes.device))
    return table.gather(2, levels).view(planes.shape)


def invert(planes: Tensor, _: Tensor) -> Tensor:
    return LARGEST - planes


BY_NAME = {
    "brightness": brightness,
    "color": color,
    "contrast": contrast,
    "sharpness": sharpness,
    "posterize": posterize,
    "solarize": solarize,
    "autocontrast": autocontrast,
    "equalize": equalize,
    "invert": invert,
}
