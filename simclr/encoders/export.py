"""Writes an encoder for use elsewhere: a folder as the Hugging Face Hub has them, checked on real images first.

FOLDER/model.safetensors    weights by torchvision's names
FOLDER/model.onnx           the network with its preprocessing: uint8 images in, h out
FOLDER/config.json          what is needed to build the network and to prepare images, as timm reads it
FOLDER/README.md            the model card: data, recipe, figures, limits, how to use it
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simclr.config import ConfigError
from simclr.data import shapes
from simclr.data.loading import load_other_data
from simclr.encoders import exported, model_card, onnx_model
from simclr.encoders.encoder import Encoder
from simclr.encoders.exported import CARD, CONFIG, FILES
from simclr.encoders.load import load_encoder
from simclr.files import writing
from simclr.files.user_paths import user_path
from simclr.models import backbones, state_dicts
from simclr.runs import Run
from simclr.runs.status import Report, no_report
from simclr.views import augment, resampling

NUM_IMAGES = 64  # on which a written file is compared with the encoder
CHECKING, WRITING = "Reading images to compare on", "Writing"


class Exported(NamedTuple):
    """One written file. said: how it was checked, for people."""

    path: Path
    said: str


def export(
    run: Run,
    formats: Sequence[str],
    folder: Path,
    *,
    checkpoint: str | None = None,
    dataset: str | None = None,
    force: bool = False,
    report: Report = no_report,
) -> list[Exported]:
    """Writes an encoder in these formats; nothing is written where one does not come out right.

    Args:
        run: whose encoder it is.
        formats: of `exported.FORMATS`.
        folder: is made; one that holds anything but an earlier export is refused.
        checkpoint: `best`, `last` or `epoch-N`; None: the final weights.
        dataset: where the images are that it is checked on; None: the run's own, else drawn shapes.
        force: writes into a folder that holds other files.

    Raises:
        ConfigError: for bad input, a format that does not come out right, or a folder that cannot be written.
    """
    check_folder(folder, force=force)
    if "onnx" in formats:
        onnx_model.check_packages()
    encoder = load_encoder(f"{run.path}@{checkpoint}" if checkpoint else run.path)
    report(CHECKING, 0.0)
    images, whose = sample_images(encoder, dataset)
    done: list[Exported] = []
    drafts: list[tuple[Path, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(formats):
            report(WRITING, (number + 0.5) / (len(formats) + 1))
            path = folder / FILES[name]
            draft = folder / f".{FILES[name]}.{os.getpid()}"
            drafts.append((draft, path))
            write = _write_safetensors if name == "safetensors" else _write_onnx
            done.append(Exported(path, f"on {len(images)} {whose}, {write(encoder, draft, images)}"))
        for draft, path in drafts:
            draft.replace(path)
        about = {path.name: said for path, said in done}
        writing.write_atomically(folder / CONFIG, json.dumps(model_card.config_of(encoder, run, checkpoint), indent=1))
        writing.write_atomically(folder / CARD, model_card.text_of(encoder, run, checkpoint, about))
    except OSError as error:
        raise ConfigError(f"out is {folder}, which cannot be written: {error.strerror or error}.") from None
    finally:
        for draft, _ in drafts:
            draft.unlink(missing_ok=True)
    return done


def check_folder(folder: Path, *, force: bool = False) -> None:
    """Raises ConfigError if a folder holds files that are no export, which `force` allows."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"out is {folder}, which is a file; allowed: a folder.")
    if force or not folder.is_dir():
        return
    try:
        others = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        raise ConfigError(f"out is {folder}, which cannot be read: {error.strerror}.") from None
    if others and not exported.about(folder):
        raise ConfigError(
            f"out is {folder}, which holds other files (such as {min(others)}); allowed: an empty folder, one of an "
            "earlier export, or --force."
        )


def sample_images(encoder: Encoder, dataset: str | None) -> tuple[NDArray[np.uint8], str]:
    """Images (n, 3, S, S) uint8 of the side that the encoder takes, evenly out of a data set, and what they are.

    Raises:
        ConfigError: if a data set is named that cannot be read.
    """
    side, name = encoder.image_size, dataset or encoder.config.dataset
    try:
        if name is None:
            raise ConfigError("The weights lie in no run.")
        data = load_other_data(encoder.config, name if dataset is None else _full(name), cut=False, max_bytes=0)
        split = data.test if data.test is not None else data.train
        positions = np.unique(np.linspace(0, split.num_images - 1, NUM_IMAGES).astype(int))
        pixels, whose = split.images_at(positions.tolist()), f"images of {Path(name).name}"
    except (ConfigError, OSError):
        if dataset is not None:
            raise
        drawn = shapes.generate("test", NUM_IMAGES, side)
        pixels, whose = torch.as_tensor(drawn.images), "drawn images (the run's own cannot be read here)"
    squares = resampling.resize(augment.to_float(pixels), side)
    return (squares * 255).round().clamp(0, 255).to(torch.uint8).numpy(), whose


def _full(dataset: str) -> str:
    folder = user_path(dataset)
    return str(folder.resolve()) if folder.is_dir() else dataset


def state_of(encoder: Encoder) -> dict[str, Tensor]:
    """The weights by the names that they have in `model.pt`: torchvision's, with the classifier where its own was."""
    state = dict(encoder.network.state_dict())
    if encoder.classifier is not None:
        head = encoder.classifier.state_dict()
        state |= {f"{encoder.classifier_name}.{name}": value for name, value in head.items()}
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}


def _write_safetensors(encoder: Encoder, path: Path, images: NDArray[np.uint8]) -> str:
    """Writes the weights, and reads them back into a new network, which has to give the same h to the last bit."""
    from safetensors.torch import load_file, save

    path.write_bytes(save(state_of(encoder), metadata={"format": "pt"}))
    state = load_file(path)
    small_stem = state_dicts.has_small_stem(state)
    with torch.random.fork_rng(devices=[]):
        again = backbones.build_encoder(str(encoder.config.backbone), encoder.image_size, small_stem=small_stem)
    state_dicts.load_encoder(again, state, path)
    x = augment.normalize(augment.to_float(torch.from_numpy(images)))
    with torch.no_grad():
        expected, found = encoder(x), again.network.eval()(x).flatten(1)
    if not torch.equal(expected, found):
        worst = float((expected - found).abs().max())
        raise ConfigError(
            f"format is safetensors, in which {encoder.config.backbone} does not come out right: its features are up "
            f"to {worst:.2g} away when they are read back."
        )
    return "the weights that were read back give the same features to the last bit"


def _write_onnx(encoder: Encoder, path: Path, images: NDArray[np.uint8]) -> str:
    parity = onnx_model.write(encoder, path, images)
    return (
        f"one by one and in batches of 7, values are at most {parity.difference:.1e} from PyTorch's, of up to "
        f"{parity.largest:.1f} (onnxruntime; written by {parity.exporter})"
    )
