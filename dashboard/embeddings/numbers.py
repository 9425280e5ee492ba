"""Numbers beside the maps of the Embeddings page, and what they say in words. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.embeddings import colors
from dashboard.shared.formats import fine_percent, signed_points
from simclr.embeddings import compare
from simclr.embeddings.compare import ClassRow
from simclr.embeddings.projections import Projection
from simclr.embeddings.stored import Embedding, Pair
from simclr.files.safe_read import finite_number

CHANCE = 0.05  # a difference that chance alone would bring about more often is not spoken of as one
MOST_NAMED = 3  # classes named in the sentence

Stat = dict[str, str]


# --- beside each map ------------------------------------------------------------------------------------------------


def feature_stats(embedding: Embedding) -> list[Stat]:
    """What is measured on the features themselves, whatever the map: value, label and one line of help."""
    numbers = embedding.numbers
    k = numbers.get("knn_k", 20)
    texts = {
        "knn_accuracy": (
            "kNN, each left out",
            f"Share of these images whose class their {k} nearest others vote for; each is left out in its turn. "
            "Weights exp(cosine / 0.07), as Wu et al. 2018.",
        ),
        "linear_accuracy": (
            "linear accuracy",
            f"Share that a linear classifier gets right. {numbers.get('linear_protocol', '')}",
        ),
        "classifier_accuracy": ("own classifier", "Share that the classifier trained with this network gets right."),
    }
    found = [
        {"value": fine_percent(value), "label": label, "help": text.strip()}
        for name, (label, text) in texts.items()
        if (value := finite_number(numbers.get(name))) is not None
    ]
    silhouette = finite_number(numbers.get("silhouette"))
    if silhouette is not None:
        found.append(
            {
                "value": f"{silhouette:.2f}".replace("-", "−"),
                "label": "silhouette",
                "help": "How much nearer images are to their own class than to the next one, −1 to 1, by cosine "
                "distance of the features, not on the map (Rousseeuw 1987).",
            }
        )
    return found


def map_stats(embedding: Embedding, asked: Projection) -> list[Stat]:
    """How far this map can be trusted: value, label and one line of help."""
    about = embedding.map_provenance(asked)
    k, anchors = about.get("k", 20), about.get("anchors", embedding.num_images)
    measured = "" if anchors == embedding.num_images else f" Measured at {anchors:,} images."
    texts = {
        "trustworthiness": (
            "trustworthiness",
            f"1 where all {k} nearest on the map are near in the features too (Venna and Kaski 2001).{measured}",
        ),
        "continuity": (
            "continuity",
            f"1 where all {k} nearest in the features are near on the map too (Venna and Kaski 2001).{measured}",
        ),
    }
    found = [
        {"value": f"{value:.2f}", "label": label, "help": text}
        for name, (label, text) in texts.items()
        if (value := finite_number(about.get(name))) is not None
    ]
    kept = finite_number(about.get("neighbors_kept"))
    if kept is not None:
        text = f"Share of the {k} nearest in the features that are also among the {k} nearest on the map."
        found.append({"value": fine_percent(kept, 0), "label": "of neighbours kept", "help": text})
    return found


# --- between the two ------------------------------------------------------------------------------------------------


def pair_stats(embeddings: Sequence[Embedding], pair: Pair | None, k: int) -> list[Stat]:
    """What two models have in common: value, label, one line of help, and `note`, what chance would give."""
    first, second = embeddings
    k = min(k, first.neighbors.shape[1], second.neighbors.shape[1])
    overlap = float(compare.neighbor_jaccard(first.neighbors, second.neighbors, k).mean())
    chance = compare.chance_jaccard(first.num_images, k)
    found = [
        {
            "value": fine_percent(overlap),
            "label": "Mean Jaccard of neighbours",
            "note": f"by chance {fine_percent(chance)}",
            "help": f"Shared neighbours divided by all neighbours, of the {k} nearest of each image in both models, on "
            "average (Jaccard 1901; per image it is the colouring by agreement).",
        }
    ]
    if pair is not None:
        found.append(
            {
                "value": f"{pair.linear_cka:.2f}",
                "label": "Linear CKA",
                "note": "1: same up to turning and scale",
                "help": "Similarity of the two sets of features as a whole, 0 to 1, whatever their directions "
                "(Kornblith et al. 2019, section 3).",
            }
        )
    return found


def class_rows(embeddings: Sequence[Embedding], judge: str) -> list[ClassRow]:
    """Per class and at last for all how often each model is right; none where there are no classes."""
    first, second = embeddings
    if first.labels is None or judge not in colors.judges(embeddings):
        return []
    return compare.class_table(first.labels, first.predictions[judge], second.predictions[judge], first.classes)


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def significance(row: ClassRow) -> str:
    """What McNemar's test says of a row, in words."""
    if row.only_first + row.only_second == 0:
        return "both right and wrong on the same images"
    how = "very clear" if row.p_adjusted < 0.001 else "clear" if row.p_adjusted < CHANCE else "may be chance"
    return f"{how} ({p_text(row.p_adjusted)})"


SUBJECTS = {
    "knn": ("the better neighbours", "a vote of the nearest neighbours gets"),
    "linear": ("the better features for a linear classifier", "it gets"),
    "classifier": ("the better classifier of its own", "it gets"),
}


def verdict(rows: Sequence[ClassRow], judge: str, titles: Sequence[str]) -> str:
    """One or two sentences on who is right more often, and in which classes; empty without classes.

    A difference is spoken of only where McNemar's test tells it from chance.
    """
    if not rows:
        return ""
    *classes, total = rows
    what, gets = SUBJECTS[judge]
    first, second = titles
    if total.p_adjusted >= CHANCE or total.difference == 0:
        text = (
            f"Neither has clearly {what}: {gets} {fine_percent(total.first)} of the {total.n:,} images right on the "
            f"left and {fine_percent(total.second)} on the right, which may be chance ({p_text(total.p_adjusted)})."
        )
        named = [named_classes(classes, name, sign) for name, sign in ((first, 1), (second, -1))]
        return " ".join([text, *filter(None, named)])
    sign = 1 if total.difference > 0 else -1
    better, worse = (first, second) if sign > 0 else (second, first)
    high, low = max(total.first, total.second), min(total.first, total.second)
    text = (
        f"{better} has {what}: {gets} {fine_percent(high)} of the {total.n:,} images right, "
        f"{100 * (high - low):.1f} points more than with {worse} ({fine_percent(low)})."
    )
    ahead = named_classes(classes, "It", sign) or "No single class differs by more than chance may bring about."
    behind = named_classes(classes, worse, -sign)
    return " ".join(filter(None, [text, ahead, behind]))


def named_classes(classes: Sequence[ClassRow], name: str, sign: int) -> str:
    """The classes in which a model is clearly ahead, the most so first; empty if there is none."""
    found = [row for row in classes if row.difference * sign > 0 and row.p_adjusted < CHANCE]
    found.sort(key=lambda row: -abs(row.difference))
    if not found:
        return ""
    words = [f"{row.name} ({signed_points(abs(row.difference))})" for row in found[:MOST_NAMED]]
    text = words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" and {words[-1]}"
    more = len(found) - len(words)
    return (
        f"{name} is ahead most in {text}{f', and in {more} more' if more else ''}."
        if len(found) > 1
        else (f"{name} is clearly ahead in one class alone: {text}.")
    )


def overlap_sentence(stats: Sequence[Stat], k: int) -> str:
    """How much two models agree, from `pair_stats`."""
    overlap = stats[0]
    text = f"The {k} nearest neighbours of an image overlap by {overlap['value']} on average ({overlap['note']})"
    return text + (f"; linear CKA is {stats[1]['value']}." if len(stats) > 1 else ".")


def class_table(rows: Sequence[ClassRow], titles: Sequence[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Columns and rows of the table of classes, for `components.table`."""
    first, second = titles
    columns: list[dict[str, Any]] = [
        {"key": "class", "label": "Class"},
        {"key": "n", "label": "Images", "align": "right", "rank": 3},
        {"key": "first", "label": first, "align": "right", "rank": 2},
        {"key": "second", "label": second, "align": "right", "rank": 2},
        {
            "key": "difference",
            "label": "Difference",
            "align": "right",
            "help": "Left minus right, in percentage points; positive: the left is ahead.",
        },
        {
            "key": "only",
            "label": "Only one right",
            "align": "right",
            "rank": 3,
            "help": "Images that only the left, and only the right, gets right.",
        },
        {
            "key": "clear",
            "label": "Is it chance?",
            "rank": 2,
            "help": "McNemar's exact test, for all classes together by Holm: the p that chance alone differs as much.",
        },
    ]
    found: list[dict[str, Any]] = []
    for row in rows:
        is_all = row is rows[-1]
        is_clear = row.p_adjusted < CHANCE and row.difference != 0
        found.append(
            {
                "class": {"text": "All classes" if is_all else row.name, "strong": is_all},
                "n": {"text": f"{row.n:,}", "sort": row.n},
                "first": {
                    "text": fine_percent(row.first),
                    "sort": row.first,
                    "strong": is_clear and row.difference > 0,
                },
                "second": {
                    "text": fine_percent(row.second),
                    "sort": row.second,
                    "strong": is_clear and row.difference < 0,
                },
                "difference": {"text": signed_points(row.difference), "sort": row.difference, "strong": is_clear},
                "only": {"text": f"{row.only_first} | {row.only_second}", "sort": row.only_first - row.only_second},
                "clear": {"text": significance(row), "sort": row.p_adjusted},
                "best": is_all,
            }
        )
    return columns, found
