"""How quickly images are read from files, and what large photographs cost."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from simclr.bench.augmentation import SIDE, photos
from simclr.bench.timing import Row, speedup, take_turns
from simclr.config import Augmentation

PHOTO_SIDES = (640, 2048, 3456)  # pixels; the last is of 12 million
KEPT_SIDES = (48, 144, 336)  # at which images are kept that are seen at 32, 96 and 224
PHOTOS = 4  # that are decoded in a turn


def measure(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """Images per second from JPEG files: decoded once into memory, and streamed by reading processes."""
    from PIL import Image

    from simclr.data.loading import load_data
    from simclr.training.datamodule import PretrainData

    for side, count in ((SIDE, 4096), (256, 512)):
        with tempfile.TemporaryDirectory() as folder:
            for number, image in enumerate(photos(count, side)):
                path = Path(folder, "images", f"{number % 2}", f"{number}.jpg")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, quality=90)
            os.environ["SIMCLR_DATA_DIR"] = str(Path(folder, "cache"))
            for name, limit, workers in (
                ("in memory", None, 0),
                ("streamed, 0 readers", 0, 0),
                ("streamed, 2 readers", 0, 2),
            ):
                start = time.perf_counter()
                data = load_data(
                    str(Path(folder, "images")), image_size=min(side, 128), val_fraction=0, memory_limit=limit
                )
                loaded = time.perf_counter() - start
                loader = PretrainData(
                    data, Augmentation(), batch_size=128, seed=0, size=min(side, 128), num_workers=workers
                )
                batches = loader.train_dataloader()
                for _ in batches:  # readers start once
                    pass
                start = time.perf_counter()
                seen = sum(len(batch if isinstance(batch, Tensor) else batch[0]) for batch in batches)
                seconds = time.perf_counter() - start
                rate = data.train.num_images / loaded if limit is None else seen / seconds
                what = f"JPEG files of {side} px, {name}" + (" (decoded once)" if limit is None else "")
                yield Row("reading", what, rate, "images/s")
    yield from _large_photos(repeats)


def _large_photos(repeats: int) -> Iterator[Row]:
    """JPEG files decoded at a reduced size by the decoder itself, beside decoding all of them and resizing."""
    from PIL import Image

    from simclr.data.folders.decoding import decode_image, pixels_of

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for photo in PHOTO_SIDES:
            names = [f"{photo}-{number}.jpg" for number in range(PHOTOS)]
            for path, image in zip(names, photos(PHOTOS, photo), strict=True):
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / path, quality=90)
            for side in KEPT_SIDES:

                def reduced(names: list[str] = names, side: int = side) -> None:
                    for path in names:
                        decode_image(folder, path, side)

                def whole(names: list[str] = names, side: int = side) -> None:
                    for path in names:
                        with Image.open(folder / path) as image:
                            pixels_of(image, side)

                seconds = take_turns({"own": reduced, "whole": whole}, repeats)
                yield Row(
                    "reading",
                    f"a JPEG file of {photo:,} px, decoded to {side}",
                    1e3 * min(seconds["own"]) / PHOTOS,
                    "CPU-ms",
                    "decoded whole",
                    **speedup(seconds["own"], seconds["whole"]),
                    repeats=repeats,
                )
