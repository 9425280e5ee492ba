"""Somebody's own photo on the maps, and an image that is tugged, in a real browser on the shipped runs."""

from __future__ import annotations

import base64
import re
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image
from server import PAGE_MS, PHONE, ROOT, TRAINING_MS, Server, Tab, expect, server  # noqa: F401  (a fixture)

from simclr import runs

expect.set_options(timeout=PAGE_MS)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

SIMCLR, SCRATCH = "20261125-150748-pretrain-shapes-resnet_tiny-zbwp", "20261125-151223-scratch-shapes-resnet_tiny-9g44"
PASTE = """async (address) => {
  const blob = await (await fetch(address)).blob();
  const data = new DataTransfer();
  data.items.add(new File([blob], "pasted.png", { type: "image/png" }));
  window.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


def opened(server: Server, browser: object, name: str, asked: str, **options: object) -> Tab:
    """A tab on the maps of the two shipped runs."""
    for run_id in (SIMCLR, SCRATCH):
        target = server.runs_dir / runs.EXAMPLES / run_id
        if not target.exists():
            shutil.copytree(ROOT / "runs" / "examples" / run_id, target)
    tab = Tab(browser, server.url, name, **options)
    tab.open(f"/embeddings?left={SIMCLR}&right={SCRATCH}&images=10000&{asked}")
    expect(tab.page.locator(".emap .panel")).to_have_count(2, timeout=TRAINING_MS)
    return tab


def figures(page: object) -> list[float]:
    return [float(text) for text in page.locator(".emap .tug .figure b").all_inner_texts()]


def marks(page: object) -> list[str]:
    """What is drawn over the maps."""
    return [page.evaluate("(canvas) => canvas.toDataURL()", item) for item in page.query_selector_all("canvas.marks")]


def test_a_photo_is_tried_and_tugged(server: Server, browser: object, tmp_path: Path) -> None:
    sheet = next((ROOT / "runs" / "examples" / SIMCLR).glob("embeddings/auto-*/thumbnails-0.png"))
    photo = tmp_path / "photo.png"
    with Image.open(sheet) as image:
        image.crop((3 * 32, 0, 4 * 32, 32)).resize((96, 96)).save(photo)
    (tmp_path / "broken.png").write_bytes(b"no image")

    tab = opened(server, browser, "tug", "method=pca")
    page = tab.page
    before = marks(page)
    page.set_input_files(".st-key-embedding-try input[type=file]", [photo, tmp_path / "broken.png"])
    tab.sees("1 · photo.png", TRAINING_MS)
    tab.sees("broken.png cannot be read: it is not an image.")
    tab.sees("exactly")
    tab.sees(re.compile("Its classifier says"))
    deadline = time.monotonic() + 20
    while marks(page) == before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert all(one != other for one, other in zip(marks(page), before, strict=True))

    # from the clipboard, beside what is there
    page.evaluate(PASTE, "data:image/png;base64," + base64.b64encode(photo.read_bytes()).decode())
    tab.sees("2 · pasted.png")
    tab.shot("tried")

    # the photo itself is pulled: it is no image of the maps
    page.locator(".st-key-embedding-pull-0 button").first.click()
    slider = page.locator(".emap .tug input")
    expect(slider).to_be_visible(timeout=TRAINING_MS)
    for part in (page.locator("canvas.marks").first, slider):  # the button stands below both
        expect(part).to_be_in_viewport(ratio=0.9)
    expect(page.locator(".emap .details .names")).to_contain_text("photo.png")
    assert figures(page) == [0, 0]
    near = page.locator(".emap .near").nth(1)
    first = near.inner_text()
    slider.focus()
    for _ in range(16):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".emap .tug output")).to_have_text("180° of the circle")
    left, right = figures(page)
    assert left < 0.6 < right
    assert near.inner_text() != first
    tab.shot("photo-tugged")
    tab.has_no_errors()
    tab.context.close()


def test_the_open_image_wanders_without_the_server(server: Server, browser: object) -> None:
    tab = opened(server, browser, "tug-open", "method=umap&image=12")
    page = tab.page
    page.locator(".emap .tug .go").click()
    slider = page.locator(".emap .tug input")
    expect(slider).to_be_visible(timeout=TRAINING_MS)
    expect(page.locator(".tug-how")).to_contain_text("weighted mean of its 15 nearest neighbours")
    expect(page.locator("[data-testid=stMain] [data-stale=true]")).to_have_count(0, timeout=TRAINING_MS)

    server.kill()  # from here on nothing can be asked
    at_rest, ways = marks(page), []
    for name, text in (("Hue", "180° of the circle"), ("Rotation", "90°"), ("Crop", "45 % cut away")):
        page.get_by_role("button", name=name, exact=True).click()
        value = {"Hue": 16, "Rotation": 24, "Crop": 15}[name]
        slider.fill(str(value))
        expect(page.locator(".emap .tug output")).to_have_text(text)
        page.wait_for_timeout(100)
        ways.append((figures(page), marks(page), page.locator(".emap .near").first.inner_text()))
    (hue, *_), (rotation, *_), (crop, *_) = ways
    assert hue[0] < 0.6 < hue[1]  # colour is what SimCLR ignores, and what from scratch goes by
    assert rotation[0] > rotation[1] and crop[0] > 0 and crop[1] > 0
    for number in range(2):
        assert len({at_rest[number], *(drawn[number] for _, drawn, _ in ways)}) == 4
    assert len({words for *_, words in ways}) == 3
    tab.context.close()


def test_a_tug_comes_back_with_its_address_on_a_phone(server: Server, browser: object) -> None:
    tab = opened(server, browser, "tug-phone", "method=pca&image=12&tug=hue~16", size=PHONE, has_touch=True)
    page = tab.page
    expect(page.locator(".emap .tug output")).to_have_text("180° of the circle", timeout=TRAINING_MS)
    tab.fits("/embeddings")
    box = page.locator(".emap .tug input").bounding_box()
    assert box["height"] >= 44 and box["x"] + box["width"] <= PHONE[0]
    page.get_by_role("button", name="Blur", exact=True).click()
    page.locator(".emap .tug input").fill("14")
    page.wait_for_url(re.compile("tug=blur(~|%7E)14"))
    tab.shot("phone")
    # a finger on nothing lets the image go, and the tug with it
    page.locator(".emap .details .close").click()
    expect(page.locator(".emap .tug")).to_be_hidden()
    tab.has_no_errors()
    tab.context.close()
