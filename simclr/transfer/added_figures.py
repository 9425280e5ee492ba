"""What embeddings that were added are worth on the data set whose images they are of (torch is loaded to measure).

RUNS/.embeddings/NAME/evaluations/NAME-KEY.json    figures, as of runs; another set under the same name has another key
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simclr.added.sets import AddedSet
from simclr.config import DATASETS, ConfigError
from simclr.evaluation import kept
from simclr.files.user_paths import user_path
from simclr.runs.status import Report, no_report


def is_of(added: AddedSet, dataset: str) -> bool:
    """Whether a set is of the images of a data set, given by name or as a folder."""
    return dataset == added.dataset or (dataset not in DATASETS and str(user_path(dataset).resolve()) == added.dataset)


def why_not(added: AddedSet, dataset: str) -> str:
    """Why a set has no figures on a data set, in one sentence; empty where it can have some.

    The features of other images are not known, since the encoder is not here. Where only some images of a list have a
    row, an accuracy on these would stand beside accuracies on all.
    """
    lacking = [
        f"{number - having:,} of {number:,} {name}"
        for name, (number, having) in added.num_images.items()
        if having < number
    ]
    if lacking:
        return (
            f"{added.name} has no features of {' and '.join(lacking)} images; kNN, linear probe and few labels need "
            "those of all training and test images."
        )
    if not is_of(added, dataset):
        return f"{added.name} has features of images of {added.dataset} alone, and came without an encoder for others."
    return ""


def others(added: AddedSet) -> list[dict[str, Any]]:
    """What is kept of a set as it is now, as `kept.others` gives it of a run."""
    return kept.in_folder(added.folder, lambda values: path_of(added, values))


def path_of(added: AddedSet, found: dict[str, Any]) -> Path:
    """Where figures of a set as it is now are kept. found: with `dataset` and `fingerprint`."""
    return kept.path_for(added.folder, found, f"added {added.digest}")


def measure(added: AddedSet, protocols: Sequence[str], report: Report = no_report) -> dict[str, Any]:
    """Judges a set by `knn`, `linear` or `fewshot` and keeps the figures that it lacks.

    The images are cut as a pre-training with the usual options and seed 0 cuts them: a tenth of the training images
    validates where there are no others, a fifth of the images tests where there is no list of test images.

    Returns:
        The figures under the keys of `evaluation.json`, with `dataset` and `fingerprint`.

    Raises:
        ConfigError: if it cannot have any (see `why_not`), its images have changed, or they have no classes.
    """
    import torch

    from simclr.data import identity, loading
    from simclr.evaluation import protocols as judging

    if reason := why_not(added, added.dataset):
        raise ConfigError(reason)
    added.check_images()
    data = loading.load_data(added.dataset, memory_limit=0, progress=report)
    if data.probe is None or data.test is None or data.test.labels is None:
        raise ConfigError(
            f"dataset is {added.dataset}, which has no labelled test images; allowed: a data set with some."
        )
    features, labels = {}, {}
    for name, split_name, split in (
        ("training", "train", data.probe),
        ("validation", "val", data.val),
        ("test", "test", data.test),
    ):
        if split is None or split.labels is None:
            continue
        features[name] = torch.from_numpy(added.features_of(split_name, split.ids.numpy()))
        labels[name] = split.labels
    found = judging.figures_of_features(None, features, labels, data, data.probe, report, protocols)
    found |= {"dataset": added.dataset, "fingerprint": identity.fingerprint(data)}
    kept.add_other_figures(path_of(added, found), found)
    return found
