"""A report in a browser without a network: curves, images below the pointer, theme, paper, and nothing asked for."""

import re
from pathlib import Path

import pytest

from simclr.report import made, page

pytestmark = pytest.mark.browser
EXAMPLES = Path(__file__).resolve().parents[2] / "runs"
SHAPES = "20261125-150748-pretrain-shapes-resnet_tiny-zbwp"
A4 = (595, 842)  # points
DRAWN_MS = 30_000


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    made.write(path, page.make([SHAPES], EXAMPLES))
    return path


class Offline:
    """A tab without a network that remembers what went wrong, and what was asked for."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(**options)
        self.context.set_offline(True)
        self.page = self.context.new_page()
        self.errors, self.asked = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console", lambda line: self.errors.append(line.text) if line.type in ("error", "warning") else None
        )
        self.page.on(
            "request", lambda request: None if request.url.startswith("data:") else self.asked.append(request.url)
        )
        self.page.goto(path.as_uri())
        self.page.wait_for_selector(":root[data-ready]", state="attached", timeout=DRAWN_MS)

    def value(self, code):
        return self.page.evaluate(code)


def test_a_report_opens_without_a_network(browser, report):
    tab = Offline(browser, report, viewport={"width": 1440, "height": 900}, color_scheme="light")
    charts = tab.page.locator(".chart .main-svg .scatterlayer .js-line")
    assert charts.count() >= 8 and tab.value("document.querySelectorAll('.chart').length") == 8
    assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"

    # a part of a curve enlarged
    tab.page.locator(".chart").first.scroll_into_view_if_needed()
    box = tab.page.locator(".chart .nsewdrag").first.bounding_box()
    before = tab.value("document.querySelector('.chart')._fullLayout.xaxis.range.slice()")
    tab.page.mouse.move(box["x"] + 60, box["y"] + 30)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 200, box["y"] + 120, steps=4)
    tab.page.mouse.up()
    after = tab.value("document.querySelector('.chart')._fullLayout.xaxis.range.slice()")
    assert before[0] < after[0] < after[1] < before[1]

    # the image of the point in the middle of those that are shown
    canvas = tab.page.locator(".map canvas").first
    canvas.scroll_into_view_if_needed()
    found = tab.value(
        "(() => { const set = mapSets[0]; const { place } = set.placing(set.panels[0]);"
        " const box = set.panels[0].canvas.getBoundingClientRect();"
        " const [x, y] = place(7); return [x + box.left, y + box.top]; })()"
    )
    tab.page.mouse.move(found[0], found[1])
    tip = tab.page.locator("#tip")
    tip.wait_for(state="visible")
    classes = tab.value("data.maps[0].classes")
    assert re.fullmatch(rf"({'|'.join(classes)}), image \d+", tip.inner_text().strip())
    colors = "new Set(document.querySelector('#tip canvas').getContext('2d').getImageData(0, 0, 96, 96).data).size"
    assert tab.value(colors) > 8  # an image, not an empty square
    rung = "mapSets[0].panels.every((panel) => panel.canvas.width > 0) && mapSets[0].row >= 0"
    assert tab.value(rung)
    tab.page.mouse.move(2, 2)
    tip.wait_for(state="hidden")

    # another method, one class alone
    tab.page.get_by_role("button", name="PCA").click()
    assert "nearest neighbours" in tab.page.locator("[data-note]").first.inner_text()
    tab.page.get_by_role("button", name="heart").click()
    assert tab.page.get_by_role("button", name="heart").get_attribute("aria-pressed") == "true"

    # dark, for the page and for what is drawn
    tab.page.evaluate("window.scrollTo(0, 0)")
    tab.page.locator("#theme").click()
    assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 28)"
    assert tab.value("document.querySelector('.chart')._fullLayout.font.color") == "#e6eaf2"
    assert tab.page.locator("#theme").inner_text() == "Light"

    assert tab.errors == []
    assert tab.asked == [report.as_uri()]
    tab.context.close()


def test_a_phone_in_the_dark_and_paper(browser, report):
    tab = Offline(browser, report, viewport={"width": 390, "height": 844}, color_scheme="dark")
    assert tab.value("document.documentElement.scrollWidth") == 390
    assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 28)"
    content = tab.page.pdf(prefer_css_page_size=True, print_background=True)
    assert content.startswith(b"%PDF")
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content)
    assert len(sizes) >= 4  # pages
    assert {(round(float(width)), round(float(height))) for width, height in sizes} == {A4}
    # dark again after printing in light
    assert tab.value("document.querySelector('.chart')._fullLayout.font.color") == "#e6eaf2"
    assert tab.errors == [] and tab.asked == [report.as_uri()]
    tab.context.close()


def test_paper_is_light_and_figures_fit_its_width(browser, report):
    tab = Offline(browser, report, viewport={"width": 1440, "height": 900}, color_scheme="dark")
    tab.page.emulate_media(media="print", color_scheme="dark")
    tab.value("window.dispatchEvent(new Event('beforeprint'))")
    assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.value("document.querySelector('.chart')._fullLayout.font.color") == "#1a2130"
    assert tab.value("document.querySelector('.chart')._fullLayout.width") <= 340
    assert tab.page.locator("nav").is_hidden() and tab.page.locator(".tools").first.is_hidden()
    tab.context.close()
