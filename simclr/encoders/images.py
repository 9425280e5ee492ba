"""Images as users hold them, as an encoder is given them: files, PIL images, arrays and tensors of any size."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from simclr.config import ConfigError
from simclr.data.folders import decoding
from simclr.data.folders.pixel_values import AS_THEY_ARE, PixelValues
from simclr.data.folders.reading import kept_side
from simclr.views import augment, resampling

KINDS = (
    "a path, a PIL image, a uint8 array (H, W), (H, W, 3) or (N, H, W, 3), a uint8 tensor (3, H, W) or (N, 3, H, W), "
    "or a list of these"
)
CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Preprocessing:
    """How images become what a network was trained on: their middle square, resized and normalized.

    size: side that the network takes, in pixels.
    own_side: at which the images of the data set that it was trained on are kept, where they are kept as they are;
        images of that size are then resized as those are, in one step. Others are first made 1.5 times `size`, as the
        images of a folder are kept, which leaves them as `embed RUN --dataset FOLDER` sees them.
    values: what pixel values of the files mean.
    """

    size: int
    own_side: int | None = None
    values: PixelValues = AS_THEY_ARE

    def __call__(self, images: Any, device: torch.device | str = "cpu") -> Tensor:
        """(N, 3, size, size) float32, normalized, of one image or several.

        Raises:
            ConfigError: for what is no image, or a file that cannot be read.
        """
        parts = [self._resized(pixels, device) for pixels in self.squares(images)]
        if not parts:
            raise ConfigError("images is empty; allowed: at least one image.")
        return augment.normalize(torch.cat(parts))

    def batch(self, pixels: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """The same of images (n, 3, S, S) uint8 as a `Split` gives them."""
        return augment.normalize(self._resized(pixels, device))

    def _resized(self, pixels: Tensor, device: torch.device | str) -> Tensor:
        return resampling.resize(augment.to_float(pixels.to(device)), self.size)

    def squares(self, images: Any) -> Iterator[Tensor]:
        """Squares (1, 3, side, side) uint8, each of a side that `size` is made of in one more step, as `batch` does.

        Raises:
            ConfigError: for what is no image, or a file that cannot be read.
        """
        for image in each_image(images):
            if isinstance(image, Path):
                yield torch.from_numpy(self._of_file(image))[None]
            else:
                pixels = decoding.pixels_of(image, self._side(image), self.values)
                yield torch.from_numpy(np.ascontiguousarray(pixels))[None]

    def _of_file(self, path: Path) -> NDArray[np.uint8]:
        try:
            with Image.open(path) as opened:
                side = self._side(opened)
            return np.ascontiguousarray(decoding.decode_image(path.parent, path.name, side, self.values))
        except decoding.DAMAGE as error:
            if isinstance(error, ConfigError):
                raise
            reason = decoding.broken_image(path.parent, path.name, error).reason
            raise ConfigError(f"The image {path} cannot be read ({reason}); allowed: a whole image file.") from None

    def _side(self, image: Image.Image) -> int:
        own = min(image.size)
        return own if own == self.own_side else kept_side(own, self.size)


def each_image(images: Any) -> Iterator[Path | Image.Image]:
    """The images one by one, whatever they came as.

    Raises:
        ConfigError: for what is none.
    """
    if isinstance(images, str | os.PathLike):
        yield Path(images).expanduser()
    elif isinstance(images, Image.Image):
        yield images
    elif isinstance(images, Tensor | np.ndarray):
        for array in _arrays(images):
            yield Image.fromarray(array)
    elif isinstance(images, Iterable) and not isinstance(images, bytes | dict):
        for item in images:
            # data sets of torch give an image and its class
            yield from each_image(item[0] if isinstance(item, tuple) and item else item)
    else:
        raise ConfigError(f"images is of type {type(images).__name__}; allowed: {KINDS}.")


def _arrays(images: Tensor | NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    """Arrays (H, W), (H, W, 3) or (H, W, 4) of an array, or of a tensor, whose channels stand first."""
    shape = tuple(images.shape)
    name = "a tensor" if isinstance(images, Tensor) else "an array"
    if str(images.dtype).rpartition(".")[2] != "uint8":
        raise ConfigError(
            f"images is {name} of {images.dtype}; allowed: uint8, 0 to 255. What is normalized already is given to "
            "the encoder itself, encoder(x)."
        )
    place = -3 if isinstance(images, Tensor) else -1
    is_one = len(shape) == 2 or (len(shape) == 3 and shape[place] in CHANNELS)
    if not is_one and not (len(shape) == 4 and shape[place] in CHANNELS):
        raise ConfigError(f"images is {name} of shape {shape}; allowed: {KINDS}.")
    if 0 in shape[-3 if len(shape) > 2 else -2 :]:
        raise ConfigError(f"images is {name} of shape {shape}; allowed: images of at least one pixel.")
    for image in [images] if is_one else images:
        if isinstance(image, Tensor):
            image = (image.movedim(0, -1) if image.ndim == 3 else image).detach().cpu().numpy()
        yield np.ascontiguousarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image)


def num_images(images: Any) -> int | None:
    """How many there are, where that can be told before they are read."""
    if isinstance(images, Tensor | np.ndarray):
        return len(images) if images.ndim == 4 else 1
    if isinstance(images, str | os.PathLike | Image.Image):
        return 1
    return len(images) if isinstance(images, Sequence) or hasattr(images, "__len__") else None


def in_batches(images: Any, size: int) -> Iterator[list[Path | Image.Image]]:
    """Lists of at most `size` images, in order."""
    batch: list[Path | Image.Image] = []
    for image in each_image(images):
        batch.append(image)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
