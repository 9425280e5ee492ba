"""An encoder as one ONNX file with its preprocessing inside, written by whichever exporter gives the same values."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from simclr.config import ConfigError
from simclr.encoders.encoder import Encoder
from simclr.views import augment

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
EXTRA = "simclr-explorer[export]"
BATCH_SIZES = (1, 7)  # of the images that both are compared on
# Of the largest value: kernels add in another order, which in float32 gives some 1e-6.
TOLERANCE = 1e-4
MOST_BYTES = 2_000_000_000  # of weights: one file is one message of Protocol Buffers, which ends at 2 GiB
TRACE_SIZE = 2  # images that the network is traced with; one alone would be taken for a constant


class Parity(NamedTuple):
    """How near the values of a written file are to those of PyTorch.

    difference: the largest between two values of h, or of the logits. largest: the largest value itself.
    """

    exporter: str
    difference: float
    largest: float


class _Deployed(nn.Module):
    """uint8 images (N, 3, S, S) to h (N, D) and, of a classifier, logits (N, K), both float32."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.network, self.classifier = encoder.network, encoder.classifier

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        h = self.network(augment.normalize(augment.to_float(images))).flatten(1)
        return (h,) if self.classifier is None else (h, self.classifier(h))


def check_packages() -> None:
    """Raises ConfigError if what writes and runs ONNX files is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"format is onnx, which needs {', '.join(missing)}; allowed: safetensors, or onnx after "
            f'pip install "{EXTRA}".'
        )


def check_size(encoder: Encoder) -> None:
    """Raises ConfigError if the weights are more than an ONNX file can have."""
    parts = [part for part in (encoder.network, encoder.classifier) if part is not None]
    size = sum(value.nbytes for part in parts for value in part.state_dict().values())
    if size > MOST_BYTES:
        raise ConfigError(
            f"format is onnx, and {encoder.config.backbone} has {size / 1e9:.1f} GB of weights, more than the "
            f"{MOST_BYTES / 1e9:g} GB of an ONNX file; allowed: safetensors."
        )


def write(encoder: Encoder, path: Path, images: NDArray[np.uint8]) -> Parity:
    """Writes a file whose values are those of the encoder.

    The input `images` is uint8 (N, 3, S, S) for any N, and is normalized inside. Outputs are `h` (N, num_features) and,
    of a classifier, `logits` (N, num_classes).

    Args:
        encoder: on the CPU.
        path: of the new file; where this raises, what is there is not to be used.
        images: (n, 3, S, S) uint8, on which both are compared, one by one and in batches of seven.

    Raises:
        ConfigError: if no exporter gives a file with these values, or they are more than a file can have.
    """
    check_packages()
    check_size(encoder)
    module = _Deployed(encoder).eval()
    with torch.no_grad():
        expected = [values.numpy() for values in module(torch.from_numpy(images))]
    reasons = []
    for exporter in ("torch.export", "TorchScript"):
        try:
            _export(module, encoder, path, exporter)
            difference = _difference(path, images, expected)
        except Exception as error:  # an exporter may fail in any way of its own
            reasons.append(f"{exporter}: {_first_line(error)}")
            continue
        largest = max(float(np.abs(values).max()) for values in expected)
        if difference <= TOLERANCE * largest:
            return Parity(exporter, difference, largest)
        reasons.append(f"{exporter}: values are up to {difference:.2g} away, of {largest:.2g} at most")
    raise ConfigError(
        f"format is onnx, in which {encoder.config.backbone} does not come out right ({'; '.join(reasons)}); allowed: "
        "safetensors."
    )


def _export(module: nn.Module, encoder: Encoder, path: Path, exporter: str) -> None:
    outputs = ["h"] if encoder.classifier is None else ["h", "logits"]
    example = torch.zeros(TRACE_SIZE, 3, encoder.image_size, encoder.image_size, dtype=torch.uint8)
    more: dict[str, Any] = {"dynamic_axes": {name: {0: "n"} for name in ("images", *outputs)}, "dynamo": False}
    if exporter == "torch.export":
        more = {"dynamic_shapes": {"images": {0: torch.export.Dim("n")}}, "dynamo": True, "external_data": False}
    with _quiet():
        torch.onnx.export(module, (example,), path, input_names=["images"], output_names=outputs, **more)
    _describe(path, encoder)


def _describe(path: Path, encoder: Encoder) -> None:
    """Writes into the file what it takes and gives, so that it can be used without anything else."""
    import onnx

    model = onnx.load(path)
    model.doc_string = (
        f"images: uint8 (N, 3, {encoder.image_size}, {encoder.image_size}), RGB, 0 to 255, not normalized. "
        f"h: float32 (N, {encoder.num_features})."
    )
    about = {"image_size": str(encoder.image_size), "backbone": str(encoder.config.backbone)}
    if encoder.classes:
        about["classes"] = json.dumps(encoder.classes)
    onnx.helper.set_model_props(model, about)
    onnx.save(model, path)


def _difference(path: Path, images: NDArray[np.uint8], expected: list[NDArray[np.float32]]) -> float:
    """The largest one, over all outputs and `BATCH_SIZES`; infinite where one is no number."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for size in BATCH_SIZES:
        parts = [session.run(None, {"images": images[at : at + size]}) for at in range(0, len(images), size)]
        for values, wanted in zip(zip(*parts, strict=True), expected, strict=True):
            difference = np.abs(np.concatenate(values) - wanted).max()
            worst = max(worst, float(difference) if np.isfinite(difference) else float("inf"))
    return worst


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters say much that only their developers can use."""
    names = ("torch.onnx", "onnxscript", "onnx_ir")
    before = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(lines[0].split())[:160] if lines else type(error).__name__
