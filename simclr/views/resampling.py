"""Crop, resize and flip in one step: antialiased bilinear resampling of an integer crop box."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from simclr.data.transfer import all_to_device
from simclr.views import numerics

MAX_TAPS = 8  # neighbours, above which a matrix takes less


def _sample_positions(length: Tensor, size_out: int, flip: Tensor | None = None) -> Tensor:
    """(N, size_out): where in a box of `length` pixels each output pixel lies; 0 is the middle of the first pixel."""
    position = torch.arange(0.5, size_out, device=length.device)
    if flip is not None:
        position = torch.where(flip[:, None], size_out - position, position)
    return position * (length.to(torch.float32) / size_out)[:, None] - 0.5


def _neighbours(start: Tensor, length: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel before each position and the weight of the one after it, both (N, size_out).

    Where nothing shrinks, antialiasing has no effect and an output pixel mixes two neighbours.
    """
    start, length = start[:, None], length[:, None]
    position = torch.minimum(position.clamp(min=0.0), (length - 1).to(torch.float32))
    first = torch.minimum(start + position.to(torch.int64), start + length - 2).clamp_(min=0)
    return first, position - (first - start)


def _antialiased_matrix(start: Tensor, length: Tensor, position: Tensor, size_in: int) -> Tensor:
    """(N, size_out, size_in) weights of an antialiased bilinear resize of `length` pixels from `start`."""
    reach = (length.to(torch.float32) / position.shape[1]).clamp(min=1.0)[:, None, None]
    source = torch.arange(size_in, device=start.device) - start[:, None]  # pixel within the box, (N, size_in)
    weights = (source[:, None, :] - position[:, :, None]).abs_().div_(reach).neg_().add_(1.0).clamp_(min=0.0)
    weights.mul_(((source >= 0) & (source < length[:, None]))[:, None, :])
    return weights.div_(weights.sum(dim=2, keepdim=True))


def _grows(size_in: int, size_out: int) -> bool:
    return 1 < size_in <= size_out  # then every box inside the image does


def _num_taps(size_in: int, size_out: int) -> int:
    """Neighbours that each output pixel mixes where images shrink, 0 where it is done in another way."""
    num_taps = max(2, math.ceil(2 * size_in / size_out))
    return num_taps if size_in > size_out and num_taps <= MAX_TAPS else 0


def crop_space(height_in: int, width_in: int, size: int) -> int:
    """Numbers of scratch space that `crop` needs for each plane of an image."""
    if _num_taps(max(height_in, width_in), size):
        return 2 * size * width_in + size * size
    return (2 if _grows(width_in, size) else 1) * height_in * size + size * size


def crop(images: Tensor, boxes: Tensor, flips: Tensor, space: Tensor, planes: Tensor) -> None:
    """Writes the boxes of images (N, C, H, W), resized, to planes (C, N, size, size).

    Resampling is linear and separable. Crop, resize and flip along an axis are one step: few neighbours for each output
    pixel or, where they are many, a matrix for each image.
    `boxes` (4, N): top, left, height, width. `flips` (2, N): top to bottom, left to right. `space`: N * C times
    `crop_space` numbers.
    """
    num, channels, height_in, width_in = images.shape
    size = planes.shape[3]
    device = images.device
    narrow, scratch = space[: -planes.numel()], space[-planes.numel() :].view_as(planes)
    start, length = boxes.reshape(2, 2 * num)  # both axes at once
    position = _sample_positions(length, size, flips.reshape(2 * num))
    # The first line of each plane, (C, N, 1).
    top = torch.arange(0, num * channels * height_in, height_in, device=device).view(num, channels).T[:, :, None]
    if _num_taps(max(height_in, width_in), size):
        _crop_by_taps(
            images, start, length, position, top, narrow.view(2, channels, num, size, width_in), scratch, planes
        )
        return
    if _grows(height_in, size) or _grows(width_in, size):
        first, weight = (values.split(num) for values in _neighbours(start, length, position))  # of each axis
    if not (_grows(height_in, size) and _grows(width_in, size)):
        matrix = _antialiased_matrix(start, length, position, max(height_in, width_in))

    lines = images.view(num, channels * height_in, width_in)
    narrow = narrow.view(-1, num, channels * height_in, size)
    here = narrow[0]
    if _grows(width_in, size):
        there = narrow[1]
        index = first[1][:, None, :].expand_as(here)
        torch.gather(lines, 2, index, out=here)
        torch.gather(lines, 2, (first[1] + 1)[:, None, :].expand_as(here), out=there)
        here.lerp_(there, weight[1][:, None, :].to(here.dtype))
    else:
        torch.bmm(lines, matrix[num:, :, :width_in].to(here.dtype).transpose(1, 2), out=here)

    if _grows(height_in, size):
        line = (top + first[0]).flatten()  # (C * N * size,)
        here = here.view(-1, size)
        torch.index_select(here, 0, line, out=planes.view(-1, size))
        torch.index_select(here, 0, line + 1, out=scratch.view(-1, size))
        planes.lerp_(scratch, weight[0][:, :, None].to(planes.dtype))
    else:
        rows = matrix[:num, :, :height_in].to(here.dtype)
        for plane, channel in zip(planes, here.view(num, channels, height_in, size).unbind(1), strict=True):
            torch.bmm(rows, channel, out=plane)


def _crop_by_taps(
    images: Tensor,
    start: Tensor,
    length: Tensor,
    position: Tensor,
    top: Tensor,
    narrow: Tensor,
    scratch: Tensor,
    planes: Tensor,
) -> None:
    """`crop` where images shrink, antialiased: an output pixel mixes the K neighbours that its triangle reaches.

    start, length: (2N,) of both axes; position (2N, size). top: first line of each plane, (C, N, 1).
    """
    num, _, height_in, width_in = images.shape
    size, device = planes.shape[3], images.device
    num_taps = _num_taps(max(height_in, width_in), size)
    start, length = start[:, None], length[:, None]
    reach = (length.to(torch.float32) / size).clamp_(min=1.0)
    tap = torch.arange(1, num_taps + 1, device=device)[:, None, None]
    pixel = (position - reach).floor_().to(torch.int64) + tap  # within the box, (K, 2N, size)
    weight = (pixel - position).abs_().div_(reach).neg_().add_(1.0).clamp_(min=0.0)
    weight.mul_((pixel >= 0) & (pixel < length))
    weight.div_(weight.sum(dim=0))
    pixel = torch.minimum(pixel.clamp_(min=0), length - 1).add_(start)  # pixels outside have no weight
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
    mirrored = torch.zeros(num, dtype=torch.bool) if flip is None else flip.cpu()
    if not numerics.in_bulk(images.device):
        from simclr.views.compiled import calls

        return calls.resized_crop(images, box.cpu(), size, mirrored).to(images.dtype)
    flips = torch.stack([torch.zeros_like(mirrored), mirrored])
    boxes, flips = all_to_device([box.cpu().T, flips], images.device)
    planes = images.new_empty(channels, num, size, size)
    space = images.new_empty(num * channels * crop_space(height, width, size))
    crop(images.contiguous(), boxes, flips, space, planes)
    return numerics.to_images(planes)


def resize(images: Tensor, size: int) -> Tensor:
    """(N, C, H, W) to (N, C, size, size): the whole image, bilinear, antialiased."""
    if images.shape[2:] == (size, size):
        return images
    box = torch.tensor([[0, 0, images.shape[2], images.shape[3]]]).expand(len(images), 4)
    return resized_crop(images, box, size)


def horizontal_flip(images: Tensor, flip: Tensor) -> Tensor:
    """Mirrors the images where `flip` (N,) is true."""
    return torch.where(numerics.per_image(flip, images)[:, None], images.flip(3), images)


def turn_and_shift(images: Tensor, angle: Tensor, right: Tensor) -> Tensor:
    """Turns images about their middle and moves them to the side; what comes in from outside is their mirror image.

    No augmentation of the trainer does this: it shows what a network makes of changes that it never saw.

    Args:
        images: (N, C, S, S) floating point.
        angle: (N,) in degrees, counter-clockwise.
        right: (N,) share of the width, below 0 to the left; applied after the turn.

    Returns:
        (N, C, S, S), bilinear.
    """
    radians = angle.to(images.device, images.dtype) * (math.pi / 180)
    cos, sin = radians.cos(), radians.sin()
    away = 2 * right.to(images.device, images.dtype)  # the grid reaches from -1 to 1
    # where each output pixel is taken from: first moved back, then turned back (rows count downwards)
    rows = [torch.stack([cos, -sin, -cos * away], dim=1), torch.stack([sin, cos, -sin * away], dim=1)]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, "bilinear", "reflection", align_corners=False)
