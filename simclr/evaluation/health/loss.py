"""Rules on the loss itself: not a number, or one that cosine similarities cannot give."""

from __future__ import annotations

import math

import numpy as np

from simclr.evaluation.health.records import Epochs
from simclr.evaluation.health.rule import Rule, Verdict

LOSS_TOLERANCE = 0.02  # nats, and of the bound; for what bfloat16 rounds

DIVERGED = Rule("diverged", "alarm", "Diverged", "Said when a training or validation loss is infinite or not a number.")
NOT_NORMALISED = Rule(
    "not normalised",
    "alarm",
    "Impossible loss",
    "Said when the mean training loss of an epoch's second half lies outside what cosine similarities allow: below "
    "ln(1 + (2N - 2) exp(-N / ((N - 1) T))) or above ln(2N - 1) + 2 / T.",
)


def loss_range(batch_size: int, temperature: float) -> tuple[float, float]:
    """The lowest and the highest NT-Xent that embeddings of length 1 can have, N images in a batch.

    Lowest: positives equal and all images as far apart as 2N points that sum to 0 can be (Jensen's inequality).
    Highest: positives opposite and all else equal to the anchor.
    """
    n = batch_size
    low = math.log1p((2 * n - 2) * math.exp(-n / ((n - 1) * temperature))) if n > 1 else 0.0
    return low, math.log(2 * n - 1) + 2 / temperature


def diverged(known: Epochs, reason: str) -> Verdict | None:
    """reason: that the run's status gives for its end; `diverged` where it was ended for that."""
    places = np.flatnonzero(np.isinf(known.get("train/loss")) | np.isinf(known.get("val/loss")))
    if reason != DIVERGED.state and not len(places):
        return None
    since = int(known.epoch[places[0]]) if len(places) else (int(known.epoch[-1]) + 1 if len(known) else 1)
    remedies = "Lower the learning rate or lengthen the warm-up"
    if known.temperature is not None:
        remedies = "Lower the learning rate, lengthen the warm-up, or raise a very low temperature"
    sentence = f"The loss stopped being a finite number in epoch {since}."
    return DIVERGED.found(sentence, since, f"{remedies}; the checkpoint before it is kept.")


def not_normalised(known: Epochs) -> Verdict | None:
    if known.batch_size is None or known.temperature is None:
        return None
    low, high = loss_range(known.batch_size, known.temperature)
    loss = known.get("train/loss")
    outside = (loss < low * (1 - LOSS_TOLERANCE) - LOSS_TOLERANCE) | (loss > high * (1 + LOSS_TOLERANCE))
    if (since := known.since(outside)) is None:
        return None
    return NOT_NORMALISED.found(
        f"The training loss is {loss[-1]:.3g}; embeddings of length 1 allow {low:.3g} to {high:.3g} at temperature "
        f"{known.temperature:g} and {known.batch_size} images in a batch.",
        since,
        "The embeddings are not normalised before the loss, which then grows or falls with their length.",
    )
