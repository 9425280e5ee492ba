"""NT-Xent of several views against the two-view loss and a slow reference."""

import math
from itertools import combinations

import pytest
import torch

from simclr.objectives.nt_xent import nt_xent
from simclr.objectives.several_views import nt_xent_of_views


def slow(views: torch.Tensor, temperature: float) -> float:
    """Equation 1 of Chen et al. 2020 for every pair of views, anchor by anchor."""
    pair_losses = []
    for first, second in combinations(views.tolist(), 2):
        rows = [*first, *second]
        n = len(first)

        def cosine(a: list[float], b: list[float]) -> float:
            return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

        total = 0.0
        for i, anchor in enumerate(rows):
            p = (i + n) % (2 * n)
            terms = {k: math.exp(cosine(anchor, row) / temperature) for k, row in enumerate(rows) if k != i}
            total -= math.log(terms[p] / sum(terms.values()))
        pair_losses.append(total / (2 * n))
    return sum(pair_losses) / len(pair_losses)


@pytest.mark.parametrize("num_views", [2, 3, 4])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_is_that_of_the_slow_reference(num_views: int, temperature: float) -> None:
    views = torch.randn(num_views, 5, 7, generator=torch.Generator().manual_seed(1))
    assert float(nt_xent_of_views(views, temperature)) == pytest.approx(slow(views, temperature), rel=1e-5)


@pytest.mark.parametrize("num_views", [2, 4])
def test_gradient_is_that_of_the_mean_over_pairs(num_views: int) -> None:
    views = torch.randn(num_views, 16, 8, generator=torch.Generator().manual_seed(2)).requires_grad_()
    pairs = [nt_xent(a, b, 0.1) for a, b in combinations(views, 2)]
    (expected,) = torch.autograd.grad(torch.stack(pairs).mean(), views)
    (found,) = torch.autograd.grad(nt_xent_of_views(views, 0.1), views)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
