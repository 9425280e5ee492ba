"""Searching the maps and drawing them as outlines or density, in the browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import map_app
import numpy as np
import pytest
from test_embedding_map import Maps, Server, points_of, server  # noqa: F401  (a fixture)

from dashboard.components import embedding_map
from dashboard.components.embedding_map import MapState, described, state_from_texts, state_texts
from dashboard.components.embedding_map.standalone import standalone_html

FIELD = ".emap .finder input"


# --- what travels ---------------------------------------------------------------------------------------------------


def test_what_can_be_searched_travels_as_arrays_and_words() -> None:
    data = {**map_app.example(300), "sheets": []}
    main, parts = described(data)
    hue, size = main["search"]["fields"]
    assert (hue["kind"], hue["low"], hue["high"]) == ("number", 0, 1)
    np.testing.assert_array_equal(parts["images"][hue["values"]], np.linspace(0, 1, 300, dtype=np.float32))
    assert (size["kind"], size["words"]) == ("word", ["large", "small"])  # an empty word is none
    assert parts["images"][size["values"]][:4].tolist() == [1, 255, 0, 1]
    names = parts["images"][main["search"]["files"]].tobytes().decode().split("\n")
    assert names == data["search"]["files"]
    assert main["search"]["tags"] == [{"name": "first ones", "rows": embedding_map.selection_text(range(7), 300)}]
    plain, _ = described({**data, "search": None})
    assert plain["search"] == {"fields": [], "files": None, "tags": []}


def test_unknown_numbers_are_left_out_of_a_range() -> None:
    about, values = embedding_map.field_values([np.nan, 2.0, 5.0])
    assert (about["low"], about["high"], values.dtype) == (2, 5, np.float32)
    assert embedding_map.field_values([np.nan])[0]["high"] == 0
    about, values = embedding_map.field_values(["b", "a", "b"])
    assert (about["words"], values.tolist()) == (["a", "b"], [1, 0, 1])


def test_search_and_drawing_stand_in_the_address_where_they_say_something() -> None:
    texts = state_texts(MapState(search="hue > 0.5", drawing="density"), 10)
    assert (texts["search"], texts["drawing"]) == ("hue > 0.5", "density")
    found = state_from_texts(texts, 10)
    assert (found.search, found.drawing) == ("hue > 0.5", "density")
    assert state_texts(MapState(), 10)["drawing"] == ""
    assert state_from_texts({"drawing": "<b>", "search": "x" * 999}, 10).drawing == "points"
    assert len(state_from_texts({"search": "x" * 999}, 10).search) == 200


# --- in the browser -------------------------------------------------------------------------------------------------


def said_of(maps: Maps) -> str:
    return maps.page.locator(".emap .finder .message").inner_text()


@pytest.mark.browser
def test_a_search_lights_up_both_maps_is_kept_and_becomes_the_selection(server: Server, browser: Any) -> None:
    maps = Maps(browser, f"{server.url}/?n=1000")
    page = maps.page
    whole = [maps.picture(panel) for panel in (0, 1)]
    page.locator(".emap canvas.marks").first.focus()
    page.keyboard.press("/")
    page.wait_for_function("() => document.activeElement.getAttribute('role') === 'combobox'")
    page.keyboard.type("hue > 0.9 and size = ")
    options = page.get_by_role("option")
    options.first.wait_for()
    assert options.all_inner_texts() == ["size = large\nSize", "size = small\nSize"]
    page.keyboard.press("ArrowDown")
    assert options.first.get_attribute("aria-selected") == "true"
    assert page.locator(FIELD).get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    page.keyboard.press("Enter")
    rows = [row for row in range(1000) if row % 3 == 2 and np.float32(row / 999) > np.float32(0.9)]
    page.get_by_text(f"{len(rows)} of 1,000", exact=True).wait_for()
    assert page.locator(FIELD).get_attribute("aria-expanded") == "false"
    assert maps.said() == f"{len(rows)} of 1,000 images found"
    maps.sees("search 'hue > 0.9 and size = large'")
    assert all(maps.picture(panel) != whole[panel] for panel in (0, 1))
    page.get_by_role("button", name="Select the images that were found").click()
    maps.sees(f"selected {len(rows)} · first [{rows[0]}]")
    page.get_by_role("button", name="Select the images that were found").wait_for(state="hidden")
    page.locator(FIELD).focus()
    page.keyboard.press("Escape")
    maps.sees("zoom [1.0, 1.0] · search ''")
    maps.sees(f"selected {len(rows)} · ")
    page.locator(".emap canvas.marks").first.focus()
    page.keyboard.press("Escape")
    maps.sees("selected 0")
    page.wait_for_timeout(400)
    assert [maps.picture(panel) for panel in (0, 1)] == whole
    maps.close()


@pytest.mark.browser
def test_a_link_brings_its_search_and_drawing_and_names_tags_files_and_numbers(
    server: Server,
    browser: Any,
) -> None:
    maps = Maps(browser, f"{server.url}/?n=1000&search=tag+%3D+first+ones&drawing=outlines")
    page = maps.page
    page.get_by_text("7 of 1,000", exact=True).wait_for()
    assert page.locator(FIELD).input_value() == "tag = first ones"
    page.locator(".emap .about-drawing").get_by_text("Each outline holds 80 % of the images").wait_for()
    for text, number in (("cat", 100), ("00042.png", 1), ("#30", 2), ("CAT or dog and hue > 0.5", 150)):
        page.locator(FIELD).fill(text)
        page.keyboard.press("Enter")
        page.get_by_text(f"{number} of 1,000", exact=True).wait_for()
    page.locator(FIELD).fill("zebra")
    page.keyboard.press("Enter")
    assert said_of(maps).startswith("Nothing here is called “zebra”; allowed: a class, the number of an image")
    page.locator(FIELD).fill("hue > 0,5")
    page.keyboard.press("Enter")
    assert said_of(maps) == "hue is compared with “0,5”; allowed: a number, here from 0 to 1."
    assert maps.said() == said_of(maps)
    page.get_by_role("button", name="Clear the search").click()
    maps.sees("search ''")
    page.locator(".emap .finder .message").wait_for(state="hidden")
    maps.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_outlines_and_density_are_drawn_kept_and_saved(
    server: Server,
    browser: Any,
    scheme: str,
    tmp_path: Path,
) -> None:
    maps = Maps(browser, f"{server.url}/?n=1000", color_scheme=scheme)
    page = maps.page
    points = [maps.picture(panel) for panel in (0, 1)]
    page.get_by_role("button", name="Outlines").click()
    maps.sees("drawn as outlines")
    with page.expect_download() as download:
        page.get_by_role("button", name="SVG").click()
    text = Path(download.value.path()).read_text()
    paths = re.findall(r'<path[^>]*d="([^"]*)"[^>]*fill-rule="evenodd"', text)
    assert len(paths) == 20  # ten classes on two maps
    outlines = [maps.picture(panel) for panel in (0, 1)]
    # on the left map the clusters stand apart: the outline of each class lies around its images
    pixels, labels = maps.pixels(points_of(map_app.example(1000))), np.arange(1000) % 10
    for label, path in enumerate(paths[:10]):
        corners = np.array(
            [[float(number) for number in pair.split()] for pair in re.findall(r"[\d.-]+ [\d.-]+", path)]
        )
        middle = pixels[labels == label].mean(axis=0)
        assert np.hypot(*(corners.mean(axis=0) - middle)) < 12
    page.locator(".emap canvas.marks").first.focus()
    page.keyboard.press("d")
    maps.sees("drawn as density")
    page.locator(".emap .about-drawing").get_by_text("The stronger the shading").wait_for()
    assert maps.said().startswith("Density: The stronger the shading")
    density = [maps.picture(panel) for panel in (0, 1)]
    assert all(len({points[panel], outlines[panel], density[panel]}) == 3 for panel in (0, 1))
    page.keyboard.press("d")
    maps.sees("drawn as points")
    page.wait_for_timeout(300)
    assert [maps.picture(panel) for panel in (0, 1)] == points
    maps.close()


@pytest.mark.browser
def test_on_a_scale_outlines_say_that_they_need_groups(server: Server, browser: Any) -> None:
    maps = Maps(browser, f"{server.url}/?n=500&kind=share&drawing=outlines")
    maps.sees("Outlines need classes or other groups")
    maps.close()


@pytest.mark.browser
def test_a_finger_searches_on_a_phone(server: Server, browser: Any) -> None:
    maps = Maps(browser, f"{server.url}/?n=500", (390, 844), has_touch=True, is_mobile=True)
    page = maps.page
    page.locator(FIELD).tap()
    page.get_by_role("option").first.wait_for()
    page.locator(FIELD).press_sequentially("do")
    option = page.get_by_role("option", name="dog class")
    assert option.bounding_box()["height"] >= 36
    option.tap()
    page.get_by_text("50 of 500", exact=True).wait_for()
    page.get_by_role("button", name="Select the images that were found").tap()
    maps.sees("selected 50")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for node in page.locator(".emap .finder button:visible").all():
        box = node.bounding_box()
        assert min(box["width"], box["height"]) >= 44, node.inner_text()
    maps.close()


@pytest.mark.browser
def test_a_file_of_its_own_can_be_searched_too(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "maps.html"
    page.write_text(standalone_html(map_app.example(600), "Two", map_app.sheets(600), "", MapState(search="hue < 0.1")))
    maps = Maps(browser, page.as_uri(), offline=True)
    maps.page.get_by_text("60 of 600", exact=True).wait_for()
    maps.page.locator(FIELD).fill("tag = first ones")
    maps.page.keyboard.press("Enter")
    maps.page.get_by_text("7 of 600", exact=True).wait_for()
    maps.close()
