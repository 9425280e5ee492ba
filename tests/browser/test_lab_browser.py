"""The Augmentations page in a real browser: a slider moves the pictures, hover and keyboard, a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard_fixtures import make_run
from server import PHONE, Server, Tab

from simclr import runs

playwright_api = pytest.importorskip("playwright.sync_api")
expect = playwright_api.expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SIXTEEN = ",".join(map(str, range(16)))
SECONDS = 1.0  # from key to picture on a busy machine; about a tenth of a second on one that is free
# Notes when a key is pressed and when what it changed in the grid is on the screen.
WATCH = """() => {
  const grid = document.querySelector(".vgrid .rows").parentElement;
  window.delays = [];
  let pressed = 0;
  document.addEventListener("keydown", () => { pressed = performance.now(); }, true);
  new MutationObserver(() => {
    const start = pressed;
    requestAnimationFrame(() => requestAnimationFrame(() => window.delays.push(performance.now() - start)));
  }).observe(grid, { childList: true });
}"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, runs.Run]]:
    """A server with one finished pre-training."""
    server = Server(tmp_path_factory.mktemp("lab"))
    server.runs_dir.mkdir()
    run = make_run(server.runs_dir, seed=5, dataset="shapes", image_size=32, name="Pairs")
    server.start()
    yield server, run
    server.kill()


def sprite(tab: Tab, place: str = ".one .tile") -> str:
    """The bytes of the picture that a tile is cut from, as text."""
    return str(
        tab.page.locator(f".vgrid {place}").first.evaluate("""async (node) => {
      const answer = await fetch(node.style.backgroundImage.slice(5, -2));
      return Array.from(new Uint8Array(await answer.arrayBuffer())).join();
    }""")
    )


def test_a_slider_moves_the_pictures_at_once(found: Any, browser: Any) -> None:
    server, _ = found
    tab = Tab(browser, server.url, "lab")
    tab.open(f"/augmentations?images={SIXTEEN}")
    page = tab.page
    expect(page.get_by_role("img", name=re.compile("^View 1 of"))).to_have_count(16)
    slider = page.get_by_role("slider", name="Hue").first
    slider.focus()
    first = page.locator(".vgrid .rows").element_handle()
    slider.press("ArrowLeft")  # the first move loads what the next ones have
    page.wait_for_url(re.compile("hue=0.49"))
    page.wait_for_function("grid => !grid.isConnected", arg=first)
    page.evaluate(WATCH)
    for step in range(2, 9):
        before = sprite(tab)
        slider.press("ArrowLeft")
        page.wait_for_function("count => window.delays.length >= count", arg=step - 1)
        assert sprite(tab) != before
    delays = sorted(page.evaluate("window.delays"))
    print(f"key to picture, 16 images: median {delays[len(delays) // 2]:.0f} ms, {delays[0]:.0f} at best")
    assert delays[len(delays) // 2] < 1000 * SECONDS
    page.wait_for_url(re.compile("hue=0.42"))
    tab.has_no_errors()


def test_a_view_points_at_its_crop(found: Any, browser: Any) -> None:
    server, _ = found
    tab = Tab(browser, server.url, "lab-hover")
    tab.open("/augmentations?images=3")
    page = tab.page
    other = page.locator(".vgrid .box.two").first
    expect(other).to_have_css("opacity", "1")
    page.get_by_role("img", name=re.compile("^View 1 of triangle 3")).hover()
    expect(other).to_have_css("opacity", "0.12")
    expect(page.locator(".vgrid .box.one").first).to_have_css("opacity", "1")
    page.mouse.move(5, 5)
    expect(other).to_have_css("opacity", "1")
    page.get_by_role("img", name=re.compile("^View 1 of triangle 3")).focus()  # and without a mouse
    page.keyboard.press("Tab")
    expect(page.locator(".vgrid .box.one").first).to_have_css("opacity", "0.12")
    tab.has_no_errors()


def test_parts_by_keyboard_and_the_address_of_each(found: Any, browser: Any) -> None:
    server, _ = found
    tab = Tab(browser, server.url, "lab-parts")
    tab.open("/augmentations")
    page = tab.page
    steps = page.get_by_role("radio", name="One image step by step").or_(
        page.get_by_role("button", name="One image step by step")
    )
    steps.first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".vgrid .steps li")).to_have_count(18)
    page.wait_for_url(re.compile("part=steps"))
    page.get_by_role("button", name="heart 7").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name="heart 7").first).to_be_visible()
    page.wait_for_url(re.compile("image=7"))
    pictures = sprite(tab, ".steps li:nth-child(9) .tile")
    tab.shot("steps")
    tab.open(page.url.removeprefix(server.url))
    expect(page.locator(".vgrid .steps li")).to_have_count(18)
    assert sprite(tab, ".steps li:nth-child(9) .tile") == pictures
    tab.open("/augmentations?part=shortcut&images=1,2")
    expect(page.locator(".vgrid .checks figure")).to_have_count(2)
    expect(page.locator(".vgrid .checks svg")).to_have_count(4)
    tab.sees("With colour jitter and grey")
    tab.shot("shortcut")
    tab.has_no_errors()


def test_from_a_run_and_on_a_phone(found: Any, browser: Any) -> None:
    server, run = found
    phone = Tab(browser, server.url, "lab-phone", PHONE, color_scheme="dark")
    phone.open(f"/run?id={run.id}")
    phone.page.get_by_role("link", name="Its augmented pairs").click()
    phone.sees(re.compile("its images, seed and augmentation"))
    phone.page.wait_for_url(re.compile(f"run={run.id}.*seed=5"))
    for part in ("pairs", "steps", "shortcut"):
        phone.open(f"/augmentations?run={run.id}&part={part}")
        expect(phone.page.locator(".vgrid figure").first).to_be_visible()
        phone.fits(part)
        phone.shot(part)
    phone.has_no_errors()


def test_own_images_in_the_browser(found: Any, browser: Any, tmp_path: Path) -> None:
    from conftest import make_folder

    server, _ = found
    folder = make_folder(tmp_path / "mine", {"a": 2}, side=40)
    (folder / "a" / "broken.png").write_bytes(b"not an image")
    tab = Tab(browser, server.url, "lab-own")
    tab.open("/augmentations?dataset=Your%20images")
    tab.page.locator("input[type=file]").set_input_files(sorted((folder / "a").iterdir()))
    expect(tab.page.get_by_role("img", name=re.compile("^View 1 of 00"))).to_have_count(2)
    tab.sees("broken.png cannot be read: it is not an image.")
    tab.shot("own")
    tab.has_no_errors()
