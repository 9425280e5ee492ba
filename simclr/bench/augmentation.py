"""What views cost, beside torchvision's transforms and lightly's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from simclr.bench.timing import Row, speedup, take_turns, threads
from simclr.config import Augmentation
from simclr.views import augment
from simclr.views.policies.wording import POLICIES

SIDE = 32  # pixels
BLUR = Augmentation(blur_probability=0.5)


def photos(count: int, side: int) -> Tensor:
    """(count, 3, side, side) uint8, smooth as photographs are: noise would be an unfair case."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    smooth = F.interpolate(coarse, size=side, mode="bicubic", align_corners=False)
    return ((smooth + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1) * 255).to(torch.uint8)


def textbook_transform(size: int, blur: bool, policy: str | None = None) -> Any:
    """torchvision's PIL pipeline, as the tutorials have it."""
    from torchvision import transforms

    policies = {
        "randaugment": transforms.RandAugment,
        "autoaugment_cifar": partial(transforms.AutoAugment, transforms.AutoAugmentPolicy.CIFAR10),
    }
    steps = [
        transforms.RandomResizedCrop(size, scale=(0.08, 1.0)),
        transforms.RandomHorizontalFlip(),
        *([policies[policy]()] if policy else []),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        transforms.RandomGrayscale(p=0.2),
    ]
    if blur:
        steps.append(transforms.RandomApply([transforms.GaussianBlur(3)], p=0.5))
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)])


def lightly_transform(size: int, blur: bool) -> Any:
    from lightly.transforms import SimCLRTransform

    return SimCLRTransform(input_size=size, cj_strength=0.5, gaussian_blur=0.5 if blur else 0.0)


def own_views(images: Tensor, augmentation: Augmentation, size: int) -> Callable[[], Any]:
    ids = torch.arange(len(images))
    epochs = iter(range(10**9))

    def work() -> None:
        first, second = augment.two_views(images, ids, augmentation, seed=0, epoch=next(epochs), size=size)
        augment.normalize_(first), augment.normalize_(second)

    return work


def _one_by_one(transform: Callable[[Any], Any], pictures: list[Any], times: int) -> None:
    for picture in pictures:
        for _ in range(times):
            transform(picture)


def measure(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """Views per CPU second of one thread, decoded images in, normalized tensors out."""
    from torchvision.transforms.functional import to_pil_image

    # images, and how many of them one by one, which is slow: as few as give a stable figure
    counts = {SIDE: (512, 64), 96: (128, 32), 224: (64, 16)}
    for (side, (count, few)), blur in product(counts.items(), (False, True)):
        images = photos(count, side)
        pictures = [to_pil_image(image) for image in images[:few]]
        textbook = textbook_transform(side, blur)
        candidates: dict[str, Callable[[], Any]] = {
            "own": own_views(images, BLUR if blur else Augmentation(), side),
            "torchvision (PIL)": partial(_one_by_one, textbook, pictures, 2),
        }
        if "lightly" in peers:
            candidates["lightly"] = partial(_one_by_one, lightly_transform(side, blur), pictures, 1)
        with threads(1):
            seconds = take_turns(candidates, repeats)
        name = f"views of {side} px, {'with' if blur else 'without'} blur"
        yield from _rows(name, seconds, count, dict.fromkeys(list(candidates)[1:], few), repeats)
    yield from _policies(*counts[SIDE], repeats)


def _policies(count: int, few: int, repeats: int) -> Iterator[Row]:
    """What a policy adds to the views without blur, beside those and beside torchvision's image by image."""
    from torchvision.transforms.functional import to_pil_image

    images = photos(count, SIDE)
    pictures = [to_pil_image(image) for image in images[:few]]
    for policy, name in POLICIES.items():
        candidates: dict[str, Callable[[], Any]] = {
            "own": own_views(images, Augmentation(policy=policy), SIDE),
            "plain views": own_views(images, Augmentation(), SIDE),
            "torchvision (PIL)": partial(_one_by_one, textbook_transform(SIDE, False, policy), pictures, 2),
        }
        with threads(1):
            seconds = take_turns(candidates, repeats)
        yield from _rows(
            f"views of {SIDE} px, {name}", seconds, count, {"plain views": count, "torchvision (PIL)": few}, repeats
        )


def _rows(
    name: str, seconds: Mapping[str, Sequence[float]], count: int, others: Mapping[str, int], repeats: int
) -> Iterator[Row]:
    """Views of `count` images beside others of so many, two of each image."""
    per_view = [value / (2 * count) for value in seconds["own"]]
    for other, number in others.items():
        theirs = [value / (2 * number) for value in seconds[other]]
        yield Row(
            "augmentation",
            f"{name}, one thread",
            1 / min(per_view),
            "views/CPU-s",
            other,
            **speedup(per_view, theirs),
            repeats=repeats,
        )
