"""A batch in micro-batches gives the gradient of the whole batch (GradCache, Gao et al. 2021)."""

import copy

import lightning as L
import pytest
import torch
from conftest import TINY_PRETRAIN
from lightning.pytorch.plugins import MixedPrecision
from torch import nn

from simclr import config as cfg
from simclr.config import PretrainConfig
from simclr.data.sampling import NETWORK_STREAM
from simclr.lifecycle.train import train
from simclr.models import backbones
from simclr.objectives.nt_xent import nt_xent
from simclr.training.modules import SimCLR, Views, stream_seed

N = 24


class Gradients(L.Callback):
    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.found = {name: p.grad.clone() for name, p in pl_module.named_parameters() if p.grad is not None}
        self.lr = optimizer.param_groups[0]["lr"]


class Batches(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return Views(*(torch.randn(N, 3, 16, 16, generator=generator) for _ in range(2)), torch.arange(N))


def one_step(encoder, micro, precision="32-true", length=1.0, temperature=0.1):
    """Gradients, weights and running means after one optimizer step on N images; embeddings as long times `length`."""
    torch.manual_seed(3)
    options = TINY_PRETRAIN | {"batch_size": N, "temperature": temperature, "optimizer": "sgd"}
    options["learning_rate"] = 0.1
    config = cfg.build(PretrainConfig, options | ({"micro_batch_size": micro} if micro else {})).resolved()
    model = SimCLR(config, encoder, num_steps=4, warmup_steps=0)
    with torch.no_grad():
        model.head[-1].weight.mul_(length)
    gradients = Gradients()
    trainer = L.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        callbacks=[gradients],
        barebones=False,
        **({"precision": precision} if isinstance(precision, str) else {"plugins": [precision]}),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, torch.utils.data.DataLoader(Batches(), batch_size=None))
    assert trainer.global_step == 1
    return gradients, model


def without_batch_norm():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten()]
    return backbones.Backbone(nn.Sequential(*layers), 16 * 9, "fc")


def relative_difference(first, second):
    """Distance of two gradients, all parameters as one vector, over the length of the first."""
    first, second = (torch.cat([found[name].flatten().double() for name in first]) for found in (first, second))
    return float((first - second).norm() / first.norm())


@pytest.mark.parametrize("micro", [1, 5, 8, 12])
def test_the_gradient_is_that_of_the_whole_batch(micro):
    whole, model = one_step(without_batch_norm(), None)
    chunked, other = one_step(without_batch_norm(), micro)
    assert whole.found.keys() == chunked.found.keys()
    assert relative_difference(whole.found, chunked.found) < 2e-6  # float32, and rows that are much alike
    assert whole.lr == chunked.lr
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)
    assert model.train_means.take() == pytest.approx(other.train_means.take(), rel=1e-6)


def test_in_float64_it_is_equal_to_rounding():
    whole, _ = one_step(without_batch_norm(), None, precision="64-true")
    chunked, _ = one_step(without_batch_norm(), 5, precision="64-true")
    assert relative_difference(whole.found, chunked.found) < 1e-13


def test_float16_rounds_no_gradient_before_it_is_scaled():
    """Long embeddings and a high temperature make the gradient as small as a large batch does: 1e-6 and less."""

    def step(micro):
        precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**14))
        return one_step(without_batch_norm(), micro, precision, length=1e4, temperature=10.0)[0].found

    assert relative_difference(step(None), step(8)) < 2e-3


def test_plain_accumulation_would_not_do():
    """The same chunks, each contrasted with itself only: another gradient altogether."""
    whole, _ = one_step(without_batch_norm(), None)
    torch.manual_seed(3)
    encoder = without_batch_norm()
    config = cfg.build(PretrainConfig, TINY_PRETRAIN | {"temperature": 0.1}).resolved()
    model = SimCLR(config, encoder, num_steps=4, warmup_steps=0)
    batch = Batches()[0]
    for first, second in zip(batch.first.split(8), batch.second.split(8), strict=True):
        z = model.head(model(torch.cat([first, second])))
        (nt_xent(*z.chunk(2), 0.1) / 3).backward()
    accumulated = {name: p.grad for name, p in model.named_parameters()}
    assert relative_difference(whole.found, accumulated) > 0.05


def test_the_schedule_moves_as_without_chunks():
    _, model = one_step(without_batch_norm(), None)
    _, other = one_step(without_batch_norm(), 6)
    rates = [m.lr_schedulers().get_last_lr() for m in (model, other)]
    assert rates[0] == rates[1]
    assert rates[0][0] < 0.1


def test_batch_norm_takes_in_every_chunk_once():
    torch.manual_seed(0)
    encoder = backbones.build_encoder("resnet_tiny", 16)
    expected = copy.deepcopy(encoder.network)
    batch = Batches()[0]
    expected.train()
    with torch.no_grad():
        for first, second in zip(batch.first.split(8), batch.second.split(8), strict=True):
            expected(torch.cat([first, second]))
    _, model = one_step(encoder, 8)
    found, wanted = dict(model.encoder.named_buffers()), dict(expected.named_buffers())
    assert any("running_var" in name for name in found)
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-5)


def test_dropout_draws_the_same_in_both_passes():
    """With other masks in the second pass the gradient would belong to another function: here the loss falls."""

    def encoder():
        torch.manual_seed(0)
        return backbones.Backbone(nn.Sequential(nn.Flatten(), nn.Linear(768, 32), nn.ReLU(), nn.Dropout(0.5)), 32, "fc")

    gradients, _ = one_step(encoder(), 8, precision="64-true")
    # by hand: each chunk draws from a stream of its own
    network = encoder()
    torch.manual_seed(3)
    config = cfg.build(PretrainConfig, TINY_PRETRAIN | {"temperature": 0.1}).resolved()
    reference = SimCLR(config, network, num_steps=4, warmup_steps=0).double()
    batch = Batches()[0]
    z = []
    for chunk, (first, second) in enumerate(zip(batch.first.split(8), batch.second.split(8), strict=True)):
        torch.manual_seed(stream_seed(NETWORK_STREAM, config.seed, 0, 0, chunk))
        z.append(reference.head(reference(torch.cat([first, second]).double())).chunk(2))
    z1, z2 = (torch.cat([pair[i] for pair in z]) for i in (0, 1))
    nt_xent(z1, z2, 0.1).backward()
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(gradients.found[name], parameter.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("precision", ["32-true", pytest.param("bf16-mixed", marks=pytest.mark.slow)])
def test_a_whole_run_in_micro_batches(tmp_path, precision):
    config = cfg.build(PretrainConfig, TINY_PRETRAIN | {"micro_batch_size": 5, "precision": precision})
    run = train(config, runs_dir=tmp_path / "runs")
    assert run.status.state == "finished", run.status.error
    assert run.status.step == 6
    losses = [value for value in run.metrics()["train/loss"] if value == value]
    assert len(losses) == 6
    whole = train(cfg.build(PretrainConfig, TINY_PRETRAIN | {"precision": precision}), runs_dir=tmp_path / "runs")
    # the same views and negatives; only BatchNorm's statistics are a chunk's
    assert losses == pytest.approx([value for value in whole.metrics()["train/loss"] if value == value], rel=0.05)
    assert losses != [value for value in whole.metrics()["train/loss"] if value == value]
