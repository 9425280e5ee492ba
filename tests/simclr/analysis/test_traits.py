"""What a group shares: the tests behind the words, and what is asked for at all."""

import numpy as np
import pytest
from scipy import stats

from simclr.analysis import traits
from simclr.views import appearance


@pytest.mark.parametrize(("least", "count", "marked", "drawn"), [(3, 40, 10, 8), (0, 40, 10, 8), (8, 1000, 200, 19)])
def test_the_tail_of_the_hypergeometric_distribution_is_scipy_s(least, count, marked, drawn):
    expected = stats.hypergeom.sf(least - 1, count, marked, drawn)
    assert traits.hypergeometric_tail(least, count, marked, drawn) == pytest.approx(expected)


def test_random_sets_hold_no_row_twice_and_every_row_alike():
    sets = traits.random_sets(50, 10, np.random.default_rng(0))
    assert sets.shape == (traits.NUM_DRAWS, 10)
    assert all(len(set(row)) == 10 for row in sets[:200].tolist())
    counts = np.bincount(sets.ravel(), minlength=50)
    assert np.abs(counts / counts.mean() - 1).max() < 0.06


def test_words_are_counted_and_empty_ones_say_nothing():
    generator = np.random.default_rng(0)
    told = {
        "class": np.array(["ship"] * 20 + ["deer"] * 80),
        "border": np.array(["bluish"] * 15 + [""] * 85),
        "edges": np.array([""] * 100),
    }
    ((ships, border),) = traits.shared_by([np.arange(20)], told, np.arange(100), generator)
    assert (ships.name, ships.text) == ("class", "all are “ship”") and ships.p < 1e-9
    assert (border.name, border.text) == ("border", "15 of 20 have a bluish border") and border.p < 0.01
    mixed = told | {"class": np.array(["a", "b"] * 50)}
    assert traits.shared_by([np.arange(40, 60)], mixed, np.arange(100), generator) == [()]


def test_of_a_large_group_a_word_of_few_is_no_claim_however_rare_it_is():
    told = np.array((["truck"] * 38 + ["ship", "deer", "frog", "dog"] * 16)[:100] + ["cat"] * 900)
    assert traits._shared_word("class", told[:100], told) == ("", 1.0)
    text, p = traits._shared_word("class", told[:90], told)
    assert text == "38 of 90 are “truck”" and p < 1e-9


@pytest.mark.parametrize("name", ["class", "lightness", "contrast", "middle", "border", "edges", "material"])
def test_each_word_makes_a_sentence(name):
    text, _ = traits._shared_word(name, np.array(["low"] * 3), np.array(["low"] * 3 + ["high"] * 9))
    expected = {
        "class": "all are “low”",
        "lightness": "all are low",
        "contrast": "all have low contrast",
        "middle": "all are low in the middle",
        "border": "all have a low border",
        "edges": "all have mostly low edges",
        "material": "all have material low",
    }
    assert text == expected[name]


def test_measured_words_are_asked_for_where_nothing_is_recorded_and_lightness_always():
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8), dtype=np.uint8)
    measured, labels = appearance.measure(images), np.arange(12) % 2
    told = traits.what_is_told(labels, ("a", "b"), {}, measured)
    assert list(told) == ["class", "lightness", "contrast", "middle", "border", "edges"]
    recorded = traits.what_is_told(labels, ("a", "b"), {"hue": np.zeros(12)}, measured)
    assert list(recorded) == ["class", "hue", "lightness"]
    repeats = {"shape": np.array(["a", "b"])[labels]}
    assert list(traits.what_is_told(labels, ("a", "b"), repeats, measured))[1:] == list(told)[1:]
    assert traits.what_is_told(None, (), None, None) == {}
