"""The training film: features of the same images at some epochs of a training, and maps of them that belong together.

    RUN/embeddings/film/
        film.json             which epochs were asked for, which images, layer, versions
        ids.npy  labels.npy   (N,) int64; labels are missing where the images have no classes
        factors.npz           recorded factors of variation, each (N,), where there are any; not in older films
        thumbnails-0.png      the images as sheets of tiles
        epoch-000008.npy      (N, num_features) float16, the layer h after that epoch; 0 is before the training
        <method>-<key>.npy    (F, N, 2) float32 and its .json: a map for each epoch, and what it was made with

A map that is made for each epoch alone rotates, flips and jumps, and what moves then says nothing. Here the maps belong
together: either UMAP aligns neighbouring epochs while it draws them (AlignedUMAP), or each epoch's PCA is rotated onto
the one after it (orthogonal Procrustes, Schönemann 1966), which bends nothing and so is the honest baseline. Both look
at directions only: features at length 1, as the cosine does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.embeddings import compare, neighbors, projections
from simclr.embeddings.stored import sheet_paths
from simclr.files import compiled, safe_read, writing
from simclr.launch import jobs
from simclr.runs import Run, film_frames

METHODS = ("pca", "umap")
LABEL = {"pca": "PCA, turned to fit", "umap": "AlignedUMAP"}
MIN_FRAMES = 2  # of a film; one that is being taken is shown from the first
FORMAT = 1  # part of the key of a map: raise it when what is stored changes its meaning

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Film:
    """What a run has kept. Epochs whose file is missing or damaged are left out.

    epochs: those that are there, in order. ids: (N,). labels: (N,) or None. factors: recorded, name -> (N,).
    """

    folder: Path
    epochs: tuple[int, ...]
    ids: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    about: dict[str, Any]
    factors: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> list[str]:
        return [str(name) for name in self.about.get("classes") or []]

    @property
    def sheets(self) -> list[Path]:
        return sheet_paths(self.folder, self.about)

    @property
    def images_seen(self) -> tuple[int, ...]:
        """Training images that the network had seen at each of `epochs`; empty in films of older versions."""
        planned, counts = self.about.get("epochs"), self.about.get("images_seen")
        if not isinstance(planned, list) or not isinstance(counts, list) or len(planned) != len(counts):
            return ()
        known = {epoch: count for epoch, count in zip(planned, counts, strict=True) if isinstance(count, int)}
        found = [known.get(epoch) for epoch in self.epochs]
        return tuple(count for count in found if count is not None) if None not in found else ()

    def features(self, epoch: int) -> Floats:
        """(N, num_features) float32 after that epoch."""
        return read_frame(self.folder, epoch)

    def stamp(self, epoch: int) -> tuple[int, int, int]:
        """Epoch, time and size of a frame: another one when it is written again."""
        stat = film_frames.frame_path(self.folder, epoch).stat()
        return epoch, stat.st_mtime_ns, stat.st_size

    @cached_property
    def _key(self) -> str:
        found = hashlib.sha256(f"{FORMAT} {self.about.get('images')} ".encode())
        for epoch in self.epochs:
            found.update("{} {} {} ".format(*self.stamp(epoch)).encode())
        return found.hexdigest()[:12]

    def map_path(self, method: str) -> Path:
        """Where the maps by `method` lie, or will lie; a frame that is written again gives another name."""
        return runs.computed_beside(self.folder) / f"{method}-{self._key}.npy"

    def maps(self, method: str) -> Floats | None:
        """(F, N, 2), one map for each of `epochs`; None if they were not computed, or are damaged."""
        try:
            found = safe_read.read_array(self.map_path(method))
        except (OSError, ValueError):
            return None
        is_whole = found.dtype.kind == "f" and found.shape == (len(self.epochs), self.num_images, 2)
        return found if is_whole and np.isfinite(found).all() else None


def read_frame(folder: Path, epoch: int) -> Floats:
    """(N, num_features) float32 after that epoch; raises OSError or ValueError if it is not there or damaged."""
    return safe_read.read_array(film_frames.frame_path(folder, epoch)).astype(np.float32)


def load(run: Run, min_frames: int = MIN_FRAMES) -> Film | None:
    """The film of a run; None if it has kept none, or not so many epochs yet."""
    folder = film_frames.folder_of(run)
    try:
        about = safe_read.json_dict(folder / film_frames.ABOUT)
        ids = safe_read.read_array(folder / film_frames.IDS)
        labels = safe_read.read_array(folder / film_frames.LABELS) if (folder / film_frames.LABELS).exists() else None
        if ids.ndim != 1 or any(found is not None and found.dtype.kind not in "iu" for found in (ids, labels)):
            return None
        if labels is not None and labels.shape != ids.shape:
            return None
        sheet_paths(folder, about)
    except (OSError, ValueError):
        return None
    paths = {epoch: film_frames.frame_path(folder, epoch) for epoch in _epochs_there(folder)}
    epochs = tuple(epoch for epoch, path in paths.items() if _is_whole(path, len(ids)))
    if len(epochs) < min_frames:
        return None
    return Film(folder, epochs, ids, labels, about, _factors(folder, len(ids)))


def _factors(folder: Path, num_images: int) -> dict[str, NDArray[Any]]:
    """Recorded factors of the images; none where they are missing or damaged."""
    try:
        found = safe_read.read_arrays(folder / film_frames.FACTORS)
    except (OSError, ValueError):
        return {}
    return found if all(values.shape == (num_images,) for values in found.values()) else {}


def _epochs_there(folder: Path) -> list[int]:
    found = (re.fullmatch(r"epoch-(\d{6})\.npy", path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in found if match)


def _is_whole(path: Path, num_images: int) -> bool:
    with contextlib.suppress(OSError, ValueError):
        found = safe_read.read_array(path, mmap=True)
        return found.ndim == 2 and len(found) == num_images and found.dtype.kind == "f"
    return False


# --- maps -----------------------------------------------------------------------------------------------------------


def parameters(method: str, num_images: int, seed: int) -> dict[str, Any]:
    """Everything besides the features that the maps depend on."""
    if method == "pca":
        return {}
    return {
        "n_neighbors": min(15, num_images - 1),
        "min_dist": 0.1,
        "metric": "cosine",
        "alignment_regularisation": 0.01,
        "alignment_window_size": 3,
        "random_state": seed,
    }


def make_maps(film: Film, method: str, seed: int = 0, progress: neighbors.Progress | None = None) -> Floats:
    """Computes, keeps and returns the maps (F, N, 2) of all epochs by `pca` or `umap`.

    Raises:
        ValueError: for another method, or fewer than `film_frames.MIN_IMAGES` images.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method}; allowed: {', '.join(METHODS)}")
    if film.num_images < film_frames.MIN_IMAGES:
        raise ValueError(f"the film has {film.num_images} images; allowed: at least {film_frames.MIN_IMAGES}")
    start = time.perf_counter()
    frames = [neighbors.unit_rows(film.features(epoch)) for epoch in film.epochs]
    chosen = parameters(method, film.num_images, seed)
    found = aligned_pca(frames, progress) if method == "pca" else aligned_umap(frames, progress, **chosen)
    about = {
        "method": method,
        "parameters": chosen,
        "epochs": list(film.epochs),
        "seconds": round(time.perf_counter() - start, 3),
        "motion": motion(found),
        "neighbors_kept": compare.neighbors_kept(frames[-1], found[-1]),
        "versions": runs.versions(),
        "created": time.time(),
    }
    path = film.map_path(method)
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f"{method}-*"):  # of frames that have been written again
        if old.stem != path.stem:
            old.unlink()
    writing.write_atomically(path.with_suffix(".json"), json.dumps(about, indent=1))
    writing.write_array(path, found)
    return found


def aligned_pca(frames: list[Floats], progress: neighbors.Progress | None = None) -> Floats:
    """(F, N, 2): the PCA of each frame, rotated or reflected onto the one after it, from the last backwards."""
    found = [np.zeros((len(frames[0]), 2), dtype=np.float32)] * len(frames)
    for place in reversed(range(len(frames))):
        points = projections.pca(frames[place])
        found[place] = projections.align(found[place + 1], points) if place + 1 < len(frames) else points
        if progress:
            progress(1 - place / len(frames))
    return np.stack(found)


def aligned_umap(frames: list[Floats], progress: neighbors.Progress | None = None, **chosen: Any) -> Floats:
    """(F, N, 2) by AlignedUMAP (umap-learn): neighbouring frames are drawn to lie alike. `chosen` as in `parameters`.

    The library does not say how far it is, so `progress` is told only the beginning and the end.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled.find_folder()
        from umap import AlignedUMAP

        if progress:
            progress(0.05)
        same = {row: row for row in range(len(frames[0]))}
        init = "spectral" if len(frames[0]) > 12 else "random"  # as in `projections.umap`
        model = AlignedUMAP(init=init, **chosen).fit(frames, relations=[same] * (len(frames) - 1))
    if progress:
        progress(1.0)
    return np.nan_to_num(np.stack([np.asarray(points, dtype=np.float32) for points in model.embeddings_]))


def motion(maps: Floats) -> list[float]:
    """How far points move from each epoch's map to the next, on average, as a share of the whole film's width."""
    width = float(np.ptp(maps.reshape(-1, 2), axis=0).max()) or 1.0
    steps = np.linalg.norm(np.diff(maps, axis=0), axis=2).mean(axis=1) / width
    return [round(float(step), 5) for step in steps]


# --- jobs -----------------------------------------------------------------------------------------------------------

JOB_NAME = "film"


def request_of(found: Iterable[Run], method: str) -> dict[str, Any]:
    """What a job is asked for; files of frames that are written again make it another request."""
    films = [film for run in found if (film := load(run)) is not None]
    return {"maps": [str(film.map_path(method)) for film in films]}


def start_job(found: list[Run], method: str, runs_dir: Path) -> Path:
    """Starts drawing the maps of these runs' films in the background, or gives the job that does so already."""
    arguments = ["film", *(str(run.path) for run in found), "--method", method, "--runs_dir", str(runs_dir.resolve())]
    return jobs.start(JOB_NAME, request_of(found, method), arguments, runs_dir)


def find_job(found: list[Run], method: str, runs_dir: Path) -> Path | None:
    return jobs.find(JOB_NAME, request_of(found, method), runs_dir)
