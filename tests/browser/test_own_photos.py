"""A journey with images of one's own in a real browser: train on them, try a photo, tug it, export, load elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from conftest import make_folder
from server import PAGE_MS, TRAINING_MS, Server, Tab, expect, server  # noqa: F401  (a fixture)

import simclr
from simclr import runs

expect.set_options(timeout=PAGE_MS)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]

SIDE = 96  # so that the network is the one that timm builds, and a photo of this side is resized nowhere
RECIPE = {
    "kind": "pretrain",
    "recipe": "quick",
    "backbone": "resnet18",
    "image_size": SIDE,
    "epochs": 1,
    "batch_size": 16,
    "hidden_dim": 32,
    "projection_dim": 16,
    "warmup_epochs": 0,
}
# What somebody without this package does with the export. Prints h of a photo as JSON.
ELSEWHERE = """
import json, sys
import numpy, timm, torch
from PIL import Image
folder, photo = sys.argv[1:]
about = json.load(open(folder + "/config.json"))["pretrained_cfg"]
mean, std = (torch.tensor(about[name])[:, None, None] for name in ("mean", "std"))
x = torch.from_numpy(numpy.array(Image.open(photo))).permute(2, 0, 1).float() / 255
network = timm.create_model("local-dir:" + folder, pretrained=True, num_classes=0).eval()
with torch.no_grad():
    h = network(((x - mean) / std)[None])
assert "simclr" not in sys.modules
print(json.dumps(h[0].tolist()))
"""


def test_own_photos_from_training_to_use_elsewhere(server: Server, browser: object, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    folder = make_folder(
        tmp_path / "photos", {f"{split}/{name}": 24 for split in ("train", "test") for name in "ab"}, SIDE
    )
    photo = make_folder(tmp_path / "new", {"c": 1}, SIDE) / "c" / "000.png"
    tab = Tab(browser, server.url, "own-photos")
    page = tab.page

    tab.open("/new-run?" + urlencode(RECIPE | {"dataset": str(folder)}))
    expect(page.get_by_test_id("stCode").first).to_contain_text("--backbone resnet18")
    tab.button("Start").click()
    page.wait_for_url(re.compile(r"/run\?id="))
    run_id = tab.finished()
    tab.shot("trained")

    # a photo that the network has never seen falls on both maps
    tab.open(f"/embeddings?left={run_id}&method=pca")
    tab.button("Compute").click()
    expect(page.locator(".emap .panel")).to_have_count(2, timeout=TRAINING_MS)
    page.set_input_files(".st-key-embedding-try input[type=file]", [photo])
    tab.sees("1 · 000.png", TRAINING_MS)
    tab.sees("exactly")
    tab.shot("tried")

    # and wanders while its hue is turned
    page.locator(".st-key-embedding-pull-0 button:visible").first.click()
    slider = page.locator(".emap .tug input")
    expect(slider).to_be_visible(timeout=TRAINING_MS)
    for part in (page.locator(".emap .panel canvas.marks").first, slider):  # the button stands far below both
        expect(part).to_be_in_viewport(ratio=0.9)
    slider.fill("16")
    expect(page.locator(".emap .tug output")).to_have_text("180° of the circle")
    assert all(float(text) > 0 for text in page.locator(".emap .tug .figure b").all_inner_texts())
    tab.shot("tugged")

    # the encoder leaves the page as an archive
    tab.open(f"/run?id={run_id}")
    tab.button("Use").click()
    page.locator(".st-key-export-make button:visible").first.click()
    download = page.locator(".st-key-export-download button:visible").first
    expect(download).to_be_visible(timeout=TRAINING_MS)
    tab.shot("exported")
    with page.expect_download() as taken:
        download.click()
    with zipfile.ZipFile(taken.value.path()) as archive:
        archive.extractall(tmp_path / "taken")
    exported = next((tmp_path / "taken").rglob("model.safetensors")).parent
    tab.has_no_errors()
    tab.context.close()

    # and gives the same features where this package is not
    said = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, str(exported), str(photo)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 0, said.stderr
    h = simclr.load_encoder(runs.find(run_id, server.runs_dir).path).embed([photo])[0]
    np.testing.assert_allclose(json.loads(said.stdout), h, rtol=0, atol=1e-5 * np.abs(h).max())
