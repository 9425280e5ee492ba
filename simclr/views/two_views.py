"""TwoViews: two random views of one image, for the data sets and loaders of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from simclr.config import Augmentation
from simclr.data.folders.decoding import upright
from simclr.data.folders.reading import kept_side
from simclr.views import augment


class TwoViews:
    """A transform that turns a PIL image into two random views of it, each (3, size, size) float32.

        dataset = torchvision.datasets.ImageFolder(folder, transform=TwoViews(32))

    Each call draws one number from torch's generator, which names the views: `torch.manual_seed`, or a DataLoader's
    `generator`, repeats them. A DataLoader seeds its workers one by one and anew in each epoch, so views differ between
    workers and epochs. An image that is larger is first made 1.5 times `size`, as the images of a folder are kept.

    Args:
        size: side of the views, in pixels.
        augmentation: how they are drawn; None: as the options of a pre-training have it.
        seed: of the family of views that those numbers choose from.
        normalize: as this package's encoders are given images, (x - 0.5) * 4; False: 0..1.
    """

    def __init__(
        self, size: int, augmentation: Augmentation | None = None, *, seed: int = 0, normalize: bool = True
    ) -> None:
        if size < 1:
            raise ValueError(f"size is {size}; allowed: at least 1")
        self.size, self.augmentation = size, augmentation if augmentation is not None else Augmentation()
        self.seed, self.normalize = seed, normalize

    def __call__(self, image: Any) -> tuple[Tensor, Tensor]:
        """Two views of a PIL image, or of an array (H, W, 3) or tensor (3, H, W) of uint8, of any size."""
        ids = torch.randint(1 << 31, (1,))
        first, second = augment.two_views(
            self._pixels(image), ids, self.augmentation, seed=self.seed, epoch=0, size=self.size
        )
        if self.normalize:
            first, second = augment.normalize_(first), augment.normalize_(second)
        return first[0], second[0]

    def _pixels(self, image: Any) -> Tensor:
        """(1, 3, H, W) uint8."""
        if isinstance(image, Tensor):
            image = image.permute(1, 2, 0).numpy() if image.ndim == 3 and len(image) == 3 else image.numpy()
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8:
                raise ValueError(f"image is of {image.dtype}; allowed: uint8, 0 to 255")
            image = Image.fromarray(image)
        image = upright(image)
        own = min(image.size)
        if (side := kept_side(own, self.size)) != own:
            width, height = (max(1, round(length * side / own)) for length in image.size)
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]

    def __repr__(self) -> str:
        return f"TwoViews({self.size}, {self.augmentation!r}, seed={self.seed}, normalize={self.normalize})"
