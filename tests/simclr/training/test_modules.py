"""The modules alone: shapes, gradients, modes, and what they measure."""

import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_PRETRAIN

from simclr import config as cfg
from simclr.config import FinetuneConfig, PretrainConfig
from simclr.data.batches import EpochBatches
from simclr.models.backbones import build_encoder
from simclr.objectives import mixing
from simclr.objectives.metrics import RunningMeans, classification_shares
from simclr.objectives.nt_xent import nt_xent
from simclr.training import frozen_head
from simclr.training.modules import Classifier, Labelled, SimCLR, Views


@pytest.fixture
def simclr():
    torch.manual_seed(0)
    config = cfg.build(PretrainConfig, TINY_PRETRAIN).resolved()
    return SimCLR(config, build_encoder("resnet_tiny", 16), num_steps=10, warmup_steps=2)


def make_classifier(**options):
    torch.manual_seed(0)
    config = cfg.build(FinetuneConfig, {"random_weight_init": True} | options)
    return Classifier(config, build_encoder("resnet_tiny", 16), 4, num_steps=10, warmup_steps=0)


def views(n=6):
    generator = torch.Generator().manual_seed(1)
    return Views(*(torch.randn(n, 3, 16, 16, generator=generator) for _ in range(2)), torch.arange(n))


def labelled(n=6):
    return Labelled(torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.arange(n) % 4)


def test_a_training_step_is_nt_xent_of_both_views_together(simclr):
    batch = views()
    z = simclr.head(simclr(torch.cat([batch.first, batch.second])))
    loss = simclr.training_step(batch, 0)
    torch.testing.assert_close(loss, nt_xent(*z.chunk(2), 0.5))
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in simclr.parameters())
    found = simclr.train_means.take()
    assert found["loss"] == pytest.approx(loss.item())
    assert set(found) == {"loss", "top1", "top5", "mean_rank"}


def test_representations_are_the_encoders_output(simclr):
    assert simclr(torch.randn(5, 3, 16, 16)).shape == (5, 128)
    assert simclr.parts.num_features == 128


def test_validation_measures_all_batches_together(simclr):
    simclr.eval()
    simclr.on_validation_epoch_start()
    with torch.no_grad():
        losses = []
        for n in (6, 4):
            simclr.validation_step(views(n), 0)
            z = simclr.head(simclr(torch.cat(views(n)[:2])))
            losses.append(nt_xent(*z.chunk(2), 0.5).item())
        simclr.on_validation_epoch_end()
    assert simclr.val_metrics["val/loss"] == pytest.approx((6 * losses[0] + 4 * losses[1]) / 10, rel=1e-5)
    assert set(simclr.val_metrics) == {
        "val/loss",
        "val/top1",
        "val/top5",
        "val/mean_rank",
        "val/alignment",
        "val/uniformity",
        "val/positive_similarity",
        "val/negative_similarity",
        "val/effective_rank",
        "val/effective_rank_z",
    }


def test_a_broken_encoder_is_measured_without_an_error(simclr):
    """Weights that are no numbers any more must end as "diverged", which is found from the values."""
    simclr.eval()
    with torch.no_grad():
        simclr.head[2].weight.fill_(float("nan"))
        simclr.on_validation_epoch_start()
        simclr.validation_step(views(), 0)
        simclr.on_validation_epoch_end()
    assert simclr.val_metrics["val/loss"] != simclr.val_metrics["val/loss"]


@pytest.mark.parametrize("frozen", [True, False])
def test_freezing_keeps_weights_modes_and_buffers(frozen):
    model = make_classifier(freeze_encoder=frozen)
    for _ in range(2):
        assert model.encoder.training is not frozen
        assert model.head.training
        model.train()
    before = {key: value.clone() for key, value in model.encoder.state_dict().items()}
    optimizer = model.configure_optimizers()["optimizer"]
    loss = model.training_step(labelled(), 0)
    loss.backward()
    optimizer.step()
    after = model.encoder.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items()) == frozen
    assert model.head.weight.grad is not None
    trained = sum(len(group["params"]) for group in optimizer.param_groups)
    assert trained == (2 if frozen else len(list(model.parameters())))


@pytest.mark.parametrize("way", ["mixup_alpha", "cutmix_alpha"])
def test_a_classifier_learns_from_mixed_images_and_targets(way):
    model, batch = make_classifier(**{way: 1, "seed": 5}), labelled()
    alphas = {"mixup_alpha": 0.0, "cutmix_alpha": 0.0, way: 1.0}
    mix = mixing.draw_mix(**alphas, probability=1, seed=5, step=0, height=16, width=16)
    others = batch.images.roll(1, 0)
    logits = model(mixing.mix_images(batch.images, others, mix))
    parts = [F.cross_entropy(logits, classes) for classes in (batch.labels, batch.labels.roll(1))]
    loss = model.training_step(batch, 0)
    torch.testing.assert_close(loss, mix.weight * parts[0] + (1 - mix.weight) * parts[1])
    assert 0.01 < mix.weight < 0.99 and abs(loss - F.cross_entropy(model(batch.images), batch.labels)) > 1e-3
    best = logits.argmax(dim=1)
    hits = mix.weight * (best == batch.labels) + (1 - mix.weight) * (best == batch.labels.roll(1))
    assert model.train_means.take()["top1"] == pytest.approx(float(hits.float().mean()))


def test_a_batch_that_is_not_mixed_is_as_without_the_option():
    batch, losses = labelled(), []
    for options in ({}, {"mixup_alpha": 1, "mix_probability": 1e-9}):
        model = make_classifier(**options)
        losses.append((model.training_step(batch, 0), model.train_means.take()))
    assert losses[0] == losses[1]


def test_validation_of_a_classifier_weighs_images_and_not_batches():
    model = make_classifier().eval()
    model.on_validation_epoch_start()
    with torch.no_grad():
        for n in (6, 2):
            model.validation_step(labelled(n), 0)
        model.on_validation_epoch_end()
        logits = torch.cat([model(labelled(n).images) for n in (6, 2)])
    labels = torch.cat([labelled(n).labels for n in (6, 2)])
    assert model.val_metrics["val/loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert model.val_metrics["val/top1"] == pytest.approx((logits.argmax(dim=1) == labels).float().mean().item())
    assert model.val_metrics["val/top5"] == 1.0


def test_shares_of_the_best_classes():
    logits = torch.tensor([[9.0, 8, 7, 6, 5, 4, 3], [9, 8, 7, 6, 5, 4, 3]])
    assert [float(share) for share in classification_shares(logits, torch.tensor([0, 4])).values()] == [0.5, 1.0]
    assert [float(share) for share in classification_shares(logits, torch.tensor([1, 5])).values()] == [0.0, 0.5]
    assert float(classification_shares(logits[:, :2], torch.tensor([1, 1]))["top5"]) == 1.0


def test_running_means_survive_a_checkpoint():
    whole, first = RunningMeans(), RunningMeans()
    values = [torch.tensor(0.1), torch.tensor(0.7), torch.tensor(1.3)]
    for value, num_images in zip(values, (7, 7, 2), strict=True):
        whole.add({"loss": value}, num_images)
    for value in values[:2]:
        first.add({"loss": value}, 7)
    second = RunningMeans()
    second.load_state_dict(first.state_dict())
    second.add({"loss": values[2]}, 2)
    assert whole.take() == second.take() == {"loss": pytest.approx((0.1 * 7 + 0.7 * 7 + 1.3 * 2) / 16)}
    assert second.take() == {}


def test_training_all_weights_and_training_a_head_log_the_same_means():
    """Ten images in batches of 4, 4 and 2: the rows of both count images, and not batches."""
    features, labels = torch.randn(10, 128, generator=torch.Generator().manual_seed(1)), torch.arange(10) % 4
    # so small a step that the head stays what it was
    model = make_classifier(freeze_encoder=True, batch_size=4, epochs=1, learning_rate=1e-30)
    train_head = frozen_head.train_head(model.head, features, labels, None, model.config, num_steps=3, warmup_steps=0)
    measured, _ = next(train_head)
    model.encoder = torch.nn.Flatten()
    batches = EpochBatches(10, 4, seed=model.config.seed, drop_last=False)
    for positions in batches:
        model.training_step(Labelled(features[positions][:, :, None, None], labels[positions]), 0)
    assert model.train_means.take() == pytest.approx(measured.train, rel=1e-6)
    expected = F.cross_entropy(model.head(features), labels).item()
    assert measured.train["loss"] == pytest.approx(expected, rel=1e-6)
