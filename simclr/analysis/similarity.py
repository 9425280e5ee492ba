"""What an encoder makes of augmented images: similarities, temperature, invariance, factors (the command `lab`).

A batch is held as unit rows (2N, D) with pairs adjacent: rows 2i and 2i + 1 are the two views of image i. What takes
long is a job, and is kept with the run it is about, named by its content (weights, images, options):

    RUN/embeddings/lab/
        profile-<key>.json    mean similarity of an image and its changed self, by operation and strength
        factors-<key>.json    how well the factors of `shapes` can be read from the features
        images-<key>.npy      (N, 3, S, S) uint8, what a profile was asked for

Torch is imported inside the functions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.config import Augmentation, ConfigError
from simclr.data import shapes
from simclr.embeddings import references, stored
from simclr.embeddings.references import Layer, Model
from simclr.embeddings.selection import Choice
from simclr.files import safe_read, writing
from simclr.launch import jobs
from simclr.models.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "lab"
JOB_NAME = "lab"
KINDS = ("profile", "factors")
FORMAT = 2  # part of the key: raise it when what is stored changes its meaning
BATCH_SIZE = 128
MAX_PROFILE_IMAGES = 64

# Strengths of each operation; 0, not listed, leaves the image as it is.
#   crop: share of the area that is cut away. brightness, contrast, saturation: the factor is 1 plus or minus this.
#   hue: turn of the colour circle, either way. blur: sigma as a share of the side. flip, grayscale: on or off.
STRENGTHS: dict[str, tuple[float, ...]] = {
    "crop": (0.1, 0.3, 0.5, 0.7, 0.85, 0.92),
    "flip": (1.0,),
    "brightness": (0.1, 0.2, 0.4, 0.6, 0.8),
    "contrast": (0.1, 0.2, 0.4, 0.6, 0.8),
    "saturation": (0.1, 0.2, 0.4, 0.6, 0.8),
    "hue": (0.02, 0.05, 0.1, 0.2, 0.35, 0.5),
    "grayscale": (1.0,),
    "blur": (0.01, 0.02, 0.04, 0.07, 0.1),
}

NUM_TRAIN, NUM_TEST = 3000, 1000  # images of a factor probe
HELD_OUT = 5  # one training image in so many, drawn by lot, chooses the strength of a probe
RIDGE_STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(-8, 7))  # per image, on standardized features
CIRCULAR = ("hue", "background")  # one turn is 1: read as the point on the circle
# A turn cannot be seen in these. The others look alike only after 72 degrees or more, and `shapes` turns by 40 in all:
# so the angle does not wrap, and is read as a plain number.
ROUND_SHAPES = ("circle", "ring")
FACTORS = ("shape", "hue", "background", "size", "position_x", "position_y", "rotation")

Floats = NDArray[np.float64]
Report = Callable[[float], None]


# --- a batch and its temperature ------------------------------------------------------------------------------------


def interleave(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """Embeddings (N, D) of both views as unit rows (2N, D), pairs adjacent; a row of zeros stays one."""
    return _unit(np.stack([first, second], axis=1).reshape(2 * len(first), -1))


def similarity_matrix(rows: Floats) -> Floats:
    """(2N, 2N) cosine similarities of unit rows (2N, D)."""
    return np.clip(rows @ rows.T, -1.0, 1.0)


@dataclass(frozen=True)
class AtTemperature:
    """What NT-Xent makes of a batch at one temperature.

    loss: mean over the 2N anchors, in nats; `simclr.objectives.nt_xent.nt_xent` of the same rows.
    weights: (2N, 2N), each anchor's shares of the push on its negatives; rows sum to 1, 0 at itself and its positive.
    effective: (2N,) effective number of negatives, exp of the entropy of `weights`: 1 to 2N - 2.
    """

    loss: float
    weights: Floats
    effective: Floats


def at_temperature(similarities: Floats, temperature: float) -> AtTemperature:
    """Loss and gradient weights of a batch, from its similarities (2N, 2N) with pairs adjacent.

    The gradient of an anchor's loss with respect to the similarity of negative k is P_ik / T, and minus the sum of
    those for the positive. `weights` are these gradients as shares of their sum, softmax(s_ik / T) over the negatives
    alone: the penalty of Wang and Liu 2021 (section 3.1). A low temperature leaves few negatives that count.

    Raises:
        ValueError: for fewer than two pairs, or a temperature that is not above 0.
    """
    num = len(similarities)
    if similarities.shape != (num, num) or num < 4 or num % 2:
        raise ValueError(f"similarities are {similarities.shape}; allowed: (2N, 2N) of at least two pairs")
    if not (temperature > 0 and np.isfinite(temperature)):
        raise ValueError(f"temperature is {temperature}; allowed: a number above 0")
    anchors = np.arange(num)
    logits = similarities / temperature
    logits[anchors, anchors] = -np.inf
    positive = logits[anchors, anchors ^ 1]
    high = logits.max(axis=1)
    losses = high + np.log(np.exp(logits - high[:, None]).sum(axis=1)) - positive
    logits[anchors, anchors ^ 1] = -np.inf
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    entropy = -(weights * np.log(np.where(weights > 0, weights, 1.0))).sum(axis=1)
    return AtTemperature(float(losses.mean()), weights, np.exp(entropy))


@dataclass(frozen=True)
class BrightPair:
    """Two images of a batch that look alike: rows of their most similar views, and whether their class is the same."""

    row: int
    column: int
    similarity: float
    same_class: bool | None


def likely_false_negatives(similarities: Floats, names: Sequence[str], count: int = 6) -> list[BrightPair]:
    """The brightest cells of different images, one for each pair of images, the most similar first.

    The loss pushes them apart although they look alike to the encoder: where both show the same thing they are false
    negatives (Chuang et al. 2020), else hard ones.

    Args:
        similarities: (2N, 2N), pairs adjacent.
        names: (N,) classes; empty words where they are not known.
    """
    num = len(similarities) // 2
    cells = similarities.reshape(num, 2, num, 2).transpose(0, 2, 1, 3).reshape(num, num, 4)
    firsts, seconds = np.triu_indices(num, 1)
    best = cells[firsts, seconds].max(axis=1)
    found = []
    for place in np.argsort(-best, kind="stable")[:count]:
        i, j = int(firsts[place]), int(seconds[place])
        which = int(cells[i, j].argmax())
        known = bool(names[i] and names[j])
        found.append(
            BrightPair(
                2 * i + which // 2, 2 * j + which % 2, float(best[place]), names[i] == names[j] if known else None
            )
        )
    return found


@dataclass(frozen=True)
class PairNumbers:
    """Pairs against other images. pairs: (N,) similarity of both views. others: (N, M) those of view 1 to all views of
    other images. top1: share of the 2N views whose most similar other view is their own partner, ties half."""

    pairs: Floats
    others: Floats
    top1: float


def pair_numbers(similarities: Floats) -> PairNumbers:
    """From similarities (2N, 2N) with pairs adjacent, N at least 2."""
    num = len(similarities)
    anchors = np.arange(num)
    positive = similarities[anchors, anchors ^ 1]
    is_other = anchors[:, None] // 2 != anchors // 2
    others = similarities[is_other].reshape(num, num - 2)
    best = others.max(axis=1)
    wins = (positive > best) + 0.5 * (positive == best)
    return PairNumbers(positive[::2], others[::2], float(wins.mean()))


# --- encoders -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Encoder:
    """A network on the CPU, in eval mode, ready for images of any size. size: side it takes, None: any."""

    network: Any
    projector: Any
    size: int | None

    def __call__(self, images: Tensor) -> dict[Layer, NDArray[np.float32]]:
        """Images (N, 3, H, W), float in 0..1, to h (N, num_features), and z (N, projection_dim) where there is one.

        Raises:
            ConfigError: if values are no numbers.
        """
        import torch

        from simclr.views import augment, resampling

        found: dict[Layer, list[Tensor]] = {"h": [], "z": []}
        with torch.inference_mode():
            for batch in images.split(BATCH_SIZE):
                x = batch if self.size is None else resampling.resize(batch, self.size)
                h = self.network(augment.normalize(x)).flatten(1).float()  # (n, num_features)
                found["h"].append(h)
                if self.projector is not None:
                    found["z"].append(self.projector(h).float())
        arrays = {layer: torch.cat(parts).numpy() for layer, parts in found.items() if parts}
        if not all(np.isfinite(values).all() for values in arrays.values()):
            raise ConfigError("The network gives values that are no numbers; allowed: a run that did not diverge.")
        return arrays


def load_encoder(model: Model, weights: Weights | None) -> Encoder:
    """The network of a model, with its projector where it has one. weights: of `embeddings.open_weights`.

    Raises:
        ConfigError: with one sentence, if it has no weights, or they are not those of its network.
    """
    from simclr.embeddings import networks

    if model.what == references.PIXELS:
        raise ConfigError(f"RUN is {references.PIXELS}; allowed: a run, or {references.UNTRAINED}.")
    size = model.run.config.get("image_size")
    size = int(size) if size else None
    if model.run.config.get("backbone") is None:
        raise ConfigError(f"{model.run.id} does not say its backbone; allowed: a run whose config.yaml is whole.")
    layer: Layer = "z" if "z" in references.layers_of(model) else "h"
    try:
        network, head = networks.network_of(replace(model, layer=layer), size or shapes.DEFAULT_SIDE, weights)
    except ConfigError as error:
        raise ConfigError(str(error).replace("experiment_version is", "RUN has the weights", 1)) from None
    return Encoder(network.eval(), head.eval() if head is not None and layer == "z" else None, size)


def model_values(model: Model, weights: Weights | None) -> dict[str, Any]:
    """Everything that decides what an encoder gives for an image. weights: of `embeddings.open_weights`."""
    values: dict[str, Any] = {name: model.run.config.get(name) for name in ("backbone", "image_size")}
    if model.what == "weights":
        assert weights is not None
        return values | {"weights": weights.sha256}
    projector = {name: model.run.config.get(name) for name in ("hidden_dim", "projection_dim")}
    seed = model.run.config.get("seed")
    return values | projector | {"kind": model.run.kind, "seed": seed, "has_weights": weights is not None}


# --- invariance -----------------------------------------------------------------------------------------------------


def changed(images: Tensor, operation: str, strength: float) -> Tensor:
    """Images (N, 3, S, S), float in 0..1, after one operation at a strength of `STRENGTHS`, by the trainer's own code.

    Where an operation goes either way, brighter or darker, images take turns. Crops lie at random places, the same ones
    for the same number of images.

    Raises:
        ValueError: for another operation.
    """
    import torch

    from simclr.views import blur, color, resampling
    from simclr.views.factors import draw_factors

    num, side = len(images), images.shape[-1]
    signs = 1.0 - 2.0 * (torch.arange(num) % 2)
    if operation == "crop":
        kept = 1.0 - strength
        options = Augmentation(crop_scale_min=kept, crop_scale_max=kept, crop_ratio_min=1.0, crop_ratio_max=1.0)
        drawn = draw_factors(options, torch.arange(num), seed=0, epoch=0, view=0, height=images.shape[2], width=side)
        return resampling.resized_crop(images, drawn.box, side)
    if operation == "flip":
        return resampling.horizontal_flip(images, torch.full((num,), bool(strength)))
    if operation == "grayscale":
        return color.grayscale(images) if strength else images
    if operation == "hue":
        return color.adjust_hue(images, strength * signs)
    if operation == "blur":
        sigma = strength * side
        reach = max(1, round(3 * sigma))
        return blur.gaussian_blur(images, torch.full((num,), sigma), 2 * reach + 1)
    if operation in color.ADJUST:
        return color.ADJUST[operation](images, 1.0 + strength * signs)
    raise ValueError(f"operation is {operation}; allowed: {', '.join(STRENGTHS)}")


def invariance(encoder: Encoder, images: NDArray[np.uint8], report: Report = lambda share: None) -> dict[str, Any]:
    """Mean cosine similarity between images and their changed selves.

    Args:
        images: (N, 3, S, S), N at least 2.

    Returns:
        For each layer `others`, the mean similarity of two different images, and `curves`: operation -> means at its
        `STRENGTHS`. Compare a curve with `others`: a network whose features all lie close together, as an untrained
        one's do, is near 1 everywhere without having learned to ignore anything (`relative`).
    """
    import torch

    from simclr.views import augment

    pixels = augment.to_float(torch.from_numpy(images))
    plain = {layer: _unit(values) for layer, values in encoder(pixels).items()}
    found: dict[str, Any] = {}
    for layer, rows in plain.items():
        alike = rows @ rows.T
        others = (alike.sum() - np.trace(alike)) / (len(rows) * (len(rows) - 1))
        found[layer] = {"others": float(others), "curves": {operation: [] for operation in STRENGTHS}}
    steps = [(operation, strength) for operation, strengths in STRENGTHS.items() for strength in strengths]
    for done, (operation, strength) in enumerate(steps):
        report(done / len(steps))
        for layer, values in encoder(changed(pixels, operation, strength)).items():
            similarity = (plain[layer] * _unit(values)).sum(axis=1).mean()
            found[layer]["curves"][operation].append(float(similarity))
    return {"num_images": len(images), "layers": found}


def relative(similarity: float, others: float) -> float | None:
    """How much of the way from another image to itself: 1 unchanged, 0 no more alike than two different images.

    None where all images look alike to the encoder, so that there is no way.
    """
    return (similarity - others) / (1.0 - others) if others < 1.0 - 1e-6 else None


def _unit(rows: NDArray[Any]) -> Floats:
    rows = rows.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.where(length > 0, length, 1.0)
    return unit


# --- factors --------------------------------------------------------------------------------------------------------


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
    """Drawn by lot: in generated shapes classes take turns, and every fifth image would be of two classes alone."""
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
    """(N,), one turn is 1, to points (N, 2) on the unit circle: 0.99 and 0.01 are neighbours."""
    return np.stack([np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)], axis=1)


def factor_scores(
    train: NDArray[Any], train_factors: dict[str, NDArray[Any]], test: NDArray[Any],
    test_factors: dict[str, NDArray[Any]],
) -> dict[str, float]:  # fmt: skip
    """How well each of `FACTORS` can be read from features by a linear map: accuracy for the shape, R^2 for the others.

    Hue and background are points on the colour circle; rotation counts shapes whose turn can be seen.
    """
    import torch

    from simclr.evaluation.probes import linear_probe

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
            probe = linear_probe(*parts[0], parts[1], len(shapes.CLASSES))
            guess = probe(torch.from_numpy(test_x).float()).argmax(dim=1).numpy()
            found[name] = float((guess == wanted).mean())
            continue
        rows, test_rows = np.ones(len(x), dtype=bool), np.ones(len(test_x), dtype=bool)
        if name == "rotation":
            rows, test_rows = (~np.isin(factors["shape"], ROUND_SHAPES) for factors in (train_factors, test_factors))
        form = on_circle if name in CIRCULAR else lambda values: values[:, None].astype(np.float64)
        found[name] = ridge_score((x[rows], form(truth[rows])), (test_x[test_rows], form(asked[test_rows])))
    return found


def factor_probe(encoder: Encoder, report: Report = lambda share: None) -> dict[str, Any]:
    """`factor_scores` of each layer on generated shapes, at the size that the encoder takes."""
    import torch

    from simclr.views import augment

    side = encoder.size or shapes.DEFAULT_SIDE
    drawn = [shapes.generate("train", NUM_TRAIN, side), shapes.generate("test", NUM_TEST, side)]
    total, done = NUM_TRAIN + NUM_TEST, 0
    features: list[dict[Layer, NDArray[np.float32]]] = []
    for part in drawn:
        found: dict[Layer, list[NDArray[np.float32]]] = {}
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


# --- what is kept ---------------------------------------------------------------------------------------------------


def images_key(images: NDArray[np.uint8]) -> str:
    """Changes with any pixel."""
    found = hashlib.sha256(repr(images.shape).encode())
    found.update(np.ascontiguousarray(images).tobytes())
    return found.hexdigest()[:16]


def result_path(model: Model, kind: str, images: str = "") -> Path:
    """Where a result of a model with the weights it has now lies, or will lie. images: `images_key`, for a profile.

    Raises:
        ConfigError: if the model has no such weights.
    """
    with references.open_weights(model) as weights:
        return _path_for(model, weights, kind, images)


def _path_for(model: Model, weights: Weights | None, kind: str, images: str) -> Path:
    values = model_values(model, weights) | {"format": FORMAT, "kind": kind, "images": images}
    options: Any = STRENGTHS if kind == "profile" else (NUM_TRAIN, NUM_TEST, RIDGE_STRENGTHS, shapes.DATA_SEED)
    return model.run.path / runs.EMBEDDINGS / FOLDER / f"{kind}-{stored.digest(values | {'options': options})}.json"


def load(path: Path) -> dict[str, Any] | None:
    """A result that was computed before; None where there is none, or it is damaged."""
    try:
        values = safe_read.read_json(path)
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and isinstance(values.get("layers"), dict) else None


def keep_images(model: Model, images: NDArray[np.uint8]) -> Path:
    """Writes the images of a profile where the job finds them, with the run of `model`.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    path = model.run.path / runs.EMBEDDINGS / FOLDER / f"images-{images_key(images)}.npy"
    beside = path.with_name(f".{path.name}.part.npy")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            np.save(beside, images)
            beside.replace(path)
    except OSError as error:
        raise ConfigError(f"{path.parent} cannot be written: {error.strerror or error}.") from None
    return path


def compute(
    model: Model, kind: str, images: NDArray[np.uint8] | None = None, report: Report = lambda share: None
) -> dict[str, Any]:
    """A result of `KINDS`, from what is kept or computed now and kept.

    Args:
        images: (N, 3, S, S), of a profile.

    Raises:
        ConfigError: if the model cannot be loaded.
    """
    with references.open_weights(model) as weights:
        path = _path_for(model, weights, kind, images_key(images) if images is not None else "")
        if (found := load(path)) is None:
            encoder = load_encoder(model, weights)
    if found is None:
        if kind == "profile":
            assert images is not None
            found = invariance(encoder, images, report)
        else:
            found = factor_probe(encoder, report)
        path.parent.mkdir(parents=True, exist_ok=True)
        writing.write_atomically(path, json.dumps(found | {"model": model.reference, "versions": runs.versions()}))
    report(1.0)
    return found


# --- the command ----------------------------------------------------------------------------------------------------


def request_of(models: Iterable[Model], kind: str, images: str = "") -> dict[str, Any]:
    """What a job is asked for: the files it is to write."""
    return {"results": [str(result_path(model, kind, images)) for model in models]}


def start_job(models: Sequence[Model], kind: str, images: NDArray[np.uint8] | None, runs_dir: Path) -> Path:
    """Starts computing in the background, or gives the job that does so already.

    Raises:
        ConfigError: if weights are missing, or a folder cannot be written.
    """
    key = images_key(images) if images is not None else ""
    names = []
    for model in models:
        # an untrained network is found by the run it belongs to
        host = model.run.id + (f"@{model.checkpoint}" if model.checkpoint else "")
        names.append(f"{references.UNTRAINED}:{model.run.id}" if model.what == references.UNTRAINED else host)
    arguments = ["lab", *names, "--what", kind, "--runs_dir", str(runs_dir.resolve())]
    if images is not None:
        arguments += ["--images", str(keep_images(models[0], images).resolve())]
    return jobs.start(JOB_NAME, request_of(models, kind, key), arguments, runs_dir)


def find_job(models: Sequence[Model], kind: str, images: str, runs_dir: Path) -> Path | None:
    return jobs.find(JOB_NAME, request_of(models, kind, images), runs_dir)


def models_named(names: Sequence[str], runs_dir: Path) -> list[Model]:
    """RUN, RUN@best, RUN@epoch-8, and `untrained:RUN` for a run's network before its training.

    Raises:
        ConfigError: if one names nothing.
    """
    found = []
    for name in names:
        word, _, host = name.partition(":")
        if word == references.UNTRAINED and host:
            found.append(Model(runs.find(host, runs_dir), "untrained"))
        else:
            found += references.resolve_models([name], runs_dir)
    return found


def add_arguments(parser: Any) -> None:
    """Declares the options of `python -m simclr lab`."""
    parser.add_argument(
        "RUN", nargs="+", type=str, help="Runs by id, beginning or folder; @epoch-N for a checkpoint; untrained:RUN."
    )
    texts = {
        "what": "profile, factors, or both separated by a comma. Default: profile,factors.",
        "images": "NumPy file (N, 3, S, S) uint8 for the profile. Default: 64 test images of the first run.",
    }
    jobs.add_options(parser, texts)


def _read_images(path: str) -> NDArray[np.uint8]:
    try:
        images: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise ConfigError(f"images is {path}; allowed: a NumPy file (N, 3, S, S) of uint8.") from None
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8 or len(images) < 2:
        raise ConfigError(f"images has {images.dtype} {images.shape}; allowed: uint8 (N, 3, S, S), at least 2 images.")
    return images


def main(options: Any) -> int:
    """Computes what the command line asks for, and prints it as one line of JSON per model.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    with jobs.running(options.job_dir) as tell:
        runs_dir = Path(options.runs_dir) if options.runs_dir else runs.default_runs_dir()
        kinds = jobs.words("what", options.what, KINDS)
        models = models_named(options.RUN, runs_dir)
        images = None
        if "profile" in kinds:
            tell("Reading the images", 0.0)
            if options.images:
                images = _read_images(options.images)
            else:
                from simclr.embeddings import selection

                few = selection.load_pictures(models[0].run, Choice(num_images=MAX_PROFILE_IMAGES)).chosen
                images = few.images_at(range(few.num_images)).numpy()
        work = [(kind, model) for kind in kinds for model in models]
        for place, (kind, model) in enumerate(work):
            phase = f"{'Changing images for' if kind == 'profile' else 'Reading factors from'} {model.name}"

            def report(share: float, place: int = place, phase: str = phase) -> None:
                tell(phase, (place + share) / len(work))

            report(0.0)
            found = compute(model, kind, images if kind == "profile" else None, report)
            print(json.dumps({"model": model.name, "what": kind, **found["layers"]}), flush=True)
    return 0
