"""The compiled operations on tensors of a CPU, shared among as many threads as torch takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from simclr.views.compiled import kernels
from simclr.views.factors import JITTER_PARTS, Factors

SMALLEST_SHARE = 1e-8  # of a pixel in its blurred neighbour, to that of the neighbour itself
PIXELS_A_THREAD = 1 << 16  # with fewer, starting a thread takes longer than what it does


def _share(function: Callable[..., None], per_image: Sequence[Tensor], num_pixels: int) -> None:
    """Calls the function with arrays of parts of the images, in threads where that pays.

    Args:
        per_image: what has a row for each of N images.
        num_pixels: of an image.
    """
    arrays = [values.contiguous().numpy() for values in per_image]
    num = len(arrays[0])
    parts = max(1, min(torch.get_num_threads(), num, num * num_pixels // PIXELS_A_THREAD))
    if parts == 1:
        function(*arrays)
        return
    ends = [num * part // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(function, *([values[start:end] for start, end in pairwise(ends)] for values in arrays)))


def _pixels(images: Tensor) -> tuple[np.ndarray, np.float32]:
    """Pixels as the kernels take them, and what they are multiplied by to be in 0..1."""
    if images.dtype == torch.uint8:
        return images.contiguous().numpy(), np.float32(1 / 255)
    return images.to(torch.float32).contiguous().numpy(), kernels.ONE


def resized_crop(images: Tensor, boxes: Tensor, size: int, mirrored: Tensor) -> Tensor:
    """`resampling.resized_crop`, float32."""
    views = torch.empty(len(images), images.shape[1], size, size)
    pixels, scale = _pixels(images)
    per_view = [torch.arange(len(images)), boxes, mirrored, views]
    _share(partial(kernels.crop, pixels, scale), per_view, size * size)
    return views


def _blur_shares(sigma: Tensor, kernel_size: int, size: tuple[int, int]) -> Tensor:
    """(N, R + 1) of a pixel and of those up to R away, on each side, of Gaussians of `sigma` (N,); 0 where sigma is 0.

    Those are left out that float32 cannot tell from nothing.
    """
    half = min(kernel_size // 2, *(side - 1 for side in size))
    shares = torch.exp(-0.5 * (torch.arange(half + 1) / sigma.double()[:, None]) ** 2)
    return torch.where((shares >= SMALLEST_SHARE) & (sigma > 0)[:, None], shares, 0.0)


def gaussian_blur(images: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """`blur.gaussian_blur`, float32."""
    views = images.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    height, width = images.shape[2:]
    _share(kernels.blur, [_blur_shares(sigma, kernel_size, (height, width)), views], height * width)
    return views


def draw_views(
    images: Tensor,
    source: Tensor,
    factors: Factors,
    size: int,
    kernel_size: int,
    policy: Callable[[Tensor], None] | None,
) -> Tensor:
    """(M, 3, size, size): view i shows image `source[i]` as row i of `factors` says.

    Args:
        images: (N, 3, H, W) uint8, or float in 0..1.
        policy: changes all views in place after they are cropped, if the augmentation has one.
    """
    views = torch.empty(len(source), 3, size, size)
    pixels, scale = _pixels(images)
    strengths = [getattr(factors, name) * (6.0 if name == "hue" else 1.0) for name in JITTER_PARTS]
    per_view = [
        source,
        factors.box,
        factors.flip,
        factors.order,
        torch.stack(strengths, dim=1).to(torch.float32),
        factors.jitter,
        factors.grayscale,
        _blur_shares(torch.where(factors.blur, factors.sigma, 0.0), kernel_size, (size, size)),
        views,
    ]

    def draw(halves: int) -> None:
        _share(partial(kernels.draw, pixels, scale, halves), per_view, size * size)

    if policy is None:
        draw(kernels.CROPPED + kernels.FINISHED)
    else:
        draw(kernels.CROPPED)
        policy(views)
        draw(kernels.FINISHED)
    return views
