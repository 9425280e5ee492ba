"""What is measured once on the features of an encoder: neighbours, predictions, accuracies, silhouettes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.embeddings import compare, neighbors
from simclr.embeddings.neighbors import KEPT_NEIGHBORS, Nearest, Progress
from simclr.embeddings.networks import device_of
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection, SelectedImages
from simclr.evaluation.knn import NUM_NEIGHBORS
from simclr.runs import Run

LINEAR_PROTOCOL = (
    "Multinomial logistic regression on standardized features, L2 strength 1e-3: the images are cut into two halves in "
    "class proportion, and each half is judged by the regression fitted on the other."
)


@dataclass(frozen=True)
class Measured:
    """What is kept beside the features: it is cheap once they are there."""

    near: Nearest
    predictions: dict[str, NDArray[np.int64]]
    labelled: NDArray[np.bool_] | None
    numbers: dict[str, Any]


def measure(
    model: EncoderRef,
    choice: ImageSelection,
    pictures: SelectedImages,
    features: NDArray[np.float32],
    logits: NDArray[np.float32] | None,
    progress: Progress,
) -> Measured:
    unit, labels = neighbors.unit_rows(features), pictures.labels
    near = neighbors.nearest(unit, KEPT_NEIGHBORS, lambda share: progress(0.5 * share))
    predictions: dict[str, NDArray[np.int64]] = {}
    numbers: dict[str, Any] = {}
    if labels is not None and len(labels) > 1:
        predictions["knn"] = compare.knn_votes(near, labels)
        numbers["knn_k"] = min(NUM_NEIGHBORS, len(labels) - 1)
        if len(np.unique(labels)) > 1:
            silhouettes = compare.silhouettes(unit, labels)
            numbers["silhouette"] = float(silhouettes.mean())
            numbers["silhouette_per_class"] = [
                float(silhouettes[labels == number].mean()) if (labels == number).any() else None
                for number in range(len(pictures.classes))
            ]
        predictions["linear"] = linear_votes(
            features, labels, choice.seed, lambda s: progress(0.5 + 0.5 * s), device_of(model.run)
        )
        numbers["linear_protocol"] = LINEAR_PROTOCOL
        if logits is not None and logits.shape[1] == len(pictures.classes) and _knows(model.run, choice, pictures):
            predictions["classifier"] = logits.argmax(axis=1).astype(np.int64)
        numbers |= {f"{kind}_accuracy": float((found == labels).mean()) for kind, found in predictions.items()}
    labelled = _labelled(model.run, pictures) if model.added is None else None
    return Measured(near, predictions, labelled, numbers)


def linear_votes(
    features: NDArray[np.float32], labels: NDArray[np.int64], seed: int, progress: Progress, device: Any = "cpu"
) -> NDArray[np.int64]:
    """(N,) the class that each image gets from a linear probe that was fitted on the half that the image is not in."""
    import torch

    from simclr.data.sampling import HALVES_STREAM, ranks_in_class
    from simclr.evaluation.linear_probe import fit_linear_probe

    ranks, _ = ranks_in_class(labels, np.random.default_rng([HALVES_STREAM, seed]))
    in_second = (ranks + labels) % 2 == 1  # every other class begins with the second half: both are of one size
    x, y = torch.from_numpy(features).to(device), torch.from_numpy(labels).to(device)
    found = np.zeros(len(labels), dtype=np.int64)
    for number, half in enumerate((in_second, ~in_second)):
        if half.any() and not half.all():
            fitted, judged = (torch.from_numpy(np.flatnonzero(part)).to(device) for part in (~half, half))
            probe = fit_linear_probe(x[fitted], y[fitted], None, int(labels.max()) + 1)
            with torch.inference_mode():
                found[half] = probe(x[judged]).argmax(dim=1).cpu().numpy()
        progress((number + 1) / 2)
    return found


def _knows(run: Run, choice: ImageSelection, pictures: SelectedImages) -> bool:
    """Whether the classes of the images are those of the run's classifier, by name where they are of another set."""
    from simclr.data.identity import classes_of

    return choice.other is None or classes_of(run) == tuple(pictures.classes)


def _labelled(run: Run, pictures: SelectedImages) -> NDArray[np.bool_] | None:
    """(N,) True where a fine-tuned or from-scratch run trained on the label; None for other runs and other images."""
    from simclr.data.splits import label_subset

    if pictures.bank is None or run.kind not in ("finetune", "scratch"):
        return None
    assert pictures.bank.labels is not None
    options, subset = run.config, run.config.get("subset_seed")
    share, seed = float(options.get("label_fraction") or 1.0), int(options.get("seed") or 0)
    per_class = options.get("labels_per_class")
    chosen = label_subset(pictures.bank.labels, share, seed if subset is None else int(subset), per_class)
    used = pictures.bank.ids[chosen]
    found: NDArray[np.bool_] = np.isin(pictures.ids, used.numpy())
    return found
