"""Random views of images: batched, on the device the images are on, each operation usable alone.

Every random factor of a view is a hash of (seed, epoch, image, view): the same view comes out whatever the batch,
the order, the number of processes or the device, and any view can be drawn again later. Factors are drawn for whole
batches, one per image, so that the dashboard can show them and the trainer never loops over images.

Operations follow torchvision's v2 functions on float images: antialiased bilinear resize of an integer crop box,
hue through HSV, colour jitter in a random order per image, reflecting Gaussian blur.

For speed views are drawn in chunks that fit a processor's cache, by operations that write in place. Inside a chunk
colours lie in planes, (3, n, H, W), and images are sorted so that those an operation touches are neighbours. On a CPU
no sum depends on what else is in the chunk, so views are equal to the bit however they are batched. A GPU is given few
and large operations instead, since it waits for each; nothing waits for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from simclr.config import Augmentation
from simclr.data.transfer import all_to_device

JITTER_PARTS = ("brightness", "contrast", "saturation", "hue")
# Validation views are drawn in an epoch that training never reaches: the same ones each time.
VALIDATION_EPOCH = 1 << 30
GRAY_WEIGHTS = (0.2989, 0.587, 0.114)  # torchvision's, ITU-R BT.601
CROP_TRIES = 10  # as in torchvision's RandomResizedCrop, before it falls back to the largest centred box

# Pixels drawn at once. On a CPU, per thread: fewer cost more calls, more fall out of its caches (measured: 15 % less at
# half, 30 % less at twice as many). On a GPU as many as take so many numbers of space, 2.4 GB: 512 views of 224 pixels
# from images of 336, for which their network needs more.
CPU_CHUNK_PIXELS = 1 << 17
DEVICE_CHUNK_NUMBERS = 600_000_000
# From this size on, a CPU mixes few neighbouring pixels; below it multiplies by a matrix.
MATRIX_SIZE = 64
MAX_TAPS = 8  # neighbours, above which a matrix takes less
SMALLEST_SHARE = 1e-8  # of a pixel in its blurred neighbour, to that of the neighbour itself

_MASK = 0xFFFFFFFF
_HUE = JITTER_PARTS.index("hue")
Integers = TypeVar("Integers", int, Tensor)


def _in_bulk(device: torch.device) -> bool:
    """Whether few large operations are quicker than many that fit a cache."""
    return device.type != "cpu"


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
    hue: Tensor  # (N,) turn of the colour circle, -0.5..0.5
    grayscale: Tensor  # (N,) bool
    blur: Tensor  # (N,) bool
    sigma: Tensor  # (N,) pixels

    def __getitem__(self, rows: Tensor | slice) -> Self:
        return type(self)(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


def draw_factors(
    augmentation: Augmentation, ids: Tensor, *, seed: int, epoch: int, view: int | Tensor, height: int, width: int
) -> Factors:
    """Draws all random factors for one view of images `ids` (N,), which are `height` x `width` pixels large.

    `view` may be one number or one per image, (N,).
    """
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


# --- resampling -----------------------------------------------------------------------------------------------------


def _bmm(left: Tensor, right: Tensor, out: Tensor) -> None:
    """`torch.bmm` of which each product is equal to the bit whatever the batch and the number of threads.

    A library may share one matrix among threads, and sums come out otherwise in a block that is cut at an edge. With
    a multiple of 16 rows and columns no block is cut, so zeros fill up to that.
    """
    more_rows, more_columns = -left.shape[1] % 16, -right.shape[2] % 16
    if left.device.type == "cpu" and (more_rows or more_columns):
        left, right = F.pad(left, (0, 0, 0, more_rows)), F.pad(right, (0, more_columns))
    elif out.is_contiguous():
        torch.bmm(left, right, out=out)
        return
    out.copy_(torch.bmm(left, right)[:, : out.shape[1], : out.shape[2]])


def _places(length: Tensor, size_out: int, flip: Tensor | None = None) -> Tensor:
    """(N, size_out): where in a box of `length` pixels each output pixel lies; 0 is the middle of the first pixel."""
    place = torch.arange(0.5, size_out, device=length.device)
    if flip is not None:
        place = torch.where(flip[:, None], size_out - place, place)
    return place * (length.to(torch.float32) / size_out)[:, None] - 0.5


def _neighbours(start: Tensor, length: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel before each place and the weight of the one after it, both (N, size_out).

    Where nothing shrinks, antialiasing has no effect and an output pixel mixes two neighbours.
    """
    start, length = start[:, None], length[:, None]
    place = torch.minimum(place.clamp(min=0.0), (length - 1).to(torch.float32))
    first = torch.minimum(start + place.to(torch.int64), start + length - 2).clamp_(min=0)
    return first, place - (first - start)


def _neighbour_matrix(first: Tensor, weight: Tensor, size_in: int) -> Tensor:
    """(N, size_out, size_in) weights of what `_neighbours` found."""
    first, weight = first[:, :, None], weight[:, :, None]
    matrix = torch.zeros(*first.shape[:2], size_in, device=first.device)
    return matrix.scatter_(2, torch.cat([first, first + 1], dim=2), torch.cat([1.0 - weight, weight], dim=2))


def _antialiased_matrix(start: Tensor, length: Tensor, place: Tensor, size_in: int) -> Tensor:
    """(N, size_out, size_in) weights of an antialiased bilinear resize of `length` pixels from `start`."""
    reach = (length.to(torch.float32) / place.shape[1]).clamp(min=1.0)[:, None, None]
    source = torch.arange(size_in, device=start.device) - start[:, None]  # pixel within the box, (N, size_in)
    weights = (source[:, None, :] - place[:, :, None]).abs_().div_(reach).neg_().add_(1.0).clamp_(min=0.0)
    weights.mul_(((source >= 0) & (source < length[:, None]))[:, None, :])
    return weights.div_(weights.sum(dim=2, keepdim=True))


def _grows(size_in: int, size_out: int) -> bool:
    return 1 < size_in <= size_out  # then every box inside the image does


def _takes_neighbours(size_in: int, size_out: int, device: torch.device) -> bool:
    return _grows(size_in, size_out) and (size_out >= MATRIX_SIZE or _in_bulk(device))


def _num_taps(size_in: int, size_out: int) -> int:
    """Neighbours that each output pixel mixes where images shrink, 0 where it is done in another way."""
    num_taps = max(2, math.ceil(2 * size_in / size_out))
    return num_taps if size_in > size_out and num_taps <= MAX_TAPS else 0


def _crop_space(height_in: int, width_in: int, size: int, device: torch.device) -> int:
    """Numbers of scratch space that `_crop` needs for each plane of an image."""
    if _takes_taps(height_in, width_in, size, device):
        return 2 * size * width_in + size * size
    return (2 if _takes_neighbours(width_in, size, device) else 1) * height_in * size + size * size


def _takes_taps(height_in: int, width_in: int, size: int, device: torch.device) -> bool:
    return bool(_num_taps(max(height_in, width_in), size)) and (size >= MATRIX_SIZE or _in_bulk(device))


def _crop(images: Tensor, boxes: Tensor, flips: Tensor, space: Tensor, planes: Tensor) -> None:
    """Writes the boxes of images (N, C, H, W), resized, to planes (C, N, size, size).

    Resampling is linear and separable. Crop, resize and flip along an axis are one step: a matrix for each image, or
    few neighbours for each output pixel, which takes less where images are large or whole lines can be copied.
    `boxes` (4, N): top, left, height, width. `flips` (2, N): top to bottom, left to right. `space`: N * C times
    `_crop_space` numbers.
    """
    num, channels, height_in, width_in = images.shape
    size = planes.shape[3]
    device = images.device
    narrow, scratch = space[: -planes.numel()], space[-planes.numel() :].view_as(planes)
    start, length = boxes.reshape(2, 2 * num)  # both axes at once
    place = _places(length, size, flips.reshape(2 * num))
    # The first line of each plane, (C, N, 1).
    top = torch.arange(0, num * channels * height_in, height_in, device=device).view(num, channels).T[:, :, None]
    if _takes_taps(height_in, width_in, size, device):
        _crop_by_taps(images, start, length, place, top, narrow.view(2, channels, num, size, width_in), scratch, planes)
        return
    if _grows(height_in, size) or _grows(width_in, size):
        first, weight = (values.split(num) for values in _neighbours(start, length, place))  # of each axis
    if not (_grows(height_in, size) and _grows(width_in, size)):
        matrix = _antialiased_matrix(start, length, place, max(height_in, width_in))

    lines = images.view(num, channels * height_in, width_in)
    narrow = narrow.view(-1, num, channels * height_in, size)
    here = narrow[0]
    if _takes_neighbours(width_in, size, device):
        there = narrow[1]
        index = first[1][:, None, :].expand_as(here)
        torch.gather(lines, 2, index, out=here)
        torch.gather(lines, 2, (first[1] + 1)[:, None, :].expand_as(here), out=there)
        here.lerp_(there, weight[1][:, None, :].to(here.dtype))
    else:
        grows = _grows(width_in, size)
        columns = _neighbour_matrix(first[1], weight[1], width_in) if grows else matrix[num:, :, :width_in]
        _bmm(lines, columns.to(here.dtype).transpose(1, 2), out=here)

    if _grows(height_in, size):
        line = (top + first[0]).flatten()  # (C * N * size,)
        here = here.view(-1, size)
        torch.index_select(here, 0, line, out=planes.view(-1, size))
        torch.index_select(here, 0, line + 1, out=scratch.view(-1, size))
        planes.lerp_(scratch, weight[0][:, :, None].to(planes.dtype))
    else:
        rows = matrix[:num, :, :height_in].to(here.dtype)
        for plane, channel in zip(planes, here.view(num, channels, height_in, size).unbind(1), strict=True):
            _bmm(rows, channel, out=plane)


def _crop_by_taps(
    images: Tensor, start: Tensor, length: Tensor, place: Tensor, top: Tensor, narrow: Tensor, scratch: Tensor,
    planes: Tensor,
) -> None:  # fmt: skip
    """`_crop` where images shrink, antialiased: an output pixel mixes the K neighbours that its triangle reaches.

    start, length: (2N,) of both axes; place (2N, size). top: first line of each plane, (C, N, 1).
    """
    num, _, height_in, width_in = images.shape
    size, device = planes.shape[3], images.device
    num_taps = _num_taps(max(height_in, width_in), size)
    start, length = start[:, None], length[:, None]
    reach = (length.to(torch.float32) / size).clamp_(min=1.0)
    tap = torch.arange(1, num_taps + 1, device=device)[:, None, None]
    pixel = (place - reach).floor_().to(torch.int64) + tap  # within the box, (K, 2N, size)
    weight = (pixel - place).abs_().div_(reach).neg_().add_(1.0).clamp_(min=0.0)
    weight.mul_((pixel >= 0) & (pixel < length))
    weight.div_(weight.sum(dim=0))
    pixel = torch.minimum(pixel.clamp_(min=0), length - 1).add_(start)  # what lies outside weighs nothing
    (rows, columns), (row_weight, column_weight) = pixel.split(num, dim=1), weight.split(num, dim=1)

    line = (top + rows[:, None]).flatten(1)  # (K, C * N * size)
    index = columns[:, :, None].expand(-1, -1, size, -1)  # (K, N, size, size)
    short, other = narrow.unbind()
    for k in range(num_taps):
        lines = torch.index_select(
            images.view(-1, width_in), 0, line[k], out=(other if k else short).view(-1, width_in)
        )
        weight = row_weight[k, :, :, None]
        if k:
            short.addcmul_(lines.view_as(short), weight)
        else:
            short.mul_(weight)
    for k in range(num_taps):
        some = torch.gather(short, 3, index[k].expand(len(planes), -1, -1, -1), out=scratch if k else planes)
        weight = column_weight[k, :, None, :]
        if k:
            planes.addcmul_(some, weight)
        else:
            planes.mul_(weight)


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
    num, channels, height, width = images.shape
    upside_down = torch.zeros(num, dtype=torch.bool)
    flips = torch.stack([upside_down, upside_down if flip is None else flip.cpu()])
    boxes, flips = all_to_device([box.cpu().T, flips], images.device)
    planes = images.new_empty(channels, num, size, size)
    space = images.new_empty(num * channels * _crop_space(height, width, size, images.device))
    _crop(images.contiguous(), boxes, flips, space, planes)
    return _to_images(planes)


def resize(images: Tensor, size: int) -> Tensor:
    """(N, C, H, W) to (N, C, size, size): the whole image, bilinear, antialiased."""
    if images.shape[2:] == (size, size):
        return images
    box = torch.tensor([[0, 0, images.shape[2], images.shape[3]]]).expand(len(images), 4)
    return resized_crop(images, box, size)


def horizontal_flip(images: Tensor, flip: Tensor) -> Tensor:
    """Mirrors the images where `flip` (N,) is true."""
    return torch.where(_per_image(flip, images)[:, None], images.flip(3), images)


# --- colours --------------------------------------------------------------------------------------------------------
# Names that end in an underscore write to planes (3, N, H, W) in place and take scratch space, (7, N, H, W).


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    """(N,) to (N, 1, 1) on the device of `like`."""
    return values.to(like.device, non_blocking=True)[:, None, None]


def _to_planes(images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 3, H, W) to planes, a copy (3, N, H, W), and scratch space for them."""
    planes = images.transpose(0, 1).clone(memory_format=torch.contiguous_format)
    return planes, planes.new_empty(7, *planes.shape[1:])


def _to_images(planes: Tensor) -> Tensor:
    return planes.transpose(0, 1).contiguous()


def _luma(planes: Tensor | tuple[Tensor, ...], out: Tensor) -> Tensor:
    red, green, blue = planes
    torch.mul(red, GRAY_WEIGHTS[0], out=out)
    return out.add_(green, alpha=GRAY_WEIGHTS[1]).add_(blue, alpha=GRAY_WEIGHTS[2])


def to_gray(images: Tensor) -> Tensor:
    """(N, 3, H, W) to its luma, (N, 1, H, W)."""
    return _luma(images.unbind(1), torch.empty_like(images[:, 0]))[:, None]


def grayscale(images: Tensor) -> Tensor:
    """(N, 3, H, W) without colour, three equal channels."""
    return to_gray(images).expand_as(images)


def _blend_(planes: Tensor, scratch: Tensor, factor: Tensor, mean_share: Tensor, luma_share: Tensor) -> None:
    """Brightness, contrast or saturation, whichever each image's numbers (N, 1, 1) say: all three are affine."""
    others = _luma(planes, scratch[0])
    if _in_bulk(planes.device):
        mean = others.mean(dim=(1, 2), keepdim=True)
        torch.addcmul(mean * mean_share, others, luma_share, out=others)
    else:
        # In two steps: the sum over one whole image would be split among threads, and its last bits depend on it.
        mean = others.sum(dim=1).sum(dim=1)[:, None, None] / others[0].numel()
        others.mul_(luma_share).add_(mean * mean_share)
    torch.addcmul(others, planes, factor, out=planes).clamp_(0.0, 1.0)


def _adjust(images: Tensor, factor: Tensor, *, mean_share: float = 0.0, luma_share: float = 0.0) -> Tensor:
    planes, scratch = _to_planes(images)
    factor = _per_image(factor, images).to(images.dtype)
    _blend_(planes, scratch, factor, mean_share * (1.0 - factor), luma_share * (1.0 - factor))
    return _to_images(planes)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiplies (N, 3, H, W) in 0..1 by `factor` (N,)."""
    return _adjust(images, factor)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blends each image with its mean luma; `factor` (N,), 0 = flat grey, 1 = unchanged."""
    return _adjust(images, factor, mean_share=1.0)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blends each image with its luma; `factor` (N,), 0 = no colour, 1 = unchanged."""
    return _adjust(images, factor, luma_share=1.0)


def _turn_hue_(planes: Tensor, scratch: Tensor, sixths: Tensor) -> None:
    """Turns hue by `sixths` (N, 1, 1) of the colour circle.

    In HSV a channel falls from the largest value v to the smallest m as hue moves away from that channel's colour:
    it is m + 2c - c * distance, cut to m..v, with c = v - m and the distance in sixths of the circle. Colours lie two
    sixths apart. Hue enters only as c times its signed distance from red, whose size is green + blue - red + v - 2m
    and whose sign is that of green - blue, so neither a division nor a choice of the largest channel is needed.
    """
    red, green, blue = planes
    high, low, chroma, half, hue, top, work = scratch
    torch.maximum(torch.maximum(red, green, out=high), blue, out=high)
    torch.minimum(torch.minimum(red, green, out=low), blue, out=low)
    torch.sub(high, low, out=chroma)
    torch.mul(chroma, 3.0, out=half)  # half of the circle
    torch.add(low, chroma, alpha=2.0, out=top)
    torch.add(green, blue, out=hue).sub_(red).add_(high).sub_(low, alpha=2.0)
    torch.copysign(hue, torch.sub(green, blue, out=work), out=hue).addcmul_(chroma, sixths)
    # The distance on a circle, for turns up to half of it: half - ||hue| - half| from red, and a third further on for
    # the other two, where it is ||hue ± chroma| - half|.
    torch.abs(hue, out=work).sub_(half).abs_().add_(low).sub_(chroma)
    torch.clamp(work, low, high, out=red)
    torch.add(hue, chroma, out=green)
    torch.sub(hue, chroma, out=blue)
    others = planes[1:].abs_().sub_(half).abs_()
    torch.clamp(torch.sub(top, others, out=others), low, high, out=others)


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turns hue in HSV by `turn` (N,), -0.5..0.5 of the colour circle; value and saturation stay."""
    planes, scratch = _to_planes(images)
    _turn_hue_(planes, scratch, 6.0 * _per_image(turn, images).to(images.dtype))
    return _to_images(planes)


ADJUST = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}


class _Jitter:
    """The jitter of N images, sorted by the place that hue has in their order; images without jitter come last.

    Hue is then turned on all of them at once, and what comes before or after it for a run of neighbours.
    """

    def __init__(self, factors: Factors, device: torch.device) -> None:
        hue_place = torch.where(factors.jitter, (factors.order == _HUE).to(torch.int8).argmax(dim=1), -1)
        self.sorted = hue_place.argsort(descending=True, stable=True)  # (N,)
        # number of images whose hue comes at this place or later, for places 0 to 4
        self.ends: list[int] = (hue_place[:, None] >= torch.arange(5)).sum(dim=0).tolist()
        order = factors.order[self.sorted]
        strengths = torch.stack([getattr(factors, name) for name in JITTER_PARTS], dim=1)[self.sorted]
        factor = strengths.gather(1, order)  # (N, 4), in the order of application
        is_contrast, is_saturation = order == JITTER_PARTS.index("contrast"), order == JITTER_PARTS.index("saturation")
        table = torch.stack([factor, (1.0 - factor) * is_contrast, (1.0 - factor) * is_saturation])  # (3, N, 4)
        table, sixths = all_to_device([table, 6.0 * strengths[:, _HUE]], device)
        self.table, self.sixths = table[..., None, None], sixths[:, None, None]

    def apply_(self, planes: Tensor, scratch: Tensor, start: int) -> None:
        """Jitters the images from `start` of the sorted ones."""
        *ends, _ = (min(max(end - start, 0), planes.shape[1]) for end in self.ends)
        last = ends[0]
        for place in range(3):
            self._blend_(planes, scratch, start, slice(0, ends[place + 1]), place)
        if last:
            _turn_hue_(planes[:, :last], scratch[:, :last], self.sixths[start : start + last])
        for place in range(1, 4):
            self._blend_(planes, scratch, start, slice(ends[place], last), place)

    def _blend_(self, planes: Tensor, scratch: Tensor, start: int, rows: slice, place: int) -> None:
        if rows.start < rows.stop:
            numbers = self.table[:, start + rows.start : start + rows.stop, place]
            _blend_(planes[:, rows], scratch[:, rows], *numbers)


def color_jitter(images: Tensor, factors: Factors) -> Tensor:
    """The four jitter parts, in each image's own order, on all N images."""
    jitter = _Jitter(replace(factors, jitter=torch.ones_like(factors.jitter)), images.device)
    rows = jitter.sorted.to(images.device, non_blocking=True)
    planes, scratch = _to_planes(images[rows])
    jitter.apply_(planes, scratch, 0)
    return torch.empty_like(images).index_copy_(0, rows, _to_images(planes))


# --- blur -----------------------------------------------------------------------------------------------------------


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


def _blur_(planes: Tensor, scratch: Tensor, sigma: Tensor, kernel_size: int) -> None:
    """Blurs planes (C, N, H, W), each image with its sigma (N,)."""
    height, width = planes.shape[2:]
    if min(height, width) >= MATRIX_SIZE and not _in_bulk(planes.device):
        _blur_by_shifts_(planes, sigma, kernel_size)
        return
    rows = _blur_matrix(sigma, kernel_size, height)
    columns = rows if width == height else _blur_matrix(sigma, kernel_size, width)
    for plane in planes:
        _bmm(rows, plane, out=scratch[0])
        _bmm(scratch[0], columns.transpose(1, 2), out=plane)


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
    planes, scratch = _to_planes(images)
    _blur_(planes, scratch, sigma.to(images.device, images.dtype, non_blocking=True), kernel_size)
    return _to_images(planes)


# --- views ----------------------------------------------------------------------------------------------------------


def _put(target: Tensor, rows: Tensor, values: Tensor) -> None:
    """Copies values (C, K, H, W) to the `rows` (K,) of a target (C, M, H, W)."""
    target, values = target.flatten(2), values.flatten(2)
    if target.shape[2] % 4 == 0:  # 16 bytes at a time, which is three times as quick
        target, values = target.view(torch.complex128), values.view(torch.complex128)
    target[:, rows] = values


def _draw_views(images: Tensor, source: Tensor, factors: Factors, size: int, kernel_size: int) -> Tensor:
    """(M, 3, size, size): view i shows image `source[i]` as row i of `factors` says; both are on the CPU."""
    num, device = len(source), images.device
    height, width = images.shape[2:]
    views = torch.empty(num, 3, size, size, device=device)

    in_bulk = _in_bulk(device)
    # Of each view: the planes, and what cropping needs or, after it, the colours.
    crop_space = 3 * _crop_space(height, width, size, device)
    lengths = 3 * size * size, max(7 * size * size, 3 * height * width + crop_space)
    if in_bulk:
        step = DEVICE_CHUNK_NUMBERS // sum(lengths)
    else:
        step = CPU_CHUNK_PIXELS * torch.get_num_threads() // max(height * width, size * size)
    step = max(1, min(num, step))
    jitter = _Jitter(factors, device)
    factors = factors[jitter.sorted]
    chunks = list(torch.arange(num).split(step))
    blurred = [factors.blur[chunk].nonzero()[:, 0] for chunk in chunks]  # places within the chunk
    flips = torch.stack([torch.zeros_like(factors.flip), factors.flip])
    source, target, boxes, flips, sigma, gray, *blurred = all_to_device(
        [
            source[jitter.sorted], jitter.sorted, factors.box.T, flips, factors.sigma,
            factors.grayscale.to(torch.float32), *blurred,
        ], device,
    )  # fmt: skip
    # One block: the allocator keeps one for the next call but returns several to the system, whose clearing of new
    # pages would double the time of a batch of 128.
    block = torch.empty(step * sum(lengths), device=device)
    for start in range(0, num, step):
        chunk = slice(start, min(start + step, num))
        n = chunk.stop - start
        planes, work = block[: n * sum(lengths)].split([n * length for length in lengths])
        planes, scratch = planes.view(3, n, size, size), work[: n * 7 * size * size].view(7, n, size, size)
        pixels, space = work[: n * (3 * height * width + crop_space)].split([n * 3 * height * width, n * crop_space])
        pixels = pixels.view(n, 3, height, width)
        pixels.copy_(images.index_select(0, source[chunk]))
        if images.dtype == torch.uint8:
            pixels.mul_(1.0 / 255.0)
        _crop(pixels, boxes[:, chunk], flips[:, chunk], space, planes)
        jitter.apply_(planes, scratch, start)
        if in_bulk:
            planes.lerp_(_luma(planes, scratch[0]), gray[chunk, None, None])
        elif len(rows := gray[chunk].nonzero()[:, 0]):
            _put(planes, rows, _luma(planes.index_select(1, rows), scratch[0, : len(rows)]).expand(3, -1, -1, -1))
        rows = blurred[start // step]
        if len(rows):
            some = planes.index_select(1, rows)
            _blur_(some, scratch[:, : len(rows)], sigma[chunk].index_select(0, rows), kernel_size)
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
    num = len(ids)
    factors = draw_factors(
        augmentation, ids.repeat(2), seed=seed, epoch=epoch, view=torch.arange(2).repeat_interleave(num),
        height=images.shape[2], width=images.shape[3],
    )  # fmt: skip
    views = _draw_views(images, torch.arange(num).repeat(2), factors, size, augmentation.blur_kernel_size)
    return views[:num], views[num:]


def step_by_step(factors: Factors) -> tuple[list[str], Factors]:
    """One view taken apart: its operations by name, in the order they are applied, and the factors of each stage.

    Args:
        factors: one row.

    Returns:
        K = 8 names (crop, flip, the jitter parts as drawn, grayscale, blur) and K rows: row k does what the view does
        up to operation k and nothing of what follows. The last row is the view itself, to the bit.
    """
    order = [JITTER_PARTS[part] for part in factors.order[0].tolist()]
    names = ["crop", "flip", *order, "grayscale", "blur"]
    stages = torch.arange(len(names))
    done = {name: stages >= place for place, name in enumerate(names)}  # (K,) each
    rows = factors[torch.zeros_like(stages)]
    switches = {name: getattr(rows, name) & done[name] for name in ("flip", "grayscale", "blur")}
    unchanged = torch.tensor([1.0, 1.0, 1.0, 0.0])
    parts = {
        name: torch.where(done[name], getattr(rows, name), value)
        for name, value in zip(JITTER_PARTS, unchanged, strict=True)
    }
    return names, replace(rows, jitter=rows.jitter & done[order[0]], **switches, **parts)


def to_float(images: Tensor) -> Tensor:
    """uint8 to float32 in 0..1; floating point stays as it is."""
    return images.to(torch.float32) / 255.0 if images.dtype == torch.uint8 else images


def normalize(images: Tensor) -> Tensor:
    """0..1 to about -2..2, what encoders are given: the same for every data set, so weights carry over."""
    return (images - 0.5) * 4.0
