"""NT-Xent of more than two views: the mean of the two-view loss over all pairs of views."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def nt_xent_of_views(views: Tensor, temperature: float) -> Tensor:
    """Mean over the V (V - 1) / 2 pairs of views of `nt_xent` of the pair, in one process.

    An anchor in view v, paired with view w, has its 2N - 2 negatives in these two views alone. Sums of exponentials over
    a view serve each pair that the view is in.

    Args:
        views: (V, N, D) embeddings, V and N at least 2.
        temperature: above 0.

    Returns:
        Scalar in nats; ln(2N - 1) when all similarities are equal.
    """
    num_views, n, _ = views.shape
    with torch.autocast(device_type=views.device.type, enabled=False):
        z = F.normalize(views.float(), dim=2).flatten(0, 1)  # (VN, D)
        similarity = (z @ z.T / temperature).view(num_views, n, num_views, n)  # [v, i, w, k]
        same_image = torch.eye(n, dtype=torch.bool, device=z.device)[None, :, None]
        sums = similarity.masked_fill(same_image, -torch.inf).logsumexp(dim=3)  # (V, N, V): over the negatives in w
        positive = similarity.diagonal(dim1=1, dim2=3).permute(0, 2, 1)  # (V, N, V)
        within = sums.diagonal(dim1=0, dim2=2).T[:, :, None]  # (V, N, 1): over those in the own view
        losses = torch.logaddexp(torch.logaddexp(sums, within), positive) - positive
        others = ~torch.eye(num_views, dtype=torch.bool, device=z.device)
        return losses.permute(0, 2, 1)[others].mean()
