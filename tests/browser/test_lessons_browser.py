"""A lesson in a real browser: a prediction, a real training, a killed server, and what came out beside it."""

import re

import pytest
import written_lessons
from server import PAGE_MS, PHONE, TRAINING_MS, Tab, expect, server  # noqa: F401  (a fixture)

from simclr import runs
from simclr.lessons import shelf

expect.set_options(timeout=PAGE_MS)
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_a_lesson_from_its_question_to_what_happened(browser, server):
    written_lessons.write_tiny(server.runs_dir / shelf.OWN)
    tab = Tab(browser, server.url, "lessons")
    page = tab.page
    tab.open("/")
    page.get_by_role("link", name="Lessons").last.click()
    tab.button("A tiny one").click()
    expect(tab.button("Start the experiment")).to_be_disabled()
    page.get_by_role("spinbutton").fill("3.5")
    tab.button("Keep my prediction").click()
    tab.sees("Kept just now")
    tab.shot("predicted")
    tab.button("Start the experiment").click()
    expect(tab.button("Stop")).to_be_visible()
    tab.has_no_errors()
    tab.context.close()
    server.kill()  # the training goes on
    server.start()
    tab = Tab(browser, server.url, "lessons-after")
    page = tab.page
    tab.open("/lessons?lesson=a-tiny-one")
    tab.sees("It stood at", timeout=2 * TRAINING_MS)
    (run,) = [each for each in runs.list_runs(server.runs_dir) if not each.is_example]
    loss = f"{run.status.loss:.2f}"
    measured = page.locator("[data-testid=stMetricValue]")
    expect(measured).to_have_text(["3.50", loss])
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    tab.fits("/lessons")
    tab.shot("happened")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Its curve").click()
    expect(opened.value).to_have_url(re.compile(rf"/curves\?runs={run.id}"))
    tab.has_no_errors()
