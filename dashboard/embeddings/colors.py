"""By what the points of the Embeddings page can be coloured, as plain values. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.shared import palette
from simclr.analysis import traits
from simclr.analysis.factors import CIRCULAR
from simclr.embeddings import compare
from simclr.embeddings.stored import Embedding
from simclr.views import appearance

TagRows = Mapping[str, NDArray[np.int64]]
YES, NO = palette.CATEGORIES[0], palette.RING
FACTOR_LABELS = {
    "hue": "Hue of the shape",
    "background": "Hue of the background",
    "size": "Size",
    "position_x": "Position, left to right",
    "position_y": "Position, bottom to top",
    "rotation": "Rotation in degrees",
}
# Measured from the pixels (`views.appearance`), where no factors are recorded.
MEASURED_LABELS = {
    "lightness": "Lightness",
    "contrast": "Contrast",
    "middle_hue": "Hue of the middle",
    "border_hue": "Hue of the border",
    "edge_angle": "Direction of the edges",
}
CLASS, PREDICTED, RIGHT, LABELLED, AGREEMENT = "class", "predicted", "right", "labelled", "agreement"
TAGS = "tags"
SEVERAL = "several tags"
LABELS = {
    CLASS: "Class",
    PREDICTED: "Predicted class",
    RIGHT: "Right or wrong",
    LABELLED: "Label used in training",
    AGREEMENT: "Neighbourhood agreement",
    TAGS: "Tags",
}
# Who predicts: what stands in `Embedding.predictions`.
JUDGES = {"knn": "kNN vote", "linear": "linear classifier", "classifier": "own classifier"}


def factor_label(name: str) -> str:
    return FACTOR_LABELS.get(name) or name.replace("_", " ").capitalize()


def factors(embedding: Embedding) -> dict[str, str]:
    """Recorded factors: name to label. One that only repeats the class is left out."""
    found = {}
    for name, values in embedding.factors.items():
        if embedding.labels is not None and traits.repeats_the_class(values, embedding.classes):
            continue
        found[name] = factor_label(name)
    return found


def measured(embedding: Embedding) -> dict[str, str]:
    """What was measured of the images and can be coloured: name to label; nothing where factors are recorded."""
    return MEASURED_LABELS if embedding.measured and not embedding.factors else {}


def judges(embeddings: Sequence[Embedding]) -> dict[str, str]:
    """Who has predicted the class of each image for all models: name to label; none where there are no classes."""
    return {name: text for name, text in JUDGES.items() if all(name in item.predictions for item in embeddings)}


def color_choices(embeddings: Sequence[Embedding], tags: TagRows | None = None) -> dict[str, str]:
    """What points can be coloured by: name to label.

    Args:
        tags: the rows of each.
    """
    found = [CLASS] if embeddings[0].labels is not None else []
    found += [PREDICTED, RIGHT] if judges(embeddings) else []
    found += [AGREEMENT] if len(embeddings) == 2 else []
    found += [LABELLED] if any(item.labelled is not None for item in embeddings) else []
    found += [TAGS] if tags else []
    return {name: LABELS[name] for name in found} | factors(embeddings[0]) | measured(embeddings[0])


def color_of(
    embeddings: Sequence[Embedding], name: str, *, judge: str = "knn", k: int = 20, tags: TagRows | None = None
) -> dict[str, Any]:
    """A colouring as the component takes it; by nothing if there is no such name.

    Args:
        judge: whose predictions, a name in `judges`.
        k: neighbours that agreement looks at.
        tags: the rows of each; an image in more than one is of a group of its own.
    """
    first = embeddings[0]
    color: dict[str, Any] = {"label": "", "kind": "none", "names": [], "colors": [], "low": 0.0, "high": 1.0}
    values: NDArray[Any] | list[NDArray[Any]] = np.zeros(first.num_images)
    if name in LABELS and name not in color_choices(embeddings, tags):
        return color | {"values": values}
    if name == CLASS and first.labels is not None:
        color |= _groups(LABELS[name], first.classes, palette.category_colors(len(first.classes)), "class")
        values = first.labels
    elif name == PREDICTED:
        color |= _groups(f"{LABELS[name]}: {JUDGES[judge]}", first.classes, palette.category_colors(len(first.classes)))
        values = [item.predictions[judge] for item in embeddings]
    elif name == RIGHT:
        color |= _groups(f"By {JUDGES[judge]}", ["right", "wrong"], [YES, NO])
        values = [(item.predictions[judge] != first.labels).astype(np.int64) for item in embeddings]
    elif name == LABELLED:
        color |= _groups(LABELS[name], ["used", "not used"], [YES, NO])
        unknown = np.full(first.num_images, -1)
        values = [unknown if item.labelled is None else 1 - item.labelled.astype(np.int64) for item in embeddings]
    elif name == TAGS and tags:
        values = tag_groups(tags, first.num_images)
        names = [*tags, SEVERAL] if (values == len(tags)).any() else list(tags)
        color |= _groups(LABELS[name], names, palette.category_colors(len(names)))
    elif name == AGREEMENT:
        values = compare.neighbor_jaccard(embeddings[0].neighbors, embeddings[1].neighbors, k)
        # few images agree on all their neighbours; one that does must not make all others look alike
        high = max(0.1, float(np.quantile(values, 0.99)))
        color |= {"label": f"{LABELS[name]}, {k} nearest", "kind": "share", "high": high}
    elif name in first.factors and first.factors[name].dtype.kind in "US":
        words, values = np.unique(first.factors[name], return_inverse=True)
        color |= _groups(factor_label(name), [str(word) for word in words], palette.category_colors(len(words)))
    elif name in first.factors:
        values = first.factors[name].astype(np.float64)
        low, high = (0.0, 1.0) if name in CIRCULAR else (float(values.min()), float(values.max()))
        kind = "cycle" if name in CIRCULAR else "number"
        color |= {"label": factor_label(name), "kind": kind, "low": low, "high": high}
    elif name in measured(first):
        values = first.measured[name].astype(np.float64)
        color |= {"label": MEASURED_LABELS[name], "kind": "number", "low": values.min(), "high": values.max()}
        if name in appearance.CIRCULAR:
            color |= {"kind": "cycle", "low": 0.0, "high": 1.0}
            values = np.where(appearance.has_direction(first.measured, name), values, np.nan)
    return color | {"values": values}


def tag_groups(tags: TagRows, num_images: int) -> NDArray[np.int64]:
    """(N,) the place of each image's tag; -1 without one, the number of tags where it has several."""
    found = np.full(num_images, -1)
    for place, rows in enumerate(tags.values()):
        found[rows] = np.where(found[rows] < 0, place, len(tags))
    return found


def _groups(label: str, names: Sequence[str], colors: Sequence[str], kind: str = "category") -> dict[str, Any]:
    return {"label": label, "kind": kind, "names": list(names), "colors": list(colors)}
