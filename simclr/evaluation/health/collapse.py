"""Rules on the embeddings: one point, few directions, views that are too alike."""

from __future__ import annotations

import math

import numpy as np

from simclr.evaluation.health.ranks import at_chance
from simclr.evaluation.health.records import Epochs, Floats
from simclr.evaluation.health.rule import Rule, Verdict

COLLAPSED_SPREAD = 0.1  # std of a feature times sqrt(dim): 1 on the whole sphere, 0 for equal rows
COLLAPSED_LOGITS = 0.05  # its square over the temperature: the loss cannot tell rows apart that differ by less
SAME_VIEWS = 0.02  # squared distance of positives, of that of different images
MIN_RANK_SHARE_H, MAX_RANK_H = 0.03, 5.0  # effective rank of h that is too low, of its limit and at most
MIN_RANK_SHARE_Z = 0.05
RANK_FALL = 1 / 3  # of its highest

_COLLAPSE_TEXT = (
    f"Said when the std of the features of normalised z, times sqrt(d), is below {COLLAPSED_SPREAD:g}, at a "
    f"temperature T below {COLLAPSED_SPREAD**2 / COLLAPSED_LOGITS:g} below sqrt({COLLAPSED_LOGITS:g} T), for two "
    "epochs, or for one whose ranks are no better than chance. Evenly spread embeddings have 1 (Chen and He 2021). "
)
COLLAPSE = Rule("collapse", "alarm", "Collapsed", _COLLAPSE_TEXT + "What differs by less, the loss cannot tell apart.")
NARROW_CONE = Rule(
    "narrow cone", "note", "Nearly one point", _COLLAPSE_TEXT + "After one such epoch with better ranks, this is said."
)
SAME = Rule(
    "same views",
    "alarm",
    "Views are too alike",
    f"Said when for two epochs the mean squared distance of positives (alignment) is below {100 * SAME_VIEWS:.0f} % of "
    "the same for different images, and positives are ranked first. Healthy runs end at 15 to 40 %.",
)
NARROW_H = Rule(
    "narrow h",
    "alarm",
    "Few directions in h",
    f"Said when for two epochs the effective rank of h is below {MAX_RANK_H:g} (less where few are possible), or below "
    "a third of its highest and 15 % of what is possible (Jing et al. 2022; RankMe, Garrido et al. 2023).",
)
NARROW_Z = Rule(
    "narrow z",
    "note",
    "Few directions in z",
    f"Said when for two epochs the effective rank of z is below {100 * MIN_RANK_SHARE_Z:.0f} % of what is possible "
    "(Jing et al. 2022). A high temperature brings it about.",
)


def spread(known: Epochs) -> Floats:
    """Std of the features of z times sqrt(dim).

    Where it was not kept: the variances of all features sum to 1 - |mean|^2 in rows of length 1, and the mean
    similarity of different images is close to |mean|^2.
    """
    kept = known.of_rows(lambda row: None if row.z.std is None else row.z.std * math.sqrt(row.z.dim))
    told = np.sqrt(np.clip(1 - known.get("val/negative_similarity"), 0, None))
    return np.where(np.isfinite(kept), kept, told)


def collapsed_spread(known: Epochs) -> float:
    """The spread below which all images count as one point."""
    return min(COLLAPSED_SPREAD, math.sqrt(COLLAPSED_LOGITS * (known.temperature or 1.0)))


def collapse(known: Epochs) -> Verdict | None:
    found = spread(known)
    narrow = found < collapsed_spread(known)
    if (since := known.since(narrow)) is None:
        return None
    seen = f"the features of z spread to {100 * found[-1]:.2g} % of what the sphere allows"
    if known.lasting(narrow) < 2 and not at_chance(known)[-1]:
        return NARROW_CONE.found(
            f"In epoch {since} all images came close to one point ({seen}), though views are still found: "
            f"{known.rank_text()}.",
            since,
            "If it stays so for another epoch, it is a collapse.",
        )
    return COLLAPSE.found(
        f"All images are mapped to nearly the same point since epoch {since}: {seen}.",
        since,
        "Lower the learning rate, lengthen the warm-up, and check that the batch holds different images.",
    )


def same_views(known: Epochs) -> Verdict | None:
    alignment = known.get("val/alignment")
    apart = 2 * (1 - known.get("val/negative_similarity"))  # squared distance of different images
    same = alignment < SAME_VIEWS * apart
    found = known.share < 0.01 + 1.0 / (2 * (known.batch_size or 2))
    if (since := known.since(same & found, 2)) is None:
        return None
    return SAME.found(
        f"The two views of an image are mapped to the same point (alignment {alignment[-1]:.2g}) and are found without "
        "error, so there is nothing left to learn.",
        since,
        "Turn the augmentation up: random crops and colour jitter matter most.",
    )


def narrow_h(known: Epochs) -> Verdict | None:
    rank, limit = known.get("val/effective_rank"), known.limit("h")
    floor = np.fmin(MAX_RANK_H, 1 + MIN_RANK_SHARE_H * (limit - 1))
    floor = np.where(np.isfinite(floor), floor, 2.0)  # unknown to a run that kept no lines
    highest = np.fmax.accumulate(np.where(np.isfinite(rank), rank, -np.inf))
    few = np.where(np.isfinite(limit), 0.15 * limit, 15.0)
    holds = (rank < floor) | ((rank < RANK_FALL * highest) & (rank < few))
    if (since := known.since(holds, 2)) is None:
        return None
    at_most = f" of at most {limit[-1]:,.0f}" if np.isfinite(limit[-1]) else ""
    return NARROW_H.found(
        f"The representation h uses {rank[-1]:.1f} directions{at_most}, and used {highest[-1]:.1f} at its best: "
        "dimensional collapse reaches the encoder.",
        since,
        "Weaker augmentation, a lower learning rate or less weight decay helps.",
    )


def narrow_z(known: Epochs) -> Verdict | None:
    rank, limit = known.get("val/effective_rank_z"), known.limit("z")
    floor = np.where(np.isfinite(limit), 1 + MIN_RANK_SHARE_Z * (limit - 1), 3.0)
    if (since := known.since(rank < floor, 2)) is None:
        return None
    at_most = f" of at most {limit[-1]:,.0f}" if np.isfinite(limit[-1]) else ""
    rank_h = known.get("val/effective_rank")[-1]
    return NARROW_Z.found(
        f"The embedding z uses {rank[-1]:.1f} directions{at_most}, the representation h {rank_h:.1f}.",
        since,
        "Some collapse in z is normal, and h is what is kept; watch the kNN accuracy.",
    )
