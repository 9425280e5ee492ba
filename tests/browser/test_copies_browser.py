"""Copies in a real browser: from the figure of a run to its pairs, those of one kind, and the run again."""

import re

import pytest
from dashboard_fixtures import make_run
from leaky_runs import leaky, pair
from server import PAGE_MS, PHONE, Tab, expect, server  # noqa: F401  (a fixture)

from simclr import runs

expect.set_options(timeout=PAGE_MS)
pytestmark = pytest.mark.browser
PAIRS = [pair(0, is_exact=True, distance=0.0), pair(1, train_class="dog"), pair(2, color=0.3)]
PAIRS += [pair(number) for number in range(3, 30)]


@pytest.mark.parametrize(("size", "scheme"), [((1440, 900), "light"), (PHONE, "dark")])
def test_from_a_figure_to_the_pairs_behind_it(browser, server, size, scheme):
    run = make_run(server.runs_dir, epochs=2, name="A leaky run")
    runs.write_evaluation(run.path, {"test/knn_top1": 0.9, "test/linear_top1": 0.92, "num_test_images": 500})
    leaky(run, PAIRS)
    tab = Tab(browser, server.url, f"copies-{size[0]}-{scheme}", size=size, color_scheme=scheme)
    page = tab.page
    tab.open(f"/run?id={run.id}")
    tab.sees("30 of 500 test images (6.0 %) are copies of training images")
    page.get_by_role("link", name="See the pairs").click()
    expect(page.get_by_role("heading", name="Copies", exact=True)).to_be_visible()
    pictures = page.locator("[class*=st-key-pair-] img")
    expect(pictures).to_have_count(24)
    tab.sees("kNN accuracy is 85.00 % instead of 90.00 %")
    pictures.first.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.querySelectorAll('[class*=st-key-pair-] img')].slice(0, 2).every(i => i.naturalWidth > 200)"
    )
    tab.shot("pairs")
    tab.fits("/copies")
    for place, words in ((0, "same pixels"), (1, "other class"), (2, "other colours")):
        expect(page.locator(f".st-key-pair-{place}").get_by_text(words)).to_be_visible()
    boxes = [page.locator(f".st-key-pair-{place}").bounding_box() for place in range(4)]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= size[0] for box in boxes)
    assert (boxes[0]["y"] == boxes[1]["y"]) == (size != PHONE)  # beside each other where there is room

    page.get_by_role("radio", name=re.compile("Other colours")).click()
    expect(pictures).to_have_count(1)
    expect(page).to_have_url(re.compile("show=color"))
    page.reload()
    expect(pictures).to_have_count(1, timeout=PAGE_MS)
    tab.sees("t2.png")
    page.get_by_role("radio", name=re.compile("All")).click()
    field = page.get_by_label("Page, of 2")
    field.fill("2")
    field.press("Enter")
    expect(pictures).to_have_count(6)
    tab.sees("t29.png")
    tab.fits("/copies")
    page.get_by_role("link", name="A leaky run").first.click()
    expect(page).to_have_url(re.compile(rf"/run\?id={run.id}"))
    tab.has_no_errors()
