"""What a table of runs can show of a run, by name: figures of all runs, and the options of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from simclr import config as cfg
from simclr.files.safe_read import finite_number
from simclr.results import groups, index
from simclr.results.groups import MEASURES
from simclr.results.index import Summary

# share: 0 to 1, shown as per cent. seconds: a duration. moment: seconds since the epoch.
Kind = Literal["text", "words", "share", "number", "seconds", "moment"]
STATES = ("active", "queued", "starting", "running", "stopping", "stopped", "finished", "failed")
KINDS = ("pretrain", "finetune", "scratch", "unknown")


@dataclass(frozen=True)
class Column:
    """One thing to be known of a run.

    Attributes:
        name: in addresses and filters.
        label: at the head of a column.
        kind: of its values.
        help: what it is, in a sentence.
        read: its value from a run's summary; None: it is read from the run's files (`late_values`).
        allowed: its values, where they are a few words.
        is_option: whether it is an option of `config.yaml`.
    """

    name: str
    label: str
    kind: Kind
    help: str = ""
    read: Callable[[Summary], Any] | None = None
    allowed: tuple[str, ...] = ()
    is_option: bool = False

    @property
    def is_accuracy(self) -> bool:
        return self.name in ACCURACIES


def measure_of(name: str, item: Summary) -> str:
    """What an accuracy of a run was measured by: only equal ones can be compared. `accuracy` is one of several."""
    if name == "accuracy":
        return "best_knn" if item.kind == "pretrain" else "test_top1"
    return name


ACCURACIES = ("accuracy", "best_knn", *(measure.key for measure in MEASURES))
MEASURE_LABELS = {
    "best_knn": "best kNN accuracy on validation images",
    **{measure.key: measure.label for measure in MEASURES},
}
SHORT_LABELS = {
    "best_knn": "Best kNN",
    "val_knn": "kNN, validation",
    "val_top1": "Validation",
    "test_linear": "Linear probe, test",
    "test_knn": "kNN, test",
    "test_top1": "Test",
}


def _of_group(item: Summary) -> str | None:
    return item.group.title if item.group is not None else None


def _measures() -> list[Column]:
    found = []
    for measure in MEASURES:
        read: Callable[[Summary], Any] | None = None
        if measure.is_test:

            def read(item: Summary, measure: groups.Measure = measure) -> float | None:
                return groups.figure(item, measure, lambda _: None)

        sentence = f"The {measure.label} of a finished run."
        found.append(Column(measure.key, SHORT_LABELS[measure.key], "share", sentence, read))
    return found


_FIGURES = (
    Column("name", "Run", "text", "Its name, else what its id ends in.", lambda item: item.title),
    Column("id", "Id", "text", "The name of its folder.", lambda item: item.id),
    Column("state", "State", "text", "active means one of queued to stopping.", lambda item: item.state, STATES),
    Column("kind", "Kind", "text", "Pre-training, fine-tuning, or from scratch.", lambda item: item.kind, KINDS),
    Column("dataset", "Data", "text", "The data set.", lambda item: item.dataset or None),
    Column("backbone", "Backbone", "text", "The network.", lambda item: item.backbone or None),
    Column("epoch", "Epochs", "number", "Epochs that are done.", lambda item: item.status.epoch),
    Column("epochs", "Of epochs", "number", "Epochs that it was to have.", lambda item: item.status.epochs or None),
    Column(
        "accuracy",
        "Accuracy",
        "share",
        "On test images; for a pre-training the best kNN accuracy on validation images.",
        lambda item: item.accuracy,
    ),
    Column(
        "best_knn",
        SHORT_LABELS["best_knn"],
        "share",
        "The best kNN accuracy of a pre-training on validation images so far, of any epoch.",
        lambda item: item.best_knn,
    ),
    *_measures(),
    Column("loss", "Loss", "number", "The newest validation loss, else training loss.", lambda item: item.loss),
    Column("duration", "Duration", "seconds", "Of training.", lambda item: index.elapsed(item.status)),
    Column("started", "Started", "moment", "When it was created.", lambda item: item.created),
    Column("age", "Age", "seconds", "Since it was created.", lambda item: time.time() - item.created),
    Column("seed", "Seed", "number", "Of all its random numbers.", lambda item: finite_number(item.seed)),
    Column("tags", "Tags", "words", "Words given to it.", lambda item: item.tags),
    Column("notes", "Notes", "text", "What was written about it.", lambda item: item.notes or None),
    Column("group", "Experiment", "text", "The runs that it answers a question with.", _of_group),
    Column("experiment", "Pre-training", "text", "Id of the pre-training it goes with.", lambda item: item.experiment),
    Column("arm", "Trained", "text", "frozen, full, or scratch.", lambda item: item.arm, ("frozen", "full", "scratch")),
    Column(
        "label_fraction", "Labels", "share", "Share of the training labels it has.", lambda item: item.label_fraction
    ),
    Column("version", "Version", "number", "Of a pre-training.", lambda item: finite_number(item.brief.get("version"))),
    Column("device", "Device", "text", "What it computes on, or waits for.", lambda item: item.status.device or None),
    Column("host", "Machine", "text", "Where it ran.", lambda item: item.status.host or None),
    Column(
        "images_per_second",
        "Images/s",
        "number",
        "Of all its training steps.",
        lambda item: item.status.mean_images_per_second,
    ),
    Column("reason", "Reason", "text", "Why it ended.", lambda item: item.status.reason or None),
)
FIGURES: Mapping[str, Column] = {column.name: column for column in _FIGURES}
# Short names in filters.
ALIASES = {
    "knn": "best_knn",
    "test": "test_top1",
    "data": "dataset",
    "tag": "tags",
    "note": "notes",
    "created": "started",
    "linear": "test_linear",
}
DEFAULT = ("state", "kind", "dataset", "backbone", "epoch", "accuracy", "loss", "duration", "started")


@lru_cache(maxsize=1)
def options() -> Mapping[str, Column]:
    """The options that runs of any kind have, by dotted name; those that are figures are left out."""
    found: dict[str, Column] = {}
    for model in cfg.MODELS.values():
        for name, info in cfg.option_names(model).items():
            if name not in FIGURES and name not in found:
                kind: Kind = "number" if cfg.field_type(info) in (int, float) else "text"
                found[name] = Column(name, name, kind, info.description or "", _brief(name), is_option=True)
    return found


def _brief(name: str) -> Callable[[Summary], Any] | None:
    from simclr.runs import BRIEF_OPTIONS

    return (lambda item: item.brief.get(name)) if name in BRIEF_OPTIONS else None


def find(name: str, more: Mapping[str, Column] | None = None) -> Column | None:
    """The column of a name or short name; None if there is none.

    Args:
        more: options that only some run folders know, such as those from elsewhere.
    """
    name = ALIASES.get(name, name)
    return FIGURES.get(name) or options().get(name) or (more or {}).get(name)


def names() -> list[str]:
    """All names, figures first."""
    return [*FIGURES, *options()]
