"""The matrix of the Transfer page as its component takes it. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.shared import formats, url_state
from simclr.added.sets import AddedSet
from simclr.transfer import matrix
from simclr.transfer.matrix import Cell, Encoder, Pair

STATES: dict[str, tuple[str, str]] = {  # text and colour of the dot
    "queued": ("Queued", "gray"),
    "running": ("Running", "blue"),
    "failed": ("Failed", "red"),
}


def columns(datasets: Sequence[str], cells: Mapping[Pair, Cell]) -> list[dict[str, Any]]:
    """The encoder, then a column for each data set with what its intervals stand on."""
    labels = matrix.dataset_labels(datasets)
    found: list[dict[str, Any]] = [{"key": "encoder", "label": "Encoder"}]
    for number, dataset in enumerate(datasets):
        counts = {
            (cell.value.num, cell.value.unit)
            for pair, cell in cells.items()
            if pair.dataset == dataset and cell.value is not None and cell.value.num
        }
        about = [f"{formats.thousands(num)} {unit}" for num, unit in sorted(counts)]
        (same,) = {num for num, _ in counts} if len(counts) == 1 else (0,)
        found.append(
            {
                "key": f"d{number}",
                "label": labels[dataset] + (f", n\u00a0{formats.thousands(same)}" if same else ""),
                "align": "right",
                "help": ", ".join([dataset, *about]),
            }
        )
    return found


def rows(
    encoders: Sequence[Encoder],
    datasets: Sequence[str],
    cells: Mapping[Pair, Cell],
    names: Mapping[str, str],
    colors: Mapping[str, str],
) -> list[dict[str, Any]]:
    """A row for each encoder; the highest accuracy of each data set is marked where there are two.

    Args:
        names, colors: of the encoders, by their references.
    """
    best: dict[str, float] = {}
    for dataset in datasets:
        values = [cell.value.accuracy for pair, cell in cells.items() if pair.dataset == dataset and cell.value]
        if len(values) > 1:
            best[dataset] = max(values)
    found = []
    for encoder in encoders:
        reference = matrix.reference(encoder)
        row: dict[str, Any] = {
            "href": address_of(encoder),
            "encoder": {
                "text": names[reference],
                "sub": matrix.kind_text(encoder),
                "color": colors[reference],
                "title": reference,
            },
        }
        for number, dataset in enumerate(datasets):
            row[f"d{number}"] = cell_of(cells[Pair(reference, dataset)], best.get(dataset))
        found.append(row)
    return found


def address_of(encoder: Encoder) -> str:
    """The page of the run; of embeddings that were added their map."""
    if isinstance(encoder, AddedSet):
        return url_state.address("embeddings", left=encoder.name)
    return url_state.address("run", id=encoder.run.id)


def cell_of(cell: Cell, best: float | None) -> dict[str, Any]:
    """One pair. best: the highest accuracy of its data set, if there is one to be marked."""
    if cell.value is None:
        text, state = STATES.get(cell.state, ("–", ""))
        title = {"title": cell.sentence} if cell.state == "none" else {}
        return {"text": text, **title, **({"state": state} if state else {})}
    value = cell.value
    interval = "" if value.low is None else matrix.interval_text(value)
    return {
        "text": formats.percent(value.accuracy),
        "sort": value.accuracy,
        "sub": interval or ("1 draw" if value.unit == "draws" else ""),
        "strong": value.accuracy == best,
    }
