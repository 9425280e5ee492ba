"""Gaussian blur with a reflected border."""

from __future__ import annotations

import torch
from torch import Tensor

from simclr.views import numerics


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
    rows = _blur_matrix(sigma, kernel_size, height)
    columns = rows if width == height else _blur_matrix(sigma, kernel_size, width)
    for plane in planes:
        torch.bmm(rows, plane, out=scratch[0])
        torch.bmm(scratch[0], columns.transpose(1, 2), out=plane)


def gaussian_blur(images: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Blurs (N, C, H, W) with a Gaussian of `sigma` (N,) pixels cut to `kernel_size`, reflecting at the border."""
    if not numerics.in_bulk(images.device):
        from simclr.views.compiled import calls

        return calls.gaussian_blur(images, sigma.cpu(), kernel_size).to(images.dtype)
    planes, scratch = numerics.to_planes(images)
    blur_(planes, scratch, sigma.to(images.device, images.dtype, non_blocking=True), kernel_size)
    return numerics.to_images(planes)
