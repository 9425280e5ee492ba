"""The similarity matrix in a real browser: its numbers are those of the loss, live; hover, keys and a phone's width."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chromium import wait_until_served

from simclr import runs
from simclr.analysis import encoders, similarity
from simclr.config import Augmentation
from simclr.data import shapes
from simclr.embeddings.references import EncoderRef, open_weights
from simclr.objectives import nt_xent
from simclr.views import augment

playwright_api = pytest.importorskip("playwright.sync_api")
expect = playwright_api.expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
TESTS = Path(__file__).resolve().parent
ADDRESS = "/?show=batch&batch_of=chosen&layer=z&temperature=0.2"
NUM = 12  # views of the six chosen images


@pytest.fixture(scope="module")
def served(finished_run: runs.Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, np.ndarray]]:
    """A page with the matrix, and the similarities that it has to show."""
    folder = tmp_path_factory.mktemp("matrix")
    shutil.copytree(finished_run.path, folder / "runs" / finished_run.id)
    images, ids = torch.from_numpy(shapes.generate("train", NUM // 2).images), torch.arange(NUM // 2)
    options = Augmentation(**Augmentation().model_dump() | {"hue": 0.5})
    with open_weights(EncoderRef(finished_run)) as weights:
        encoder = encoders.load_encoder(EncoderRef(finished_run), weights)
    first, second = (encoder(x)["z"] for x in augment.two_views(images, ids, options, seed=0, epoch=1, size=32))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"SIMCLR_RUNS_DIR": str(folder / "runs"), "HOME": str(folder)}
    command = [sys.executable, "-m", "streamlit", "run", str(TESTS / "lab_app.py"), "--server.port", str(port)]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=TESTS.parent, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_served(url, folder / "log")
        yield url, similarity.similarity_matrix(similarity.interleave(first, second))
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def page(served: tuple[str, np.ndarray], browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(60_000)
    page.sent = []  # what the browser tells the server
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: page.sent.append(frame)))
    page.goto(served[0] + ADDRESS)
    expect(page.locator(".smatrix canvas")).to_be_visible(timeout=60_000)
    yield page
    assert errors == []
    context.close()


def read(page: Any, name: str) -> float:
    return float(page.locator(f".smatrix [data-name={name}]").inner_text().split()[0])


def point_at(page: Any, row: int, column: int) -> None:
    box = page.locator(".smatrix canvas").bounding_box()
    cell = box["width"] / NUM
    page.mouse.move(box["x"] + (column + 0.5) * cell, box["y"] + (row + 0.5) * cell)


def slide_to(page: Any, place: int) -> float:
    """Moves the slider as a hand does that has not let go yet, and returns the temperature it shows."""
    page.locator(".smatrix input[type=range]").evaluate(
        "(node, place) => { node.value = place; node.dispatchEvent(new Event('input', { bubbles: true })); }", place
    )
    return float(page.locator(".smatrix .number").inner_text())


def test_loss_and_negatives_follow_the_temperature_without_the_server(page: Any, served: Any) -> None:
    similarities = served[1]
    rows = torch.linalg.cholesky(torch.from_numpy(similarities) + 1e-9 * torch.eye(NUM))  # rows with these cosines
    sent = len(page.sent)
    assert read(page, "chance") == pytest.approx(np.log(NUM - 1), abs=5e-4)
    seen = set()
    for place in (0, 250, 500, 750, 1000):
        temperature = slide_to(page, place)
        seen.add(temperature)
        expected = similarity.at_temperature(similarities, temperature)
        assert read(page, "loss") == pytest.approx(expected.loss, abs=6e-4 + 1e-4 * expected.loss)
        trained = float(nt_xent.nt_xent(rows[::2], rows[1::2], temperature))
        assert read(page, "loss") == pytest.approx(trained, abs=6e-4 + 1e-3 * trained)
        assert read(page, "effective") == pytest.approx(expected.effective.mean(), abs=0.06)
    assert len(seen) == 5 and min(seen) == 0.01 and max(seen) == 2.0
    assert "temperature=0.2" in page.url  # not told to the server
    assert len(page.sent) == sent


def test_the_address_follows_when_the_slider_is_let_go(page: Any) -> None:
    slider = page.locator(".smatrix input[type=range]")
    slider.focus()
    slider.press("ArrowLeft")
    temperature = page.locator(".smatrix .number").inner_text()
    sent = len(page.sent)
    slider.press("End")
    expect(page).to_have_url(re.compile(r"temperature=2(&|$)"), timeout=15_000)
    assert page.locator(".smatrix .number").inner_text() == "2.0" != temperature
    assert len(page.sent) > sent


def test_pointing_at_a_cell_shows_both_views_value_and_weight(page: Any, served: Any) -> None:
    similarities = served[1]
    weights = similarity.at_temperature(similarities, slide_to(page, 500)).weights
    for row, column in ((0, 5), (7, 2), (4, 4), (9, 8)):
        point_at(page, row, column)
        value = page.locator(".smatrix .value")
        kind = "itself" if row == column else "positive pair" if row ^ 1 == column else "negative"
        expect(value).to_contain_text(f"cosine, {kind}")
        shown = value.inner_text()
        assert float(shown.split()[0]) == pytest.approx(similarities[row, column], abs=6e-4)
        names = page.locator(".smatrix .two figcaption").all_inner_texts()
        titles = [f"{shapes.CLASSES[image]} {image}" for image in range(NUM // 2)]
        assert names == [f"{titles[place // 2]}, view {place % 2 + 1}" for place in (row, column)]
        if kind == "negative":
            told = re.search(r"weight (<)? ?([\d.]+) %", shown)
            assert float(told[2]) == pytest.approx(100 * weights[row, column], abs=0.11)
    point_at(page, 3, 8)
    shares = [float(text.split()[-2]) for text in page.locator(".smatrix .bar .share").all_inner_texts()]
    np.testing.assert_allclose(shares, 100 * np.sort(weights[3])[::-1][: len(shares)], atol=0.11)


def test_arrow_keys_move_from_cell_to_cell(page: Any) -> None:
    point_at(page, 2, 2)
    page.mouse.move(5, 5)
    canvas = page.locator(".smatrix canvas")
    canvas.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        canvas.press(key)
    names = page.locator(".smatrix .two figcaption").all_inner_texts()
    assert names == ["ring 1, view 2", "square 2, view 1"]
    expect(page.locator(".smatrix .said")).to_contain_text("ring 1, view 2 and square 2, view 1: cosine")


def test_a_marked_pair_opens_its_cell(page: Any, served: Any) -> None:
    bright = similarity.likely_false_negatives(served[1], [""] * (NUM // 2), 6)
    expect(page.locator(".smatrix .key").last).to_have_text("different images most alike")
    buttons = page.locator(".smatrix .marks button")
    expect(buttons).to_have_count(6)
    buttons.nth(2).click()
    value = float(page.locator(".smatrix .value").inner_text().split()[0])
    assert value == pytest.approx(bright[2].similarity, abs=6e-4)


def test_weights_are_drawn_where_asked_for(page: Any) -> None:
    picture = "node => node.toDataURL()"
    canvas = page.locator(".smatrix canvas")
    before = canvas.evaluate(picture)
    page.get_by_role("button", name="Weights of the negatives").click()
    weights = canvas.evaluate(picture)
    assert weights != before
    slide_to(page, 0)
    assert canvas.evaluate(picture) != weights  # they change with the temperature
    page.get_by_role("button", name="Similarities", exact=True).click()
    assert canvas.evaluate(picture) == before  # and similarities do not


def test_it_fits_a_phone(served: Any, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(served[0] + ADDRESS)
    canvas = page.locator(".smatrix canvas")
    expect(canvas).to_be_visible()
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    box = canvas.bounding_box()
    assert box["width"] == pytest.approx(box["height"], abs=1)
    canvas.scroll_into_view_if_needed()
    canvas.tap(position={"x": 1.5 * box["width"] / NUM, "y": 0.5 * box["width"] / NUM})
    expect(page.locator(".smatrix .value")).to_contain_text("positive pair")
    context.close()
