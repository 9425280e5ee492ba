"""NT-Xent, the loss of SimCLR (Chen et al. 2020, equation 1)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_similarities(z1: Tensor, z2: Tensor) -> Tensor:
    """Cosine similarity of all rows of both views.

    Args:
        z1, z2: (N, D) embeddings of the first and second view; row i of both is the same image.

    Returns:
        (2N, 2N) float32; rows and columns are z1 then z2. Always in float32: bfloat16 keeps 8 bits, and a
        similarity of 0.99 divided by a temperature of 0.01 would be off by half a nat.
    """
    if z1.shape != z2.shape or z1.ndim != 2:
        raise ValueError(f"z1 is {tuple(z1.shape)} and z2 {tuple(z2.shape)}; allowed: two equal shapes (N, D)")
    with torch.autocast(device_type=z1.device.type, enabled=False):
        z = F.normalize(torch.cat([z1, z2]).to(torch.promote_types(z1.dtype, torch.float32)), dim=1)  # (2N, D)
        return z @ z.T


def nt_xent_from_similarities(similarities: Tensor, temperature: float) -> Tensor:
    """NT-Xent of a (2N, 2N) matrix as `cosine_similarities` gives it; scalar, in nats."""
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature is {temperature}; allowed: a number above 0")
    num_rows = len(similarities)
    if num_rows < 4:
        raise ValueError(f"the batch has {num_rows // 2} image; allowed: at least 2, or there is nothing to contrast")
    itself = torch.eye(num_rows, dtype=torch.bool, device=similarities.device)
    logits = (similarities / temperature).masked_fill(itself, -torch.inf)  # (2N, 2N)
    positives = torch.arange(num_rows, device=similarities.device).roll(num_rows // 2)
    return F.cross_entropy(logits, positives)


def nt_xent(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """Normalised-temperature cross-entropy: each of 2N rows has to find its positive among the 2N - 1 others.

    Args:
        z1, z2: (N, D) embeddings of two views of the same N images, any scale; bfloat16 is computed in float32.
        temperature: above 0.

    Returns:
        Scalar: mean over the 2N anchors, in nats. ln(2N - 1) when all similarities are equal.

    Raises:
        ValueError: for shapes that differ, fewer than two images, or a temperature that is not above 0.
    """
    return nt_xent_from_similarities(cosine_similarities(z1, z2), temperature)
