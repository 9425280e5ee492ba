"""The networks that features are computed with, and what they make of plain images.

Torch is imported inside the functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.config import ConfigError
from simclr.embeddings.neighbors import Progress
from simclr.embeddings.references import PIXELS, EncoderRef
from simclr.embeddings.selection import SelectedImages
from simclr.models.weights import Weights
from simclr.runs import Run

if TYPE_CHECKING:
    from simclr.models.backbones import Backbone

MAX_PIXEL_SIDE = 32  # raw pixels are compared at this side at most


def features_of(
    model: EncoderRef, weights: Weights | None, pictures: SelectedImages, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """(N, D) float32, the layer of each plain image, BatchNorm in eval mode; and (N, K), the logits of a classifier."""
    if model.added is not None:
        return model.added.features_of(pictures.chosen.name, pictures.ids), None

    import torch

    from simclr.data.splits import BATCH_SIZE
    from simclr.evaluation.features import plain_batches

    config = model.run.config
    size = int(config.get("image_size") or pictures.chosen.image_size)
    device = device_of(model.run)
    network: Any = torch.nn.Flatten()
    head: Any = None
    if model.what == PIXELS:
        size = min(size, MAX_PIXEL_SIDE)
    else:
        try:
            network, head = (part and part.to(device).eval() for part in network_of(model, size, weights))
        except ConfigError as error:
            # Said from the view of a training, where a weights file is an experiment.
            raise ConfigError(str(error).replace("experiment_version is", "RUN has the weights", 1)) from None
    found, logits = [], []
    with torch.inference_mode():
        for x in plain_batches(pictures.chosen, size, device, BATCH_SIZE):  # (n, 3, size, size)
            h = network(x).flatten(1).float()
            out = head(h).float().cpu() if head is not None else None
            found.append(out if out is not None and model.layer == "z" else h.cpu())
            if out is not None and model.layer == "h":
                logits.append(out)
            progress(sum(map(len, found)) / len(pictures.ids))
    features: NDArray[np.float32] = torch.cat(found).numpy()
    if not np.isfinite(features).all():
        raise ConfigError(
            f"RUN is {model.run.id}, whose network gives values that are no numbers; allowed: one that did not diverge."
        )
    return features, torch.cat(logits).numpy() if logits else None


def device_of(run: Run) -> Any:
    """The first GPU that this process may use, unless the run kept off GPUs; the queue hides those it needs itself."""
    from simclr.models import compute as models_compute

    return models_compute.device_here(run.config.get("accelerator"))


class NoProjectorError(ConfigError):
    """z is asked for of weights that hold no projector."""


def network_of(model: EncoderRef, size: int, weights: Weights | None) -> tuple[Any, Any]:
    """The network of `parts_of`, and what stands on it."""
    encoder, head = parts_of(model, size, weights)
    return encoder.network, head


def parts_of(model: EncoderRef, size: int, weights: Weights | None) -> tuple[Backbone, Any]:
    """The encoder, and what stands on it: the projector where z is asked for, a trained classifier, or None.

    Args:
        weights: of `references.open_weights`.

    Raises:
        ConfigError: if the weights are not those of this network; a NoProjectorError if z alone is missing.
    """
    import torch

    from simclr.models import backbones, heads, state_dicts

    run, config = model.run, model.run.config
    state = weights.read_state() if weights is not None else {}
    torch.manual_seed(int(config.get("seed") or 0))  # the untrained network is the one its training began with
    encoder = backbones.build_encoder(str(config["backbone"]), size, small_stem=state_dicts.has_small_stem(state))
    head: Any = None
    if model.layer == "z" or (run.kind != "pretrain" and model.what == "weights"):
        options: Any = runs.load_config(run)
        if model.layer == "z":
            head = heads.projection_head(encoder.num_features, options.hidden_dim, options.projection_dim)
        elif options.num_classes:
            head = heads.classifier(encoder.num_features, options.num_classes, options.head, options.hidden_dim)
    if model.what == "weights" and weights is not None:
        state_dicts.load_encoder(encoder, state, weights.path)
        if head is not None and not load_head(head, state, encoder.classifier_name):
            if model.layer == "z":
                raise NoProjectorError(f"layer is z, whose weights {weights.path} does not hold; allowed: h.")
            head = None
    return encoder, head


def load_head(head: Any, state: Any, classifier_name: str) -> bool:
    """Loads what stands on the encoder: under the classifier's name in `model.pt`, under `head` in a checkpoint.

    Returns:
        False if neither is there, in these shapes.
    """
    wanted = {key: value.shape for key, value in head.state_dict().items()}
    for prefix in (f"{classifier_name}.", "head."):
        found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if {key: value.shape for key, value in found.items()} == wanted:
            head.load_state_dict(found)
            return True
    return False
