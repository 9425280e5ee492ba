"""Maps of features on a plane or in space (PCA, UMAP, t-SNE; no torch).

A map bends distances. What counts is therefore measured on the features themselves, and each map carries numbers that
say how far it can be trusted (`compare`). Libraries are imported where they are used: UMAP's alone takes seconds
to load, and some more to compile when it first runs in a process (`umap_server` keeps one that has).
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.embeddings.neighbors import Floats, Nearest, Progress, nearest, unit_rows
from simclr.files import compiled
from simclr.hardware.cores import num_cores
from simclr.runs.film_frames import MIN_IMAGES

METHODS = ("pca", "umap", "tsne")
LABELS = {"pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}
PACKAGES = {"pca": "scipy", "umap": "umap-learn", "tsne": "openTSNE"}
DIMS = (2, 3)
MANY_IMAGES = 5000  # from here on t-SNE takes more than one thread


@dataclass(frozen=True)
class Option:
    """A number that a method of drawing takes."""

    default: float
    low: float
    high: float
    step: float
    label: str
    help: str

    def check(self, name: str, value: float) -> None:
        """Raises ValueError, with the allowed range, if `value` is none that this option takes."""
        whole = self.step == 1
        if not self.low <= value <= self.high or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            raise ValueError(f"{name} is {value:g}; allowed: {kind} from {self.low:g} to {self.high:g}")


OPTIONS: dict[str, dict[str, Option]] = {
    "pca": {},
    "umap": {
        "n_neighbors": Option(
            15,
            2,
            200,
            1,
            "Neighbours",
            "How many nearest images each one is held to. Few show fine structure, many the whole.",
        ),
        "min_dist": Option(
            0.1,
            0.0,
            0.99,
            0.01,
            "Smallest distance",
            "How close points may lie on the map. Small values give tight clumps, large ones an even cloud.",
        ),
    },
    "tsne": {
        "perplexity": Option(
            30,
            2,
            200,
            1,
            "Perplexity",
            "About how many neighbours each image is held to; at most a third of the images.",
        ),
    },
}


@dataclass(frozen=True)
class Projection:
    """A way to draw a map: method, dimensions, and the options that differ from their defaults.

    Raises:
        ValueError: for a method, number of dimensions or option that is not allowed, with what is.
    """

    method: str
    dims: int = 2
    n_neighbors: int | None = None
    min_dist: float | None = None
    perplexity: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method}; allowed: {', '.join(METHODS)}")
        if self.dims not in DIMS:
            raise ValueError(f"dims is {self.dims}; allowed: {' or '.join(map(str, DIMS))}")
        for name, value in self.asked.items():
            if name not in OPTIONS[self.method]:
                rightful = next(method for method, options in OPTIONS.items() if name in options)
                raise ValueError(f"{name} is {value:g} and method is {self.method}; allowed: with method {rightful}")
            OPTIONS[self.method][name].check(name, value)

    @property
    def asked(self) -> dict[str, float]:
        """The options that were set."""
        found = {name: getattr(self, name) for options in OPTIONS.values() for name in options}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def label(self) -> str:
        """What people call it: `UMAP`, `UMAP in 3-D`."""
        return LABELS[self.method] + (" in 3-D" if self.dims == 3 else "")

    @property
    def text(self) -> str:
        """One word that `parse_projection` reads: `umap`, `umap:dims=3:n_neighbors=30`."""
        others = {"dims": self.dims} if self.dims != 2 else {}
        return ":".join([self.method, *(f"{name}={value:g}" for name, value in (others | self.asked).items())])

    def parameters(self, num_images: int, seed: int) -> dict[str, Any]:
        """Everything besides the features that a map of `num_images` points depends on."""
        values = {name: option.default for name, option in OPTIONS[self.method].items()} | self.asked
        if self.method == "umap":
            return {
                "n_neighbors": int(min(values["n_neighbors"], num_images - 1)),
                "min_dist": float(values["min_dist"]),
                "metric": "cosine",
                # UMAP's own choice is 500 up to 10,000 images and 200 beyond; 300 look the same in half the time
                "n_epochs": 500 if num_images < 5000 else 300 if num_images <= 20_000 else 200,
                # fewer than three times as many points as dimensions have no spectral start
                "init": "spectral" if num_images > 12 else "random",
                "random_state": seed,
            }
        if self.method == "tsne":
            perplexity = round(min(values["perplexity"], (num_images - 1) / 3), 3)
            return {
                "perplexity": perplexity,
                "metric": "cosine",
                "initialization": "pca",
                # The grid by which openTSNE interpolates, half as fine as its own choice. Of 10,000 CIFAR-10 images
                # maps kept as many neighbours (31.2 and 31.1 % of 20; from scratch 34.5 and 34.6 %) at a divergence
                # 2 to 3 % higher, in two fifths of the time.
                "ints_in_interval": 2,
                "random_state": seed,
            }
        return {}

    def num_neighbors(self, num_images: int) -> int:
        """How many nearest neighbours of each image, itself not counted, the method looks at."""
        chosen = self.parameters(num_images, 0)
        if self.method == "umap":
            return int(chosen["n_neighbors"]) - 1
        return min(num_images - 1, int(3 * chosen["perplexity"])) if self.method == "tsne" else 0


def projection(asked: str | Projection) -> Projection:
    """The plane map by a method of this name; a Projection is returned as it is."""
    return asked if isinstance(asked, Projection) else Projection(asked)


def parse_projection(text: str, **defaults: float) -> Projection:
    """The projection that a word such as `umap:dims=3:n_neighbors=30` names.

    Args:
        defaults: values of options that the word leaves open; those of other methods are passed over.

    Raises:
        ValueError: if it names none, with what is allowed.
    """
    method, *parts = text.strip().lower().split(":")
    values: dict[str, Any] = {}
    for part in parts:
        name, _, value = part.partition("=")
        if name not in ("dims", *(option for options in OPTIONS.values() for option in options)):
            raise ValueError(f"method is {text}; allowed: {', '.join(METHODS)}, each with options such as umap:dims=3")
        try:
            values[name] = float(value)
        except ValueError:
            raise ValueError(f"{name} is {value}; allowed: a number") from None
    known = ("dims", *OPTIONS.get(method, {}))
    values = {name: value for name, value in defaults.items() if name in known} | values
    for name in ("dims", "n_neighbors"):
        if name in values and values[name] == int(values[name]):
            values[name] = int(values[name])
    return Projection(method, **values)


def reduce(
    asked: str | Projection,
    features: Floats,
    seed: int = 0,
    progress: Progress | None = None,
    near: Nearest | None = None,
) -> Floats:
    """Returns a map (N, dims) float32 of features (N, D); the same for the same features, projection and seed.

    Args:
        near: the neighbours of `features`, which are looked for where they are missing or too few.

    Raises:
        ValueError: if there are fewer than `MIN_IMAGES` rows, or values that are not finite.
    """
    asked = projection(asked)
    if len(features) < MIN_IMAGES:
        raise ValueError(f"features have {len(features)} rows; allowed: at least {MIN_IMAGES}")
    if not np.isfinite(features).all():
        raise ValueError("features hold values that are not finite")
    if asked.method == "pca":
        return pca(features, progress, asked.dims)
    wanted = asked.num_neighbors(len(features))
    if near is None or near.indices.shape[1] < wanted:
        near = nearest(unit_rows(features), wanted)
    near = Nearest(near.indices[:, :wanted], near.similarities[:, :wanted])
    chosen = asked.parameters(len(features), seed)
    draw = umap if asked.method == "umap" else tsne
    return draw(features, near, asked.dims, progress, **chosen)


def pca(features: Floats, progress: Progress | None = None, dims: int = 2) -> Floats:
    """The first principal components, exact; each axis points to where its largest loading is positive."""
    mean, loadings = pca_axes(features, dims)
    found = (np.asarray(features, dtype=np.float64) - mean) @ loadings  # (N, dims)
    if progress:
        progress(1.0)
    return found.astype(np.float32)


def pca_axes(features: Floats, dims: int = 2) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of features (N, D), (D,), and the first principal axes (D, dims): `pca` is (features - mean) @ axes.

    Where there are fewer than `dims` features or images, the axes left over are zero.
    """
    from scipy.linalg import eigh

    x = np.asarray(features, dtype=np.float64)
    mean = x.mean(axis=0)
    x = x - mean  # (N, D)
    num_rows, num_columns = x.shape
    small = min(num_rows, num_columns)
    wanted = [max(0, small - dims), small - 1]
    if num_columns <= num_rows:
        loadings = eigh(x.T @ x, subset_by_index=wanted)[1][:, ::-1]  # (D, dims)
    else:  # more features than images: the same axes from the smaller matrix of inner products
        rows = eigh(x @ x.T, subset_by_index=wanted)[1][:, ::-1]  # (N, dims)
        loadings = x.T @ rows
        loadings /= np.maximum(np.linalg.norm(loadings, axis=0), np.finfo(np.float64).tiny)
    largest = np.abs(loadings).argmax(axis=0)
    loadings = loadings * np.where(loadings[largest, range(loadings.shape[1])] < 0, -1.0, 1.0)
    return mean, np.pad(loadings, ((0, 0), (0, dims - loadings.shape[1])))


class _BarReader(io.TextIOBase):
    """Where UMAP's progress bar is written to: turns `120/500` into a share."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def write(self, text: str) -> int:
        done, slash, total = text.strip().partition("/")
        if slash and done.isdigit() and total.isdigit() and int(total):
            self._progress(int(done) / int(total))
        return len(text)


def umap(features: Floats, near: Nearest, dims: int, progress: Progress | None = None, **chosen: Any) -> Floats:
    """UMAP (McInnes et al. 2018) by umap-learn on exact neighbours; `chosen` as in `Projection.parameters`.

    Given its neighbours, UMAP neither looks for them itself nor compiles what would: three quarters of its start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled.find_folder()
        from umap import UMAP

        bar = {"file": _BarReader(progress), "bar_format": "{n}/{total}", "mininterval": 0.3} if progress else None
        itself = np.arange(len(features))[:, None]  # UMAP counts each image as the nearest of its own
        indices = np.concatenate([itself, near.indices], axis=1).astype(np.int64)
        distances = np.maximum(0.0, 1.0 - np.concatenate([np.ones_like(itself), near.similarities], axis=1))
        model = UMAP(
            n_components=dims,
            n_jobs=1,
            verbose=progress is not None,
            tqdm_kwds=bar,
            precomputed_knn=(indices, distances.astype(np.float32)),
            **chosen,
        )
        # verbose is what turns the bar on; the log lines that come with it are not wanted
        with contextlib.redirect_stdout(io.StringIO()) if progress else contextlib.nullcontext(sys.stdout):
            found = model.fit_transform(np.ascontiguousarray(features, dtype=np.float32))
    return np.nan_to_num(np.asarray(found, dtype=np.float32))


def _num_threads() -> int:
    """What the environment says, else as many as this process may use cores."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return num_cores()


def tsne(
    features: Floats,
    near: Nearest,
    dims: int,
    progress: Progress | None = None,
    *,
    perplexity: float,
    ints_in_interval: float,
    random_state: int,
    **_: Any,
) -> Floats:
    """t-SNE (van der Maaten and Hinton 2008) by openTSNE on exact neighbours, started from the PCA."""
    from openTSNE import TSNE

    # Threads that wait for each other cost more than they bring where there is little to do.
    num_jobs = 1 if len(features) < MANY_IMAGES else _num_threads()
    done = 0
    every, total = 25, 250 + 500  # iterations: early exaggeration, then the rest

    def step(iteration: int, error: float, embedding: Any) -> None:
        nonlocal done
        done += every
        if progress:
            progress(min(1.0, done / total))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        affinities = tsne_affinities(near, perplexity, num_jobs)
        model = TSNE(
            n_components=dims,
            early_exaggeration_iter=250,
            n_iter=500,
            n_jobs=num_jobs,
            callbacks=[step],
            callbacks_every_iters=every,
            random_state=random_state,
            # the quicker way for many points, by interpolation, is for a plane only
            negative_gradient_method="auto" if dims == 2 else "bh",
            ints_in_interval=ints_in_interval,
        )
        start = tsne_start(features, dims, random_state)
        found = model.fit(affinities=affinities, initialization=start)
    return np.asarray(found, dtype=np.float32)


def tsne_affinities(near: Nearest, perplexity: float, num_jobs: int = 1) -> Any:
    """openTSNE's affinities of exact neighbours, by cosine distance."""
    from openTSNE import affinity
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    distances = np.maximum(0.0, 1.0 - near.similarities.astype(np.float64))
    index = PrecomputedNeighbors(near.indices.astype(np.int64), distances)
    return affinity.PerplexityBasedNN(perplexity=perplexity, knn_index=index, n_jobs=num_jobs)


def tsne_start(features: Floats, dims: int, random_state: int) -> NDArray[np.float64]:
    """(N, dims) places by PCA, small and a little apart, from which t-SNE starts."""
    from openTSNE import initialization

    start = pca(features, dims=dims).astype(np.float64)
    if not start[:, 0].std() > 0:  # all images are alike: any start does
        start = np.random.default_rng(random_state).normal(size=start.shape)
    initialization.jitter(initialization.rescale(start, inplace=True), inplace=True, random_state=random_state)
    return start


def align(reference: Floats, moving: Floats) -> Floats:
    """`moving` (N, dims) rotated and, if it helps, reflected onto `reference` (N, dims); never scaled."""
    return ((moving - moving.mean(axis=0, dtype=np.float64)) @ procrustes_rotation(reference, moving)).astype(
        np.float32
    )


def procrustes_rotation(reference: Floats, moving: Floats) -> NDArray[np.float64]:
    """The matrix (dims, dims) that rotates or reflects `moving`, once centred, onto `reference`.

    Orthogonal Procrustes (Schönemann 1966): the matrix R without scaling that makes |moving R - reference| least.
    """
    a = reference.astype(np.float64) - reference.mean(axis=0, dtype=np.float64)
    b = moving.astype(np.float64) - moving.mean(axis=0, dtype=np.float64)
    left, _, right = np.linalg.svd(b.T @ a)
    return left @ right
