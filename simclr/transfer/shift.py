"""Distribution shift: a head from the source's training images, judged on test images that are not like them.

For each encoder a linear probe, or the bank of kNN, is made of the plain training images of the source. It is judged on
the source's test images, on these corrupted (Hendrycks and Dietterich 2019), and on test images of targets, which have
the same classes. An encoder whose pre-training was continued on unlabelled images of the target is one more encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simclr.config import ConfigError, RunConfig
from simclr.data.loading import load_other_data
from simclr.data.splits import ImageData, Split
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef
from simclr.evaluation import knn, linear_probe, protocols
from simclr.models import weight_reading
from simclr.objectives import metrics
from simclr.runs.status import Report, no_report
from simclr.views.corruptions import CORRUPTIONS, SEVERITIES, corrupt

CLEAN = "clean"


class Condition(NamedTuple):
    """Which test images. kind: `clean`, one of `CORRUPTIONS`, or `target`. severity: 1 to 5 of a corruption, else 0.
    dataset: of a target."""

    kind: str
    severity: int = 0
    dataset: str = ""

    @property
    def text(self) -> str:
        """`clean`, `contrast 3`, or the name of the target's folder."""
        return self.dataset.rstrip("/").rpartition("/")[2] or f"{self.kind} {self.severity}".removesuffix(" 0")


@dataclass(frozen=True)
class Shifted:
    """What one encoder reaches. accuracies: 0..1 by condition. num_test: images of each condition."""

    encoder: EncoderRef
    accuracies: dict[Condition, float]
    num_test: dict[Condition, int]


def conditions(corruptions: Sequence[str], severities: Sequence[int], targets: Sequence[str]) -> list[Condition]:
    """All of them, the clean test images first."""
    found = [Condition(CLEAN)]
    found += [Condition(name, severity) for name in CORRUPTIONS if name in corruptions for severity in severities]
    return [*found, *(Condition("target", dataset=target) for target in targets)]


def measure(
    encoder: EncoderRef, source: str, asked: Sequence[Condition], protocol: str = "linear", report: Report = no_report
) -> Shifted:
    """Accuracies of an encoder on shifted test images.

    Args:
        encoder: a finished run, or its untrained network.
        source: the data set whose labelled training images the head is made of; its test images are corrupted at the
            size at which they are kept. It is cut as the run cuts its own, whether or not it is that.
        asked: the conditions, see `conditions`.
        protocol: `linear` or `knn`, as `evaluate` does them.

    Raises:
        ConfigError: if the run has no weights, or a data set no labelled test images or other classes than the source.
    """
    config, device = protocols.ready(encoder.run)
    data = load_other_data(config, source, cut=True, progress=report)
    config = protocols.with_size(config, data)
    bank = data.probe
    if bank is None or data.test is None or data.test.labels is None:
        raise ConfigError(f"dataset is {source}, which has no labelled test images; allowed: a data set with some.")
    try:
        network = protocols.encoder_of(
            config,
            weight_reading.read_state(encoder.run.model_path),
            untrained=encoder.what == references.UNTRAINED,
        ).network
    except ConfigError as error:
        raise ConfigError(str(error).replace("experiment_version is", "RUN has the weights", 1)) from None

    def features(split: Split, text: str) -> Tensor:
        found = protocols.outputs(network, split, config, device, lambda share: report(text, share))
        if not found.isfinite().all():
            raise ConfigError(f"RUN is {encoder.run.id}, whose network gives values that are no numbers.")
        return found

    labels = _labels(bank).to(device)
    num_classes = len(data.classes or ())
    plain = features(bank, "features of the training images")
    if protocol == "linear":
        val = None
        if data.val is not None and data.val.labels is not None:
            val = features(data.val, "features of the validation images"), data.val.labels.to(device)
        probe = linear_probe.fit_linear_probe(plain, labels, val, num_classes)
    accuracies: dict[Condition, float] = {}
    counts: dict[Condition, int] = {}
    for condition in asked:
        split = _target(config, condition.dataset, data, report) if condition.dataset else data.test
        if condition.kind in SEVERITIES:
            split = corrupted(split, condition.kind, condition.severity)
        tested = features(split, f"features of {condition.text}")
        if protocol == "linear":
            predicted = probe(tested).argmax(dim=1)
        else:
            predicted = knn.knn_predict(plain, labels, tested, num_classes)
        accuracies[condition] = metrics.accuracy(predicted, _labels(split).to(device))
        counts[condition] = split.num_images
    return Shifted(encoder, accuracies, counts)


def _labels(split: Split) -> Tensor:
    assert split.labels is not None
    return split.labels


def _target(config: RunConfig, dataset: str, source: ImageData, report: Report) -> Split:
    """The test images of a target, with labels in the order of the source's classes."""
    data = load_other_data(config, dataset, cut=True, progress=report)
    if data.test is None or data.test.labels is None or data.classes is None:
        raise ConfigError(f"target is {dataset}, which has no labelled test images; allowed: a data set with some.")
    own = source.classes or ()
    if set(data.classes) != set(own):
        lacking = sorted(set(own) - set(data.classes))
        other = sorted(set(data.classes) - set(own))
        what = f"has a class {other[0]} that {source.name} has not" if other else f"has no class {lacking[0]}"
        raise ConfigError(f"target is {dataset}, which {what}; allowed: the classes of {source.name}.")
    places = torch.tensor([own.index(name) for name in data.classes])
    return replace(data.test, labels=places[data.test.labels])


class _Corrupted:
    """The images of a split, corrupted as they are read."""

    whole = None

    def __init__(self, split: Split, corruption: str, severity: int) -> None:
        self._split, self._corruption, self._severity = split, corruption, severity
        self.side = split.image_size

    def __len__(self) -> int:
        return self._split.num_images

    def read(self, rows: Any) -> Tensor:
        positions = torch.as_tensor(rows)
        images = self._split.images_at(positions)
        return corrupt(images, self._corruption, self._severity, self._split.ids[positions.to(self._split.ids.device)])

    def load(self, rows: Any, progress: Any) -> Tensor:
        return self.read(rows)


def corrupted(split: Split, corruption: str, severity: int) -> Split:
    """The same images and labels, corrupted batch by batch as they are asked for."""
    source = _Corrupted(split, corruption, severity)
    return replace(split, images=None, source=source, rows=torch.arange(split.num_images).numpy())
