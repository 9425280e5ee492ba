"""Figures of images and sentences: an oracle, one that knows nothing, and slow loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from simclr.config.words import COLORS, SHAPES, SIZES
from simclr.data import shapes
from simclr.data.shape_facts import facts_of
from simclr.words import judging
from simclr.words.captions import FULL, caption
from simclr.words.judging import color_order, retrieval, word_figures, zero_shot

FACTS = facts_of(shapes.factors_of("test", 400))
HELD_OUT = ("red star", "blue circle", "green heart", "yellow ring")


class Told:
    """A text encoder whose embeddings a function of the sentence gives."""

    def __init__(self, function):
        self.function = function

    def embed(self, sentences):
        return F.normalize(torch.stack([self.function(sentence) for sentence in sentences]).float(), dim=1)


def said(sentence):
    """Features of a sentence by hand: what it says of the shape, its colour, the background and the size."""
    before, _, after = sentence.partition(" on ")
    words = before.split()
    parts = [
        [word in words for word in SHAPES],
        [word in words for word in COLORS],
        [word == after for word in COLORS],
        [word in words for word in SIZES],
    ]
    return torch.tensor([float(value) for part in parts for value in part])


def oracle_images(facts):
    return F.normalize(torch.stack([said(caption(FULL, row)) for row in facts.tolist()]), dim=1)


def noise(sentence):
    generator = torch.Generator().manual_seed(sum(ord(sign) * 31**place for place, sign in enumerate(sentence)) % 2**31)
    return torch.randn(12, generator=generator)


RANDOM_IMAGES = F.normalize(torch.randn(400, 12, generator=torch.Generator().manual_seed(1)), dim=1)


def test_who_knows_everything_is_always_right():
    figures = word_figures(3 * oracle_images(FACTS), FACTS, Told(said), HELD_OUT)
    assert figures.found.keys() == figures.chance.keys()
    assert set(figures.found.values()) == {1.0}
    assert all(0 < value < 1 for value in figures.chance.values())


def test_one_point_finds_nothing():
    figures = word_figures(torch.ones(400, 12), FACTS, Told(lambda sentence: torch.ones(12)))
    for name, value in figures.found.items():
        if "_r" in name:
            assert value == 0.0, name  # ties count half: all rank in the middle
    assert figures.found["color_order"] == 0.5
    assert figures.found["zeroshot_top1"] == pytest.approx(0.1, abs=0.01)


def test_zero_shot_takes_the_most_similar_sentence():
    right = zero_shot(RANDOM_IMAGES, FACTS, Told(noise))
    for name, sentences, truth in (
        ("top1", [f"a {shape}" for shape in SHAPES], FACTS[:, 2]),
        ("color", [f"a {color} shape" for color in COLORS], FACTS[:, 1]),
        ("pair", [f"a {color} {shape}" for color in COLORS for shape in SHAPES], FACTS[:, 1] * 10 + FACTS[:, 2]),
    ):
        rows = Told(noise).embed(sentences).tolist()
        for image, wanted, found in zip(RANDOM_IMAGES.tolist(), truth, right[name], strict=True):
            similar = [sum(x * y for x, y in zip(image, row, strict=True)) for row in rows]
            assert found == (similar.index(max(similar)) == wanted)


def test_retrieval_equals_slow_sorting():
    found, chance, number = retrieval(RANDOM_IMAGES[:90], FACTS[:90], Told(noise))
    sentences = [caption(FULL, row) for row in FACTS[:90].tolist()]
    different = sorted(set(sentences))
    similar = RANDOM_IMAGES[:90] @ Told(noise).embed(different).T
    assert number == len(different) < 90  # some captions are of several images
    for k in (1, 5, 10):
        hits = [
            sentence in [different[place] for place in row.argsort(descending=True)[:k]]
            for row, sentence in zip(similar, sentences, strict=True)
        ]
        assert found[f"image_to_text_r{k}"] == pytest.approx(sum(hits) / 90)
        hits = [
            any(sentences[place] == sentence for place in column.argsort(descending=True)[:k])
            for column, sentence in zip(similar.T, different, strict=True)
        ]
        assert found[f"text_to_image_r{k}"] == pytest.approx(sum(hits) / len(different))
        assert chance[f"image_to_text_r{k}"] == k / len(different)


def test_chance_is_what_random_orders_give_on_average():
    facts = FACTS[:60] * [0, 1, 0, 0]  # few captions, each of several images
    generator = torch.Generator().manual_seed(5)
    runs = []
    for _ in range(300):
        table = torch.randn(6, 40, generator=generator)
        text = Told(lambda sentence, table=table: table[COLORS.index(sentence.split()[2])])
        images = F.normalize(torch.randn(60, 40, generator=generator), dim=1)
        found, chance, _ = retrieval(images, facts, text)
        runs.append([found[name] for name in chance])
    mean, error = np.mean(runs, axis=0), np.std(runs, axis=0) / math.sqrt(300)
    wanted = np.array(list(chance.values()))
    assert (np.abs(mean - wanted) <= 4 * error + 1e-9).all(), (mean, wanted)
    assert 0.1 < chance["image_to_text_r1"] < 0.2 and 0.1 < chance["text_to_image_r1"] < 0.3


def test_a_bag_of_words_cannot_tell_the_order_of_colours():
    def bag(sentence):
        return sum(noise(word) for word in sorted(sentence.split()))

    assert color_order(RANDOM_IMAGES, FACTS, Told(bag)) == 0.5
    assert color_order(oracle_images(FACTS), FACTS, Told(said)) == 1.0
    turned = FACTS[:, [0, 3, 2, 1]]  # colours exchanged: always wrong
    assert color_order(oracle_images(turned), FACTS, Told(said)) == 0.0
    one_color = FACTS[FACTS[:, 1] == FACTS[:, 3]]
    assert len(one_color) and color_order(RANDOM_IMAGES[: len(one_color)], one_color, Told(noise)) is None


def test_held_out_and_seen_images_are_counted_apart():
    away = np.array([f"{COLORS[row[1]]} {SHAPES[row[2]]}" in HELD_OUT for row in FACTS])
    images = oracle_images(FACTS)
    images[torch.from_numpy(away)] = oracle_images(FACTS[away][:, [0, 3, 2, 1]])  # the background's colour is named
    figures = word_figures(images, FACTS, Told(said), HELD_OUT).found
    own = FACTS[away][:, 1] == FACTS[away][:, 3]
    assert figures["seen_pair"] == figures["seen_color"] == figures["held_out_top1"] == 1.0
    assert figures["held_out_pair"] == figures["held_out_color"] == pytest.approx(own.mean())
    assert figures["zeroshot_pair"] == pytest.approx((own.sum() + (~away).sum()) / 400)
    assert not [name for name in word_figures(images, FACTS, Told(said)).found if name.startswith(("held", "seen"))]
    assert set(judging.RECALLS) == {1, 5, 10}
