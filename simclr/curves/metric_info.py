"""What each metric is called, its columns, its unit and what it tells."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from simclr.files.safe_read import finite_number


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: its columns, its unit and what it tells."""

    label: str
    suffixes: tuple[str, ...]  # names in metrics.csv
    help: str
    percent: bool = False
    log: bool = False
    digits: int = 3
    better: Literal["low", "high"] | None = None  # which values are good; None: neither is


METRICS: dict[str, Metric] = {
    "loss": Metric(
        "Loss",
        ("train/loss", "val/loss"),
        "NT-Xent for pre-training, cross-entropy for the others and for images with captions; in nats, lower is "
        "better. Losses of pre-trainings compare only at the same batch size and temperature.",
        better="low",
    ),
    "top1": Metric(
        "Top-1 accuracy",
        ("train/top1", "val/top1"),
        "Pre-training: how often the other view of the same image is the "
        "most similar of all views in the batch, or with captions an image's caption and a caption's image. Otherwise: "
        "how often the most likely class is right; of images that training mixes (MixUp, CutMix) it counts by its "
        "weight in the target.",
        percent=True,
        better="high",
    ),
    "top5": Metric(
        "Top-5 accuracy",
        ("train/top5", "val/top5"),
        "How often the right answer is among the first five.",
        percent=True,
        better="high",
    ),
    "mean_rank": Metric(
        "Mean rank of the positive",
        ("train/mean_rank", "val/mean_rank"),
        "Where the other view of the same image stands "
        "when all views of the batch are sorted by similarity; with captions, where an image's caption and a caption's "
        "image stand; 1 is perfect.",
        log=True,
        digits=1,
        better="low",
    ),
    "knn_top1": Metric(
        "kNN accuracy, validation",
        ("val/knn_top1",),
        "Classes of validation images guessed from their nearest training images, by the "
        "encoder's features alone. It uses labels: to watch, not to train on.",
        percent=True,
        better="high",
    ),
    "alignment": Metric(
        "Alignment",
        ("val/alignment",),
        "Mean squared distance between the two views of an image; lower is closer (Wang and Isola 2020).",
        better="low",
    ),
    "uniformity": Metric(
        "Uniformity",
        ("val/uniformity",),
        "How evenly embeddings cover the sphere; lower is more spread (Wang and Isola 2020).",
        better="low",
    ),
    "similarity": Metric(
        "Similarity of pairs",
        ("val/positive_similarity", "val/negative_similarity"),
        "Mean cosine similarity of two views of one image, and of views of different images.",
    ),
    "effective_rank": Metric(
        "Effective rank",
        ("val/effective_rank", "val/effective_rank_z"),
        "How many directions the encoder's features, and "
        "the projections z, really use; near 1 means collapse (Roy and Vetterli 2007).",
        digits=1,
        better="high",
    ),
    "lr": Metric("Learning rate", ("lr",), "After warm-up and cosine.", digits=6),
    "images_per_second": Metric(
        "Images per second",
        ("perf/images_per_second",),
        "Training images per second.",
        digits=0,
        better="high",
    ),
}
LINE_LABELS = {
    "train/loss": "Training",
    "val/loss": "Validation",
    "train/top1": "Training",
    "val/top1": "Validation",
    "train/top5": "Training",
    "val/top5": "Validation",
    "train/mean_rank": "Training",
    "val/mean_rank": "Validation",
    "val/knn_top1": "kNN",
    "val/alignment": "Alignment",
    "val/uniformity": "Uniformity",
    "val/positive_similarity": "Same image",
    "val/negative_similarity": "Different images",
    "val/effective_rank": "Features h",
    "val/effective_rank_z": "Projections z",
    "lr": "Learning rate",
    "perf/images_per_second": "Images/s",
}
SECOND_LINES = ("val/effective_rank_z", "val/negative_similarity")


def chance_loss(batch_size: int) -> float:
    """NT-Xent when all similarities are equal: ln(2N - 1) for N images in a batch."""
    return math.log(2 * batch_size - 1)


def num_candidates(config: Mapping[str, Any]) -> int:
    """Among how many rows each positive of a training batch is found, itself included.

    With a text encoder an image is compared with the captions of the batch alone, and the other way round; captions
    that say the same are left out, so that they may be fewer.

    Args:
        config: options of a pre-training with a `batch_size`.
    """
    batch = int(config["batch_size"])
    return batch if config.get("text_encoder") else 2 * batch - 1


def chance_level(metric: str, config: Mapping[str, Any]) -> float | None:
    """Where a model that knows nothing stands, for the metrics of a pre-training that have such a level."""
    batch = finite_number(config.get("batch_size"))
    if not batch or batch < 2 or "temperature" not in config:
        return None
    candidates = num_candidates(config)
    if metric == "loss":
        return math.log(candidates)
    if metric == "mean_rank":
        return (candidates + 1) / 2
    if metric in ("top1", "top5"):
        return 100 * min(5, candidates) / candidates if metric == "top5" else 100 / candidates
    return None


# --- columns of other programs ----------------------------------------------------------------------------------------

LOWER_WORDS = ("loss", "error", "err", "mae", "mse", "rmse", "nll", "perplexity", "ppl", "wer", "fid")
HIGHER_WORDS = (
    "acc",
    "accuracy",
    "top1",
    "top5",
    "f1",
    "auc",
    "auroc",
    "precision",
    "recall",
    "map",
    "iou",
    "r2",
    "dice",
    "psnr",
    "ssim",
    "bleu",
    "reward",
)


def spec_of(metric: str) -> Metric:
    """How a metric is shown; a column of another program under its own name."""
    if metric in METRICS:
        return METRICS[metric]
    return Metric(metric, (metric,), f"The column {metric} as it was logged.", better=guessed_direction(metric))


def guessed_direction(name: str) -> Literal["low", "high"] | None:
    """Which values of a column are good, by the words in its name."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    if any(word in LOWER_WORDS or word.endswith("loss") for word in words):
        return "low"
    return "high" if any(word in HIGHER_WORDS for word in words) else None
