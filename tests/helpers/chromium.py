"""A real browser for tests, and servers for it: one Chromium for a test file, and when a server answers."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_browser(own: str) -> str:
    """The browser that tests use: $CHROMIUM, else one that is installed, else playwright's `own`.

    Raises:
        FileNotFoundError: where there is none, with the command that brings one.
    """
    found = [os.environ.get("CHROMIUM"), *map(shutil.which, INSTALLED), own]
    for path in filter(None, found):
        if os.access(path, os.X_OK):
            return path
    command = f"{sys.executable} -m playwright install chromium"
    raise FileNotFoundError(f"There is no Chromium or Chrome here. Run {command}, or let $CHROMIUM name one.")


@contextlib.contextmanager
def opened() -> Iterator[Any]:
    playwright_api = pytest.importorskip("playwright.sync_api")
    with playwright_api.sync_playwright() as playwright:
        try:
            path = find_browser(playwright.chromium.executable_path)
        except FileNotFoundError as error:
            pytest.fail(str(error), pytrace=False)
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened() as browser:
        yield browser


def wait_until_served(url: str, log: Path) -> None:
    """Returns when a Streamlit server answers there; fails with what it wrote to its log when that takes too long."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())
