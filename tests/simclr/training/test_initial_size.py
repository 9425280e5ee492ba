"""Views that are small in the first part of a training: which steps have them, and who cannot."""

import pytest
from conftest import TINY_PRETRAIN

from simclr import config as cfg
from simclr.config import ConfigError, PretrainConfig
from simclr.lifecycle import prepare
from simclr.lifecycle.train import train
from simclr.training import datamodule


def build(**options):
    return cfg.build(PretrainConfig, TINY_PRETRAIN | options)


@pytest.fixture
def sides(monkeypatch):
    """The side of the views of each batch, in order: (side, whether the batch is of validation images)."""
    seen = []
    real = datamodule.augment.two_views

    def spied(*arguments, size, epoch, **options):
        seen.append((size, epoch == datamodule.factors.VALIDATION_EPOCH))
        return real(*arguments, size=size, epoch=epoch, **options)

    monkeypatch.setattr(datamodule.augment, "two_views", spied)
    return seen


@pytest.mark.parametrize(
    ("options", "num_steps", "num_small"),
    [
        ({"epochs": 2, "initial_size_share": 0.5}, 18, 9),
        ({"epochs": 2, "initial_size_share": 0.7}, 18, 13),  # within the second epoch
        ({"epochs": 10, "max_steps": 7, "initial_size_share": 0.7}, 7, 5),  # of the steps there are
        ({"epochs": 1, "initial_size_share": 1.0}, 9, 9),
        ({"epochs": 1, "initial_image_size": None}, 9, 0),
        ({"epochs": 1, "initial_size_share": 0.5, "micro_batch_size": 6}, 9, 4),
    ],
    ids=str,
)
def test_the_first_steps_have_small_views_and_validation_those_of_the_last(
    tiny_runs, sides, options, num_steps, num_small
):
    config = build(**{"limit_images": 160, "batch_size": 16, "evaluate": False, "initial_image_size": 10} | options)
    assert config.num_initial_steps(num_steps) == num_small
    run = train(config, runs_dir=tiny_runs)
    assert run.status.step == num_steps
    assert [side for side, is_val in sides if not is_val] == [10] * num_small + [16] * (num_steps - num_small)
    assert {side for side, is_val in sides if is_val} == {10 if num_small == num_steps else 16}
    assert run.config["image_size"] == 16


def test_an_initial_size_has_to_be_smaller_and_the_network_to_take_it(tmp_path):
    with pytest.raises(ConfigError, match="initial_image_size is 16 and image_size is 16; allowed: an initial size"):
        build(initial_image_size=16)
    with pytest.raises(ConfigError, match="initial_image_size is 40 and image_size is 32; allowed: an initial size"):
        prepare.prepare(build(initial_image_size=40, image_size=None), tmp_path)  # the data set's own is 32
    with pytest.raises(ConfigError, match="initial_image_size is 16, and vit_b_16 for images of 32 pixels cannot"):
        prepare.prepare(build(initial_image_size=16, image_size=32, backbone="vit_b_16"), tmp_path)
    with pytest.raises(ConfigError, match="initial_size_share is 0; allowed: a number above 0, up to 1"):
        build(initial_image_size=8, initial_size_share=0)
