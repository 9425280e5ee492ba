"""What was found of copies of training images among the test images, in sentences."""

from __future__ import annotations

from simclr.evaluation.leaks import record
from simclr.evaluation.leaks.record import Leaks
from simclr.report.subjects import Subject


def sentences(subject: Subject) -> list[str]:
    """One sentence about the runs of a subject that were looked through; none where no run was.

    Of a pre-training with what was trained on it, it is that of the pre-training: all have the same test images.
    """
    items = subject.summaries if subject.group is not None else subject.summaries[:1]
    runs = [run for item in items if (run := subject.find(item.id)) is not None]
    found = [leaks for run in runs if (leaks := record.read(run)) is not None]
    if not found:
        return []
    if len(runs) == 1:
        return [record.sentence(found[0])]
    return [_of_many(found, len(runs))]


def _of_many(found: list[Leaks], num_runs: int) -> str:
    shares = sorted(each.num_copies / each.num_test for each in found)
    checked = f"In {len(found):,} of {num_runs:,} runs the test images were compared with the training images"
    if not shares[-1]:
        return f"{checked}, and no copies were found."
    between = record.percent(shares[0]) if shares[0] else "0 %"
    between = between if shares[0] == shares[-1] else f"{between} to {record.percent(shares[-1])}"
    return f"{checked}: by their features {between} of them are copies, or nearly."
