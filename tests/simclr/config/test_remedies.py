"""What would do in place of a value that is refused."""

import random

import pytest

from simclr import config as cfg
from simclr.config import ConfigError, remedies
from simclr.config.remedies import Remedy


def flat(config):
    """Values by dotted name."""
    values = {}
    for name in cfg.option_names(type(config)):
        section, _, rest = name.partition(".")
        value = getattr(config, section)
        values[name] = getattr(value, rest, None) if rest else value
    return values


def problems_of(model):
    def problems(values):
        try:
            cfg.build(model, cfg.nest(values))
        except ConfigError as error:
            return str(error).splitlines()
        return []

    return problems


def remedy(changes, model=cfg.PretrainConfig, base=None):
    values = flat(base or model()) | changes
    problems = problems_of(model)
    (sentence, *_) = problems(values)
    return remedies.find(model, values, sentence, problems)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"batch_size": 100_000}, Remedy("batch_size", 65_536)),
        ({"batch_size": 1}, Remedy("batch_size", 2)),
        ({"seed": -1}, Remedy("seed", 0)),
        ({"val_fraction": 1.5}, Remedy("val_fraction", 0.9)),
        ({"optimizer": "adamm"}, Remedy("optimizer", "adam")),
        ({"backbone": "resnet19"}, Remedy("backbone", "resnet18")),
        ({"devices": 3}, Remedy("batch_size", 255)),  # three have to divide the 256
        ({"augmentation.blur_kernel_size": 8}, Remedy("augmentation.blur_kernel_size", 7)),
        ({"initial_image_size": 64, "image_size": 32}, Remedy("initial_image_size", None)),
        ({"eta_min": 5.0}, Remedy("eta_min", 0.0005)),
        ({"epochs": None}, Remedy("epochs", 1)),
    ],
)
def test_what_the_sentence_or_the_option_allows(changes, expected):
    assert remedy(changes) == expected


def test_what_is_offered_names_an_option_of_its_own():
    """The sentence of a measurement: it may offer another option than the one it is about."""
    values = flat(cfg.PretrainConfig())
    text = "backbone is vgg11, which cannot take 8 x 8 pixels: small; allowed: image_size 32 or another backbone."
    assert remedies.find(cfg.PretrainConfig, values, text, problems_of(cfg.PretrainConfig)) == Remedy("image_size", 32)


def test_nothing_is_offered_that_brings_another_problem_or_is_there_already():
    def never(values):
        return [f"epochs is {values['epochs']}; allowed: 7."]

    values = flat(cfg.PretrainConfig()) | {"epochs": 7}
    assert remedies.find(cfg.PretrainConfig, values, never(values)[0], never) is None

    def narrow(values):
        bad = [] if values["epochs"] == 40 else [f"epochs is {values['epochs']}; allowed: at most 40."]
        return bad + (["seed is 1; allowed: 2."] if values["epochs"] == 40 else [])

    assert remedies.find(cfg.PretrainConfig, values, narrow(values)[0], narrow) is None


def test_too_much_in_place_of_too_little_leads_to_what_lies_between():
    def problems(values):
        size = values["batch_size"]
        if size > 65_536:
            return [f"batch_size is {size}; allowed: a whole number from 2 to 65,536 images."]
        return [f"batch_size is {size}; allowed: at most the 3,686 training images."] if size > 3686 else []

    values = flat(cfg.PretrainConfig()) | {"batch_size": 10**6}
    found = remedies.find(cfg.PretrainConfig, values, problems(values)[0], problems)
    assert found == Remedy("batch_size", 3686)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_offered_does(seed):
    """Any option out of its range: what is found makes valid options."""
    dice = random.Random(seed)
    names = {name: info for name, info in cfg.option_names(cfg.PretrainConfig).items() if cfg.bounds(info)}
    name = dice.choice(list(names))
    limits = cfg.bounds(names[name])
    value = dice.choice([limits.get("le", 10**9) * 3 + 1, -7])
    values = flat(cfg.PretrainConfig()) | {name: value}
    problems = problems_of(cfg.PretrainConfig)
    for sentence in problems(values):
        found = remedies.find(cfg.PretrainConfig, values, sentence, problems)
        assert found is not None, sentence
        assert sentence not in problems(values | {found.option: found.value})
