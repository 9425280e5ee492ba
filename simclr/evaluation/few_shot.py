"""Few labels: accuracy with k labelled images of each class, over many draws of them (no torch).

The features are those of a frozen encoder. Each row is scaled to length 1, then judged in two ways:

    mean      the class whose mean feature is nearest (Snell et al. 2017; with rows of length 1: Wang et al. 2019,
              SimpleShot)
    logistic  multinomial logistic regression, scikit-learn's with C = 1 (Tian et al. 2020, Rethinking Few-Shot)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.config import ConfigError
from simclr.results.statistics import difference

SHOTS = (1, 5, 10)  # labelled images of each class
NUM_TASKS = 100
TASK_SEED = 0  # of the draws: the same for every encoder, which are then compared on the same images
CLASSIFIERS = ("mean", "logistic")
C, MAX_ITERATIONS = 1.0, 1000  # of the logistic regression

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class FewShot:
    """Accuracies with `shots` labelled images of each class, by one classifier.

    Attributes:
        shots: labelled images drawn of each class; all of a class that has fewer.
        classifier: one of `CLASSIFIERS`.
        accuracies: 0..1, one for each draw; a single one where every draw would be the same, since no class has more.
        num_smaller: classes that have fewer labelled images than `shots`.
    """

    shots: int
    classifier: str
    accuracies: tuple[float, ...]
    num_smaller: int

    @property
    def name(self) -> str:
        """Of the figure in `evaluation.json`."""
        return figure_name(self.shots, self.classifier)

    @property
    def numbers(self) -> dict[str, Any]:
        """Mean, sample standard deviation, number of draws and the ends of the mean's 95 % interval (Student's t)."""
        found = difference(self.accuracies)
        assert found is not None
        ends = {"low": found.low, "high": found.high}
        return {"mean": found.mean, "deviation": found.deviation, "num_tasks": found.num, **ends}


def figure_name(shots: int, classifier: str) -> str:
    """Of the figure in `evaluation.json`: `test/fewshot_5_mean_top1`."""
    return f"test/fewshot_{shots}_{classifier}_top1"


def figure_names() -> list[str]:
    """All of them, with few labelled images first."""
    return [figure_name(shots, classifier) for shots in SHOTS for classifier in CLASSIFIERS]


def few_shot(
    bank: Features,
    bank_labels: Labels,
    bank_ids: Labels,
    queries: Features,
    query_labels: Labels,
    *,
    shots: Sequence[int] = SHOTS,
    num_tasks: int = NUM_TASKS,
    seed: int = TASK_SEED,
    on_task: Callable[[float], None] | None = None,
) -> list[FewShot]:
    """Accuracies on the queries with few labelled images of the bank.

    The images of a draw with k are among those of the same draw with more.

    Args:
        bank, bank_labels, bank_ids: (M, D), (M,) and (M,) of the labelled images. Ids decide what is drawn, so that two
            banks that share images draw the same ones as far as they have them.
        queries, query_labels: (Q, D) and (Q,) of the test images.
        shots: numbers of labelled images of each class, each at least 1.
        num_tasks: draws, at least 1.
        seed: of the draws.
        on_task: called with the share of the draws done, 0..1; may raise to end the work.

    Returns:
        For each of `shots` one of each of `CLASSIFIERS`, in this order.

    Raises:
        ValueError: if there is no row, `shots` or `num_tasks` is out of range.
        ConfigError: if fewer than two classes have a labelled image.
    """
    if not len(bank) or not len(queries):
        raise ValueError(f"the bank has {len(bank)} rows, and there are {len(queries)} queries; allowed: at least 1")
    if num_tasks < 1 or not shots or min(shots) < 1:
        raise ValueError(f"num_tasks is {num_tasks} and shots is {tuple(shots)}; allowed: at least 1")
    counts = np.unique(bank_labels, return_counts=True)[1]
    if len(counts) < 2:
        raise ConfigError("protocol is fewshot, and the labelled images are of one class; allowed: at least two.")
    bank, queries = unit_rows(bank), unit_rows(queries)
    found: dict[tuple[int, str], list[float]] = {(k, name): [] for k in shots for name in CLASSIFIERS}
    # where no class has more images than are drawn, every draw is the same
    needed = {k: num_tasks if counts.max() > k else 1 for k in shots}
    most = max(needed.values())
    for task, (order, ranks) in enumerate(draws(bank_labels, bank_ids, most, seed)):
        for k in shots:
            if task >= needed[k]:
                continue
            chosen = order[ranks < k]
            for name, predict in (("mean", nearest_mean), ("logistic", logistic)):
                predicted = predict(bank[chosen], bank_labels[chosen], queries)
                found[k, name].append(float((predicted == query_labels).mean()))
        if on_task is not None:
            on_task((task + 1) / most)
    return [FewShot(k, name, tuple(values), int((counts < k).sum())) for (k, name), values in found.items()]


def draws(labels: Labels, ids: Labels, num_tasks: int, seed: int) -> Iterator[tuple[Labels, Labels]]:
    """For each task the positions of the images, in random order within each class, and their ranks in it, from 0.

    Args:
        labels, ids: (M,) of the images.

    Returns:
        Pairs of (M,) and (M,): the images with a rank below k are k of each class.
    """
    from simclr.data.sampling import TASK_STREAM  # loads torch

    size = int(ids.max()) + 1
    for task in range(num_tasks):
        drawn = np.random.default_rng([TASK_STREAM, seed, task]).random(size)[ids]
        order = np.lexsort((drawn, labels))
        _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
        yield order, np.arange(len(order)) - np.repeat(starts, counts)


def unit_rows(features: Features) -> Features:
    """(N, D) rows of length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    return (features / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def nearest_mean(support: Features, labels: Labels, queries: Features) -> Labels:
    """(Q,) the class whose mean of the support (n, D) with its labels (n,) is nearest to each query (Q, D).

    Distances are Euclidean; of equally near classes the first is taken.
    """
    classes, place = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(classes), support.shape[1]))
    np.add.at(sums, place, support)
    means = (sums / np.bincount(place)[:, None]).astype(np.float32)
    # |q - m|^2 without |q|^2, which all classes share
    return np.asarray(classes[(np.square(means).sum(axis=1) - 2 * queries @ means.T).argmin(axis=1)], dtype=np.int64)


def logistic(support: Features, labels: Labels, queries: Features) -> Labels:
    """(Q,) the class that a logistic regression fitted on the support gives each query; the sizes of `nearest_mean`."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=C, max_iter=MAX_ITERATIONS).fit(support, labels)
    return np.asarray(fitted.predict(queries), dtype=np.int64)
