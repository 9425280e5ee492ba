"""Encoders ready for images of any size. Torch is imported inside the functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclr.config import ConfigError
from simclr.data import shapes
from simclr.embeddings import references, stored
from simclr.embeddings.references import EncoderRef, Representation
from simclr.embeddings.selection import ImageSelection
from simclr.models.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor

    from simclr.embeddings.stored import Embedding
    from simclr.encoders.images import Preprocessing
BATCH_SIZE = 128


@dataclass(frozen=True)
class FrozenEncoder:
    """A network on the CPU, in eval mode, ready for images of any size. size: side it takes, None: any."""

    network: Any
    projector: Any
    size: int | None

    def __call__(self, images: Tensor) -> dict[Representation, NDArray[np.float32]]:
        """Images (N, 3, H, W), float in 0..1, to h (N, num_features), and z (N, projection_dim) where there is one.

        Raises:
            ConfigError: if values are no numbers.
        """
        import torch

        from simclr.views import augment, resampling

        found: dict[Representation, list[Tensor]] = {"h": [], "z": []}
        with torch.inference_mode():
            for batch in images.split(BATCH_SIZE):
                x = batch if self.size is None else resampling.resize(batch, self.size)
                h = self.network(augment.normalize(x)).flatten(1).float()  # (n, num_features)
                found["h"].append(h)
                if self.projector is not None:
                    found["z"].append(self.projector(h).float())
        arrays = {layer: torch.cat(parts).numpy() for layer, parts in found.items() if parts}
        if not all(np.isfinite(values).all() for values in arrays.values()):
            raise ConfigError("The network gives values that are no numbers; allowed: a run that did not diverge.")
        return arrays


def load_encoder(model: EncoderRef, weights: Weights | None) -> FrozenEncoder:
    """The network of a model, with its projector where it has one. weights: of `references.open_weights`.

    Raises:
        ConfigError: with one sentence, if it has no weights, or they are not those of its network.
    """
    from simclr.embeddings import networks

    if model.what in (references.PIXELS, references.ADDED):
        raise ConfigError(f"RUN is {model.reference}; allowed: a run, or {references.UNTRAINED}.")
    size = model.run.config.get("image_size")
    size = int(size) if size else None
    if model.run.config.get("backbone") is None:
        raise ConfigError(f"{model.run.id} does not say its backbone; allowed: a run whose config.yaml is whole.")
    layer: Representation = "z" if "z" in references.layers_of(model) else "h"
    try:
        network, head = networks.network_of(replace(model, layer=layer), size or shapes.DEFAULT_SIDE, weights)
    except ConfigError as error:
        raise ConfigError(str(error).replace("experiment_version is", "RUN has the weights", 1)) from None
    return FrozenEncoder(network.eval(), head.eval() if head is not None and layer == "z" else None, size)


def model_values(model: EncoderRef, weights: Weights | None) -> dict[str, Any]:
    """Everything that decides what an encoder gives for an image. weights: of `references.open_weights`."""
    values: dict[str, Any] = {name: model.run.config.get(name) for name in ("backbone", "image_size")}
    if model.what == "weights":
        assert weights is not None
        return values | {"weights": weights.sha256}
    projector = {name: model.run.config.get(name) for name in ("hidden_dim", "projection_dim")}
    seed = model.run.config.get("seed")
    return values | projector | {"kind": model.run.kind, "seed": seed, "has_weights": weights is not None}


# --- the encoder behind a map --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MapEncoder:
    """What gives an image the features that a map was drawn from, on the CPU.

    network: (n, 3, size, size), normalized, to h. head: from h to z or to a classifier's logits, or None.
    preprocess: images of any kind and size to what `network` takes.
    classes: of the classifier; empty without one.
    """

    network: Any
    head: Any
    layer: Representation
    preprocess: Preprocessing
    classes: tuple[str, ...] = ()

    def of_pixels(self, images: Tensor) -> NDArray[np.float32]:
        """Images (N, 3, S, S), float in 0..1, to features (N, D): each resized as those of the map were.

        Raises:
            ConfigError: if values are no numbers.
        """
        from simclr.views import augment, resampling

        size = self.preprocess.size
        return self.of_prepared(augment.normalize(part) for part in _resized(images, size, resampling.resize))[0]

    def of_prepared(self, batches: Iterable[Tensor]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Batches of `preprocess` to features (N, D), and a classifier's probabilities (N, num_classes), if any.

        Raises:
            ConfigError: if values are no numbers.
        """
        import torch

        features, probabilities = [], []
        with torch.inference_mode():
            for x in batches:
                h = self.network(x).flatten(1).float()
                out = self.head(h).float() if self.head is not None else None
                features.append(out if out is not None and self.layer == "z" else h)
                if out is not None and self.layer == "h":
                    probabilities.append(out.softmax(dim=1))
        found: NDArray[np.float32] = torch.cat(features).numpy()
        if not np.isfinite(found).all():
            raise ConfigError("The network gives values that are no numbers; allowed: a run that did not diverge.")
        return found, torch.cat(probabilities).numpy() if probabilities else None


def _resized(images: Tensor, size: int, resize: Callable[[Tensor, int], Tensor]) -> Iterator[Tensor]:
    for batch in images.split(BATCH_SIZE):
        yield resize(batch, size)


def load_map_encoder(model: EncoderRef, embedding: Embedding) -> MapEncoder:
    """The encoder whose features an embedding holds.

    Raises:
        ConfigError: with one sentence, if there is none, it is gone, or its weights are not those of the embedding.
    """
    import torch

    from simclr.data import identity
    from simclr.embeddings import networks
    from simclr.encoders import load

    if model.what not in ("weights", references.UNTRAINED, references.PIXELS):
        raise ConfigError(f"{model.name} came as a file of embeddings, without an encoder that could take an image.")
    if model.what == references.PIXELS:
        return MapEncoder(torch.nn.Flatten(), None, "h", load.preprocessing_of(model.run, networks.MAX_PIXEL_SIDE))
    preprocess = load.preprocessing_of(model.run)
    with references.open_weights(model) as weights, torch.random.fork_rng(devices=[]):
        key = stored.key_values(model, ImageSelection(), weights).get("weights")
        if key != embedding.provenance.get("weights_sha256"):
            raise ConfigError(f"{model.name} has other weights than these maps were drawn of; compute them again.")
        try:
            network, head = networks.network_of(model, preprocess.size, weights)
        except ConfigError as error:
            raise ConfigError(str(error).replace("experiment_version is", "RUN has the weights", 1)) from None
    classes: tuple[str, ...] = ()
    if head is not None and model.layer == "h":
        number = int(model.run.config.get("num_classes") or 0)
        names = identity.classes_of(model.run) or ()
        classes = names if len(names) == number else tuple(map(str, range(number)))
    head = head.eval() if head is not None else None
    return MapEncoder(network.eval(), head, model.layer, preprocess, classes)
