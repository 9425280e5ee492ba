"""The kNN classifier of features, and the numbers that it is used with everywhere (no torch until it predicts)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NUM_NEIGHBORS = 20  # Caron et al. 2021 (DINO), section 4: best of 10, 20, 100, 200
KNN_TEMPERATURE = 0.07


def knn_predict(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    num_classes: int,
    *,
    num_neighbors: int = NUM_NEIGHBORS,
    temperature: float = KNN_TEMPERATURE,
    chunk_size: int = 1024,
    nearest: list[Tensor] | None = None,
) -> Tensor:
    """Class of each query by the weighted vote of its nearest neighbours in cosine similarity (Wu et al. 2018).

    Args:
        bank: (M, D) features with labels `bank_labels` (M,).
        queries: (Q, D) features.
        num_neighbors: at most M are used.
        temperature: a neighbour's vote weighs exp(similarity / temperature).
        nearest: takes what is found on the way, the index of the nearest neighbour of each query, some at a time.

    Returns:
        (Q,) int64 class indices.
    """
    import torch
    import torch.nn.functional as F

    bank, queries = F.normalize(bank.float(), dim=1), F.normalize(queries.float(), dim=1)
    num_neighbors = min(num_neighbors, len(bank))
    predicted = []
    for chunk in queries.split(chunk_size):
        similarity, index = (chunk @ bank.T).topk(num_neighbors, dim=1)  # (q, k)
        if nearest is not None:
            nearest.append(index[:, 0])
        votes = torch.zeros(len(chunk), num_classes, device=chunk.device)
        votes.scatter_add_(1, bank_labels[index], torch.exp((similarity - 1.0) / temperature))
        predicted.append(votes.argmax(dim=1))
    return torch.cat(predicted)
