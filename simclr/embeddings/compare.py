"""Numbers that keep the eye honest: about features, about a map of them, and between two models (no torch).

The page that shows them loads no scipy: a test and a rotation of a few lines are written out here and in `projections`.
Neighbours are by cosine of the features, never by a map. Everything is exact unless a result says how many images it
was measured at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.embeddings.neighbors import ROWS_AT_ONCE, Floats, Nearest, Progress, nearest, unit_rows
from simclr.evaluation.knn import KNN_TEMPERATURE, NUM_NEIGHBORS

Ints = NDArray[np.integer[Any]]

MAX_ANCHORS = 10_000  # images whose whole order of neighbours is looked at to judge a map; up to here, all of them


# --- features -------------------------------------------------------------------------------------------------------


def knn_votes(near: Nearest, labels: Ints, k: int = NUM_NEIGHBORS) -> NDArray[np.int64]:
    """(M,) the class that the k nearest of each of M images vote for, by their labels (N,).

    Of the neighbours of all N images among themselves each is left out of its own vote.

    The vote is weighted with exp(cosine similarity / 0.07), as in the kNN probe of a training (Wu et al. 2018).
    """
    k = min(k, near.indices.shape[1])
    num_classes = int(labels.max()) + 1
    weight = np.exp((near.similarities[:, :k].astype(np.float64) - 1.0) / KNN_TEMPERATURE)
    num_rows = len(near.indices)
    cells = np.arange(num_rows)[:, None] * num_classes + labels[near.indices[:, :k]]
    votes = np.bincount(cells.ravel(), weight.ravel(), num_rows * num_classes)
    return votes.reshape(num_rows, num_classes).argmax(axis=1)


def silhouettes(unit: Floats, labels: Ints) -> NDArray[np.float64]:
    """(N,) silhouette of each image in the original space by cosine distance, -1..1 (Rousseeuw 1987).

    Cosine distances to a class add up to those to the sum of its rows, so that no pair has to be looked at: exact for
    any number of images. 0 where an image is the only one of its class.

    Args:
        unit: (N, D) rows of length 1, from `unit_rows`.

    Raises:
        ValueError: if there are fewer than two classes.
    """
    present, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(present) < 2:
        raise ValueError(f"labels are of {len(present)} class; allowed: at least 2")
    x = unit.astype(np.float64)
    sums = np.zeros((len(present), x.shape[1]))
    np.add.at(sums, classes, x)
    distances = counts - x @ sums.T  # (N, K), summed over each class
    rows, own = np.arange(len(x)), counts[classes]
    to_itself = 1.0 - np.einsum("nd,nd->n", x, x)  # 0 but for a row of zeros, which is at 1 from everything
    inside = (distances[rows, classes] - to_itself) / np.maximum(own - 1, 1)
    distances /= counts
    distances[rows, classes] = np.inf
    outside = distances.min(axis=1)
    larger = np.maximum(inside, outside)
    found = np.divide(outside - inside, larger, out=np.zeros(len(x)), where=larger > 0)
    return np.where(own > 1, found, 0.0)


# --- a map ----------------------------------------------------------------------------------------------------------


def nearest_points(points: Floats, k: int) -> NDArray[np.int64]:
    """(N, k) indices of the k points nearest to each on a map, itself left out, the nearest first."""
    from scipy.spatial import cKDTree

    k = min(k, len(points) - 1)
    found = cKDTree(points).query(points, k + 1)[1]
    itself = found == np.arange(len(points))[:, None]
    itself[~itself.any(axis=1), -1] = True  # lost among others at the very same place
    return found[~itself].reshape(len(points), k)


def shared(first: Ints, second: Ints) -> NDArray[np.int64]:
    """(N,) how many numbers the rows of (N, k) and (N, m) have in common; no row holds one twice."""
    both = np.sort(np.concatenate([first, second], axis=1), axis=1)
    return (both[:, 1:] == both[:, :-1]).sum(axis=1)


def neighbors_kept(features: Floats, points: Floats, k: int = NUM_NEIGHBORS) -> float:
    """Share of each image's k nearest others in the features that are also among its k nearest on a map, 0..1.

    A random map has about k / N.
    """
    near = nearest(unit_rows(features), k).indices
    return float(shared(near, nearest_points(points, k)).mean() / near.shape[1])


def map_numbers(
    unit: Floats,
    near: Nearest,
    points: Floats,
    k: int = NUM_NEIGHBORS,
    progress: Progress | None = None,
    max_anchors: int = MAX_ANCHORS,
) -> dict[str, Any]:
    """How far a map can be trusted, each number 0..1 and 1 for a perfect one.

    trustworthiness: lower the more images that are near on the map are far in the features; continuity: the other way
    round (Venna and Kaski 2001; Kaski et al. 2003). neighbors_kept: as `neighbors_kept`.

    Args:
        unit: (N, D) rows of length 1. near: their neighbours, at least k. points: (N, dims).
        max_anchors: with more images, trustworthiness and continuity are means over so many, evenly spaced.

    Returns:
        These three, and `k` (less than half of the images), and `anchors`, the number of images looked at.
    """
    num_rows = len(unit)
    k = max(1, min(k, near.indices.shape[1], (num_rows - 1) // 2))
    in_features, on_map = near.indices[:, :k], nearest_points(points, k)
    anchors = np.arange(num_rows)
    if num_rows > max_anchors:
        anchors = np.linspace(0, num_rows - 1, max_anchors).astype(np.int64)
    too_far_in_features = too_far_on_map = 0.0
    squares = np.square(points, dtype=np.float32).sum(axis=1)
    for start in range(0, len(anchors), ROWS_AT_ONCE):
        rows = anchors[start : start + ROWS_AT_ONCE]
        too_far_in_features += _excess_ranks(unit[rows] @ unit.T, rows, on_map[rows], k)
        closeness = 2 * points[rows] @ points.T - squares - squares[rows, None]
        too_far_on_map += _excess_ranks(closeness, rows, in_features[rows], k)
        if progress:
            progress(min(1.0, (start + ROWS_AT_ONCE) / len(anchors)))
    worst = len(anchors) * k * (2 * num_rows - 3 * k - 1) / 2
    return {
        "trustworthiness": 1.0 - too_far_in_features / worst,
        "continuity": 1.0 - too_far_on_map / worst,
        "neighbors_kept": float(shared(in_features, on_map).mean() / k),
        "k": k,
        "anchors": len(anchors),
    }


def _excess_ranks(closeness: Floats, rows: Ints, chosen: Ints, k: int) -> float:
    """By how much the ranks of `chosen` (n, k) among all others exceed k, summed; rank 1 is the closest.

    Args:
        closeness: (n, N) of `rows` to all, larger is nearer; changed in place.
    """
    closeness[np.arange(len(rows)), rows] = -np.inf
    values = np.take_along_axis(closeness, chosen, axis=1)
    closeness.sort(axis=1)
    total = 0
    for ordered, wanted in zip(closeness, values, strict=True):
        ranks = len(ordered) - np.searchsorted(ordered, wanted, side="right") + 1
        total += int(np.maximum(ranks - k, 0).sum())
    return float(total)


# --- two models on the same images ----------------------------------------------------------------------------------


def neighbor_jaccard(first: Ints, second: Ints, k: int = NUM_NEIGHBORS) -> Floats:
    """(N,) Jaccard index of each image's k nearest neighbours in two models: shared / all of them together, 0..1.

    Args:
        first, second: (N, at least k), the most similar first.
    """
    k = min(k, first.shape[1], second.shape[1])
    common = shared(first[:, :k], second[:, :k])
    return (common / (2 * k - common)).astype(np.float32)


def chance_jaccard(num_images: int, k: int) -> float:
    """About the Jaccard index that neighbours drawn at random would have."""
    share = min(1.0, k / max(1, num_images - 1))
    return share / (2 - share)


def differ_most(
    first: Ints, second: Ints, k: int = NUM_NEIGHBORS, selection: Ints | None = None, count: int = 5
) -> NDArray[np.int64]:
    """Indices of the images of a selection (default: all) whose neighbourhoods differ most, the most different first.

    Many images may share none of their k neighbours; among those that agree equally well, all known neighbours decide,
    and then a draw, the same each time: images of one class often stand side by side.
    """
    indices = np.arange(len(first)) if selection is None else np.asarray(selection, dtype=np.int64)
    near, wide = (neighbor_jaccard(first[indices], second[indices], number) for number in (k, first.shape[1]))
    draw = np.random.default_rng(0).permutation(len(first))[indices]
    return indices[np.lexsort((draw, wide, near))[:count]]


def linear_cka(first: Floats, second: Floats) -> float:
    """Similarity of two sets of features (N, D1) and (N, D2) of the same images, 0..1, whatever their directions.

    Linear centred kernel alignment (Kornblith et al. 2019, section 3), by whichever of its two equal forms is
    quicker: products of features, or of images. 0 if one of both does not vary.
    """
    x, y = (_centred(features) for features in (first, second))
    if max(x.shape[1], y.shape[1]) <= len(x):
        cross, own, other = x.T @ y, x.T @ x, y.T @ y
        size = float(np.linalg.norm(own) * np.linalg.norm(other))
        return float(np.square(cross).sum() / size) if size > 0 else 0.0
    one, two = x @ x.T, y @ y.T
    size = float(np.linalg.norm(one) * np.linalg.norm(two))
    return float(np.vdot(one, two) / size) if size > 0 else 0.0


def _centred(features: Floats) -> Floats:
    x = np.asarray(features, dtype=np.float64)
    x = x - x.mean(axis=0)
    scale = np.abs(x).max()
    # float32 is precise enough once values are of size 1, and twice as quick
    return (x / scale if scale > 0 else x).astype(np.float32)


@dataclass(frozen=True)
class ClassRow:
    """How two models do on one class.

    first, second: share of its n images that each gets right, 0..1. difference: first - second.
    only_first, only_second: images that only one of them gets right.
    p: of McNemar's exact test that both are equally good. p_adjusted: the same, by Holm for all classes together.
    """

    name: str
    n: int
    first: float
    second: float
    difference: float
    only_first: int
    only_second: int
    p: float
    p_adjusted: float


ALL_CLASSES = "all"


def class_table(labels: Ints, first: Ints, second: Ints, classes: Sequence[str]) -> list[ClassRow]:
    """Per class, and at last for all together, how often two models' predictions (N,) are right."""
    right, other = first == labels, second == labels
    groups = [(name, labels == number) for number, name in enumerate(classes)]
    groups = [(name, members) for name, members in groups if members.any()]
    counts = [(int((right & ~other & members).sum()), int((other & ~right & members).sum())) for _, members in groups]
    p_values = [mcnemar(*pair) for pair in counts]
    adjusted = holm(p_values)
    groups.append((ALL_CLASSES, np.ones(len(labels), dtype=bool)))
    counts.append((sum(one for one, _ in counts), sum(two for _, two in counts)))
    p_values.append(mcnemar(*counts[-1]))
    adjusted.append(p_values[-1])
    rows = []
    for (name, members), (one, two), p, p_adjusted in zip(groups, counts, p_values, adjusted, strict=True):
        shares = float(right[members].mean()), float(other[members].mean())
        rows.append(ClassRow(name, int(members.sum()), *shares, shares[0] - shares[1], one, two, p, p_adjusted))
    return rows


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's exact test: as if each image that one model alone gets right were a toss of a coin."""
    tosses, fewer = only_first + only_second, min(only_first, only_second)
    if fewer * 2 == tosses:
        return 1.0
    term = total = 1
    for number in range(1, fewer + 1):
        term = term * (tosses - number + 1) // number  # binomial coefficients, as whole numbers: exact
        total += term
    return min(1.0, math.exp(math.log(2 * total) - tosses * math.log(2)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values of several tests, adjusted so that the chance of any false alarm stays what it says (Holm 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        adjusted[number] = largest
    return adjusted


def pair_numbers(
    first: Floats,
    second: Floats,
    near: Sequence[Ints],
    k: int = NUM_NEIGHBORS,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], Floats]:
    """What two models' features of the same images have in common, and (N,) each image's `neighbor_jaccard`."""
    found = neighbor_jaccard(near[0], near[1], k)
    k = min(k, near[0].shape[1], near[1].shape[1])
    if progress:
        progress(0.1)
    numbers = {
        "k": k,
        "mean_jaccard": float(found.mean(dtype=np.float64)),
        "chance_jaccard": chance_jaccard(len(found), k),
        "linear_cka": linear_cka(first, second),
    }
    if progress:
        progress(1.0)
    return numbers, found
