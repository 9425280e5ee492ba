"""The seeds of a comparison: pre-trainings that differ in nothing else, and which supervised runs belong together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simclr.curves.curve_sources import asked_options, same_but_seed
from simclr.results import arms
from simclr.results.arms import ARMS
from simclr.results.index import Summary
from simclr.runs import CONFIG, Run

ArmRuns = Mapping[tuple[float, str], Summary]  # by label fraction and arm
Find = Callable[[str], Run | None]  # a run by its id


@dataclass(frozen=True)
class Trial:
    """One seed: a pre-training, and the supervised runs that share a seed, and so split and labels, among them."""

    pretraining: Summary
    seed: Any
    runs: ArmRuns


def comparable(run_id: str, summaries: Sequence[Summary]) -> list[Summary]:
    """The partners of a pre-training that were trained on its data; accuracies on other data say nothing beside it.

    Of those of a sweep that differ in their own options, the ones that the others are compared with stand for all.
    """
    own = next((item for item in summaries if item.id == run_id), None)
    found = (item for item in arms.partners_of(run_id, summaries) if own is not None and item.dataset == own.dataset)
    return [item for item in found if item.group is None or not item.group.is_variant]


def is_tested(pretraining: Summary) -> bool:
    """Whether it has test figures of its own."""
    return pretraining.test_knn is not None or pretraining.test_linear is not None


def label_fractions(partners: Sequence[Summary]) -> list[float]:
    """The shares of labels that were used, rising."""
    return sorted({item.label_fraction for item in partners if item.label_fraction is not None})


def arm_runs(partners: Sequence[Summary]) -> dict[tuple[float, str], Summary]:
    """The run that stands for each label fraction and arm: the newest that has a result, else the newest.

    Args:
        partners: supervised runs of one pre-training and seed, newest first.
    """
    found: dict[tuple[float, str], Summary] = {}
    for fraction in label_fractions(partners):
        for arm in ARMS:
            same = [item for item in partners if item.arm == arm and item.label_fraction == fraction]
            if same:
                found[fraction, arm] = next((item for item in same if item.test_accuracy is not None), same[0])
    return found


def siblings(own: Summary, summaries: Sequence[Summary], find: Find) -> list[Summary]:
    """Other pre-trainings that differ from this one in nothing but the seed, one of each seed, newest first.

    Of several with one seed the newest that anything was trained on stands for it.
    """
    mark = _mark(own.id, find)
    alike = [
        item
        for item in summaries
        if item.id != own.id
        and (item.kind, item.dataset, item.backbone) == (own.kind, own.dataset, own.backbone)
        and mark
        and _mark(item.id, find) == mark
    ]
    alike.sort(key=lambda item: not comparable(item.id, summaries))  # stable: the newest first among those
    found: dict[str, Summary] = {}
    for item in alike:
        if repr(item.seed) != repr(own.seed):
            found.setdefault(repr(item.seed), item)
    return list(found.values())


def _mark(run_id: str, find: Find) -> str:
    run = find(run_id)
    return "" if run is None else same_but_seed(run.kind, asked_options(run.path / CONFIG))


def trials(own: Summary, others: Sequence[Summary], summaries: Sequence[Summary]) -> list[Trial]:
    """The seeds of a pre-training and its siblings, its own first; at least one for it, if only an empty one, and one
    for a sibling that has test figures alone."""
    found = []
    for pretraining in (own, *others):
        partners = comparable(pretraining.id, summaries)
        seeds = {repr(item.seed): item.seed for item in partners}
        ordered = sorted(seeds, key=lambda text: (text != repr(pretraining.seed), text))
        found += [
            Trial(pretraining, seeds[text], arm_runs([item for item in partners if repr(item.seed) == text]))
            for text in ordered
        ]
        if not seeds and (pretraining is own or is_tested(pretraining)):
            found.append(Trial(pretraining, pretraining.seed, {}))
    return found
