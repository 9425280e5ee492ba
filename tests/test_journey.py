"""The newcomer's journey in a real browser, with real processes: launch, watch, fine-tune, compare, by clicking.

Every step leaves a screenshot in tests/screenshots. Needs Chromium: set $CHROMIUM, or have it on the path.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import wait_until_served

from simclr import runs
from simclr.hardware import processes

playwright_api = pytest.importorskip("playwright.sync_api")
expect = playwright_api.expect

ROOT = Path(__file__).resolve().parent.parent
SCREENSHOTS = Path(__file__).parent / "screenshots"
TRAINING_MS = 120_000  # on two busy cores; most of it is imports
PAGE_MS = 30_000
PHONE = (390, 844)
expect.set_options(timeout=PAGE_MS)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


class Server:
    """A dashboard of its own on a free port, over a runs folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs_dir = folder / "runs"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, app: str = "dashboard/app.py", **more: str) -> None:
        environment = os.environ | {
            "SIMCLR_RUNS_DIR": str(self.runs_dir),
            "SIMCLR_DATA_DIR": str(self.folder / "data"),
            "HOME": str(self.folder),
            **more,
        }
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", app, "--server.port", str(self.port)],
                cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        wait_until_served(self.url, self.folder / "server.log")

    def kill(self) -> None:
        """As hard as a crash: nothing is said good-bye to."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()
    for run in [*runs.list_runs(server.runs_dir), *map(runs.Run, (server.runs_dir / runs.JOBS).glob("*"))]:
        status = run.status
        if status.is_active and processes.is_alive(status.pid, status.process_start):
            os.kill(status.pid, 9)


class Tab:
    """A browser tab that remembers what must not happen: errors of a page or its console, such as what the
    Content-Security-Policy forbids, and requests to other machines."""

    def __init__(
        self, browser: object, url: str, name: str, size: tuple[int, int] = (1440, 900), **options: object
    ) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        self.page = self.context.new_page()
        self.url, self.name, self.shots = url, name, 0
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._watch)
        self.page.on("console", self._listen)
        self.page.set_default_timeout(PAGE_MS)

    def _watch(self, request: object) -> None:
        if not re.match(rf"(data:|blob:|(http|ws)://127\.0\.0\.1:{self.url.rsplit(':', 1)[1]})", request.url):
            self.errors.append(f"request to {request.url}")

    def _listen(self, message: object) -> None:
        # Streamlit looks for its server below the page's own path before it looks at the root
        is_search = "404" in message.text and "/_stcore/" in message.location.get("url", "")
        is_gone = re.search("net::ERR_|WebSocket connection|disconnected from server", message.text)  # tests kill it
        if message.type == "error" and not is_search and not is_gone:
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def charts_are_drawn(self) -> None:
        expect(self.page.locator(".js-plotly-plot .main-svg").first).to_be_visible()

    def shot(self, title: str) -> None:
        self.shots += 1
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{self.name}-{self.shots:02d}-{title}.png")

    def sees(self, text: str | re.Pattern[str], timeout: int = PAGE_MS) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=timeout)

    def button(self, name: str) -> object:
        return self.page.get_by_role("button", name=name).first

    def fill(self, label: str, value: str) -> None:
        field = self.page.get_by_label(label, exact=True).first
        field.fill(value)
        field.press("Tab")

    def fits(self, path: str) -> None:
        """Nothing makes the page scroll sideways."""
        width = self.page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
        assert width <= self.page.viewport_size["width"], path

    def has_no_errors(self) -> None:
        assert not self.errors, "\n".join(self.errors)
        expect(self.page.locator("[data-testid=stException]")).to_have_count(0)

    def finished(self) -> str:
        """Waits until the run that is shown has finished; returns its id."""
        run_id = re.search(r"id=([\w-]+)", self.page.url)[1]
        main = self.page.locator("[data-testid=stMain]")
        # the page that was there before may still be seen for a moment: its badge is not this run's
        expect(main.get_by_text(run_id).first).to_be_visible()
        expect(main.get_by_text(re.compile("^(Finished|Failed|Stopped)$")).first).to_be_visible(timeout=TRAINING_MS)
        expect(main.get_by_text("Finished", exact=True).first).to_be_visible()
        return run_id


def test_journey(server: Server, browser: object) -> None:
    tab = Tab(browser, server.url, "journey")
    page = tab.page

    # an empty home says what this is and offers one first step
    tab.open("/")
    tab.sees("Train a network without labels")
    tab.shot("home-empty")
    tab.button("Start your first run").click()

    # the recipe is chosen, the command follows the form
    tab.sees("simclr/recipes/quick.yaml")
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
    tab.sees("Loss", TRAINING_MS)
    tab.charts_are_drawn()
    tab.shot("running")
    pretraining = tab.finished()
    assert runs.find(pretraining, server.runs_dir).name == "typed last"
    tab.charts_are_drawn()
    tab.sees("Next steps")
    tab.shot("pretraining-finished")
    second.has_no_errors()
    second.context.close()

    # one click each: frozen encoder, and from scratch on the same labels
    for arm in ("Frozen encoder + head", "From scratch, same labels"):
        tab.open(f"/run?id={pretraining}")
        tab.sees("Next steps")
        page.get_by_role("radio", name="10 %").click()
        tab.button(arm).click()
        page.wait_for_url(lambda url: "/run" in url and pretraining not in url)
        tab.finished()
        tab.sees("Test accuracy by class")
    tab.shot("partner-finished")
    found = [run for run in runs.list_runs(server.runs_dir) if run.kind != "pretrain"]
    assert {run.kind for run in found} == {"finetune", "scratch"}
    labels = {run.evaluation["num_labels"] for run in found}
    assert labels == {36}  # a tenth of the 360 that validation leaves, the same for both arms

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
    page.wait_for_timeout(500)
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
        "/", f"/run?id={pretraining}", f"/results?experiment={pretraining}", f"/curves?runs={pretraining}",
        f"/embeddings?left={pretraining}&method=pca",
    ):  # fmt: skip
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
    box = chart.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    page.mouse.up()
    zoomed = chart.evaluate("node => node._fullLayout.xaxis.range")
    points = chart.evaluate("node => node.data[0].x.length")
    deadline = time.monotonic() + 60
    while chart.evaluate("node => node.data[0].x.length") <= points and time.monotonic() < deadline:
        time.sleep(0.5)
    assert chart.evaluate("node => node.data[0].x.length") > points
    assert chart.evaluate("node => node._fullLayout.xaxis.range") == zoomed
    assert chart.evaluate("node => node._fullLayout.xaxis.autorange") is False
    server.kill()
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
