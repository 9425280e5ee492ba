"""Embeddings as a table, one row for each image, to take along as CSV or Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclr.embeddings import compare
from simclr.embeddings.projections import Projection
from simclr.files.names import readable

if TYPE_CHECKING:
    import pandas
from simclr.embeddings.stored import Embedding


def table(
    embeddings: Sequence[Embedding],
    asked: str | Projection,
    names: Sequence[str] | None = None,
    points: Sequence[NDArray[np.float32]] | None = None,
) -> pandas.DataFrame:
    """One row for each image: id, class, factors, and per model where it lies, what is predicted and what is right.

    Args:
        embeddings: of the same images.
        asked: whose map; coordinates of a map that is missing are left out.
        names: of the models, before their columns. Default: `left` and `right` of two, else `model_1` and so on.
        points: coordinates to write instead, such as a map that was rotated onto the other.

    Returns:
        Columns `id`, `class`, `factor:...`, `measured:...`, and for each model `... x`, `... y`, `... z` of a map in
        space, `... knn class`, `... knn right` (also of `linear` and `classifier`), `... labelled`, and of two models
        `agreement`, 0..1.
    """
    import pandas

    first = embeddings[0]
    if names is None:
        names = (
            ["left", "right"] if len(embeddings) == 2 else [f"model_{place + 1}" for place in range(len(embeddings))]
        )
    classes = np.array([*map(readable, first.classes), ""], dtype=object)  # the last stands for none
    columns: dict[str, Any] = {"id": first.ids}
    if first.labels is not None:
        columns["class"] = classes[first.labels]
    columns |= {f"factor:{name}": values for name, values in first.factors.items()}
    columns |= {f"measured:{name}": values for name, values in first.measured.items()}
    for place, (name, embedding) in enumerate(zip(names, embeddings, strict=True)):
        found = points[place] if points is not None else embedding.map(asked)
        if found is not None:
            columns |= {f"{name} {axis}": found[:, number] for number, axis in enumerate("xyz"[: found.shape[1]])}
        for kind, predicted in embedding.predictions.items():
            columns[f"{name} {kind} class"] = classes[predicted]
            columns[f"{name} {kind} right"] = predicted == first.labels
        if embedding.labelled is not None:
            columns[f"{name} labelled"] = embedding.labelled
    if len(embeddings) == 2:
        columns["agreement"] = compare.neighbor_jaccard(embeddings[0].neighbors, embeddings[1].neighbors)
    return pandas.DataFrame(columns)


def write_csv(frame: pandas.DataFrame, target: Path | IO[Any]) -> None:
    """Writes a table as CSV, in UTF-8 and without a row number."""
    frame.to_csv(target, index=False, encoding="utf-8")


def write_parquet(frame: pandas.DataFrame, target: Path | IO[bytes]) -> None:
    """Writes a table as Parquet."""
    frame.to_parquet(target, index=False)
