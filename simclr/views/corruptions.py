"""Three corruptions of images, by which test images are shifted away from those that an encoder was trained on.

They follow CIFAR-10-C (Hendrycks and Dietterich 2019, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations), with its severities 1 to 5:

    gaussian_noise  normal noise on each value of each pixel, of this standard deviation; values are 0..1
    gaussian_blur   a Gaussian of this sigma, in pixels of an image of 32 px, for other sizes in proportion
    contrast        each channel is drawn towards its mean over the image, by this factor

What differs: values are rounded where the original cuts them off, and the noise of an image is a function of seed and
image id, so that it is the same in any batch and order.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from simclr.views import factors

SEVERITIES = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1.0),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
}
CORRUPTIONS = tuple(SEVERITIES)
SIDE = 32  # pixels, for which the sigmas of the blur are meant
REACH = 4.0  # sigmas at which the kernel of the blur ends
# The noise is drawn in an epoch that neither training nor validation reaches.
NOISE_EPOCH = factors.VALIDATION_EPOCH + 1


def corrupt(images: Tensor, corruption: str, severity: int, ids: Tensor, seed: int = 0) -> Tensor:
    """The images, changed.

    Args:
        images: (N, 3, H, W) uint8.
        corruption: one of `CORRUPTIONS`.
        severity: 1 to 5.
        ids: (N,) of the images; with the seed they decide the noise.
        seed: of the noise.

    Returns:
        (N, 3, H, W) uint8.

    Raises:
        ValueError: for another corruption or severity.
    """
    if corruption not in SEVERITIES or not 1 <= severity <= len(SEVERITIES[corruption]):
        raise ValueError(
            f"corruption is {corruption} and severity is {severity}; allowed: {', '.join(CORRUPTIONS)}, and 1 to 5"
        )
    strength = SEVERITIES[corruption][severity - 1]
    x = images.float() / 255
    if corruption == "gaussian_noise":
        x = x + strength * _normal(ids.to(x.device), x[0].numel(), seed).view_as(x)
    elif corruption == "gaussian_blur":
        x = _blurred(x, strength * min(x.shape[2:]) / SIDE)
    else:
        means = x.mean(dim=(2, 3), keepdim=True)  # (N, 3, 1, 1)
        x = (x - means) * strength + means
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def _normal(ids: Tensor, num: int, seed: int) -> Tensor:
    """(N, num) standard normal numbers, by Box and Muller's transform of two uniform ones."""
    first, second = (factors.uniforms(seed, NOISE_EPOCH, ids, view, num) for view in (0, 1))
    return (-2 * torch.log1p(-first)).sqrt() * torch.cos(2 * math.pi * second)


def _blurred(x: Tensor, sigma: float) -> Tensor:
    """(N, C, H, W) blurred, the border repeated outwards."""
    reach = max(1, math.floor(REACH * sigma + 0.5))
    offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels = x.shape[1]
    wide = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    wide = F.conv2d(wide, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(wide, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
