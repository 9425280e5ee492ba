"""Stratified random order: in class proportion, nested, the same for the same seed."""

from __future__ import annotations

import numpy as np

from simclr.data.sources import Indices

# All random streams of a run, so that they are independent of each other under the same seed: cuts of the images and
# their order, the images of embeddings and films, halves, a network's own numbers, those of a caller's transform, and
# the labelled images of few-shot tasks, and how batches are mixed.
(
    LIMIT_STREAM,
    VAL_STREAM,
    LABEL_STREAM,
    TEST_STREAM,
    ORDER_STREAM,
    EMBEDDING_STREAM,
    FILM_STREAM,
    HALVES_STREAM,
    NETWORK_STREAM,
    TRANSFORM_STREAM,
    TASK_STREAM,
    MIX_STREAM,
) = range(12)


def ranks_in_class(labels: Indices, generator: np.random.Generator) -> tuple[Indices, Indices]:
    """Each image's random rank within its class (N,), from 0, and the size of its class (N,)."""
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.lexsort((generator.random(len(labels)), classes))
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks, counts[classes]


def stratified_order(labels: Indices, seed: int, stream: int, *, spare_last: bool = False) -> Indices:
    """All indices 0..N-1, ordered so that any first part is stratified: one of each class first, then in proportion.

    First parts of two lengths are nested, which makes 1 % of the labels part of 5 % and of 10 %. `spare_last` leaves
    out the last of each class, so that none is taken whole.
    """
    generator = np.random.default_rng([stream, seed])
    ranks, counts = ranks_in_class(labels, generator)
    order = np.lexsort((generator.random(len(labels)), (ranks + 0.5) / counts, ranks > 0))
    return order[ranks[order] < counts[order] - 1] if spare_last else order
