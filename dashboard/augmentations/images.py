"""The images of the Augmentations page: of a data set, of a run's batch, or the visitor's own; and which are chosen."""

from __future__ import annotations

import gc
import zlib
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.augmentations import settings
from dashboard.augmentations.settings import MOST_IMAGES, OF_RUN
from dashboard.components import escape
from dashboard.components.view_grid import picker
from dashboard.shared import store, url_state
from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, PretrainConfig
from simclr.views import pictures, sample_images

PICKER = "augmentation-picker"
UPLOADS = "augmentation-uploads"
FIRST_IMAGES = 6


@st.cache_resource(max_entries=4, show_spinner="Reading images")
def load(dataset: str, size: int | None) -> sample_images.SampleImages:
    return sample_images.load(dataset, size=size)


@st.cache_resource(max_entries=1, show_spinner="Reading the run's images")
def training(folder: str, changed: float) -> sample_images.TrainingImages:
    """A run's images; `changed` is the time its options were written."""
    config = runs.load_config(runs.Run(Path(folder)))
    assert isinstance(config, PretrainConfig)
    return sample_images.TrainingImages(config)


@st.cache_resource(max_entries=8, show_spinner=False)
def batch_of(
    folder: str, changed: float, epoch: int, number: int, more: tuple[int, ...]
) -> tuple[sample_images.SampleImages, int, int]:
    """Images of a batch, `more` among them; how many batches there are, and the side of their views in pixels."""
    found = training(folder, changed)
    return found.samples(epoch, min(number, found.num_batches - 1), more), found.num_batches, found.size


def revision(found: sample_images.SampleImages, places: list[int]) -> int:
    """Changes with the pixels of these images."""
    return zlib.crc32(found.images[places].tobytes())


@st.cache_data(max_entries=16, show_spinner=False)
def originals(_found: sample_images.SampleImages, revision: int, places: list[int], size: int) -> str:
    """The images as they are; kept, since a slider changes their views alone."""
    return pictures.originals(_found, places, size)


@st.cache_data(max_entries=16, show_spinner=False)
def strip_sprite(_found: sample_images.SampleImages, revision: int, places: list[int]) -> str:
    """The images side by side, kept as well."""
    return pictures.thumbnail_row(_found, places)


@st.cache_resource(show_spinner=False)
def freeze_torch() -> bool:
    """Takes torch's objects out of the garbage collector's sight, as app.py does with its own; once per process."""
    import torch

    torch.set_num_threads(1)  # views of few small images: more threads only get into each other's way
    gc.collect()
    gc.freeze()
    return True


def datasets(kept: dict[str, Any]) -> list[str]:
    """What can be shown without a download: shipped sets, those downloaded, folders that runs have used, uploads."""
    used = [run.dataset for run in store.get().summaries()[:50]]
    folders = [name for name in used if name not in cfg.DATASETS and name.startswith(("/", "~"))]
    own = [OF_RUN] if kept["run"] else [kept["dataset"]]
    return list(dict.fromkeys([*own, *sample_images.present(), *folders, sample_images.UPLOADED]))


def take_files() -> None:
    """The visitor has added or removed files; another page, which forgets the widget's, does not come here."""
    st.session_state[UPLOADS]["is_new"] = True


def upload() -> sample_images.SampleImages | None:
    """The visitor's own images, which stay in this session and are written nowhere."""
    kept = settings.state()
    held = st.session_state.setdefault(UPLOADS, {"is_new": False, "found": None, "problems": []})
    files = st.file_uploader(
        f"PNG, JPEG or WebP, up to {sample_images.MAX_UPLOAD_MIB} MiB each; they stay in this session",
        type=["png", "jpg", "jpeg", "webp"],
        accept_multiple_files=True,
        key="augmentation-files",
        max_upload_size=sample_images.MAX_UPLOAD_MIB,
        on_change=take_files,
    )
    if held["is_new"]:
        found, problems = sample_images.uploaded([(file.name, file.getvalue()) for file in files])
        held |= {"is_new": False, "found": found, "problems": problems}
        kept |= {"picked": [], "image": None}
        kept["round"] += 1
    for sentence in held["problems"]:
        st.warning(escape.markdown(sentence), icon=":material/broken_image:")
    return held["found"]


def images_of(kept: dict[str, Any]) -> sample_images.SampleImages | None:
    """The images to choose from; None before a visitor has added any.

    Also sets `num_batches`, of how many batches they are one, and `own_size`, the side of their views where none is
    chosen.

    Raises:
        ConfigError: with one sentence, if they are not here or cannot be read.
    """
    if kept["run"]:
        run = store.find(kept["run"])
        if run is None:
            raise ConfigError(f"There is no run {kept['run']} in {store.runs_dir()} any more.")
        wanted = {*kept["picked"], *([] if kept["image"] is None else [kept["image"]])}
        try:
            changed = (run.path / runs.CONFIG).stat().st_mtime
            found, kept["num_batches"], kept["own_size"] = batch_of(
                str(run.path), changed, kept["epoch"], kept["batch"], tuple(sorted(wanted))
            )
        except OSError as error:
            raise ConfigError(f"The images of this run cannot be read: {error.strerror or error}.") from None
        return found
    if kept["dataset"] == sample_images.UPLOADED:
        images = upload()
    else:
        images = load(kept["dataset"], kept["size"] if kept["dataset"] == "shapes" else None)
    kept |= {"num_batches": 1, "own_size": images.side if images else None}
    return images


def picker_key(kept: dict[str, Any]) -> str:
    part = "one" if kept["part"] == "steps" else "many"
    return f"{PICKER}-{part}-{kept['round']}-{kept['run'] or kept['dataset']}"


def take_picks(kept: dict[str, Any]) -> None:
    """Which thumbnails were clicked."""
    told = st.session_state.get(picker_key(kept))
    if told is None or not told["picked"]:
        return
    numbers = [int(number) for number in told["picked"]]
    if kept["part"] == "steps":
        kept["image"] = numbers[-1]
    else:
        kept["picked"] = numbers[:MOST_IMAGES]


def chosen_images(kept: dict[str, Any], found: sample_images.SampleImages) -> list[int]:
    """Numbers of the images to show: those clicked, else of the address, else the first few."""
    known = [number for number in kept["picked"] if found.places([number])]
    if kept.pop("is_asked", False):
        missing = [number for number in kept["picked"] if number not in known]
        if missing:
            instead = "the others" if known else "the first ones"
            url_state.say_instead("images", list(map(str, missing)), "is not here", instead)
        if kept["image"] is not None and not found.places([kept["image"]]):
            url_state.say_instead("image", str(kept["image"]), "is not here", "the first one")
    if not known:
        drawn = kept["show"] and not kept["run"]
        shown = found.draw(kept["show"], FIRST_IMAGES) if drawn else [int(number) for number in found.ids]
        known = shown[:FIRST_IMAGES]
    kept["picked"] = known
    if kept["image"] is None or not found.places([kept["image"]]):
        kept["image"] = known[0]
    return known


def strip(kept: dict[str, Any], found: sample_images.SampleImages, numbers: list[int]) -> None:
    """The images to choose from, in one row."""
    ids = [int(number) for number in found.ids]
    if kept["run"]:
        offered = ids  # in the order of the batch
    else:
        some = found.draw(kept["show"], sample_images.NUM_SHOWN) if kept["show"] else ids[: sample_images.NUM_SHOWN]
        offered = sorted({*some, *numbers, kept["image"]})
    one = kept["part"] == "steps"
    places = found.places(offered)
    sprite = strip_sprite(found, revision(found, places), places)
    items = [{"number": number, "title": found.title(place)} for number, place in zip(offered, places, strict=True)]
    picker(
        {
            "sprite": sprite,
            "items": items,
            "picked": [kept["image"]] if one else numbers,
            "most": 1 if one else MOST_IMAGES,
            "revision": f"{kept['round']}-{one}-{zlib.crc32(sprite.encode())}",
        },
        key=picker_key(kept),
    )
