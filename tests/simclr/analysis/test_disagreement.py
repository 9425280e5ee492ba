"""Groups that one encoder holds together and the other scatters: found where they are, and claimed nowhere else."""

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.cluster import KMeans

from simclr.analysis import disagreement
from simclr.views import appearance

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
    assert [bool(card.traits) for card in cards] == sorted((bool(card.traits) for card in cards), reverse=True)
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


# --- photographs ----------------------------------------------------------------------------------------------------


def photographs(seed=0):
    """Labels, and images whose border colour, lightness and stripes have nothing to do with them or each other."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(CLASSES), NUM)
    tints = generator.integers(0, 4, NUM)
    borders = np.array([(0.7, 0.2, 0.2), (0.2, 0.6, 0.25), (0.2, 0.3, 0.8), (0.5, 0.5, 0.5)])[tints]
    turns = generator.integers(0, 4, NUM)
    y, x = np.mgrid[:16, :16]
    across = np.select([turns[:, None, None] == turn for turn in range(4)], [y, x + y, x, x - y])
    inside = 0.5 + 0.3 * np.sin(2 * np.pi * across / 6) * generator.uniform(0.2, 1, NUM)[:, None, None]
    images = np.repeat(inside[:, None], 3, axis=1)
    border = np.ones((16, 16), dtype=bool)
    border[2:-2, 2:-2] = False
    images[:, :, border] = borders[:, :, None]
    images *= generator.uniform(0.5, 1, NUM)[:, None, None, None]
    return labels, tints, appearance.measure(np.round(255 * images).astype(np.uint8))


def by_border(tints, noise=0.5, seed=2):
    """An encoder that sees the colour of borders."""
    generator = np.random.default_rng(seed)
    return (3 * np.eye(16)[tints] + noise * generator.normal(size=(NUM, 16))).astype(np.float32)


def test_what_photographs_share_is_measured_from_their_pixels():
    labels, tints, measured = photographs()
    features = by_class(labels), by_border(tints)
    cards = disagreement.find_cards(features, labels, CLASSES, {}, measured)
    assert {card.together for card in cards} == {0, 1}
    texts = {trait.text for card in cards if card.together == 1 for trait in card.traits}
    assert {text for text in texts if text.startswith("all have a ")} >= {
        f"all have a {color} border" for color in ("reddish", "greenish", "bluish", "colourless")
    }
    for card in cards:
        names = {trait.name for trait in card.traits}
        assert ("class" in names, "border" in names) == (card.together == 0, card.together == 1)
        for trait in card.traits:
            if trait.name == "border":
                assert len(np.unique(tints[card.rows])) == 1


@pytest.mark.parametrize("seed", range(3))
def test_with_photographs_the_same_encoder_on_both_sides_gives_no_card(seed):
    labels, tints, measured = photographs(seed)
    for features in (by_class(labels), by_border(tints)):
        assert disagreement.find_cards((features, features), labels, CLASSES, {}, measured, seed=seed) == []


def test_nothing_is_claimed_of_photographs_whose_measures_belong_to_others():
    labels, tints, measured = photographs()
    features, claims = (by_class(labels), by_border(tints)), 0
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(NUM)
        others = {name: values[order] for name, values in measured.items()}
        cards = disagreement.find_cards(features, labels[order], CLASSES, {}, others, seed=seed)
        assert cards
        claims += any(card.traits for card in cards)
    assert claims <= 1


def test_two_seeds_disagree_less_on_photographs_than_two_kinds():
    labels, tints, measured = photographs()
    twins = by_class(labels, seed=1), by_class(labels, seed=7)
    others = by_class(labels), by_border(tints)
    few, many = (disagreement.find_cards(pair, labels, CLASSES, {}, measured, num_cards=99) for pair in (twins, others))
    assert len(few) < len(many)


# --- sentences and numbers ------------------------------------------------------------------------------------------


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


@pytest.mark.slow
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
