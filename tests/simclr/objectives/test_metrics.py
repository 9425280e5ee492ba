"""Ranks and geometry against slow references and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F

from simclr.objectives import metrics


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- ranks --------------------------------------------------------------------------------------------------------


def slow_rank(similarities, anchor):
    """1 + negatives strictly more similar + half of those equally similar, by hand."""
    n = len(similarities) // 2
    positive = (anchor + n) % (2 * n)
    rank = 1.0
    for other in range(2 * n):
        if other not in (anchor, positive):
            if similarities[anchor][other] > similarities[anchor][positive]:
                rank += 1
            elif similarities[anchor][other] == similarities[anchor][positive]:
                rank += 0.5
    return rank


@pytest.mark.parametrize("n", [2, 3, 16])
def test_ranks_equal_the_count_by_hand(n):
    # few different values, so that ties are common
    similarities = (randn(2 * n, 2 * n) * 2).round() / 4
    expected = [slow_rank(similarities.tolist(), anchor) for anchor in range(2 * n)]
    assert metrics.positive_ranks(similarities).tolist() == expected


def cosine_similarities(z1, z2):
    """(2N, 2N), rows and columns z1 then z2: the matrix that the loss never holds."""
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    return z @ z.T


def measured(similarities):
    return metrics.contrastive_metrics(metrics.positive_ranks(similarities), len(similarities) - 1)


@pytest.mark.parametrize("n", [2, 8, 33, 128, 256])
@pytest.mark.parametrize("value", [1.0, 0.1, 0.0, -3.7])
def test_a_collapsed_encoder_stands_at_chance(n, value):
    z = torch.full((n, 24), value)
    found = measured(cosine_similarities(z, z))
    assert found["mean_rank"].item() == n
    assert found["top1"].item() == 0.0
    # the five best of three candidates are all of them
    assert found["top5"].item() == (1.0 if n <= 5 else 0.0)


def test_random_rows_stand_at_chance_too():
    z1, z2 = randn(500, 64), randn(500, 64, seed=1)
    found = measured(cosine_similarities(z1, z2))
    assert found["mean_rank"].item() == pytest.approx(500, rel=0.1)
    assert found["top1"].item() < 0.02


def test_perfect_and_worst_ranks():
    z = torch.eye(8)
    found = measured(cosine_similarities(z, z))
    assert (found["top1"].item(), found["top5"].item(), found["mean_rank"].item()) == (1.0, 1.0, 1.0)
    found = measured(cosine_similarities(z, -z))
    assert found["mean_rank"].item() == 15  # opposite of its partner: last of 15 candidates
    assert found["top5"].item() == 0.0


def test_top_5_means_the_best_min_5_candidates():
    z1, z2 = randn(2, 4), randn(2, 4, seed=3)
    assert measured(cosine_similarities(z1, z2))["top5"].item() == 1.0
    ranks = torch.tensor([1.0, 4.5, 5.0, 5.5, 9.0])
    assert metrics.top_k(ranks, 5).item() == pytest.approx(0.6)
    assert metrics.top_k(ranks, 1).item() == pytest.approx(0.2)


# --- geometry -----------------------------------------------------------------------------------------------------


def test_alignment_closed_forms():
    z = randn(10, 4)
    assert metrics.alignment(z, 3 * z).item() == pytest.approx(0, abs=1e-6)
    assert metrics.alignment(z, -z).item() == pytest.approx(4, rel=1e-6)
    assert metrics.alignment(torch.eye(4), torch.eye(4).roll(1, 0)).item() == pytest.approx(2, rel=1e-6)


def test_uniformity_equals_the_slow_sum_over_pairs():
    z = randn(12, 5)
    unit = F.normalize(z, dim=1).tolist()
    total, pairs = 0.0, 0
    for i in range(12):
        for j in range(i):
            total += math.exp(-2 * sum((a - b) ** 2 for a, b in zip(unit[i], unit[j], strict=True)))
            pairs += 1
    assert metrics.uniformity(z).item() == pytest.approx(math.log(total / pairs), rel=1e-5)


def test_uniformity_closed_forms():
    assert metrics.uniformity(torch.ones(9, 3)).item() == pytest.approx(0, abs=1e-5)
    assert metrics.uniformity(torch.eye(7)).item() == pytest.approx(-4, rel=1e-5)  # all distances are sqrt(2)
    assert metrics.uniformity(torch.tensor([[1.0, 0], [-1, 0]])).item() == pytest.approx(-8, rel=1e-5)
    with pytest.raises(ValueError, match="at least 2"):
        metrics.uniformity(torch.ones(1, 3))


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (20, 20)])
def test_effective_rank_equals_the_entropy_of_singular_values(shape):
    features = randn(*shape) * torch.logspace(0, -2, shape[1]) + 3
    singular = torch.linalg.svdvals((features - features.mean(dim=0)).double())
    shares = singular / singular.sum()
    expected = math.exp(-sum(p * math.log(p) for p in shares.tolist() if p > 0))
    assert metrics.effective_rank(features).item() == pytest.approx(expected, rel=1e-3)


def test_effective_rank_closed_forms():
    axes = torch.cat([torch.eye(5), -torch.eye(5)])  # centred, five equal singular values
    assert metrics.effective_rank(axes).item() == pytest.approx(5, rel=1e-5)
    line = torch.linspace(-1, 1, 30)[:, None] * randn(1, 8)
    assert metrics.effective_rank(line + 5).item() == pytest.approx(1, abs=1e-3)
    for value in (0.0, 1.0, 0.1, 1234.5):
        assert metrics.effective_rank(torch.full((50, 16), value)).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e4])
def test_effective_rank_does_not_depend_on_the_scale(scale):
    features = randn(50, 8)
    expected = metrics.effective_rank(features).item()
    assert metrics.effective_rank(features * scale).item() == pytest.approx(expected, rel=1e-3)


def test_effective_rank_of_what_is_no_number_is_no_number():
    features = randn(10, 4)
    features[3, 2] = math.nan
    assert math.isnan(metrics.effective_rank(features).item())


def test_mean_similarities_equal_the_slow_means():
    z1, z2 = randn(7, 3), randn(7, 3, seed=1)
    positive, negative = metrics.mean_similarities(z1, z2)
    pairs = [(i, j, F.cosine_similarity(z1[i], z2[j], dim=0).item()) for i in range(7) for j in range(7)]
    same = [s for i, j, s in pairs if i == j]
    other = [s for i, j, s in pairs if i != j]
    assert positive.item() == pytest.approx(sum(same) / 7, abs=1e-6)
    assert negative.item() == pytest.approx(sum(other) / 42, abs=1e-6)
