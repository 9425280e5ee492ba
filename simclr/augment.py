"""Random views of images: batched, on the device the images are on, each operation usable alone.

Every random factor of a view is a hash of (seed, epoch, image, view): the same view comes out whatever the batch,
the order, the number of processes or the device, and any view can be drawn again later. Factors are drawn for whole
batches, one per image, so that the dashboard can show them and the trainer never loops over images.

Operations follow torchvision's v2 functions on float images: antialiased bilinear resize of an integer crop box,
hue through HSV, colour jitter in a random order per image, reflecting Gaussian blur.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from simclr.config import Augmentation

JITTER_PARTS = ("brightness", "contrast", "saturation", "hue")
# Validation views are drawn in an epoch that training never reaches: the same ones each time.
VALIDATION_EPOCH = 1 << 30
GRAY_WEIGHTS = (0.2989, 0.587, 0.114)  # torchvision's, ITU-R BT.601
CROP_TRIES = 10  # as in torchvision's RandomResizedCrop, before it falls back to the largest centred box

_MASK = 0xFFFFFFFF


def _mix(x: Tensor) -> Tensor:
    """A 32-bit integer hash with low bias, on int64 so that it is the same on every device."""
    x = (x ^ (x >> 16)) * 0x7FEB352D & _MASK
    x = (x ^ (x >> 15)) * 0x846CA68B & _MASK
    return x ^ (x >> 16)


def uniforms(seed: int, epoch: int, ids: Tensor, view: int, num: int) -> Tensor:
    """Returns (N, num) float32 in [0, 1): the random numbers of images `ids` (N,) in this epoch and view."""
    ids = ids.to(torch.int64)
    key = torch.tensor([seed, epoch, view], dtype=torch.int64, device=ids.device)
    state = _mix(key[0] * 0x9E3779B1 & _MASK)
    state = _mix((state + key[1] * 0x85EBCA77 + 1) & _MASK)
    state = _mix((state + key[2] * 0xC2B2AE3D + 2) & _MASK)
    rows = _mix((state + ids * 0x27D4EB2F) & _MASK)  # (N,)
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
    hue: Tensor  # (N,) turn of the colour circle, -0.5..0.5
    grayscale: Tensor  # (N,) bool
    blur: Tensor  # (N,) bool
    sigma: Tensor  # (N,) pixels

    def __getitem__(self, rows: Tensor | slice) -> Self:
        return type(self)(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


def draw_factors(
    augmentation: Augmentation, ids: Tensor, *, seed: int, epoch: int, view: int, height: int, width: int
) -> Factors:
    """Draws all random factors for one view of images `ids` (N,), which are `height` x `width` pixels large."""
    a = augmentation
    u = uniforms(seed, epoch, ids, view, 16 + 4 * CROP_TRIES)  # (N, 56)
    reach = torch.tensor([a.brightness, a.contrast, a.saturation])
    jitter_factors = 1.0 + reach * (2 * u[:, 5:8] - 1)
    return Factors(
        box=_draw_boxes(a, u[:, 0], u[:, 16:].unflatten(1, (CROP_TRIES, 4)), height, width),
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


# --- operations -----------------------------------------------------------------------------------------------------


def _resize_matrix(start: Tensor, length: Tensor, size_in: int, size_out: int, flip: Tensor | None = None) -> Tensor:
    """(N, size_out, size_in) weights of an antialiased bilinear resize of `length` pixels from `start`.

    Resampling is linear and separable, so one small matrix per image and axis does crop, resize and flip at once.
    """
    device = start.device
    scale = (length.to(torch.float32) / size_out)[:, None, None]
    reach = scale.clamp(min=1.0)
    place = torch.arange(size_out, device=device, dtype=torch.float32)
    place = place[None, :, None] + 0.5  # (1, size_out, 1)
    if flip is not None:
        place = torch.where(flip[:, None, None], size_out - place, place)
    source = torch.arange(size_in, device=device)[None, None, :] - start[:, None, None]  # pixel within the box
    weight = (1.0 - (source + 0.5 - place * scale).abs() / reach).clamp(min=0.0)
    weight = weight * ((source >= 0) & (source < length[:, None, None]))
    return weight / weight.sum(dim=2, keepdim=True)


def resized_crop(images: Tensor, box: Tensor, size: int, flip: Tensor | None = None) -> Tensor:
    """Crops, resizes (bilinear, antialiased) and, where `flip`, mirrors.

    Args:
        images: (N, C, H, W) floating point.
        box: (N, 4) int64: top, left, height, width, inside the image.
        size: side of the result.
        flip: (N,) bool.

    Returns:
        (N, C, size, size).
    """
    top, left, height, width = box.to(images.device, non_blocking=True).unbind(1)
    flip = None if flip is None else flip.to(images.device, non_blocking=True)
    rows = _resize_matrix(top, height, images.shape[2], size).to(images.dtype)  # (N, size, H)
    columns = _resize_matrix(left, width, images.shape[3], size, flip).to(images.dtype)  # (N, size, W)
    narrow = torch.matmul(images, columns.transpose(1, 2)[:, None])  # (N, C, H, size)
    return torch.matmul(rows[:, None], narrow)


def resize(images: Tensor, size: int) -> Tensor:
    """(N, C, H, W) to (N, C, size, size): the whole image, bilinear, antialiased."""
    if images.shape[2:] == (size, size):
        return images
    box = torch.tensor([[0, 0, images.shape[2], images.shape[3]]]).expand(len(images), 4)
    return resized_crop(images, box, size)


def horizontal_flip(images: Tensor, flip: Tensor) -> Tensor:
    """Mirrors the images where `flip` (N,) is true."""
    return torch.where(_per_image(flip, images), images.flip(3), images)


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images.device, non_blocking=True)[:, None, None, None]


def to_gray(images: Tensor) -> Tensor:
    """(N, 3, H, W) to its luma, (N, 1, H, W)."""
    red, green, blue = images.unbind(1)
    return (GRAY_WEIGHTS[0] * red + GRAY_WEIGHTS[1] * green + GRAY_WEIGHTS[2] * blue)[:, None]


def grayscale(images: Tensor) -> Tensor:
    """(N, 3, H, W) without colour, three equal channels."""
    return to_gray(images).expand_as(images)


def _blend(images: Tensor, others: Tensor | float, factor: Tensor) -> Tensor:
    factor = _per_image(factor, images)
    return (factor * images + (1.0 - factor) * others).clamp(0.0, 1.0)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiplies (N, 3, H, W) in 0..1 by `factor` (N,)."""
    return (images * _per_image(factor, images)).clamp(0.0, 1.0)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blends each image with its mean luma; `factor` (N,), 0 = flat grey, 1 = unchanged."""
    return _blend(images, to_gray(images).mean(dim=(1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blends each image with its luma; `factor` (N,), 0 = no colour, 1 = unchanged."""
    return _blend(images, to_gray(images), factor)


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turns hue in HSV by `turn` (N,), in turns of the colour circle; value and saturation stay."""
    red, green, blue = images.unbind(1)
    value, which = images.max(dim=1)
    chroma = value - images.amin(dim=1)  # value times saturation
    safe = torch.where(chroma == 0, 1.0, chroma)
    sixth = torch.where(  # hue in sixths of the circle
        which == 0, (green - blue) / safe, torch.where(which == 1, (blue - red) / safe + 2, (red - green) / safe + 4)
    )
    sixth = sixth + 6 * turn.to(images.device, non_blocking=True)[:, None, None]

    def channel(offset: int) -> Tensor:
        k = (offset + sixth) % 6
        return value - chroma * torch.minimum(k, 4 - k).clamp(0.0, 1.0)

    return torch.stack([channel(5), channel(3), channel(1)], dim=1)


def gaussian_blur(images: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Blurs (N, C, H, W) with a Gaussian of `sigma` (N,) pixels cut to `kernel_size`, reflecting at the border."""
    return torch.matmul(
        torch.matmul(_blur_matrix(sigma, kernel_size, images.shape[2], images)[:, None], images),
        _blur_matrix(sigma, kernel_size, images.shape[3], images).transpose(1, 2)[:, None],
    )


def _blur_matrix(sigma: Tensor, kernel_size: int, size: int, like: Tensor) -> Tensor:
    """(N, size, size): the one-dimensional blur as a matrix, the border reflected."""
    half = min(kernel_size // 2, size - 1)
    offsets = torch.arange(-half, half + 1, device=like.device)
    kernel = torch.exp(-0.5 * (offsets / sigma.to(like.device, non_blocking=True)[:, None]) ** 2)  # (N, K)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(like.dtype)
    source = (torch.arange(size, device=like.device)[:, None] + offsets).abs()  # (size, K)
    source = torch.where(source >= size, 2 * (size - 1) - source, source)
    shape = (len(kernel), size, len(offsets))
    matrix = torch.zeros(len(kernel), size, size, device=like.device, dtype=like.dtype)
    return matrix.scatter_add_(2, source.expand(shape), kernel[:, None, :].expand(shape))


ADJUST = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}


def color_jitter(images: Tensor, factors: Factors) -> Tensor:
    """The four jitter parts, in each image's own order, on all N images."""
    for place in range(len(JITTER_PARTS)):
        result = torch.empty_like(images)
        for part, name in enumerate(JITTER_PARTS):
            rows = (factors.order[:, place] == part).nonzero()[:, 0]
            if len(rows):
                there = rows.to(images.device, non_blocking=True)
                result[there] = ADJUST[name](images[there], getattr(factors, name)[rows])
        images = result
    return images


# --- views ----------------------------------------------------------------------------------------------------------


def apply_factors(images: Tensor, factors: Factors, size: int, kernel_size: int) -> Tensor:
    """Draws the views that `factors` describe.

    Args:
        images: (N, 3, H, W) uint8, or float in 0..1.
        factors: N rows, on the CPU: which images an operation touches is then known without waiting for a GPU.

    Returns:
        (N, 3, size, size) float32 in 0..1.
    """
    views = resized_crop(to_float(images), factors.box, size, factors.flip)
    for operation, mask in (
        (lambda x, f: color_jitter(x, f), factors.jitter),
        (lambda x, f: grayscale(x), factors.grayscale),
        (lambda x, f: gaussian_blur(x, f.sigma, kernel_size), factors.blur),
    ):
        rows = mask.nonzero()[:, 0]
        if len(rows) == len(mask):
            views = operation(views, factors)
        elif len(rows):
            there = rows.to(views.device, non_blocking=True)
            views[there] = operation(views[there], factors[rows])
    return views


def random_view(
    images: Tensor, ids: Tensor, augmentation: Augmentation, *, seed: int, epoch: int, view: int, size: int
) -> Tensor:
    """One random view of each image; `ids` (N,) on the CPU name the images to the random numbers.

    Returns:
        (N, 3, size, size) float32 in 0..1; the same for the same (seed, epoch, id, view), whatever the batch.
    """
    factors = draw_factors(
        augmentation, ids, seed=seed, epoch=epoch, view=view, height=images.shape[2], width=images.shape[3]
    )
    return apply_factors(images, factors, size, augmentation.blur_kernel_size)


def two_views(
    images: Tensor, ids: Tensor, augmentation: Augmentation, *, seed: int, epoch: int, size: int
) -> tuple[Tensor, Tensor]:
    """Two independent random views of each image (Chen et al. 2020, section 2.1), each (N, 3, size, size)."""
    first, second = (
        random_view(images, ids, augmentation, seed=seed, epoch=epoch, view=view, size=size) for view in (0, 1)
    )
    return first, second


def to_float(images: Tensor) -> Tensor:
    """uint8 to float32 in 0..1; floating point stays as it is."""
    return images.to(torch.float32) / 255.0 if images.dtype == torch.uint8 else images


def normalize(images: Tensor) -> Tensor:
    """0..1 to about -2..2, what encoders are given: the same for every data set, so weights carry over."""
    return (images - 0.5) * 4.0
