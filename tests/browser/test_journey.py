"""The newcomer's journey in a real browser, with real processes: launch, watch, fine-tune, compare, by clicking.

Every step leaves a screenshot in tests/screenshots. Needs Chromium: set $CHROMIUM, or have it on the path.
"""

from __future__ import annotations

import re
import time

import pytest
from server import PAGE_MS, PHONE, TRAINING_MS, Server, Tab, expect, server  # noqa: F401  (a fixture)

from simclr import runs
from simclr.hardware import processes

expect.set_options(timeout=PAGE_MS)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


def test_journey(server: Server, browser: object) -> None:
    tab = Tab(browser, server.url, "journey")
    page = tab.page

    # an empty home says what this is and offers one first step
    tab.open("/")
    tab.sees("Train a network without labels")
    tab.shot("home-empty")
    tab.button("Start a run of your own").click()

    # the recipe is chosen, the command follows the form
    tab.sees("--config quick")
    tab.fill("Limit images", "400")
    tab.fill("Batch size (images)", "64")
    tab.fill("Epochs", "3")
    expect(page.get_by_test_id("stCode").first).to_contain_text("--epochs 3")
    expect(page.get_by_test_id("stCode").first).to_contain_text("--limit_images 400")
    tab.shot("new-run")
    page.get_by_label("Name", exact=True).first.fill("typed last")  # left by the click on Start itself
    tab.button("Start").click()

    # the run appears at once; a second browser shows the same
    page.wait_for_url(re.compile("/run"))
    tab.sees(re.compile("Starting|Running"))
    second = Tab(browser, server.url, "second")
    second.open("/runs")
    second.sees(re.compile("1 active run"))
    tab.charts_are_drawn(TRAINING_MS)
    tab.shot("running")
    pretraining = tab.finished()
    assert runs.find(pretraining, server.runs_dir).name == "typed last"
    tab.charts_are_drawn()
    tab.sees("Next steps")
    # its own images by its own network: computed once somebody looks at the figure
    page.locator(".run-diagram").scroll_into_view_if_needed()
    expect(page.locator(".run-diagram .matrix .pair")).to_have_count(8, timeout=TRAINING_MS)
    expect(page.locator(".run-diagram a.stage")).to_have_count(8)
    tab.shot("pretraining-finished")
    second.has_no_errors()
    second.context.close()

    # one click: frozen encoder, fine-tuning and from scratch on the same labels, one after the other
    page.get_by_role("radio", name="10 %").click()
    tab.sees(re.compile("10 % of the labels"))
    tab.button("Start all three").click()
    expect(tab.button("Start all three")).to_have_count(0)
    tab.shot("partners-started")
    for arm in ("frozen", "full", "scratch"):
        accuracy = page.locator(f".st-key-arm-{arm} [data-testid=stMetricValue]")
        expect(accuracy).to_contain_text("%", timeout=2 * TRAINING_MS)
    tab.sees(re.compile("against from scratch"))
    tab.shot("partners-finished")
    page.locator(".st-key-arm-full").get_by_role("button", name="Open").click()
    page.wait_for_url(lambda url: "/run" in url and pretraining not in url)
    tab.finished()
    page.get_by_role("tab", name="Test").click()
    tab.sees("Test accuracy by class")
    names = page.locator(".confusion tbody th")
    expect(names).to_have_count(10)
    assert all(name.is_visible() for name in names.all())
    tab.shot("partner-finished")
    found = [run for run in runs.list_runs(server.runs_dir) if run.kind != "pretrain"]
    assert sorted(run.kind for run in found) == ["finetune", "finetune", "scratch"]
    labels = {run.evaluation["num_labels"] for run in found}
    assert labels == {36}  # a tenth of the 360 that validation leaves, the same for all arms

    # results: the table, and the answer in words
    tab.open(f"/results?experiment={pretraining}")
    tab.sees(re.compile("the pre-trained encoder reaches"))
    tab.sees("Frozen encoder")
    for run in found:
        tab.sees(f"{100 * run.evaluation['test/top1']:.1f} %")
    tab.charts_are_drawn()
    tab.shot("results")

    # curves of all of them
    tab.open(f"/curves?runs={pretraining},{found[0].id}")
    tab.charts_are_drawn()
    tab.shot("curves")

    # embeddings: a job, then maps; a click shows the image and its neighbours
    tab.open(f"/embeddings?left={pretraining}&method=pca")
    tab.button("Compute").click()
    canvas = page.locator("canvas.marks").first
    expect(canvas).to_be_visible(timeout=TRAINING_MS)
    page.wait_for_timeout(500)
    tab.shot("embeddings")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    tab.sees(re.compile("^Nearest in"))
    page.wait_for_url(re.compile("image="))  # the server has heard of it
    tab.shot("embeddings-image")
    tab.open(page.url.removeprefix(server.url))  # the address brings it all back, at once
    expect(page.locator("canvas.marks").first).to_be_visible(timeout=5_000)
    tab.sees(re.compile("^Nearest in"))

    # augmentations: as they are drawn, and into a new run
    tab.open("/augmentations")
    tab.sees("Train with these")
    expect(page.get_by_role("img", name=re.compile("^View 1 of")).first).to_be_visible()
    tab.button("New draw").click()
    tab.sees(re.compile("epoch 2"))
    tab.shot("augmentations")
    slider = page.get_by_role("slider", name="Hue").first
    slider.focus()
    for _ in range(5):
        slider.press("ArrowLeft")
    page.wait_for_timeout(1_000)
    tab.button("Train with these").click()
    page.wait_for_url(re.compile("/new-run"))
    expect(page.get_by_test_id("stCode").first).to_contain_text("--augmentation.hue")
    tab.shot("train-with-these")
    tab.has_no_errors()

    # the same pages with runs in them, on a phone
    phone = Tab(browser, server.url, "phone", PHONE, color_scheme="dark")
    for path in (
        "/",
        f"/run?id={pretraining}",
        f"/results?experiment={pretraining}",
        f"/curves?runs={pretraining}",
        f"/embeddings?left={pretraining}&method=pca",
    ):
        phone.open(path)
        expect(phone.page.get_by_role("heading").first).to_be_visible()
        phone.page.wait_for_timeout(2_000)
        phone.fits(path)
        phone.shot(path.strip("/").partition("?")[0] or "home")
    phone.has_no_errors()


def test_a_killed_server_loses_nothing(server: Server, browser: object) -> None:
    """kill -9 of the dashboard: the training goes on, and the next dashboard shows it; then Stop asks first."""
    tab = Tab(browser, server.url, "stop", color_scheme="dark")
    page = tab.page
    tab.open("/new-run?kind=pretrain&recipe=quick&epochs=400&limit_images=400&batch_size=64")
    tab.sees("--epochs 400")
    tab.button("Start").click()
    page.wait_for_url(re.compile(r"/run\?id="))
    run = runs.list_runs(server.runs_dir)[0]
    deadline = time.monotonic() + TRAINING_MS / 1000
    while run.status.step < 5 and time.monotonic() < deadline:
        time.sleep(0.2)
    before = run.status.step
    assert before >= 5

    # a zoom of the user's own is still there after refreshes that brought new steps
    tab.charts_are_drawn()
    chart = page.locator(".js-plotly-plot").first
    zoomed = tab.zoom(chart)
    points = chart.evaluate("node => node.data[0].x.length")
    deadline = time.monotonic() + 60
    while chart.evaluate("node => node.data[0].x.length") <= points and time.monotonic() < deadline:
        time.sleep(0.5)
    assert chart.evaluate("node => node.data[0].x.length") > points
    assert chart.evaluate("node => node._fullLayout.xaxis.range") == zoomed
    assert chart.evaluate("node => node._fullLayout.xaxis.autorange") is False
    server.kill()
    tab.sees("Runs that are going on are not touched")  # in the product's own words
    expect(page.get_by_text("Streamlit").first).to_be_hidden()
    server.start()
    tab.open(f"/run?id={run.id}")
    tab.sees("Running")
    deadline = time.monotonic() + 60
    while run.status.step <= before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert run.status.step > before

    tab.button("Stop").click()
    tab.sees("Stop this run?")
    tab.shot("stop-asks")
    tab.button("Stop run").click()
    badge = page.locator("[data-testid=stMain]").get_by_text("Stopped", exact=True).first
    expect(badge).to_be_visible(timeout=60_000)
    assert (run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).is_file()
    status = run.status
    deadline = time.monotonic() + 30
    while processes.is_alive(status.pid, status.process_start) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not processes.is_alive(status.pid, status.process_start)
    assert runs.read_status(run.path).exit_code == runs.STOPPED_EXIT_CODE
    tab.shot("stopped")
    tab.has_no_errors()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone(server: Server, browser: object, scheme: str) -> None:
    phone = Tab(browser, server.url, f"phone-{scheme}", PHONE, color_scheme=scheme)
    for path in ("/", "/new-run", "/curves", "/results", "/embeddings", "/augmentations"):
        phone.open(path)
        expect(phone.page.get_by_role("heading").first).to_be_visible()
        phone.page.wait_for_timeout(1_000)
        phone.fits(path)
        phone.shot(path.strip("/") or "home")
    phone.has_no_errors()
