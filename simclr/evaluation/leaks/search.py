"""Looks for copies among the test images, from features and pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simclr.config import DATASETS
from simclr.data.folders import folder_layout
from simclr.data.splits import ImageData, Split
from simclr.evaluation.leaks import nearest, record
from simclr.evaluation.leaks.record import Leaks, Pair
from simclr.runs.status import Report, no_report
from simclr.views import thumbnails

SHOWN_SIDE = 96  # pixels of an image that is kept, at most
SEARCHING = "comparing test images with training images"


@dataclass(frozen=True)
class CheckedImages:
    """test: the images that are looked at. training: those that they are compared with, also the validation images."""

    data: ImageData
    test: Split
    training: tuple[Split, ...]

    def training_place(self, index: int) -> tuple[Split, int]:
        """The split of an image, by its index in all training splits one after the other, and its position there."""
        for split in self.training:
            if index < split.num_images:
                return split, index
            index -= split.num_images
        raise IndexError(index)


def checked_images(data: ImageData) -> CheckedImages | None:
    """The test images of a data set and what they are compared with; None where it has no test images."""
    training = tuple(part for part in (data.train, data.val) if part is not None)
    return None if data.test is None else CheckedImages(data, data.test, training)


def find_copies(
    images: CheckedImages,
    features: Sequence[Tensor],
    *,
    model: str = "weights",
    weights: str = "",
    right: Mapping[str, NDArray[np.bool_]] | None = None,
    used: Tensor | None = None,
    known: Tensor | None = None,
    report: Report = no_report,
) -> tuple[Leaks, NDArray[np.uint8]]:
    """What there is of copies, and the images of the first pairs, as `record.write` takes them.

    Args:
        features: (N, D) of the test images, and of each of the training splits, in their order.
        model, weights: as in `Leaks`.
        right: by protocol, (num_test,) whether each test image is classified as what it is.
        used: ids of the training images whose labels a supervised run uses; None: it is no supervised run.
        known: (num_test,) the nearest image of the first training split to each test image, where kNN has found it.
    """
    test, *training = (nearest.unit_rows(part) for part in features)
    bank = torch.cat(training)
    if known is None:
        closest = nearest.nearest(test, bank, progress=partial(report, SEARCHING))
    else:
        closest = nearest.of_known(test, training[0], known)
        if len(training) > 1:
            others = nearest.nearest(test, torch.cat(training[1:]), progress=partial(report, SEARCHING))
            closest = nearest.nearer(closest, others, len(training[0]))
    medians = nearest.Medians(float(np.median(closest.distances)), nearest.median_within(bank))
    report("comparing pixels", 0.0)
    train_hashes = [value for split in images.training for value in nearest.pixel_hashes(split.batches())]
    exact = nearest.same_pixels(nearest.pixel_hashes(images.test.batches()), train_hashes)

    is_exact = exact >= 0
    is_copy = is_exact | nearest.is_near(closest.distances, medians.counted)
    indices = np.where(is_exact, exact, closest.indices)
    distances = np.where(is_exact, 0.0, closest.distances / max(medians.counted, nearest.SMALLEST_MEDIAN))
    rows = np.flatnonzero(is_copy)
    rows = rows[np.lexsort((rows, distances[rows], ~is_exact[rows]))]
    kept = rows[: record.MOST_PAIRS]

    name_of = _names(images.data)
    pairs, tiles = [], []
    side = min(SHOWN_SIDE, images.test.image_size)
    for number, row in enumerate(kept.tolist()):
        split, position = images.training_place(int(indices[row]))
        both = torch.cat([images.test.images_at([row]), split.images_at([position])]).cpu()  # (2, 3, S, S)
        luma, color = nearest.pixel_difference(*both.numpy())
        test_id, train_id = int(images.test.ids[row]), int(split.ids[position])
        pairs.append(
            Pair(
                test=test_id,
                train=train_id,
                split=split.name,
                distance=float(distances[row]),
                is_exact=bool(is_exact[row]),
                test_class=_class_of(images.data, images.test, row),
                train_class=_class_of(images.data, split, position),
                test_name=name_of("test", test_id),
                train_name=name_of(split.name, train_id),
                luma=round(luma, 4),
                color=round(color, 4),
            )
        )
        if number < record.MOST_SHOWN:
            tiles.append(thumbnails.tiles_of(both, side))
    sheet = np.concatenate(tiles) if tiles else np.empty((0, 3, side, side), dtype=np.uint8)

    accuracy = {}
    for name, correct in (right or {}).items():
        rest = correct[~is_copy]
        if len(rest):
            accuracy[name] = (float(correct.mean()), float(rest.mean()))
    num_used = None
    if used is not None:
        own = set(used.tolist())
        places = [images.training_place(int(indices[row])) for row in rows]
        num_used = sum(split.name == "train" and int(split.ids[position]) in own for split, position in places)
    found = Leaks(
        model=model,
        weights=weights,
        share=nearest.SHARE,
        median_test=medians.test,
        median_train=medians.train,
        num_test=images.test.num_images,
        num_train=len(bank),
        num_copies=int(is_copy.sum()),
        num_exact=int(is_exact.sum()),
        num_used=num_used,
        accuracy=accuracy,
        pairs=tuple(pairs),
        num_shown=len(tiles),
        side=side,
        key="",
        created=record.now(),
    )
    return replace(found, key=_key(found, sheet)), sheet


def of_evaluation(
    data: ImageData, held: Mapping[str, Any], weights: str, report: Report = no_report
) -> tuple[Leaks, NDArray[np.uint8]] | None:
    """The same from what an evaluation has computed anyway; None where that was not all training images, or where
    images are not in memory: to compare pixels they would be decoded again, which takes about as long as to evaluate.

    Args:
        held: of `protocols.pretrain_figures`.
        weights: SHA-256 of the weights.
    """
    images, features = checked_images(data), held["features"]
    if images is None or images.test.labels is None or data.train.labels is None:  # unlabelled ones have no features
        return None
    if not all(split.in_memory for split in (images.test, *images.training)):
        return None
    names = {"train": "training", "val": "validation"}
    if any(names[split.name] not in features for split in images.training):
        return None
    parts = [features["test"], *(features[names[split.name]] for split in images.training)]
    labels = images.test.labels.cpu()
    right = {name: (answers.cpu() == labels).numpy() for name, answers in held["predicted"].items()}
    return find_copies(images, parts, weights=weights, right=right, known=held.get("nearest"), report=report)


def _key(found: Leaks, sheet: NDArray[np.uint8]) -> str:
    """Of the file of a sheet: with other images it has another name, so that no page mixes two."""
    content = json.dumps([found.num_shown, found.side]).encode() + sheet.tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _class_of(data: ImageData, split: Split, position: int) -> str:
    if split.labels is None or not data.classes:
        return ""
    return str(data.classes[int(split.labels[position])])


def _names(data: ImageData) -> Any:
    """A function from a split and an image's place in its own list to its file, or to a number in words."""
    if data.name in DATASETS or not data.folders:
        words = {"test": "test", "train": "training", "val": "training"}
        return lambda split, number: f"{words[split]} image {number}"
    layout = folder_layout.read(data.name)

    def name_of(split: str, number: int) -> str:
        files = layout.splits.get(split) or layout.splits["train"]  # what has no folder of its own is cut from train
        return files.paths[number] if number < len(files.paths) else f"image {number}"

    return name_of
