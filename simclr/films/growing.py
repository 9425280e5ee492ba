"""Maps of a film while it is being taken: each follows from the frame and the map before it, never from what comes.

So nothing on the screen moves by what is trained later, and the cloud does not jump. Two ways:

- t-SNE (van der Maaten and Hinton 2008) goes on from the map before for some steps. It pulls groups apart.
- A plane through the features (PCA), held to how the points lay before. It bends nothing, and shows little.

The maps of a whole film are kept, so that no server draws them again:

    RUN/embeddings/film/growing-<method>-<key>.npz
        maps (F, N, 2), right (F,) and newest (N, 2), the last map in its own unit; the key is of what the frames hold
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.embeddings import compare, neighbors, projections
from simclr.embeddings.neighbors import Nearest
from simclr.evaluation.knn import NUM_NEIGHBORS
from simclr.files import safe_read, writing
from simclr.films.film import Film, Floats
from simclr.runs import film_frames

METHODS = ("tsne", "pca")
LABELS = {"tsne": "t-SNE", "pca": "PCA"}
FORMAT = 2  # part of the key of kept maps: raise it when frames would be drawn otherwise
EXTENT = 1.0  # radius that holds all maps, so that the scale on the screen stays

# How much a plane holds on to the map before, against showing as much of the features as it can. On the two networks
# of a race on `shapes` (recipe quick, 21 frames each), points move 5 to 50 % less at 1 than at 0, where directions of
# equal variance change places, and the plane shows at least 96 % of the variance that the best one would.
HOLD, HOLD_STEPS = 1.0, 30
# Steps of t-SNE for the first frame, with near images drawn together and then without, and for each one after.
# Measured on two such networks, 410 images: 0.06 s of one core for a frame, 0.10 s with 100 steps, which keep 0.598 and
# 0.572 of the neighbours in place of 0.579 and 0.551. A frame has to be on the screen within a second of its epoch.
FIRST_STEPS, NEXT_STEPS = (250, 250), 60
PERPLEXITY = 15
RMS_RADIUS = 0.5  # of a t-SNE map, whose unit means nothing


def centered_unit_rows(features: Floats) -> Floats:
    """(N, D): the mean taken off, then each row at length 1, so that an untrained network's rows spread out too."""
    return neighbors.unit_rows(features - features.mean(axis=0, keepdims=True))


def next_plane(rows: Floats, before: Floats | None) -> Floats:
    """The places (N, 2) of an epoch on a plane through its rows, given the map before alone.

    The plane on which the rows vary most and lie as they did before: W (D, 2) with orthonormal columns that makes
    tr(W' C W) / 2 + HOLD tr(W' X' Y / N) large, C the covariance of the rows X and Y their places before. Found by
    steps that never make it smaller: W becomes the orthonormal matrix nearest to C W + HOLD X' Y / N.

    Args:
        rows: (N, D), as `centered_unit_rows` gives them.
        before: (N, 2) places of the same images; None for the first epoch.
    """
    x = rows.astype(np.float64)
    covariance = x.T @ x / len(x)  # (D, D)
    plane = np.linalg.eigh(covariance)[1][:, ::-1][:, :2]
    if before is not None:
        held = x.T @ before.astype(np.float64) / len(x)  # (D, 2)
        plane = plane @ _orthonormal(plane.T @ held)
        for _ in range(HOLD_STEPS):
            plane = _orthonormal(covariance @ plane + HOLD * held)
    return (x @ plane).astype(np.float32)


def _orthonormal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix with orthonormal columns that is nearest to `matrix`."""
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    return left @ right


def next_tsne(rows: Floats, near: Nearest, before: Floats | None) -> Floats:
    """The places (N, 2) of an epoch by t-SNE (openTSNE), which goes on from those before for `NEXT_STEPS` steps.

    Args:
        rows: (N, D) features; the first map starts from their PCA.
        near: the nearest neighbours of each row; three times the perplexity is used of them.
        before: (N, 2) places of the same images; None for the first epoch.
    """
    from openTSNE import TSNEEmbedding

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        affinities = projections.tsne_affinities(near, max(1.0, min(PERPLEXITY, near.indices.shape[1] / 3)))
        start = projections.tsne_start(rows, 2, 0) if before is None else before.astype(np.float64)
        options = {"negative_gradient_method": "bh", "n_jobs": 1, "random_state": 0, "learning_rate": "auto"}
        points = TSNEEmbedding(start, affinities, **options)
        if before is None:
            points = points.optimize(FIRST_STEPS[0], exaggeration=12, momentum=0.5)
            points = points.optimize(FIRST_STEPS[1], momentum=0.8)
        else:
            points = points.optimize(NEXT_STEPS, momentum=0.8)
    return np.asarray(points, dtype=np.float32)


def at_size(points: Floats) -> Floats:
    """A t-SNE map (N, 2) in the middle and at the size that all its kind have on the screen."""
    found = points - points.mean(axis=0, dtype=np.float64)
    found *= RMS_RADIUS / max(float(np.sqrt(np.square(found).sum(axis=1).mean())), 1e-12)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return (found / np.maximum(1.0, length / EXTENT)).astype(np.float32)  # one that strays stays in sight


def is_whole(film: Film) -> bool:
    """Whether all of the frames are there that were asked for."""
    return list(film.epochs) == film.about.get("epochs")


def kept_name(film: Film, method: str) -> str:
    """The file of all maps by `method`; by what the frames hold, since a clone has other times of files.

    Raises:
        OSError: if a frame is gone.
    """
    found = hashlib.sha256(f"{FORMAT} {film.about.get('images')} ".encode())
    for epoch in film.epochs:
        found.update(safe_read.read_bytes(film_frames.frame_path(film.folder, epoch), safe_read.MAX_ARRAY_BYTES))
    return f"growing-{method}-{found.hexdigest()[:12]}.npz"


class GrowingFilm:
    """Maps of a film by one method, and how many neighbours are right: each frame is computed once.

    maps: (N, 2) for each epoch so far. right: share of the images whose class most of their nearest neighbours in the
    features have, themselves left out; empty without labels.
    """

    def __init__(self, method: str) -> None:
        assert method in METHODS
        self.method = method
        self.maps: list[Floats] = []
        self.right: list[float] = []
        self._newest: Floats | None = None  # the last map in its own unit
        self._known: list[tuple[Any, ...]] = []
        self._lock = threading.Lock()

    def take_in(self, film: Film) -> None:
        """Adds the frames that are new; where one was written again, or is gone, all are drawn again."""
        with self._lock:
            stamps = [(film.about.get("images"), *film.stamp(epoch)) for epoch in film.epochs]
            if stamps[: len(self._known)] != self._known:
                del self.maps[:], self.right[:], self._known[:]
            if not self._known and self._read(film):
                self._known = stamps
            kept = len(self._known)
            for epoch, stamp in zip(film.epochs[kept:], stamps[kept:], strict=True):
                self._add(film.features(epoch), film.labels)
                self._known.append(stamp)
            if len(stamps) > kept and is_whole(film):
                with contextlib.suppress(OSError):  # a folder that cannot be written: drawn again next time
                    self._write(film)

    def _read(self, film: Film) -> bool:
        """Takes over what was kept of these very frames, or came with an example; whether there was any."""
        if not is_whole(film):
            return False
        name = kept_name(film, self.method)
        for folder in (film.folder, runs.computed_beside(film.folder)):
            with contextlib.suppress(OSError, ValueError, KeyError):
                found = safe_read.read_arrays(folder / name)
                maps, right, newest = found["maps"], found["right"], found["newest"]
                count = len(film.epochs)
                shapes = [maps.shape, newest.shape, right.shape]
                plane = (film.num_images, 2)
                if shapes != [(count, *plane), plane, (count if film.labels is not None else 0,)]:
                    continue
                if all(each.dtype.kind == "f" and np.isfinite(each).all() for each in (maps, right, newest)):
                    self.maps, self.right = list(maps.astype(np.float32)), right.tolist()
                    self._newest = newest.astype(np.float32)
                    return True
        return False

    def _write(self, film: Film) -> None:
        assert self._newest is not None
        path = runs.computed_beside(film.folder) / kept_name(film, self.method)
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob(f"growing-{self.method}-*"):  # of frames that have been written again
            old.unlink()
        with writing.replacing(path) as stream:
            np.savez(stream, maps=np.stack(self.maps), right=np.array(self.right), newest=self._newest)

    def _add(self, features: Floats, labels: NDArray[np.int64] | None) -> None:
        before = self._newest if self.maps else None
        near = neighbors.nearest(neighbors.unit_rows(features), max(NUM_NEIGHBORS, 3 * PERPLEXITY))
        if self.method == "pca":
            self._newest = next_plane(centered_unit_rows(features), before)
            self.maps.append(self._newest)
        else:
            self._newest = next_tsne(features, near, before)
            self.maps.append(at_size(self._newest))
        if labels is not None:
            self.right.append(float((compare.knn_votes(near, labels) == labels).mean()))
