"""Augmentation pairs: two views of some images of a run's first batch, as its options make them.

The only part of a report that loads torch, on the CPU alone.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, PretrainConfig
from simclr.files.user_paths import existing_folder
from simclr.report.subjects import Line, Member
from simclr.results.index import short_dataset

NUM_IMAGES = 6
MOST_SETTINGS = 6  # of augmentations, each drawn once
LARGEST_VIEW = 96  # pixels


def pairs_of(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """For each setting of the augmentations the original images and two views of each, or a sentence why not."""
    found: dict[str, tuple[Member, PretrainConfig, list[str]]] = {}
    problems = []
    for line in lines:
        if line.kind != "pretrain":
            continue
        member = line.members[0]
        try:
            config = runs.load_config(member.run)
        except ConfigError:
            problems.append(f"The options of {line.label} cannot be read, so its views cannot be drawn.")
            continue
        assert isinstance(config, PretrainConfig)
        key = f"{config.augmentation!r} {config.dataset} {config.image_size}"
        found.setdefault(key, (member, config, []))[2].append(line.label)
    shown = list(found.values())
    drawn = [_drawn(member, config, labels) for member, config, labels in shown[:MOST_SETTINGS]]
    if len(shown) > MOST_SETTINGS:
        problems.append(f"Views of {len(shown) - MOST_SETTINGS} more settings are left out.")
    return [*drawn, *({"error": text, "labels": []} for text in problems)]


def _drawn(member: Member, config: PretrainConfig, labels: list[str]) -> dict[str, Any]:
    from simclr.views import pictures, sample_images

    about: dict[str, Any] = {"labels": labels, "dataset": short_dataset(config.dataset), "error": ""}
    about["settings"] = _in_words(config)
    try:
        training = sample_images.TrainingImages(config)
        samples = training.samples(0, 0)
        places = list(range(min(NUM_IMAGES, len(samples.ids))))
        size = training.size
        drawn = pictures.draw_views(
            samples, places, config.augmentation, seed=config.seed, epoch=0, size=min(size, LARGEST_VIEW)
        )
        originals = pictures.originals(samples, places, min(size, LARGEST_VIEW))
    except (ConfigError, OSError, ValueError) as error:
        name = about["dataset"]
        about["error"] = f"No views are drawn: the data set {name} is not on the machine that made this report."
        if config.dataset in sample_images.present(config.data_dir) or existing_folder(config.dataset):
            about["error"] = f"No views are drawn, since {name} cannot be read: {' '.join(str(error).split())[:300]}"
        return about
    numbers = [int(samples.ids[place]) for place in places]
    side = min(size, LARGEST_VIEW)
    plain, views = _tiles(originals, side), _tiles(drawn["sprite"], side)
    images = [
        {
            "title": row["title"],
            "original": plain[place][0],
            "views": views[place],
            "words": [_words(view) for view in row["words"]],
        }
        for place, row in enumerate(drawn["rows"])
    ]
    return about | {"images": images, "numbers": numbers, "own_size": size}


def _tiles(sprite: str, side: int) -> list[list[str]]:
    """The rows of a sprite of square tiles, each tile as an address of its own."""
    picture = Image.open(io.BytesIO(base64.b64decode(sprite.partition(",")[2]))).convert("RGB")
    found = []
    for top in range(0, picture.height, side):
        row = []
        for left in range(0, picture.width, side):
            stream = io.BytesIO()
            picture.crop((left, top, left + side, top + side)).save(stream, "webp", quality=92)
            row.append("data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode())
        found.append(row)
    return found


def _words(view: Sequence[Sequence[str]]) -> str:
    return ", ".join(" ".join(part for part in pair if part) for pair in view)


def _in_words(config: PretrainConfig) -> list[list[str]]:
    """The options of the augmentations that are drawn at all, with their values."""
    values = config.augmentation.model_dump(mode="json")
    policy = config.augmentation.policy
    return [
        [name, cfg.option_text(value)]
        for name, value in values.items()
        if value is not None and (policy == "randaugment" or not name.startswith("randaugment_"))
    ]
