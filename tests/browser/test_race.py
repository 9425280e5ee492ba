"""The race in a real browser: one click, maps that move while both networks train, neighbours, and back in time."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from server import PAGE_MS, TRAINING_MS, Server, Tab, expect, server  # noqa: F401  (a fixture)
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
    canvas = page.locator(".emap canvas.marks").first
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".emap .details .near li")).to_have_count(16)
    page.wait_for_url(re.compile("image="))

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
