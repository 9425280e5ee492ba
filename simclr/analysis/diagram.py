"""What a run's own network makes of a few of its own images, step by step, for the diagram of a run.

Of a pre-training: an image, its two views, h, z, the similarities of a small batch and its loss. Of a supervised run:
a test image, its view, h and the most likely classes. Computed once and kept with the run; torch is imported inside
the functions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.analysis import similarity, stored
from simclr.analysis.encoders import load_encoder, model_values
from simclr.config import FinetuneConfig, PretrainConfig, not_written
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.stored import digest
from simclr.files import safe_read, writing
from simclr.launch import jobs
from simclr.models.weights import Weights
from simclr.runs import Run

if TYPE_CHECKING:
    from torch import Tensor

JOB_NAME = "diagram"
FORMAT = 1  # part of the key: raise it when what is stored changes its meaning
NUM_IMAGES = 8
NUM_VALUES = 32  # of h and z that are drawn
MOST_CLASSES = 4  # of the answer that are drawn
SIDE = 64  # pixels of a picture at least; small images are enlarged by whole numbers


def path_of(run: Run) -> Path:
    """Where the diagram of a run with the weights it has now lies, or will lie.

    Raises:
        ConfigError: if it has no weights.
    """
    model = EncoderRef(run)
    with references.open_weights(model) as weights:
        return _path(model, weights)


def _path(model: EncoderRef, weights: Weights | None) -> Path:
    values = model_values(model, weights) | {"format": FORMAT}
    return model.run.path / runs.EMBEDDINGS / stored.FOLDER / f"diagram-{digest(values)}.json"


def load(path: Path) -> dict[str, Any] | None:
    """A diagram that was computed before; None where there is none, or it is damaged."""
    values = safe_read.json_dict(path)
    is_whole = values.get("format") == FORMAT and all(isinstance(values.get(name), list) for name in ("views", "h"))
    return values if is_whole else None


def compute(run: Run, place: str | None = None) -> dict[str, Any]:
    """The diagram of a run, from what is kept or computed now and kept.

    Args:
        place: where its images lie now, as of `ImageSelection`.

    Raises:
        ConfigError: with one sentence, if its images or its weights are not here.
    """
    model = EncoderRef(run, layer="z" if run.kind == "pretrain" else "h")
    with references.open_weights(model) as weights:
        path = _path(EncoderRef(run), weights)
        if (found := load(path)) is not None:
            return found
        config = runs.load_config(run)
        if place is not None:
            config = config.model_copy(update={"dataset": place})
        found = _pretraining(model, weights, config) if isinstance(config, PretrainConfig) else None
        if isinstance(config, FinetuneConfig):
            found = _supervised(model, weights, config, place)
    assert found is not None
    found |= {"format": FORMAT, "versions": runs.versions()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writing.write_atomically(path, json.dumps(found))
    except OSError as error:
        raise not_written(f"{path.parent} cannot be written", error) from None
    return found


def _pretraining(model: EncoderRef, weights: Weights | None, config: PretrainConfig) -> dict[str, Any]:
    import torch

    from simclr.views import augment, pictures, sample_images

    training = sample_images.TrainingImages(config)
    batch = training.samples(0, 0)  # the first batch of the first epoch
    places = list(range(min(NUM_IMAGES, len(batch.ids))))
    encoder = load_encoder(model, weights)
    with torch.inference_mode():
        images, ids = torch.from_numpy(batch.images[places]), torch.from_numpy(batch.ids[places])
        first, second = augment.two_views(
            images, ids, config.augmentation, seed=config.seed, epoch=0, size=training.size
        )
        layers = encoder(torch.cat([first, second]))
        views = [_picture(view[0]) for view in (first, second)]
    found: dict[str, Any] = {
        "image": pictures.png_address(_enlarged(batch.images[0].transpose(1, 2, 0))),
        "title": batch.title(0),
        "side": training.size,
        "views": views,
        "num_images": len(places),
        "dims": {name: int(rows.shape[1]) for name, rows in layers.items()},
        "parameters": {"encoder": _count(encoder.network), "head": _count(encoder.projector)},
        "h": _values(layers["h"][[0, len(places)]]),
    }
    if "z" in layers and len(places) > 1:
        rows = similarity.interleave(layers["z"][: len(places)], layers["z"][len(places) :])
        matrix = similarity.similarity_matrix(rows)
        measured = similarity.pair_numbers(matrix)
        found |= {
            "z": _values(layers["z"][[0, len(places)]]),
            "similarities": [[round(float(value), 3) for value in row] for row in matrix],
            "loss": similarity.at_temperature(matrix, config.temperature).loss,
            "top1": measured.top1,
        }
    return found


def _supervised(
    model: EncoderRef, weights: Weights | None, config: FinetuneConfig, place: str | None
) -> dict[str, Any]:
    import torch

    from simclr.embeddings import networks
    from simclr.embeddings.selection import ImageSelection, load_selection
    from simclr.views import augment, pictures, resampling

    chosen = load_selection(model.run, ImageSelection(num_images=1, place=place))
    size = int(config.image_size or chosen.chosen.image_size)
    network, head = networks.network_of(model, size, weights)
    image = chosen.chosen.images_at(torch.arange(1))
    with torch.inference_mode():
        plain = resampling.resize(augment.to_float(image), size)
        if config.augmentation is not None:
            view = augment.random_view(
                image, chosen.chosen.ids[:1], config.augmentation, seed=config.seed, epoch=0, view=0, size=size
            )
        else:
            view = plain
        h = network.eval()(augment.normalize(plain)).flatten(1).float()
        shares = torch.softmax(head.eval()(h).float()[0], dim=0).tolist() if head is not None else []
        views = [_picture(view[0])]
    names = chosen.classes or [str(number) for number in range(len(shares))]
    answers = sorted(zip(names, shares, strict=False), key=lambda item: -item[1])[:MOST_CLASSES]
    labels = chosen.labels
    truth = chosen.classes[int(labels[0])] if labels is not None and chosen.classes else ""
    return {
        "image": pictures.png_address(_enlarged(image[0].permute(1, 2, 0).numpy())),
        "title": truth,
        "side": size,
        "views": views,
        "dims": {"h": int(h.shape[1]), "classes": len(names)},
        "parameters": {"encoder": _count(network), "head": _count(head)},
        "h": _values(h.numpy()),
        "classes": [[name, round(share, 4)] for name, share in answers],
    }


def _picture(view: Tensor) -> str:
    """A view (3, S, S), float in 0..1, as an image address."""
    from simclr.views import pictures

    return pictures.png_address(_enlarged(pictures.sprite_sheet(view[None, None])))


def _enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(S, S, 3) at least `SIDE` pixels wide, each pixel repeated."""
    times = max(1, -(-SIDE // pixels.shape[0]))
    return np.ascontiguousarray(pixels.repeat(times, axis=0).repeat(times, axis=1))


def _values(rows: NDArray[np.float32]) -> list[list[float]]:
    """Some of the numbers of each row, evenly spread, as shares -1..1 of the largest."""
    places = np.unique(np.linspace(0, rows.shape[1] - 1, min(NUM_VALUES, rows.shape[1])).astype(int))
    kept = rows[:, places] / max(float(np.abs(rows[:, places]).max()), 1e-12)
    return [[round(float(value), 3) for value in row] for row in kept]


def _count(module: Any) -> int:
    """Numbers that training changes."""
    return sum(value.numel() for value in module.parameters()) if module is not None else 0


# --- the job --------------------------------------------------------------------------------------------------------


def start_job(run: Run, runs_dir: Path) -> Path:
    """Starts computing in the background, or gives the job that does so already.

    Raises:
        ConfigError: if there are no weights, or a folder cannot be written.
    """
    arguments = ["lab", run.id, "--what", JOB_NAME, "--runs_dir", str(runs_dir.resolve())]
    return jobs.start(JOB_NAME, _request(run), arguments, runs_dir)


def find_job(run: Run, runs_dir: Path) -> Path | None:
    return jobs.find(JOB_NAME, _request(run), runs_dir)


def _request(run: Run) -> dict[str, Any]:
    return {"results": [str(path_of(run))]}
