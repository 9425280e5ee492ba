"""The kNN classifier against a slow reference."""

import math

import pytest
import torch
import torch.nn.functional as F

from simclr.evaluation import knn
from simclr.objectives import metrics


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow_knn(bank, labels, query, num_classes, k, temperature):
    similar = [
        (F.cosine_similarity(query, row, dim=0).item(), int(label)) for row, label in zip(bank, labels, strict=True)
    ]
    votes = [0.0] * num_classes
    for similarity, label in sorted(similar, reverse=True)[:k]:
        votes[label] += math.exp(similarity / temperature)
    return votes.index(max(votes))


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.07), (7, 1.0), (500, 0.5)])
def test_knn_equals_brute_force(k, temperature):
    bank, labels, queries = randn(60, 6), torch.arange(60) % 4, randn(25, 6, seed=2)
    expected = [slow_knn(bank, labels, query, 4, k, temperature) for query in queries]
    for chunk_size in (1024, 7):
        found = knn.knn_predict(
            bank, labels, queries, 4, num_neighbors=k, temperature=temperature, chunk_size=chunk_size
        )
        assert found.tolist() == expected


def test_knn_of_the_bank_itself_finds_itself():
    bank, labels = randn(50, 8), torch.arange(50) % 5
    found = knn.knn_predict(bank, labels, 10 * bank, 5, num_neighbors=1)
    assert metrics.accuracy(found, labels) == 1.0
    assert metrics.accuracy(found, (labels + 1) % 5) == 0.0
