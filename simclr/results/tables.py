"""What pre-trained encoders reach beside training from scratch: which run stands for what, and the table of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simclr.results import arms
from simclr.results.arms import ARMS
from simclr.results.index import Summary, finite_number

PROTOCOLS = ("knn", "linear", *ARMS)  # in the order of the rows: the more is trained, the lower
ArmRuns = Mapping[tuple[float, str], Summary]  # by label fraction and arm


@dataclass(frozen=True)
class ResultRow:
    """What was reached with one share of the labels in one way. Accuracies are fractions 0..1 on the test images.

    protocol: one of `PROTOCOLS`. summary: the run it was measured with. gain: accuracy minus that of from scratch on
    the same labels; None where there is no such run. is_best: the highest of at least two with this share of labels.
    is_last: the last row with this share.
    """

    fraction: float
    protocol: str
    summary: Summary
    accuracy: float | None
    gain: float | None
    loss: float | None
    num_labels: float | None
    is_best: bool
    is_last: bool


def label_fractions(partners: Sequence[Summary]) -> list[float]:
    """The shares of labels that were used, rising."""
    return sorted({item.label_fraction for item in partners if item.label_fraction is not None})


def arm_runs(partners: Sequence[Summary]) -> dict[tuple[float, str], Summary]:
    """The run that stands for each label fraction and arm: the newest that has a result, else the newest.

    Args:
        partners: supervised runs of one pre-training, newest first.
    """
    found: dict[tuple[float, str], Summary] = {}
    for fraction in label_fractions(partners):
        for arm in ARMS:
            same = [item for item in partners if item.arm == arm and item.label_fraction == fraction]
            if same:
                found[fraction, arm] = next((item for item in same if item.test_accuracy is not None), same[0])
    return found


def comparable(run_id: str, summaries: Sequence[Summary]) -> list[Summary]:
    """The partners of a pre-training that were trained on its data; accuracies on other data say nothing beside it."""
    own = next((item for item in summaries if item.id == run_id), None)
    return [item for item in arms.partners_of(run_id, summaries) if own is not None and item.dataset == own.dataset]


def result_rows(
    picked: ArmRuns, evaluations: Mapping[str, Mapping[str, Any]], own: Summary | None = None
) -> list[ResultRow]:
    """A row for each label fraction and arm.

    Args:
        picked: as `arm_runs` finds them.
        evaluations: the test figures by run id, those of `own` too.
        own: the pre-training, whose linear probe and kNN stand with the arms that use all labels.
    """
    accuracies = {place: (item, item.test_accuracy) for place, item in picked.items()}
    if own is not None:
        probes = {"knn": own.test_knn, "linear": own.test_linear}
        accuracies |= {(1.0, name): (own, value) for name, value in probes.items() if value is not None}
    found = []
    for fraction, name in sorted(accuracies, key=lambda place: (place[0], PROTOCOLS.index(place[1]))):
        item, accuracy = accuracies[fraction, name]
        group = {other: value for (share, other), (_, value) in accuracies.items() if share == fraction}
        results = [value for value in group.values() if value is not None]
        scratch = group.get("scratch")
        other = picked.get((fraction, "scratch"))
        if other is not None:
            counts = [evaluations.get(run.id, {}).get("num_labels") for run in (item, other)]
            if other.seed != item.seed or (None not in counts and counts[0] != counts[1]):
                scratch = None  # not the same labels
        evaluation = evaluations.get(item.id, {})
        loss = {"linear": "test/linear_loss", "knn": None}.get(name, "test/loss")
        found.append(
            ResultRow(
                fraction,
                name,
                item,
                accuracy,
                gain=None if name == "scratch" or scratch is None or accuracy is None else accuracy - scratch,
                loss=finite_number(evaluation.get(loss)) if loss else None,
                num_labels=finite_number(evaluation.get("num_labels")),
                is_best=accuracy is not None and len(results) > 1 and accuracy == max(results),
                is_last=name == max(group, key=PROTOCOLS.index),
            )
        )
    return found
