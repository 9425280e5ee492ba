"""MixUp and CutMix on the Augmentations page: a batch of views mixed with itself, each with its target in words."""

from __future__ import annotations

import zlib
from typing import Any

import streamlit as st

from dashboard.augmentations import settings
from dashboard.components.view_grid import view_grid
from dashboard.shared import url_state
from simclr.config import Augmentation, FinetuneConfig
from simclr.views import pictures, sample_images

WAYS = {"mixup_alpha": "MixUp", "cutmix_alpha": "CutMix"}
LOWEST, HIGHEST = 0.05, 4.0  # of a slider


def draw_mixed(
    found: sample_images.SampleImages,
    places: list[int],
    augmentation: Augmentation,
    alphas: dict[str, float],
    *,
    seed: int,
    epoch: int,
    size: int,
) -> dict[str, Any]:
    """Views of images, one of each, and the same as one batch mixed by MixUp and by CutMix.

    Args:
        places: which of the images, in the order of the batch.
        alphas: of both, by the option's name.
        seed, epoch: of a training; weight and box are those of its step `epoch`, the first being 0.
        size: side of a view in pixels.
    """
    import torch

    from simclr.objectives import mixing
    from simclr.views import augment

    mixes = []
    for option in WAYS:
        only = {name: alphas[name] if name == option else 0.0 for name in WAYS}
        mix = mixing.draw_mix(**only, probability=1.0, seed=seed, step=epoch, height=size, width=size)
        assert mix is not None
        mixes.append(mix)
    with torch.inference_mode():
        chosen, ids = torch.from_numpy(found.images[places]), torch.from_numpy(found.ids[places])
        views = augment.random_view(chosen, ids, augmentation, seed=seed, epoch=epoch, view=0, size=size)
        partners = mixing.partners_of(views)
        tiles = torch.stack([mixing.mix_images(views, partners, mix) for mix in mixes], dim=1)
        sheet, plain = pictures.sprite_sheet(tiles), pictures.sprite_sheet(views[:, None])
    rows = []
    for number, place in enumerate(places):
        titles = [found.title(place), found.title(places[number - 1])]
        names = [found.names[place], found.names[places[number - 1]]]
        words = [target_in_words(names if all(names) else titles, mix.weight) for mix in mixes]
        rows.append({"title": titles[0], "boxes": [None, None], "words": words})
    return {
        "sprite": pictures.png_address(sheet),
        "originals": pictures.png_address(plain),
        "names": list(WAYS.values()),
        "rows": rows,
        "revision": f"{zlib.crc32(sheet.data)}-{zlib.crc32(plain.data)}-{rows}",
    }


def target_in_words(names: list[str], weight: float) -> list[list[str]]:
    """The classes of a target with their shares, the image's own first: star 62 %, ring 38 %."""
    shares: dict[str, float] = {}
    for name, share in zip(names, (weight, 1.0 - weight), strict=True):
        shares[name] = shares.get(name, 0.0) + share
    return [[name, f"{100 * share:.0f} %"] for name, share in shares.items()]


def _alphas(kept: dict[str, Any]) -> dict[str, float]:
    for column, (option, title) in zip(st.columns(2, gap="medium"), WAYS.items(), strict=True):
        low, high = min(LOWEST, kept[option]), max(HIGHEST, kept[option])
        own = url_state.start(settings.widget(option), float(kept[option]))
        about = FinetuneConfig.model_fields[option].description
        value = column.slider(f"{title} alpha", low, high, step=0.05, help=about, **own)
        if abs(value - kept[option]) > 0.026:  # a slider rounds
            kept[option] = round(value, 4)
    return {option: kept[option] for option in WAYS}


def section(kept: dict[str, Any], found: sample_images.SampleImages, numbers: list[int]) -> None:
    """Two strengths, and the chosen images as one batch."""
    alphas = _alphas(kept)
    if len(numbers) < 2:
        st.info("The images of a batch are mixed with each other: add at least one more.", icon=":material/info:")
        return
    how = {"seed": kept["seed"], "epoch": kept["epoch"], "size": kept["size"] or kept["own_size"]}
    drawn = draw_mixed(found, found.places(numbers), Augmentation(**kept["values"]), alphas, **how)
    view_grid("views", drawn, key="augmentation-mixed")
    st.caption(
        "For training with labels: each view is mixed with the one before it, the first with the last, and the target "
        "takes both classes by their share. MixUp blends all pixels, CutMix takes a box. One weight holds for a batch; "
        f"these are the weights and the box that step {kept['epoch'] + 1} of a training with seed {kept['seed']} draws."
    )
