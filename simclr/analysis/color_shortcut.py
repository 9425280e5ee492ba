"""The colour shortcut: how far a histogram alone tells which two views are of one image. Imports no streamlit.

Chen et al. 2020, section 3.1 and figure 6: crops of one image share their distribution of colours, so a network can
match them without looking at anything else; colour distortion takes that away.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.config import Augmentation
from simclr.views.pictures import png_address, sprite_sheet
from simclr.views.sample_images import SampleImages

NUM_BINS = 16  # of each colour
NUM_IMAGES = 64  # among which a partner is looked for
LARGEST_SIDE = 64  # pixels at which views are drawn: their colours do not depend on it
ARMS = ("Crops alone", "With colour jitter and grey")

Array = NDArray[np.float32]


def histograms(views: NDArray[np.floating[Any]]) -> Array:
    """(N, 3, H, W) in 0..1 to (N, 3, 16): the share of pixels in each sixteenth of red, green and blue."""
    num, channels, height, width = views.shape
    bins = np.minimum((views * NUM_BINS).astype(np.int64), NUM_BINS - 1).reshape(num * channels, height * width)
    bins += NUM_BINS * np.arange(num * channels)[:, None]
    counts = np.bincount(bins.ravel(), minlength=num * channels * NUM_BINS)
    return (counts / (height * width)).astype(np.float32).reshape(num, channels, NUM_BINS)


def intersections(first: Array, second: Array) -> Array:
    """(N, N): what each histogram of `first` and each of `second` have in common, 0..1 (Swain and Ballard 1991)."""
    return np.minimum(first[:, None], second[None]).sum(axis=3).mean(axis=2)


def top1(similarity: Array) -> float:
    """Share of views, 0..1, whose most similar candidate is their partner; chance is 1 / N.

    Args:
        similarity: (N, N), first views by second views, partners on the diagonal. Each first view looks among all
            second ones and each second among all first. Where K are equally similar, the partner counts as 1 / K.
    """
    found = 0.0
    for rows in (similarity, similarity.T):
        best = rows == rows.max(axis=1, keepdims=True)
        found += float((np.diagonal(best) / best.sum(axis=1)).mean()) / 2
    return found


def check(
    samples: SampleImages,
    places: list[int],
    shown: int,
    augmentation: Augmentation,
    *,
    seed: int,
    epoch: int,
    size: int,
) -> dict[str, Any]:
    """Draws two crops of each image, without and with the colour operations, and compares their histograms.

    Crops and mirroring are the same both times; a policy is one of the colour operations here. Blur, which leaves
    colours as they are, is left out.

    Args:
        places: the sample images, up to `NUM_IMAGES`; the first `shown` of them are described one by one.
        seed, epoch: as a training's.
        size: side of a view in pixels.

    Returns:
        `top1` of both arms, `chance`, `num_images`; `sprite` (a row of four tiles for each image shown: two crops
        without colour operations, two with), `rows` (title and, for both arms, histograms of both views in per
        mille, similarity of the pair, the most similar other image with its similarity), `revision`.
    """
    import torch

    from simclr.views import augment

    colourless: dict[str, Any] = {"jitter_probability": 0.0, "grayscale_probability": 0.0, "blur_probability": 0.0}
    colourless["policy"] = None  # most of its operations change colours
    settings = (augmentation.model_copy(update=colourless), augmentation.model_copy(update={"blur_probability": 0.0}))
    size = min(size, LARGEST_SIDE)
    tiles, arms = [], []
    with torch.inference_mode():
        images, ids = torch.from_numpy(samples.images[places]), torch.from_numpy(samples.ids[places])
        for setting in settings:
            views = augment.two_views(images, ids, setting, seed=seed, epoch=epoch, size=size)
            tiles += [view[:shown] for view in views]
            pair = [histograms(view.numpy()) for view in views]
            arms.append((pair, intersections(*pair)))
        pictures = sprite_sheet(torch.stack(tiles, dim=1))
    titles = [samples.title(place) for place in places]
    rows = [
        {"title": titles[row], "arms": [_described(pair, similarity, row, titles) for pair, similarity in arms]}
        for row in range(shown)
    ]
    found = [top1(similarity) for _, similarity in arms]
    return {
        "top1": found,
        "chance": 1 / len(places),
        "num_images": len(places),
        "sprite": png_address(pictures),
        "rows": rows,
        "revision": f"{zlib.crc32(pictures.data)}-{found}-{titles}",
    }


def _described(pair: list[Array], similarity: Array, row: int, titles: list[str]) -> dict[str, Any]:
    others = similarity[row].copy()
    others[row] = -1.0
    rival = int(others.argmax())
    return {
        "histograms": [(1000 * view[row]).round().astype(int).tolist() for view in pair],
        "partner": round(float(similarity[row, row]), 3),
        "rival": [titles[rival], round(float(others[rival]), 3)] if len(titles) > 1 else None,
    }
