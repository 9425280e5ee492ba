"""Every part that pages are made of, in each of its states: nothing is wrong with it, and its pictures are kept."""

from __future__ import annotations

import pytest
from axe import findings
from chromium import browser  # noqa: F401  (a fixture)
from playwright.sync_api import expect
from server import Tab, server  # noqa: F401  (a fixture)

pytestmark = pytest.mark.browser

LOOKS = {"light": ((1440, 900), "light"), "dark": ((1440, 900), "dark"), "phone": ((390, 844), "light")}


def test_all_parts_in_all_states(browser, server):
    told = []
    for look, (size, scheme) in LOOKS.items():
        tab = Tab(browser, server.url, f"gallery-{look}", size=size, color_scheme=scheme)
        page = tab.page
        tab.open("/gallery")
        expect(page.get_by_role("heading", level=1, name="Gallery")).to_be_visible()
        expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")
        tab.charts_are_drawn()
        expect(page.get_by_role("heading", name="Runs to choose from")).to_be_visible()
        page.wait_for_timeout(1000)
        tab.fits("gallery")
        # two diagrams of a run stand on no other page
        told += [f"{look}: {line}" for line in findings(page) if "landmark-unique" not in line]
        height = page.locator("[data-testid=stMainBlockContainer]").evaluate("e => e.scrollHeight")
        page.set_viewport_size({"width": size[0], "height": height + 40})
        page.wait_for_timeout(1500)
        tab.shot("all")
        tab.has_no_errors()
        tab.context.close()
    assert not told, "\n".join(told)
