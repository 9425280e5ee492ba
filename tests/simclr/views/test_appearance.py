"""What images look like, in numbers: closed forms, ranges, and the words made of them."""

import colorsys

import numpy as np
import pytest
from PIL import Image

from simclr.views import appearance, sheets

SIDE = 32


def image(colors):
    """(1, 3, S, S) uint8 of colours (S, S, 3) or (3,) in 0..1."""
    whole = np.broadcast_to(np.asarray(colors, dtype=np.float64), (SIDE, SIDE, 3))
    return np.round(255 * whole).astype(np.uint8).transpose(2, 0, 1)[None]


def grey(luma):
    return image(np.repeat(np.asarray(luma)[..., None], 3, axis=-1))


def measure(pixels):
    return {name: values[0] for name, values in appearance.measure(pixels).items()}


def stripes(turn, period=8.0, height=0.4):
    """Waves whose lines rise at `turn` of half a turn from level."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    angle = np.pi * turn
    across = x * np.sin(angle) + y * np.cos(angle)  # y points down, so a rising line has x sin + y cos constant
    return grey(0.5 + height * np.sin(2 * np.pi * across / period))


@pytest.mark.parametrize("color", [(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (0.8, 0.4, 0.2)])
def test_an_image_of_one_colour_has_its_hue_everywhere_no_contrast_and_no_edges(color):
    found = measure(image(color))
    luma = float(np.dot(color, [0.299, 0.587, 0.114]))
    for place in ("middle", "border"):
        red, green, blue = color
        across, up = red - (green + blue) / 2, np.sqrt(0.75) * (green - blue)
        assert found[f"{place}_hue"] == pytest.approx(np.arctan2(up, across) / (2 * np.pi) % 1, abs=1e-3)
        assert found[f"{place}_chroma"] == pytest.approx(np.hypot(across, up), abs=2e-3)
        assert found[f"{place}_color"] == pytest.approx(np.hypot(across, up), abs=2e-3)
        assert found[f"{place}_lightness"] == pytest.approx(luma, abs=2e-3)
        if max(color) == 1:  # at their fullest: as in HSV, and as far from grey as can be
            assert found[f"{place}_hue"] == pytest.approx(colorsys.rgb_to_hsv(*color)[0], abs=1e-3)
            assert found[f"{place}_chroma"] == pytest.approx(1, abs=1e-3)
    assert found["lightness"] == pytest.approx(luma, abs=2e-3)
    assert found["contrast"] == pytest.approx(0, abs=1e-6)
    assert found["edge_strength"] == found["edge_angle"] == 0


@pytest.mark.parametrize("luma", [0.0, 0.4, 1.0])
def test_grey_has_no_chroma(luma):
    found = measure(grey(np.full((SIDE, SIDE), luma)))
    assert found["middle_chroma"] == found["border_chroma"] == pytest.approx(0, abs=1e-3)
    assert found["lightness"] == pytest.approx(luma, abs=2e-3)


def test_half_black_and_half_white_has_the_greatest_contrast():
    luma = np.zeros((SIDE, SIDE))
    luma[:, SIDE // 2 :] = 1
    found = measure(grey(luma))
    assert (found["lightness"], found["contrast"]) == pytest.approx((0.5, 0.5), abs=1e-3)
    assert (found["edge_angle"], found["edge_strength"]) == pytest.approx((0.5, 1.0), abs=1e-3)


def test_a_slope_has_the_spread_of_a_uniform_distribution_and_lines_across_it():
    luma = np.broadcast_to(np.linspace(0, 1, SIDE)[:, None], (SIDE, SIDE))  # darker above: level lines
    found = measure(grey(luma))
    assert found["lightness"] == pytest.approx(0.5, abs=2e-3)
    assert found["contrast"] == pytest.approx(np.sqrt((SIDE + 1) / (SIDE - 1) / 12), abs=2e-3)
    assert found["edge_strength"] == pytest.approx(1, abs=1e-3)
    assert min(found["edge_angle"], 1 - found["edge_angle"]) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("turn", [0.0, 0.1, 0.25, 0.4, 0.5, 0.7, 0.75, 0.9])
def test_stripes_have_their_angle_and_one_direction(turn):
    found = measure(stripes(turn))
    off = abs(found["edge_angle"] - turn)
    assert min(off, 1 - off) < 0.02 and found["edge_strength"] > 0.95


def test_a_grid_and_noise_have_no_direction():
    board = np.where((np.indices((SIDE, SIDE)) // 4).sum(axis=0) % 2, 0.2, 0.8)
    noise = np.random.default_rng(0).random((SIDE, SIDE))
    for luma in (board, noise):
        assert measure(grey(luma))["edge_strength"] < 0.15


def test_the_border_is_the_outer_eighth_and_the_middle_half_of_the_sides():
    colors = np.zeros((SIDE, SIDE, 3))
    colors[...] = (0, 0, 1)
    colors[4:-4, 4:-4] = (0, 1, 0)
    colors[8:-8, 8:-8] = (1, 0, 0)
    found = measure(image(colors))
    assert (found["border_hue"], found["border_chroma"]) == pytest.approx((2 / 3, 1), abs=1e-3)
    assert (found["middle_hue"] % 1, found["middle_chroma"]) == pytest.approx((0, 1), abs=1e-3)
    words = {name: values[0] for name, values in appearance.in_words(appearance.measure(image(colors))).items()}
    assert (words["border"], words["middle"]) == ("bluish", "reddish")


@pytest.mark.parametrize("side", [1, 2, 3, 5, 7, 16, 64])
def test_all_is_finite_and_in_its_range_for_images_of_any_size_and_kind(side):
    generator = np.random.default_rng(side)
    images = generator.integers(0, 256, (9, 3, side, side), dtype=np.uint8)
    images[0], images[1] = 0, 255
    found = appearance.measure(images)
    assert tuple(found) == appearance.MEASURES
    for name, values in found.items():
        assert values.shape == (9,) and values.dtype == np.float32
        assert np.isfinite(values).all()
        assert values.min() >= 0 and values.max() <= (0.501 if name == "contrast" else 1.001)
    assert appearance.measure(images[:0])["lightness"].shape == (0,)


def test_many_images_are_measured_as_each_alone(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 16, 16), dtype=np.uint8)
    monkeypatch.setattr(appearance, "CHUNK", 3)
    together = appearance.measure(images)
    for row in range(7):
        alone = measure(images[row : row + 1])
        assert alone == {name: values[row] for name, values in together.items()}


# --- words ----------------------------------------------------------------------------------------------------------


def test_words_name_thirds_colours_and_directions():
    waves = [stripes(turn, height=height) for turn, height in ((0.0, 0.1), (0.25, 0.25), (0.5, 0.4))]
    colored = [image((0.1, 0.1, 0.1)), image((0.9, 0.9, 0.9)), image((0.5, 0.35, 0.2))]
    words = appearance.in_words(appearance.measure(np.concatenate([*waves, *colored])))
    assert words["edges"].tolist() == ["horizontal", "diagonal", "vertical", "", "", ""]
    assert words["border"].tolist() == ["colourless"] * 3 + ["black", "white", "brownish"]
    assert words["middle"].tolist() == words["border"].tolist()
    assert words["lightness"][[3, 4]].tolist() == ["dark", "light"]
    assert words["contrast"][:3].tolist() == ["", "high", "high"] and set(words["contrast"][3:]) <= {"low", ""}


def test_grass_below_sky_is_neither_colourless_nor_of_one_hue():
    colors = np.zeros((SIDE, SIDE, 3))
    colors[: SIDE // 2], colors[SIDE // 2 :] = (0.5, 0.6, 0.9), (0.55, 0.5, 0.2)
    found = appearance.measure(image(colors))
    assert found["border_chroma"][0] < 0.08 < 0.3 < found["border_color"][0]
    assert appearance.in_words(found)["border"].tolist() == [""]
    assert not appearance.has_direction(found, "border_hue")[0] and not appearance.has_direction(found, "middle_hue")[0]


def test_images_that_are_all_alike_have_no_thirds():
    words = appearance.in_words(appearance.measure(np.repeat(image((0.5, 0.5, 0.5)), 9, axis=0)))
    assert set(words["lightness"]) == set(words["contrast"]) == set(words["edges"]) == {""}


@pytest.mark.parametrize(
    ("hue", "word"), [(0.0, "red"), (0.98, "red"), (0.15, "yellow"), (0.33, "green"), (0.6, "blue"), (0.9, "pink")]
)
def test_hues_have_their_names(hue, word):
    assert appearance.hue_name(hue) == word
    near = {
        name: np.array([value]) for name, value in (("hue", hue), ("chroma", 0.5), ("color", 0.5), ("lightness", 0.5))
    }
    tints = appearance._color_words({f"border_{name}": values for name, values in near.items()}, "border")
    assert tints[0].startswith(word[:3])


# --- sprite sheets --------------------------------------------------------------------------------------------------


def test_images_on_sheets_are_measured_as_they_are(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 8, 8), dtype=np.uint8)
    tiles = {"side": 8, "columns": 2, "per_sheet": 4}
    paths = []
    for number in range(2):
        part = np.zeros((4, 3, 8, 8), dtype=np.uint8)
        part[: len(images[4 * number : 4 * number + 4])] = images[4 * number : 4 * number + 4]
        grid = part.reshape(2, 2, 3, 8, 8).transpose(0, 3, 1, 4, 2).reshape(16, 16, 3)
        paths.append(tmp_path / f"sheet-{number}.png")
        Image.fromarray(grid).save(paths[-1])
    np.testing.assert_array_equal(sheets.read_tiles(paths, tiles, range(7)), images)
    found, expected = appearance.measure_sheets(paths, tiles, 7), appearance.measure(images)
    for name in appearance.MEASURES:
        np.testing.assert_array_equal(found[name], expected[name])
    for rows in ([8], [-1]):
        with pytest.raises(ValueError, match="lies on no sheet"):
            sheets.read_tiles(paths, tiles, rows)
    with pytest.raises(ValueError, match="lies outside of its sheet"):
        sheets.read_tiles(paths, tiles | {"columns": 4}, [3])
    paths[1].write_bytes(b"no picture")
    with pytest.raises((OSError, ValueError)):
        appearance.measure_sheets(paths, tiles, 7)
    paths[0].unlink()
    with pytest.raises(OSError, match="No such file"):
        appearance.measure_sheets(paths, tiles, 3)
