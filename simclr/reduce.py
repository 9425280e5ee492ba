"""Maps of features on a plane (PCA, UMAP, t-SNE), and numbers that need no map (no torch).

A map bends distances. What counts is therefore measured on the features themselves, and each map carries a number
that says how much of the neighbourhoods it kept. Libraries are imported where they are used: UMAP's alone takes
seconds to load, and about 25 seconds to compile when it first runs in a process.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
# Called with the share done, 0..1.
Progress = Callable[[float], None]

METHODS = ("pca", "umap", "tsne")
LABELS = {"pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}
PACKAGES = {"pca": "scipy", "umap": "umap-learn", "tsne": "openTSNE"}

NUM_NEIGHBORS = 20  # of the kNN accuracy and of `neighbors_kept`; as the kNN probe
KNN_TEMPERATURE = 0.07
ROWS_AT_ONCE = 1024  # rows of a similarity matrix that are in memory together
MAX_ANCHORS = 2000  # images whose neighbourhood is looked at to judge a map
MIN_IMAGES = 5


def parameters(method: str, num_images: int, seed: int) -> dict[str, Any]:
    """Everything besides the features that a map of `num_images` points depends on."""
    if method == "umap":
        return {"n_neighbors": min(15, num_images - 1), "min_dist": 0.1, "metric": "cosine", "random_state": seed}
    if method == "tsne":
        perplexity = round(min(30.0, (num_images - 1) / 3), 3)
        return {"perplexity": perplexity, "metric": "cosine", "initialization": "pca", "random_state": seed}
    assert method == "pca", method
    return {}


def reduce(method: str, features: Floats, seed: int = 0, progress: Progress | None = None) -> Floats:
    """Returns a map (N, 2) float32 of features (N, D); the same for the same features, method and seed.

    Raises:
        ValueError: if there are fewer than `MIN_IMAGES` rows, or values that are not finite.
    """
    if len(features) < MIN_IMAGES:
        raise ValueError(f"features have {len(features)} rows; allowed: at least {MIN_IMAGES}")
    if not np.isfinite(features).all():
        raise ValueError("features hold values that are not finite")
    chosen = parameters(method, len(features), seed)
    functions: dict[str, Callable[..., Floats]] = {"pca": pca, "umap": umap, "tsne": tsne}
    return functions[method](features, progress=progress, **chosen)


def pca(features: Floats, progress: Progress | None = None) -> Floats:
    """The first two principal components, exact; each axis points to where its largest loading is positive."""
    from scipy.linalg import eigh

    x = np.asarray(features, dtype=np.float64)
    x = x - x.mean(axis=0)  # (N, D)
    num_rows, num_columns = x.shape
    small = min(num_rows, num_columns)
    wanted = [max(0, small - 2), small - 1]
    if num_columns <= num_rows:
        loadings = eigh(x.T @ x, subset_by_index=wanted)[1][:, ::-1]  # (D, 2)
    else:  # more features than images: the same axes from the smaller matrix of inner products
        rows = eigh(x @ x.T, subset_by_index=wanted)[1][:, ::-1]  # (N, 2)
        loadings = x.T @ rows
        loadings /= np.maximum(np.linalg.norm(loadings, axis=0), np.finfo(np.float64).tiny)
    largest = np.abs(loadings).argmax(axis=0)
    loadings = loadings * np.where(loadings[largest, range(loadings.shape[1])] < 0, -1.0, 1.0)
    found = x @ loadings  # (N, 2), or (N, 1) of a single feature
    found = np.pad(found, ((0, 0), (0, 2 - found.shape[1])))
    if progress:
        progress(1.0)
    return found.astype(np.float32)


class _BarReader(io.TextIOBase):
    """Where UMAP's progress bar is written to: turns `120/500` into a share."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def write(self, text: str) -> int:
        done, slash, total = text.strip().partition("/")
        if slash and done.isdigit() and total.isdigit() and int(total):
            self._progress(int(done) / int(total))
        return len(text)


def umap(features: Floats, progress: Progress | None = None, **chosen: Any) -> Floats:
    """UMAP (McInnes et al. 2018) by umap-learn; `chosen` as in `parameters`."""
    import contextlib
    import sys

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        bar = {"file": _BarReader(progress), "bar_format": "{n}/{total}", "mininterval": 0.3} if progress else None
        # Fewer than three times as many points as dimensions have no spectral start.
        start = "spectral" if len(features) > 12 else "random"
        model = UMAP(n_components=2, init=start, n_jobs=1, verbose=progress is not None, tqdm_kwds=bar, **chosen)
        # verbose is what turns the bar on; the log lines that come with it are not wanted
        with contextlib.redirect_stdout(io.StringIO()) if progress else contextlib.nullcontext(sys.stdout):
            found = model.fit_transform(np.ascontiguousarray(features, dtype=np.float32))
    return np.nan_to_num(np.asarray(found, dtype=np.float32))


def tsne(features: Floats, progress: Progress | None = None, **chosen: Any) -> Floats:
    """t-SNE (van der Maaten and Hinton 2008) by openTSNE; `chosen` as in `parameters`."""
    from openTSNE import TSNE

    done = 0
    every, total = 25, 250 + 500  # iterations: early exaggeration, then the rest

    def step(iteration: int, error: float, embedding: Any) -> None:
        nonlocal done
        done += every
        if progress:
            progress(min(1.0, done / total))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TSNE(
            n_components=2, early_exaggeration_iter=250, n_iter=500, n_jobs=-1, callbacks=[step],
            callbacks_every_iters=every, **chosen,
        )  # fmt: skip
        found = model.fit(np.ascontiguousarray(features, dtype=np.float64))
    return np.asarray(found, dtype=np.float32)


def align(reference: Floats, moving: Floats) -> Floats:
    """`moving` (N, 2) turned and, where it helps, mirrored to lie as `reference` (N, 2) does; never stretched.

    Orthogonal Procrustes (Schönemann 1966): the matrix R without scaling that makes |moving R - reference| least.
    """
    a = reference.astype(np.float64) - reference.mean(axis=0, dtype=np.float64)
    b = moving.astype(np.float64) - moving.mean(axis=0, dtype=np.float64)
    left, _, right = np.linalg.svd(b.T @ a)
    return (b @ (left @ right)).astype(np.float32)


# --- numbers on features --------------------------------------------------------------------------------------------


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


def _similarity_rows(unit: Floats, anchors: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    for start in range(0, len(anchors), ROWS_AT_ONCE):
        rows = anchors[start : start + ROWS_AT_ONCE]
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        yield rows, similarity


def _nearest(values: Floats, k: int) -> NDArray[np.int64]:
    """(n, k) places of the k largest values of each row, in any order."""
    return np.argpartition(-values, k - 1, axis=1)[:, :k]


def knn_accuracy(features: Floats, labels: NDArray[np.int64], k: int = NUM_NEIGHBORS) -> float:
    """Share of images whose class the k nearest others vote for, 0..1, each image left out in its turn.

    The vote is weighted with exp(cosine similarity / 0.07), as in the kNN probe of a training (Wu et al. 2018).
    """
    unit = unit_rows(features)
    k = min(k, len(unit) - 1)
    num_classes = int(labels.max()) + 1
    correct = 0
    for rows, similarity in _similarity_rows(unit, np.arange(len(unit))):
        near = _nearest(similarity, k)  # (n, k)
        weight = np.exp((np.take_along_axis(similarity, near, axis=1) - 1.0) / KNN_TEMPERATURE)
        votes = np.zeros((len(rows), num_classes))
        np.add.at(votes, (np.arange(len(rows))[:, None], labels[near]), weight)
        correct += int((votes.argmax(axis=1) == labels[rows]).sum())
    return correct / len(unit)


def neighbors_kept(features: Floats, points: Floats, k: int = NUM_NEIGHBORS) -> float:
    """Share of each image's k nearest others by cosine of the features that are also among its k nearest on the map.

    The mean over all images, or over `MAX_ANCHORS` evenly spaced ones, 0..1; a random map has about k / N.
    """
    unit = unit_rows(features)
    k = min(k, len(unit) - 1)
    anchors = np.unique(np.linspace(0, len(unit) - 1, min(len(unit), MAX_ANCHORS)).astype(np.int64))
    kept = 0
    for rows, similarity in _similarity_rows(unit, anchors):
        distance = ((points[rows, None, :] - points[None, :, :]) ** 2).sum(axis=2)  # (n, N)
        distance[np.arange(len(rows)), rows] = np.inf
        on_map = np.zeros(distance.shape, dtype=bool)
        np.put_along_axis(on_map, _nearest(-distance, k), True, axis=1)
        kept += int(np.take_along_axis(on_map, _nearest(similarity, k), axis=1).sum())
    return kept / (len(anchors) * k)
