"""Takes the pictures of the documents anew, from real runs: `make pictures`, some ten minutes on a machine at rest.

    python tests/browser/pictures.py [--images FOLDER] [--group_runs FOLDER]

--images: CIFAR-10 as train and test folders of images per class, for the pictures that show some; without it they stay.
--group_runs: a runs folder with a finished sweep such as `augmentation-grid`, which takes half an hour: too long to be
run here. Its newest finished group is copied and taken as the page Experiments shows it; without it that one stays.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/helpers")]

from chromium import opened  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import expect  # noqa: E402
from server import PHONE, Server, Tab  # noqa: E402

from simclr import runs  # noqa: E402
from simclr.results import groups  # noqa: E402
from simclr.results.groups import Group  # noqa: E402
from simclr.results.index import RunIndex  # noqa: E402

PICTURES = ROOT / "dashboard" / "screenshots"
JOB_MS, RUN_MS = 600_000, 900_000
LARGE = 150_000  # bytes


def keep(page: Any, name: str, height: int | None = None, clip: dict[str, float] | None = None) -> None:
    """Saves what is seen, or a part of it; a large picture in 256 colours."""
    if height:
        page.set_viewport_size({"width": page.viewport_size["width"], "height": height})
    page.mouse.move(page.viewport_size["width"] - 5, 5)  # points at nothing
    page.wait_for_timeout(2500)
    file = PICTURES / f"{name}.png"
    page.screenshot(path=file, clip=clip)
    with Image.open(file) as picture:
        colors = picture.convert("RGB")
    colors.save(file, optimize=True)
    if file.stat().st_size > LARGE:
        colors.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    print(file.name, file.stat().st_size, flush=True)


def example(folder: Path, name: str) -> str:
    """The id of the shipped run of this name."""
    return next(run.id for path in sorted(folder.iterdir()) if (run := runs.Run(path)).name == name)


def computed(tab: Tab) -> None:
    """Waits until the maps of the page are there; they are computed if they are not."""
    start = tab.page.locator(".st-key-embedding-compute button")
    tab.page.wait_for_timeout(3000)
    if start.count():
        start.first.click()
    expect(tab.page.get_by_text("Between the two").first).to_be_visible(timeout=JOB_MS)
    expect(tab.page.get_by_text("Shown meanwhile")).to_have_count(0, timeout=JOB_MS)


def training(tab: Tab, server: Server) -> list[str]:
    """Starts the recipe `quick` with three seeds, one after the other; takes the first while it trains."""
    made = []
    for seed in range(3):
        tab.open("/new-run?kind=pretrain&recipe=quick")
        tab.fill("Name", f"Quick, seed {seed}")
        tab.fill("Seed", str(seed))
        tab.page.wait_for_timeout(1500)
        tab.button("Start").click()
        tab.page.wait_for_url(re.compile(r"/run\?id="))
        if not seed:
            tab.page.set_viewport_size({"width": 1440, "height": 1250})
            expect(tab.page.get_by_text(re.compile("^1[0-2] of 20$")).first).to_be_visible(timeout=RUN_MS)
            keep(tab.page, "run")
        expect(tab.page.get_by_text("Finished", exact=True).first).to_be_visible(timeout=RUN_MS)
        made.append(re.search(r"id=([\w-]+)", tab.page.url)[1])  # type: ignore[index]
    return made


def take(tab: Tab, server: Server, images: Path | None) -> None:
    page = tab.page
    examples = server.runs_dir / runs.EXAMPLES
    cifar = example(examples, "SimCLR, photos, seed 0")
    made = training(tab, server)
    tab.open(f"/run?id={made[0]}&epoch=2")
    page.set_viewport_size({"width": 1440, "height": 3200})
    expect(page.get_by_text("Alignment and uniformity").first).to_be_visible()
    page.wait_for_timeout(3000)
    top = page.get_by_role("tab", name="Health", exact=True).bounding_box()
    end = page.get_by_text(re.compile("^Measured on")).first.bounding_box()
    box = {"x": top["x"] - 24, "y": top["y"] - 4, "width": 1160, "height": end["y"] + end["height"] - top["y"] + 20}
    keep(page, "health", clip=box)
    page.set_viewport_size({"width": 1440, "height": 900})
    tab.open(f"/curves?runs={','.join(made)}&metric=loss&metric=knn_top1&metric=top1&metric=effective_rank")
    tab.charts_are_drawn()
    keep(page, "curves", 1384)
    tab.open(f"/embeddings?left={example(examples, 'SimCLR, shapes')}&method=umap&images=2000&image=1336&color=class")
    computed(tab)
    keep(page, "embeddings", 1630)
    tab.open("/augmentations?dataset=shapes")
    expect(page.get_by_role("img", name=re.compile("^View 1 of")).first).to_be_visible()
    keep(page, "augmentations", 1000)
    tab.open(f"/results?experiment={cifar}")
    tab.charts_are_drawn()
    page.set_viewport_size({"width": 1280, "height": 1022})
    keep(page, "results")
    page.set_viewport_size({"width": 1440, "height": 1340})
    if images is None:
        return
    tab.open(
        f"/augmentations?dataset={images}&preset=quick&seed=0&part=encoder&show=batch&batch_of=32&layer=z"
        f"&encoder={cifar}&temperature=0.1"
    )
    pair = page.get_by_role("button", name=re.compile("false negative|hard negative")).first
    expect(pair).to_be_visible(timeout=JOB_MS)
    pair.click()
    keep(page, "encoder")


def own_photos(images: Path, home: Path) -> Path:
    """Lays some of the images into HOME/photos, as somebody has a folder; returns one more, which is not among them."""
    for split, number in (("train", 400), ("test", 100)):
        for place in sorted((images / split).iterdir()):
            (home / "photos" / split / place.name).mkdir(parents=True)
            for file in sorted(place.iterdir())[:number]:
                shutil.copy(file, home / "photos" / split / place.name)
    return Path(shutil.copy(sorted((images / "test" / "ship").iterdir())[number], home / "my-ship.jpg"))


def take_own(browser: Any, tab: Tab, server: Server, images: Path) -> None:
    """Photographs of one's own: read, trained on, one more tried and tugged, the encoder exported."""
    page, photo = tab.page, own_photos(images, server.folder)
    recipe = {"kind": "pretrain", "recipe": "photos", "dataset": "~/photos", "epochs": 10, "name": "My photos"}
    page.set_viewport_size({"width": 1440, "height": 900})
    tab.open("/new-run?" + urlencode(recipe))
    expect(page.get_by_test_id("stMetric").first).to_be_visible(timeout=JOB_MS)  # it is measured by itself
    keep(page, "own-folder", clip={"x": 0, "y": 0, "width": 1440, "height": 820})
    tab.button("Start").click()
    page.wait_for_url(re.compile(r"/run\?id="))
    expect(page.get_by_text("Finished", exact=True).first).to_be_visible(timeout=RUN_MS)
    run_id = re.search(r"id=([\w-]+)", page.url)[1]  # type: ignore[index]
    subprocess.run(
        [
            *(sys.executable, "-m", "simclr", "finetune", "--config", "photos-scratch", "--experiment_version", run_id),
            *("--label_fraction", "0.1", "--images_per_epoch", "4000", "--dataset", "~/photos"),
            *("--runs_dir", str(server.runs_dir)),
        ],
        cwd=ROOT,
        env=os.environ | {"HOME": str(server.folder)},
        check=True,
    )
    scratch = next(path.name for path in server.runs_dir.iterdir() if "-scratch-" in path.name)
    tab.open("/embeddings?" + urlencode({"left": run_id, "right": scratch, "method": "umap"}))
    computed(tab)
    page.set_input_files(".st-key-embedding-try input[type=file]", [photo])
    expect(page.get_by_text("1 · my-ship.jpg")).to_be_visible(timeout=JOB_MS)
    keep(page, "own-tried", 1700)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.locator(".st-key-embedding-pull-0 button:visible").first.click()
    slider = page.locator(".emap .tug input")
    expect(slider).to_be_visible(timeout=JOB_MS)
    slider.fill("16")
    keep(page, "own-tugged")
    take_phone(browser, server)
    page.set_viewport_size({"width": 1440, "height": 900})
    tab.open(f"/run?id={run_id}")
    tab.button("Use").click()
    page.get_by_text("Both", exact=True).click()
    page.locator(".st-key-export-make button:visible").first.click()
    expect(page.locator(".st-key-export-download button:visible").first).to_be_visible(timeout=JOB_MS)
    keep(page, "own-exported", clip={"x": 0, "y": 0, "width": 1440, "height": 620})


def take_phone(browser: Any, server: Server) -> None:
    """An image of the shipped shapes, tugged on a phone."""
    examples = server.runs_dir / runs.EXAMPLES
    left, right = example(examples, "SimCLR, shapes"), example(examples, "From scratch, 1 % of labels")
    tab = Tab(browser, server.url, "pictures-phone", size=PHONE, has_touch=True, color_scheme="dark")
    tab.open("/embeddings?" + urlencode({"left": left, "right": right, "method": "pca", "image": 12, "tug": "hue~16"}))
    expect(tab.page.locator(".emap .tug output")).to_be_visible(timeout=JOB_MS)
    tab.page.locator(".emap .panels").evaluate("node => node.scrollIntoView()")
    keep(tab.page, "own-phone")
    tab.has_no_errors()
    tab.context.close()


def finished_group(folder: Path) -> Group:
    """The newest group of a runs folder whose runs are all finished."""
    for group in groups.groups(RunIndex(folder).summaries(max_age=0)):
        if group.count("finished") == len(group.members):
            return group
    raise SystemExit(f"--group_runs is {folder}; allowed: a runs folder with a group whose runs are all finished.")


def take_group(tab: Tab, server: Server, folder: Path, group: Group) -> None:
    """A copy of a finished group, as the page Experiments shows it."""
    for item in group.members:
        shutil.copytree(folder / item.id, server.runs_dir / item.id)
    page = tab.page
    page.set_viewport_size({"width": 1440, "height": 700})
    tab.open(f"/experiments?group={group.id}")
    expect(page.get_by_text(f"{len(group.members)} of {len(group.members)} runs finished")).to_be_visible()
    page.wait_for_timeout(10_000)  # until the views of the operations are drawn, which loads torch, and asked for anew
    keep(page, "experiments")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=Path)
    parser.add_argument("--group_runs", type=Path)
    parser.add_argument("--only_group", action="store_true", help="That picture alone, in a minute.")
    parser.add_argument("--only_own", action="store_true", help="Those of a folder of one's own alone, in six minutes.")
    options = parser.parse_args()
    images = options.images and options.images.resolve()
    group = options.group_runs and finished_group(options.group_runs)
    if options.only_group and group is None:
        parser.error("--only_group is set and --group_runs is not")
    if options.only_own and images is None:
        parser.error("--only_own is set and --images is not")
    with tempfile.TemporaryDirectory() as folder, opened() as browser:
        server = Server(Path(folder))
        shutil.copytree(ROOT / "runs" / runs.EXAMPLES, server.runs_dir / runs.EXAMPLES)
        server.start()
        try:
            tab = Tab(browser, server.url, "pictures")
            tab.page.set_default_timeout(60_000)
            start = time.monotonic()
            if not options.only_group and not options.only_own:
                take(tab, server, images)
            if images is not None and not options.only_group:
                take_own(browser, tab, server, images)
            if group is not None and not options.only_own:
                take_group(tab, server, options.group_runs, group)
            tab.has_no_errors()
            print(f"{time.monotonic() - start:.0f} s")
        finally:
            server.kill()


if __name__ == "__main__":
    main()
