"""Single functions of the package, counted on the pretended device with the sizes that matter on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pretended
import torch
from torch import Tensor
from torchvision.models import resnet18

from simclr.config import Augmentation
from simclr.objectives import nt_xent, optim
from simclr.views import augment


def _images(count: int, side: int) -> Tensor:
    return torch.empty(count, 3, side, side, dtype=torch.uint8, device="cuda")


def _views(count: int, size: int, augmentation: Augmentation, stored: int | None = None) -> Callable[[], Any]:
    images, ids = _images(count, stored or size), torch.arange(count)

    def work() -> None:
        for view in augment.two_views(images, ids, augmentation, seed=0, epoch=0, size=size):
            augment.normalize(view)

    return work


def _loss() -> Callable[[], Any]:
    rows = [torch.empty(512, 128, device="cuda", requires_grad=True) for _ in range(2)]
    return lambda: torch.autograd.grad(nt_xent.contrast(*rows, 0.5)[0], rows)


def _optimizer(name: str) -> Callable[[], Any]:
    network = resnet18(num_classes=10).to("cuda")
    for parameter in network.parameters():
        parameter.grad = torch.empty_like(parameter)
    optimizer = optim.make_optimizer(name, [network], 0.1, 1e-4)
    optimizer.step()  # makes its buffers
    return optimizer.step


def _network() -> Callable[[], Any]:
    network = resnet18(num_classes=10).to("cuda").to(memory_format=torch.channels_last)
    x = torch.empty(1024, 3, 32, 32, device="cuda").contiguous(memory_format=torch.channels_last)

    def work() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            network(x).sum().backward()

    return work


# Each makes its inputs, and returns what is counted.
FUNCTIONS: dict[str, Callable[[], Callable[[], Any]]] = {
    "views of 512 images, 32 px": lambda: _views(512, 32, Augmentation()),
    "views of 512 images, 32 px, with blur": lambda: _views(512, 32, Augmentation(blur_probability=0.5)),
    "views of 256 images, 224 px, with blur": lambda: _views(256, 224, Augmentation(blur_probability=0.5)),
    "views of 256 images, 224 of 336 px, with blur": lambda: _views(256, 224, Augmentation(blur_probability=0.5), 336),
    "contrastive loss of 1,024 rows": _loss,
    "LARS, ResNet-18": lambda: _optimizer("lars"),
    "AdamW, ResNet-18": lambda: _optimizer("adamw"),
    "ResNet-18, forward and backward, bf16": _network,
}


def all_counts() -> dict[str, Any]:
    found = {}
    for name, make in FUNCTIONS.items():
        with pretended.counting():
            function = make()
        found[name] = pretended.count(function)
    return found
