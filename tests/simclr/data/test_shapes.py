"""The procedural data set: the same image for ever, readable shapes, colour that does not tell the class."""

import colorsys

import numpy as np
import pytest

from simclr.data import shapes


@pytest.fixture(scope="module")
def drawn() -> shapes.Shapes:
    return shapes.generate("train", 600)


def test_an_image_does_not_depend_on_how_many_are_asked_for(drawn):
    fewer = shapes.generate("train", 37)
    assert (fewer.images == drawn.images[:37]).all()
    for name, values in fewer.factors.items():
        assert (values == drawn.factors[name][:37]).all()


def test_splits_differ(drawn):
    assert not (shapes.generate("test", 10).images == drawn.images[:10]).all(axis=(1, 2, 3)).any()


def test_format_and_balance(drawn):
    assert drawn.images.shape == (600, 3, 32, 32)
    assert drawn.images.dtype == np.uint8
    assert np.bincount(drawn.labels).tolist() == [60] * 10
    assert set(drawn.factors) == {"shape", "hue", "background", "size", "position_x", "position_y", "rotation"}
    assert all(len(values) == 600 for values in drawn.factors.values())
    assert (np.array(shapes.CLASSES)[drawn.labels] == drawn.factors["shape"]).all()


@pytest.mark.parametrize("name", ["size", "position_x", "rotation"])
def test_factors_fill_their_range(drawn, name):
    low, high = getattr(shapes, f"{name.removesuffix('_x')}_range".upper())
    values = drawn.factors[name]
    assert low <= values.min() < low + 0.05 * (high - low)
    assert high - 0.05 * (high - low) < values.max() <= high


@pytest.mark.parametrize("side", [16, 33, 96])
def test_any_side_shows_the_same_picture(side):
    large = shapes.generate("train", 10, 192).images.astype(float)
    small = shapes.generate("train", 10, side)
    assert small.images.shape == (10, 3, side, side)
    assert np.abs(large.mean(axis=(2, 3)) - small.images.mean(axis=(2, 3))).max() < 4  # of 255


def test_colour_says_nothing_about_the_class(drawn):
    for name in ("hue", "background"):
        angles = 2 * np.pi * drawn.factors[name]
        assert abs(np.exp(1j * angles).mean()) < 0.12  # all around the circle
        means = [abs(np.exp(1j * angles[drawn.labels == label]).mean()) for label in range(10)]
        assert max(means) < 0.4  # 60 draws each: 1 / sqrt(60) = 0.13 is expected
    lighter = []
    for label in range(10):
        images = drawn.images[drawn.labels == label].astype(float).mean(axis=1)
        lighter.append((images[:, 12:20, 12:20].mean(axis=(1, 2)) > images[:, :3].mean(axis=(1, 2))).mean())
    assert min(lighter) > 0.2
    assert max(lighter) < 0.8


def test_the_recorded_hue_and_place_are_those_of_the_image():
    side = 64
    drawn = shapes.generate("train", 400, side)
    checked = 0
    for i in np.flatnonzero(np.isin(drawn.factors["shape"], ["circle", "square", "heart", "star"])):
        column = int((drawn.factors["position_x"][i] + 1) / 2 * side)
        row = int((1 - drawn.factors["position_y"][i]) / 2 * side)
        hue = colorsys.rgb_to_hsv(*(drawn.images[i, :, row, column] / 255))[0]
        gap = abs(hue - drawn.factors["hue"][i])
        assert min(gap, 1 - gap) < 0.03
        checked += 1
    assert checked == 160


@pytest.mark.parametrize("name", shapes.CLASSES)
def test_outlines_cover_a_fair_part_and_stay_inside(name):
    axis = np.linspace(-1.5, 1.5, 301, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    inside = shapes.OUTLINES[name](x, y) < 0
    area = inside.mean() * 9
    assert 0.9 < area < 2.5
    assert np.hypot(x, y)[inside].max() < 1.3


def test_polygon_distance_agrees_with_the_box():
    x, y = np.meshgrid(np.linspace(-1, 1, 41, dtype=np.float32), np.linspace(-1, 1, 41, dtype=np.float32))
    corners = [(-0.5, -0.3), (0.5, -0.3), (0.5, 0.3), (-0.5, 0.3)]
    assert np.allclose(shapes._polygon(x, y, corners), shapes._box(x, y, 0.5, 0.3), atol=1e-5)


def test_outlines_of_two_classes_overlap_only_in_part():
    axis = np.linspace(-1.2, 1.2, 121, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    masks = [shapes.OUTLINES[name](x, y) < 0 for name in shapes.CLASSES]
    for i, first in enumerate(masks):
        for second in masks[i + 1 :]:
            assert (first & second).sum() / (first | second).sum() < 0.85


def test_hsv_agrees_with_the_standard_library():
    h, s, v = np.random.default_rng(0).random((3, 50))
    expected = [colorsys.hsv_to_rgb(*row) for row in zip(h, s, v, strict=True)]
    assert np.allclose(shapes.hsv_to_rgb(h, s, v), expected, atol=1e-6)
