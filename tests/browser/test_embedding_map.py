"""The linked maps: what travels to the browser and back, and what they do there under mouse, keys and fingers."""

from __future__ import annotations

import io
import json
import math
import re
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import map_app
import numpy as np
import pytest
import streamlit as st
from chromium import wait_until_served
from dashboard_fixtures import unpacked
from PIL import Image

from dashboard.components import FOLDER, arrays, embedding_map, linked
from dashboard.components.embedding_map import MapState, described, selected_rows, selection_text
from dashboard.components.embedding_map.standalone import standalone_html

ROOT = Path(__file__).resolve().parents[2]
EDGE = 18  # pixels that stay free around the whole map


# --- what travels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 0.001, 0.02, 0.3, 1])
@pytest.mark.parametrize("count", [1, 7, 1000, 50_000])
def test_a_selection_survives_as_text_that_is_never_longer_than_a_bit_for_each_image(share: float, count: int) -> None:
    rows = np.flatnonzero(np.random.default_rng(1).random(count) < share)
    text = selection_text(rows, count)
    np.testing.assert_array_equal(selected_rows(text, count), rows)
    assert re.fullmatch(r"[\w-]*", text)
    assert len(text) <= 1 + math.ceil(math.ceil(count / 8) * 4 / 3)
    if 0 < len(rows) < count / 100:
        assert len(text) <= 1 + math.ceil(len(rows) * 2 * 4 / 3)


@pytest.mark.parametrize("text", ["", "x", "b", "d", "b???", "d!", "zAAAA", "d" + "_" * 400, "<script>", "b" + "A" * 7])
def test_damaged_text_selects_nothing(text: str) -> None:
    assert selected_rows(text, 100).tolist() == []


def test_rows_that_do_not_exist_are_never_selected() -> None:
    assert selected_rows(selection_text(np.arange(90, 100), 100), 95).tolist() == [90, 91, 92, 93, 94]
    assert selected_rows(selection_text([3, 99], 100), 50).tolist() == [3]
    assert selection_text([-1, 100, 5, 5], 100) == selection_text([5], 100)


def test_arrays_are_named_by_content_and_only_what_changed_gets_another_name() -> None:
    data = {**map_app.example(300), "sheets": []}
    main, parts = described(data)
    again, _ = described({**data, "ids": np.array(data["ids"], dtype=np.int64)})
    assert main == again
    other, other_parts = described({**data, "color": map_app.example(300, kind="share")["color"]})
    assert other["revision"] != main["revision"]
    assert other["images"] == main["images"]
    assert other_parts["maps"].keys() == parts["maps"].keys()
    assert other_parts["colors"].keys() != parts["colors"].keys()
    found = unpacked(arrays.packed(parts["maps"]))
    points = found[main["panels"][1]["points"]].reshape(-1, 2)
    np.testing.assert_array_equal(points, data["panels"][1]["points"].astype(np.float32))
    json.dumps(main)  # no array is left in it


def test_groups_take_a_byte_each_as_long_as_they_fit() -> None:
    assert arrays.groups([0, 254, -1]).tolist() == [0, 254, 255]
    assert arrays.groups([0, 254, -1]).dtype == np.uint8
    assert arrays.groups([0, 255, -1]).tolist() == [0, 255, -1]
    assert arrays.groups([0, 255, -1]).dtype == np.int32


def test_what_was_chosen_counts_only_for_the_same_images_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.arange(10) * 2
    said = {
        "token": "a",
        "images": embedding_map.image_set(ids),
        "image": 4,
        "selection": selection_text([1, 2], 10),
        "frame": 3,
        "hidden": [1],
        "zoom": [[2, 0.5, 0.25]],
    }
    state: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", state)
    start = MapState(image=8)
    assert embedding_map.read_state("m", ids, start, "a") is start
    state["m"] = {"view": said}
    found = embedding_map.read_state("m", ids, start, "a")
    assert (found.image, found.selection.tolist(), found.frame, found.hidden) == (4, [1, 2], 3, (1,))
    assert found.zoom == ((2, 0.5, 0.25),)
    assert embedding_map.read_state("m", ids, start, "b") is start
    assert embedding_map.read_state("m", ids + 1, start, "a") is start
    for damage in ({"image": "x"}, {"zoom": [1]}, {"hidden": None}, {"frame": []}):
        state["m"] = {"view": said | damage}
        assert embedding_map.read_state("m", ids, start, "a") is start
    state["m"] = {"view": None}
    assert embedding_map.read_state("m", ids, start, "a") is start


def test_a_file_of_its_own_names_no_address_and_keeps_markup_as_text() -> None:
    data = map_app.example(60)
    data["classes"][0]["name"] = "</script><script>alert(1)</script>"
    text = standalone_html(data, "A & <b>B</b>", map_app.sheets(60), "from <i>here</i>")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert "http" not in re.sub(r"http-equiv|http://www.w3.org/2000/svg", "", text)
    assert "<title>A &amp; &lt;b&gt;B&lt;/b&gt;</title>" in text
    assert "</script><script>alert" not in text
    assert "from &lt;i&gt;here" in text


# --- in the browser ------------------------------------------------------------------------------------------------


class Server:
    """Streamlit with the page of `map_app`."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "streamlit", "run", "tests/browser/map_app.py", "--server.port", str(port)]
        with open(folder / "server.log", "wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            wait_until_served(self.url, folder / "server.log")
        except AssertionError:
            self.process.kill()
            raise


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.process.kill()
    server.process.wait()


class Maps:
    """A tab with the maps, and the errors and foreign requests that must not happen in it."""

    def __init__(
        self, browser: Any, url: str, size: tuple[int, int] = (1280, 1000), prepare: str = "", **options: Any
    ) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.add_init_script(prepare)
        self.errors: list[str] = []
        self.received = 0
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._watch)
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._count))
        self.page.goto(url)
        self.page.wait_for_selector(".emap[data-drawn]")

    def _watch(self, request: Any) -> None:
        if not re.match(r"(data:|blob:|file:|(http|ws)://127\.0\.0\.1:)", request.url):
            self.errors.append(f"request to {request.url}")

    def _count(self, frame: str | bytes) -> None:
        self.received += len(frame)

    def close(self) -> None:
        self.context.close()
        assert self.errors == []

    def sees(self, text: str | re.Pattern[str]) -> None:
        self.page.get_by_text(text).first.wait_for(state="visible")

    def box(self, panel: int = 0) -> dict[str, float]:
        return self.page.locator("canvas.marks").nth(panel).bounding_box()

    def at(self, x: float, y: float, panel: int = 0) -> tuple[float, float]:
        """A place on the screen, from shares of a panel; whole pixels, as a mouse has."""
        box = self.box(panel)
        return round(box["x"] + x * box["width"]), round(box["y"] + y * box["height"])

    def in_panel(self, x: float, y: float, panel: int = 0) -> np.ndarray:
        """The same place in pixels of the panel."""
        box = self.box(panel)
        return np.array(self.at(x, y, panel)) - [box["x"], box["y"]]

    def pixels(self, points: np.ndarray, panel: int = 0) -> np.ndarray:
        """Where points of a whole, unzoomed map lie in their panel, as the component places them."""
        box = self.box(panel)
        low, high = points.min(axis=0), points.max(axis=0)
        scale = min((box["width"] - 2 * EDGE) / (high - low)[0], (box["height"] - 2 * EDGE) / (high - low)[1])
        middle = np.array([box["width"], box["height"]]) / 2
        return middle + (points - (low + high) / 2) * scale * [1, -1]

    def lasso(self, left: float, top: float, right: float, bottom: float, panel: int = 0, *keys: str) -> np.ndarray:
        """Draws a rectangle with the Shift key down; returns its corners in pixels of the panel."""
        for key in ("Shift", *keys):
            self.page.keyboard.down(key)
        mouse = self.page.mouse
        mouse.move(*self.at(left, top, panel))
        mouse.down()
        for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
            mouse.move(*self.at(x, y, panel), steps=4)
        mouse.up()
        for key in ("Shift", *keys):
            self.page.keyboard.up(key)
        return np.array([self.in_panel(left, top, panel), self.in_panel(right, bottom, panel)])

    def picture(self, panel: int = 0) -> str:
        """The drawn points, as the text of a PNG."""
        return self.page.locator("canvas.points").nth(panel).evaluate("canvas => canvas.toDataURL()")

    def said(self) -> str:
        return self.page.locator(".emap [role=status]").inner_text()


def inside(pixels: np.ndarray, corners: np.ndarray) -> np.ndarray:
    return ((pixels > corners[0]) & (pixels < corners[1])).all(axis=1)


def points_of(data: dict[str, Any], panel: int = 0) -> np.ndarray:
    return data["panels"][panel]["points"].astype(np.float32).astype(float)


# Notes in which frame the points of each panel first look different; runs before the component's own drawing.
WATCH = """() => {
  const canvases = [...document.querySelectorAll("canvas.points")];
  const sum = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
    .reduce((total, value, i) => (total * 31 + value * (i % 97)) % 1000003, 7);
  const first = canvases.map(sum);
  window.changed = [null, null];
  let frame = 0;
  const look = () => {
    frame += 1;
    canvases.forEach((canvas, i) => {
      if (window.changed[i] === null && sum(canvas) !== first[i]) window.changed[i] = frame;
    });
    if (window.changed.includes(null)) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


@pytest.mark.browser
def test_a_lasso_lights_up_both_maps_in_one_frame_and_reaches_the_server_in_one_message(
    server: Server, browser: Any
) -> None:
    maps = Maps(browser, f"{server.url}/?n=5000")
    data = map_app.example(5000)
    maps.page.evaluate(WATCH)
    corners = maps.lasso(0.02, 0.3, 0.5, 0.98)
    maps.page.wait_for_function("() => !window.changed.includes(null)")
    first, second = maps.page.evaluate("window.changed")
    assert first == second
    expected = np.flatnonzero(inside(maps.pixels(points_of(data)), corners))
    assert 500 < len(expected) < 4500
    maps.sees(f"run 2 · selected {len(expected)} · first [{expected[0]}]")
    assert f"{len(expected):,} of 5,000 images selected" in maps.said()
    # from the other panel, added and taken away again
    before = maps.received
    corners = maps.lasso(0.5, 0.02, 0.98, 0.6, 1, "Control")
    added = np.union1d(expected, np.flatnonzero(inside(maps.pixels(points_of(data, 1), 1), corners)))
    assert len(added) > len(expected)
    maps.sees(f"run 3 · selected {len(added)}")
    maps.lasso(0.0, 0.0, 1.0, 1.0, 0, "Alt")
    maps.sees("run 4 · selected 0")
    assert maps.received - before < 40_000  # neither images nor points came again, 100 kB each time
    maps.close()


@pytest.mark.browser
def test_a_selection_is_cleared_by_key_click_and_button_in_the_browser_and_from_the_server(
    server: Server, browser: Any
) -> None:
    text = selection_text(np.arange(0, 500), 500)
    maps = Maps(browser, f"{server.url}/?n=500&selection={text}&image=30")
    maps.sees("500 of 500 images selected")
    maps.sees("run 1 · selected 500 · first [0] · image 30")
    maps.sees("Image 30 of the test images")
    plain = Maps(browser, f"{server.url}/?n=500").picture()
    everything = maps.picture()
    assert everything == plain  # all are lit
    maps.page.locator("canvas.marks").first.focus()
    maps.page.keyboard.press("Escape")
    maps.sees("selected 0 · first [] · image -1")
    maps.lasso(0, 0, 0.5, 1)
    maps.sees(re.compile("selected [1-9]"))
    assert maps.picture() != plain
    maps.page.mouse.click(*maps.at(0.005, 0.005))
    maps.sees("selected 0")
    assert maps.picture() == plain
    maps.lasso(0, 0, 0.5, 1)
    maps.sees(re.compile("selected [1-9]"))
    maps.page.get_by_role("button", name="Clear the selection").click()
    maps.sees("selected 0")
    maps.lasso(0, 0, 0.5, 1)
    maps.sees(re.compile("selected [1-9]"))
    maps.page.get_by_role("button", name="Clear from the server").click()
    maps.sees("selected 0")
    maps.page.wait_for_function("() => document.querySelector('.emap .status').textContent === '500 images'")
    assert maps.picture() == plain
    maps.close()


@pytest.mark.browser
def test_pointing_finds_the_nearest_image_and_shows_its_own_tile(server: Server, browser: Any) -> None:
    maps = Maps(browser, f"{server.url}/?n=3000")
    data = map_app.example(3000)
    generator = np.random.default_rng(5)
    for panel in (0, 1):
        pixels, box = maps.pixels(points_of(data, panel), panel), maps.box(panel)
        for place in pixels[generator.choice(3000, 12, replace=False)] + generator.integers(-6, 7, (12, 2)):
            x, y = np.clip(place.round(), 1, [box["width"] - 2, box["height"] - 2])
            maps.page.mouse.move(box["x"] + x, box["y"] + y)
            # the mouse stands on whole pixels of the page, the panel perhaps between two
            distance = np.hypot(*(pixels - [x, y]).T)
            words = maps.page.locator(".emap .tip").inner_text()
            row = int(re.search(r"image (\d+)", words)[1]) // 3
            assert distance[row] < distance.min() + 0.02
            assert map_app.CLASSES[row % 10] in words
            tile = maps.page.locator(".emap .tip .tile").evaluate(
                "tile => [tile.style.backgroundImage, tile.style.backgroundPosition, tile.style.width]"
            )
            size, at = 72, row % 2500
            assert tile[1:] == [f"-{at % 50 * size}px -{at // 50 * size}px".replace("-0px", "0px"), "72px"]
            number = maps.page.evaluate(
                "async (address) => (await (await fetch(address.slice(5, -2))).blob()).size", tile[0]
            )
            assert number == len(map_app.sheets(3000)[row // 2500])
    maps.close()


@pytest.mark.browser
def test_the_legend_hides_isolates_and_selects(server: Server, browser: Any) -> None:
    maps = Maps(browser, f"{server.url}/?n=1000")
    plain = maps.picture()
    cat = maps.page.locator(".emap .legend button", has_text="cat")
    assert "100" in cat.inner_text()
    cat.click()
    maps.sees("hidden [3]")
    assert cat.get_attribute("aria-pressed") == "false"
    assert maps.picture() != plain
    maps.lasso(0, 0, 1, 1)
    maps.sees("selected 900")  # what is hidden cannot be selected
    cat.dblclick()
    maps.sees("hidden [0, 1, 2, 4, 5, 6, 7, 8, 9]")
    maps.page.get_by_role("button", name="Show all").click()
    maps.sees("hidden []")
    maps.page.locator(".emap .legend button", has_text="dog").click(modifiers=["Shift"])
    maps.sees("selected 100 · first [5]")
    assert "100 of 100" in maps.page.locator(".emap .legend button", has_text="dog").inner_text()
    assert "0 of 100" in cat.inner_text()
    cat.focus()
    maps.page.keyboard.press("s")
    maps.sees("selected 100 · first [3]")
    maps.page.keyboard.press("i")
    maps.sees("hidden [0, 1, 2, 4, 5, 6, 7, 8, 9]")
    maps.close()
    maps = Maps(browser, f"{server.url}/?n=1000&kind=right")
    values = map_app.example(1000, kind="right")["color"]["values"]
    wrong = maps.page.locator(".emap .legend button", has_text="wrong").inner_text()
    assert f"{values[0].sum()} | {values[1].sum()}" in wrong
    maps.close()


@pytest.mark.browser
def test_every_tool_is_reached_with_the_keyboard_and_said_aloud(server: Server, browser: Any) -> None:
    maps = Maps(browser, f"{server.url}/?n=1000&frames=1&frame=5")
    page = maps.page
    page.get_by_role("button", name="Keys and gestures").focus()
    page.keyboard.press("Enter")
    maps.sees("walk from image to image")
    page.keyboard.press("Escape")
    page.get_by_text("walk from image to image").wait_for(state="hidden")
    page.get_by_role("application").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('.emap [role=status]').textContent.includes('image')")
    points = map_app.example(1000, has_frames=True)["panels"][0]["frames"][5]
    for key, right, up in (("ArrowRight", 1, 0), ("ArrowUp", 0, 1), ("ArrowLeft", -1, 0), ("ArrowDown", 0, -1)):
        old = int(re.search(r"image (\d+)", maps.said())[1]) // 3
        page.keyboard.press(key)
        new = int(re.search(r"image (\d+)", maps.said())[1]) // 3
        change = points - points[old]
        along, aside = change @ [right, up], np.abs(change @ [up, right])
        cost = np.where((along > 0) & (aside <= along), along + 2 * aside, np.inf)
        assert cost[new] == pytest.approx(cost.min(), rel=1e-4)
    page.keyboard.press("Enter")
    maps.sees(f"image {3 * new}")
    assert maps.said().startswith("Open: ")
    page.keyboard.press(" ")
    maps.sees(f"selected 1 · first [{new}]")
    assert maps.said() == f"1 of 1,000 images selected: 1 of {map_app.CLASSES[new % 10]}"
    page.keyboard.press("c")
    maps.sees(f"selected 100 · first [{new % 10}]")
    page.keyboard.press("v")
    maps.sees("selected 1000")
    page.keyboard.press("+")
    maps.sees("zoom [1.25, 1.0]")
    page.keyboard.press("0")
    maps.sees("zoom [1.0, 1.0]")
    page.keyboard.press("l")
    assert page.get_by_role("button", name=re.compile("Dragging selects")).get_attribute("aria-pressed") == "true"
    page.keyboard.press(",")
    maps.sees("frame 4")
    page.keyboard.press("Escape")
    maps.sees("selected 0 · first [] · image -1 · frame 4")
    maps.close()


@pytest.mark.browser
def test_a_film_plays_to_its_end_and_a_link_opens_one_of_its_frames(server: Server, browser: Any) -> None:
    still = Maps(browser, f"{server.url}/?n=400&frames=1&frame=5")
    last = still.picture()
    still.close()
    maps = Maps(browser, f"{server.url}/?n=400&frames=1&frame=2")
    third = maps.picture()
    slider = maps.page.get_by_role("slider", name="Epoch")
    assert slider.input_value() == "2"
    assert slider.get_attribute("aria-valuetext") == "20"
    assert third != last
    maps.page.evaluate("""() => {
      window.framesSeen = [];
      addEventListener("simclr-frame", ({ detail }) => window.framesSeen.push([performance.now(), detail.frame]));
    }""")
    maps.page.get_by_role("button", name="Play").click()
    maps.sees("run 2 · selected 0 · first [] · image -1 · frame 5")
    assert maps.picture() == last
    seen = maps.page.evaluate("window.framesSeen")
    frames = [frame for _, frame in seen]
    assert frames == sorted(frames)
    assert any(frame % 1 for frame in frames)  # between two frames as well
    assert 0.2 < (seen[-1][0] - seen[0][0]) / 1000 < 1.5  # three tenths of a second and what the machine adds
    slider.fill("2")
    maps.sees("frame 2")
    assert maps.picture() == third
    maps.close()


@pytest.mark.browser
def test_pictures_are_saved_without_the_server(server: Server, browser: Any, tmp_path: Path) -> None:
    maps = Maps(browser, f"{server.url}/?n=1000&image=30&selection={selection_text(np.arange(0, 1000, 3), 1000)}")
    with maps.page.expect_download() as event:
        maps.page.get_by_role("button", name="PNG").click()
    assert event.value.suggested_filename == "simclr-and-b-from-scratch-b.png"
    event.value.save_as(tmp_path / "maps.png")
    box = maps.box()
    with Image.open(tmp_path / "maps.png") as image:
        assert image.width == pytest.approx(2 * (2 * box["width"] + 24 + 48), abs=3)
        assert len(set(image.convert("RGB").resize((300, 200)).getdata())) > 100
    with maps.page.expect_download() as event:
        maps.page.get_by_role("button", name="SVG").click()
    event.value.save_as(tmp_path / "maps.svg")
    root = ElementTree.parse(tmp_path / "maps.svg").getroot()
    name = "{http://www.w3.org/2000/svg}"
    texts = [node.text for node in root.iter(f"{name}text")]
    assert {"SimCLR", "<b>From scratch</b>", "cat"} <= set(texts)
    circles = [circle for panel in root.findall(f"{name}svg") for circle in panel.iter(f"{name}circle")]
    assert len([circle for circle in circles if circle.get("fill") != "none"]) == 2000
    assert not list(root.iter(f"{name}image"))
    grey = [group for group in root.iter(f"{name}g") if group.get("fill-opacity") == "0.7"]
    assert sum(len(group) for group in grey) == 2 * (1000 - 334)
    maps.close()


@pytest.mark.browser
def test_one_panel_alone_and_a_scale_of_shares(server: Server, browser: Any) -> None:
    maps = Maps(browser, f"{server.url}/?n=500&panels=1&kind=share")
    assert maps.page.locator("canvas.points").count() == 1
    assert maps.page.locator(".emap .bar").inner_text().split() == ["0", "%", "100", "%"]
    points = points_of(map_app.example(500))
    x, y = maps.pixels(points)[0]
    box = maps.box()
    maps.page.mouse.move(box["x"] + x, box["y"] + y)
    assert "Agreement: unknown" in maps.page.locator(".emap .tip").inner_text()
    corners = maps.lasso(0, 0, 0.5, 1)
    maps.sees(f"selected {inside(maps.pixels(points), corners).sum()}")
    maps.close()


@pytest.mark.browser
def test_zoom_keeps_the_place_under_the_mouse_and_survives_the_server(server: Server, browser: Any) -> None:
    maps = Maps(browser, f"{server.url}/?n=1000")
    points = points_of(map_app.example(1000))
    box, pixels = maps.box(), maps.pixels(points)
    row = int(np.hypot(*(pixels - pixels.mean(axis=0)).T).argmax())  # one that stands apart
    place = box["x"] + pixels[row][0], box["y"] + pixels[row][1]
    maps.page.mouse.move(*place)
    maps.page.mouse.wheel(0, -1000)
    maps.sees(re.compile(r"zoom \[6\.\d+, 1\.0\]"))
    zoomed = maps.picture()
    maps.page.mouse.move(place[0] + 1, place[1])
    assert f"image {3 * row}" in maps.page.locator(".emap .tip").inner_text()
    maps.page.mouse.click(*place)
    maps.sees(f"image {3 * row} · frame")
    maps.sees("8 of 8 are")
    assert maps.picture() == zoomed
    maps.page.mouse.move(*place)
    maps.page.mouse.down()
    maps.page.mouse.move(place[0] - 60, place[1] + 40, steps=5)
    maps.page.mouse.up()
    assert maps.picture() != zoomed
    maps.page.get_by_role("button", name="Show the whole map").first.click()
    maps.sees("zoom [1.0, 1.0]")
    maps.close()


@pytest.mark.browser
def test_on_a_phone_panels_stack_fingers_pinch_and_draw_and_targets_are_large(server: Server, browser: Any) -> None:
    maps = Maps(
        browser,
        f"{server.url}/?n=500",
        (390, 844),
        has_touch=True,
        is_mobile=True,
        device_scale_factor=2,
        color_scheme="dark",
    )
    first, second = maps.box(0), maps.box(1)
    assert second["y"] > first["y"] + first["height"]
    assert maps.page.evaluate("document.documentElement.scrollWidth") <= 390
    for node in maps.page.locator(".emap button:visible").all():
        box = node.bounding_box()
        assert min(box["width"], box["height"]) >= 44, node.inner_text()
    session = maps.context.new_cdp_session(maps.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    x, y = maps.at(0.5, 0.5)
    touch("touchStart", (x - 30, y), (x + 30, y))
    for distance in (40, 60, 90):
        touch("touchMove", (x - distance, y), (x + distance, y))
    touch("touchEnd")
    maps.sees(re.compile(r"zoom \[[23]\.\d+, 1\.0\]"))
    maps.page.get_by_role("button", name="Show the whole map").first.tap()
    maps.page.get_by_role("button", name=re.compile("Dragging selects")).tap()
    touch("touchStart", maps.at(0.02, 0.02))
    corners = ((0.6, 0.02), (0.6, 0.98), (0.02, 0.98), (0.02, 0.02))
    for corner in corners:
        touch("touchMove", maps.at(*corner))
    touch("touchEnd")
    limits = np.array([maps.in_panel(0.02, 0.02), maps.in_panel(0.6, 0.98)])
    number = int(inside(maps.pixels(points_of(map_app.example(500))), limits).sum())
    maps.sees(f"selected {number}")
    dark = maps.page.locator("canvas.points").first.evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(2, 2, 1, 1).data]"
    )
    assert max(dark[:3]) < 60
    maps.close()


@pytest.mark.browser
def test_a_file_of_its_own_opens_without_network_with_images_neighbours_and_film(browser: Any, tmp_path: Path) -> None:
    data = map_app.example(600, has_frames=True)
    for panel in data["panels"]:
        panel["neighbors"] = (np.arange(600)[:, None] + [10, 20, 30]) % 600
        panel["similarities"] = np.tile([0.9, 0.8, 0.7], (600, 1))
    data["classes"][0]["name"] = "</script><script>document.title = 'broken'</script>"
    start = MapState(image=9, frame=5, selection=np.arange(100))
    page = tmp_path / "maps.html"
    page.write_text(standalone_html(data, "Two maps", map_app.sheets(600), "600 images", start), encoding="utf-8")
    maps = Maps(browser, page.as_uri(), offline=True)
    console: list[str] = []
    maps.page.on("console", lambda message: console.append(message.text))
    maps.page.reload()
    maps.page.wait_for_selector(".emap[data-drawn]")
    assert maps.page.title() == "Two maps"
    maps.sees("100 of 600 images selected")
    maps.sees("Image 9 of the test images")
    assert maps.page.locator(".emap .near li").count() == 6
    assert maps.page.locator(".emap .near li").first.inner_text().split() == ["0.900", "cat"]
    points = data["panels"][0]["frames"][5]
    x, y = maps.pixels(np.concatenate(data["panels"][0]["frames"]))[5 * 600 + 7]
    box = maps.box()
    maps.page.mouse.move(box["x"] + x, box["y"] + y)
    tile = maps.page.locator(".emap .tip .tile")
    assert len(points) == 600
    row = int(re.search(r"image (\d+)", maps.page.locator(".emap .tip").inner_text())[1]) // 3
    with Image.open(io.BytesIO(tile.screenshot())) as image:
        red, green, blue = image.convert("RGB").getpixel((36, 36))
    assert abs(red - row // 256) < 12 and abs(green - row % 256) < 12 and abs(blue - 90) < 12
    maps.page.get_by_role("button", name="Play").click()
    maps.page.get_by_role("button", name="Pause").wait_for()
    with maps.page.expect_download():
        maps.page.get_by_role("button", name="PNG").click()
    assert console == []  # the page's own rules would say so here
    maps.close()


@pytest.mark.browser
def test_browser_and_server_read_each_others_selections(server: Server, browser: Any) -> None:
    maps = Maps(browser, f"{server.url}/?n=1000")
    script = linked(FOLDER / "embedding_map/choice_text.js")
    for share in (0, 0.01, 0.5, 1):
        chosen = np.random.default_rng(3).random(1000) < share
        text = maps.page.evaluate(
            f"(chosen) => {{ {script}; return [choiceText(Uint8Array.from(chosen)), "
            "[...choiceFrom(choiceText(Uint8Array.from(chosen)), chosen.length)]]; }",
            chosen.astype(int).tolist(),
        )
        assert text[0] == selection_text(np.flatnonzero(chosen), 1000)
        assert text[1] == chosen.astype(int).tolist()
    maps.close()
