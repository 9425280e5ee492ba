"""Experiments in a real browser: a sweep followed on its page and stopped, and a cell that leads to its runs."""

import pytest
from dashboard_fixtures import make_group
from server import PAGE_MS, PHONE, TRAINING_MS, Tab, expect, server  # noqa: F401  (a fixture)

from simclr.results import groups
from simclr.results.index import RunIndex
from simclr.sweeps import start, sweep_file

pytestmark = pytest.mark.browser
PAIRS = {"crop": [0.42, 0.4], "crop + colour": [0.82, 0.84], "colour": [0.58, 0.6]}
SWEEP = {
    "title": "How many epochs?",
    "base": {"recipe": "quick", "limit_images": 120, "image_size": 16, "batch_size": 40, "accelerator": "cpu"},
    "axes": {"epochs": [3, 80]},  # one is soon done, and one is still going on when it is stopped
}


@pytest.mark.parametrize(("size", "scheme"), [((1440, 900), "light"), (PHONE, "dark")])
def test_a_grid_says_its_answer_and_leads_to_its_runs(browser, server, size, scheme):
    made = make_group(server.runs_dir, PAIRS, axis="operations", group_id="ops-1", title="Which operations?")
    tab = Tab(browser, server.url, "experiments", size=size, color_scheme=scheme)
    page = tab.page
    tab.open("/experiments")
    page.get_by_role("button", name="Which operations?").click()
    expect(page.get_by_role("heading", name="Which operations?")).to_be_visible(timeout=PAGE_MS)
    expect(page.locator(".setting-grid td.best")).to_have_text("83.0± 1.4", timeout=PAGE_MS)
    expect(page.get_by_text("Two seeds allow no interval")).to_be_visible()
    tab.fits("/experiments")
    page.locator(".setting-grid td.best a").click()
    expect(page.get_by_role("heading", name="Curves")).to_be_visible(timeout=PAGE_MS)
    for run in made[2:4]:
        assert run.id in page.url
    page.go_back()
    expect(page.get_by_role("heading", name="Which operations?")).to_be_visible(timeout=PAGE_MS)
    tab.has_no_errors()


def test_a_sweep_is_followed_and_stopped(browser, server):
    group_id = start.start(sweep_file.parse(SWEEP), server.runs_dir)
    tab = Tab(browser, server.url, "experiments")
    page = tab.page
    tab.open(f"/experiments?group={group_id}")
    expect(page.get_by_text("1 of 2 runs finished", exact=False).first).to_be_visible(timeout=TRAINING_MS)
    expect(page.get_by_text("of 2 runs are still to come", exact=False)).to_be_visible(timeout=PAGE_MS)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Resume 1")).to_be_visible(timeout=TRAINING_MS)
    page.get_by_role("button", name="Resume 1").click()
    expect(page.get_by_text("2 of 2 runs finished", exact=False).first).to_be_visible(timeout=TRAINING_MS)
    (group,) = groups.groups(RunIndex(server.runs_dir).summaries(max_age=0))
    assert len(group.members) == 2
    tab.has_no_errors()
