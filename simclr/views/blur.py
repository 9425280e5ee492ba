"""Gaussian blur with a reflected border."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from simclr.views import numerics

SMALLEST_SHARE = 1e-8  # of a pixel in its blurred neighbour, to that of the neighbour itself


def _blur_matrix(sigma: Tensor, kernel_size: int, size: int) -> Tensor:
    """(N, size, size): the one-dimensional blur as a matrix, the border reflected."""
    half = min(kernel_size // 2, size - 1)
    offsets = torch.arange(-half, half + 1, device=sigma.device)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)  # (N, K)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    source = (torch.arange(size, device=sigma.device)[:, None] + offsets).abs()  # (size, K)
    source = torch.where(source >= size, 2 * (size - 1) - source, source)
    shape = (len(sigma), size, len(offsets))
    matrix = torch.zeros(len(sigma), size, size, device=sigma.device, dtype=sigma.dtype)
    return matrix.scatter_add_(2, source.expand(shape), kernel[:, None, :].expand(shape))


def blur_(planes: Tensor, scratch: Tensor, sigma: Tensor, kernel_size: int) -> None:
    """Blurs planes (C, N, H, W), each image with its sigma (N,)."""
    height, width = planes.shape[2:]
    if min(height, width) >= numerics.MATRIX_SIZE and not numerics.in_bulk(planes.device):
        _blur_by_shifts_(planes, sigma, kernel_size)
        return
    rows = _blur_matrix(sigma, kernel_size, height)
    columns = rows if width == height else _blur_matrix(sigma, kernel_size, width)
    for plane in planes:
        numerics.bmm(rows, plane, out=scratch[0])
        numerics.bmm(scratch[0], columns.transpose(1, 2), out=plane)


def _blur_by_shifts_(planes: Tensor, sigma: Tensor, kernel_size: int) -> None:
    """The same as a weighted sum of shifted lines, those left out that weigh less than float32 can tell."""
    half = min(kernel_size // 2, min(planes.shape[2:]) - 1)
    offsets = torch.arange(half + 1)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernel[kernel < SMALLEST_SHARE] = 0.0  # for each image by itself: it may be blurred beside any other
    kernel /= kernel.sum(dim=1, keepdim=True) * 2 - kernel[:, :1]
    reach = int((kernel > 0).sum(dim=1).max()) - 1
    for dim, pad in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        size = planes.shape[dim]
        wide = F.pad(planes, pad, mode="reflect")
        torch.mul(wide.narrow(dim, reach, size), kernel[:, 0, None, None], out=planes)
        for offset in range(1, reach + 1):
            pair = wide.narrow(dim, reach - offset, size) + wide.narrow(dim, reach + offset, size)
            planes.add_(pair.mul_(kernel[:, offset, None, None]))


def gaussian_blur(images: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Blurs (N, C, H, W) with a Gaussian of `sigma` (N,) pixels cut to `kernel_size`, reflecting at the border."""
    planes, scratch = numerics.to_planes(images)
    blur_(planes, scratch, sigma.to(images.device, images.dtype, non_blocking=True), kernel_size)
    return numerics.to_images(planes)
