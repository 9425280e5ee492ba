"""Rules on the rank of the positive: guessing, what was known and is lost, and whether learning can be said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simclr.evaluation.health.records import Epochs
from simclr.evaluation.health.rule import Rule, Verdict, percent

CHANCE_SHARE = 0.45  # of the ranks' range: guessing stands at 0.5, an untrained network at 0.1 to 0.35
CHANCE_EPOCHS = 2
GAINED, KEPT = 0.15, 0.5  # of the ranks' range; share of it
FIRST_EPOCHS = 3  # before the third, an untrained network is not told from one that learns
BETTER_THAN_START = 0.7  # of the rank in the first steps, which few images told
BETTER_THAN_FIRST = 0.85  # of the rank in the first epoch
KNN_RISE = 0.02  # accuracy, at least
KNN_CHANGE_UNKNOWN = 0.15  # accuracy; where the number of images is not known

CHANCE = Rule(
    "chance",
    "alarm",
    "No better than chance",
    f"Said when the mean rank of the positive lies above {100 * CHANCE_SHARE:.0f} % of its range for {CHANCE_EPOCHS} "
    "epochs; guessing has 50 %. It is judged by rank, never by loss: at a low temperature a network that knows nothing "
    "has a loss far above ln(2N - 1).",
)
UNLEARNED = Rule(
    "unlearned",
    "alarm",
    "Unlearning",
    f"Said when, for two epochs, the mean rank has gone back by more than half of the way it had come from chance, and "
    f"that way was over {100 * GAINED:.0f} % of its range.",
)
EARLY = Rule(
    "early",
    "wait",
    "Too early to say",
    f"Said until {FIRST_EPOCHS} epochs are over. A network that was never trained already ranks better than guessing, "
    "at 10 to 35 % of the range, so one rank alone says nothing: what counts is how it changes.",
)
UNPROVEN = Rule(
    "unproven",
    "note",
    "Not learning yet",
    f"Said from epoch {FIRST_EPOCHS} on as long as nothing shows that it learns: the rule of “Learning” does not hold, "
    "and no other rule does.",
)
LEARNING = Rule(
    "learning",
    "ok",
    "Learning",
    f"Said from epoch {FIRST_EPOCHS} on, when no other rule applies and the mean rank of the positive in training, "
    f"counted from 0, is below {100 * BETTER_THAN_FIRST:.0f} % of that of the first epoch's second half, or below "
    f"{100 * BETTER_THAN_START:.0f} % of that of the first steps. The rank on the probe images does not count here: "
    "it changes without learning, while BatchNorm gathers its statistics.",
)
UNKNOWN = Rule("unknown", "wait", "Not judged", "Said when a run has recorded no ranks.")


def at_chance(known: Epochs) -> NDArray[np.bool_]:
    """Epochs whose ranks are no better than guessing, on the probe images and, where known, in training."""
    val, train = known.val_share, known.train_share
    # a few more in training, whose last steps are fewer than the probe's images
    return (known.share >= CHANCE_SHARE) & ~((val >= CHANCE_SHARE) & (train < CHANCE_SHARE - 0.05))


def chance(known: Epochs) -> Verdict | None:
    if (since := known.since(at_chance(known), CHANCE_EPOCHS)) is None:
        return None
    return CHANCE.found(
        f"After {int(known.epoch[-1])} epochs the other view of an image is not found among the others: "
        f"{known.rank_text()}, where guessing has the middle.",
        since,
        "Check the learning rate and that the views still share something.",
    )


def unlearned(known: Epochs) -> Verdict | None:
    share = known.share
    best = np.fmin.accumulate(np.where(np.isfinite(share), share, np.inf))
    gained = 0.5 - best
    lost = (gained >= GAINED) & (0.5 - share < KEPT * gained)
    if (since := known.since(lost, 2)) is None:
        return None
    at = int(known.epoch[np.nanargmin(share)])
    return UNLEARNED.found(
        f"Since epoch {since} it has lost more than half of what it knew: {known.rank_text()}; at epoch {at} the rank "
        f"stood at {100 * best[-1]:.2g} % of its range, now at {100 * share[-1]:.2g} %.",
        since,
        "The learning rate is likely too high; resume from before with a lower one.",
    )


def early(known: Epochs) -> Verdict | None:
    """Before the epoch from which anything can be said; of a run that is over before that, that it is."""
    if not math.isfinite(known.share[-1]):
        return UNKNOWN.found("This run has recorded no ranks, so it cannot be judged by them.")
    last = int(known.epoch[-1])
    if last >= FIRST_EPOCHS and len(known) >= FIRST_EPOCHS:
        return None
    if known.ended or 0 < known.num_epochs < FIRST_EPOCHS:
        count = known.num_epochs if not known.ended else last
        return EARLY.found(
            f"With {count} epoch{'s' if count > 1 else ''} this run is too short to say whether it learns; "
            f"that takes {FIRST_EPOCHS}."
        )
    return EARLY.found(f"Whether it learns can be said after epoch {max(FIRST_EPOCHS, last + 1)}; {last} is over.")


def learning(known: Epochs) -> Verdict:
    """Whether it learns; asked last, when nothing is wrong."""
    now, first = known.get("train/mean_rank")[[-1, 0]] - 1
    start = known.first.get("train/mean_rank", math.nan) - 1
    if not (now < BETTER_THAN_FIRST * first or now < BETTER_THAN_START * start):
        return UNPROVEN.found(
            f"After {int(known.epoch[-1])} epochs nothing shows that it learns: in training the other view of an image "
            f"has mean rank {now + 1:.3g}, and had {start + 1:.3g} in the first steps.",
            int(known.epoch[0]),
            "A learning rate that is far too low or far too high looks like this, and so do views that share too "
            "little.",
        )
    parts = [f"the other view of an image has {known.rank_text()}, where guessing has the middle"]
    knn = known.get("val/knn_top1")
    measured = knn[np.isfinite(knn)]
    if len(measured):
        has_risen = measured[-1] - measured[0] >= knn_noise(known, KNN_RISE)
        first_text = f", up from {percent(measured[0])}" if has_risen else ""
        parts.append(f"its kNN accuracy is {percent(measured[-1])}{first_text}")
    if known.ended:
        return replace(LEARNING.found(f"It has learned: {', and '.join(parts)}."), title="Learned")
    return LEARNING.found(f"It learns: {', and '.join(parts)}.")


def knn_noise(known: Epochs, least: float) -> float:
    """By how much a kNN accuracy has to change to count, 0..1: a few images are a coarse measure."""
    row = next((row for row in reversed(known.rows) if row is not None), None)
    return KNN_CHANGE_UNKNOWN if row is None else max(least, 3 * math.sqrt(0.5 / max(1, row.images)))
