"""Nearest neighbours in the features, by cosine, exact (no torch)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
# Called with the share done, 0..1.
Progress = Callable[[float], None]

KEPT_NEIGHBORS = 100  # of each image; more are looked for only where a map asks for them
ROWS_AT_ONCE = 512  # rows of a similarity matrix that are in memory together


class Nearest(NamedTuple):
    """The k rows most similar to each row, itself left out, the most similar first.

    indices: (N, k) int32. similarities: (N, k) float32, cosines.
    """

    indices: NDArray[np.int32]
    similarities: Floats


def unit_rows(features: Floats) -> Floats:
    """Rows (N, D) at length 1; a row of zeros stays."""
    x = np.asarray(features, dtype=np.float32)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def neighbors(unit: Floats, row: int, k: int) -> tuple[NDArray[np.int64], Floats]:
    """The k rows most similar to `row`, itself left out, and their cosine similarities, the most similar first.

    Args:
        unit: (N, D) rows of length 1, from `unit_rows`.
    """
    similarity = unit @ unit[row]
    similarity[row] = -np.inf
    found = np.argsort(-similarity, kind="stable")[: min(k, len(unit) - 1)]
    return found.astype(np.int64), similarity[found]


def nearest_to(queries: Floats, unit: Floats, k: int, left_out: NDArray[np.int64] | None = None) -> Nearest:
    """The k rows of `unit` most similar to each of other rows, exact, the most similar first.

    Args:
        queries: (Q, D), and unit: (N, D), rows of length 1.
        left_out: (Q,) a row of `unit` that does not count for each query, -1 for none; its similarity is -inf.
    """
    k = min(k, len(unit))
    indices = np.empty((len(queries), k), dtype=np.int32)
    similarities = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), ROWS_AT_ONCE):
        here = slice(start, start + ROWS_AT_ONCE)
        similarity = queries[here] @ unit.T  # (n, N)
        if left_out is not None:
            rows = np.flatnonzero(left_out[here] >= 0)
            similarity[rows, left_out[here][rows]] = -np.inf
        indices[here], similarities[here] = _largest(similarity, k)
    return Nearest(indices, similarities)


def _largest(similarity: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    """Columns of the k largest values of each row, the largest first, and these values."""
    num_columns = similarity.shape[1]
    found = np.sort(np.argpartition(similarity, num_columns - k, axis=1)[:, num_columns - k :], axis=1)
    values = np.take_along_axis(similarity, found, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(values, order, axis=1)


def nearest(unit: Floats, k: int, progress: Progress | None = None) -> Nearest:
    """The same for all rows, exact: every pair is looked at, some rows at once.

    Of rows that are equally similar, those that come first in the list come first here, except at the very end.
    """
    num_rows = len(unit)
    k = min(k, num_rows - 1)
    indices = np.empty((num_rows, k), dtype=np.int32)
    similarities = np.empty((num_rows, k), dtype=np.float32)
    for start in range(0, num_rows, ROWS_AT_ONCE):
        here = slice(start, start + ROWS_AT_ONCE)
        similarity = unit[here] @ unit.T  # (n, N)
        itself = np.arange(len(similarity))
        similarity[itself, start + itself] = -np.inf
        indices[here], similarities[here] = _largest(similarity, k)
        if progress:
            progress(min(1.0, (start + ROWS_AT_ONCE) / num_rows))
    return Nearest(indices, similarities)
