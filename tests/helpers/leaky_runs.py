"""Runs in whose test images copies of training images were found."""

import numpy as np

from simclr.evaluation.leaks import record
from simclr.evaluation.leaks.record import Leaks, Pair


def pair(number, **values):
    plain = {"test": number, "train": 2 * number, "split": "train", "distance": 0.1, "is_exact": False}
    plain |= {"test_class": "cat", "train_class": "cat", "test_name": f"t{number}.png", "train_name": f"r{number}.png"}
    return Pair(**plain | {"luma": 0.05, "color": 0.02} | values)


def leaky(run, pairs, num_test=500):
    """Keeps in a run's folder that these pairs were found, with pictures of noise; returns what was found."""
    found = Leaks(
        model="weights",
        weights="",
        share=0.2,
        median_test=0.3,
        median_train=0.2,
        num_test=num_test,
        num_train=1000,
        num_copies=len(pairs),
        num_exact=sum(item.is_exact for item in pairs),
        num_used=None,
        accuracy={"knn": (0.9, 0.85)},
        pairs=tuple(pairs),
        num_shown=len(pairs),
        side=8,
        key="ab",
        created=1.7e9,
    )
    images = np.random.default_rng(0).integers(0, 256, (2 * len(pairs), 3, 8, 8), dtype=np.uint8)
    record.write(run.path, found, images)
    return found
