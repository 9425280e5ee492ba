"""Several passes over few labelled images in one epoch: each image as often as asked, and never the same view twice."""

from collections import Counter

import pytest
import torch
from conftest import TINY, make_folder

from simclr import config as cfg
from simclr.config import FinetuneConfig
from simclr.lifecycle import prepare
from simclr.lifecycle.train import train
from simclr.runs import film_frames
from simclr.training import datamodule

OPTIONS = TINY | {
    "random_weight_init": True,
    "backbone": "resnet_tiny",
    "limit_images": 160,
    "label_fraction": 0.1,
    "batch_size": 16,
    "epochs": 2,
}


@pytest.fixture
def seen(monkeypatch):
    """(epoch, image, pass) of every training image that was drawn."""
    found = []
    real = datamodule.augment.random_view

    def spied(images, ids, augmentation, *, epoch, view, **options):
        found.extend(zip([epoch] * len(ids), ids.tolist(), view.tolist(), strict=True))
        return real(images, ids, augmentation, epoch=epoch, view=view, **options)

    monkeypatch.setattr(datamodule.augment, "random_view", spied)
    return found


@pytest.mark.parametrize("streamed", [False, True])
def test_each_image_is_seen_as_often_as_asked_and_each_time_anew(tiny_runs, tmp_path, seen, streamed):
    more = {}
    if streamed:
        folder = make_folder(tmp_path / "images", {"a": 100, "b": 100})
        more = {"dataset": str(folder), "memory_share": 0, "num_workers": 0}
    config = cfg.build(FinetuneConfig, OPTIONS | more | {"passes_per_epoch": 7})
    run = train(config, runs_dir=tiny_runs)
    assert run.status.state == "finished", run.status.error
    labels = run.evaluation["num_labels"]
    counts = Counter((epoch, image) for epoch, image, _ in seen)
    assert len(counts) == 2 * labels and set(counts.values()) == {7}
    assert len(set(seen)) == len(seen)  # another random view each time
    assert run.status.step == 2 * -(-labels * 7 // 16)
    assert sum(value == value for value in run.metrics()["val/loss"]) == 2  # once an epoch
    assert "7 passes over the labelled images in an epoch" in run.evaluation["budget"]


def test_one_pass_is_what_it_was(tiny_runs, seen):
    train(cfg.build(FinetuneConfig, OPTIONS), runs_dir=tiny_runs)
    assert {passed for _, _, passed in seen} == {0}


def test_a_head_on_features_takes_as_many_steps(finished_run, finished_runs_dir, tiny_runs):
    options = TINY | {"experiment_version": str(finished_run.path), "freeze_encoder": True, "batch_size": 16}
    run = train(cfg.build(FinetuneConfig, options | {"passes_per_epoch": 5, "epochs": 3}), runs_dir=tiny_runs)
    assert run.status.step == 3 * -(-run.evaluation["num_labels"] * 5 // 16)


def test_images_seen_are_counted_the_same_way_in_both_kinds(tmp_path):
    values = {
        name: OPTIONS[name] for name in ("limit_images", "batch_size", "seed", "dataset", "image_size", "backbone")
    }
    pretraining = prepare.prepare(cfg.build(cfg.PretrainConfig, TINY | values | {"epochs": 4}), tmp_path)
    assert [pretraining.images_seen(epoch) for epoch in (0, 1, 4)] == [0, 144, 576]
    scratch = prepare.prepare(cfg.build(FinetuneConfig, OPTIONS | {"passes_per_epoch": 9, "max_steps": 12}), tmp_path)
    labels = scratch.train.num_images
    assert [scratch.images_seen(epoch) for epoch in (0, 1, 2)] == [0, 9 * labels, min(18 * labels, 12 * 16)]


def test_the_film_says_how_many_images_each_frame_has_seen(tiny_runs):
    run = train(cfg.build(FinetuneConfig, OPTIONS | {"passes_per_epoch": 9, "film_frames": 2}), runs_dir=tiny_runs)
    from simclr.embeddings import film

    found = film.load(run)
    labels = run.evaluation["num_labels"]
    assert found.epochs == (0, 1, 2)
    assert found.about["images_seen"] == [0, 9 * labels, 18 * labels]
    assert film_frames.planned_epochs(2, 2) == found.about["epochs"]
    assert torch.isfinite(torch.from_numpy(found.features(2))).all()
