"""What runs, their states and their weights are called, and which runs have an encoder to be looked at."""

from __future__ import annotations

from dashboard.shared import palette, store
from simclr import config as cfg
from simclr.embeddings import references
from simclr.results import index, wording

KIND_LABELS = {"pretrain": "Pre-training", "finetune": "Fine-tuning", "scratch": "From scratch", "unknown": "Unknown"}
STATE_LABELS = {
    "queued": "Queued",
    "starting": "Starting",
    "running": "Running",
    "stopping": "Stopping",
    "stopped": "Stopped",
    "finished": "Finished",
    "failed": "Failed",
}
# How a pre-training is judged by itself, and what that means.
PROBE_HELP = {
    "linear": "Test accuracy of a logistic regression on the features of the frozen encoder, with all training labels; "
    "its L2 strength is chosen on the validation images.",
    "knn": "Share of the test images whose class the 20 training images with the most similar features vote for. "
    "Nothing is trained.",
}
ARM_LABELS = {arm: wording.ARM_NAMES[arm] for arm in ("frozen", "full", "scratch")}
OTHER_COLORS = {references.UNTRAINED: palette.PALETTE[6], references.PIXELS: palette.GREY}
ADDED_COLOR = palette.PALETTE[7]  # of embeddings that were added


def usable(summaries: list[index.Summary]) -> list[index.Summary]:
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


def arm_text(item: index.Summary) -> str:
    """`From scratch, 1 % of the labels`; empty of a pre-training."""
    if item.arm is None:
        return ""
    return ARM_LABELS[item.arm] + (f", {item.labels.phrase}" if item.labels is not None else "")


def label(item: index.Summary) -> str:
    """A run's name, told apart where another has it too; without one, what it is and the end of its id."""
    if item.name != item.id:
        return item.title
    kind = "SimCLR" if item.kind == "pretrain" else ARM_LABELS.get(item.arm or "", KIND_LABELS[item.kind])
    parts = [kind]
    if item.arm and item.labels is not None:
        parts.append(item.labels.phrase)
    return " · ".join([*parts, item.dataset, item.end or index.last_part(item.id)])


def checkpoint_label(name: str) -> str:
    fixed = {"": "Final weights", "best": "Best checkpoint", "last": "Last checkpoint"}
    return fixed.get(name, f"Epoch {name.removeprefix('epoch-')}")
