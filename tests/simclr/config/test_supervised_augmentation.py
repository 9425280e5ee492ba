"""What a supervised run adds to crop and mirror: one option alone brings nothing else with it."""

import pytest
import yaml

from simclr import config as cfg
from simclr.cli.parser import parse_run_options
from simclr.config import CROP_AND_FLIP, Augmentation, ConfigError, FinetuneConfig

SCRATCH = {"random_weight_init": True, "dataset": "shapes"}


def built(augmentation, **more):
    return cfg.build(FinetuneConfig, SCRATCH | {"augmentation": augmentation} | more).augmentation


@pytest.mark.parametrize(
    "options",
    [
        {"policy": "randaugment"},
        {"policy": "autoaugment_cifar", "crop_scale_min": "0.3"},
        {"jitter_probability": 0.8, "hue": 0.3},
        {"grayscale_probability": 0.1},
        {},
    ],
)
@pytest.mark.parametrize("is_frozen", [False, True])
def test_what_is_not_set_is_as_of_crop_and_mirror(options, is_frozen):
    found = built(options, random_weight_init=not is_frozen, freeze_encoder=is_frozen, experiment_version=0)
    assert found == Augmentation(**CROP_AND_FLIP.model_dump() | options)


def test_a_policy_behind_a_flag_is_crop_mirror_and_policy():
    flags = ["--config", "quick-scratch", "--augmentation.policy", "randaugment", "--augmentation.randaugment_ops", "3"]
    config, _ = parse_run_options("finetune", flags)
    assert config.augmentation == CROP_AND_FLIP.model_copy(update={"policy": "randaugment", "randaugment_ops": 3})
    again = cfg.build(FinetuneConfig, yaml.safe_load(cfg.to_yaml(config)))
    assert again == config  # a resumed run reads all of it


def test_a_pretraining_keeps_its_own_views():
    found = cfg.build(cfg.PretrainConfig, {"augmentation": {"policy": "randaugment"}}).augmentation
    assert found == Augmentation(policy="randaugment")


def test_all_of_it_is_taken_as_it_is():
    whole = Augmentation(hue=0.2)
    assert built(whole) == built(whole.model_dump()) == whole
    assert built(None) is None and built("null") is None


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_jitter_without_its_probability_would_do_nothing_and_is_refused(name):
    with pytest.raises(ConfigError) as caught:
        built({name: 0.3})
    sentence = f"augmentation.{name} is 0.3 and augmentation.jitter_probability is not set; allowed: both, since a "
    assert str(caught.value) == f"{sentence}supervised run has no jitter of its own."


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("strong", "augmentation is strong; allowed: a section of named values, or unset."),
        ({"polcy": "randaugment"}, "augmentation.polcy is not an option; did you mean augmentation.policy?"),
        ({"crop_scale_min": 2}, "augmentation.crop_scale_min is 2; allowed: a number above 0, up to 1."),
        ({"crop_scale_max": 0.3}, "augmentation.crop_scale_min is 0.5 and augmentation.crop_scale_max is 0.3; allowed"),
    ],
)
def test_bad_input_is_one_sentence(value, sentence):
    with pytest.raises(ConfigError) as caught:
        built(value)
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)
