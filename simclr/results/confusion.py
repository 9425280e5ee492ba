"""What was taken for what, in a form that can be read: shares of each true class, of many classes the most confused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_CLASSES = 20  # that are shown one by one
FEWER_CLASSES = 12  # of more, those that are confused most
MOST_IMAGES = 2**53  # in a cell; what is more came from a damaged file


@dataclass(frozen=True)
class Confusion:
    """A matrix of R true classes (rows) and C answers (columns).

    Attributes:
        rows: names of the true classes. columns: names of the answers; the same, and perhaps `all others`.
        counts: (R, C) how many images of the row's class were given the column's answer.
        num_classes: of the whole test.
    """

    rows: list[str]
    columns: list[str]
    counts: NDArray[np.int64]
    num_classes: int

    @property
    def shares(self) -> NDArray[np.float64]:
        """(R, C) of each row, 0..1; a class without images has zeros."""
        return self.counts / np.maximum(1, self.counts.sum(axis=1, keepdims=True))


def readable(classes: Sequence[str], counts: Sequence[Sequence[float]]) -> Confusion | None:
    """The matrix as it can be shown: of up to `MOST_CLASSES` classes the whole.

    Of more: the classes of the pairs that are confused most often (by images, in both directions together), until
    there are `FEWER_CLASSES`, in their own order, and all other answers in one column.

    Args:
        counts: square, a row for each true class. Anything else, as a damaged file may hold, gives None.
    """
    try:
        matrix = np.array(counts, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    names = [str(name) for name in classes]
    if not names or matrix.shape != (len(names), len(names)):
        return None
    if not ((matrix >= 0) & (matrix <= MOST_IMAGES)).all():  # nor what is no number
        return None
    whole = matrix.round().astype(np.int64)
    if len(names) <= MOST_CLASSES:
        return Confusion(names, names, whole, len(names))
    chosen = most_confused(whole, FEWER_CLASSES)
    part = whole[np.ix_(chosen, chosen)]
    others = whole[chosen].sum(axis=1) - part.sum(axis=1)
    rows = [names[place] for place in chosen]
    return Confusion(rows, [*rows, "all others"], np.column_stack([part, others]), len(names))


def most_confused(counts: NDArray[np.int64], number: int) -> list[int]:
    """Indices of the classes of the most frequent confusions, rising; `number` of them.

    Args:
        counts: (C, C).
    """
    both = np.triu(counts + counts.T, k=1)
    order = np.argsort(-both, axis=None, kind="stable")
    found: dict[int, None] = {}
    for place in order:
        for index in np.unravel_index(place, both.shape):
            found.setdefault(int(index))
            if len(found) == number:
                return sorted(found)
    return sorted(found)
