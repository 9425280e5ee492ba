"""What a sweep consists of: combinations, pairs, chance, order, and what an extension may change."""

import itertools
from dataclasses import replace

import pytest

from simclr import config as cfg
from simclr.config import ConfigError
from simclr.sweeps import settings, sweep_file
from simclr.sweeps.settings import Limit

OPERATIONS = {
    "crop": {"augmentation.crop_probability": "1"},
    "flip": {"augmentation.flip_probability": "0.5"},
    "grey": {"augmentation.grayscale_probability": "0.2"},
}


PLAIN = {"recipe": "quick", "augmentation": {"crop_probability": 0, "flip_probability": 0, "grayscale_probability": 0}}


def sweep(**parts):
    return sweep_file.parse({"title": "Which?", "base": {"recipe": "quick"}} | parts)


def test_a_grid_has_all_combinations_in_the_order_of_its_values():
    found = sweep(axes={"temperature": [0.1, 0.5], "epochs": [2, 4, 8]}, seeds=[3, 1])
    assert [setting.title for setting in found.settings()] == [
        f"temperature {t}, epochs {e}" for t, e in itertools.product((0.1, 0.5), (2, 4, 8))
    ]
    members = list(found.members())
    assert [member.seed for member in members] == [3] * 6 + [1] * 6  # a first answer to all settings comes first
    assert (found.num_settings, found.members_per_setting, found.chooses) == (6, 2, True)
    config = found.pretraining(members[5].setting, 3)
    assert (config.temperature, config.epochs, config.seed, config.evaluate) == (0.5, 8, 3, False)
    assert config.learning_rate == cfg.build(cfg.PretrainConfig, cfg.recipe("quick")).learning_rate


def test_supervised_runs_stand_behind_their_pretraining():
    found = sweep(seeds=2, arms=["scratch", "frozen"], label_fractions=[0.1, 0.01])
    assert [(m.seed, m.arm, m.share.fraction if m.share else None) for m in found.members()] == [
        (seed, arm, fraction)
        for seed in (0, 1)
        for arm, fraction in [(None, None), ("frozen", 0.01), ("scratch", 0.01), ("frozen", 0.1), ("scratch", 0.1)]
    ]
    assert not found.chooses  # one setting, chosen before: its runs are tested at their end
    assert found.pretraining(found.settings()[0], 0).evaluate


def test_pairs_are_each_alone_and_each_two():
    found = sweep(base=PLAIN, axes={"operation": {"pairs": OPERATIONS}})
    labels = [setting.labels["operation"] for setting in found.settings()]
    assert labels == ["crop", "crop + flip", "crop + grey", "flip", "flip + grey", "grey"]
    assert found.num_settings == 6
    assert found.settings()[4].options == OPERATIONS["flip"] | OPERATIONS["grey"]
    assert found.pretraining(found.settings()[4], 0).augmentation.grayscale_probability == 0.2


def test_values_of_an_axis_may_set_several_options():
    found = sweep(
        axes={"views": {"small": {"image_size": 24, "augmentation": {"hue": 0.1}}, "large": {"image_size": 48}}}
    )
    assert found.settings()[0].options == {"image_size": "24", "augmentation.hue": "0.1"}
    assert found.pretraining(found.settings()[0], 0).augmentation.hue == 0.1


def test_a_choice_by_chance_is_the_same_again_and_grows():
    axes = {"temperature": [0.1, 0.2, 0.3, 0.4, 0.5], "epochs": [1, 2, 3, 4]}
    few = sweep(axes=axes, method="random", limit="12 runs", seeds=3)
    more = replace(few, limit=Limit(30, "runs"))
    chosen = [setting.title for setting in few.settings()]
    assert len(chosen) == 4
    assert chosen == [setting.title for setting in few.settings()]
    assert set(chosen) < {setting.title for setting in more.settings()}
    assert len(more.settings()) == 10
    assert chosen != [setting.title for setting in sweep(axes=axes, seeds=3).settings()][:4]
    assert len(few.settings(7)) == 7


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"seeds": 3},
        {"axes": {"temperature": [0.1, 0.2]}, "seeds": [5, 3]},
        {"base": PLAIN, "axes": {"operation": {"pairs": OPERATIONS}, "epochs": [1, 2]}},
        {"axes": {"views": {"a": {"image_size": 24}, "b": {"image_size": 48, "augmentation": {"hue": 0}}}}},
        {"arms": ["full"], "label_fractions": [0.01, 1]},
        {"axes": {"temperature": [0.1, 0.2, 0.4]}, "method": "random", "limit": "2 runs"},
        {"axes": {"temperature": [0.1, 0.2, 0.4]}, "method": "random", "limit": "0.5 hours"},
        {"base": {"recipe": "photos", "augmentation": {"hue": 0.2}, "epochs": 3}},
    ],
)
def test_what_meta_keeps_is_the_same_sweep(parts):
    found = sweep(**parts)
    assert sweep_file.parse(settings.to_plain(found)) == found


def test_an_extension_keeps_what_is_there():
    before = sweep(axes={"temperature": [0.1, 0.2]}, seeds=[0, 1], arms=["frozen"], label_fractions=[0.01])
    more = sweep(axes={"temperature": [0.2, 0.5]}, seeds=[2], arms=["scratch"], label_fractions=[0.1])
    both = settings.extended(before, more)
    assert [value.label for value in both.axes[0].values] == ["0.1", "0.2", "0.5"]
    assert (both.seeds, both.arms, both.label_fractions) == ((0, 1, 2), ("frozen", "scratch"), (0.01, 0.1))
    assert settings.extended(before, before) == before


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"base": {"recipe": "quick", "epochs": 3}}, "base is .*epochs.* and was .*; allowed: new seeds"),
        ({"base": {"recipe": "photos"}}, "recipe is photos and was quick"),
        ({"axes": {"epochs": [1, 2]}}, "axes are epochs and were temperature; allowed: the same."),
        ({"axes": {}}, "axes are none and were temperature"),
    ],
)
def test_another_question_is_another_sweep(parts, sentence):
    before = sweep(axes={"temperature": [0.1, 0.2]})
    with pytest.raises(ConfigError, match=sentence):
        settings.extended(before, sweep(**{"axes": {"temperature": [0.3, 0.5]}} | parts))


def test_a_tested_setting_is_not_one_of_several_to_choose_from():
    before = sweep(axes={"temperature": [0.1]}, seeds=3)
    assert not before.chooses
    with pytest.raises(ConfigError, match=r"have been tested.*; allowed: more seeds, or a new sweep"):
        settings.extended(before, sweep(axes={"temperature": [0.2]}, seeds=3))
    assert settings.extended(before, sweep(axes={"temperature": [0.1]}, seeds=5)).seeds == (0, 1, 2, 3, 4)
