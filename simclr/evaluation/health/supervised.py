"""The verdict on a supervised run, fine-tuning or from scratch: what courses on training print as troubleshooting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simclr.evaluation.health import loss
from simclr.evaluation.health.records import Columns, Epochs, Floats, by_epoch, positive
from simclr.evaluation.health.rule import Rule, Verdict, percent

FIRST_EPOCHS, FIRST_STEPS = 3, 50  # before both are over nothing is said
GUESSING = 0.97  # of ln(C), the loss of guessing
LASTING_EPOCHS = 3
CLIMB = 0.25  # of the way that the training loss had come from guessing
GAP = 0.2  # accuracy in training minus on validation images
WORSE_LOSS = 0.1  # of the lowest validation loss
MARGIN = 0.05  # accuracy: half of the 95 % interval
FALLING, FALLING_SHARE = 0.03, 0.1  # of the loss; of all epochs
FITS, SAME = 0.9, 0.05  # training accuracy; accuracy

WAITING = Rule("waiting", "wait", "No verdict yet", "Said until an epoch is over and validated.")
NOT_LEARNING = Rule(
    "not learning",
    "alarm",
    "Does not learn",
    f"Said when the training loss (mean of an epoch's second half) has been above {100 * GUESSING:.0f} % of ln(C), the "
    f"loss of guessing among C classes, for {LASTING_EPOCHS} epochs, from epoch {FIRST_EPOCHS} and step {FIRST_STEPS} "
    "on.",
)
CLIMBING = Rule(
    "climbing",
    "alarm",
    "Loss climbs",
    f"Said when for two epochs the training loss has gone back by over {100 * CLIMB:.0f} % of the way that it had come "
    "from ln(C), the loss of guessing.",
)
EARLY = Rule(
    "early",
    "wait",
    "Too early to say",
    f"Said until {FIRST_EPOCHS} epochs and {FIRST_STEPS} steps are over: before that, good and bad learning rates look "
    "alike.",
)
UNSEEN = Rule(
    "unseen",
    "note",
    "Not validated",
    "Said when there are no validation images (val_fraction 0), or none were looked at.",
)
MEMORIZES = Rule(
    "memorizes",
    "note",
    "Memorizes",
    f"Said when for {LASTING_EPOCHS} epochs the training accuracy has been {100 * GAP:.0f} points above the validation "
    "accuracy, and more than twice its 95 % margin.",
)
FEW_IMAGES = Rule(
    "few images",
    "note",
    "Too few validation images",
    f"Said when half of the 95 % interval of the validation accuracy, 1.96 sqrt(p (1 - p) / n), is over "
    f"{100 * MARGIN:.0f} points.",
)
CHANCE = Rule(
    "chance",
    "note",
    "Validation at chance",
    "Said when the validation accuracy lies within its 95 % margin of guessing, 1 / C.",
)
FALLS = Rule(
    "still falling",
    "note",
    "Not converged",
    f"Said of a run that has ended when the mean validation loss of the last {100 * FALLING_SHARE:.0f} % of its epochs "
    f"(two or more) is {100 * FALLING:.0f} % below that of as many before them.",
)
UNDERFITS = Rule(
    "underfits",
    "note",
    "Underfits",
    f"Said of a run that has ended when the training accuracy is below {100 * FITS:.0f} % and less than "
    f"{100 * SAME:.0f} points above the validation accuracy, and neither loss falls any more, as for “Not converged”. "
    "Not said where MixUp or CutMix mixes the training images.",
)
LEARNING = Rule("learning", "ok", "Learning", "Said of a run that is going on when no other rule applies.")
TRAINED = Rule("trained", "ok", "Trained", "Said of a run that has ended when no other rule applies.")
# in the order in which they are asked
RULES = (
    loss.DIVERGED,
    WAITING,
    NOT_LEARNING,
    CLIMBING,
    EARLY,
    UNSEEN,
    MEMORIZES,
    FEW_IMAGES,
    CHANCE,
    FALLS,
    UNDERFITS,
    LEARNING,
    TRAINED,
)

REMEDY = {
    "frozen": "More labels help most.",
    "full": "More labels, stronger augmentation, fewer epochs, or a frozen encoder help.",
    "scratch": "More labels, stronger augmentation, or a pre-trained encoder help.",
}
UNDERFIT_REMEDY = {
    "frozen": "This head comes no further on these features: train the encoder too, or take an mlp head.",
    "full": "A larger network, a higher learning rate or weaker augmentation may fit more.",
    "scratch": "A larger network, a higher learning rate or weaker augmentation may fit more.",
}


@dataclass(frozen=True)
class _Supervised:
    """What the rules ask for.

    Attributes:
        known: epoch by epoch.
        num_classes, num_train, num_val: None where they were not recorded.
        is_mixed: by MixUp or CutMix; a class counts by its weight in the training accuracy then, which stays below 1.
    """

    known: Epochs
    arm: str
    num_classes: int | None
    num_train: int | None
    num_val: int | None
    is_mixed: bool = False

    @property
    def images(self) -> str:
        """What the training accuracy is of."""
        return "mixed training images" if self.is_mixed else "training images"

    @property
    def guessing(self) -> float:
        """The loss of guessing."""
        return math.log(self.num_classes) if self.num_classes and self.num_classes > 1 else math.nan

    @property
    def train(self) -> Floats:
        return self.known.get("train/top1")

    @property
    def val(self) -> Floats:
        return self.known.get("val/top1")

    @property
    def val_text(self) -> str:
        margin = margin_of(self.val[-1], self.num_val)
        return accuracy_text(self.val[-1], margin)


def accuracy_text(accuracy: float, margin: float | None) -> str:
    """`57.0 %`, and with a margin `57.0 ± 2.2 %`."""
    return percent(accuracy) if margin is None else f"{100 * accuracy:.1f} ± {100 * margin:.1f} %"


def margin_of(accuracy: float, count: int | None) -> float | None:
    """Half of the 95 % interval of an accuracy on `count` images, 0..1; None where that is not known."""
    if not count or not math.isfinite(accuracy):
        return None
    # an accuracy of 0 or 1 is not certain: at least one image on the other side
    share = min(max(accuracy, 1 / (count + 1)), count / (count + 1))
    return 1.96 * math.sqrt(share * (1 - share) / count)


def verdict(
    records: Columns,
    config: Mapping[str, Any],
    meta: Mapping[str, Any],
    reason: str = "",
    *,
    ended: bool = False,
) -> Verdict:
    """How a supervised run does, by the first rule that applies; the worst come first.

    Args:
        records: columns of its `metrics.csv`, equally long, NaN where a row has no value.
        config: its options; `epochs`, `freeze_encoder`, `random_weight_init`, `mixup_alpha` and `cutmix_alpha` are
            used.
        meta: `num_classes`, `num_train_images` and `num_val_images`, where they are known.
        reason: that its status gives for an end: `diverged` where it was ended for that.
        ended: no further epoch is to come.
    """
    known = by_epoch([], records, config, ended)
    if (found := loss.diverged(known, reason)) is not None:
        return found
    if not len(known):
        text = "It ended within its first epoch." if ended else "The first epoch is going on."
        return WAITING.found(text)
    arm = "scratch" if config.get("random_weight_init") else "frozen" if config.get("freeze_encoder") else "full"
    counts = (positive(meta.get(name)) for name in ("num_classes", "num_train_images", "num_val_images"))
    num_classes, num_train, num_val = (int(count) if count else None for count in counts)
    is_mixed = any(positive(config.get(name)) for name in ("mixup_alpha", "cutmix_alpha"))
    run = _Supervised(known, arm, num_classes, num_train, num_val, is_mixed)
    rules = (_not_learning, _climbing, _early, _unseen, _memorizes, _few_images, _chance, _still_falling, _underfits)
    for rule in rules:
        if (found := rule(run)) is not None:
            return found
    return _fine(run)


def _is_early(run: _Supervised) -> bool:
    step = run.known.get("step")[-1]
    return len(run.known) < FIRST_EPOCHS or bool(step < FIRST_STEPS)


def _not_learning(run: _Supervised) -> Verdict | None:
    train = run.known.get("train/loss")
    since = run.known.since(train > GUESSING * run.guessing, LASTING_EPOCHS)
    if since is None or _is_early(run):
        return None
    level = f"The training loss is {train[-1]:.3f}, and guessing has {run.guessing:.3f}"
    if train[-1] > run.guessing / GUESSING:
        return NOT_LEARNING.found(f"{level}: the learning rate is too high.", since, "Divide it by ten.")
    return NOT_LEARNING.found(
        f"{level}: the learning rate is far too low, or so high that nothing is learned.",
        since,
        "Try ten times as much, and a tenth.",
    )


def _climbing(run: _Supervised) -> Verdict | None:
    train = run.known.get("train/loss")
    best = np.fmin.accumulate(np.where(np.isfinite(train), train, np.inf))
    since = run.known.since(train - best > CLIMB * np.maximum(run.guessing - best, 0.1), 2)
    if since is None:
        return None
    return CLIMBING.found(
        f"The training loss has gone up from {best[-1]:.3f} to {train[-1]:.3f} since epoch {since}: the learning rate "
        "is likely too high.",
        since,
        "Lower it, or lengthen the warm-up.",
    )


def _early(run: _Supervised) -> Verdict | None:
    if not _is_early(run):
        return None
    last, step = int(run.known.epoch[-1]), run.known.get("step")[-1]
    steps = f" and {int(step)} step{'s' if step != 1 else ''}" if math.isfinite(step) else ""
    epochs = f"{last} epoch{'s' if last > 1 else ''}{steps}"
    if run.known.ended:
        return EARLY.found(f"With {epochs} this run is too short to say anything of its course.")
    return EARLY.found(
        f"{epochs} are over; how it does can be said after epoch {FIRST_EPOCHS} and step {FIRST_STEPS}."
        if math.isfinite(step)
        else f"How it does can be said after epoch {FIRST_EPOCHS}."
    )


def _unseen(run: _Supervised) -> Verdict | None:
    if run.known.has("val/top1"):
        return None
    return UNSEEN.found(
        f"The training accuracy is {percent(run.train[-1])}; without validation images nobody knows what that is worth "
        "on others.",
        advice="Set val_fraction above 0.",
    )


def _memorizes(run: _Supervised) -> Verdict | None:
    margin = margin_of(run.val[-1], run.num_val) or 0.0
    since = run.known.since(run.train - run.val >= max(GAP, 2 * margin), LASTING_EPOCHS)
    if since is None:
        return None
    images = f"its {run.num_train:,} {run.images}" if run.num_train else f"its {run.images}"
    val = run.known.get("val/loss")
    best = int(np.nanargmin(val)) if np.isfinite(val).any() else 0
    worse = ""
    if val[-1] > val[best] * (1 + WORSE_LOSS):
        worse = f", and the validation loss was lowest at epoch {int(run.known.epoch[best])}"
    return MEMORIZES.found(
        f"It gets {percent(run.train[-1])} of {images} right, but only {run.val_text} of the validation "
        f"images{worse}: it learns them by heart.",
        since,
        REMEDY[run.arm],
    )


def _few_images(run: _Supervised) -> Verdict | None:
    margin = margin_of(run.val[-1], run.num_val)
    if margin is None or margin <= MARGIN:
        return None
    return FEW_IMAGES.found(
        f"{run.num_val:,} validation images tell the accuracy, {percent(run.val[-1])}, to within {100 * margin:.0f} "
        "points only: too few for a claim.",
        advice="More images, or a larger val_fraction, tell more.",
    )


def _chance(run: _Supervised) -> Verdict | None:
    if run.num_classes is None or run.num_classes < 2:
        return None
    chance, val = 1 / run.num_classes, run.val[-1]
    if not val <= chance + (margin_of(chance, run.num_val) or 0.0):
        return None
    return CHANCE.found(
        f"{run.val_text} of the validation images are right, and guessing has {percent(chance)}: what it learns from "
        f"its {run.images} ({percent(run.train[-1])} right) does not hold for others.",
        advice=REMEDY[run.arm],
    )


def _fall(values: Floats, num_epochs: int) -> tuple[float, int] | None:
    """By what share the mean of the last epochs lies below that of as many before, and how many those are."""
    window = max(2, math.ceil(FALLING_SHARE * num_epochs))
    if len(values) < 2 * window or not np.isfinite(values[-2 * window :]).all():
        return None
    before, now = values[-2 * window : -window].mean(), values[-window:].mean()
    return float(1 - now / before), window


def _still_falling(run: _Supervised) -> Verdict | None:
    found = _fall(run.known.get("val/loss"), len(run.known))
    if not run.known.ended or found is None or found[0] < FALLING:
        return None
    return FALLS.found(
        f"In the last {found[1]} epochs the validation loss was still {100 * found[0]:.0f} % lower than before "
        f"(accuracy {run.val_text}): it had not converged.",
        int(run.known.epoch[-found[1]]),
        "More epochs will likely help, or a higher learning rate.",
    )


def _underfits(run: _Supervised) -> Verdict | None:
    if run.is_mixed:  # no accuracy on mixed images tells how well it fits whole ones
        return None
    fall = _fall(run.known.get("train/loss"), len(run.known))
    still = fall is not None and fall[0] < FALLING
    if not (run.known.ended and still and run.train[-1] < FITS and run.train[-1] - run.val[-1] < SAME):
        return None
    return UNDERFITS.found(
        f"It gets {percent(run.train[-1])} of its own training images right and {run.val_text} of the validation "
        "images, and its loss does not fall any more.",
        advice=UNDERFIT_REMEDY[run.arm],
    )


def _fine(run: _Supervised) -> Verdict:
    seen = f"{percent(run.train[-1])} of its {run.images} and {run.val_text} of the validation images are right"
    if run.known.ended:
        return TRAINED.found(f"It was trained to its end: {seen}.")
    return LEARNING.found(f"It learns: {seen}.")
