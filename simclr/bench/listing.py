"""What it costs to list, check, cut and resume a folder of very many images, without decoding them."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from simclr.bench.peak_memory import peak_memory
from simclr.bench.timing import Row

NUM_CLASSES, IMAGES_PER_CLASS = 1000, 1300  # as ImageNet has them
LINKS = 20_000  # to one file, of which file systems allow 32,000 and more
LIMIT = 0.05  # of the images, for `limit_images`


def make_tree(folder: Path, num_classes: int, images_per_class: int) -> None:
    """`train/<class>/*.jpg` below a folder: links to few files, since nothing of them but their ends is read."""
    count = num_classes * images_per_class
    for number in range(-(-count // LINKS)):
        Image.linear_gradient("L").resize((500, 375)).rotate(number).save(folder / f"{number}.jpg")
    for at in range(count):
        place = folder / "tree" / "train" / f"class {at // images_per_class:04}"
        if at % images_per_class == 0:
            place.mkdir(parents=True)
        os.link(folder / f"{at // LINKS}.jpg", place / f"image_{at:08}.jpg")


def loading(tree: str, **options: Any) -> Callable[[], Any]:
    """Reads a folder as a run does that streams its images, up to where the first is decoded."""
    from simclr.data.loading import load_data

    return lambda: load_data(tree, data_dir=f"{tree}-kept", image_size=32, memory_limit=0, **options)


def measure(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """A folder of 1.3 million images: listed, checked, cut and resumed. Processor seconds, and seconds on the clock."""
    yield from measure_size(NUM_CLASSES, IMAGES_PER_CLASS, repeats)


def measure_size(num_classes: int, images_per_class: int, repeats: int) -> Iterator[Row]:
    """The same for another number of images."""
    from simclr.data.folders import folder_layout
    from simclr.data.identity import fingerprint

    count = num_classes * images_per_class
    with tempfile.TemporaryDirectory() as name:
        make_tree(Path(name), num_classes, images_per_class)
        tree = str(Path(name, "tree"))
        first = _seconds(loading(tree))  # it checks each file and keeps what it found
        listed = [_seconds(lambda: folder_layout.read(tree)) for _ in range(repeats)]
        again = [_seconds(loading(tree)) for _ in range(repeats)]
        limited = [_seconds(loading(tree, limit_images=max(num_classes, int(LIMIT * count)))) for _ in range(repeats)]
        data = loading(tree)()
        told = [_seconds(lambda: fingerprint(data)) for _ in range(repeats)]
        what = f"{count:,} images in {num_classes:,} classes"
        for text, found in (
            ("the first time", [first]),
            ("again, or resumed", again),
            ("again, with limit_images", limited),
            ("only listed", listed),
            ("what a run keeps to know them again", told),
        ):
            cpu, wall = (sorted(values) for values in zip(*found, strict=True))
            note = f"{cpu[0]:.1f} to {cpu[-1]:.1f}, n {len(cpu)}; {wall[0]:.1f} to {wall[-1]:.1f} s on the clock"
            yield Row("listing", f"{what}, {text}", cpu[len(cpu) // 2], "CPU-s", repeats=len(cpu), note=note)
        yield Row("listing", f"{what}, peak memory beside torch", peak_memory(loading, tree=tree), "MiB")


def _seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Of the processor, all threads together, and of the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall
