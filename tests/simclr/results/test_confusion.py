"""What was taken for what: the whole of few classes, of many those that are confused most."""

import math

import numpy as np
import pytest

from simclr.results import confusion


def test_few_classes_are_shown_whole():
    found = confusion.readable(["a", "b"], [[3, 1], [0, 0]])
    assert (found.rows, found.columns, found.num_classes) == (["a", "b"], ["a", "b"], 2)
    assert found.shares.tolist() == [[0.75, 0.25], [0, 0]]  # a class without images
    most = [f"class {number}" for number in range(confusion.MOST_CLASSES)]
    assert confusion.readable(most, np.eye(len(most)).tolist()).columns == most


def test_of_many_the_most_confused_are_shown_and_rows_stay_whole():
    counts = np.eye(100) * 90
    for row, column, number in ((7, 40, 9), (40, 7, 3), (2, 99, 8), (50, 51, 7), (51, 60, 6), (1, 3, 5)):
        counts[row, column] = number
    found = confusion.readable([f"c{number}" for number in range(100)], counts.tolist())
    assert len(found.rows) == confusion.FEWER_CLASSES
    assert {"c7", "c40", "c2", "c99", "c50", "c51", "c60", "c1", "c3"} <= set(found.rows)
    assert found.rows == sorted(found.rows, key=lambda name: int(name[1:]))
    assert found.columns == [*found.rows, "all others"]
    assert found.shares.sum(axis=1) == pytest.approx(1)
    assert found.counts.sum() == counts[[int(name[1:]) for name in found.rows]].sum()
    assert confusion.most_confused(counts.astype(int), 4) == [2, 7, 40, 99]


@pytest.mark.parametrize(
    "counts",
    [
        [],
        [[1, 2]],
        [[1], [2]],
        [["x", 1], [1, 1]],
        [[1, -1], [0, 1]],
        [[math.nan, 1], [1, 1]],
        [[1e19, 1], [1, 1]],
        None,
        "no",
        3,
    ],
)
def test_what_is_no_matrix_is_none(counts):
    assert confusion.readable(["a", "b"], counts) is None
