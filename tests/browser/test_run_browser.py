"""The page of a run that is going on, in a real browser."""

import pytest
from dashboard_fixtures import make_run
from server import PAGE_MS, Tab, expect, server  # noqa: F401  (a fixture)

from simclr import runs

expect.set_options(timeout=PAGE_MS)
pytestmark = pytest.mark.browser


def test_a_zoom_stays_when_advice_comes_and_goes(browser, server):
    run = make_run(server.runs_dir, "running", epochs=20, done=10)
    runs.add_meta(run.path, device="CPU", in_memory=True)
    tab = Tab(browser, server.url, "advice")
    page = tab.page
    tab.open(f"/run?id={run.id}")
    tab.charts_are_drawn()
    chart = page.locator(".js-plotly-plot").first
    zoomed = tab.zoom(chart)
    assert chart.evaluate("node => node._fullLayout.xaxis.autorange") is False
    for share, advice in ((0.6, 1), (0.0, 0)):
        runs.change_status(run.path, {"mean_held_up": share, "usage_samples": 9})
        expect(page.get_by_text("for a core that other processes hold")).to_have_count(advice)
        page.wait_for_timeout(500)
        assert chart.evaluate("node => node._fullLayout.xaxis.range") == zoomed
    tab.has_no_errors()
