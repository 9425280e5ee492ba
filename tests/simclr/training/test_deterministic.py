"""The option `deterministic`: what it sets, what it replaces, what it refuses."""

import contextlib
import os

import pytest
import torch
from conftest import TINY_PRETRAIN
from torch import nn

from simclr import config as cfg
from simclr.config import BACKBONES, ConfigError, PretrainConfig
from simclr.lifecycle.failures import explain
from simclr.models import backbones
from simclr.models.compute import CUBLAS, deterministic_algorithms

# What PyTorch 2.14 documents as refused on a GPU under `use_deterministic_algorithms`, as autograd names it.
REFUSED = (
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "AvgPool3D",
    "FractionalMaxPool",
    "MaxUnpool",
    "Upsample",
    "Reflection",
    "GridSampler",
    "CtcLoss",
    "NllLoss2D",
    "EmbeddingBag",
    "Put",
    "Median",
)


def test_the_option_takes_words_and_truth_values():
    for given, kept in ((True, "true"), (False, "false"), ("AUTO", "auto"), ("true", "true")):
        config = cfg.build(PretrainConfig, TINY_PRETRAIN | {"deterministic": given})
        assert config.deterministic == kept
    with pytest.raises(ConfigError, match=r"^deterministic is maybe; allowed: auto, true"):
        cfg.build(PretrainConfig, TINY_PRETRAIN | {"deterministic": "maybe"})


@pytest.mark.parametrize(
    ("option", "accelerator", "gpu", "is_set"),
    [
        ("true", "auto", True, True),
        ("true", "cpu", True, False),
        ("true", "auto", False, False),
        ("auto", "auto", True, False),
        ("false", "gpu", True, False),
    ],
)
def test_it_is_set_while_a_gpu_trains_and_put_back(monkeypatch, option, accelerator, gpu, is_set):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setenv(CUBLAS, ":0:0")

    def found():
        cudnn = torch.backends.cudnn
        return (torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark, os.environ[CUBLAS])

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = found()
    config = cfg.build(PretrainConfig, TINY_PRETRAIN | {"deterministic": option, "accelerator": accelerator})
    with deterministic_algorithms(config):
        assert found() == ((True, True, False, ":4096:8") if is_set else before)
    assert found() == before


def refused_in(network, side):
    """Names of the operations in the network's gradient that PyTorch refuses."""
    waiting, seen = [network(torch.empty(2, 3, side, side, device="meta", requires_grad=True)).grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return {node.name() for node in seen if node.name().startswith(REFUSED)}


@pytest.fixture
def meta(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # which knows no meta tensors


def built(name):
    side = 224 if name.startswith(("vit", "maxvit")) else 256  # where no pooling is the identity
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        return backbones.build_network(name, side, False).to("meta"), side


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet18", "squeezenet1_1"])
def test_backbones_have_a_gradient_that_is_the_same_each_time(name, meta):
    network, side = built(name)
    assert bool(refused_in(network, side)) == (name in ("alexnet", "vgg11"))
    keys = list(network.state_dict())
    backbones.make_deterministic(network)
    assert refused_in(network, side) == set()
    assert list(network.state_dict()) == keys


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_has(name, meta):
    network, side = built(name)
    backbones.make_deterministic(network)
    assert refused_in(network, side) == set()


@pytest.mark.parametrize("sides", [(1, 1), (3, 5), (7, 7), (6, 13)])
def test_pooling_by_matrices_is_adaptive_pooling(sides):
    x = torch.randn(2, 3, *sides, dtype=torch.float32, requires_grad=True)
    expected, found = nn.AdaptiveAvgPool2d((6, 7))(x), backbones.AveragePool((6, 7))(x)
    assert torch.allclose(found, expected, atol=1e-6)
    weights = torch.randn_like(expected)
    (first,), (second,) = (torch.autograd.grad((y * weights).sum(), x) for y in (expected, found))
    assert torch.allclose(first, second, atol=1e-6)
    assert backbones.AveragePool((6, 7))(x.bfloat16()).dtype == torch.bfloat16


def test_what_cannot_be_is_refused_by_its_name():
    error = RuntimeError(
        "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set "
        "'torch.use_deterministic_algorithms(True)'."
    )
    assert explain(error, 16) == (
        "bad input",
        "deterministic is true, and grid_sampler_2d_backward_cuda is computed in another order each time on this GPU; "
        "allowed here: auto or false.",
    )
