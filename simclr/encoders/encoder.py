"""A trained encoder as a module: features and predictions of images of any kind and size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

from simclr.config import ConfigError, RunConfig
from simclr.data import loading
from simclr.data.splits import ImageData, Split
from simclr.encoders import images as own_images
from simclr.encoders.images import Preprocessing
from simclr.evaluation.features import outputs_by_batch

BATCH_SIZE = 256

Progress = bool | Callable[[float], None]


class Predictions(NamedTuple):
    """What a classifier says of N images.

    Attributes:
        labels: the name of the likeliest class of each image.
        probabilities: (N, num_classes) float32, each row adds up to 1.
        classes: the names, in the order of the columns.
    """

    labels: list[str]
    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]


class Encoder(nn.Module):
    """h = f(x), the network that a run has trained, with what belongs to its use.

    `load_encoder` makes one. It is in eval mode, on the CPU, with weights that require a gradient; it can be moved,
    frozen and trained like any module.

    Attributes:
        num_features: width of h.
        image_size: side of what the network takes, in pixels.
        network, projector, classifier: the parts; None where the weights have no such head.
        classes: names of the classifier's classes, empty without one.
        classifier_name: under which torchvision's network has its classifier, as in `model.pt`.
        config: the options that it was trained with.
        preprocess: images of any kind and size to what `forward` takes, see `Preprocessing`.
    """

    def __init__(
        self,
        network: nn.Module,
        num_features: int,
        preprocess: Preprocessing,
        *,
        config: RunConfig,
        projector: nn.Module | None = None,
        classifier: nn.Module | None = None,
        classes: Sequence[str] = (),
        name: str = "",
        classifier_name: str = "fc",
    ) -> None:
        super().__init__()
        self.network, self.projector, self.classifier = network, projector, classifier
        self.num_features, self.image_size = num_features, preprocess.size
        self.classes, self.name, self.classifier_name = tuple(classes), name, classifier_name
        self._preprocess, self.config = preprocess, config
        self.eval()

    @property
    def device(self) -> torch.device:
        return next((value.device for value in self.parameters()), torch.device("cpu"))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, image_size, image_size), normalized as `preprocess` does it, to h (N, num_features)."""
        h: Tensor = self.network(x)
        return h.flatten(1)

    def preprocess(self, images: Any) -> Tensor:
        """(N, 3, image_size, image_size) float32 on the encoder's device: the images as the network was trained on.

        The middle square of each is resized with antialiasing and normalized, (x - 0.5) * 4 for x in 0..1, as every
        evaluation of this package does it.

        Args:
            images: a path, a PIL image, a uint8 array (H, W), (H, W, C) or (N, H, W, C), a uint8 tensor (C, H, W) or
                (N, C, H, W) with C of 1, 3 or 4, or a list of these; each of any size.

        Raises:
            ConfigError: for anything else, or a file that cannot be read.
        """
        return self._preprocess(images, self.device)

    def embed(
        self,
        images: Any,
        layer: Literal["h", "z"] = "h",
        *,
        batch_size: int = BATCH_SIZE,
        progress: Progress = True,
    ) -> NDArray[np.float32]:
        """(N, D) float32 features of plain images, in their order, computed batch by batch.

        They are those that `embed` and `evaluate` compute, up to rounding; in float32, whatever the run trained in.

        Args:
            images: as of `preprocess`; also any iterable of images, a map-style Dataset of torch, or a folder, whose
                images `embed_folder` names.
            layer: h, the representation (D is num_features), or z of the projector that pre-trainings have.
            batch_size: images that are in memory at once.
            progress: True shows a bar; a function is told the share done, 0..1, where that is known.

        Raises:
            ConfigError: for what is no image, a layer that there is not, or values that are no numbers.
        """
        return self._through(self.up_to(layer), images, batch_size, progress)

    def embed_folder(
        self,
        folder: str | os.PathLike[str],
        layer: Literal["h", "z"] = "h",
        *,
        batch_size: int = BATCH_SIZE,
        progress: Progress = True,
    ) -> tuple[NDArray[np.float32], list[str]]:
        """`embed` of all images below a folder, and their relative paths in the order of the rows.

        The folder is read as a data set is: its own range of pixel values, broken files left out with a warning, and of
        train, val and test folders the training images first.

        Raises:
            ConfigError: if it cannot be read so, or an image breaks while it is decoded.
        """
        splits = list(self.folder_data(folder).splits.values())
        names = [name for split in splits for name in names_of(split)]
        batches = self._of_splits(splits, _checked(batch_size))
        return self._outputs(self.up_to(layer), batches, len(names), progress), names

    def predict(self, images: Any, *, batch_size: int = BATCH_SIZE, progress: Progress = True) -> Predictions:
        """What the classifier of a supervised run says of plain images; the arguments are those of `embed`.

        Raises:
            ConfigError: as of `embed`, or if there is no classifier.
        """
        probabilities = self._through(self.up_to("classes"), images, batch_size, progress)
        return Predictions([self.classes[index] for index in probabilities.argmax(1)], probabilities, self.classes)

    def _through(self, network: nn.Module, images: Any, batch_size: int, progress: Progress) -> NDArray[np.float32]:
        """(N, D) outputs of a network for images of any kind; see `embed`."""
        if isinstance(images, str | os.PathLike) and Path(images).expanduser().is_dir():
            splits = list(self.folder_data(images).splits.values())
            count: int | None = sum(split.num_images for split in splits)
            return self._outputs(network, self._of_splits(splits, _checked(batch_size)), count, progress)
        batches = (self.preprocess(batch) for batch in own_images.in_batches(images, _checked(batch_size)))
        return self._outputs(network, batches, own_images.num_images(images), progress)

    def up_to(self, layer: str) -> nn.Module:
        """What gives h, z, or with `classes` the probabilities of the classes, of normalized images.

        Raises:
            ConfigError: if there is no such part.
        """
        if layer == "h":
            return self.network
        if layer == "classes":
            if self.classifier is None:
                raise ConfigError(f"{self.name} has no classifier; allowed: a fine-tuned run, or one from scratch.")
            return nn.Sequential(self.network, nn.Flatten(1), self.classifier, nn.Softmax(1))
        if layer == "z" and self.projector is not None:
            return nn.Sequential(self.network, nn.Flatten(1), self.projector)
        there = "h or z" if self.projector is not None else f"h, since {self.name} has no projector"
        raise ConfigError(f"layer is {layer}; allowed: {there}.")

    def folder_data(self, folder: str | os.PathLike[str]) -> ImageData:
        """The images below a folder, read from their files when they are asked for; see `embed_folder`."""
        data = loading.load_other_data(self.config, str(Path(folder).expanduser()), cut=False, max_bytes=0)
        for source in data.folders:
            source.refuse = True  # no other image may stand for one that breaks now
        return data

    def _of_splits(self, splits: Sequence[Split], batch_size: int) -> Iterator[Tensor]:
        for split in splits:
            yield from self.of_split(split, batch_size)

    def of_split(self, split: Split, batch_size: int = BATCH_SIZE) -> Iterator[Tensor]:
        """Its images in order, as `forward` takes them, batch by batch."""
        for pixels in split.batches(batch_size):
            yield self._preprocess.batch(pixels, self.device)

    def _outputs(
        self, network: nn.Module, batches: Iterator[Tensor], count: int | None, progress: Progress
    ) -> NDArray[np.float32]:
        found: list[NDArray[np.float32]] = []
        done = 0
        with _in_eval_mode(self), tqdm(total=count, unit="image", disable=progress is not True, leave=False) as bar:
            for values in outputs_by_batch(network, batches, self.device):
                found.append(values.cpu().numpy())
                done += len(values)
                bar.update(len(values))
                if callable(progress) and count:
                    progress(min(1.0, done / count))
        if not found:
            raise ConfigError("images is empty; allowed: at least one image.")
        features = np.concatenate(found)
        if not np.isfinite(features).all():
            raise ConfigError(f"{self.name} gives values that are no numbers; allowed: a run that did not diverge.")
        return features


def _checked(batch_size: int) -> int:
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; allowed: at least 1.")
    return batch_size


def names_of(split: Split) -> list[str]:
    """Relative paths of the images of a split of a folder."""
    source: Any = split.source
    assert split.rows is not None
    return [source.paths[row] for row in split.rows.tolist()]


@contextmanager
def _in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Every part in eval mode, and afterwards in the mode that it was in."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in before:
            part.training = mode
