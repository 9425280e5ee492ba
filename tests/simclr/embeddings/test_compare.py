"""Numbers about features, maps and pairs of models: against scikit-learn, closed forms and slow references."""

from __future__ import annotations

import time
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from references import slow_neighbors

from simclr.embeddings import compare, neighbors, projections
from simclr.evaluation import knn

RANDOM = np.random.default_rng(6)
FEATURES = RANDOM.standard_normal((80, 5)).astype(np.float32)
LABELS = RANDOM.integers(0, 3, 80)
UNIT = neighbors.unit_rows(FEATURES)
NEAR = neighbors.nearest(UNIT, 30)


def other_features(noise: float, seed: int = 0) -> np.ndarray:
    """Features in other directions that keep much or little of `FEATURES`."""
    generator = np.random.default_rng(seed)
    turned = FEATURES @ np.linalg.qr(generator.standard_normal((5, 5)))[0]
    return (turned + noise * generator.standard_normal(turned.shape)).astype(np.float32)


# --- features -------------------------------------------------------------------------------------------------------


def test_knn_votes_equal_a_vote_in_plain_python() -> None:
    for row, voted in enumerate(compare.knn_votes(NEAR, LABELS, k=7)):
        votes = [0.0, 0.0, 0.0]
        for other in slow_neighbors(FEATURES, row)[:7]:
            votes[LABELS[other]] += np.exp(float(UNIT[row] @ UNIT[other]) / knn.KNN_TEMPERATURE)
        assert voted == int(np.argmax(votes))


def test_silhouettes_equal_those_of_scikit_learn() -> None:
    from sklearn.metrics import silhouette_samples

    labels = LABELS.copy()
    labels[0] = 7  # the only one of its class, and classes that nobody is in
    found = compare.silhouettes(UNIT, labels)
    np.testing.assert_allclose(found, silhouette_samples(FEATURES, labels, metric="cosine"), atol=1e-6)
    assert found[0] == 0


def test_silhouettes_of_equal_rows_of_zeros_and_of_one_class() -> None:
    from sklearn.metrics import silhouette_samples

    same = neighbors.unit_rows(np.ones((6, 3), dtype=np.float32))
    np.testing.assert_allclose(compare.silhouettes(same, np.arange(6) % 2), 0, atol=1e-6)
    with_zeros = UNIT.copy()
    with_zeros[:5] = 0
    expected = silhouette_samples(with_zeros, LABELS, metric="cosine")
    np.testing.assert_allclose(compare.silhouettes(with_zeros, LABELS), expected, atol=1e-6)
    with pytest.raises(ValueError, match="at least 2"):
        compare.silhouettes(UNIT, np.zeros(80, dtype=np.int64))


# --- a map ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_trustworthiness_and_continuity_equal_those_of_scikit_learn(dims: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.manifold import trustworthiness

    monkeypatch.setattr(compare, "ROWS_AT_ONCE", 32)
    points = projections.pca(FEATURES, dims=dims)
    found = compare.map_numbers(UNIT, NEAR, points, k=9)
    assert found["trustworthiness"] == pytest.approx(
        trustworthiness(FEATURES, points, n_neighbors=9, metric="cosine"), abs=1e-9
    )
    # the other way round; neighbours of rows at length 1 are the same by cosine and by distance
    assert found["continuity"] == pytest.approx(trustworthiness(points, UNIT, n_neighbors=9), abs=1e-9)
    assert found["neighbors_kept"] == pytest.approx(compare.neighbors_kept(FEATURES, points, k=9))
    assert (found["k"], found["anchors"]) == (9, 80)


def test_numbers_of_many_images_are_means_over_some_of_them() -> None:
    points = projections.pca(FEATURES)
    every = compare.map_numbers(UNIT, NEAR, points, k=9)
    some = compare.map_numbers(UNIT, NEAR, points, k=9, max_anchors=40)
    assert some["anchors"] == 40
    for name in ("trustworthiness", "continuity"):
        assert some[name] != every[name]
        assert some[name] == pytest.approx(every[name], abs=0.05)
    assert some["neighbors_kept"] == every["neighbors_kept"]


def test_numbers_of_few_images_and_of_points_in_one_place() -> None:
    unit = neighbors.unit_rows(FEATURES[:5])
    near = neighbors.nearest(unit, 4)
    for points in (FEATURES[:5, :2], np.zeros((5, 2), dtype=np.float32)):
        found = compare.map_numbers(unit, near, points)
        assert found["k"] == 2
        assert all(0 <= found[name] <= 1 for name in ("trustworthiness", "continuity", "neighbors_kept"))


def test_neighbors_kept_is_one_for_a_faithful_map_and_chance_for_a_random_one() -> None:
    angles = np.random.default_rng(7).uniform(0, 2 * np.pi, 300)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)  # cosine order is distance order
    assert compare.neighbors_kept(circle, circle, k=10) > 0.99
    random = np.random.default_rng(8).standard_normal((300, 2)).astype(np.float32)
    assert compare.neighbors_kept(circle, random, k=10) == pytest.approx(10 / 300, abs=0.03)


def test_nearest_points_leaves_each_point_out_even_among_its_equals() -> None:
    points = np.zeros((30, 2), dtype=np.float32)
    points[25:] = RANDOM.standard_normal((5, 2))
    found = compare.nearest_points(points, 6)
    assert found.shape == (30, 6)
    assert not (found == np.arange(30)[:, None]).any()
    assert all(len(set(row)) == 6 for row in found.tolist())
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    expected = np.sort(distances, axis=1)[:, :6]
    np.testing.assert_allclose(np.take_along_axis(distances, found, axis=1), expected, atol=1e-6)


# --- two models -----------------------------------------------------------------------------------------------------


def test_agreement_equals_sets_in_plain_python() -> None:
    other = neighbors.nearest(neighbors.unit_rows(other_features(0.7)), 30).indices
    for k in (1, 9, 30, 99):
        found = compare.neighbor_jaccard(NEAR.indices, other, k)
        for row in range(80):
            first, second = set(NEAR.indices[row, :k].tolist()), set(other[row, :k].tolist())
            assert found[row] == pytest.approx(len(first & second) / len(first | second))
    np.testing.assert_array_equal(compare.neighbor_jaccard(NEAR.indices, NEAR.indices, 9), 1)


def test_agreement_of_unrelated_models_is_that_of_chance() -> None:
    generator = np.random.default_rng(3)
    clouds = [neighbors.unit_rows(generator.standard_normal((500, 40)).astype(np.float32)) for _ in range(2)]
    first, second = (neighbors.nearest(cloud, 20).indices for cloud in clouds)
    found = float(compare.neighbor_jaccard(first, second, 20).mean())
    assert found == pytest.approx(compare.chance_jaccard(500, 20), rel=0.15)


def test_images_that_differ_most_are_found_in_a_selection() -> None:
    other = NEAR.indices.copy()
    other[[3, 50], :9] = 79 - np.arange(9)  # none of their nine nearest is shared, as a check below says
    other[[3, 50], :9] += 100
    other[60, :3] += 200
    other[50, 9:] += 300  # and of 50 none of the others either
    assert compare.differ_most(NEAR.indices, other, 9, count=3).tolist() == [50, 3, 60]
    assert compare.differ_most(NEAR.indices, other, 9, np.array([60, 3, 7]), count=2).tolist() == [3, 60]
    assert len(compare.differ_most(NEAR.indices, other, 9, np.array([7]))) == 1


@pytest.mark.parametrize("shapes", [((60, 7), (60, 4)), ((9, 30), (9, 4))])
def test_linear_cka_equals_the_form_by_gram_matrices(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    generator = np.random.default_rng(1)
    x, y = (3 + 1e3 * generator.standard_normal(shape) for shape in shapes)
    y[:, 0] += x[:, 0]
    centring = np.eye(len(x)) - 1 / len(x)
    k, l = centring @ x @ x.T @ centring, centring @ y @ y.T @ centring  # noqa: E741
    expected = np.trace(k @ l) / np.sqrt(np.trace(k @ k) * np.trace(l @ l))
    assert compare.linear_cka(x, y) == pytest.approx(expected, rel=1e-4)


def test_linear_cka_is_one_for_turned_and_scaled_features_and_zero_for_constant_ones() -> None:
    assert compare.linear_cka(FEATURES, 5 * other_features(0.0) + 2) == pytest.approx(1, abs=1e-5)
    assert compare.linear_cka(FEATURES, other_features(1.0)) == pytest.approx(
        compare.linear_cka(other_features(1.0), FEATURES)
    )
    assert compare.linear_cka(FEATURES, np.ones((80, 2), dtype=np.float32)) == 0


def test_mcnemar_equals_the_binomial_test() -> None:
    from scipy.stats import binomtest

    for one, two in ((0, 0), (3, 3), (0, 5), (9, 2), (200, 260), (0, 2000)):
        expected = binomtest(min(one, two), one + two).pvalue if one + two else 1.0
        assert compare.mcnemar(one, two) == pytest.approx(expected, rel=1e-9)
        assert compare.mcnemar(one, two) == compare.mcnemar(two, one)
    exact = Fraction(2 * sum(comb(15, i) for i in range(4)), 2**15)
    assert compare.mcnemar(3, 12) == pytest.approx(float(exact), rel=1e-12)


def test_holm_equals_its_definition() -> None:
    assert compare.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert compare.holm([0.9, 0.8]) == [1.0, 1.0]
    assert compare.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert compare.holm([]) == []


def test_the_table_of_classes_counts_what_each_gets_right() -> None:
    labels = np.array([0, 0, 0, 0, 2, 2])
    first, second = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2])
    rows = {row.name: row for row in compare.class_table(labels, first, second, ["cat", "dog", "frog"])}
    assert list(rows) == ["cat", "frog", compare.ALL_CLASSES]  # nobody is a dog
    cat = rows["cat"]
    assert (cat.n, cat.first, cat.second, cat.difference, cat.only_first, cat.only_second) == (4, 0.75, 0.25, 0.5, 2, 0)
    assert (cat.p, cat.p_adjusted) == (0.5, 1.0)
    total = rows[compare.ALL_CLASSES]
    assert (total.n, total.only_first, total.only_second) == (6, 3, 0)
    assert total.p == pytest.approx(0.25)


def test_the_numbers_of_a_pair() -> None:
    other = other_features(0.5)
    near = [NEAR.indices, neighbors.nearest(neighbors.unit_rows(other), 30).indices]
    shares: list[float] = []
    numbers, found = compare.pair_numbers(FEATURES, other, near, k=9, progress=shares.append)
    np.testing.assert_array_equal(found, compare.neighbor_jaccard(*near, 9))
    assert numbers["mean_jaccard"] == pytest.approx(found.mean())
    assert numbers["linear_cka"] == compare.linear_cka(FEATURES, other)
    assert (numbers["k"], shares[-1]) == (9, 1.0)


def test_ten_thousand_images_are_compared_quickly() -> None:
    generator = np.random.default_rng(2)
    features = [generator.standard_normal((10_000, 512)).astype(np.float32) for _ in range(2)]
    near = [generator.permuted(np.tile(np.arange(100), (10_000, 1)), axis=1) for _ in range(2)]
    start = time.process_time()
    compare.pair_numbers(*features, near)
    compare.silhouettes(neighbors.unit_rows(features[0]), np.arange(10_000) % 10)
    assert time.process_time() - start < 6  # all cores together
