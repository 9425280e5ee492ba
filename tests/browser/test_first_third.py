"""Maps begin in the first third of the window, in a real browser, also where the page has more to say."""

from __future__ import annotations

import pytest
from server import PAGE_MS, TRAINING_MS, Server, Tab, expect, server  # noqa: F401  (a fixture)
from trainings import trained_run

expect.set_options(timeout=PAGE_MS)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def test_maps_of_a_run_without_partner_begin_in_the_first_third(server: Server, browser: object) -> None:
    run = trained_run(server.runs_dir, seed=0, name="A pre-training whose name is as long as names of people often are")
    tab = Tab(browser, server.url, "first-third")
    tab.open(f"/embeddings?left={run.id}&right=untrained&method=pca&num=500")
    tab.sees("start the partner on the run's page")
    tab.button("Compute").click()
    panels = tab.page.locator(".emap .panels")
    panels.wait_for(timeout=TRAINING_MS)
    for width, height in ((1440, 900), (1024, 800)):
        tab.page.set_viewport_size({"width": width, "height": height})
        tab.open(f"/embeddings?left={run.id}&right=untrained&method=pca&num=500")
        panels.wait_for(timeout=TRAINING_MS)
        tab.sees("start the partner on the run's page")
        said = tab.page.get_by_text("start the partner on the run's page").first
        assert panels.bounding_box()["y"] < min(height / 3, said.bounding_box()["y"]), (width, panels.bounding_box())
        maps, legend = panels.bounding_box(), tab.page.locator(".emap .legend").bounding_box()
        assert legend["x"] >= maps["x"] + maps["width"] and legend["y"] < height / 3, (
            width,
            maps,
            legend,
        )  # beside them
        tab.shot(str(width))
    tab.has_no_errors()
