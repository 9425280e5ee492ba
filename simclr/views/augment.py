"""Random views of images: batched, on the device the images are on.

Operations follow torchvision's v2 functions on float images: antialiased bilinear resize of an integer crop box,
hue through HSV, colour jitter in a random order per image, reflecting Gaussian blur.

On a CPU compiled code draws one view after the other, equal to the bit however they are batched (`compiled`). A GPU is
given few large operations that write in place, since each one takes time to start; the host never waits for it. Colours
lie in planes there, (3, n, H, W), and images are sorted so that those an operation changes are neighbours.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from simclr.config import Augmentation
from simclr.data.transfer import all_to_device
from simclr.views import numerics
from simclr.views.blur import blur_
from simclr.views.color import Jitter, luma
from simclr.views.factors import Factors, draw_factors
from simclr.views.policies.applying import PolicyPlan
from simclr.views.policies.drawing import PolicyDraw
from simclr.views.resampling import crop, crop_space

# What is drawn at once. On a GPU as many views as take so many numbers of space, 2.4 GB: 512 of 224 pixels from images
# of 336, for which their network needs more. On a CPU so many pixels of those that a policy changes.
DEVICE_CHUNK_NUMBERS = 600_000_000
POLICY_CHUNK_PIXELS = 1 << 17


def _put(target: Tensor, rows: Tensor, values: Tensor) -> None:
    """Copies values (C, K, H, W) to the `rows` (K,) of a target (C, M, H, W)."""
    target, values = target.flatten(2), values.flatten(2)
    if target.shape[2] % 4 == 0:  # 16 bytes at a time, which is three times as quick
        target, values = target.view(torch.complex128), values.view(torch.complex128)
    target[:, rows] = values


def _draw_views(images: Tensor, source: Tensor, factors: Factors, size: int, kernel_size: int) -> Tensor:
    """(M, 3, size, size): view i shows image `source[i]` as row i of `factors` says; both are on the CPU."""
    if numerics.in_bulk(images.device):
        return _draw_in_bulk(images, source, factors, size, kernel_size)
    from simclr.views.compiled import calls  # half a second, which who trains on a GPU need not wait for

    change = None if factors.policy is None else partial(_apply_policy, factors.policy)
    return calls.draw_views(images, source, factors, size, kernel_size, change)


def _apply_policy(policy: PolicyDraw, views: Tensor) -> None:
    """Changes views (M, 3, S, S) as the policy drew it."""
    size = views.shape[3]
    chunks = list(torch.arange(len(views)).split(max(1, POLICY_CHUNK_PIXELS // size**2)))
    plan = PolicyPlan(policy, chunks, size, views.device)
    for chunk in chunks:
        planes = views[chunk[0] : chunk[-1] + 1].transpose(0, 1)
        plan.apply_(planes)


def _draw_in_bulk(images: Tensor, source: Tensor, factors: Factors, size: int, kernel_size: int) -> Tensor:
    num, device = len(source), images.device
    height, width = images.shape[2:]
    views = torch.empty(num, 3, size, size, device=device)
    # Of each view: the planes, and what cropping needs or, after it, the colours.
    space_to_crop = 3 * crop_space(height, width, size)
    lengths = 3 * size * size, max(7 * size * size, 3 * height * width + space_to_crop)
    step = max(1, min(num, DEVICE_CHUNK_NUMBERS // sum(lengths)))
    jitter = Jitter(factors, device)
    factors = factors[jitter.sorted]
    chunks = list(torch.arange(num).split(step))
    policy = PolicyPlan(factors.policy, chunks, size, device) if factors.policy is not None else None
    blurred = [factors.blur[chunk].nonzero()[:, 0] for chunk in chunks]  # indices within the chunk
    flips = torch.stack([torch.zeros_like(factors.flip), factors.flip])
    source, target, boxes, flips, sigma, gray, *blurred = all_to_device(
        [
            source[jitter.sorted],
            jitter.sorted,
            factors.box.T,
            flips,
            factors.sigma,
            factors.grayscale.to(torch.float32),
            *blurred,
        ],
        device,
    )
    block = torch.empty(step * sum(lengths), device=device)
    for start in range(0, num, step):
        chunk = slice(start, min(start + step, num))
        n = chunk.stop - start
        planes, work = block[: n * sum(lengths)].split([n * length for length in lengths])
        planes, scratch = planes.view(3, n, size, size), work[: n * 7 * size * size].view(7, n, size, size)
        pixels, space = work[: n * (3 * height * width + space_to_crop)].split(
            [n * 3 * height * width, n * space_to_crop]
        )
        pixels = pixels.view(n, 3, height, width)
        pixels.copy_(images.index_select(0, source[chunk]))
        if images.dtype == torch.uint8:
            pixels.mul_(1.0 / 255.0)
        crop(pixels, boxes[:, chunk], flips[:, chunk], space, planes)
        if policy is not None:
            policy.apply_(planes)
        jitter.apply_(planes, scratch, start)
        planes.lerp_(luma(planes, scratch[0]), gray[chunk, None, None])
        rows = blurred[start // step]
        if len(rows):
            some = planes.index_select(1, rows)
            blur_(some, scratch[:, : len(rows)], sigma[chunk].index_select(0, rows), kernel_size)
            _put(planes, rows, some)
        _put(views.transpose(0, 1), target[chunk], planes)
    return views


def apply_factors(images: Tensor, factors: Factors, size: int, kernel_size: int) -> Tensor:
    """Draws the views that `factors` describe.

    Args:
        images: (N, 3, H, W) uint8, or float in 0..1.
        factors: N rows, on the CPU: which images an operation touches is then known without waiting for a GPU.

    Returns:
        (N, 3, size, size) float32 in 0..1.
    """
    return _draw_views(images, torch.arange(len(images)), factors, size, kernel_size)


def random_view(
    images: Tensor, ids: Tensor, augmentation: Augmentation, *, seed: int, epoch: int, view: int | Tensor, size: int
) -> Tensor:
    """One random view of each image; `ids` (N,) on the CPU name the images to the random numbers.

    `view` may be one number or one per image, (N,).

    Returns:
        (N, 3, size, size) float32 in 0..1; the same for the same (seed, epoch, id, view), whatever the batch.
    """
    factors = draw_factors(
        augmentation, ids, seed=seed, epoch=epoch, view=view, height=images.shape[2], width=images.shape[3]
    )
    return apply_factors(images, factors, size, augmentation.blur_kernel_size)


def two_views(
    images: Tensor,
    ids: Tensor,
    augmentation: Augmentation,
    *,
    seed: int = 0,
    epoch: int = 0,
    size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Two independent random views of each image (Chen et al. 2020, section 2.1), each (N, 3, size, size).

    Args:
        images: (N, 3, H, W) uint8, or float in 0..1.
        ids: (N,) on the CPU, numbers that name the images to the random numbers.
        seed, epoch: the same ones give the same views of an id, whatever the batch.
        size: side of the views in pixels; None: the images' shorter side.

    Returns:
        Both float32 in 0..1, not normalized.
    """
    num = len(ids)
    size = min(images.shape[2:]) if size is None else size
    factors = draw_factors(
        augmentation,
        ids.repeat(2),
        seed=seed,
        epoch=epoch,
        view=torch.arange(2).repeat_interleave(num),
        height=images.shape[2],
        width=images.shape[3],
    )
    views = _draw_views(images, torch.arange(num).repeat(2), factors, size, augmentation.blur_kernel_size)
    return views[:num], views[num:]


def to_float(images: Tensor) -> Tensor:
    """uint8 to float32 in 0..1; floating point stays as it is."""
    return images.to(torch.float32) / 255.0 if images.dtype == torch.uint8 else images


def to_bytes(images: Tensor) -> Tensor:
    """Float images in 0..1 as uint8, rounded; what lies beyond becomes 0 or 255."""
    return (images * 255).round().clamp(0, 255).byte()


def normalize(images: Tensor) -> Tensor:
    """0..1 to about -2..2, what encoders are given: the same for every data set, so weights carry over."""
    return (images - 0.5).mul_(4.0)


def normalize_(images: Tensor) -> Tensor:
    """`normalize` in place, of what nobody else has: new memory takes longer than the sums."""
    return images.sub_(0.5).mul_(4.0)
