"""How many images train is known before any is read: as many as there are when they are."""

import pytest
from conftest import make_folder

from simclr import config as cfg
from simclr.config import ConfigError
from simclr.data.folders import folder_layout
from simclr.data.loading import load_data
from simclr.lifecycle import counts


@pytest.mark.parametrize("dataset", ["shapes", "digits"])
@pytest.mark.parametrize("limit", [None, 10, 11, 63, 300, 1500, 5000])
@pytest.mark.parametrize("val_fraction", [0, 0.1, 0.5, 0.9])
def test_built_in_sets_have_as_many_as_is_said(dataset, limit, val_fraction):
    config = cfg.build(cfg.PretrainConfig, {"dataset": dataset, "limit_images": limit, "val_fraction": val_fraction})
    data = load_data(dataset, image_size=8, limit_images=limit, val_fraction=val_fraction)
    assert counts.num_train_images(config) == data.train.num_images
    assert counts.TRAINING_LISTS[dataset][1] == len(data.classes)


@pytest.mark.parametrize("limit", [None, 7, 12])
def test_so_have_folders(tmp_path, limit):
    images = make_folder(tmp_path / "images", {"a": 9, "b": 14})
    config = cfg.build(cfg.PretrainConfig, {"dataset": str(images), "limit_images": limit})
    data = load_data(str(images), image_size=8, limit_images=limit, val_fraction=config.val_fraction)
    assert counts.num_train_images(config, folder_layout.read(str(images))) == data.train.num_images


def test_what_cannot_be_known_is_not_refused():
    for dataset in ("stl10", "/somewhere"):
        config = cfg.build(cfg.PretrainConfig, {"dataset": dataset, "batch_size": 65_536})
        assert counts.num_train_images(config) is None
        counts.check(config)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"limit_images": 100}, "batch_size is 256; allowed: at most the 90 training images."),
        ({"limit_images": 9}, "limit_images is 9; allowed: at least 10, one for each class of shapes, or unset."),
        ({"dataset": "cifar100", "limit_images": 90}, "at least 100, one for each class of cifar100"),
    ],
)
def test_too_few_images_are_refused_as_reading_them_would(values, sentence):
    with pytest.raises(ConfigError) as caught:
        counts.check(cfg.build(cfg.PretrainConfig, {"dataset": "shapes", "batch_size": 256} | values))
    assert sentence in str(caught.value)


def test_a_supervised_batch_may_be_larger_than_its_images_but_classes_have_to_agree():
    base = {"dataset": "shapes", "random_weight_init": True, "limit_images": 20, "batch_size": 256}
    counts.check(cfg.build(cfg.FinetuneConfig, base))
    counts.check(cfg.build(cfg.FinetuneConfig, base | {"num_classes": 10}))
    with pytest.raises(ConfigError, match=r"num_classes is 9; allowed: 10, as shapes has\."):
        counts.check(cfg.build(cfg.FinetuneConfig, base | {"num_classes": 9}))
