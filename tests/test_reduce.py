"""Maps and the numbers beside them, against slow references and closed forms."""

from __future__ import annotations

import time

import numpy as np
import pytest

from simclr import reduce


@pytest.fixture
def clusters() -> tuple[np.ndarray, np.ndarray]:
    """Three clusters of 20 points in 12 dimensions, and which each belongs to."""
    generator = np.random.default_rng(0)
    centres = 6 * generator.standard_normal((3, 12))
    labels = np.arange(60) % 3
    return (centres[labels] + generator.standard_normal((60, 12))).astype(np.float32), labels


@pytest.mark.parametrize("shape", [(50, 7), (7, 50), (30, 30), (9, 2)])
def test_pca_equals_the_singular_value_decomposition(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :2] * values[:2]
    for axis in range(2):  # the sign is ours: the largest loading is positive
        expected[:, axis] *= np.sign(right[axis, np.abs(right[axis]).argmax()])
    np.testing.assert_allclose(reduce.pca(x), expected, atol=2e-5)


def test_pca_of_one_feature_and_of_equal_rows() -> None:
    one = reduce.pca(np.arange(5, dtype=np.float32)[:, None])
    np.testing.assert_allclose(one, [[-2, 0], [-1, 0], [0, 0], [1, 0], [2, 0]], atol=1e-6)
    np.testing.assert_allclose(reduce.pca(np.ones((6, 4), dtype=np.float32)), 0, atol=1e-6)


def test_pca_of_ten_thousand_images_is_quick() -> None:
    x = np.random.default_rng(2).standard_normal((10_000, 512)).astype(np.float32)
    start = time.process_time()
    reduce.pca(x)
    assert time.process_time() - start < 4  # both cores together; 2 s of waiting


def test_reduce_refuses_what_has_no_map() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        reduce.reduce("pca", np.zeros((4, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="not finite"):
        reduce.reduce("pca", np.full((9, 3), np.nan, dtype=np.float32))


def test_tsne_repeats_itself_and_tells_its_progress(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = clusters
    shares: list[float] = []
    first = reduce.reduce("tsne", features, seed=3, progress=shares.append)
    assert first.shape == (60, 2)
    assert first.dtype == np.float32
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    np.testing.assert_array_equal(first, reduce.reduce("tsne", features, seed=3))
    assert reduce.knn_accuracy(first - first.mean(axis=0), labels, k=3) > 0.9


@pytest.mark.slow
def test_umap_repeats_itself_and_tells_its_progress(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = clusters
    shares: list[float] = []
    first = reduce.reduce("umap", features, seed=3, progress=shares.append)
    assert first.shape == (60, 2)
    assert first.dtype == np.float32
    assert len(shares) > 1
    np.testing.assert_array_equal(first, reduce.reduce("umap", features, seed=3))
    centres = np.stack([first[labels == label].mean(axis=0) for label in range(3)])
    nearest = ((first[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == labels).mean() == 1.0


def test_parameters_fit_few_images() -> None:
    assert reduce.parameters("umap", 6, 0)["n_neighbors"] == 5
    assert reduce.parameters("tsne", 7, 0)["perplexity"] == 2
    assert reduce.parameters("umap", 2000, 9)["random_state"] == 9


def test_align_undoes_a_turn_and_a_mirror_and_never_stretches() -> None:
    reference = np.random.default_rng(4).standard_normal((30, 2)).astype(np.float32)
    turned = reference @ np.array([[np.cos(2), np.sin(2)], [-np.sin(2), np.cos(2)]]) * [1, -1] + [5, -3]
    np.testing.assert_allclose(
        reduce.align(reference, turned.astype(np.float32)), reference - reference.mean(axis=0), atol=1e-5
    )
    other = np.random.default_rng(5).standard_normal((30, 2)).astype(np.float32)
    before = np.linalg.norm(other[:, None] - other[None], axis=2)
    after = reduce.align(reference, other)
    np.testing.assert_allclose(np.linalg.norm(after[:, None] - after[None], axis=2), before, atol=1e-5)


def slow_neighbors(features: np.ndarray, row: int) -> list[int]:
    """All other rows by cosine similarity, in plain Python."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        product = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
        return product / (sum(float(x) ** 2 for x in a) * sum(float(y) ** 2 for y in b)) ** 0.5

    others = [other for other in range(len(features)) if other != row]
    return sorted(others, key=lambda other: -cosine(features[row], features[other]))


def test_neighbors_equal_brute_force(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    features, _ = clusters
    unit = reduce.unit_rows(features)
    for row in (0, 17, 59):
        found, similarity = reduce.neighbors(unit, row, 8)
        assert found.tolist() == slow_neighbors(features, row)[:8]
        assert row not in found
        np.testing.assert_allclose(similarity, unit[found] @ unit[row], rtol=1e-5)
    assert len(reduce.neighbors(unit[:4], 0, 8)[0]) == 3
    assert np.isfinite(reduce.unit_rows(np.zeros((3, 2), dtype=np.float32))).all()


def test_knn_accuracy_equals_a_vote_in_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(6)
    features = generator.standard_normal((40, 5)).astype(np.float32)
    labels = generator.integers(0, 3, 40)
    unit = reduce.unit_rows(features)
    correct = 0
    for row in range(40):
        votes = [0.0, 0.0, 0.0]
        for other in slow_neighbors(features, row)[:7]:
            votes[labels[other]] += np.exp(float(unit[row] @ unit[other]) / reduce.KNN_TEMPERATURE)
        correct += int(np.argmax(votes) == labels[row])
    monkeypatch.setattr(reduce, "ROWS_AT_ONCE", 16)  # more than one block
    assert reduce.knn_accuracy(features, labels, k=7) == pytest.approx(correct / 40)


def test_neighbors_kept_is_one_for_a_faithful_map_and_chance_for_a_random_one() -> None:
    angles = np.random.default_rng(7).uniform(0, 2 * np.pi, 300)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)  # cosine order is distance order
    assert reduce.neighbors_kept(circle, circle, k=10) > 0.99
    random = np.random.default_rng(8).standard_normal((300, 2)).astype(np.float32)
    assert reduce.neighbors_kept(circle, random, k=10) == pytest.approx(10 / 300, abs=0.03)
