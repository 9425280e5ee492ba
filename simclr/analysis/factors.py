"""How well the factors of generated shapes can be read from features by a linear map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.analysis.encoders import BATCH_SIZE, FrozenEncoder
from simclr.analysis.similarity import Floats
from simclr.data import shapes
from simclr.embeddings.neighbors import Progress
from simclr.embeddings.references import Representation

NUM_TRAIN, NUM_TEST = 3000, 1000  # images of a factor probe
HELD_OUT = 5  # one training image in so many, drawn at random, chooses the strength of a probe
RIDGE_STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(-8, 7))  # per image, on standardized features
CIRCULAR = ("hue", "background")  # a full circle is 1: read as the point on the circle
# No rotation can be seen in these. The others look alike only after 72 degrees or more, and `shapes` rotates by 40 in
# all: so the angle does not wrap, and is read as a plain number.
ROUND_SHAPES = ("circle", "ring")
FACTORS = ("shape", "hue", "background", "size", "position_x", "position_y", "rotation")


def ridge(x: Floats, y: Floats, strength: float) -> tuple[Floats, Floats]:
    """Weights (D, K) and offset (K,) that minimize mean |x w + b - y|^2 + strength |w|^2, for x (N, D) and y (N, K)."""
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    centred = x - mean_x
    gram = centred.T @ centred / len(x) + strength * np.eye(x.shape[1])
    weight = np.linalg.solve(gram, centred.T @ (y - mean_y) / len(x))
    return weight, mean_y - mean_x @ weight


def r_squared(truth: Floats, guess: Floats) -> float:
    """1 - squared error / variance, both summed over the columns of (N, K); below 0: worse than the mean."""
    return float(1.0 - np.square(truth - guess).sum() / np.square(truth - truth.mean(axis=0)).sum())


def _held_out(num: int) -> NDArray[np.bool_]:
    """Drawn at random: in generated shapes classes alternate, and every fifth image would be of two classes alone."""
    return np.random.default_rng(0).permutation(num) < num // HELD_OUT


def ridge_score(train: tuple[Floats, Floats], test: tuple[Floats, Floats]) -> float:
    """R^2 on the test rows of the ridge regression whose strength does best on held-out training rows.

    Features are standardized by the training rows; the strength chosen, all training rows are fitted.

    Args:
        train, test: features (N, D) and targets (N, K).
    """
    (x, y), (test_x, test_y) = train, test
    mean, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 1e-6 * np.abs(x).max(axis=0, initial=0.0), spread, 1.0)
    x, test_x = (x - mean) / spread, (test_x - mean) / spread
    is_held = _held_out(len(x))
    fit_x, fit_y = x[~is_held], y[~is_held]
    # One decomposition serves all strengths.
    mean_x, mean_y = fit_x.mean(axis=0), fit_y.mean(axis=0)
    values, axes = np.linalg.eigh((fit_x - mean_x).T @ (fit_x - mean_x) / len(fit_x))
    along = axes.T @ ((fit_x - mean_x).T @ (fit_y - mean_y)) / len(fit_x)  # (D, K)
    held = (x[is_held] - mean_x) @ axes
    scores = [
        r_squared(y[is_held], mean_y + held @ (along / (np.maximum(values, 0.0) + strength)[:, None]))
        for strength in RIDGE_STRENGTHS
    ]
    weight, offset = ridge(x, y, RIDGE_STRENGTHS[int(np.argmax(scores))])
    return r_squared(test_y, test_x @ weight + offset)


def on_circle(turns: Floats) -> Floats:
    """(N,), a full circle is 1, to points (N, 2) on the unit circle: 0.99 and 0.01 are neighbours."""
    return np.stack([np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)], axis=1)


def factor_scores(
    train: NDArray[Any],
    train_factors: dict[str, NDArray[Any]],
    test: NDArray[Any],
    test_factors: dict[str, NDArray[Any]],
) -> dict[str, float]:
    """How well each of `FACTORS` can be read from features by a linear map: accuracy for the shape, R^2 for the others.

    Hue and background are points on the colour circle; rotation counts shapes whose rotation can be seen.
    """
    import torch

    from simclr.evaluation.linear_probe import fit_linear_probe

    found = {}
    x, test_x = train.astype(np.float64), test.astype(np.float64)
    for name in FACTORS:
        truth, asked = train_factors[name], test_factors[name]
        if name == "shape":
            labels, wanted = (np.searchsorted(sorted(shapes.CLASSES), words) for words in (truth, asked))
            is_held = _held_out(len(x))
            parts = [
                (torch.from_numpy(x[rows]).float(), torch.from_numpy(labels[rows])) for rows in (~is_held, is_held)
            ]
            probe = fit_linear_probe(*parts[0], parts[1], len(shapes.CLASSES))
            guess = probe(torch.from_numpy(test_x).float()).argmax(dim=1).numpy()
            found[name] = float((guess == wanted).mean())
            continue
        rows, test_rows = np.ones(len(x), dtype=bool), np.ones(len(test_x), dtype=bool)
        if name == "rotation":
            rows, test_rows = (~np.isin(factors["shape"], ROUND_SHAPES) for factors in (train_factors, test_factors))
        form = on_circle if name in CIRCULAR else lambda values: values[:, None].astype(np.float64)
        found[name] = ridge_score((x[rows], form(truth[rows])), (test_x[test_rows], form(asked[test_rows])))
    return found


def factor_probe(encoder: FrozenEncoder, report: Progress = lambda share: None) -> dict[str, Any]:
    """`factor_scores` of each layer on generated shapes, at the size that the encoder takes."""
    import torch

    from simclr.views import augment

    side = encoder.size or shapes.DEFAULT_SIDE
    drawn = [shapes.generate("train", NUM_TRAIN, side), shapes.generate("test", NUM_TEST, side)]
    total, done = NUM_TRAIN + NUM_TEST, 0
    features: list[dict[Representation, NDArray[np.float32]]] = []
    for part in drawn:
        found: dict[Representation, list[NDArray[np.float32]]] = {}
        for start in range(0, len(part.images), BATCH_SIZE):
            batch = torch.from_numpy(part.images[start : start + BATCH_SIZE])
            for layer, values in encoder(augment.to_float(batch)).items():
                found.setdefault(layer, []).append(values)
            done += len(batch)
            report(0.9 * done / total)
        features.append({layer: np.concatenate(parts) for layer, parts in found.items()})
    layers = {
        layer: factor_scores(values, drawn[0].factors, features[1][layer], drawn[1].factors)
        for layer, values in features[0].items()
    }
    return {"num_train": NUM_TRAIN, "num_test": NUM_TEST, "layers": layers}
