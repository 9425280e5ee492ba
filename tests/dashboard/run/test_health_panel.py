"""Health on the Run page: the verdict, the panel in every state of a run, its slider and its address."""

import json
import math
import os
import time

import dashboard_fixtures
import numpy as np
import pytest
from dashboard_fixtures import address, open_page, query, texts, write_metrics
from server import PAGE_MS, PHONE, Server, Tab

from dashboard.run import figures
from simclr import runs
from simclr.runs import health_log, metrics_csv

EPOCHS = 20


def make_run(*arguments, **options):
    """A run whose made-up losses are possible ones at its temperature."""
    more = {"temperature": 0.2} if options.get("kind", "pretrain") == "pretrain" else {}
    return dashboard_fixtures.make_run(*arguments, **more, **options)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def health_line(epoch, **changes):
    """One line as training writes it: positives move to the right with the epochs."""
    layer = {
        "dim": 64,
        "std": 0.05 + 0.003 * epoch,
        "effective_rank": 20.0 + epoch,
        "num_singular": 64,
        "singular": [round(1 / (1 + place), 4) for place in range(64)],
    }
    bins = np.arange(health_log.NUM_BINS)

    def hump(middle):
        return [int(1000 * math.exp(-(((place - middle) / 8) ** 2))) for place in bins]

    row = {
        "epoch": epoch,
        "step": 16 * epoch,
        "candidates": 511,
        "images": 400,
        "h": layer,
        "z": layer,
        "positive": hump(45 + epoch),
        "negative": hump(40),
        "d_prime": 0.2 * epoch,
    }
    return json.dumps(row | changes) + "\n"


def write_health(run, epochs=EPOCHS, torn=False):
    run.health_path.write_text("".join(map(health_line, range(1, epochs + 1))) + ('{"epoch": 99, "st' if torn else ""))


def words(app):
    return texts(app)


def tabs(app):
    return [tab.label for tab in app.tabs]


def test_a_finished_run_shows_verdict_slider_and_plots(folder):
    run = make_run(folder)
    write_health(run)
    app = open_page("run", id=run.id, tab="health")
    assert not app.exception
    assert "Health" in tabs(app)
    assert words(app).count("It has learned") == words(app).count("check_circle: Learned") == 1
    slider = app.select_slider(f"health-epoch-{run.id}-20")
    assert (slider.value, len(slider.options)) == (20, 20)
    for title in (
        "Alignment and uniformity",
        "Similarities of pairs",
        "Spectrum",
        "Spread of the features",
        "Effective rank",
    ):
        assert f"**{title}**" in words(app)
    assert "400 validation images" in words(app)
    assert "epoch" not in address(app)


def test_the_slider_moves_and_the_address_brings_it_back(folder):
    run = make_run(folder)
    write_health(run)
    app = open_page("run", id=run.id, tab="health")
    app.select_slider(f"health-epoch-{run.id}-20").set_value(8).run()
    assert not app.exception
    assert query(app, "epoch") == "8"
    assert "After epoch 8" in words(app)
    assert "uses 28.0 directions" in words(app)
    again = open_page("run", id=run.id, epoch="8")
    assert again.select_slider(f"health-epoch-{run.id}-20").value == 8
    assert "uses 28.0 directions" in words(again)
    again.select_slider(f"health-epoch-{run.id}-20").set_value(20).run()
    assert query(again, "epoch") == ""  # the last epoch is followed


@pytest.mark.parametrize(("asked", "shown"), [("900", 20), ("0", 1), ("x", 20), ("-3", 20), ("9" * 40, 20), ("²", 20)])
def test_any_address_shows_some_epoch(folder, asked, shown):
    run = make_run(folder)
    write_health(run)
    app = open_page("run", id=run.id, epoch=asked)
    assert not app.exception
    assert app.select_slider(f"health-epoch-{run.id}-20").value == shown


def test_a_run_from_before_is_judged_by_its_metrics_and_says_what_it_did_not_keep(folder):
    run = make_run(folder)
    app = open_page("run", id=run.id, tab="health")
    assert not app.exception
    assert "kept no histograms and no spectra" in words(app)
    assert "check_circle: Learned" in words(app)
    assert "**Similarity of pairs**" in words(app) and "**Spectrum**" not in words(app)


def test_a_torn_line_costs_that_line(folder):
    run = make_run(folder, "running", done=7)
    write_health(run, 6, torn=True)
    app = open_page("run", id=run.id, tab="health")
    assert not app.exception
    assert app.select_slider(f"health-epoch-{run.id}-7").value == 7
    assert "Histograms and spectra of epoch 7 were not kept" in words(app)


def test_garbage_is_no_traceback(folder):
    run = make_run(folder)
    run.health_path.write_bytes(os.urandom(5000) + b"\n{}\n[]\n" + b"[" * 50_000 + b"\n")
    app = open_page("run", id=run.id, tab="health")
    assert not app.exception
    assert "kept no histograms" in words(app)


def test_one_epoch_has_no_course(folder):
    run = make_run(folder, "running", done=1)
    write_health(run, 1)
    app = open_page("run", id=run.id, tab="health")
    assert not app.exception
    assert "Only epoch 1 was measured so far" in words(app)
    assert not app.select_slider


@pytest.mark.parametrize("state", ["queued", "starting"])
def test_before_it_runs_there_is_no_panel(folder, state):
    run = make_run(folder, state, done=0)
    app = open_page("run", id=run.id, tab="health")
    assert not app.exception
    assert "Health" not in tabs(app)


def test_before_the_first_epoch_is_over_it_says_so(folder):
    run = make_run(folder, "running", done=0)
    app = open_page("run", id=run.id, tab="health")
    assert not app.exception
    assert "The first epoch is not over" in words(app)


def test_without_validation_images_the_ranks_of_training_judge(folder):
    run = make_run(folder, val_fraction=0)
    lines = [line for line in run.metrics_path.read_text().splitlines() if line.split(",")[7] in ("", "val/loss")]
    run.metrics_path.write_text("\n".join(lines) + "\n")
    app = open_page("run", id=run.id, tab="health")
    assert not app.exception
    assert "no validation images" in words(app)
    assert "in training" in words(app)


def test_a_run_that_diverged_says_so_on_top(folder):
    run = make_run(folder, "failed")
    app = open_page("run", id=run.id, tab="health")
    assert not app.exception
    assert "Diverged" in words(app)


@pytest.mark.parametrize("kind", ["finetune", "scratch"])
def test_other_kinds_have_no_panel(folder, kind):
    source = make_run(folder)
    run = make_run(folder, kind=kind, experiment_version=source.id)
    app = open_page("run", id=run.id, tab="health")
    assert not app.exception
    assert "Health" not in tabs(app)


# --- figures --------------------------------------------------------------------------------------------------------


def rows(epochs=3):
    return [health_log.parse(health_line(epoch)) for epoch in range(1, epochs + 1)]


def test_all_figures_are_values_that_json_takes(folder):
    run = make_run(folder)
    columns = metrics_csv.live_columns(run.metrics_path)
    drawn = [draw(rows(), 2) for draw in (figures.histograms, figures.spectrum, figures.spread)]
    for figure in (figures.plane(columns, 2), *drawn):
        json.dumps(figure, allow_nan=False)


def test_axes_of_histograms_stay_while_the_epoch_moves():
    first, last = figures.histograms(rows(), 1), figures.histograms(rows(), 3)
    assert first["layout"]["yaxis"]["range"] == last["layout"]["yaxis"]["range"]
    assert first["data"][1]["y"] != last["data"][1]["y"]
    for trace in first["data"]:
        assert sum(trace["y"]) == pytest.approx(100, abs=0.01)
        assert len(trace["x"]) == health_log.NUM_BINS and trace["x"][0] == pytest.approx(-0.9875)


def test_a_spectrum_is_that_of_the_covariance_relative_to_its_largest():
    found = figures.spectrum(rows(), 3)
    line = next(trace for trace in found["data"] if trace["name"] == "h")
    assert line["x"][:3] == [1, 2, 3]
    assert line["y"][:3] == pytest.approx([1, 0.25, 1 / 9], rel=1e-3)
    assert [trace["name"] for trace in found["data"]] == ["h, epoch 1", "z, epoch 1", "h", "z"]


def test_nothing_kept_is_no_figure():
    assert figures.histograms(rows(), 9) is None
    assert figures.spectrum(rows(), 9) is None
    assert figures.plane({}, 1) is None
    collapsed = health_log.parse(
        health_line(1, h={"dim": 4, "std": 0, "effective_rank": 1, "num_singular": 4, "singular": [0, 0, 0, 0]})
    )
    assert [trace["name"] for trace in figures.spectrum([collapsed], 1)["data"]] == ["z"]


def test_a_long_path_is_thinned_and_keeps_both_ends():
    epochs = list(range(1, 1001))
    columns = {"epoch": epochs, "val/uniformity": [-3.0] * 1000, "val/alignment": [1 / epoch for epoch in epochs]}
    path = figures.plane(columns, 500)["data"][1]
    assert len(path["x"]) <= 300
    assert (path["customdata"][0], path["customdata"][-1]) == (1, 1000)


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(300)
def test_slider_and_zoom_outlive_new_epochs_of_a_running_run(tmp_path, browser):
    server = Server(tmp_path)
    server.runs_dir.mkdir()
    run = make_run(server.runs_dir, "running", done=8)
    write_health(run, 8)
    server.start()
    try:
        for size in ((1440, 900), PHONE):
            tab = Tab(browser, server.url, "health", size)
            page = tab.page
            tab.open(f"/run?id={run.id}&epoch=3")
            slider = page.get_by_role("slider")
            slider.wait_for(timeout=PAGE_MS)
            assert slider.get_attribute("aria-valuetext") == "3"
            slider.focus()
            slider.press("ArrowRight")
            page.get_by_text("After epoch 4:").wait_for(timeout=PAGE_MS)
            assert page.url.endswith("epoch=4")
            plot = page.locator(".live-chart .js-plotly-plot, .live-chart.js-plotly-plot").last
            plot.wait_for(timeout=PAGE_MS)
            plot.evaluate("node => Plotly.relayout(node, {'xaxis.range': [1.5, 6.5]})")
            known = len(health_log.read(run.health_path))
            write_metrics(run, known + 1)
            with run.health_path.open("a") as stream:
                stream.write(health_line(known + 1))
            deadline = time.monotonic() + 30
            while slider.first.get_attribute("aria-valuemax") != str(known) and time.monotonic() < deadline:
                time.sleep(0.2)
            page.wait_for_timeout(4000)
            assert page.get_by_role("slider").get_attribute("aria-valuetext") == "4"
            assert plot.evaluate("node => node.layout.xaxis.range") == [1.5, 6.5]
            width = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth - innerWidth")
            assert width <= 0
            tab.context.close()
    finally:
        server.kill()
        runs.update_status(run.path, state="stopped")
