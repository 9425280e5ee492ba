"""Whether a pre-training learns: a verdict in words on what its epochs have shown (no torch).

`verdict` reads the rows of `health.jsonl` and the columns of `metrics.csv`; a run without the former is judged by the
latter alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simclr.runs.health_log import Row

# --- the rules; fractions, except where it says otherwise ------------------------------------------------------------
CHANCE_SHARE = 0.45  # of the ranks' range: guessing stands at 0.5, an untrained network at 0.1 to 0.35
CHANCE_EPOCHS = 2
COLLAPSED_SPREAD = 0.1  # std of a feature times sqrt(dim): 1 on the whole sphere, 0 for equal rows
COLLAPSED_LOGITS = 0.05  # its square over the temperature: the loss cannot tell rows apart that differ by less
SAME_VIEWS = 0.02  # squared distance of positives, of that of different images
MIN_RANK_SHARE_H, MAX_RANK_H = 0.03, 5.0  # effective rank of h that is too low, of its limit and at most
MIN_RANK_SHARE_Z = 0.05
RANK_FALL = 1 / 3  # of its highest
LOSS_TOLERANCE = 0.02  # nats, and of the bound; for what bfloat16 rounds
GAINED, KEPT = 0.15, 0.5  # of the ranks' range; share of it
PLATEAU_EPOCHS, PLATEAU_SHARE = 5, 0.2  # at least, and of all epochs
PLATEAU_LOSS, PLATEAU_KNN = 0.005, 0.005  # of the loss; accuracy
SETTLED_RATE = 0.1  # of the peak learning rate: where a schedule has come so low, standing still is its aim
OVERFIT_EPOCHS, OVERFIT_LOSS = 3, 0.03  # of the loss
KNN_FALL, KNN_FALL_UNKNOWN = 0.05, 0.15  # accuracy; where the number of images is not known

# of `metrics.csv`
USED_METRICS = (
    "epoch",
    "lr",
    "train/loss",
    "train/mean_rank",
    "val/loss",
    "val/mean_rank",
    "val/knn_top1",
    "val/alignment",
    "val/negative_similarity",
    "val/effective_rank",
    "val/effective_rank_z",
)

Severity = Literal["ok", "note", "alarm"]
Columns = Mapping[str, Sequence[float] | NDArray[np.float64]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """How a pre-training does.

    Attributes:
        state: one word for the rule that applies, such as `learning` or `collapse`.
        severity: `ok`, `note` for something to know, `alarm` for something to act on.
        title: two or three words.
        sentence: what is seen, with its numbers, and what to do.
        rule: when this is said.
        since: the epoch that it is true from; None where nothing is wrong.
    """

    state: str
    severity: Severity
    title: str
    sentence: str
    rule: str
    since: int | None = None


# --- judging --------------------------------------------------------------------------------------------------------


def loss_range(batch_size: int, temperature: float) -> tuple[float, float]:
    """The lowest and the highest NT-Xent that embeddings of length 1 can have, N images in a batch.

    Lowest: positives equal and all images as far apart as 2N points that sum to 0 can be (Jensen's inequality).
    Highest: positives opposite and all else equal to the anchor.
    """
    n = batch_size
    low = math.log1p((2 * n - 2) * math.exp(-n / ((n - 1) * temperature))) if n > 1 else 0.0
    return low, math.log(2 * n - 1) + 2 / temperature


@dataclass(frozen=True)
class _Epochs:
    """What each epoch has come to: (E,) arrays, NaN where it was not measured."""

    epoch: NDArray[np.int64]
    rows: list[Row | None]
    values: dict[str, Floats]
    batch_size: int | None
    temperature: float | None
    num_epochs: int
    peak_rate: float

    def __len__(self) -> int:
        return len(self.epoch)

    def get(self, name: str) -> Floats:
        return self.values.get(name, np.full(len(self), np.nan))

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
        if self.batch_size is None:
            return np.full(len(self), np.nan)
        return (self.get("train/mean_rank") - 1) / (2 * self.batch_size - 2)

    @property
    def val_share(self) -> Floats:
        """The same on the probe images, where the number of candidates is known."""
        return (self.get("val/mean_rank") - 1) / np.maximum(1, self.of_rows(lambda row: row.candidates - 1))

    @property
    def share(self) -> Floats:
        """The one that is known, the probe images' first."""
        return np.where(np.isfinite(self.val_share), self.val_share, self.train_share)

    @property
    def spread(self) -> Floats:
        """Std of the features of z times sqrt(dim).

        Where it was not kept: the variances of all features sum to 1 - |mean|^2 in rows of length 1, and the mean
        similarity of different images is close to |mean|^2.
        """
        known = self.of_rows(lambda row: None if row.z.std is None else row.z.std * math.sqrt(row.z.dim))
        told = np.sqrt(np.clip(1 - self.get("val/negative_similarity"), 0, None))
        return np.where(np.isfinite(known), known, told)

    @property
    def collapsed_spread(self) -> float:
        """The spread below which all images count as one point."""
        return min(COLLAPSED_SPREAD, math.sqrt(COLLAPSED_LOGITS * (self.temperature or 1.0)))

    def limit(self, name: str) -> Floats:
        """The highest effective rank that layer `h` or `z` can have."""
        return self.of_rows(lambda row: min(getattr(row, name).dim, row.images - 1))


def _by_epoch(rows: Sequence[Row], records: Columns, config: Mapping[str, Any]) -> _Epochs:
    columns = {name: np.asarray(records[name], dtype=np.float64) for name in USED_METRICS if name in records}
    epochs = columns.get("epoch", np.empty(0))
    columns = {name: values for name, values in columns.items() if len(values) == len(epochs)}
    validated = any(np.isfinite(values).any() for name, values in columns.items() if name.startswith("val/"))
    # an epoch that is going on counts from its validation on
    told = columns.get("val/loss" if validated else "train/loss", np.full(len(epochs), np.nan))
    known = np.unique(epochs[np.isfinite(epochs) & ~np.isnan(told)]).astype(np.int64)
    values = {name: _per_epoch(name, epochs, column, known) for name, column in columns.items()}
    of_epoch = {row.epoch: row for row in rows}
    batch, temperature, total = (_positive(config.get(name)) for name in ("batch_size", "temperature", "epochs"))
    rates = columns.get("lr", np.empty(0))
    return _Epochs(
        known,
        [of_epoch.get(int(epoch)) for epoch in known],
        values,
        int(batch) if batch and batch >= 2 else None,
        temperature,
        int(total or 0),
        float(np.nanmax(rates)) if np.isfinite(rates).any() else math.nan,
    )


def _per_epoch(name: str, epochs: Floats, column: Floats, known: NDArray[np.int64]) -> Floats:
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


def _positive(value: Any) -> float | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) and value > 0 else None


def up_to(rows: Sequence[Row], records: Columns, epoch: int) -> tuple[list[Row], dict[str, list[float]]]:
    """What was known after `epoch`."""
    kept = [place for place, value in enumerate(records.get("epoch", ())) if value <= epoch]
    columns = {name: [values[place] for place in kept if place < len(values)] for name, values in records.items()}
    return [row for row in rows if row.epoch <= epoch], columns


def verdict(rows: Sequence[Row], records: Columns, config: Mapping[str, Any], reason: str = "") -> Verdict:
    """How the pre-training does, by the first rule that applies; the worst come first.

    Args:
        rows: of its `health.jsonl`; may be empty.
        records: columns of its `metrics.csv`, equally long, NaN where a row has no value.
        config: its options; `batch_size`, `temperature` and `epochs` are used.
        reason: that its status gives for an end: `diverged` where it was ended for that.
    """
    known = _by_epoch(rows, records, config)
    if (found := _diverged(known, reason)) is not None:
        return found
    if not len(known):
        return Verdict(
            "waiting",
            "ok",
            "No verdict yet",
            "The verdict comes with the first epoch.",
            "An epoch is judged once its validation is done.",
        )
    rules = (
        _not_normalised,
        _collapse,
        _chance,
        _unlearned,
        _same_views,
        _narrow_h,
        _overfitting,
        _forgetting,
        _narrow_z,
        _plateau,
    )
    for rule in rules:
        if (found := rule(known)) is not None:
            return found
    return _learning(known)


def _diverged(known: _Epochs, reason: str) -> Verdict | None:
    places = np.flatnonzero(np.isinf(known.get("train/loss")) | np.isinf(known.get("val/loss")))
    if reason != "diverged" and not len(places):
        return None
    since = int(known.epoch[places[0]]) if len(places) else (int(known.epoch[-1]) + 1 if len(known) else 1)
    return Verdict(
        "diverged",
        "alarm",
        "Diverged",
        f"The loss stopped being a finite number in epoch {since}. Lower the learning rate, lengthen the warm-up, or "
        "raise a very low temperature; the checkpoint before it is kept.",
        "Said when a training or validation loss is infinite or not a number.",
        since,
    )


def _not_normalised(known: _Epochs) -> Verdict | None:
    if known.batch_size is None or known.temperature is None:
        return None
    low, high = loss_range(known.batch_size, known.temperature)
    loss = known.get("train/loss")
    outside = (loss < low * (1 - LOSS_TOLERANCE) - LOSS_TOLERANCE) | (loss > high * (1 + LOSS_TOLERANCE))
    if (since := known.since(outside)) is None:
        return None
    return Verdict(
        "not normalised",
        "alarm",
        "Impossible loss",
        f"The training loss is {loss[-1]:.3g}; embeddings of length 1 allow {low:.3g} to {high:.3g} at temperature "
        f"{known.temperature:g} and {known.batch_size} images in a batch. The embeddings are not normalised before "
        "the loss, which then grows or falls with their length.",
        "Said when the mean training loss of an epoch's second half lies outside what cosine similarities allow: "
        "below ln(1 + (2N - 2) exp(-N / ((N - 1) T))) or above ln(2N - 1) + 2 / T.",
        since,
    )


def _at_chance(known: _Epochs) -> NDArray[np.bool_]:
    """Epochs whose ranks are no better than guessing, on the probe images and, where known, in training."""
    val, train = known.val_share, known.train_share
    # a few more in training, whose last steps are fewer than the probe's images
    return (known.share >= CHANCE_SHARE) & ~((val >= CHANCE_SHARE) & (train < CHANCE_SHARE - 0.05))


def _rank_text(known: _Epochs) -> str:
    row, on_probe = known.rows[-1], bool(np.isfinite(known.val_share[-1]))
    if on_probe and row is not None:
        return f"mean rank {known.get('val/mean_rank')[-1]:.3g} of {row.candidates:,} on the probe images"
    assert known.batch_size is not None
    return f"mean rank {known.get('train/mean_rank')[-1]:.3g} of {2 * known.batch_size - 1:,} in training"


def _collapse(known: _Epochs) -> Verdict | None:
    spread, limit = known.spread, known.collapsed_spread
    narrow = spread < limit
    if (since := known.since(narrow)) is None:
        return None
    rule = (
        f"Said when the std of the features of normalised z, times sqrt(d), is below {limit:.2g} for two epochs, or "
        "for one whose ranks are no better than chance. Evenly spread embeddings have 1 (Chen and He 2021). The bound "
        f"is {COLLAPSED_SPREAD:g}, and at a low temperature sqrt({COLLAPSED_LOGITS:g} T), below which the loss cannot "
        "tell images apart."
    )
    seen = f"the features of z spread to {100 * spread[-1]:.2g} % of what the sphere allows"
    if known.lasting(narrow) < 2 and not _at_chance(known)[-1]:
        return Verdict(
            "narrow cone",
            "note",
            "Nearly one point",
            f"In epoch {since} all images came close to one point ({seen}), though views are still found: "
            f"{_rank_text(known)}. If it stays so for another epoch, it is a collapse.",
            rule,
            since,
        )
    return Verdict(
        "collapse",
        "alarm",
        "Collapsed",
        f"All images are mapped to nearly the same point since epoch {since}: {seen}. Lower the learning rate, "
        "lengthen the warm-up, and check that the batch holds different images.",
        rule,
        since,
    )


def _chance(known: _Epochs) -> Verdict | None:
    holds = _at_chance(known)
    if (since := known.since(holds, CHANCE_EPOCHS)) is None:
        return None
    return Verdict(
        "chance",
        "alarm",
        "No better than chance",
        f"After {int(known.epoch[-1])} epochs the other view of an image is not found among the others: "
        f"{_rank_text(known)}, where guessing has the middle. Check the learning rate and that the views still share "
        "something.",
        f"Said when the mean rank of the positive lies above {100 * CHANCE_SHARE:.0f} % of its range for "
        f"{CHANCE_EPOCHS} epochs; guessing has 50 %. It is judged by rank, never by loss: at a low temperature a "
        "network that knows nothing has a loss far above ln(2N - 1).",
        since,
    )


def _unlearned(known: _Epochs) -> Verdict | None:
    share = known.share
    best = np.fmin.accumulate(np.where(np.isfinite(share), share, np.inf))
    gained = 0.5 - best
    lost = (gained >= GAINED) & (0.5 - share < KEPT * gained)
    if (since := known.since(lost, 2)) is None:
        return None
    at = int(known.epoch[np.nanargmin(share)])
    return Verdict(
        "unlearned",
        "alarm",
        "Unlearning",
        f"Since epoch {since} it has lost more than half of what it knew: {_rank_text(known)}; at epoch {at} the rank "
        f"stood at {100 * best[-1]:.2g} % of its range, now at {100 * share[-1]:.2g} %. The learning rate is likely "
        "too high; resume from before with a lower one.",
        "Said when, for two epochs, the mean rank has gone back by more than half of the way it had come from chance.",
        since,
    )


def _same_views(known: _Epochs) -> Verdict | None:
    alignment = known.get("val/alignment")
    apart = 2 * (1 - known.get("val/negative_similarity"))  # squared distance of different images
    same = alignment < SAME_VIEWS * apart
    found = known.share < 0.01 + 1.0 / (2 * (known.batch_size or 2))
    if (since := known.since(same & found, 2)) is None:
        return None
    return Verdict(
        "same views",
        "alarm",
        "Views are too alike",
        f"The two views of an image are mapped to the same point (alignment {alignment[-1]:.2g}) and are found without "
        "error, so there is nothing left to learn. Turn the augmentation up: random crops and colour jitter matter "
        "most.",
        f"Said when for two epochs the mean squared distance of positives (alignment) is below {100 * SAME_VIEWS:.0f} "
        "% of the same for different images, and positives are ranked first. Healthy runs end at 15 to 40 %.",
        since,
    )


def _narrow_h(known: _Epochs) -> Verdict | None:
    rank, limit = known.get("val/effective_rank"), known.limit("h")
    floor = np.fmin(MAX_RANK_H, 1 + MIN_RANK_SHARE_H * (limit - 1))
    floor = np.where(np.isfinite(floor), floor, 2.0)  # unknown to a run that kept no lines
    highest = np.fmax.accumulate(np.where(np.isfinite(rank), rank, -np.inf))
    few = np.where(np.isfinite(limit), 0.15 * limit, 15.0)
    holds = (rank < floor) | ((rank < RANK_FALL * highest) & (rank < few))
    if (since := known.since(holds, 2)) is None:
        return None
    at_most = f" of at most {limit[-1]:,.0f}" if np.isfinite(limit[-1]) else ""
    return Verdict(
        "narrow h",
        "alarm",
        "Few directions in h",
        f"The representation h uses {rank[-1]:.1f} directions{at_most}, and used {highest[-1]:.1f} at its best: "
        "dimensional collapse reaches the encoder. Weaker augmentation, a lower learning rate or less weight decay "
        "helps.",
        f"Said when for two epochs the effective rank of h is below {MAX_RANK_H:g} (less where few are possible), or "
        "below a third of its highest and 15 % of what is possible (Jing et al. 2022; RankMe, Garrido et al. 2023).",
        since,
    )


def _overfitting(known: _Epochs) -> Verdict | None:
    val, train = known.get("val/loss"), known.get("train/loss")
    if not np.isfinite(val).any():
        return None
    best = int(np.nanargmin(val))
    after = val[best + 1 :]
    worse = after > val[best] * (1 + OVERFIT_LOSS)
    if len(after) < OVERFIT_EPOCHS or not worse[-OVERFIT_EPOCHS:].all() or not train[-1] < 0.99 * train[best]:
        return None
    since = int(known.epoch[best]) + 1
    return Verdict(
        "overfitting",
        "note",
        "Overfitting",
        f"Since epoch {since} training images get better (loss {train[best]:.3f} to {train[-1]:.3f}) and the probe "
        f"images worse ({val[best]:.3f} to {val[-1]:.3f}): it learns its images by heart. More images, stronger "
        "augmentation or fewer epochs help; best.ckpt holds the best epoch.",
        f"Said when the validation loss has been {100 * OVERFIT_LOSS:.0f} % above its lowest for {OVERFIT_EPOCHS} "
        "epochs while the training loss fell by over 1 %.",
        since,
    )


def _forgetting(known: _Epochs) -> Verdict | None:
    knn = known.get("val/knn_top1")
    places = np.flatnonzero(np.isfinite(knn))
    if len(places) < 3:
        return None
    found = knn[places]
    best = int(found.argmax())
    fall = KNN_FALL_UNKNOWN
    if (row := known.rows[places[-1]]) is not None:  # a few images are a coarse measure
        fall = max(KNN_FALL, 3 * math.sqrt(0.5 / max(1, row.images)))
    below = found < found[best] - fall
    if best > len(found) - 3 or not below[-2:].all():
        return None
    since = int(known.epoch[places[np.flatnonzero(~below)[-1] + 1]])
    return Verdict(
        "forgetting",
        "note",
        "kNN falls",
        f"The kNN accuracy has fallen from {found[best]:.1%} to {found[-1]:.1%} since epoch {since}, though the loss "
        "does not tell: the features turn to what the views share beside the class. Stronger colour augmentation "
        "helps; best.ckpt holds the best epoch.",
        f"Said when the last two kNN accuracies lie {100 * KNN_FALL:.0f} points below the best, more where the probe "
        "images are few.",
        since,
    )


def _narrow_z(known: _Epochs) -> Verdict | None:
    rank, limit = known.get("val/effective_rank_z"), known.limit("z")
    floor = np.where(np.isfinite(limit), 1 + MIN_RANK_SHARE_Z * (limit - 1), 3.0)
    holds = rank < floor
    if (since := known.since(holds, 2)) is None:
        return None
    at_most = f" of at most {limit[-1]:,.0f}" if np.isfinite(limit[-1]) else ""
    rank_h = known.get("val/effective_rank")[-1]
    return Verdict(
        "narrow z",
        "note",
        "Few directions in z",
        f"The embedding z uses {rank[-1]:.1f} directions{at_most}, the representation h {rank_h:.1f}. Some collapse in "
        "z is normal, and h is what is kept; watch the kNN accuracy.",
        f"Said when for two epochs the effective rank of z is below {100 * MIN_RANK_SHARE_Z:.0f} % of what is possible "
        "(Jing et al. 2022). A high temperature brings it about.",
        since,
    )


def _plateau(known: _Epochs) -> Verdict | None:
    window = max(PLATEAU_EPOCHS, math.ceil(PLATEAU_SHARE * known.num_epochs))
    if len(known) < window + 3:
        return None
    name = "val/loss" if np.isfinite(known.get("val/loss")).any() else "train/loss"
    loss, knn = known.get(name), known.get("val/knn_top1")
    before, now = _lowest(loss[:-window]), _lowest(loss[-window:])
    knn_before, knn_now = -_lowest(-knn[:-window]), -_lowest(-knn[-window:])
    if not now > before * (1 - PLATEAU_LOSS) or knn_now > knn_before + PLATEAU_KNN:
        return None
    since, rate = int(known.epoch[-window]), known.get("lr")[-1]
    accuracy = f", kNN accuracy {knn_now:.1%}" if math.isfinite(knn_now) else ""
    rule = (
        f"Said when the lowest {'validation' if name == 'val/loss' else 'training'} loss of the last {window} epochs "
        f"is less than {100 * PLATEAU_LOSS:g} % below that of all before, and the kNN accuracy no more than "
        f"{100 * PLATEAU_KNN:g} points above. With the learning rate below a tenth of its peak, it is settled."
    )
    if rate < SETTLED_RATE * known.peak_rate:
        return Verdict(
            "settled", "ok", "Settled", f"It has settled with the learning rate: loss {now:.3f}{accuracy}.", rule, since
        )
    return Verdict(
        "plateau",
        "note",
        "Plateau",
        f"Nothing has got better for {window} epochs: loss {now:.3f} (before {before:.3f}){accuracy}. More epochs at "
        "this learning rate will not help; a lower one, a larger network or stronger augmentation may.",
        rule,
        since,
    )


def _lowest(values: Floats) -> float:
    return float(np.nanmin(values)) if np.isfinite(values).any() else math.nan


def _learning(known: _Epochs) -> Verdict:
    share = known.share[-1]
    rule = (
        "Said when no other rule applies: the positive's rank is better than chance, embeddings are spread, h uses "
        "many directions, and something has got better lately."
    )
    if not math.isfinite(share):
        return Verdict(
            "unknown", "ok", "Not judged", "This run has recorded no ranks, so it cannot be judged by them.", rule
        )
    if _at_chance(known)[-1]:
        return Verdict(
            "early",
            "note",
            "Still at chance",
            f"After epoch {int(known.epoch[-1])} it ranks no better than guessing: {_rank_text(known)}. That is early "
            "days for one epoch; after a second one it is an alarm.",
            rule,
            int(known.epoch[-1]),
        )
    knn = known.get("val/knn_top1")
    measured = knn[np.isfinite(knn)]
    parts = [f"{_rank_text(known)}, where guessing has the middle"]
    if len(measured):
        first = f", up from {measured[0]:.1%}" if len(measured) > 1 and measured[-1] > measured[0] else ""
        parts.append(f"kNN accuracy {measured[-1]:.1%}{first}")
    rank = known.get("val/effective_rank")[-1]
    if math.isfinite(rank):
        parts.append(f"h uses {rank:.0f} directions")
    return Verdict("learning", "ok", "Learning", f"It learns: {'; '.join(parts)}.", rule)
