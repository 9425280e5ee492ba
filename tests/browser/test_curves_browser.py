"""The Curves page in a real browser: zoom, reading values, the list of runs, pictures and tables to keep."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from dashboard_fixtures import make_run
from lightning_log import write_log
from server import PAGE_MS, PHONE, Server, Tab

from dashboard import components
from simclr import runs

playwright_api = pytest.importorskip("playwright.sync_api")
expect = playwright_api.expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
STEPS = 16  # per epoch, as the fixture writes them


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, runs.Run]]]:
    """A server with a running run, three seeds of one configuration, and a log of another program."""
    folder = tmp_path_factory.mktemp("curves")
    server = Server(folder)
    server.runs_dir.mkdir()
    made = {f"seed {seed}": make_run(server.runs_dir, seed=seed, name=f"Wide, seed {seed}") for seed in range(3)}
    made["running"] = make_run(server.runs_dir, "running", epochs=200, done=5, name="<b>Now</b> & here")
    write_log(server.runs_dir / "lightning_logs" / "version_0")
    server.start()
    yield server, made
    server.kill()


def append_epoch(run: runs.Run, epoch: int) -> None:
    """One more epoch in a `metrics.csv`, as a training writes it."""
    place = {"epoch": epoch, "step": STEPS * epoch}
    with open(run.metrics_path, "a", newline="") as stream:
        writer = csv.DictWriter(stream, runs.PRETRAIN_METRICS, restval="")
        writer.writerow(place | {"train/loss": 3.5, "train/top1": 0.3, "perf/seconds": 3.2 * epoch})
        writer.writerow(place | {"val/loss": 3.4, "val/top1": 0.4, "val/knn_top1": 0.5})


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def chart(page: Any, title: str) -> Any:
    return page.locator(".cg-card").filter(has=page.get_by_role("heading", name=title, exact=True))


def plot(page: Any, title: str) -> Any:
    return chart(page, title).locator(".cg-plot")


def furthest(page: Any, title: str) -> float:
    """The largest x that a chart draws."""
    return plot(page, title).evaluate(
        "node => Math.max(...(node.data || []).flatMap(trace => [...trace.x]).filter(Number.isFinite))"
    )


def open_curves(browser: Any, server: Server, ids: list[str], rest: str = "", **options: Any) -> Tab:
    tab = Tab(browser, server.url, "curves", **options)
    tab.open(f"/curves?runs={','.join(ids)}&{rest}")
    tab.charts_are_drawn()
    return tab


def drag(page: Any, area: Any) -> None:
    box = area.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
    page.mouse.up()


@pytest.mark.slow
def test_zoom_stays_through_ten_refreshes_and_the_curve_grows(found: Any, browser: Any) -> None:
    server, made = found
    run = made["running"]
    tab = open_curves(browser, server, [run.id], "metric=loss&metric=top1")
    page = tab.page
    drag(page, plot(page, "Loss").locator(".nsewdrag").first)
    ranges = "node => [node._fullLayout.xaxis.range, node._fullLayout.yaxis.range]"
    zoomed = plot(page, "Loss").evaluate(ranges)
    assert plot(page, "Loss").evaluate("node => node._fullLayout.xaxis.autorange") is False
    epoch = round(furthest(page, "Top-1 accuracy"))
    for more in range(1, 11):
        append_epoch(run, epoch + more)
        until(lambda more=more: furthest(page, "Top-1 accuracy") >= epoch + more)  # a refresh brought it
        until(lambda more=more: furthest(page, "Loss") >= epoch + more)
    assert plot(page, "Loss").evaluate(ranges) == zoomed
    assert plot(page, "Top-1 accuracy").evaluate("node => node._fullLayout.xaxis.autorange") is True
    # the user's own double click shows all again, and that stays too
    plot(page, "Loss").locator(".nsewdrag").first.dblclick()
    until(lambda: plot(page, "Loss").evaluate("node => node._fullLayout.xaxis.autorange") is True)
    tab.has_no_errors()
    tab.context.close()


def test_pointing_reads_all_runs_at_one_place_in_all_charts(found: Any, browser: Any) -> None:
    server, made = found
    ids = [made["seed 0"].id, made["running"].id]
    tab = open_curves(browser, server, ids, "metric=knn_top1&metric=loss&splits=val")
    page = tab.page
    area = plot(page, "kNN accuracy, validation").locator(".nsewdrag").first.bounding_box()
    page.mouse.move(area["x"] + 3 / 20 * area["width"], area["y"] + 0.5 * area["height"])
    tooltip = chart(page, "kNN accuracy, validation").locator(".cg-tooltip")
    expect(tooltip).to_be_visible()
    lines = tooltip.inner_text().split("\n")
    place = float(re.fullmatch(r"Epoch ([\d.]+)", lines[0])[1])
    values = [value for value in made["seed 0"].metrics()["val/knn_top1"] if value == value]
    assert f"{100 * values[round(place) - 1]:.1f} %" in lines
    assert "Wide, seed 0" in lines
    assert "<b>Now</b> & here" in lines  # a name is never read as markup
    assert page.locator(".cg-cursor:visible").count() == 2  # the same place is marked in the other chart
    plot(page, "Loss").focus()
    page.keyboard.press("ArrowRight")
    expect(chart(page, "Loss").locator(".cg-tooltip")).to_be_visible()
    page.keyboard.press("Escape")
    expect(chart(page, "Loss").locator(".cg-tooltip")).to_be_hidden()
    tab.has_no_errors()
    tab.context.close()


def test_a_chart_is_enlarged_and_the_address_brings_it_back(found: Any, browser: Any) -> None:
    server, made = found
    tab = open_curves(browser, server, [made["seed 0"].id], "metric=loss&metric=top1&metric=lr")
    page = tab.page
    page.get_by_role("button", name="Enlarge Top-1 accuracy").click()
    page.wait_for_url(re.compile("large=top1"))
    width = chart(page, "Top-1 accuracy").bounding_box()["width"]
    assert width > 1.8 * chart(page, "Loss").bounding_box()["width"]
    again = Tab(browser, server.url, "curves")
    again.open(page.url.removeprefix(server.url))
    expect(again.page.get_by_role("button", name="Back to the grid")).to_be_visible()
    again.page.get_by_role("button", name="Back to the grid").click()
    again.page.wait_for_url(lambda url: "large=" not in url)
    for one in (tab, again):
        one.has_no_errors()
        one.context.close()


@pytest.mark.slow
def test_runs_are_searched_ticked_and_picked_together(found: Any, browser: Any) -> None:
    server, made = found
    tab = open_curves(browser, server, [made["seed 0"].id], "metric=loss")
    page = tab.page
    page.get_by_label("Search runs").fill("seed 1")
    page.get_by_role("checkbox", name=re.compile("Wide, seed 1")).check()
    page.wait_for_url(re.compile(made["seed 1"].id))
    assert made["seed 0"].id in page.url
    page.get_by_label("Search runs").fill("wide")
    page.get_by_role("button", name="All shown").click()
    page.wait_for_url(re.compile(made["seed 2"].id))
    expect(page.get_by_text("3 of 5 chosen")).to_be_visible()
    page.get_by_text("Mean ± std").click()  # the three differ in nothing but the seed
    page.wait_for_url(re.compile("seeds=std"))
    expect(page.locator(".link-table").get_by_text("Wide, n = 3").first).to_be_visible()
    until(lambda: plot(page, "Loss").evaluate("node => node.data.some(trace => trace.fill === 'toself')"))
    page.get_by_role("button", name="None", exact=True).click()
    expect(page.get_by_text("Choose runs to see their curves.")).to_be_visible()
    page.get_by_label("Search runs").fill("lightning")
    page.get_by_role("checkbox").first.check()
    expect(page.get_by_role("heading", name="train_loss")).to_be_visible(timeout=PAGE_MS)
    tab.has_no_errors()
    tab.context.close()


def test_the_table_and_the_picture_are_saved(found: Any, browser: Any) -> None:
    server, made = found
    tab = open_curves(browser, server, [made["seed 0"].id, made["seed 1"].id], "metric=loss&x=step&smoothing=0.5")
    page = tab.page
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert {row["run"] for row in rows} == {made["seed 0"].id, made["seed 1"].id}
    assert {"metric", "step", "value", "smoothed"} <= rows[0].keys()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    assert download.value.suggested_filename == "curves-loss.png"
    picture = Path(download.value.path()).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20]) == 2200
    tab.has_no_errors()
    tab.context.close()


@pytest.mark.slow
def test_a_phone_shows_one_chart_below_the_other(found: Any, browser: Any) -> None:
    server, made = found
    tab = Tab(browser, server.url, "curves-phone", PHONE, color_scheme="dark")
    tab.open(f"/curves?runs={made['seed 0'].id},{made['running'].id}&metric=loss&metric=top1")
    chart(tab.page, "Top-1 accuracy").scroll_into_view_if_needed()
    expect(plot(tab.page, "Top-1 accuracy").locator(".main-svg").first).to_be_visible()
    boxes = [chart(tab.page, title).bounding_box() for title in ("Loss", "Top-1 accuracy")]
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]
    tab.fits("/curves")
    tab.has_no_errors()
    tab.context.close()


def test_a_chart_waits_for_its_width(browser: Any) -> None:
    """While a page is laid out, an element may be a pixel wide: plotly then puts the axis title at -Infinity."""
    figure = {"data": [{"type": "scatter", "x": [1, 2], "y": [3, 4]}], "layout": {"xaxis": {"title": {"text": "x"}}}}
    page = browser.new_page()
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.set_content("<div id=room style='width: 1px'><div id=chart></div></div>")
    page.add_script_tag(content=(resources.files("plotly") / "package_data" / "plotly.min.js").read_text("utf-8"))
    page.add_script_tag(
        content=components.script("live_chart").replace("export default function", "window.mount = function")
    )
    page.evaluate(
        """figure => mount({ parentElement: document.getElementById("chart"),
                             data: { figure, revision: "1", height: 210, plotly: "" } })""",
        json.dumps(figure),
    )
    page.wait_for_timeout(300)
    assert page.locator(".js-plotly-plot").count() == 0
    page.evaluate("document.getElementById('room').style.width = '600px'")
    page.wait_for_function("() => document.querySelector('.js-plotly-plot')?._fullLayout.width === 600")
    page.evaluate("document.getElementById('room').style.width = '2px'")
    page.wait_for_timeout(300)
    assert errors == []
    page.close()
