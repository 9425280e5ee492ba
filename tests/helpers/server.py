"""A dashboard as its users start it, and a browser tab that looks at it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import wait_until_served

from simclr import runs
from simclr.hardware import processes

playwright_api = pytest.importorskip("playwright.sync_api")
expect = playwright_api.expect

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
TRAINING_MS = 120_000  # on two busy cores; most of it is imports
PAGE_MS = 30_000
PHONE = (390, 844)


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

    def start(self, app: str = "dashboard/app.py", base: str = "", **more: str) -> None:
        """base: the path below which it answers (`x/y`). more: of its environment."""
        environment = os.environ | {
            "SIMCLR_RUNS_DIR": str(self.runs_dir),
            "SIMCLR_DATA_DIR": str(self.folder / "data"),
            "HOME": str(self.folder),
            **more,
        }
        options = ["--server.baseUrlPath", base] if base else []
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", app, "--server.port", str(self.port), *options],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        wait_until_served(f"{self.url}/{base}".rstrip("/"), self.folder / "server.log")

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
        is_own = status.pid == os.getpid()  # a run that was made by the test
        if status.is_active and not is_own and processes.is_alive(status.pid, status.process_start):
            os.kill(status.pid, 9)


class Tab:
    """A browser tab that remembers what must not happen: errors of a page or its console, such as what the
    Content-Security-Policy forbids, options that the theme refuses, and requests to other machines."""

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
        # tests kill it
        gone = "net::ERR_|WebSocket connection|disconnected from server|in reaching server endpoint|is not responding"
        is_gone = re.search(gone, message.text)
        is_refused = message.type == "warning" and "in theme" in message.text  # an option of the theme
        if (message.type == "error" and not is_search and not is_gone) or is_refused:
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def charts_are_drawn(self, timeout: int = PAGE_MS) -> None:
        expect(self.page.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=timeout)

    def zoom(self, chart: object) -> list[float]:
        """Drags over part of a chart, as a user zooms; returns the range of x that it shows then."""
        box = chart.locator(".nsewdrag").first.bounding_box()
        self.page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
        self.page.mouse.up()
        return chart.evaluate("node => node._fullLayout.xaxis.range")

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
