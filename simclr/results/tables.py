"""What pre-trained encoders reach beside training from scratch, and how soon: the table of results and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simclr.files.safe_read import finite_number
from simclr.results import convergence
from simclr.results.arms import ARMS
from simclr.results.convergence import Clock, Convergence, Pair
from simclr.results.index import Summary
from simclr.results.statistics import Difference, Spread, difference, holm, spread
from simclr.results.trials import Find, Trial, comparable, siblings, trials

PROTOCOLS = ("knn", "linear", *ARMS)  # in the order of the rows: the more is trained, the lower
LOSSES = {"knn": None, "linear": "test/linear_loss"}


@dataclass(frozen=True)
class ResultRow:
    """What was reached with one share of the labels in one way. Accuracies are fractions 0..1 on the test images.

    protocol: one of `PROTOCOLS`. runs: those it was measured with, of the pre-training itself first. gain: accuracy
    minus that of from scratch, paired by seed and labels; None where no seed has such a run. p: of the gain, corrected
    for the number of rows that have one (Holm); None of fewer than three seeds. reached: how soon it had 90 % of from
    scratch's final accuracy; None for what is not trained by steps. is_best: the highest of at least two with this
    share of labels. is_last: the last row with this share.
    """

    fraction: float
    protocol: str
    runs: tuple[Summary, ...]
    accuracy: Spread | None
    gain: Difference | None
    p: float | None
    loss: Spread | None
    num_labels: float | None
    reached: Convergence | None
    is_best: bool
    is_last: bool


@dataclass(frozen=True)
class Verdict:
    """What the encoder was worth at one share of labels: the better way to use it, beside from scratch.

    arm: that way, `frozen` or `full`. pretrained, scratch: test accuracies 0..1 of the same seeds. gain: the
    differences, seed by seed. p: of the gain, as of its row. reached: how soon it was at 90 % of from scratch's final
    accuracy.
    """

    fraction: float
    arm: str
    pretrained: Spread
    scratch: Spread
    gain: Difference
    p: float | None
    reached: Convergence | None


@dataclass(frozen=True)
class Results:
    """The table of a pre-training. clock: what its seconds are, of the processor or of training."""

    trials: tuple[Trial, ...]
    rows: tuple[ResultRow, ...]
    verdicts: tuple[Verdict, ...]
    clock: Clock
    evaluations: Mapping[str, Mapping[str, Any]]

    @property
    def seeds(self) -> list[Any]:
        return [trial.seed for trial in self.trials]


def to_begin_with(summaries: Sequence[Summary]) -> Summary | None:
    """The newest pre-training that has an answer: a result of its own and one from scratch on the same labels.

    Else the newest that anything was trained on, else the newest; None if there is none.
    """

    def rank(item: Summary) -> int:
        partners = comparable(item.id, summaries)
        tested = [item for item in partners if item.test_accuracy is not None]
        sides = {(item.label_fraction, repr(item.seed), item.arm == "scratch") for item in tested}
        has_answer = any((fraction, seed, not is_scratch) in sides for fraction, seed, is_scratch in sides)
        return 0 if has_answer else 1 if partners else 2

    return min((item for item in summaries if item.kind == "pretrain"), key=rank, default=None)


@dataclass(frozen=True)
class _Cell:
    """One seed's part of a row. scratch: the run from scratch with the same labels, and its accuracy."""

    run: Summary
    accuracy: float | None
    scratch: Summary | None


def results(own: Summary, summaries: Sequence[Summary], find: Find, *, all_seeds: bool = True) -> Results:
    """The table of a pre-training and of those that differ from it in nothing but the seed.

    Args:
        summaries: all runs, newest first.
        find: a run by its id.
        all_seeds: else those of this pre-training alone.
    """
    others = siblings(own, summaries, find) if all_seeds else []
    found = trials(own, others, summaries)
    involved = [own, *others, *(item for trial in found for item in trial.runs.values())]
    evaluations = {item.id: run.evaluation for item in involved if (run := find(item.id)) is not None}
    cells = _cells(found, evaluations)
    pairs = {place: _pairs(each, find) for place, each in cells.items() if place[1] in ARMS}
    clock = convergence.clock_of([item for each in pairs.values() for item in each])
    reached = {
        place: convergence.over_seeds(each, clock) for place, each in pairs.items() if each
    }  # none where no seed has a run from scratch
    rows = _rows(cells, evaluations, reached)
    return Results(tuple(found), tuple(rows), tuple(_verdicts(cells, rows)), clock, evaluations)


Cells = dict[tuple[float, str], list[_Cell]]


def _cells(found: Sequence[Trial], evaluations: Mapping[str, Mapping[str, Any]]) -> Cells:
    """The parts of each row, by share of labels and protocol, in the order of the rows."""
    cells: Cells = {}
    probed: set[str] = set()
    for trial in found:
        own = trial.pretraining
        reached = {place: (item, item.test_accuracy) for place, item in trial.runs.items()}
        if own.id not in probed:  # what the pre-training itself was tested for stands with those that use all labels
            probes = {"knn": own.test_knn, "linear": own.test_linear}
            reached |= {(1.0, name): (own, value) for name, value in probes.items() if value is not None}
            probed.add(own.id)
        for (fraction, name), (item, accuracy) in reached.items():
            scratch = trial.runs.get((fraction, "scratch"))
            if scratch is not None and not _same_labels(item, scratch, evaluations):
                scratch = None
            cells.setdefault((fraction, name), []).append(_Cell(item, accuracy, scratch))
    return dict(sorted(cells.items(), key=lambda pair: (pair[0][0], PROTOCOLS.index(pair[0][1]))))


def _same_labels(item: Summary, other: Summary, evaluations: Mapping[str, Mapping[str, Any]]) -> bool:
    counts = [evaluations.get(run.id, {}).get("num_labels") for run in (item, other)]
    return item.seed == other.seed and (None in counts or counts[0] == counts[1])


def _pairs(cells: Sequence[_Cell], find: Find) -> list[Pair]:
    """Each seed's training beside the one from scratch, for those that have one."""
    found = []
    for cell in cells:
        ours, scratch = find(cell.run.id), find(cell.scratch.id) if cell.scratch is not None else None
        if ours is not None and scratch is not None:
            found.append(convergence.pair(convergence.training(ours), convergence.training(scratch)))
    return found


def _gain(cell: _Cell) -> float | None:
    if cell.accuracy is None or cell.scratch is None or cell.scratch.test_accuracy is None:
        return None
    return cell.accuracy - cell.scratch.test_accuracy


def _gain_of(cells: Sequence[_Cell]) -> Difference | None:
    return difference([gain for cell in cells if (gain := _gain(cell)) is not None])


def _rows(
    cells: Cells, evaluations: Mapping[str, Mapping[str, Any]], reached: Mapping[tuple[float, str], Convergence]
) -> list[ResultRow]:
    accuracies = {place: spread(cell.accuracy for cell in each) for place, each in cells.items()}
    gains = {place: _gain_of(each) if place[1] != "scratch" else None for place, each in cells.items()}
    corrected = dict(zip(gains, holm([None if gain is None else gain.p for gain in gains.values()]), strict=True))
    found = []
    for (fraction, name), each in cells.items():
        group = {other: value for (share, other), value in accuracies.items() if share == fraction}
        means = [value.mean for value in group.values() if value is not None]
        loss, accuracy = LOSSES.get(name, "test/loss"), accuracies[fraction, name]
        own = [evaluations.get(cell.run.id, {}) for cell in each]
        counts = [finite_number(item.get("num_labels")) for item in own]
        found.append(
            ResultRow(
                fraction,
                name,
                tuple(cell.run for cell in each),
                accuracy,
                gain=gains[fraction, name],
                p=corrected[fraction, name],
                loss=spread(finite_number(item.get(loss)) for item in own) if loss else None,
                num_labels=next((count for count in counts if count is not None), None),
                reached=reached.get((fraction, name)),
                is_best=accuracy is not None and len(means) > 1 and accuracy.mean == max(means),
                is_last=name == max(group, key=PROTOCOLS.index),
            )
        )
    return found


def _verdicts(cells: Cells, rows: Sequence[ResultRow]) -> list[Verdict]:
    """Of each share of labels where both sides have a result with the same seed, from the smallest on."""
    found, by_place = [], {(row.fraction, row.protocol): row for row in rows}
    for fraction in sorted({share for share, _ in cells}):
        best: Verdict | None = None
        for arm in ("frozen", "full"):
            both = [
                (cell.accuracy, cell.scratch.test_accuracy)
                for cell in cells.get((fraction, arm), ())
                if cell.accuracy is not None and cell.scratch is not None and cell.scratch.test_accuracy is not None
            ]
            ours, scratch = spread(a for a, _ in both), spread(b for _, b in both)
            row = by_place.get((fraction, arm))
            if ours is None or scratch is None or row is None or row.gain is None:
                continue
            if best is None or ours.mean > best.pretrained.mean:
                best = Verdict(fraction, arm, ours, scratch, row.gain, row.p, row.reached)
        if best is not None:
            found.append(best)
    return found
