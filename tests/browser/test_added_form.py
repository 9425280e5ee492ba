"""Embeddings of another encoder in a real browser: added by a path and by an upload, and deleted."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from server import PAGE_MS, ROOT, TRAINING_MS, Server, Tab, expect, server  # noqa: F401  (a fixture)

from simclr import runs
from simclr.added import sets

expect.set_options(timeout=PAGE_MS)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SIMCLR = "20261125-150748-pretrain-shapes-resnet_tiny-zbwp"


def test_the_form_takes_a_path_and_an_upload(server: Server, browser: object, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "runs" / "examples" / SIMCLR, server.runs_dir / runs.EXAMPLES / SIMCLR)
    file = tmp_path / "file.npy"
    np.save(file, np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32))
    tab = Tab(browser, server.url, "added-form")
    page = tab.page
    tab.open(f"/embeddings?left={SIMCLR}&method=pca")
    dialog = page.get_by_role("dialog")

    for name in ("dino", "clip"):
        page.locator(".st-key-embedding-others button:visible").first.click()
        expect(dialog).to_be_visible()
        if name == "dino":
            tab.fill("Path of the file", str(file))
        else:
            dialog.get_by_text("Upload", exact=True).first.click()
            page.set_input_files(".st-key-added-upload input[type=file]", [file])
            expect(dialog.get_by_text("file.npy")).to_be_visible()
        tab.fill("Folder of the images", "shapes")
        dialog.locator(".st-key-added-name input").fill(name)
        dialog.locator(".st-key-added-split [role=combobox], .st-key-added-split input").first.click()
        page.get_by_role("option", name="Test", exact=True).click()
        dialog.locator(".st-key-added-go button:visible").click()
        tab.sees(re.compile(f"{name} was added: all 2,000 test images of shapes"), TRAINING_MS)
        page.wait_for_url(re.compile(f"right={name}"))
    tab.shot("added")
    assert [item.name for item in sets.find_all(server.runs_dir)] == ["clip", "dino"]

    page.locator(".st-key-embedding-others button:visible").first.click()
    page.locator(".st-key-added-delete-clip button:visible").first.click()
    page.locator(".st-key-added-yes-clip button:visible").first.click()
    tab.sees("The embeddings clip were deleted.")
    expect(dialog).to_have_count(0)
    assert [item.name for item in sets.find_all(server.runs_dir)] == ["dino"]
    page.wait_for_url(re.compile("right=untrained"))
    tab.has_no_errors()
    tab.context.close()
