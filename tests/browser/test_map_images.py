"""What the maps show beside dots, in a real browser: images where there is room, and names where classes lie."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import map_app
import numpy as np
import pytest
from test_embedding_map import Maps, Server, points_of, server  # noqa: F401  (a fixture)

from dashboard.components.embedding_map import selection_text

pytestmark = pytest.mark.browser

# Notes for each canvas of points what the last drawing has put on it, in pixels of the panel; the component itself is
# as always.
NOTE = """
const prototype = CanvasRenderingContext2D.prototype;
const { putImageData, drawImage, fillText } = prototype;
prototype.putImageData = function (...args) {
  this.canvas.drawn = { images: [], names: [] };
  window.lastDrawn = performance.now();
  putImageData.apply(this, args);
};
prototype.drawImage = function (...args) {
  this.canvas.drawn?.images.push([args[5], args[6], args[7], this.globalAlpha]);
  drawImage.apply(this, args);
};
prototype.fillText = function (words, x, y) {
  const width = this.measureText(words).width;
  this.canvas.drawn?.names.push({ words, x, y, width, opacity: this.globalAlpha, color: this.fillStyle });
  fillText.call(this, words, x, y);
};
"""
NO_SHEETS = "window.createImageBitmap = () => Promise.reject(new Error('no sheet'));"
# A clock that goes on by as much in each frame, however busy the computer is.
EVEN_FRAMES = """
const ownFrame = window.requestAnimationFrame.bind(window);
let lastStamp = 0, evenNow = 0;
window.requestAnimationFrame = (action) => ownFrame((stamp) => {
  if (stamp !== lastStamp) evenNow += 16;
  lastStamp = stamp;
  action(evenNow);
});
"""
# A frame that was asked for before this begins is drawn before its own: an old drawing is not taken for the last one.
AT_REST = """async () => {
  const began = performance.now();
  const quiet = () => performance.now() - Math.max(began, window.lastDrawn) > 500;
  for (let frames = 0; frames < 3 || !quiet(); frames++) await new Promise((resolve) => requestAnimationFrame(resolve));
}"""
LINE = 17  # pixels that a name takes in height


class Seen(Maps):
    """A tab that knows what is drawn on its maps."""

    def __init__(self, browser: Any, url: str, size: tuple[int, int] = (1440, 1000), prepare: str = "", **options: Any):
        super().__init__(browser, url, size, NOTE + prepare, **options)

    def drawn(self, panel: int = 0) -> dict[str, list[Any]]:
        """Images as [left, top, side, opacity] and names, once the maps are at rest."""
        self.page.evaluate(AT_REST)
        return self.page.locator("canvas.points").nth(panel).evaluate("canvas => canvas.drawn")

    def names(self, panel: int = 0) -> dict[str, dict[str, Any]]:
        return {name["words"]: name for name in self.drawn(panel)["names"]}

    def color(self, x: float, y: float, panel: int = 0) -> list[int]:
        """The colour of a pixel of the panel."""
        return (
            self.page.locator("canvas.points")
            .nth(panel)
            .evaluate(
                """(canvas, [x, y]) => {
              const ratio = canvas.width / canvas.clientWidth;
              return [...canvas.getContext("2d").getImageData(x * ratio, y * ratio, 1, 1).data].slice(0, 3);
            }""",
                [x, y],
            )
        )

    def zoom_at(self, x: float, y: float, by: float, panel: int = 0) -> np.ndarray:
        """Turns the wheel over a place of the panel; returns it in whole pixels, as the mouse stands on."""
        box = self.box(panel)
        at = np.round([box["x"] + x, box["y"] + y])
        self.page.mouse.move(*at)
        self.page.mouse.wheel(0, -by)
        self.page.wait_for_timeout(100)
        self.page.mouse.move(box["x"] + 2, box["y"] + 2)  # what is pointed at would be drawn on top
        return at - [box["x"], box["y"]]


def tile_color(row: int) -> np.ndarray:
    return np.array([row // 256, row % 256, 90])


def lonely(points: np.ndarray) -> int:
    """The row of a point that stands apart."""
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + 9 * np.eye(len(points))
    return int(distance.min(axis=1).argmax())


def overlaps(names: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (one["words"], other["words"])
        for one, other in itertools.combinations(names.values(), 2)
        if abs(one["x"] - other["x"]) < (one["width"] + other["width"]) / 2 and abs(one["y"] - other["y"]) < LINE
    ]


# --- images --------------------------------------------------------------------------------------------------------


def test_points_grow_into_their_images_where_there_is_room(server: Server, browser: Any) -> None:
    maps = Seen(browser, f"{server.url}/?n=600")
    assert maps.drawn()["images"] == []
    points = points_of(map_app.example(600))
    row = lonely(points)
    x, y = maps.pixels(points)[row]
    x, y = maps.zoom_at(x, y, 1000)
    few = maps.drawn()["images"]
    sides = {side for _, _, side, _ in few}
    assert len(few) > 3
    assert len(sides) == 1  # all of one size
    assert np.abs(np.array(maps.color(x, y)) - tile_color(row)).max() <= 2
    half = sides.pop() / 2
    frame = np.array(maps.color(x - half - 1, y))  # in the colour of its class
    wanted = np.array([int(map_app.COLORS[row % 10][place : place + 2], 16) for place in (1, 3, 5)])
    assert np.abs(frame - wanted).max() < 60
    assert maps.drawn(1)["images"] == []  # the other map is not zoomed
    # pointing at its corner finds it
    box = maps.box()
    maps.page.mouse.move(box["x"] + x + half - 1, box["y"] + y - half + 1)
    assert f"image {3 * row}" in maps.page.locator(".emap .tip").inner_text()
    maps.zoom_at(x, y, 700)
    more = maps.drawn()["images"]
    assert len(more) < len(few)
    assert more[0][2] > few[0][2]
    # and the same view looks the same however it was reached
    maps.page.get_by_role("button", name="Show the whole map").first.click()
    assert maps.drawn()["images"] == []
    maps.close()


def test_keys_and_fingers_zoom_to_the_images_too(server: Server, browser: Any) -> None:
    maps = Seen(browser, f"{server.url}/?n=100", (390, 844), has_touch=True, is_mobile=True, device_scale_factor=2)
    assert maps.drawn()["images"] == []
    x, y = maps.pixels(points_of(map_app.example(100)))[3] + [maps.box()["x"], maps.box()["y"]]
    session = maps.context.new_cdp_session(maps.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (x - 15, y), (x + 15, y))
    for distance in (30, 60, 100, 150):
        touch("touchMove", (x - min(distance, x - 2), y), (x + distance, y))
    touch("touchEnd")
    assert maps.drawn()["images"]
    maps.page.get_by_role("button", name="Show the whole map").first.tap()
    maps.page.get_by_role("application").first.focus()
    for _ in range(10):
        maps.page.keyboard.press("+")
    images = maps.drawn()["images"]
    assert images == [] or min(side for _, _, side, _ in images) > 15
    maps.page.keyboard.press("ArrowRight")  # walks to an image, which is shown with its name
    assert "image" in maps.said()
    maps.page.keyboard.press("0")
    assert maps.drawn()["images"] == []
    maps.close()


def test_grey_and_open_images_stay_apart_from_others(server: Server, browser: Any) -> None:
    points = points_of(map_app.example(600))
    row = lonely(points)
    maps = Seen(browser, f"{server.url}/?n=600&selection={selection_text([row], 600)}&image={3 * row}")
    x, y = maps.pixels(points)[row]
    x, y = maps.zoom_at(x, y, 900)
    images = maps.drawn()["images"]
    opacities = sorted(opacity for *_, opacity in images)
    assert opacities[-1] == 1
    assert opacities[-2] == pytest.approx(0.3)  # all but the one that is selected
    assert np.abs(np.array(maps.color(x, y)) - tile_color(row)).max() <= 2
    half = images[-1][2] / 2
    marks = maps.page.locator("canvas.marks").first
    reads = "(canvas, [x, y]) => canvas.getContext('2d').getImageData(x, y, 1, 1).data[3]"
    ring = [marks.evaluate(reads, [float(round(x + half + away)), float(y)]) for away in range(1, 9)]
    assert max(ring) > 200  # a ring around the open one
    maps.close()


def test_without_its_sheet_a_point_stays_a_dot(server: Server, browser: Any) -> None:
    points = points_of(map_app.example(600))
    row = lonely(points)
    maps = Seen(browser, f"{server.url}/?n=600", prepare=NO_SHEETS)
    x, y = maps.pixels(points)[row]
    x, y = maps.zoom_at(x, y, 900)
    assert maps.drawn()["images"] == []
    color = np.array([int(map_app.COLORS[row % 10][place : place + 2], 16) for place in (1, 3, 5)])
    assert np.abs(np.array(maps.color(x, y)) - color).max() < 50  # it lets a little of the page through
    maps.close()


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1440, 390])
def test_names_stand_at_their_clusters_and_none_covers_another(
    server: Server,
    browser: Any,
    width: int,
) -> None:
    maps = Seen(browser, f"{server.url}/?n=2000", (width, 1000))
    data = map_app.example(2000)
    for panel in (0, 1):
        names, box = maps.names(panel), maps.box(panel)
        assert set(names) == set(map_app.CLASSES)
        assert overlaps(names) == []
        pixels = maps.pixels(points_of(data, panel), panel)
        for label, name in enumerate(map_app.CLASSES):
            middle = np.median(pixels[data["labels"] == label], axis=0)
            assert np.hypot(*(middle - [names[name]["x"], names[name]["y"]])) < max(box["width"], box["height"]) / 9
            assert names[name]["x"] - names[name]["width"] / 2 >= 0
            assert names[name]["x"] + names[name]["width"] / 2 <= box["width"]
    maps.close()


def test_names_give_way_to_images_and_to_other_colours_and_can_be_switched_off(
    server: Server,
    browser: Any,
) -> None:
    maps = Seen(browser, f"{server.url}/?n=600")
    assert len(maps.names()) == 10
    cat = maps.page.locator(".emap .legend button", has_text="cat")
    cat.click()
    assert set(maps.names()) == set(map_app.CLASSES) - {"cat"}
    cat.click()
    assert len(maps.names()) == 10
    points = points_of(map_app.example(600))
    maps.zoom_at(*maps.pixels(points)[lonely(points)], 900)
    found = maps.drawn()
    assert found["images"] and not found["names"]
    assert len(maps.names(1)) == 10
    choice = maps.page.get_by_role("checkbox", name="Names on the map")
    choice.uncheck()
    assert maps.names(1) == {}
    assert maps.said() == "Class names are off the map"
    maps.page.reload()  # the browser keeps it
    maps.page.wait_for_selector(".emap[data-drawn]")
    assert maps.names() == {}
    assert not choice.is_checked()
    maps.page.get_by_role("application").first.focus()
    maps.page.keyboard.press("n")
    assert choice.is_checked()
    assert len(maps.names()) == 10
    maps.close()
    for kind in ("right", "share"):
        maps = Seen(browser, f"{server.url}/?n=600&kind={kind}")
        assert maps.names() == {}
        assert maps.page.get_by_role("checkbox").count() == 0
        maps.close()


def test_in_a_film_names_come_with_the_clusters_and_go_with_their_images(
    server: Server,
    browser: Any,
) -> None:
    maps = Seen(browser, f"{server.url}/?n=1000&frames=1&frame=0", prepare=EVEN_FRAMES)
    assert maps.names() == {}  # at first all classes lie everywhere
    maps.page.evaluate("""() => {
      window.film = [];
      const canvas = document.querySelector("canvas.points");
      const look = () => {
        window.film.push(canvas.drawn.names.map(({ words, x, y, opacity }) => [words, x, y, opacity]));
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }""")
    maps.page.get_by_role("button", name="Play").click()
    maps.sees(re.compile("frame 5"))
    assert len(maps.names()) == 10
    film = maps.page.evaluate("window.film")
    assert len({tuple(words for words, *_ in names) for names in film}) > 1
    side = max(maps.box()["width"], maps.box()["height"])
    for before, after in itertools.pairwise(film):
        places = {words: np.array([x, y]) for words, x, y, _ in before}
        for words, x, y, opacity in after:
            # a new one begins faint, and none that is seen well jumps
            assert words in places or opacity < 0.6
            assert words not in places or opacity < 0.3 or np.hypot(*(places[words] - [x, y])) < side / 4
    maps.close()


def test_a_saved_drawing_has_images_and_names(server: Server, browser: Any, tmp_path: Path) -> None:
    maps = Seen(browser, f"{server.url}/?n=600")
    points = points_of(map_app.example(600))
    maps.zoom_at(*maps.pixels(points)[lonely(points)], 900)
    number = len(maps.drawn()["images"])
    with maps.page.expect_download() as event:
        maps.page.get_by_role("button", name="SVG").click()
    event.value.save_as(tmp_path / "maps.svg")
    root = ElementTree.parse(tmp_path / "maps.svg").getroot()
    name = "{http://www.w3.org/2000/svg}"
    left, right = root.findall(f"{name}svg")
    assert len(list(left.iter(f"{name}image"))) == number
    assert not list(left.iter(f"{name}text"))
    assert not list(right.iter(f"{name}image"))
    assert {node.text for node in right.iter(f"{name}text")} == set(map_app.CLASSES)
    maps.close()
