"""How well an encoder tells copies: training images are changed, put among the test images, and looked for.

Torch is imported inside the functions.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simclr.embeddings import networks, references
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import SelectedImages
from simclr.evaluation.leaks import nearest
from simclr.runs.status import Report, no_report

if TYPE_CHECKING:
    from torch import Tensor

    from simclr.evaluation.leaks.search import CheckedImages

# By operation the strengths, weakest first. crop: the share of the side that is kept. brightness: by how much it is
# multiplied, up or down. jpeg: the quality of Pillow's encoder. hue: the part of the colour circle.
STRENGTHS: dict[str, tuple[float, ...]] = {
    "crop": (0.95, 0.9, 0.8, 0.6),
    "brightness": (1.1, 1.25, 1.5),
    "jpeg": (90, 75, 50, 25),
    "hue": (0.1, 0.5),
}
NUM_PLANTED = 300


@dataclass(frozen=True)
class Found:
    """What was found of copies that one change made, at one share of the median.

    recall: of the copies. origin: of those found, the share whose nearest training image is the one that was changed;
    None where none was found. precision: of all test images found, with the copies among them, the share that are
    copies; None where nothing was found at all.
    """

    operation: str
    strength: float
    share: float
    recall: float
    origin: float | None
    precision: float | None


@dataclass(frozen=True)
class Trial:
    """One draw. found: of each change. false_alarms: by share of the median, of the test images as they are."""

    model: str
    seed: int
    num_planted: int
    num_test: int
    num_train: int
    found: tuple[Found, ...]
    false_alarms: dict[float, float]


def change(images: NDArray[np.uint8], operation: str, strength: float, seed: int) -> NDArray[np.uint8]:
    """Images (N, 3, S, S) changed, at the same size; where, and whether brighter or darker, is drawn by `seed`."""
    import torch

    from simclr.views import augment, color, resampling

    count, _, side, _ = images.shape
    random = np.random.default_rng([seed, int(1000 * strength)])
    if operation == "jpeg":
        return np.stack([_as_jpeg(image, int(strength)) for image in images])
    x = augment.to_float(torch.from_numpy(images))
    if operation == "crop":
        kept = max(1, round(strength * side))
        corners = random.integers(0, side - kept + 1, size=(count, 2))
        boxes = [x[row, :, top : top + kept, left : left + kept] for row, (top, left) in enumerate(corners)]
        x = resampling.resize(torch.stack(boxes), side)
    elif operation == "brightness":
        factor = np.where(random.random(count) < 0.5, strength, 1 / strength)
        x = color.adjust_brightness(x, torch.from_numpy(factor).float())
    elif operation == "hue":
        x = color.adjust_hue(x, torch.full((count,), float(strength)))
    else:
        raise ValueError(f"operation is {operation}; allowed: {', '.join(STRENGTHS)}")
    return augment.to_bytes(x).numpy()


def _images_at(images: CheckedImages, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(n, 3, S, S): training images by their indices in all training splits one after the other."""
    places = [images.training_place(index) for index in indices.tolist()]
    return np.stack([split.images_at([position]).cpu().numpy()[0] for split, position in places])


def _as_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as opened:
        return np.asarray(opened.convert("RGB")).transpose(2, 0, 1)


def measure(
    model: EncoderRef,
    images: CheckedImages,
    seeds: Sequence[int] = (0,),
    num_planted: int = NUM_PLANTED,
    shares: Sequence[float] = (nearest.SHARE,),
    report: Report = no_report,
) -> Iterator[Trial]:
    """Plants copies of training images among the test images, and looks for them; one trial for each seed.

    Raises:
        ConfigError: if the encoder has no weights, or they are not those of its network.
    """
    import torch

    from simclr.data.splits import Split

    with references.open_weights(model) as weights:

        def features_of(split: Split, what: str) -> Tensor:
            chosen = SelectedImages(split, [], None)
            found, _ = networks.features_of(model, weights, chosen, lambda share: report(what, share))
            return nearest.unit_rows(torch.from_numpy(found))

        bank = torch.cat([features_of(split, f"Features of the {split.name} images") for split in images.training])
        test = features_of(images.test, "Features of the test images")
        clean = nearest.nearest(test, bank)
        inside = nearest.median_within(bank)
        for seed in seeds:
            chosen = np.sort(np.random.default_rng([seed, len(bank)]).permutation(len(bank))[:num_planted])
            originals = _images_at(images, chosen)
            found: list[Found] = []
            for operation, strengths in STRENGTHS.items():
                for strength in strengths:
                    changed = torch.from_numpy(change(originals, operation, strength, seed))
                    planted = Split("planted", torch.arange(len(changed)), None, changed)
                    close = nearest.nearest(features_of(planted, f"{operation} {strength:g}"), bank)
                    together = np.concatenate([clean.distances, close.distances])
                    median = max(float(np.median(together)), inside)
                    for share in shares:
                        hits = nearest.is_near(close.distances, median, share)
                        alarms = nearest.is_near(clean.distances, median, share).sum()
                        num_hits = int(hits.sum())
                        found.append(
                            Found(
                                operation,
                                strength,
                                share,
                                float(hits.mean()),
                                float((close.indices == chosen)[hits].mean()) if num_hits else None,
                                num_hits / (num_hits + int(alarms)) if num_hits + alarms else None,
                            )
                        )
            median = max(float(np.median(clean.distances)), inside)
            alarms_by_share = {share: float(nearest.is_near(clean.distances, median, share).mean()) for share in shares}
            yield Trial(model.name, seed, num_planted, len(test), len(bank), tuple(found), alarms_by_share)
