"""How alike an encoder's features stay when an image is changed by one operation, and how far it moves among others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclr.config import Augmentation

if TYPE_CHECKING:
    from torch import Tensor
from simclr.analysis import placing
from simclr.analysis.encoders import FrozenEncoder
from simclr.analysis.similarity import unit_rows
from simclr.embeddings.neighbors import Progress, nearest

# Strengths of each operation; 0, not listed, leaves the image as it is.
#   crop: share of the area that is cut away. brightness, contrast, saturation: the factor is 1 plus or minus this.
#   hue: rotation of the colour circle, either way. blur: sigma as a share of the side. flip, grayscale: on or off.
STRENGTHS: dict[str, tuple[float, ...]] = {
    "crop": (0.1, 0.3, 0.5, 0.7, 0.85, 0.92),
    "flip": (1.0,),
    "brightness": (0.1, 0.2, 0.4, 0.6, 0.8),
    "contrast": (0.1, 0.2, 0.4, 0.6, 0.8),
    "saturation": (0.1, 0.2, 0.4, 0.6, 0.8),
    "hue": (0.02, 0.05, 0.1, 0.2, 0.35, 0.5),
    "grayscale": (1.0,),
    "blur": (0.01, 0.02, 0.04, 0.07, 0.1),
}


def apply_operation(images: Tensor, operation: str, strength: float) -> Tensor:
    """Images (N, 3, S, S), float in 0..1, after one operation at a strength of `STRENGTHS`, by the trainer's own code.

    Where an operation goes either way, brighter or darker, images alternate. Crops lie at random places, the same ones
    for the same number of images.

    Raises:
        ValueError: for another operation.
    """
    import torch

    from simclr.views import blur, color, resampling
    from simclr.views.factors import draw_factors

    num, side = len(images), images.shape[-1]
    signs = 1.0 - 2.0 * (torch.arange(num) % 2)
    if operation == "crop":
        kept = 1.0 - strength
        options = Augmentation(crop_scale_min=kept, crop_scale_max=kept, crop_ratio_min=1.0, crop_ratio_max=1.0)
        drawn = draw_factors(options, torch.arange(num), seed=0, epoch=0, view=0, height=images.shape[2], width=side)
        return resampling.resized_crop(images, drawn.box, side)
    if operation == "flip":
        return resampling.horizontal_flip(images, torch.full((num,), bool(strength)))
    if operation == "grayscale":
        return color.grayscale(images) if strength else images
    if operation == "hue":
        return color.adjust_hue(images, strength * signs)
    if operation == "blur":
        sigma = strength * side
        reach = max(1, round(3 * sigma))
        return blur.gaussian_blur(images, torch.full((num,), sigma), 2 * reach + 1)
    if operation in color.ADJUST:
        return color.ADJUST[operation](images, 1.0 + strength * signs)
    raise ValueError(f"operation is {operation}; allowed: {', '.join(STRENGTHS)}")


def invariance(
    encoder: FrozenEncoder, images: NDArray[np.uint8], report: Progress = lambda share: None
) -> dict[str, Any]:
    """Mean cosine similarity between images and the same images after an operation.

    Args:
        images: (N, 3, S, S), N at least 2.

    Returns:
        For each layer `others`, the mean similarity of two different images, and `curves`: operation -> means at its
        `STRENGTHS`. Compare a curve with `others`: a network whose features all lie close together, as an untrained
        one's do, is near 1 everywhere without having learned to ignore anything (`relative`). `moved`, likewise: mean
        distances to where the images stood, over the median distance of two of them (`placing.Space.moved`).
    """
    import torch

    from simclr.views import augment

    pixels = augment.to_float(torch.from_numpy(images))
    features = encoder(pixels)
    plain = {layer: unit_rows(values) for layer, values in features.items()}
    spaces = {
        layer: placing.Space.of(values, nearest(plain[layer].astype(np.float32), 1))
        for layer, values in features.items()
    }
    found: dict[str, Any] = {}
    for layer, rows in plain.items():
        alike = rows @ rows.T
        others = (alike.sum() - np.trace(alike)) / (len(rows) * (len(rows) - 1))
        found[layer] = {
            "others": float(others),
            "curves": {operation: [] for operation in STRENGTHS},
            "moved": {operation: [] for operation in STRENGTHS},
        }
    steps = [(operation, strength) for operation, strengths in STRENGTHS.items() for strength in strengths]
    for done, (operation, strength) in enumerate(steps):
        report(done / len(steps))
        for layer, values in encoder(apply_operation(pixels, operation, strength)).items():
            similarity = (plain[layer] * unit_rows(values)).sum(axis=1).mean()
            found[layer]["curves"][operation].append(float(similarity))
            found[layer]["moved"][operation].append(float(spaces[layer].moved(values, features[layer]).mean()))
    return {"num_images": len(images), "layers": found}


def relative(similarity: float, others: float) -> float | None:
    """How much of the way from another image to itself: 1 unchanged, 0 no more alike than two different images.

    None where all images look alike to the encoder, so that there is no way.
    """
    return (similarity - others) / (1.0 - others) if others < 1.0 - 1e-6 else None
