"""Captions of shapes: true of their images, the same word by word and at once, and what may be typed."""

import itertools
import re

import numpy as np
import pytest

from simclr.config import ConfigError
from simclr.config.words import COLORS, SHAPES, SIZES
from simclr.data import shapes
from simclr.data.shape_facts import FIELDS, facts_of, is_held_out
from simclr.words import captions
from simclr.words.captions import PHRASINGS, Vocabulary, caption, caption_numbers, said_facts

VOCABULARY = Vocabulary.of_captions()


def test_facts_are_those_that_were_drawn():
    drawn = shapes.generate("test", 300, 16).factors
    facts = facts_of(drawn)
    for row in range(300):
        size, color, shape, ground = facts[row]
        assert SHAPES[shape] == drawn["shape"][row]
        assert SIZES[size] == ("large" if drawn["size"][row] > 0.675 else "small")
        for place, hue in ((color, drawn["hue"][row]), (ground, drawn["background"][row])):
            away = [min(abs(hue - name / 6), 1 - abs(hue - name / 6)) for name in range(6)]
            assert place == int(np.argmin(away))
    assert {tuple(values) for values in facts[:, [1]]} == {(color,) for color in range(6)}  # all of them occur


def test_a_named_colour_is_the_one_that_is_seen():
    """By the pixels themselves: of pure light colours the largest channels are those of the name."""
    for hue, channels in {0: (0,), 1: (0, 1), 2: (1,), 3: (1, 2), 4: (2,), 5: (0, 2)}.items():
        facts = facts_of({"hue": [hue / 6], "background": [0.0], "size": [0.8], "shape": ["star"]})
        one = np.ones(1)
        rgb = shapes.hsv_to_rgb(np.array([hue / 6]), one, one)[0]
        assert COLORS[facts[0, 1]] == ("red", "yellow", "green", "cyan", "blue", "magenta")[hue]
        assert set(np.flatnonzero(rgb > 0.5)) == set(channels)


def test_the_words_of_the_options_are_those_of_the_data():
    assert SHAPES == shapes.CLASSES


def test_factors_without_images_are_those_of_the_images():
    drawn, told = shapes.generate("train", 50, 8).factors, shapes.factors_of("train", 50)
    assert drawn.keys() == told.keys()
    assert all(np.array_equal(drawn[name], told[name]) for name in drawn)


def test_numbers_at_once_are_those_of_each_sentence():
    facts = facts_of(shapes.factors_of("train", 200))
    for phrasing in range(len(PHRASINGS)):
        at_once = caption_numbers(VOCABULARY, facts, np.full(200, phrasing))
        one_by_one = VOCABULARY.all_numbers(caption(phrasing, row) for row in facts.tolist())
        assert np.array_equal(at_once, one_by_one)


def test_captions_say_the_same_exactly_where_the_facts_that_they_name_are_the_same():
    few = [(0, 1), (2, 4), (0, 5), (2, 4)]  # two of each
    rows = [(phrasing, facts) for phrasing in range(len(PHRASINGS)) for facts in itertools.product(*few)]
    phrasings, facts = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    said = said_facts(facts, phrasings)

    def told(phrasing, values):
        names = re.findall(r"{(\w+)}", PHRASINGS[phrasing])
        return {name: values[FIELDS.index(name)] for name in names}

    slow = [told(*row) for row in rows]
    for first, second in itertools.product(range(len(rows)), repeat=2):
        assert (said[first] == said[second]) == (slow[first] == slow[second])


def test_every_phrasing_names_what_a_sentence_may_be_asked_by():
    assert PHRASINGS[captions.FULL].count("{") == len(FIELDS)
    assert caption(0, (0, 0, 5, 4)) == "a small red star on blue"
    assert len(set(VOCABULARY.words)) == len(VOCABULARY.words)


@pytest.mark.parametrize("sentence", ["A small red STAR, on blue!", "  a small  red star on blue."])
def test_case_and_punctuation_do_not_matter(sentence):
    assert np.array_equal(VOCABULARY.numbers(sentence), VOCABULARY.numbers("a small red star on blue"))


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("a purple star", r"^The word purple is in no caption .* allowed: a, and, arrow, .*, yellow\.$"),
        ("a red stra", r"The word stra .*; did you mean star\?$"),
        ("", r"^The sentence has no words; allowed: 1 to 8, such as a small red star on blue\.$"),
        ("?!", "has no words"),
        ("a " * 9, "has 9 words; allowed: 1 to 8"),
        ("star " * 500, "words; allowed: 1 to 8"),
        ("rėd star", "The word rėd is in no caption"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(sentence, text):
    with pytest.raises(ConfigError, match=text):
        VOCABULARY.numbers(sentence)


def test_held_out_are_the_images_of_these_combinations():
    facts = facts_of(shapes.factors_of("test", 500))
    found = is_held_out(facts, ("red star", "Blue circle"))
    words = [(COLORS[row[1]], SHAPES[row[2]]) for row in facts]
    assert found.tolist() == [pair in (("red", "star"), ("blue", "circle")) for pair in words]
    assert 0 < found.sum() < 50 and not is_held_out(facts, ()).any()
