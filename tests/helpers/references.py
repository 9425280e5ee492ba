"""Formulas the slow way."""

from __future__ import annotations

import numpy as np


def slow_neighbors(features: np.ndarray, row: int) -> list[int]:
    """All other rows by cosine similarity, in plain Python."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        product = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
        return product / (sum(float(x) ** 2 for x in a) * sum(float(y) ** 2 for y in b)) ** 0.5

    others = [other for other in range(len(features)) if other != row]
    return sorted(others, key=lambda other: -cosine(features[row], features[other]))
