"""Runs whose encoders can be looked at, and what they and their weights are called."""

from __future__ import annotations

from dashboard.shared import store
from simclr import config as cfg
from simclr.embeddings import references

OTHER_COLORS = {references.UNTRAINED: "#ad8f1c", references.PIXELS: "#8a94a6"}


def usable(summaries: list[store.Summary]) -> list[store.Summary]:
    """Runs with weights that no longer change, pre-trainings first, newest first."""
    found = []
    for item in summaries:
        run = store.find(item.id)
        if item.is_active or run is None or item.kind not in cfg.MODELS:
            continue
        # The file alone decides where it can: options are slow to read where there are hundreds of runs.
        if run.model_path.is_file() or references.has_weights(run):
            found.append(item)
    return sorted(found, key=lambda item: (item.kind != "pretrain", -item.created))


def label(item: store.Summary) -> str:
    """A run's name; without one, what it is and the end of its id, which tells it apart."""
    if item.name != item.id:
        return item.name
    kind = "SimCLR" if item.kind == "pretrain" else store.ARM_LABELS.get(item.arm or "", store.KIND_LABELS[item.kind])
    parts = [kind]
    if item.arm:
        parts.append(f"{store.fraction_text(item.label_fraction)} of labels")
    return " · ".join([*parts, item.dataset, item.id.rsplit("-", 1)[-1]])


def checkpoint_label(name: str) -> str:
    fixed = {"": "Final weights", "best": "Best checkpoint", "last": "Last checkpoint"}
    return fixed.get(name, f"Epoch {name.removeprefix('epoch-')}")
