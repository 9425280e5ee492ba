"""Where new images fall on a map, and how far they move: against slow references and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from simclr.analysis import placing
from simclr.analysis.placing import PLACED_AMONG, Layout, Space
from simclr.config import ConfigError
from simclr.embeddings import neighbors, projections

GENERATOR = np.random.default_rng(3)
FEATURES = (GENERATOR.normal(size=(80, 12)) * np.linspace(3, 0.5, 12) + 5).astype(np.float32)


def space_of(features: np.ndarray) -> Space:
    return Space.of(features, neighbors.nearest(neighbors.unit_rows(features), 20))


def test_how_far_an_image_moves_is_its_distance_over_the_median_of_all_pairs() -> None:
    changed = FEATURES[:6] + GENERATOR.normal(size=(6, 12)).astype(np.float32)
    mean = FEATURES.astype(np.float64).mean(axis=0)

    def stand(row: np.ndarray) -> np.ndarray:
        return (row - mean) / np.linalg.norm(row - mean)

    pairs = [np.linalg.norm(stand(one) - stand(other)) for one, other in itertools.combinations(FEATURES, 2)]
    expected = [
        np.linalg.norm(stand(new) - stand(old)) / np.median(pairs) for new, old in zip(changed, FEATURES, strict=False)
    ]
    space = space_of(FEATURES)
    np.testing.assert_allclose(space.moved(changed, FEATURES[:6]), expected, rtol=1e-5)
    np.testing.assert_allclose(space.moved(changed[:1], FEATURES[0]), expected[:1], rtol=1e-5)
    np.testing.assert_allclose(space.moved(FEATURES[:6], FEATURES[:6]), 0, atol=1e-6)


def test_where_all_images_are_alike_nothing_moves() -> None:
    space = space_of(np.ones((10, 4), dtype=np.float32))
    assert space.median == 0
    assert space.moved(np.eye(4, dtype=np.float32), np.ones(4, dtype=np.float32)).tolist() == [0, 0, 0, 0]


def test_of_many_images_the_median_is_that_of_evenly_spread_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    every = space_of(FEATURES).median
    monkeypatch.setattr(placing, "MEDIAN_IMAGES", 40)
    assert space_of(FEATURES).median == pytest.approx(every, rel=0.1)
    assert space_of(FEATURES).median != every


@pytest.mark.parametrize("is_turned", [False, True])
def test_on_a_pca_map_images_stand_where_their_features_put_them(is_turned: bool) -> None:
    old, new = FEATURES[:70], FEATURES[70:]
    points = projections.pca(old)
    if is_turned:  # as the right map lies
        points = (points @ np.array([[0, 1], [1, 0]]) @ np.array([[0.6, -0.8], [0.8, 0.6]])).astype(np.float32)
    space, layout = space_of(old), placing.layout_of("pca", points, old)
    assert layout.is_exact
    np.testing.assert_allclose(layout.place(space, old), points, atol=1e-4)
    # a new image stands where the map of it among the others would have put it, were the axes not to change
    x = old.astype(np.float64) - old.mean(axis=0, dtype=np.float64)
    fitted = np.linalg.lstsq(x, points.astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose(layout.place(space, new), (new - old.mean(axis=0, dtype=np.float64)) @ fitted, atol=1e-3)


def test_a_pca_map_of_other_features_is_refused() -> None:
    with pytest.raises(ConfigError, match="drawn of other features"):
        placing.layout_of("pca", projections.pca(FEATURES), FEATURES + GENERATOR.normal(size=FEATURES.shape))


def test_elsewhere_images_stand_at_the_weighted_mean_of_their_neighbours() -> None:
    points = GENERATOR.normal(size=(80, 2)).astype(np.float32)
    space, layout = space_of(FEATURES), placing.layout_of("umap", points, FEATURES)
    assert not layout.is_exact
    np.testing.assert_allclose(layout.place(space, FEATURES), points, atol=2e-3)  # those of the map stay

    new = FEATURES[:1] + GENERATOR.normal(size=(1, 12)).astype(np.float32)
    unit = [row / np.linalg.norm(row) for row in FEATURES.astype(np.float64)]
    own = new[0] / np.linalg.norm(new[0])
    nearest = sorted(range(80), key=lambda row: -float(unit[row] @ own))[:PLACED_AMONG]
    weights = [1 / float(np.square(unit[row] - own).sum()) for row in nearest]
    expected = sum(weight * points[row] for weight, row in zip(weights, nearest, strict=True)) / sum(weights)
    np.testing.assert_allclose(layout.place(space, new)[0], expected, rtol=1e-2)
    assert np.abs(expected - points.mean(axis=0)).max() > 0.05  # so that the mean of all would not pass


def test_an_image_of_the_map_is_none_of_its_own_neighbours() -> None:
    space = space_of(FEATURES)
    assert space.near(FEATURES[7:8], 5).indices[0, 0] == 7
    assert 7 not in space.near(FEATURES[7:8], 79, row=7).indices
    assert space.near(FEATURES[7:8], 200, row=7).indices.shape == (1, 79)


def test_the_share_of_images_that_are_less_like_their_nearest() -> None:
    space = Space(FEATURES, FEATURES[0], 1.0, np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32))
    assert [space.share_farther(value) for value in (0.05, 0.25, 0.9)] == [0, 0.5, 1]
    assert Layout(FEATURES[:, :2]).is_exact is False
