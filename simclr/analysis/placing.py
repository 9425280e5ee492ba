"""Where images that are on no map fall among those that are, by their features (no torch).

A PCA map is a linear one: a new image has its exact place on it. UMAP and t-SNE give none to new images; there an image
is put at the weighted mean of its nearest neighbours' places, by inverse squared distance (Shepard 1968), which leaves
an image that is on the map where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from simclr.config import ConfigError
from simclr.embeddings import neighbors, projections
from simclr.embeddings.neighbors import Floats, Nearest

PLACED_AMONG = 15  # nearest neighbours whose places are averaged
MEDIAN_IMAGES = 1000  # images whose pairs give the median distance; of more, so many evenly spread ones
MAP_TOLERANCE = 1e-3  # of a map's extent, by which a PCA map that was kept may differ from that of its features
NEAR_ZERO = 1e-6  # squared distance below which two images are the same


@dataclass(frozen=True)
class Space:
    """The features of the images on a map.

    unit: (N, D) rows of length 1, as neighbours are found by cosine. mean: (D,) of the features.
    median: distance of two images, the median of all pairs, where each is its features less the mean, at length 1;
        0 where all are alike.
    nearest: (N,) cosine of each image and its nearest other one, sorted.
    """

    unit: Floats
    mean: NDArray[np.float64]
    median: float
    nearest: Floats

    @classmethod
    def of(cls, features: Floats, near: Nearest) -> Self:
        """Of features (N, D); near: their neighbours."""
        mean: NDArray[np.float64] = np.asarray(np.mean(features, axis=0, dtype=np.float64))
        return cls(
            neighbors.unit_rows(features),
            mean,
            median_distance(directions(features, mean)),
            np.sort(near.similarities[:, 0].astype(np.float32)),
        )

    def moved(self, changed: Floats, original: Floats) -> Floats:
        """How far images (M, D) stand from where they, or one and the same image, stood before (M, D) or (D,).

        Returns:
            (M,) distances over the median distance of two images: 0 unmoved, 1 as far as any other image lies. All 0
            where the images are all alike.
        """
        if self.median <= 0:
            return np.zeros(len(changed), dtype=np.float32)
        before = directions(np.atleast_2d(original), self.mean)
        steps = np.linalg.norm(directions(changed, self.mean) - before, axis=1)
        return (steps / self.median).astype(np.float32)

    def near(self, features: Floats, k: int, row: int = -1) -> Nearest:
        """The k images most similar to each of (M, D); `row` is an image that does not count, -1 for none."""
        left_out = np.full(len(features), row) if row >= 0 else None
        k = min(k, len(self.unit) - (row >= 0))
        return neighbors.nearest_to(neighbors.unit_rows(features), self.unit, k, left_out)

    def share_farther(self, similarity: float) -> float:
        """The share of images, 0..1, that are less like their nearest other one than this cosine."""
        return float(np.searchsorted(self.nearest, similarity)) / len(self.nearest)


def directions(features: Floats, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features (N, D) less their mean (D,), at length 1."""
    x = np.asarray(features, dtype=np.float64) - mean
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def median_distance(rows: NDArray[np.float64]) -> float:
    """Median distance of two of `directions` (N, D), N at least 2; 0 where most are the same."""
    if len(rows) > MEDIAN_IMAGES:
        rows = rows[np.linspace(0, len(rows) - 1, MEDIAN_IMAGES).astype(np.int64)]
    lengths = np.square(rows).sum(axis=1)  # 1, or 0 of what lies at the mean
    squared = (lengths[:, None] + lengths - 2.0 * (rows @ rows.T))[np.triu_indices(len(rows), 1)]
    found = float(np.sqrt(np.maximum(0.0, np.median(squared))))
    return found if found > 1e-6 else 0.0


@dataclass(frozen=True)
class Layout:
    """A map as it is shown.

    points: (N, dims). axes: (D, dims) that lead from features less their mean to their place on a linear map; None
    where only the neighbours tell.
    """

    points: Floats
    axes: NDArray[np.float64] | None = None

    @property
    def is_exact(self) -> bool:
        return self.axes is not None

    def place(self, space: Space, features: Floats) -> Floats:
        """(M, dims) places of images by their features (M, D)."""
        if self.axes is not None:
            return ((np.asarray(features, dtype=np.float64) - space.mean) @ self.axes).astype(np.float32)
        near = space.near(features, PLACED_AMONG)
        weights = 1.0 / (np.maximum(0.0, 2.0 - 2.0 * near.similarities.astype(np.float64)) + NEAR_ZERO)
        weights /= weights.sum(axis=1, keepdims=True)
        return np.einsum("mk,mkd->md", weights, self.points[near.indices]).astype(np.float32)


def layout_of(method: str, points: Floats, features: Floats) -> Layout:
    """The layout of a map (N, dims) as it is shown, turned and mirrored or not, of features (N, D).

    Raises:
        ConfigError: if a PCA map is not that of these features.
    """
    if method != "pca":
        return Layout(points)
    mean, axes = projections.pca_axes(features, points.shape[1])
    centred = np.asarray(features, dtype=np.float64) - mean
    axes = axes @ projections.procrustes_rotation(points, (centred @ axes).astype(np.float32))
    found = centred @ axes
    if np.abs(found - points).max() > MAP_TOLERANCE * max(float(np.ptp(points, axis=0).max()), 1e-12):
        raise ConfigError("This map was drawn of other features than those that are kept; compute it again.")
    return Layout(points, axes)
