"""The dashboard below a prefix: one that the server is told, and one that a proxy takes off, in a real browser."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from dashboard_fixtures import make_experiment
from server import ROOT, Server, Tab
from slow_network import stripping_proxy

playwright_api = pytest.importorskip("playwright.sync_api")
expect = playwright_api.expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SHIPPED = "20261125-150748-pretrain-shapes-resnet_tiny-zbwp", "20261125-151223-scratch-shapes-resnet_tiny-9g44"
LINKS = "() => [...document.querySelectorAll('a[href]')].map(link => link.href)"


@pytest.fixture(params=["told to the server", "taken off by a proxy"])
def place(request: Any, tmp_path: Any) -> Iterator[tuple[str, str, Server]]:
    """Origin and prefix that a browser sees, and a server with an experiment and two runs that ship with maps."""
    server = Server(tmp_path)
    server.runs_dir.mkdir()
    make_experiment(server.runs_dir, (0.1,))[0].edit(name="First")
    for name in SHIPPED:
        shutil.copytree(ROOT / "runs" / "examples" / name, server.runs_dir / "examples" / name)
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: server.kill())
        if request.param == "told to the server":
            server.start(base="lab/curves")  # ends as a page is called
            yield server.url, "/lab/curves", server
        else:
            server.start()
            port = stack.enter_context(stripping_proxy(server.port, "/user/me/proxy/8501"))
            yield f"http://127.0.0.1:{port}", "/user/me/proxy/8501", server


def test_pages_charts_and_images_below_a_prefix(place: tuple[str, str, Server], browser: Any) -> None:
    origin, prefix, _ = place
    tab = Tab(browser, origin, "prefix")
    page = tab.page
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))

    def stays(path: str, title: str) -> None:
        """The page of this title is there, under this path, and leads nowhere but below the prefix."""
        expect(page.get_by_role("heading", level=1, name=title, exact=True)).to_be_visible()
        page.wait_for_url(lambda url: urlsplit(url).path == f"{prefix}/{path}")
        # a page that is left while it draws takes images along that the browser is still asking for
        expect(page.locator("[data-testid=stApp][data-test-script-state=running]")).to_have_count(0)
        page.wait_for_function("() => [...document.images].every(image => image.complete)")
        links = page.evaluate(LINKS)
        assert links and not [link for link in links if not link.startswith(f"{origin}{prefix}/")]

    def sidebar(title: str) -> None:
        page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()

    tab.open(f"{prefix}/")
    page.get_by_text("First", exact=True).filter(visible=True).first.click()
    stays("run", "First")
    assert "id=" in page.url
    tab.charts_are_drawn()
    sidebar("Curves")
    stays("curves", "Curves")
    tab.charts_are_drawn()
    page.wait_for_url("**/curves?runs=*")  # what is shown is written below the prefix
    with page.expect_response("**/app/files/images-*") as sheet:
        tab.open(f"{prefix}/embeddings/?left={SHIPPED[0]}&right={SHIPPED[1]}")  # sent on to the page without the slash
        stays("embeddings", "Embeddings")
        page.locator(".emap canvas.points").first.wait_for()
    assert sheet.value.ok
    sidebar("Results")
    stays("results", "Results")
    page.go_back()
    stays("embeddings", "Embeddings")
    page.go_back()
    stays("curves", "Curves")
    page.go_back()
    stays("run", "First")
    tab.charts_are_drawn()
    page.go_back()
    stays("", "Runs")
    assert not [url for url in sent if urlsplit(url).scheme == "http" and not urlsplit(url).path.startswith(prefix)]
    tab.has_no_errors()
    tab.context.close()
