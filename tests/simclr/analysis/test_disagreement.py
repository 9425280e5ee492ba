"""Groups that one encoder holds together and the other scatters: found where they are, and claimed nowhere else."""

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.cluster import KMeans

from simclr.analysis import disagreement

NUM = 600
CLASSES = ("circle", "square", "star", "heart")


def world(seed=0):
    """Labels, hues and positions of images that have nothing to do with each other."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(CLASSES), NUM)
    factors = {
        "hue": generator.random(NUM),
        "position_y": generator.uniform(-1, 1, NUM),
        "shape": np.array(CLASSES)[labels],  # repeats the class
        "material": generator.choice(["wood", "stone"], NUM),
    }
    return labels, factors


def by_class(labels, noise=0.5, seed=1):
    """An encoder that sees classes."""
    generator = np.random.default_rng(seed)
    return (3 * np.eye(16)[labels] + noise * generator.normal(size=(NUM, 16))).astype(np.float32)


def by_hue(hue, noise=0.3, seed=2):
    """An encoder that sees colours."""
    generator = np.random.default_rng(seed)
    circle = np.stack([np.cos(2 * np.pi * hue), np.sin(2 * np.pi * hue)], axis=1) * 3
    return np.hstack([circle, noise * generator.normal(size=(NUM, 14))]).astype(np.float32)


def test_each_group_is_found_in_its_encoder_with_what_it_shares():
    labels, factors = world()
    cards = disagreement.find_cards((by_class(labels), by_hue(factors["hue"])), labels, CLASSES, factors)
    assert 4 <= len(cards) <= 10 and {card.together for card in cards} == {0, 1}
    for card in cards:
        names = {trait.name for trait in card.traits}
        assert "shape" not in names  # the class in other words
        if card.together == 0:
            assert "class" in names and "hue" not in names
            assert len(np.unique(labels[card.rows])) == 1
        else:
            assert "hue" in names and "class" not in names
            assert np.abs(np.exp(2j * np.pi * factors["hue"][card.rows]).mean()) > 0.8
        assert card.similarity > 0.5 > card.elsewhere and card.p < 0.05
        assert all(trait.p < 0.05 for trait in card.traits)


def sentence(card):
    return f"{disagreement.shared(card)}. {disagreement.who(card, ('SimCLR', 'From scratch'))}"


def test_the_sentence_says_who_holds_what_together():
    labels, factors = world()
    cards = disagreement.find_cards((by_class(labels), by_hue(factors["hue"])), labels, CLASSES, factors)
    card = next(card for card in cards if card.together == 0)
    name = CLASSES[labels[card.rows[0]]]
    text = sentence(card)
    assert text.startswith(f"All are “{name}”. SimCLR holds these {len(card.rows)} images together")
    assert f"From scratch scatters them over {card.spread} of {card.num_groups} groups" in text
    other = next(card for card in cards if card.together == 1)
    assert " in colour. From scratch holds these" in sentence(other)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_encoder_on_both_sides_gives_no_card(seed):
    labels, factors = world(seed)
    for features in (by_class(labels), by_hue(factors["hue"])):
        turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(16, 16)))[0].astype(np.float32)
        assert disagreement.find_cards((features, features), labels, CLASSES, factors, seed=seed) == []
        assert disagreement.find_cards((features, features @ turn), labels, CLASSES, factors, seed=seed) == []


def test_two_of_one_kind_disagree_less_than_two_kinds():
    labels, factors = world()
    twins = disagreement.find_cards((by_class(labels, seed=1), by_class(labels, seed=7)), num_cards=99)
    others = disagreement.find_cards((by_class(labels), by_hue(factors["hue"])), num_cards=99)
    assert len(twins) < len(others)


def test_nothing_is_claimed_of_factors_that_have_nothing_to_do_with_the_images():
    claims = 0
    for seed in range(20):
        labels, factors = world()
        features = by_class(labels), by_hue(factors["hue"])
        order = np.random.default_rng(seed).permutation(NUM)
        told = {name: values[order] for name, values in factors.items()}
        cards = disagreement.find_cards(features, labels[order], CLASSES, told, seed=seed)
        assert cards
        claims += any(card.traits for card in cards)
    assert claims <= 1  # 19 of 20, as alpha promises


def test_only_the_other_half_is_judged_and_the_same_seed_gives_the_same_cards(monkeypatch):
    labels, factors = world()
    features = by_class(labels), by_hue(factors["hue"])
    fitted = []
    real = disagreement._middles
    monkeypatch.setattr(disagreement, "_middles", lambda rows, *more: fitted.append(len(rows)) or real(rows, *more))
    cards = disagreement.find_cards(features, labels, CLASSES, factors, seed=3)
    assert fitted == [NUM // 2] * 2
    judged = set(itertools.chain.from_iterable(card.rows.tolist() for card in cards))
    found = np.sort(np.random.default_rng(3).permutation(NUM)[: NUM // 2])
    assert judged and not judged & set(found.tolist())
    again = disagreement.find_cards(features, labels, CLASSES, factors, seed=3)
    assert [card.traits for card in again] == [card.traits for card in cards]


def test_the_numbers_are_those_of_slow_formulas():
    rows = np.random.default_rng(0).normal(size=(9, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = [float(a @ b) for a, b in itertools.combinations(rows, 2)]
    assert disagreement._mean_cosine(rows) == pytest.approx(np.mean(pairs))
    mean, error = disagreement._cosine_and_error(rows)
    without = [
        np.mean([float(a @ b) for a, b in itertools.combinations(np.delete(rows, i, axis=0), 2)]) for i in range(9)
    ]
    assert mean == pytest.approx(np.mean(pairs))
    assert error == pytest.approx(np.sqrt(8 / 9 * np.square(without - np.mean(without)).sum()))
    assert disagreement._normal_tail(1.3) == pytest.approx(stats.norm.sf(1.3))


@pytest.mark.parametrize(("least", "count", "marked", "drawn"), [(3, 40, 10, 8), (0, 40, 10, 8), (8, 1000, 200, 19)])
def test_the_tail_of_the_hypergeometric_distribution_is_scipy_s(least, count, marked, drawn):
    expected = stats.hypergeom.sf(least - 1, count, marked, drawn)
    assert disagreement.hypergeometric_tail(least, count, marked, drawn) == pytest.approx(expected)


def test_k_means_finds_the_groups_that_are_there_and_as_good_ones_as_scikit_learn():
    labels, _ = world()
    rows = disagreement.neighbors.unit_rows(by_class(labels))
    middles = disagreement._middles(rows, 4, seed=0)
    groups = (rows @ middles.T).argmax(axis=1)
    assert len({(group, label) for group, label in zip(groups, labels, strict=True)}) == 4
    assert np.linalg.norm(middles, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    cloud = disagreement.neighbors.unit_rows(np.random.default_rng(0).normal(size=(400, 12)).astype(np.float32))
    theirs = KMeans(20, n_init=4, random_state=0).fit(cloud).cluster_centers_
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = disagreement._middles(cloud, 20, seed=0)
    assert (cloud @ ours.T).max(axis=1).sum() > 0.98 * (cloud @ theirs.T).max(axis=1).sum()


def test_random_sets_hold_no_row_twice_and_every_row_alike():
    sets = disagreement.random_sets(50, 10, np.random.default_rng(0))
    assert sets.shape == (disagreement.NUM_DRAWS, 10)
    assert all(len(set(row)) == 10 for row in sets[:200].tolist())
    counts = np.bincount(sets.ravel(), minlength=50)
    assert np.abs(counts / counts.mean() - 1).max() < 0.06


@pytest.mark.parametrize(
    ("hue", "word"), [(0.0, "red"), (0.98, "red"), (0.15, "yellow"), (0.33, "green"), (0.6, "blue"), (0.9, "pink")]
)
def test_hues_have_their_names(hue, word):
    assert disagreement.hue_name(hue) == word


def test_too_few_images_and_unequal_numbers_are_refused():
    with pytest.raises(ValueError, match="there are 40 and 40 images; allowed: as many, at least 100"):
        disagreement.find_cards((np.ones((40, 3)), np.ones((40, 3))))
    with pytest.raises(ValueError, match="there are 200 and 300 images"):
        disagreement.find_cards((np.ones((200, 3)), np.ones((300, 3))))


def test_odd_factors_and_features_that_are_all_alike_cost_nothing_but_their_claim():
    labels, factors = world()
    odd = {"constant": np.zeros(NUM), "broken": np.full(NUM, np.nan)} | factors
    cards = disagreement.find_cards((by_class(labels), by_hue(factors["hue"])), labels, CLASSES, odd)
    assert cards and not {"constant", "broken"} & {trait.name for card in cards for trait in card.traits}
    alike = np.ones((NUM, 16), dtype=np.float32)
    for card in disagreement.find_cards((by_class(labels), alike), labels, CLASSES, factors):
        assert card.together == 0
