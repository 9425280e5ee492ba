"""Several passes over few labelled images in one epoch: each image as often as asked, and never the same view twice."""

from collections import Counter

import pytest
import torch
from conftest import TINY, make_folder

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, FinetuneConfig
from simclr.data.batches import EpochBatches
from simclr.data.loading import load_run_data
from simclr.films import film
from simclr.lifecycle import prepare
from simclr.lifecycle.train import train
from simclr.runs import film_frames
from simclr.training import datamodule, frozen_head

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
    config = cfg.build(FinetuneConfig, OPTIONS | more | {"images_per_epoch": 100})
    run = train(config, runs_dir=tiny_runs)
    assert run.status.state == "finished", run.status.error
    labels = run.evaluation["num_labels"]
    assert labels < 20 and Counter(epoch for epoch, _, _ in seen) == {0: 100, 1: 100}
    counts = Counter(image for _, image, _ in seen)
    assert len(counts) == labels and set(counts.values()) <= {200 // labels, 200 // labels + 1}
    assert len(set(seen)) == len(seen)  # another random view each time
    assert run.status.step == 2 * -(-100 // 16)
    assert sum(value == value for value in run.metrics()["val/loss"]) == 2  # once an epoch
    assert "100 images in an epoch" in run.evaluation["budget"]


@pytest.mark.parametrize("images_per_epoch", [1, 20, 59, 60, 61, 90, 240])
@pytest.mark.parametrize("num_ranks", [1, 2])
def test_passes_follow_each_other_and_each_is_in_an_order_of_its_own(images_per_epoch, num_ranks):
    """However many images an epoch has: all are taken equally often, by all ranks together; what it takes of a
    pass are any of the images, not those that lie together on the disk."""
    num_images, num_epochs = 60, 7
    taken, order = [], []
    for epoch in range(num_epochs):
        ranks = []
        for rank in range(num_ranks):
            batches = EpochBatches(
                num_images, 8, drop_last=False, rank=rank, num_ranks=num_ranks, images_per_epoch=images_per_epoch
            )
            batches.set_epoch(epoch)
            ranks.append(list(batches))
            assert len(ranks[-1]) == len(batches)
        order.append(batches.order().tolist())
        assert len(order[-1]) == images_per_epoch
        taken += [position for batch in zip(*ranks, strict=True) for position in torch.cat(batch).tolist()]
    stream = [position for each in order for position in each]
    for start in range(0, len(stream), num_images):
        part = stream[start : start + num_images]
        assert {position // num_images for position in part} == {start // num_images}
        assert len(set(part)) == len(part)
    if num_ranks == 1 or images_per_epoch % 2 == 0:  # else a batch is filled up
        assert sorted(taken) == sorted(stream)
    if images_per_epoch == 20:
        middle = [sum(each) / len(each) - min(each) // num_images * num_images for each in order[:3]]
        assert all(15 < value < 45 for value in middle)  # a window of the first or last 20 would have 9.5 or 49.5
    if images_per_epoch == num_images:  # as without the option
        batches = EpochBatches(num_images, 8, drop_last=False)
        for epoch in range(num_epochs):
            batches.set_epoch(epoch)
            assert batches.order().tolist() == [position % num_images for position in order[epoch]]


@pytest.mark.parametrize("frozen", [False, True])
def test_part_of_many_images_has_all_classes_in_each_epoch(
    tmp_path, tiny_runs, finished_run, seen, monkeypatch, frozen
):
    """Images of a folder lie class by class: an epoch of a third of them is no epoch of one class."""
    folder = make_folder(tmp_path / "images", dict.fromkeys("abc", 60))
    options = OPTIONS | {"dataset": str(folder), "limit_images": None, "label_fraction": 1, "val_fraction": 0.1}
    options |= {"images_per_epoch": 48, "epochs": 3}
    if frozen:
        options |= {"random_weight_init": False, "freeze_encoder": True, "experiment_version": str(finished_run.path)}
        found = []
        real = frozen_head.F.cross_entropy
        monkeypatch.setattr(
            frozen_head.F, "cross_entropy", lambda x, y, **o: found.append(y.tolist()) or real(x, y, **o)
        )
    run = train(cfg.build(FinetuneConfig, options), runs_dir=tiny_runs)
    assert run.status.state == "finished", run.status.error
    if frozen:
        batches = [batch for batch in found if len(batch) == 16][-9:]  # before them its speed is measured, on zeros
        assert len(batches) == 9 and all(len(set(batch)) == 3 for batch in batches)
    else:
        names = load_run_data(runs.load_config(run)).train
        label_of = dict(zip(names.ids.tolist(), names.labels.tolist(), strict=True))
        for epoch in range(3):
            counts = Counter(label_of[image] for number, image, _ in seen if number == epoch)
            assert sum(counts.values()) == 48 and min(counts.values()) >= 8 and len(counts) == 3


def test_one_pass_is_what_it_was(tiny_runs, seen):
    train(cfg.build(FinetuneConfig, OPTIONS), runs_dir=tiny_runs)
    assert {passed for _, _, passed in seen} == {0}


def test_a_head_on_features_takes_as_many_steps(finished_run, finished_runs_dir, tiny_runs):
    options = TINY | {"experiment_version": str(finished_run.path), "freeze_encoder": True, "batch_size": 16}
    run = train(cfg.build(FinetuneConfig, options | {"images_per_epoch": 90, "epochs": 3}), runs_dir=tiny_runs)
    assert run.status.step == 3 * -(-90 // 16)


def test_images_seen_are_counted_the_same_way_in_both_kinds(tmp_path):
    same = {name: OPTIONS[name] for name in ("limit_images", "batch_size", "dataset")}
    pretraining = prepare.prepare(cfg.build(cfg.PretrainConfig, TINY | same | {"epochs": 4}), tmp_path)
    assert [pretraining.images_seen(epoch) for epoch in (0, 1, 4)] == [0, 144, 576]
    options = OPTIONS | {"images_per_epoch": 150, "max_steps": 12}
    scratch = prepare.prepare(cfg.build(FinetuneConfig, options), tmp_path)
    assert [scratch.images_seen(epoch) for epoch in (0, 1, 2)] == [0, 150, 12 * 16]


@pytest.mark.parametrize(
    ("more", "seen_in_all"),
    [({"epochs": 4}, 4 * 144), ({"epochs": 4, "max_steps": 20}, 20 * 16), ({"epochs": 4, "batch_size": 48}, 4 * 144)],
    ids=str,
)
def test_the_budget_of_an_experiment_is_matched(tiny_runs, more, seen_in_all):
    same = {name: OPTIONS[name] for name in ("limit_images", "batch_size", "dataset")}
    pretraining = train(cfg.build(cfg.PretrainConfig, TINY | same | more), runs_dir=tiny_runs)
    options = OPTIONS | {"experiment_version": pretraining.id, "match_experiment": True, "batch_size": 8}
    run = train(cfg.build(FinetuneConfig, options), runs_dir=tiny_runs)
    assert run.status.state == "finished", run.status.error
    frames = [film.load(each).about for each in (pretraining, run)]
    assert frames[0]["images_seen"][-1] == frames[1]["images_seen"][-1] == seen_in_all
    if "max_steps" not in more:
        assert frames[0]["images_seen"] == frames[1]["images_seen"]
    config = run.config
    assert (config["epochs"], config["images_per_epoch"]) == (
        pretraining.status.epochs,
        144,
    )  # as trained, for a repeat


def test_only_a_pretraining_can_be_matched(finished_run, tiny_runs):
    with pytest.raises(ConfigError, match="match_experiment is true and experiment_version is not set; allowed: the"):
        cfg.build(FinetuneConfig, OPTIONS | {"match_experiment": True})
    options = OPTIONS | {"match_experiment": True, "experiment_version": str(finished_run.model_path)}
    with pytest.raises(ConfigError, match="a weights file; allowed: a pre-training, whose epochs can be matched"):
        prepare.prepare(cfg.build(FinetuneConfig, options), tiny_runs)


def test_the_film_says_how_many_images_each_frame_has_seen(tiny_runs):
    run = train(cfg.build(FinetuneConfig, OPTIONS | {"images_per_epoch": 90, "film_frames": 2}), runs_dir=tiny_runs)
    found = film.load(run)
    assert found.epochs == (0, 1, 2)
    assert found.about["images_seen"] == [0, 90, 180]
    assert film_frames.planned_epochs(2, 2) == found.about["epochs"]
    assert torch.isfinite(torch.from_numpy(found.features(2))).all()
