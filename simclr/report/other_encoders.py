"""Embeddings of other encoders in a report: what they are of, and their figures beside those of the runs (no torch)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simclr.added import sets
from simclr.added.sets import AddedSet
from simclr.config import ConfigError
from simclr.embeddings.references import EncoderRef
from simclr.report.subjects import Line
from simclr.results.index import short_dataset
from simclr.results.wording import NOTHING
from simclr.transfer import added_figures, matrix
from simclr.transfer.matrix import Encoder

NOTE = (
    "With the 95 % interval: of kNN and linear probe for other test images (Wilson), with few labels of "
    "the mean over the draws (Student's t)."
)


def taken_out(names: Sequence[str], folder: Path) -> tuple[list[str], list[AddedSet]]:
    """The names of runs and groups, and the embeddings that other names stand for, each once.

    Raises:
        ConfigError: if nothing but embeddings is named.
    """
    found = {name: sets.find(name, folder) for name in names}
    others = [name for name in names if found[name] is None]
    added = [item for item in found.values() if item is not None]
    if not others:
        raise ConfigError(
            f"RUN is {', '.join(names)}; allowed: at least one run or group beside embeddings of other encoders."
        )
    return others, added


def sections(added: Sequence[AddedSet], lines: Sequence[Line]) -> list[dict[str, Any]]:
    """For each data set its embeddings of other encoders, and a table of kept figures, that of runs first."""
    together: dict[str, list[AddedSet]] = {}
    for item in added:
        together.setdefault(item.dataset, []).append(item)
    return [_section(items, lines) for items in together.values()]


def _section(items: Sequence[AddedSet], lines: Sequence[Line]) -> dict[str, Any]:
    rows = _figures(items, lines)
    return {
        "dataset": short_dataset(items[0].dataset),
        "sets": [about(item) for item in items],
        "rows": rows,
        "notes": [NOTE] if rows else [],
        "lacking": [item.name for item in items if not rows or item.name not in rows[0]],
    }


def about(item: AddedSet) -> dict[str, str]:
    """What a set is, in words."""
    each = " and ".join(
        f"{having:,} of {number:,} {name}" for name, (number, having) in item.num_images.items() if having
    )
    when = time.strftime("%Y-%m-%d", time.localtime(item.created))
    text = f"{item.num_features:,} features of {each} images, from {Path(item.source).name}, added on {when}"
    return {"name": item.name, "text": text}


def _figures(items: Sequence[AddedSet], lines: Sequence[Line]) -> list[list[str]]:
    """A column for each encoder of which a figure on these images is kept, a row for each figure; empty without any."""
    dataset = items[0].dataset
    encoders: list[tuple[str, Encoder, str]] = []
    for line in lines:
        for member in line.members:
            own = matrix.own_dataset(EncoderRef(member.run)) or ""
            name = own if own and added_figures.is_of(items[0], own) else dataset
            encoders.append((member.label, EncoderRef(member.run), name))
    encoders += [(item.name, item, dataset) for item in items]
    columns = {}
    for label, encoder, name in encoders:
        kept = matrix.figures_of(encoder, name)
        texts = [matrix.value_text(matrix.value_of(kept, figure)) for figure in matrix.FIGURES.values()]
        if any(text != NOTHING for text in texts):
            columns[label] = [text.replace(" %", "\u00a0%") for text in texts]
    rows = zip((figure.label for figure in matrix.FIGURES.values()), *columns.values(), strict=True)
    known = [list(row) for row in rows if any(text != NOTHING for text in row[1:])]
    return [["test accuracy", *columns], *known] if known else []
