"""Rules on how a pre-training goes on: overfitting, classes that are lost, standing still."""

from __future__ import annotations

import math

import numpy as np

from simclr.evaluation.health.ranks import knn_noise
from simclr.evaluation.health.records import Epochs, lowest
from simclr.evaluation.health.rule import Rule, Verdict, percent

OVERFIT_EPOCHS, OVERFIT_LOSS = 3, 0.03  # of the loss
KNN_FALL = 0.05  # accuracy
PLATEAU_EPOCHS, PLATEAU_SHARE = 5, 0.2  # at least, and of all epochs
PLATEAU_LOSS, PLATEAU_KNN = 0.005, 0.005  # of the loss; accuracy
SETTLED_RATE = 0.1  # of the peak learning rate: where a schedule has come so low, standing still is its aim

OVERFITTING = Rule(
    "overfitting",
    "note",
    "Overfitting",
    f"Said when the validation loss has been {100 * OVERFIT_LOSS:.0f} % above its lowest for {OVERFIT_EPOCHS} epochs "
    "while the training loss fell by over 1 %.",
)
FORGETTING = Rule(
    "forgetting",
    "note",
    "kNN falls",
    f"Said when the last two kNN accuracies lie {100 * KNN_FALL:.0f} points below the best, more where the probe "
    "images are few.",
)
_PLATEAU_TEXT = (
    f"Said when the lowest validation loss (without one, training loss) of the last {PLATEAU_EPOCHS} epochs, or of the "
    f"last {100 * PLATEAU_SHARE:.0f} % of all if those are more, is less than {100 * PLATEAU_LOSS:g} % below that of "
    f"all before, and the kNN accuracy no more than {100 * PLATEAU_KNN:g} points above"
)
PLATEAU = Rule("plateau", "note", "Plateau", f"{_PLATEAU_TEXT}, at a learning rate above a tenth of its peak.")
SETTLED = Rule("settled", "ok", "Settled", f"{_PLATEAU_TEXT}, at a learning rate below a tenth of its peak.")


def overfitting(known: Epochs) -> Verdict | None:
    val, train = known.get("val/loss"), known.get("train/loss")
    if not np.isfinite(val).any():
        return None
    best = int(np.nanargmin(val))
    after = val[best + 1 :]
    worse = after > val[best] * (1 + OVERFIT_LOSS)
    if len(after) < OVERFIT_EPOCHS or not worse[-OVERFIT_EPOCHS:].all() or not train[-1] < 0.99 * train[best]:
        return None
    since = int(known.epoch[best]) + 1
    return OVERFITTING.found(
        f"Since epoch {since} training images get better (loss {train[best]:.3f} to {train[-1]:.3f}) and the probe "
        f"images worse ({val[best]:.3f} to {val[-1]:.3f}): it learns its images by heart.",
        since,
        "More images, stronger augmentation or fewer epochs help; best.ckpt holds the best epoch.",
    )


def forgetting(known: Epochs) -> Verdict | None:
    knn = known.get("val/knn_top1")
    places = np.flatnonzero(np.isfinite(knn))
    if len(places) < 3:
        return None
    found = knn[places]
    best = int(found.argmax())
    below = found < found[best] - knn_noise(known, KNN_FALL)
    if best > len(found) - 3 or not below[-2:].all():
        return None
    since = int(known.epoch[places[np.flatnonzero(~below)[-1] + 1]])
    return FORGETTING.found(
        f"The kNN accuracy has fallen from {percent(found[best])} to {percent(found[-1])} since epoch {since}, though "
        "the loss does not tell: the features turn to what the views share beside the class.",
        since,
        "Stronger colour augmentation helps; best.ckpt holds the best epoch.",
    )


def plateau(known: Epochs) -> Verdict | None:
    window = max(PLATEAU_EPOCHS, math.ceil(PLATEAU_SHARE * known.num_epochs))
    if len(known) < window + 3:
        return None
    name = "val/loss" if known.has("val/loss") else "train/loss"
    loss, knn = known.get(name), known.get("val/knn_top1")
    before, now = lowest(loss[:-window]), lowest(loss[-window:])
    knn_before, knn_now = -lowest(-knn[:-window]), -lowest(-knn[-window:])
    if not now > before * (1 - PLATEAU_LOSS) or knn_now > knn_before + PLATEAU_KNN:
        return None
    since, rate = int(known.epoch[-window]), known.get("lr")[-1]
    accuracy = f", kNN accuracy {percent(knn_now)}" if math.isfinite(knn_now) else ""
    if rate < SETTLED_RATE * known.peak_rate:
        return SETTLED.found(f"It has settled with the learning rate: loss {now:.3f}{accuracy}.", since)
    return PLATEAU.found(
        f"Nothing has got better for {window} epochs: loss {now:.3f} (before {before:.3f}){accuracy}.",
        since,
        "More epochs at this learning rate will not help; a lower one, a larger network or stronger augmentation may.",
    )
