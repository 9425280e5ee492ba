"""The race in a real browser: one click, maps that move while both networks train, neighbours, and back in time."""

from __future__ import annotations

import re
import shutil
import time
from typing import Any

import pytest
from server import PAGE_MS, ROOT, TRAINING_MS, Server, Tab, expect, server  # noqa: F401  (a fixture)
from waiting import wait_for

from simclr import runs
from simclr.runs import film_frames

expect.set_options(timeout=PAGE_MS)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

POSITIONS = """() => {
  const canvas = document.querySelector(".emap canvas.points");
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.reduce((sum, v, i) =>
    (sum * 31 + v * (i % 1009)) % 1000000007, 7);
}"""


def seen(page: Any) -> int:
    return int(page.locator(".emap .film output").inner_text().replace(",", "") or 0)


def pair(server: Server) -> tuple[runs.Run, runs.Run]:
    own = [run for run in runs.list_runs(server.runs_dir) if not run.is_example]
    return next(run for run in own if run.kind == "pretrain"), next(run for run in own if run.kind == "scratch")


def opens_an_image(page: Any) -> None:
    """By keyboard; its neighbours in both networks appear, eight of each."""
    canvas = page.locator(".emap canvas.marks").first
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".emap .details .near li")).to_have_count(16)
    page.wait_for_url(re.compile("image="))


def test_from_the_first_page_to_moving_maps_neighbours_and_back_in_time(server: Server, browser: object) -> None:
    tab = Tab(browser, server.url, "race")
    page = tab.page
    tab.open("/")
    begun = time.monotonic()
    tab.button("Start the race").click()
    page.wait_for_url(re.compile(r"/race\?id="))
    page.locator(".emap canvas.points").first.wait_for(timeout=TRAINING_MS)
    print(f"maps after {time.monotonic() - begun:.1f} s")
    tab.sees(re.compile("After 0 images each|After .* images each"))
    first = page.evaluate(POSITIONS)

    # a frame is on the screen soon after its epoch, without a click
    ours, _ = pair(server)
    expect(page.locator(".emap .film")).to_be_visible(timeout=TRAINING_MS)
    page.wait_for_function(
        "n => Number(document.querySelector('.emap .film output').textContent.replace(',', '')) > n",
        arg=0,
        timeout=TRAINING_MS,
    )
    shown = time.time()
    newest = max(path.stat().st_mtime for path in film_frames.folder_of(ours).glob("epoch-*"))
    print(f"on the screen {shown - newest:.2f} s after it was written")
    assert page.evaluate(POSITIONS) != first
    tab.shot("running")

    # an image and its neighbours in both, as they are now
    opens_an_image(page)

    # back in time: new frames come, and the one that was chosen stays
    slider = page.locator(".emap .film input")
    slider.evaluate("node => { node.value = '0'; node.dispatchEvent(new Event('input', { bubbles: true })); }")
    page.wait_for_url(re.compile("seen=0"))
    count = int(slider.get_attribute("max") or 0)
    wait_for(lambda: int(slider.get_attribute("max") or 0) > count, "another frame", 120)
    assert seen(page) == 0
    slider.evaluate("node => { node.value = node.max; node.dispatchEvent(new Event('input', { bubbles: true })); }")

    # the server dies and comes back; both went on, and so does the page
    server.kill()
    server.start()
    tab.open(re.sub("^https?://[^/]+", "", page.url))
    page.locator(".emap canvas.points").first.wait_for(timeout=TRAINING_MS)
    assert int(slider.get_attribute("max") or 0) > count
    assert {run.status.state for run in pair(server)} <= {"running", "finished"}

    tab.button("Stop both").click()
    tab.sees("Resume", TRAINING_MS)
    assert {run.status.state for run in pair(server)} <= {"stopped", "finished"}
    tab.button("Resume").click()
    tab.sees("Stop both", TRAINING_MS)
    wait_for(lambda: pair(server)[0].status.state == "running", "the resumed run", 60)
    tab.button("Stop both").click()
    tab.sees("Resume", TRAINING_MS)
    tab.shot("stopped")
    tab.has_no_errors()


@pytest.fixture
def clone(server: Server) -> Server:
    """A dashboard as it is after a clone: with the shipped runs, and none of one's own."""
    shutil.copytree(ROOT / "runs" / runs.EXAMPLES, server.runs_dir / runs.EXAMPLES)
    return server


def cards_to_neighbours(tab: Tab) -> None:
    """From the cards of a finished race to what one selects on both maps, and to neighbours of an image."""
    page = tab.page
    card = page.locator(".st-key-disagree-card-0")
    expect(card).to_be_visible(timeout=TRAINING_MS)  # a job finds them
    expect(card.locator("img")).to_be_visible()
    count = int(re.search(r"(\d+) images", card.inner_text())[1])  # type: ignore[index]
    before = page.evaluate(POSITIONS)
    card.get_by_role("button", name="Select on both maps").click()
    tab.sees(f"{count} images are selected on both maps")
    page.wait_for_url(re.compile("selection="))
    expect(page.locator(".emap")).to_contain_text(f"{count} of 410 images selected")
    assert page.evaluate(POSITIONS) != before  # the others are paler
    opens_an_image(page)


def test_the_shipped_race_leads_to_its_cards_and_their_neighbours(clone: Server, browser: object) -> None:
    tab = Tab(browser, clone.url, "shipped-race")
    tab.open("/")
    tab.page.locator(".emap canvas.points").first.wait_for(timeout=TRAINING_MS)
    shipped = next(run for run in runs.list_runs(clone.runs_dir) if "beside" in run.name and run.kind == "scratch")
    tab.open(f"/race?id={shipped.id}")
    tab.page.locator(".emap canvas.points").first.wait_for(timeout=TRAINING_MS)
    cards_to_neighbours(tab)
    tab.shot("cards")

    # and the maps of finished encoders begin in the first third of the window, controls in one line above them
    for size in ((1440, 900), (1024, 800)):
        tab.page.set_viewport_size({"width": size[0], "height": size[1]})
        tab.open("/embeddings")
        panels = tab.page.locator(".emap .panels")
        panels.wait_for(timeout=TRAINING_MS)
        expect(tab.page.locator(".st-key-disagree-card-0")).to_be_visible(timeout=TRAINING_MS)
        assert panels.bounding_box()["y"] < size[1] / 3
    tab.has_no_errors()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_from_a_clone_to_a_race_to_cards_to_neighbours(clone: Server, browser: object) -> None:
    """As a newcomer goes, with the real race to its end; twelve pictures of it, with their times in their names."""
    tab = Tab(browser, clone.url, "clone")
    page = tab.page
    tab.open("/")
    page.locator(".emap canvas.points").first.wait_for(timeout=TRAINING_MS)
    tab.shot("first-page")
    tab.button("Start the race").click()
    page.wait_for_url(re.compile(r"/race\?id="))
    begun = time.monotonic()
    page.locator(".emap canvas.points").first.wait_for(timeout=TRAINING_MS)
    assert time.monotonic() - begun < 180  # "maps that move within three minutes"
    slider = page.locator(".emap .film input")
    expect(slider).to_be_visible(timeout=TRAINING_MS)
    end = page.locator(".st-key-race-umap")
    taken = 0
    while not end.count():
        assert time.monotonic() - begun < 1500
        frames = int(slider.get_attribute("max") or 0)
        if taken < 11 and frames >= 2 * taken:
            tab.shot(f"{time.monotonic() - begun:03.0f}-s-frame-{frames}")
            taken += 1
        page.wait_for_timeout(500)
    tab.shot(f"{time.monotonic() - begun:03.0f}-s-end")
    assert taken == 11
    assert {run.status.state for run in pair(clone)} == {"finished"}
    cards_to_neighbours(tab)
    tab.shot("cards")
    tab.has_no_errors()
