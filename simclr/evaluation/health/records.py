"""What a run has recorded, epoch by epoch, as the rules ask for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.curves.metric_info import num_candidates
from simclr.runs.health_log import Row

MOST_EPOCHS = 2.0**53  # up to here a float holds every whole number
# of `metrics.csv`
USED_METRICS = (
    "epoch",
    "step",
    "lr",
    "train/loss",
    "train/top1",
    "train/mean_rank",
    "val/loss",
    "val/top1",
    "val/mean_rank",
    "val/knn_top1",
    "val/alignment",
    "val/negative_similarity",
    "val/effective_rank",
    "val/effective_rank_z",
)

Columns = Mapping[str, Sequence[float] | NDArray[np.float64]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Epochs:
    """What each epoch has come to: (E,) arrays, NaN where it was not measured.

    Attributes:
        first: the first value of each metric that was recorded at all, within the first epoch for those of training.
        temperature: None where it is learned.
        num_candidates: rows among which a positive of a training batch is ranked.
        ended: the run has ended, so that nothing more is to come.
    """

    epoch: NDArray[np.int64]
    rows: list[Row | None]
    values: dict[str, Floats]
    first: dict[str, float]
    batch_size: int | None
    temperature: float | None
    num_epochs: int
    peak_rate: float
    num_candidates: int | None
    ended: bool = False

    def __len__(self) -> int:
        return len(self.epoch)

    def get(self, name: str) -> Floats:
        return self.values.get(name, np.full(len(self), np.nan))

    def has(self, name: str) -> bool:
        """Whether a metric was ever measured."""
        return bool(np.isfinite(self.get(name)).any())

    def of_rows(self, value: Callable[[Row], float | None]) -> Floats:
        found = [None if row is None else value(row) for row in self.rows]
        return np.array([math.nan if number is None else number for number in found], dtype=np.float64)

    def lasting(self, holds: NDArray[np.bool_]) -> int:
        """For how many epochs something has held up to now."""
        broken = np.flatnonzero(~holds)
        return len(holds) - (int(broken[-1]) + 1 if len(broken) else 0)

    def since(self, holds: NDArray[np.bool_], at_least: int = 1) -> int | None:
        """The epoch from which it has held up to now; None if that is not `at_least` so many epochs."""
        count = self.lasting(holds)
        return int(self.epoch[-count]) if count >= at_least else None

    @property
    def train_share(self) -> Floats:
        """Mean rank of the positive in training as a share of the ranks' range: 0 is perfect, 0.5 guessing."""
        if self.num_candidates is None:
            return np.full(len(self), np.nan)
        return (self.get("train/mean_rank") - 1) / (self.num_candidates - 1)

    @property
    def val_share(self) -> Floats:
        """The same on the probe images, where the number of candidates is known."""
        return (self.get("val/mean_rank") - 1) / np.maximum(1, self.of_rows(lambda row: row.candidates - 1))

    @property
    def share(self) -> Floats:
        """The one that is known, the probe images' first."""
        return np.where(np.isfinite(self.val_share), self.val_share, self.train_share)

    def limit(self, name: str) -> Floats:
        """The highest effective rank that layer `h` or `z` can have."""
        return self.of_rows(lambda row: min(getattr(row, name).dim, row.images - 1))

    def rank_text(self, place: int = -1) -> str:
        """The newest mean rank, or that of another place: "mean rank 17 of 511 on the probe images"."""
        row, on_probe = self.rows[place], bool(np.isfinite(self.val_share[place]))
        if on_probe and row is not None:
            return f"mean rank {self.get('val/mean_rank')[place]:.3g} of {row.candidates:,} on the probe images"
        assert self.num_candidates is not None
        return f"mean rank {self.get('train/mean_rank')[place]:.3g} of {self.num_candidates:,} in training"


def by_epoch(rows: Sequence[Row], records: Columns, config: Mapping[str, Any], ended: bool = False) -> Epochs:
    """What the rows of `health.jsonl` and the columns of `metrics.csv` come to in each epoch."""
    columns = {name: np.asarray(records[name], dtype=np.float64) for name in USED_METRICS if name in records}
    epochs = columns.get("epoch", np.empty(0))
    columns = {name: values for name, values in columns.items() if len(values) == len(epochs)}
    validated = any(np.isfinite(values).any() for name, values in columns.items() if name.startswith("val/"))
    # an epoch that is going on counts from its validation on
    told = columns.get("val/loss" if validated else "train/loss", np.full(len(epochs), np.nan))
    is_known = np.abs(epochs) < MOST_EPOCHS  # neither without a number nor with one that no integer holds
    known = np.unique(epochs[is_known & ~np.isnan(told)]).astype(np.int64)
    values = {name: per_epoch(name, epochs, column, known) for name, column in columns.items()}
    finite = {name: column[np.isfinite(column)] for name, column in columns.items()}
    of_epoch = {row.epoch: row for row in rows}
    batch, temperature, total = (positive(config.get(name)) for name in ("batch_size", "temperature", "epochs"))
    rates = columns.get("lr", np.empty(0))
    size = int(batch) if batch and batch >= 2 else None
    words = bool(config.get("text_encoder"))  # the temperature is learned then
    return Epochs(
        known,
        [of_epoch.get(int(epoch)) for epoch in known],
        values,
        {name: float(column[0]) for name, column in finite.items() if len(column)},
        size,
        None if words else temperature,
        int(total or 0),
        float(np.nanmax(rates)) if np.isfinite(rates).any() else math.nan,
        num_candidates({"batch_size": size, "text_encoder": words}) if size is not None else None,
        ended,
    )


def per_epoch(name: str, epochs: Floats, column: Floats, known: NDArray[np.int64]) -> Floats:
    """(E,) what a metric came to in each of the `known` epochs: its last value; in training the mean of the later half.

    The later half says what the epoch has come to, with less noise than the last row.
    """
    found = np.full(len(known), np.nan)
    there = np.flatnonzero(~np.isnan(column) & np.isin(epochs, known))
    there = there[np.argsort(epochs[there], kind="stable")]
    places, own = np.searchsorted(known, epochs[there]), column[there]
    if not name.startswith("train/"):
        found[places] = own  # the last of an epoch stays
        return found
    counts = np.bincount(places, minlength=len(known))
    number = np.arange(len(places)) - (np.cumsum(counts) - counts)[places]  # of a row in its epoch, from 0
    later = number >= counts[places] // 2
    kept = counts - counts // 2
    sums = np.bincount(places[later], weights=own[later], minlength=len(known))
    found[kept > 0] = sums[kept > 0] / kept[kept > 0]
    return found


def positive(value: Any) -> float | None:
    """A number above 0; anything else that a file may hold is None."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) and value > 0 else None


def lowest(values: Floats) -> float:
    return float(np.nanmin(values)) if np.isfinite(values).any() else math.nan


def up_to(rows: Sequence[Row], records: Columns, epoch: int) -> tuple[list[Row], dict[str, list[float]]]:
    """What was known after `epoch`."""
    kept = [place for place, value in enumerate(records.get("epoch", ())) if value <= epoch]
    columns = {name: [values[place] for place in kept if place < len(values)] for name, values in records.items()}
    return [row for row in rows if row.epoch <= epoch], columns
