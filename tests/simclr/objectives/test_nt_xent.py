"""NT-Xent against a slow double loop, closed forms and finite differences."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from simclr.objectives import nt_xent as loss_module
from simclr.objectives.metrics import positive_ranks
from simclr.objectives.nt_xent import NTXentLoss, contrast, nt_xent, nt_xent_with_ranks


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of at most 3 rows, so that a handful of images takes many of them, of unequal length."""
    monkeypatch.setitem(loss_module.BLOCK_ROWS, "cpu", 3)


def rows(n, d, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=dtype), torch.randn(n, d, generator=generator, dtype=dtype)


def cosine_similarities(z1, z2):
    """(2N, 2N), rows and columns z1 then z2: the matrix that the loss never holds."""
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    return z @ z.T


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


@pytest.mark.parametrize("temperature", [0.5, 0.05, 0.002])  # the last leaves the range of exp even in float64
def test_gradient_against_finite_differences(temperature, small_blocks):
    for n in (3, 4, 8):  # one block, and several
        z1, z2 = (z.requires_grad_() for z in rows(n, 3, dtype=torch.float64))
        assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, temperature), (z1, z2))


def textbook(z1, z2, temperature):
    """Loss from the whole matrix of similarities, in float64."""
    z = F.normalize(torch.cat([z1, z2]).double(), dim=1)
    logits = (z @ z.T / temperature).fill_diagonal_(-math.inf)
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z1)))


def assert_equals_the_textbook(z1, z2, temperature, rtol, gradient_tolerance):
    """Gradients are the difference of terms as large as 1 / (2N T), which sets what rounding may leave."""
    z1, z2 = z1.clone().requires_grad_(), z2.clone().requires_grad_()
    expected = textbook(z1, z2, temperature)
    gradient = torch.cat(torch.autograd.grad(expected, (z1, z2)))
    loss, ranks = nt_xent_with_ranks(z1, z2, temperature)
    assert not ranks.requires_grad
    torch.testing.assert_close(loss.double(), expected, rtol=rtol, atol=rtol)
    assert loss == nt_xent(z1, z2, temperature)
    found = torch.cat(torch.autograd.grad(loss, (z1, z2)))
    size = max(gradient.abs().max().item(), 1 / (len(found) * temperature))
    torch.testing.assert_close(found, gradient, rtol=0, atol=gradient_tolerance * size)
    return ranks


@pytest.mark.parametrize("temperature", [0.001, 0.005, 0.02, 0.07, 0.5, 10.0])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 10, 23])
def test_equals_the_whole_matrix_whatever_the_blocks(n, temperature, small_blocks):
    z1, z2 = rows(n, 5, dtype=torch.float64)
    ranks = assert_equals_the_textbook(z1, z2, temperature, rtol=1e-12, gradient_tolerance=1e-12)
    assert torch.equal(ranks, positive_ranks(cosine_similarities(z1, z2)))


@pytest.mark.parametrize("temperature", [0.005, 0.07, 0.5])
@pytest.mark.parametrize("n", [512, 513, 700, 1100])
def test_equals_the_whole_matrix_in_float32_at_the_real_block_size(n, temperature):
    z1, z2 = rows(n, 128)
    z2 += 0.5 * z1
    assert_equals_the_textbook(z1, z2, temperature, rtol=1e-5, gradient_tolerance=2e-7 / temperature)


def over_negatives(z1, z2, temperature):
    """The loss in float64 with sums over negatives alone, which keep their digits where `textbook` has none left."""
    z = F.normalize(torch.cat([z1, z2]).double(), dim=1)
    similarities, n = z @ z.T, len(z1)
    positive = similarities.diagonal(n).repeat(2)
    no_negative = torch.eye(n, dtype=torch.bool).repeat(2, 2)
    odds = ((similarities - positive[:, None]) / temperature).masked_fill(no_negative, -math.inf).exp().sum(dim=1)
    return odds.log1p().mean()


# From views without anything in common down to those that are equal: losses from 25 nats to less than 1e-30.
@pytest.mark.parametrize("noise", [10.0, 1.0, 0.3, 0.05, 1e-3, 0.0])
@pytest.mark.parametrize("temperature", [0.01, 0.03, 0.05, 0.07, 0.1, 0.2, 1.0])
@pytest.mark.parametrize("block_rows", [1024, 60])
def test_float32_keeps_its_digits_however_small_the_loss(block_rows, temperature, noise, monkeypatch):
    """What rounding a similarity by 1e-7 changes may be lost, and no more."""
    monkeypatch.setitem(loss_module.BLOCK_ROWS, "cpu", block_rows)
    image, (first, second) = rows(128, 128)[0], rows(128, 128, seed=1)
    z1, z2 = ((image + noise * other).requires_grad_() for other in (first, second))
    expected, found = over_negatives(z1, z2, temperature), nt_xent(z1, z2, temperature)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6 + 3e-7 / temperature, abs=0)
    exact, gradient = (torch.cat(torch.autograd.grad(loss, (z1, z2))).double() for loss in (expected, found))
    assert (gradient - exact).norm() / exact.norm() < 3e-6 + 3e-7 / temperature


@pytest.mark.parametrize("n", [3, 11])
def test_similarities_as_far_apart_as_can_be(n, small_blocks):
    """Clusters at opposite ends; positives at -1 among negatives at 1: finite, and exact but for the rounding of a
    similarity, which processors do differently."""
    ends = torch.ones(n, 2) * torch.tensor([1.0, -1.0]).repeat(n)[:n, None]
    for z1, z2 in ((ends, ends), (torch.ones(n, 2), -torch.ones(n, 2)), (ends, -ends), (ends.roll(1), ends)):
        for temperature in (0.005, 0.02, 0.05):
            rounding = 1.2e-7 / temperature
            assert_equals_the_textbook(z1, z2, temperature, rtol=1e-6, gradient_tolerance=1e-6 + rounding)
    apart = nt_xent(torch.ones(n, 2), -torch.ones(n, 2), 0.005)
    assert apart.item() == pytest.approx(400 + math.log(n - 1 + math.exp(-400)), rel=1e-6)


def test_ranks_count_ties_half(small_blocks):
    generator = torch.Generator().manual_seed(0)
    for n in (2, 5, 9, 20):
        # rows of four entries of +-1, halved by normalisation: every similarity is a multiple of 1/2, exactly
        z1, z2 = torch.randint(0, 2, (2, n, 4), generator=generator) * 2.0 - 1.0
        _, ranks = nt_xent_with_ranks(z1, z2, 0.5)
        similarities = cosine_similarities(z1, z2)
        assert torch.equal(ranks, positive_ranks(similarities))
        assert len(similarities.unique()) <= 5


@pytest.mark.parametrize("n", [2, 40, 256, 600, 1025])
@pytest.mark.parametrize("temperature", [0.005, 0.5])
def test_collapsed_rows_rank_at_chance(n, temperature):
    collapsed = torch.full((n, 16), 0.3)
    _, ranks = nt_xent_with_ranks(collapsed, collapsed, temperature)
    assert ranks.dtype == torch.float32
    assert torch.equal(ranks, torch.full((2 * n,), float(n)))


def test_ranks_of_random_rows_equal_the_reference():
    for n in (16, 128, 512):  # one block: the very same matrix product
        z1, z2 = rows(n, 32)
        assert torch.equal(nt_xent_with_ranks(z1, z2, 0.1)[1], positive_ranks(cosine_similarities(z1, z2)))
    z1, z2 = rows(900, 32, dtype=torch.float64)  # several: no two similarities are as close as rounding
    assert torch.equal(nt_xent_with_ranks(z1, z2, 0.1)[1], positive_ranks(cosine_similarities(z1, z2)))


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


def test_a_row_of_zeros_is_at_right_angles_to_all_and_gets_no_gradient():
    z1, z2 = rows(6, 4)
    z1[2] = 0
    for temperature in (0.005, 0.5):
        z1.requires_grad_().grad = None
        loss = nt_xent(z1, z2, temperature)
        torch.testing.assert_close(loss.double(), textbook(z1, z2, temperature), rtol=1e-5, atol=0)
        loss.backward()
        assert torch.equal(z1.grad[2], torch.zeros(4))
        assert (z1.grad[[0, 1, 3, 4, 5]].abs().sum(dim=1) > 0).all()
    zeros = torch.zeros(4, 3)
    loss, ranks = nt_xent_with_ranks(zeros, zeros, 0.5)
    assert loss.item() == pytest.approx(math.log(7))
    assert torch.equal(ranks, torch.full((8,), 4.0))


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lengths_whose_squares_leave_the_range_of_float32(scale, dtype):
    z1, z2 = (z.to(dtype).requires_grad_() for z in rows(6, 4))
    scaled = (z1.detach() * scale).requires_grad_()
    loss, expected = nt_xent(scaled, z2, 0.1), nt_xent(z1, z2, 0.1)
    torch.testing.assert_close(loss, expected)
    (found,), (gradient,) = torch.autograd.grad(loss, scaled), torch.autograd.grad(expected, z1)
    assert found.dtype == dtype
    torch.testing.assert_close(found * scale, gradient)


def test_differentiating_twice_is_refused():
    z1, z2 = (z.requires_grad_() for z in rows(4, 3))
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        torch.autograd.grad(nt_xent(z1, z2, 0.5), z1, create_graph=True)


def test_the_gradient_follows_what_comes_after_the_loss():
    z1, z2 = (z.requires_grad_() for z in rows(4, 3))
    loss = nt_xent(z1, z2, 0.5)
    (once,) = torch.autograd.grad(loss, z1, retain_graph=True)
    (thrice,) = torch.autograd.grad(3 * loss, z1)
    torch.testing.assert_close(thrice, 3 * once)


class LargestResult(TorchDispatchMode):
    """Notes the most elements that any operation returns."""

    num_elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.num_elements = max(self.num_elements, tensor.numel())
        return result


@pytest.mark.parametrize("temperature", [0.005, 0.5])
def test_neither_the_whole_matrix_is_made_nor_a_value_read_back(temperature):
    """Tensors without data refuse `item()` and branches on values, which would make a GPU wait."""
    with FakeTensorMode(), LargestResult() as largest:
        z1, z2 = (torch.empty(2048, 32, requires_grad=True) for _ in range(2))
        loss, ranks = contrast(z1, z2, temperature)
        loss.backward()
    assert z1.grad.shape == z1.shape and ranks.shape == (4096,)
    assert largest.num_elements == 1024 * 1024  # of 4096 * 4096


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


def test_the_module_is_the_function():
    z1, z2 = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    loss = NTXentLoss(0.2)
    assert loss(z1, z2) == nt_xent(z1, z2, 0.2)
    assert NTXentLoss().temperature == 0.5
    assert repr(loss) == "NTXentLoss(temperature=0.2)"
    assert not list(loss.parameters())
    with pytest.raises(ValueError, match="temperature is 0; allowed"):
        NTXentLoss(0)
