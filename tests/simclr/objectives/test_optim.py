"""Optimizers against steps by hand, parameter groups, and the schedule's closed form."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from simclr import config as cfg
from simclr.models import compute
from simclr.models.backbones import build_encoder
from simclr.objectives import optim


def make_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def run_steps(optimizer, network, num_steps=3):
    gradients = []
    for number in range(num_steps):
        generator = torch.Generator().manual_seed(number)
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        gradients.append([p.grad.clone() for p in network.parameters()])
        optimizer.step()
    return gradients


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_lars_takes_the_steps_computed_by_hand(weight_decay):
    network, lr, momentum, trust_coefficient = make_network(), 0.7, 0.9, 0.001
    weights = [p.detach().clone() for p in network.parameters()]
    buffers = [torch.zeros_like(w) for w in weights]
    optimizer = optim.make_optimizer("lars", [network], lr, weight_decay)
    for gradients in run_steps(optimizer, network):
        for i, gradient in enumerate(gradients):
            step = gradient
            if weights[i].ndim > 1:
                step = gradient + weight_decay * weights[i]
                step = step * trust_coefficient * weights[i].norm() / step.norm()
            buffers[i] = momentum * buffers[i] + step
            weights[i] = weights[i] - lr * buffers[i]
    for parameter, expected in zip(network.parameters(), weights, strict=True):
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-5, atol=1e-7)


def test_lars_at_zero_weights_and_zero_gradients_takes_plain_steps():
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.ones(2, 2)
    optim.LARS([weight], lr=0.1).step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), -0.1))
    weight = nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.zeros(2, 2)
    optim.LARS([weight], lr=0.1).step()
    torch.testing.assert_close(weight.detach(), torch.ones(2, 2))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_muon_takes_torchs_steps_on_matrices_and_adams_on_the_rest(weight_decay, monkeypatch):
    monkeypatch.setattr(compute, "has_native_bfloat16", lambda device: True)  # torch's are in bfloat16 everywhere
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(16, 4))
    named = [p.detach().clone() for p in network.parameters()]
    matrices = [nn.Parameter(p.flatten(1).clone()) for p in named if p.ndim > 1]
    vectors = [nn.Parameter(p.clone()) for p in named if p.ndim == 1]
    lr = 0.01
    by_torch = torch.optim.Muon(
        matrices, lr=lr, weight_decay=weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW(vectors, lr=lr, weight_decay=0)
    optimizer = optim.make_optimizer("muon", [network], lr, weight_decay)
    for number in range(4):
        generator = torch.Generator().manual_seed(number)
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        gradients = [p.grad for p in network.parameters()]
        for theirs, gradient in zip(matrices, [g for g in gradients if g.ndim > 1], strict=True):
            theirs.grad = gradient.flatten(1)
        for theirs, gradient in zip(vectors, [g for g in gradients if g.ndim == 1], strict=True):
            theirs.grad = gradient
        optimizer.step(), by_torch.step(), adam.step()
    expected = {id(p): p for p in network.parameters()}
    mine = list(expected.values())
    for parameter, theirs in zip([p for p in mine if p.ndim > 1], matrices, strict=True):
        torch.testing.assert_close(parameter.flatten(1), theirs, rtol=1e-5, atol=1e-6)
    for parameter, theirs in zip([p for p in mine if p.ndim == 1], vectors, strict=True):
        torch.testing.assert_close(parameter, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("is_native", [True, False])
@pytest.mark.parametrize("shape", [(32, 200), (200, 32), (64, 64)])
def test_muons_step_is_nearly_orthogonal(shape, is_native, monkeypatch):
    """In bfloat16 where the processor has it, else in float32: there emulated products are 20 times as slow."""
    monkeypatch.setattr(compute, "has_native_bfloat16", lambda device: is_native)
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = optim.orthogonalized(matrix)
    assert found.dtype == (torch.bfloat16 if is_native else torch.float32)
    found = found.float()
    values = torch.linalg.svdvals(found)
    assert values.quantile(0.05) > 0.5  # a square one of noise has values near zero, which take more steps
    assert values.max() < 1.3
    cosine = torch.nn.functional.cosine_similarity(found.flatten(), (left @ right).flatten(), dim=0)
    assert cosine > 0.97
    assert (optim.orthogonalized(torch.zeros(shape)) == 0).all()


class LarsLoop(torch.optim.Optimizer):
    """LARS tensor by tensor, with the state of checkpoints written before it took them all at once."""

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                step = parameter.grad
                if group["adapt"]:
                    step = step.add(parameter, alpha=group["weight_decay"])
                    weight_norm, step_norm = parameter.norm(), step.norm()
                    if weight_norm > 0 and step_norm > 0:
                        step = step * (group["trust_coefficient"] * weight_norm / step_norm)
                buffer = self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
                buffer.mul_(group["momentum"]).add_(step)
                parameter.add_(buffer, alpha=-group["lr"])


def test_lars_goes_on_from_a_loop_over_tensors_with_its_values():
    expected = build_encoder("resnet_tiny", 16).network.to(memory_format=torch.channels_last)
    torch.nn.init.zeros_(next(p for p in expected.parameters() if p.ndim > 1))
    found = copy.deepcopy(expected)
    optimizer = optim.make_optimizer("lars", [found], 0.3, 1e-2)
    defaults = {key: value for key, value in optimizer.defaults.items() if key != "lr"}
    loop = LarsLoop(optim.parameter_groups([expected], 1e-2), {"lr": 0.3} | defaults)
    run_steps(loop, expected)
    found.load_state_dict(expected.state_dict())
    optimizer.load_state_dict(copy.deepcopy(loop.state_dict()))
    for network, steps in ((found, optimizer), (expected, loop)):
        run_steps(steps, network)
    for a, b in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)
    assert optimizer.state_dict()["state"].keys() == loop.state_dict()["state"].keys()


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "lars"])
def test_biases_and_norms_do_not_decay(name):
    network = build_encoder("resnet_tiny", 16).network
    groups = optim.make_optimizer(name, [network], 0.1, 0.01).param_groups
    decaying = {id(p) for group in groups if group["weight_decay"] > 0 for p in group["params"]}
    for module in network.modules():
        for key, parameter in module.named_parameters(recurse=False):
            wanted = key == "weight" and not isinstance(module, nn.BatchNorm2d)
            assert (id(parameter) in decaying) == wanted
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_named_optimizers_equal_torchs_own(name):
    found, expected = make_network(), make_network()
    run_steps(optim.make_optimizer(name, [found], 0.01, 0.0), found)
    own = {
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.0),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01),
        "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    }[name]
    run_steps(own(expected.parameters()), expected)
    for a, b in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_frozen_parameters_are_left_out():
    network = make_network()
    network[0].requires_grad_(False)
    groups = optim.parameter_groups([network], 0.1)
    assert sum(len(group["params"]) for group in groups) == 4


def test_schedule_rises_linearly_then_falls_along_a_cosine():
    factor = [optim.warmup_cosine(step, num_steps=110, warmup_steps=10, floor=0.02) for step in range(110)]
    assert factor[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factor[10] == 1.0
    for step in range(10, 110):
        expected = 0.02 + 0.98 * (1 + math.cos(math.pi * (step - 10) / 99)) / 2
        assert factor[step] == pytest.approx(expected)
    assert factor[-1] == pytest.approx(0.02)
    assert all(a >= b for a, b in pairwise(factor[10:]))
    assert optim.warmup_cosine(500, num_steps=110, warmup_steps=10, floor=0.02) == pytest.approx(0.02)


@pytest.mark.parametrize(("num_steps", "warmup_steps"), [(1, 0), (1, 5), (2, 1), (3, 100)])
def test_short_trainings_have_finite_rates_that_are_not_all_zero(num_steps, warmup_steps):
    rates = rates_of(num_steps, warmup_steps, peak=0.5, eta_min=0.0)
    assert all(0 <= rate <= 0.5 for rate in rates)
    assert max(rates) > 0


def rates_of(num_steps, warmup_steps, peak, eta_min):
    weight = nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.zeros(2, 2)
    optimizer = torch.optim.SGD([weight], lr=peak)
    scheduler = optim.schedule(optimizer, num_steps=num_steps, warmup_steps=warmup_steps, peak=peak, eta_min=eta_min)
    rates = []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_the_optimizers_rate_goes_from_peak_to_eta_min():
    rates = rates_of(50, 5, peak=0.4, eta_min=0.1)
    assert rates[0] == pytest.approx(0.08)
    assert max(rates) == pytest.approx(0.4)
    assert rates[-1] == pytest.approx(0.1)


def test_warm_up_takes_at_most_half_of_the_training():
    rates = rates_of(20, 1000, peak=1.0, eta_min=0.0)
    assert rates.index(1.0) == 9
    assert rates[-1] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("method", "learning_rate", "batch_size", "peak"),
    [
        ("none", None, 512, 5e-4),
        ("none", 0.02, 512, 0.02),
        ("linear", None, 512, 0.6),
        ("linear", 0.1, 128, 0.05),
        ("square-root", None, 256, 1.2),
        ("square-root", 0.1, 64, 0.8),
    ],
)
def test_learning_rate_scaling(method, learning_rate, batch_size, peak):
    config = cfg.PretrainConfig(lr_scaling_method=method, learning_rate=learning_rate, batch_size=batch_size)
    assert config.peak_learning_rate == pytest.approx(peak)
    assert config.resolved().peak_learning_rate == pytest.approx(peak)
