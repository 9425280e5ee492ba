"""Groups of runs that answer one question: their members, the figures of each setting, and how settings compare.

A group is what its runs say of themselves in `meta.json`. Members that differ in nothing but the seed are one cell, and
cells are compared pair by pair of equal seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

from simclr.files.safe_read import finite_number
from simclr.results import convergence
from simclr.results.arms import ARMS
from simclr.results.convergence import Clock, Convergence
from simclr.results.index import LabelShare, Summary
from simclr.results.statistics import Difference, Spread, holm, paired, spread
from simclr.runs import Run, Tested, metrics_csv

Find = Callable[[str], Run | None]  # a run by its id
ACTIVE = ("running", "starting", "stopping")


class Measure(NamedTuple):
    """A figure by which settings are compared.

    Attributes:
        key: its name in addresses.
        label: what it is, in words that no other figure has.
        source: a column of `metrics.csv`, or for test images an attribute of `Summary`, which holds them already.
        is_test: whether it was measured on test images.
        of: kinds of runs that have it.
    """

    key: str
    label: str
    source: str
    is_test: bool
    of: tuple[str, ...]

    @property
    def title(self) -> str:
        """The label as it begins a sentence."""
        return self.label if self.label.startswith("kNN") else f"{self.label[0].upper()}{self.label[1:]}"


SUPERVISED = ("finetune", "scratch")
MEASURES = (
    Measure("val_knn", "kNN accuracy on validation images", "val/knn_top1", False, ("pretrain",)),
    Measure("val_top1", "accuracy on validation images", "val/top1", False, SUPERVISED),
    Measure("test_linear", "linear probe on test images", "test_linear", True, ("pretrain",)),
    Measure("test_knn", "kNN accuracy on test images", "test_knn", True, ("pretrain",)),
    Measure("test_top1", "accuracy on test images", "test_accuracy", True, SUPERVISED),
)


@dataclass(frozen=True)
class Group:
    """Runs of one group.

    Attributes:
        id, title: of the group, as its newest run says it.
        members: newest first.
        axes: what differs: axis to its labels, numbers rising, words in the order of the runs.
        seeds: in the order in which they came.
        arms, shares: of the supervised runs; a number of labels of each class before shares of all.
        baseline: of the axes in which supervised runs of one pre-training differ, the labels of those that the others
            are compared with.
        by_subset: whether its one seed is trained on several draws of the labelled images, which then are what repeats.
    """

    id: str
    title: str
    members: tuple[Summary, ...]
    axes: Mapping[str, tuple[str, ...]]
    seeds: tuple[Any, ...]
    arms: tuple[str, ...]
    shares: tuple[LabelShare, ...]
    by_subset: bool = False
    baseline: Mapping[str, str] = field(default_factory=dict)

    def count(self, *states: str) -> int:
        """How many members are in one of these states."""
        return sum(item.state in states for item in self.members)

    @property
    def unit(self) -> str:
        """What its figures vary over: `seed`, or `draw of the labels`."""
        return "draw of the labels" if self.by_subset else "seed"

    @property
    def is_active(self) -> bool:
        return any(item.is_active for item in self.members)

    @property
    def tests(self) -> list[Tested]:
        """The notes of its runs that were tested as a choice or beside it."""
        return [item.group.tested for item in self.members if item.group is not None and item.group.tested is not None]

    @property
    def is_choice(self) -> bool:
        """Whether settings are compared."""
        return math.prod(len(labels) for labels in self.axes.values()) > 1

    @property
    def has_variants(self) -> bool:
        """Whether it asks what options of supervised runs give beside those of the baseline."""
        return bool(self.baseline)


def groups(summaries: Iterable[Summary]) -> list[Group]:
    """All groups among some runs, that with the newest run first.

    Args:
        summaries: newest first.
    """
    found: dict[str, list[Summary]] = {}
    for item in summaries:
        if item.group is not None:
            found.setdefault(item.group.id, []).append(item)
    return [_group(members) for members in found.values()]


def find_group(group_id: str, summaries: Iterable[Summary]) -> Group | None:
    """One group by its id; None if no run is in it."""
    members = [item for item in summaries if item.group is not None and item.group.id == group_id]
    return _group(members) if members else None


def _group(members: Sequence[Summary]) -> Group:
    place = members[0].group
    assert place is not None
    settings = [item.group.setting for item in reversed(members) if item.group is not None]
    names = dict.fromkeys(name for setting in settings for name in setting)
    axes = {name: _ordered(dict.fromkeys(setting[name] for setting in settings if name in setting)) for name in names}
    return Group(
        id=place.id,
        title=place.title,
        members=tuple(members),
        axes=axes,
        seeds=tuple({repr(item.seed): item.seed for item in reversed(members)}.values()),
        arms=tuple(arm for arm in ARMS if any(item.arm == arm for item in members)),
        shares=tuple(sorted({share for item in members if (share := item.labels)}, key=lambda share: share.order)),
        baseline={axis: label for axis, label in place.baseline if len(axes.get(axis, ())) > 1},
        by_subset=len({repr(item.seed) for item in members}) == 1
        and len({item.subset_seed for item in members if item.arm is not None}) > 1,
    )


def _ordered(labels: Iterable[str]) -> tuple[str, ...]:
    """Numbers rising; words as they come."""
    found = tuple(labels)
    try:
        return tuple(sorted(found, key=float))
    except ValueError:
        return found


# --- figures ----------------------------------------------------------------------------------------------------------


def figure(item: Summary, measure: Measure, find: Find) -> float | None:
    """A run's figure, 0 to 1; None while it is not finished, or has none.

    Of a pre-training on validation images the last one counts, which is that of the weights it keeps; of a supervised
    run the best, whose weights it keeps.
    """
    if item.kind not in measure.of or item.state != "finished":
        return None
    if measure.is_test:
        return finite_number(getattr(item, measure.source))
    if (run := find(item.id)) is None:
        return None
    signature = metrics_csv.signature(run.metrics_path)
    return _validation(run.metrics_path, signature, measure.source, item.kind == "pretrain")


@lru_cache(maxsize=8000)
def _validation(path: Path, _signature: tuple[int, int] | None, column: str, last: bool) -> float | None:
    tail = metrics_csv.MetricsTail(path)
    tail.refresh()
    known = [value for value in tail.columns.get(column, []) if math.isfinite(value)]
    return (known[-1] if last else max(known)) if known else None


@dataclass(frozen=True)
class Cell:
    """Members that differ in nothing but the seed, and the draw of the labelled images.

    Attributes:
        setting: axis to label.
        arm, share: of supervised runs.
        runs: the newest of each seed and draw.
        values: figure by seed, of those that are finished and have it; of several draws with one seed their mean. By
            draw in a group that has one seed.
        spread: over the seeds, or draws.
        num_labels: used, where known.
    """

    setting: Mapping[str, str]
    arm: str | None
    share: LabelShare | None
    runs: tuple[Summary, ...]
    values: Mapping[str, float]
    spread: Spread | None
    num_labels: float | None = None

    def count(self, *states: str) -> int:
        return sum(item.state in states for item in self.runs)


Repeat = tuple[str, str]  # seed and draw of the labelled images


def repeat_of(item: Summary) -> Repeat:
    """What tells a run from the others of its cell; by this runs of two cells are paired."""
    return repr(item.seed), repr(item.subset_seed)


def cells(group: Group, measure: Measure, find: Find) -> list[Cell]:
    """The cells of a group that have, or will have, a figure, in the order of axes, label fractions and arms; where
    supervised runs of one pre-training differ, in that of label fractions, arms and axes."""
    found: dict[tuple[Any, ...], dict[Repeat, Summary]] = {}
    for item in group.members:
        if item.kind in measure.of and item.group is not None:
            place = (tuple(item.group.setting.get(axis) for axis in group.axes), item.labels, item.arm)
            found.setdefault(place, {}).setdefault(repeat_of(item), item)  # the newest

    def order(place: tuple[Any, ...]) -> tuple[Any, ...]:
        labels, share, arm = place
        where = [
            axis.index(label) if label in axis else -1 for axis, label in zip(group.axes.values(), labels, strict=True)
        ]
        trained = ((True, 0, 0.0) if share is None else share.order, ARMS.index(arm) if arm in ARMS else -1)
        return (*trained, *where) if group.has_variants else (*where, *trained)  # beside what they are compared with

    rows = []
    for place in sorted(found, key=order):
        labels, share, arm = place
        runs = tuple(sorted(found[place].values(), key=lambda item: (str(type(item.seed)), str(item.seed).zfill(12))))
        by_repeat: dict[str, list[float]] = {}
        for item in runs:
            if (value := figure(item, measure, find)) is not None:
                by_repeat.setdefault(repeat_of(item)[group.by_subset], []).append(value)
        values = {name: sum(each) / len(each) for name, each in by_repeat.items()}
        counts = [item.num_labels for item in runs if item.num_labels]
        num_labels = sum(counts) / len(counts) if counts else None
        setting = {axis: label for axis, label in zip(group.axes, labels, strict=True) if label is not None}
        rows.append(Cell(setting, arm, share, runs, values, spread(values.values()), num_labels))
    return rows


def measures_of(group: Group, find: Find) -> list[Measure]:
    """The measures that a group has figures of; where there are none yet, those that it will have while training."""
    kinds = {item.kind for item in group.members}
    possible = [measure for measure in MEASURES if kinds & set(measure.of)]
    if group.has_variants:
        possible.sort(key=lambda measure: measure.of != SUPERVISED)
    if group.arms and not group.is_choice:  # it asks what the arms are worth, and they are tested
        possible.sort(key=lambda measure: (measure.of != SUPERVISED, not measure.is_test))
    if group.is_choice and group.tests:
        possible.sort(key=lambda measure: not measure.is_test)  # what the choice is worth
    known = [each for each in possible if any(figure(item, each, find) is not None for item in group.members)]
    return known or [measure for measure in possible if not measure.is_test]


def curves_of(group: Group, find: Find) -> list[Summary]:
    """The runs whose curves a group's question is about, in the order in which they start."""
    kinds = measures_of(group, find)[0].of
    return [item for item in reversed(group.members) if item.kind in kinds]


def two_encoders(group: Group, find: Find) -> tuple[Summary, Summary] | None:
    """Two finished runs of one seed whose maps show a group's answer: of the best, and of what it is set against.

    Of a group of seeds two seeds. None while there are no two.
    """
    measure = measures_of(group, find)[0]
    found = [cell for cell in cells(group, measure, find) if cell.spread is not None]
    if asks_for_arms(group) and measure.of == SUPERVISED:
        fewest = next((cell.share for cell in found if cell.arm == "scratch"), None)
        same = [cell for cell in found if cell.share == fewest]
        first, second = (best([cell for cell in same if (cell.arm == "scratch") is is_it]) for is_it in (False, True))
    else:
        choice = tested_choice(found)
        first = choice.chosen if choice is not None else best(found)
        second = choice.baseline if choice is not None else rival(group, found)
    if first is None:
        return None
    done = [item for item in first.runs if figure(item, measure, find) is not None]
    if second is None:
        return (done[0], done[1]) if len(done) > 1 else None
    others = {repeat_of(item): item for item in second.runs if figure(item, measure, find) is not None}
    both = ((item, others.get(repeat_of(item))) for item in done)
    return next(((ours, other) for ours, other in both if other is not None), None)


# --- comparison -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """A cell beside the best one, or another that it is set against.

    Attributes:
        cell: it.
        difference: it minus that, seed by seed; None of that itself, or where they share no seed.
        p: of the difference, corrected for the number of comparisons (Holm); None without an interval.
        reference: what it is set against; None of that itself, and where there is none.
    """

    cell: Cell
    difference: Difference | None
    p: float | None
    reference: Cell | None = None


def compare(found: Sequence[Cell], baseline: Cell | None = None) -> list[Compared]:
    """Cells beside a baseline, paired by seed; without one beside the best of those with the most seeds.

    Args:
        found: cells of one measure.
    """
    reference = baseline or best(found)
    if reference is None:
        return [Compared(cell, None, None) for cell in found]
    return _beside(found, [None if cell is reference else reference for cell in found])


def _beside(found: Sequence[Cell], references: Sequence[Cell | None]) -> list[Compared]:
    """Each cell beside its reference, with probabilities corrected for the number of comparisons."""
    differences = [
        None if other is None else paired(cell.values, other.values)
        for cell, other in zip(found, references, strict=True)
    ]
    corrected = holm([None if item is None else item.p for item in differences])
    return [Compared(*row) for row in zip(found, differences, corrected, references, strict=True)]


def convergence_in(compared: Sequence[Compared], find: Find) -> tuple[list[Convergence | None], Clock]:
    """How soon each cell comes to 90 % of the accuracy with which its reference ends, paired by seed.

    Args:
        compared: as `compared_in` gives them.
        find: gives a run by its id.

    Returns:
        For each of them, None where nothing is paired; a reference is paired with itself. And the clock of all.
    """
    own = [item.reference for item in compared if item.reference is not None]
    pairs = []
    for item in compared:
        reference = item.reference or (item.cell if any(item.cell is cell for cell in own) else None)
        pairs.append([] if reference is None else _pairs(item.cell, reference, find))
    clock = convergence.clock_of([pair for each in pairs for pair in each])
    return [convergence.over_seeds(each, clock) if each else None for each in pairs], clock


def _pairs(cell: Cell, reference: Cell, find: Find) -> list[convergence.Pair]:
    """The runs of both with equal seeds and labelled images."""
    others = {repeat_of(item): item for item in reference.runs}
    both = [(find(item.id), find(others[repeat_of(item)].id)) for item in cell.runs if repeat_of(item) in others]
    return [
        convergence.pair(convergence.training(ours), convergence.training(other))
        for ours, other in both
        if ours is not None and other is not None
    ]


def asks_which_arm(group: Group, measure: Measure) -> bool:
    """Whether settings are compared by supervised runs, of which one arm and share of the labels has to be chosen."""
    return group.is_choice and measure.of == SUPERVISED and bool(group.arms)


def asks_for_arms(group: Group) -> bool:
    """Whether a group has one setting and asks what ways of training are worth beside from scratch."""
    return not group.is_choice and "scratch" in group.arms and len(group.arms) > 1


def compared_in(group: Group, found: Sequence[Cell], measure: Measure) -> list[Compared]:
    """The cells of a group beside what they are set against: the best, the baseline of a choice that was tested, or
    from scratch on the same labels; supervised runs that differ beside the baseline with the same arm and labels."""
    if group.is_choice and measure.is_test:
        choice = tested_choice(found)
        return compare(found, choice.baseline if choice is not None else None)
    if group.has_variants and any(cell.arm is not None for cell in found):
        return _beside(found, [baseline_of(group, cell, found) for cell in found])
    if not asks_for_arms(group) or all(cell.arm is None for cell in found):
        return compare(found)
    scratch = {cell.share: cell for cell in found if cell.arm == "scratch"}
    return _beside(found, [None if cell.arm == "scratch" else scratch.get(cell.share) for cell in found])


def best(found: Sequence[Cell]) -> Cell | None:
    """The cell with the highest mean among those with the most seeds, since a single one may be luck."""
    most = max((len(cell.values) for cell in found), default=0)
    whole = [cell for cell in found if len(cell.values) == most and cell.spread is not None]
    return max(whole, key=lambda cell: cell.spread.mean if cell.spread else -1.0, default=None)


class Choice(NamedTuple):
    """The setting that was chosen by validation images and then tested, and what was tested beside it."""

    chosen: Cell
    baseline: Cell | None
    tested: Tested


def tested_choice(found: Sequence[Cell]) -> Choice | None:
    """The choice that was tested last; None where none was."""
    told = [
        (item.group.tested, cell)
        for cell in found
        for item in cell.runs
        if item.group is not None and item.group.tested is not None
    ]
    last = max((tested.time for tested, _ in told), default=None)
    by_role = {tested.role: (tested, cell) for tested, cell in told if tested.time == last}
    if "chosen" not in by_role:
        return None
    tested, cell = by_role["chosen"]
    return Choice(cell, by_role.get("baseline", (tested, None))[1], tested)


def first_of(group: Group, found: Sequence[Cell], measure: Measure) -> Cell | None:
    """What a group's answer is about: the best cell; of test figures that which was chosen before they were known."""
    if group.is_choice and measure.is_test:
        choice = tested_choice(found)
        return choice.chosen if choice is not None else None
    return best(found)


def num_images_of(first: Cell | None, measure: Measure, find: Find) -> int | None:
    """How many images the figure of a cell was measured on; None where it is not known."""
    run = find(first.runs[0].id) if first is not None else None
    if run is None:
        return None
    number = run.evaluation.get("num_test_images") if measure.is_test else run.meta.get("num_val_images")
    return number if type(number) is int and number > 0 else None


def shown_cells(group: Group, found: Sequence[Cell], measure: Measure) -> list[Cell]:
    """The cells that are compared: by test images those that were tested, since the others never are."""
    is_tested = group.is_choice and measure.is_test
    return [cell for cell in found if cell.spread is not None] if is_tested else list(found)


def runner_up(found: Sequence[Cell]) -> Cell | None:
    """The best of the others."""
    first = best(found)
    return best([cell for cell in found if cell is not first]) if first is not None else None


def baseline_of(group: Group, cell: Cell, found: Sequence[Cell]) -> Cell | None:
    """The cell with the same pre-training, arm and labels, and the options that others are compared with; None of
    that itself, and where there is none."""
    setting = {**cell.setting, **group.baseline}
    same = (each for each in found if (each.arm, each.share) == (cell.arm, cell.share) and each.setting == setting)
    return next((each for each in same if each is not cell), None)


def rival(group: Group, found: Sequence[Cell]) -> Cell | None:
    """What the best is set against: where supervised runs differ the baseline; else, or if that is it, the next."""
    first = best(found)
    own = baseline_of(group, first, found) if first is not None and group.has_variants else None
    return own if own is not None and own.spread is not None else runner_up(found)


def trained_alike(found: Sequence[Cell]) -> list[list[Cell]]:
    """Cells by arm and share of the labels, in their order."""
    families: dict[tuple[str | None, LabelShare | None], list[Cell]] = {}
    for cell in found:
        families.setdefault((cell.arm, cell.share), []).append(cell)
    return list(families.values())


LabelKind = Literal["share", "per class", "number"]


def label_kind(found: Iterable[Cell]) -> LabelKind:
    """By what cells with unlike labels are set along one axis: what they were asked for, or where some were asked for a
    share and others for a number of each class, the number of labels used."""
    kinds = {bool(cell.share.per_class) for cell in found if cell.share is not None}
    return "number" if len(kinds) > 1 else "per class" if True in kinds else "share"


def label_amount(cell: Cell, kind: LabelKind) -> float | None:
    """How many labels a cell uses: as a share, of each class, or in all; None where that is not known."""
    if kind == "number":
        return cell.num_labels
    return None if cell.share is None else cell.share.amount


class Worth(NamedTuple):
    """What pre-training is worth in labels.

    Attributes:
        accuracy: that both reach.
        amount, scratch_amount: of labels that each takes for it, as `label_amount` has them; the second read between
            two cells.
        ratio: the second divided by the first.
    """

    accuracy: float
    amount: float
    scratch_amount: float
    ratio: float


def worth_in_labels(found: Sequence[Cell], arm: str) -> Worth | None:
    """With how many times the labels from scratch is as good as a pre-trained arm.

    Read where the arm's mean first lies among those of from scratch, between whose shares of the labels the accuracy is
    taken to rise evenly with their logarithm.

    Args:
        found: cells of one setting.
        arm: `frozen` or `full`.

    Returns:
        None where no accuracy of the arm lies within those of from scratch.
    """
    kind = label_kind(found)
    curves = {
        name: sorted(
            (amount, cell.spread.mean)
            for cell in found
            if cell.arm == name and cell.spread and (amount := label_amount(cell, kind))
        )
        for name in (arm, "scratch")
    }
    for own, accuracy in curves[arm]:
        for (low, below), (high, above) in pairwise(curves["scratch"]):
            if below <= accuracy <= above and below < above:
                share = (accuracy - below) / (above - below)
                reached = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
                return Worth(accuracy, own, reached, reached / own)
    return None
