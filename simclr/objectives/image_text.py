"""The loss of images and their captions: each image has to find its caption, and each caption its image.

Symmetric cross-entropy over cosine similarities with a learned scale (CLIP, Radford et al. 2021, section 2.3 and figure
3). A caption that says the same as another one of the batch is no negative of it: with few words that is common, and
the loss would push an image away from a sentence that is true of it (as labels are used by Khosla et al. 2020, but such
pairs are left out here, not drawn together).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def image_text_loss(images: Tensor, texts: Tensor, scale: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of N images and their captions, and the rank of each positive.

    With s_ij the cosine of image i and caption j and S_i all j that say something else than caption i, and i itself,

        loss = 1/2N sum_i [ log sum_{j in S_i} exp(scale (s_ij - s_ii)) + log sum_{j in S_i} exp(scale (s_ji - s_ii)) ]

    Computed in float32 at least, under autocast too.

    Args:
        images, texts: (N, D) embeddings, any length.
        scale: scalar above 0, one over the temperature; may need a gradient.
        said: (N,) whole numbers, equal where two captions say the same.

    Returns:
        The scalar loss in nats: ln(N) where all similarities are equal and all captions differ. And (2N,) float32 ranks
        without gradient, of captions for images, then of images for captions: 1 + candidates strictly more similar than
        the positive + half of those equally similar, among what says something else.

    Raises:
        ValueError: for shapes that differ, or fewer than two images.
    """
    if images.shape != texts.shape or images.ndim != 2 or len(said) != len(images):
        raise ValueError(
            f"images are {tuple(images.shape)}, texts {tuple(texts.shape)} and said {tuple(said.shape)}; allowed: "
            "(N, D) twice, and (N,)"
        )
    if len(images) < 2:
        raise ValueError(f"the batch has {len(images)} image; allowed: at least 2, or there is nothing to contrast")
    with torch.autocast(device_type=images.device.type, enabled=False):
        wide = torch.promote_types(images.dtype, torch.float32)
        similarities = F.normalize(images.to(wide), dim=1) @ F.normalize(texts.to(wide), dim=1).T  # (N, N)
        same = said[:, None] == said[None, :]
        same.fill_diagonal_(False)
        # masked after the scale: its gradient would be minus infinity times 0
        logits = (scale.to(wide) * similarities).masked_fill(same, -torch.inf)
        rows = torch.arange(len(images), device=images.device)
        loss = 0.5 * (F.cross_entropy(logits, rows) + F.cross_entropy(logits.T, rows))
        with torch.no_grad():
            known = similarities.detach().masked_fill(same, -torch.inf)
            ranks = torch.cat([_ranks(known), _ranks(known.T)])
    return loss, ranks


def _ranks(similarities: Tensor) -> Tensor:
    """(N,) of the diagonal in each row of (N, N)."""
    positive = similarities.diagonal()[:, None]
    above = (similarities > positive).sum(dim=1)
    equal = (similarities == positive).sum(dim=1) - 1  # without the positive itself
    return (1.0 + above + 0.5 * equal).to(torch.float32)
