"""Encoders ready for images of any size. Torch is imported inside the functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclr.config import ConfigError
from simclr.data import shapes
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef, Representation
from simclr.models.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor
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
