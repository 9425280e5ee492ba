"""A data set with corrupted images as a folder: the target of an adaptation, which `--dataset` takes like any other."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from PIL import Image

from simclr.config import ConfigError, not_written
from simclr.data.loading import load_data
from simclr.files.names import readable
from simclr.runs.status import Report, no_report
from simclr.views.corruptions import corrupt

CHUNK = 256  # images at a time


def write_corrupted_set(
    dataset: str,
    corruption: str,
    severity: int,
    folder: Path,
    *,
    seed: int = 0,
    data_dir: str | None = None,
    limit_images: int | None = None,
    report: Report = no_report,
) -> int:
    """Writes the training and test images of a data set, corrupted, as PNG files: `train/<class>/0000017.png`.

    Args:
        dataset: a name or a folder, with classes. Images of a folder are written at the side at which they are kept.
        corruption, severity, seed: of `corruptions.corrupt`. Training and test images have noise of their own.
        folder: that is made; it must not exist, or be empty.
        data_dir, limit_images: as of `load_data`.

    Returns:
        The number of images.

    Raises:
        ConfigError: if the data set cannot be read or has no classes, or the folder is there or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"out is {readable(str(folder))}, which is there already; allowed: a new or an empty folder.")
    data = load_data(
        dataset, data_dir=data_dir, limit_images=limit_images, val_fraction=0.0, labelled_only=True, progress=report
    )
    if data.classes is None or data.test is None:
        raise ConfigError(f"dataset is {dataset}, which has no classes or no test images; allowed: one that has both.")
    names = [name.replace("/", "_") for name in data.classes]
    splits = {name: split for name, split in data.splits.items() if split.labels is not None}
    total, done = sum(split.num_images for split in splits.values()), 0
    scratch: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder.parent))
        for number, (split_name, split) in enumerate(splits.items()):
            for name in names:
                (scratch / split_name / name).mkdir(parents=True)
            assert split.labels is not None
            ids, labels = split.ids.cpu(), split.labels.tolist()
            start = 0
            for images in split.batches(CHUNK):
                here = ids[start : start + len(images)]
                changed = corrupt(images.cpu(), corruption, severity, here, seed + number)
                for row, pixels in enumerate(changed.permute(0, 2, 3, 1).numpy()):
                    path = scratch / split_name / names[labels[start + row]] / f"{int(here[row]):07d}.png"
                    Image.fromarray(pixels).save(path)
                start += len(images)
                done += len(images)
                report("writing images", done / total)
        scratch.chmod(0o755)
        if folder.is_dir():
            folder.rmdir()
        scratch.rename(folder)
    except OSError as error:
        raise not_written(f"out is {readable(str(folder))}, which cannot be written", error) from None
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    return total
