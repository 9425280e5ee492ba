"""NT-Xent against a slow double loop, closed forms and finite differences."""

import math

import pytest
import torch
import torch.nn.functional as F

from simclr.loss import cosine_similarities, nt_xent


def rows(n, d, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=dtype), torch.randn(n, d, generator=generator, dtype=dtype)


def slow_nt_xent(z1, z2, temperature):
    """Chen et al. 2020, equation 1, pair by pair in plain Python."""
    z = [row.tolist() for row in torch.cat([z1, z2])]
    n = len(z1)

    def similarity(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    total = 0.0
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        others = sum(math.exp(similarity(z[i], z[k]) / temperature) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(similarity(z[i], z[j]) / temperature) / others)
    return total / (2 * n)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 0.5, 1.0, 10.0])
@pytest.mark.parametrize(("n", "d"), [(2, 3), (5, 4), (9, 17)])
def test_equals_the_slow_double_loop(n, d, temperature):
    z1, z2 = rows(n, d)
    assert nt_xent(z1, z2, temperature).item() == pytest.approx(slow_nt_xent(z1, z2, temperature), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 0.5, 100.0])
@pytest.mark.parametrize("n", [2, 8, 256])
def test_identical_rows_give_the_log_of_the_number_of_candidates(n, temperature):
    z = torch.randn(1, 6).expand(n, 6)
    assert nt_xent(z, z, temperature).item() == pytest.approx(math.log(2 * n - 1), rel=1e-4)


def test_perfect_pairs_on_orthogonal_axes():
    """Positives at similarity 1 and all negatives at 0: log(1 + (2N - 2) e^(-1/T))."""
    z = torch.eye(6)
    for temperature in (0.1, 0.5, 2.0):
        expected = math.log(1 + 10 * math.exp(-1 / temperature))
        assert nt_xent(z, z, temperature).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_neither_order_of_rows_nor_of_views_nor_their_scale_matters():
    z1, z2 = rows(12, 8)
    loss = nt_xent(z1, z2, 0.3)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(nt_xent(z1[order], z2[order], 0.3), loss)
    torch.testing.assert_close(nt_xent(z2, z1, 0.3), loss)
    torch.testing.assert_close(nt_xent(z1 * 1e3, z2 * 1e-3, 0.3), loss)
    assert not torch.allclose(nt_xent(z1, z2[order], 0.3), loss)  # pairs that do not belong together


def test_gradient_against_finite_differences():
    z1, z2 = (z.requires_grad_() for z in rows(4, 3, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.5), (z1, z2))
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.05), (z1, z2))


def test_gradient_equals_that_of_the_naive_formula():
    z1, z2 = (z.requires_grad_() for z in rows(5, 4, dtype=torch.float64))
    expected = torch.autograd.grad(naive(z1, z2, 0.2), (z1, z2))
    found = torch.autograd.grad(nt_xent(z1, z2, 0.2), (z1, z2))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def naive(z1, z2, temperature):
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    weights = torch.exp(z @ z.T / temperature)
    weights = weights - torch.diag(weights.diagonal())
    positives = torch.arange(len(z)).roll(len(z1))
    return -torch.log(weights[torch.arange(len(z)), positives] / weights.sum(dim=1)).mean()


@pytest.mark.parametrize("temperature", [0.005, 0.07, 0.5])
def test_bfloat16_is_computed_in_float32(temperature):
    z1, z2 = (z.to(torch.bfloat16).requires_grad_() for z in rows(16, 32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nt_xent(z1, z2, temperature)
    assert loss.dtype == torch.float32
    expected = nt_xent(z1.detach().float(), z2.detach().float(), temperature)
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-6, atol=0)
    loss.backward()
    assert torch.isfinite(z1.grad).all()


def test_zero_rows_and_the_lowest_temperature_stay_finite():
    z1, z2 = rows(6, 4)
    z1[2] = 0
    loss = nt_xent(z1.requires_grad_(), z2, 0.005)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z1.grad).all()


@pytest.mark.parametrize("temperature", [0.0, -0.5, math.inf, math.nan])
def test_temperatures_that_are_not_above_zero_are_refused(temperature):
    with pytest.raises(ValueError, match=r"temperature is .*; allowed: a number above 0"):
        nt_xent(*rows(3, 2), temperature)


def test_shapes_are_checked():
    z1, z2 = rows(4, 3)
    with pytest.raises(ValueError, match="allowed: two equal shapes"):
        nt_xent(z1, z2[:3], 0.5)
    with pytest.raises(ValueError, match="allowed: two equal shapes"):
        nt_xent(z1[0], z2[0], 0.5)
    with pytest.raises(ValueError, match="at least 2"):
        nt_xent(z1[:1], z2[:1], 0.5)


def test_similarities_are_cosines():
    z1, z2 = rows(3, 5)
    similarities = cosine_similarities(z1, z2)
    z = torch.cat([z1, z2])
    for i in range(6):
        for j in range(6):
            assert similarities[i, j].item() == pytest.approx(F.cosine_similarity(z[i], z[j], dim=0).item(), abs=1e-6)
