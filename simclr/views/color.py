"""Colour jitter and grey, as torchvision does them, hue through HSV.

Names that end in an underscore write to planes (3, N, H, W) in place and take scratch space, (7, N, H, W).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from simclr.data.transfer import all_to_device
from simclr.views import numerics
from simclr.views.factors import JITTER_PARTS, Factors

GRAY_WEIGHTS = (0.2989, 0.587, 0.114)  # torchvision's, ITU-R BT.601
_HUE = JITTER_PARTS.index("hue")


def luma(planes: Tensor | tuple[Tensor, ...], out: Tensor) -> Tensor:
    red, green, blue = planes
    torch.mul(red, GRAY_WEIGHTS[0], out=out)
    return out.add_(green, alpha=GRAY_WEIGHTS[1]).add_(blue, alpha=GRAY_WEIGHTS[2])


def to_gray(images: Tensor) -> Tensor:
    """(N, 3, H, W) to its luma, (N, 1, H, W)."""
    return luma(images.unbind(1), torch.empty_like(images[:, 0]))[:, None]


def grayscale(images: Tensor) -> Tensor:
    """(N, 3, H, W) without colour, three equal channels."""
    return to_gray(images).expand_as(images)


def _blend_(planes: Tensor, scratch: Tensor, factor: Tensor, mean_share: Tensor, luma_share: Tensor) -> None:
    """Brightness, contrast or saturation, whichever each image's numbers (N, 1, 1) say: all three are affine."""
    others = luma(planes, scratch[0])
    if numerics.in_bulk(planes.device):
        mean = others.mean(dim=(1, 2), keepdim=True)
        torch.addcmul(mean * mean_share, others, luma_share, out=others)
    else:
        # In two steps: the sum over one whole image would be split among threads, and its last bits depend on it.
        mean = others.sum(dim=1).sum(dim=1)[:, None, None] / others[0].numel()
        others.mul_(luma_share).add_(mean * mean_share)
    torch.addcmul(others, planes, factor, out=planes).clamp_(0.0, 1.0)


def _adjust(images: Tensor, factor: Tensor, *, mean_share: float = 0.0, luma_share: float = 0.0) -> Tensor:
    planes, scratch = numerics.to_planes(images)
    factor = numerics.per_image(factor, images).to(images.dtype)
    _blend_(planes, scratch, factor, mean_share * (1.0 - factor), luma_share * (1.0 - factor))
    return numerics.to_images(planes)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiplies (N, 3, H, W) in 0..1 by `factor` (N,)."""
    return _adjust(images, factor)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blends each image with its mean luma; `factor` (N,), 0 = flat grey, 1 = unchanged."""
    return _adjust(images, factor, mean_share=1.0)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blends each image with its luma; `factor` (N,), 0 = no colour, 1 = unchanged."""
    return _adjust(images, factor, luma_share=1.0)


def _shift_hue_(planes: Tensor, scratch: Tensor, sixths: Tensor) -> None:
    """Shifts hue by `sixths` (N, 1, 1) of the colour circle.

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
    # The distance on a circle, for shifts up to half of it: half - ||hue| - half| from red, and a third further on for
    # the other two, where it is ||hue ± chroma| - half|.
    torch.abs(hue, out=work).sub_(half).abs_().add_(low).sub_(chroma)
    torch.clamp(work, low, high, out=red)
    torch.add(hue, chroma, out=green)
    torch.sub(hue, chroma, out=blue)
    others = planes[1:].abs_().sub_(half).abs_()
    torch.clamp(torch.sub(top, others, out=others), low, high, out=others)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Shifts hue in HSV by `shift` (N,), -0.5..0.5 of the colour circle; value and saturation stay."""
    planes, scratch = numerics.to_planes(images)
    _shift_hue_(planes, scratch, 6.0 * numerics.per_image(shift, images).to(images.dtype))
    return numerics.to_images(planes)


ADJUST = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}


class Jitter:
    """The jitter of N images, sorted by the position of hue in their order; images without jitter come last.

    Hue is then shifted on all of them at once, and each part before or after it is applied to a range of neighbours.
    """

    def __init__(self, factors: Factors, device: torch.device) -> None:
        hue_position = torch.where(factors.jitter, (factors.order == _HUE).to(torch.int8).argmax(dim=1), -1)
        self.sorted = hue_position.argsort(descending=True, stable=True)  # (N,)
        # number of images whose hue comes at this position or later, for positions 0 to 4
        self.ends: list[int] = (hue_position[:, None] >= torch.arange(5)).sum(dim=0).tolist()
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
        for position in range(3):
            self._blend_(planes, scratch, start, slice(0, ends[position + 1]), position)
        if last:
            _shift_hue_(planes[:, :last], scratch[:, :last], self.sixths[start : start + last])
        for position in range(1, 4):
            self._blend_(planes, scratch, start, slice(ends[position], last), position)

    def _blend_(self, planes: Tensor, scratch: Tensor, start: int, rows: slice, position: int) -> None:
        if rows.start < rows.stop:
            numbers = self.table[:, start + rows.start : start + rows.stop, position]
            _blend_(planes[:, rows], scratch[:, rows], *numbers)


def color_jitter(images: Tensor, factors: Factors) -> Tensor:
    """The four jitter parts, in each image's own order, on all N images."""
    jitter = Jitter(replace(factors, jitter=torch.ones_like(factors.jitter)), images.device)
    rows = jitter.sorted.to(images.device, non_blocking=True)
    planes, scratch = numerics.to_planes(images[rows])
    jitter.apply_(planes, scratch, 0)
    return torch.empty_like(images).index_copy_(0, rows, numerics.to_images(planes))
