"""Your own images in a real browser: a folder is chosen or dropped, looked at, and trained on; by keyboard; axe."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from axe import findings
from conftest import make_folder
from server import PAGE_MS, PHONE, Server, Tab, expect, server  # noqa: F401  (a fixture)

from simclr.data.own_images import uploads

expect.set_options(timeout=PAGE_MS)
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def opened(browser: object, server: Server, name: str, path: str = "/new-run", **options: object) -> Tab:
    tab = Tab(browser, server.url, name, **options)
    tab.open(path)
    tab.button("Your own images").click()
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    return tab


def upload_is_shown(tab: Tab) -> None:
    tab.page.get_by_role("dialog").get_by_text("Upload", exact=True).first.click()
    expect(tab.page.locator("[class*=st-key-own-upload-folders] input[type=file]")).to_be_attached()


def field_holds(tab: Tab, text: str) -> None:
    expect(tab.page.get_by_role("dialog")).to_have_count(0)
    expect(tab.page.get_by_role("combobox", name=re.compile("Data set"))).to_have_value(text)


def test_a_chosen_folder_with_classes_is_trained_on(server: Server, browser: object, tmp_path: Path) -> None:
    photos = make_folder(tmp_path / "my photos", {"cat": 5, "dog": 4}, 32)
    (photos / "notes.txt").write_text("words")
    tab = opened(browser, server, "own-images", "/new-run?batch_size=4")
    upload_is_shown(tab)
    tab.page.set_input_files("[class*=st-key-own-upload-folders] input[type=file]", photos)
    tab.sees("Read as 2 classes (cat 5, dog 4)")
    tab.sees("Not copied: 1 file (no image).")
    expect(tab.page.get_by_role("dialog").get_by_role("img", name="cat, 0")).not_to_have_count(0)
    assert not findings(tab.page)
    tab.shot("uploaded")
    tab.button("Train on these").click()
    folder = server.folder / "data" / uploads.FOLDER / "my photos"
    field_holds(tab, str(folder))
    assert sorted(os.listdir(folder)) == ["cat", "dog"]
    assert len(list(folder.rglob("*.png"))) == 9
    expect(tab.button("Start")).to_be_enabled()
    tab.has_no_errors()
    tab.context.close()


def test_a_dropped_folder_keeps_its_classes(server: Server, browser: object, tmp_path: Path) -> None:
    """Files of one name in two folders are two images, on whichever of the two fields the folder falls."""
    photos = make_folder(tmp_path / "photos", {"cat": 5, "dog": 4}, 32)
    for number, place in enumerate(("own-upload-folders", "own-upload-files")):
        tab = opened(browser, server, f"own-images-dropped-{number}")
        upload_is_shown(tab)
        box = tab.page.locator(f"[class*=st-key-{place}] section").bounding_box()
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        data = {"items": [], "files": [str(photos)], "dragOperationsMask": 1}
        session = tab.context.new_cdp_session(tab.page)
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
        tab.sees("Read as 2 classes (cat 5, dog 4)")
        expect(tab.page.get_by_text("Drag and drop", exact=False)).to_have_count(0)
        tab.has_no_errors()
        tab.context.close()


@pytest.mark.parametrize(
    ("size", "scheme"),
    [((1440, 900), "light"), ((1440, 900), "dark"), (PHONE, "light")],
    ids=["light", "dark", "phone"],
)
def test_a_folder_of_this_machine_by_keyboard_alone(
    server: Server, browser: object, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    photos = make_folder(server.folder / "photos", {"cat": 5, "dog": 4}, 32)  # the server's folder is its home
    tab = Tab(browser, server.url, f"own-images-{size[0]}-{scheme}", size=size, color_scheme=scheme)
    page = tab.page
    tab.open("/new-run")
    tab.button("Your own images").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Your own images")
    expect(dialog.get_by_role("button", name="Use this folder")).to_be_visible()

    def press(name: str) -> None:
        expect(dialog.get_by_role("button", name=name).first).to_be_enabled()
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent").endswith(name):
                page.keyboard.press("Enter")
                return
        raise AssertionError(f"Tab does not come to {name}")

    press("photos")
    tab.sees("Read as 2 classes (cat 5, dog 4)")
    expect(dialog.get_by_role("img", name="cat, 0")).not_to_have_count(0)
    assert not findings(page)
    tab.fits("/new-run")
    tab.shot("folder")
    press("Use this folder")
    field_holds(tab, str(photos))
    tab.has_no_errors()
    tab.context.close()
