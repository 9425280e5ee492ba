"""Intervals and corrections, against scipy, closed forms, and experiments whose truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from simclr.results import statistics


def test_spread_counts_what_is_there():
    assert statistics.spread([None, None]) is None
    assert statistics.spread([0.5, None]) == statistics.Spread(0.5)
    found = statistics.spread([1.0, 2.0, None, 6.0])
    assert (found.mean, found.num) == (3.0, 3)
    assert found.deviation == pytest.approx(math.sqrt(7))


@pytest.mark.parametrize("num", [3, 5, 10])
def test_the_paired_interval_is_scipys(num):
    random = np.random.default_rng(num)
    one, other = random.normal(0.8, 0.02, num), random.normal(0.78, 0.02, num)
    found = statistics.paired(dict(enumerate(one)), dict(enumerate(other)))
    expected = stats.ttest_rel(one, other)
    interval = expected.confidence_interval(0.95)
    assert (found.mean, found.num) == (pytest.approx(np.mean(one - other)), num)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, expected.pvalue))


def test_three_pairs_by_hand():
    """The quantile of Student's t with 2 degrees of freedom has a closed form: 2 (p - 1/2) sqrt(2 / (4 p (1 - p)))."""
    found = statistics.difference([0.01, 0.02, 0.03])
    t = 2 * (0.975 - 0.5) * math.sqrt(2 / (4 * 0.975 * 0.025))
    assert t == pytest.approx(4.302653, abs=1e-6)
    assert found.high - found.mean == pytest.approx(t * 0.01 / math.sqrt(3))
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


@pytest.mark.parametrize("num", [3, 5, 10])
def test_the_interval_holds_the_truth_in_95_of_100_experiments(num):
    """2,000 experiments of each size: the seed moves both arms alike by 3 points, and each by 1 of its own."""
    random = np.random.default_rng(2026)
    truth, covered = 0.02, 0
    for _ in range(2000):
        seeds = random.normal(0, 0.03, num)
        base = {seed: 0.5 + shift + random.normal(0, 0.01) for seed, shift in enumerate(seeds)}
        better = {seed: 0.5 + truth + shift + random.normal(0, 0.01) for seed, shift in enumerate(seeds)}
        found = statistics.paired(better, base)
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / 2000 <= 0.97


def test_pairs_are_those_that_both_have():
    found = statistics.paired({0: 0.9, 1: 0.8, 2: 0.7, 7: 0.1}, {0: 0.5, 1: 0.5, 2: 0.5, 8: 1.0})
    assert (found.num, found.mean) == (3, pytest.approx(0.3))
    assert statistics.paired({0: 0.9}, {1: 0.9}) is None


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.3]])
def test_fewer_than_three_have_no_interval(values):
    found = statistics.difference(values)
    assert (found.low, found.high, found.p) == (None, None, None)
    assert (found.deviation is None) == (len(values) == 1)


def test_equal_differences():
    found = statistics.difference([0.25, 0.25, 0.25])
    assert (found.low, found.high, found.p) == (0.25, 0.25, 0.0)
    assert statistics.difference([0.0, 0.0, 0.0]).p == 1.0
    assert statistics.difference([]) is None


def test_holm_by_hand():
    """The example of the step-down rule: 0.01, 0.04, 0.03, 0.005 times 4, 3, 2, 1 in their order, never falling."""
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.6, None, 0.7]) == [1.0, None, 1.0]
    assert statistics.holm([]) == []


def test_holm_keeps_false_claims_of_a_family_to_one_in_twenty():
    """1,000 families of five comparisons where nothing differs; without the correction one in four or five claims."""
    random = np.random.default_rng(1)
    claims = plain = 0
    for _ in range(1000):
        p = [statistics.difference(list(random.normal(0, 1, 5))).p for _ in range(5)]
        claims += min(statistics.holm(p)) < 0.05
        plain += min(p) < 0.05
    assert claims / 1000 <= 0.07
    assert plain / 1000 >= 0.18


@pytest.mark.parametrize(("accuracy", "num"), [(0.0, 20), (0.5, 10), (0.8785, 2000), (1.0, 410)])
def test_the_interval_of_test_images_is_scipys(accuracy, num):
    right = round(accuracy * num)
    expected = stats.binomtest(right, num).proportion_ci(0.95, method="wilson")
    assert statistics.image_interval(right / num, num) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("accuracy", "num"), [(-0.1, 10), (1.1, 10), (0.5, 0), (float("nan"), 10)])
def test_accuracies_out_of_range_are_refused(accuracy, num):
    with pytest.raises(ValueError, match="allowed: 0 to 1"):
        statistics.image_interval(accuracy, num)
