"""What a pre-training's probe images showed after each epoch: read and written (no torch).

    RUN/health.jsonl    one line of JSON per epoch: spectra and histograms, which `metrics.csv` cannot hold

The probe images are the same at every epoch, as are their two views: up to 5,000 validation images, which validation
passes through the network anyway.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.files import safe_read, writing

NUM_BINS = 80  # of a similarity histogram, over -1..1
MAX_SPECTRUM = 128  # singular values kept of a layer
MAX_FILE_BYTES = 64 * 2**20  # some 20,000 epochs


@dataclass(frozen=True)
class LayerStats:
    """Statistics of one layer on the probe images: `h`, the representation, or `z`, the embedding.

    Attributes:
        dim: number of features.
        std: mean over features of their standard deviation in rows of length 1, 0 to about 1 / sqrt(dim).
        effective_rank: 1 to min(images - 1, dim).
        singular: standard deviation along principal directions, the largest first: square roots of the singular values
            of the covariance. At most `MAX_SPECTRUM` of them, at the indices that `spectrum_indices` gives.
        num_singular: how many there are, min(images, dim).
    """

    dim: int
    std: float | None
    effective_rank: float | None
    singular: array[float]
    num_singular: int


@dataclass(frozen=True)
class Row:
    """What was measured after one epoch.

    Attributes:
        epoch, step: after which.
        images: number of probe images.
        candidates: rows among which each positive was ranked, 2N - 1 for N images in a validation batch.
        h, z: the layers.
        positive, negative: numbers of pairs in `NUM_BINS` bins of cosine similarity of z over -1..1; empty where z was
            not finite.
        d_prime: distance of the two means in units of the root mean square of both standard deviations.
    """

    epoch: int
    step: int
    images: int
    candidates: int
    h: LayerStats
    z: LayerStats
    positive: array[float]
    negative: array[float]
    d_prime: float | None

    @property
    def overlap(self) -> float | None:
        """Area shared by both normalized histograms: 0 if they are disjoint, 1 if they are equal."""
        if not self.positive or not self.negative or not sum(self.positive) or not sum(self.negative):
            return None
        positive, negative = np.array(self.positive), np.array(self.negative)
        return float(np.minimum(positive / positive.sum(), negative / negative.sum()).sum())


def spectrum_indices(count: int) -> NDArray[np.intp]:
    """Which of `count` singular values are kept, from 0: all up to `MAX_SPECTRUM`, else denser towards the first."""
    if count <= MAX_SPECTRUM:
        return np.arange(count)
    return np.unique(np.geomspace(1, count, MAX_SPECTRUM).round().astype(int)) - 1


def read(path: Path) -> list[Row]:
    """The rows of a `health.jsonl` by epoch; incomplete and invalid lines are left out. Empty if there is no file."""
    try:
        lines = safe_read.read_bytes(path, MAX_FILE_BYTES).split(b"\n")[:-1]  # the last part is empty or incomplete
    except OSError:
        return []
    rows = {row.epoch: row for line in lines if (row := parse(line)) is not None}
    return [rows[epoch] for epoch in sorted(rows)]


def parse(line: bytes | str) -> Row | None:
    """One line of the file; None if it is not valid."""
    try:
        found = safe_read.parse_json(line)
        row = Row(
            epoch=_count(found["epoch"]),
            step=_count(found["step"]),
            images=_count(found["images"]),
            candidates=_count(found["candidates"]),
            h=_layer(found["h"]),
            z=_layer(found["z"]),
            positive=_histogram(found["positive"]),
            negative=_histogram(found["negative"]),
            d_prime=_finite_or_none(found["d_prime"]),
        )
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return row if row.epoch > 0 else None


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError
    return value


def _finite_or_none(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _numbers(values: Any) -> array[float]:
    """As plain doubles: a run of 1,000 epochs has 400,000 of them, which are four times as large as objects."""
    numbers = array("d")
    for value in values:
        number = _finite_or_none(value)
        if number is None or number < 0:
            raise ValueError
        numbers.append(number)
    return numbers


def _histogram(values: Any) -> array[float]:
    numbers = _numbers(values)
    if len(numbers) not in (0, NUM_BINS):
        raise ValueError
    return numbers


def _layer(found: Any) -> LayerStats:
    singular, count = _numbers(found["singular"]), _count(found["num_singular"])
    if singular and len(singular) != len(spectrum_indices(min(count, 10**6))):
        raise ValueError
    return LayerStats(
        _count(found["dim"]), _finite_or_none(found["std"]), _finite_or_none(found["effective_rank"]), singular, count
    )


class HealthLog:
    """Appends whole lines to `health.jsonl`, one for each validation of a pre-training.

    Args:
        path: the file; started empty unless `keep_steps` is given.
        keep_steps: on resume, lines up to this step are kept.
    """

    def __init__(self, path: Path, keep_steps: int | None = None) -> None:
        self.path = path
        kept = b""
        if keep_steps is not None and path.exists():
            lines = safe_read.read_bytes(path, safe_read.MAX_TABLE_BYTES).split(b"\n")[:-1]  # no incomplete line
            rows = ((line, parse(line)) for line in lines)
            kept = b"".join(line + b"\n" for line, row in rows if row is not None and row.step <= keep_steps)
        writing.write_atomically(path, kept.decode())

    def append(self, row: Mapping[str, Any]) -> None:
        writing.append_text(self.path, json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n")
