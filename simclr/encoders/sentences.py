"""How similar the images of an embedding are to a sentence, for runs with a text encoder (no torch until it is asked).

Images and sentences meet in the projections z. Where an embedding holds h, the run's head makes z of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.config import ConfigError
from simclr.embeddings.references import EncoderRef, open_weights
from simclr.embeddings.stored import Embedding


def knows_words(model: EncoderRef) -> bool:
    """Whether there is a text encoder that was trained with these weights: that of a run's end."""
    is_end = model.what == "weights" and model.checkpoint is None and model.run.model_path.is_file()
    return is_end and (model.run.path / runs.TEXT_ENCODER).is_file()


def projections_of(model: EncoderRef, embedding: Embedding) -> NDArray[np.float32]:
    """(N, projection_dim) z of the images of an embedding, rows of length 1.

    Raises:
        ConfigError: if the features came without their values, as with examples, or the weights hold no head.
    """
    import torch

    from simclr.embeddings import networks

    if embedding.is_shipped:
        raise ConfigError("The features of these maps did not come with the example, so no sentence can be compared.")
    z = torch.from_numpy(np.array(embedding.features))
    if model.layer == "h":
        with open_weights(model) as weights, torch.random.fork_rng(devices=[]), torch.inference_mode():
            size = int(model.run.config.get("image_size") or embedding.provenance["thumbnails"]["side"])
            _, head = networks.parts_of(replace(model, layer="z"), size, weights)
            z = head(z)
    found: NDArray[np.float32] = torch.nn.functional.normalize(z.float(), dim=1).numpy()
    return found


def similarities(model: EncoderRef, z: NDArray[np.float32], sentence: str) -> NDArray[np.float32]:
    """(N,) cosines, -1..1, of `projections_of` with a sentence.

    Raises:
        ConfigError: for a word that the run's captions do not have, or a text encoder that cannot be read.
    """
    from simclr.words import text_encoder

    encoder = text_encoder.load(model.run.path / runs.TEXT_ENCODER)
    embedded = encoder.embed([sentence])[0].numpy()
    if len(embedded) != z.shape[1]:
        raise ConfigError(f"The text encoder of {model.run.id} is not that of its weights; train it again.")
    found: NDArray[np.float32] = (z @ embedded).astype(np.float32)
    return found
