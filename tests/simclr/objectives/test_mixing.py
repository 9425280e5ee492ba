"""MixUp and CutMix against torchvision's, drawn as often as they should be, and in several processes as in one."""

import random
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torchvision.transforms import v2

from simclr import config as cfg
from simclr.config import ConfigError, FinetuneConfig
from simclr.objectives import mixing
from simclr.objectives.mixing import Mix, cutmix, draw_mix, mix_images, mix_targets, mixed_shares, partners_of

CLASSES, HEIGHT, WIDTH = 5, 12, 17
SOURCE = {"random_weight_init": True}


def batch(n=7):
    generator = torch.Generator().manual_seed(n)
    images = torch.randn(n, 3, HEIGHT, WIDTH, generator=generator)
    return images, torch.randint(CLASSES, (n,), generator=generator)


def mixed(images, labels, mix):
    return (
        mix_images(images, partners_of(images), mix),
        mix_targets(labels, partners_of(labels), mix.weight, CLASSES),
    )


def draws(number=2000, seed=3, **options):
    options = {"mixup_alpha": 0.0, "cutmix_alpha": 0.0, "probability": 1.0} | options
    return [draw_mix(seed=seed, step=step, height=HEIGHT, width=WIDTH, **options) for step in range(number)]


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.71234567, 1.0])
def test_mixup_is_torchvisions(monkeypatch, weight):
    images, labels = batch()
    theirs = v2.MixUp(num_classes=CLASSES)
    monkeypatch.setattr(theirs, "_dist", type("Fixed", (), {"sample": lambda self, shape: torch.tensor(weight)})())
    wanted = theirs(images.clone(), labels.clone())
    ours = mixed(images, labels, Mix(float(torch.tensor(weight))))
    assert all(torch.equal(*pair) for pair in zip(ours, wanted, strict=True))


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("center", [(0, 0), (HEIGHT - 1, WIDTH - 1), (5, 9), (1, 16)])
def test_cutmix_is_torchvisions(monkeypatch, weight, center):
    images, labels = batch()
    theirs = v2.CutMix(num_classes=CLASSES)
    drawn = {HEIGHT: center[0], WIDTH: center[1]}
    monkeypatch.setattr(theirs, "_dist", type("Fixed", (), {"sample": lambda self, shape: torch.tensor(weight)})())
    monkeypatch.setattr(torch, "randint", lambda high, size: torch.tensor([drawn[high]]))
    wanted = theirs(images.clone(), labels.clone())
    mix = cutmix(float(torch.tensor(weight)), center, HEIGHT, WIDTH)
    ours = mixed(images, labels, mix)
    assert all(torch.equal(*pair) for pair in zip(ours, wanted, strict=True))
    own = (ours[0] == images).all(dim=1).float().mean(dim=(1, 2))  # the share of pixels that stayed
    torch.testing.assert_close(own, torch.full((len(images),), mix.weight))


def test_the_loss_is_the_weighted_sum_of_both_classes_losses():
    _, labels = batch()
    logits = torch.randn(len(labels), CLASSES, generator=torch.Generator().manual_seed(1))
    others = labels.roll(1)
    loss = F.cross_entropy(logits, mix_targets(labels, others, 0.3, CLASSES))
    slow = sum(
        -0.3 * row.log_softmax(0)[own] - 0.7 * row.log_softmax(0)[other]
        for row, own, other in zip(logits, labels, others, strict=True)
    )
    torch.testing.assert_close(loss, slow / len(labels))


def test_a_right_class_counts_by_its_weight():
    logits = torch.eye(7)[[0, 1, 2, 3]]  # the first five of ties are the best five
    labels, others = torch.tensor([0, 1, 0, 6]), torch.tensor([0, 5, 2, 3])
    found = mixed_shares(logits, labels, others, 0.7)
    assert float(found["top1"]) == pytest.approx((1.0 + 0.7 + 0.3 + 0.3) / 4)
    assert float(mixed_shares(logits, labels, others, 1.0)["top1"]) == pytest.approx(2 / 4)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_are_beta_distributed(alpha):
    weights = np.array([mix.weight for mix in draws(mixup_alpha=alpha)])
    assert weights.mean() == pytest.approx(0.5, abs=0.03)
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)  # of Beta(alpha, alpha)


@pytest.mark.parametrize("alpha", [1e-300, 1e-3, 100])
def test_extreme_alphas_give_weights(alpha):
    for mix in draws(200, mixup_alpha=alpha, cutmix_alpha=alpha):
        assert 0 <= mix.weight <= 1


def test_as_many_batches_are_mixed_as_asked_and_by_either():
    found = draws(mixup_alpha=0.2, cutmix_alpha=1.0, probability=0.6)
    assert sum(mix is not None for mix in found) / 2000 == pytest.approx(0.6, abs=0.04)
    cuts = [mix.box is not None for mix in found if mix is not None]
    assert sum(cuts) / len(cuts) == pytest.approx(0.5, abs=0.05)
    assert all(mix.box is None for mix in draws(100, mixup_alpha=0.2))
    assert all(mix.box is not None for mix in draws(100, cutmix_alpha=0.2))
    assert draws(100) == [None] * 100


def test_boxes_lie_anywhere():
    found = draws(cutmix_alpha=1.0)
    covered = np.zeros((HEIGHT, WIDTH))
    for mix in found:
        top, left, bottom, right = mix.box
        covered[top:bottom, left:right] += 1 / len(found)
    assert covered.min() > 0.1  # corners, too
    assert covered[HEIGHT // 2, WIDTH // 2] > 2 * covered[0, 0]


def test_a_draw_is_of_seed_and_step_alone():
    options = {"mixup_alpha": 0.2, "cutmix_alpha": 1.0}
    whole = draws(50, **options)
    np.random.seed(0)
    torch.manual_seed(0)
    random.seed(0)
    assert draws(50, **options) == whole != draws(50, seed=4, **options)
    assert len({mix.weight for mix in whole}) > 30  # some of MixUp are all but 1
    some = draws(50, probability=0.5, **options)  # of the same mixes
    assert {mix for mix in some if mix is not None} < set(whole)


def process(rank, world, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    images, labels = batch(12)
    own = images[rank::world].contiguous(memory_format=torch.channels_last), labels[rank::world]
    torch.save([partners_of(rows) for rows in own], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_several_processes_mix_as_one(tmp_path, world):
    mp.spawn(process, args=(world, str(tmp_path)), nprocs=world)
    images, labels = batch(12)
    for rank in range(world):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert torch.equal(found[0], images.roll(1, 0)[rank::world])
        assert torch.equal(found[1], labels.roll(1, 0)[rank::world])


def test_what_is_mixed_is_left_as_it_was():
    images, labels = batch()
    before = images.clone(), labels.clone()
    for mix in (Mix(0.3), cutmix(0.3, (5, 5), HEIGHT, WIDTH)):
        mixed(images, labels, mix)
    assert torch.equal(images, before[0]) and torch.equal(labels, before[1])
    assert mixing.partners_of(images[:1]).equal(images[:1])  # a last batch of one has no other


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"mixup_alpha": -1}, "mixup_alpha is -1; allowed: a number from 0 to 100."),
        ({"cutmix_alpha": "much"}, "cutmix_alpha is much; allowed: a number from 0 to 100."),
        ({"mixup_alpha": float("inf")}, "mixup_alpha is inf; allowed: a number from 0 to 100."),
        ({"mix_probability": 0}, "mix_probability is 0; allowed: a number above 0, up to 1."),
        (
            {"cutmix_alpha": 1, "batch_size": 1},
            "batch_size is 1 and cutmix_alpha is 1; allowed: at least 2, since the images of a batch are mixed with "
            "each other.",
        ),
        (
            {"mixup_alpha": 0.2, "freeze_encoder": True, "random_weight_init": False, "experiment_version": 1},
            "mixup_alpha is 0.2; allowed: 0 with freeze_encoder true and no augmentation, since the head is trained on "
            "features computed once, and images are mixed.",
        ),
    ],
)
def test_bad_values_are_told_in_a_sentence(values, sentence):
    with pytest.raises(ConfigError) as caught:
        cfg.build(FinetuneConfig, SOURCE | values)
    assert str(caught.value) == sentence
