"""Maps and the numbers beside them, against slow references and closed forms."""

from __future__ import annotations

import time

import numpy as np
import pytest
from references import slow_neighbors

from simclr.embeddings import compare, neighbors, projections
from simclr.embeddings.projections import Projection


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
    for dims in (2, 3):
        expected = np.zeros((len(x), dims))
        for axis in range(min(dims, len(values))):  # the sign is ours: the largest loading is positive
            sign = np.sign(right[axis, np.abs(right[axis]).argmax()])
            expected[:, axis] = sign * left[:, axis] * values[axis]
        np.testing.assert_allclose(projections.pca(x, dims=dims), expected, atol=2e-5)


def test_pca_of_one_feature_and_of_equal_rows() -> None:
    one = projections.pca(np.arange(5, dtype=np.float32)[:, None])
    np.testing.assert_allclose(one, [[-2, 0], [-1, 0], [0, 0], [1, 0], [2, 0]], atol=1e-6)
    np.testing.assert_allclose(projections.pca(np.ones((6, 4), dtype=np.float32)), 0, atol=1e-6)


def test_pca_of_ten_thousand_images_is_quick() -> None:
    x = np.random.default_rng(2).standard_normal((10_000, 512)).astype(np.float32)
    start = time.process_time()
    projections.pca(x)
    assert time.process_time() - start < 4  # both cores together; 2 s of waiting


def test_reduce_refuses_what_has_no_map() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        projections.reduce("pca", np.zeros((4, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="not finite"):
        projections.reduce("pca", np.full((9, 3), np.nan, dtype=np.float32))


@pytest.mark.parametrize("dims", [2, 3])
def test_tsne_repeats_itself_and_tells_its_progress(clusters: tuple[np.ndarray, np.ndarray], dims: int) -> None:
    features, labels = clusters
    shares: list[float] = []
    asked = Projection("tsne", dims, perplexity=10)
    first = projections.reduce(asked, features, seed=3, progress=shares.append)
    assert first.shape == (60, dims)
    assert first.dtype == np.float32
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    np.testing.assert_array_equal(first, projections.reduce(asked, features, seed=3))
    assert share_nearest_to_own_centre(first, labels) == 1.0


def test_tsne_of_images_that_are_all_alike_is_a_map_too() -> None:
    assert np.isfinite(projections.reduce("tsne", np.ones((40, 4), dtype=np.float32))).all()


def share_nearest_to_own_centre(points: np.ndarray, labels: np.ndarray) -> float:
    centres = np.stack([points[labels == label].mean(axis=0) for label in range(3)])
    nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    return float((nearest == labels).mean())


@pytest.mark.slow
@pytest.mark.parametrize("dims", [2, 3])
def test_umap_repeats_itself_and_tells_its_progress(clusters: tuple[np.ndarray, np.ndarray], dims: int) -> None:
    features, labels = clusters
    shares: list[float] = []
    asked = Projection("umap", dims)
    first = projections.reduce(asked, features, seed=3, progress=shares.append)
    assert first.shape == (60, dims)
    assert first.dtype == np.float32
    assert len(shares) > 1
    np.testing.assert_array_equal(first, projections.reduce(asked, features, seed=3))
    assert share_nearest_to_own_centre(first, labels) == 1.0


@pytest.mark.slow
def test_umap_given_its_neighbours_keeps_as_many_as_umap_that_looks_for_them(
    clusters: tuple[np.ndarray, np.ndarray],
) -> None:
    from umap import UMAP

    features = np.random.default_rng(9).normal(size=(400, 3)).astype(np.float32) @ np.ones((3, 12), dtype=np.float32)
    features += np.random.default_rng(10).normal(size=(400, 12)).astype(np.float32)
    theirs = UMAP(n_neighbors=15, metric="cosine", random_state=0, n_jobs=1).fit_transform(features)
    kept = [compare.neighbors_kept(features, points) for points in (projections.reduce("umap", features), theirs)]
    assert kept[0] == pytest.approx(kept[1], abs=0.03)


def test_parameters_fit_few_images() -> None:
    assert Projection("umap").parameters(6, 0)["n_neighbors"] == 5
    assert Projection("tsne").parameters(7, 0)["perplexity"] == 2
    assert Projection("umap").parameters(2000, 9)["random_state"] == 9
    assert [Projection(method).num_neighbors(2000) for method in projections.METHODS] == [0, 14, 90]
    assert Projection("tsne", perplexity=200).num_neighbors(10_000) == 600


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"method": "ump"}, "method is ump; allowed: pca, umap, tsne"),
        ({"method": "pca", "dims": 4}, "dims is 4; allowed: 2 or 3"),
        ({"method": "umap", "n_neighbors": 1}, "n_neighbors is 1; allowed: a whole number from 2 to 200"),
        ({"method": "umap", "n_neighbors": 2.5}, "n_neighbors is 2.5; allowed: a whole number"),
        ({"method": "umap", "min_dist": float("nan")}, "min_dist is nan; allowed: a number from 0 to 0.99"),
        ({"method": "tsne", "perplexity": float("inf")}, "perplexity is inf; allowed:"),
        ({"method": "pca", "min_dist": 0.1}, "min_dist is 0.1 and method is pca; allowed: with method umap"),
    ],
)
def test_a_projection_that_is_not_allowed_is_told_what_is(values: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Projection(**values)


def test_a_projection_is_read_from_its_own_text() -> None:
    for asked in (
        Projection("pca"),
        Projection("pca", 3),
        Projection("umap", 3, n_neighbors=30, min_dist=0.25),
        Projection("tsne", perplexity=50),
    ):
        assert projections.parse_projection(asked.text) == asked
    assert projections.parse_projection("umap", dims=3.0, n_neighbors=9.0, perplexity=4.0) == Projection("umap", 3, 9)
    with pytest.raises(ValueError, match="method is umap:colour=3; allowed:"):
        projections.parse_projection("umap:colour=3")
    with pytest.raises(ValueError, match="min_dist is small; allowed: a number"):
        projections.parse_projection("umap:min_dist=small")


def test_align_undoes_a_turn_and_a_mirror_and_never_stretches() -> None:
    reference = np.random.default_rng(4).standard_normal((30, 2)).astype(np.float32)
    turned = reference @ np.array([[np.cos(2), np.sin(2)], [-np.sin(2), np.cos(2)]]) * [1, -1] + [5, -3]
    np.testing.assert_allclose(
        projections.align(reference, turned.astype(np.float32)), reference - reference.mean(axis=0), atol=1e-5
    )
    other = np.random.default_rng(5).standard_normal((30, 2)).astype(np.float32)
    before = np.linalg.norm(other[:, None] - other[None], axis=2)
    after = projections.align(reference, other)
    np.testing.assert_allclose(np.linalg.norm(after[:, None] - after[None], axis=2), before, atol=1e-5)


def test_neighbors_equal_brute_force(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    features, _ = clusters
    unit = neighbors.unit_rows(features)
    for row in (0, 17, 59):
        found, similarity = neighbors.neighbors(unit, row, 8)
        assert found.tolist() == slow_neighbors(features, row)[:8]
        assert row not in found
        np.testing.assert_allclose(similarity, unit[found] @ unit[row], rtol=1e-5)
    assert len(neighbors.neighbors(unit[:4], 0, 8)[0]) == 3
    assert np.isfinite(neighbors.unit_rows(np.zeros((3, 2), dtype=np.float32))).all()


def test_neighbours_of_all_rows_equal_those_of_each(
    clusters: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = neighbors.unit_rows(clusters[0])
    monkeypatch.setattr(neighbors, "ROWS_AT_ONCE", 16)  # more than one block, the last one smaller
    near = neighbors.nearest(unit, 8)
    assert (near.indices.dtype, near.similarities.dtype) == (np.int32, np.float32)
    for row in range(60):
        found, similarity = neighbors.neighbors(unit, row, 8)
        assert near.indices[row].tolist() == found.tolist()
        np.testing.assert_allclose(near.similarities[row], similarity, rtol=1e-5)
    assert neighbors.nearest(unit, 1000).indices.shape == (60, 59)
