"""Reading weights that others have saved: files of torch.save and safetensors, without running code that they carry."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy._core import multiarray
from torch import Tensor

from simclr.config import ConfigError

RULE = "allowed: a file that torch.save made of a state dict, such as a run's model.pt, or a .safetensors file"
MAX_DEPTH = 8  # of sections within sections
# Sections of a checkpoint that hold tensors, but no weights.
NO_WEIGHTS = re.compile("optim|sched|scaler|rng|callback|loops|hyper_parameters", re.IGNORECASE)
SECTIONS = ("state_dict", "model", "model_state_dict")  # that hold the weights where a file has several
NETWORKS = ("torch.nn.modules.", "torchvision.models.")  # what whole networks are made of
REFUSED = re.compile(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)|but got <class '([\w.]+)'>")
TORCHSCRIPT = "but got a torchscript checkpoint"  # as PyTorch's message ends
# Numbers of NumPy, which stand for a best accuracy or a seed: values, no code. Older files name the older module.
NUMPY: list[Any] = [
    np.ndarray,
    np.dtype,
    multiarray.scalar,
    multiarray._reconstruct,
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    (multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
    *{type(np.dtype(letter)) for letter in "?bBhHiIlLqQefdFDSUMm"},
]


def read_state(path: Path, stream: IO[bytes] | None = None) -> dict[str, Tensor]:
    """The tensors of a weights file, loaded without running any code that it might carry.

    Args:
        stream: the file, where it is open already.

    Raises:
        ConfigError: if it is not a weights file.
    """
    try:
        content = _read_safetensors(path, stream) if _is_safetensors(path, stream) else _read_torch(path, stream)
    except OSError as error:
        raise ConfigError(f"experiment_version is {path}, which cannot be read: {error.strerror}.") from None
    except Exception as error:  # a damaged file makes the readers raise anything
        if objects := _objects(path) or _object_in(error):
            state = ".state_dict()" if any(name in objects for name in NETWORKS) else "['state_dict']"
            raise ConfigError(
                f"experiment_version is {path}, which holds objects besides its weights ({objects}), and reading them "
                "could run code; allowed: its state dict alone, which torch.save(torch.load(FILE, "
                f"weights_only=False){state}, 'weights.pt') makes where you trust the file."
            ) from None
        if _is_torchscript(path):
            raise ConfigError(
                f"experiment_version is {path}, which is a TorchScript program; allowed: its state dict alone, which "
                "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt') makes where you trust the file."
            ) from None
        raise ConfigError(f"experiment_version is {path}, which is not a weights file; {RULE}.") from None
    sections = _sections(content)
    if not sections:
        raise ConfigError(f"experiment_version is {path}, which holds no weights; {RULE}.")
    for name in (*SECTIONS, *(sections if len(sections) == 1 else ())):
        if name in sections:
            return sections[name]
    return {f"{name}.{key}".lstrip("."): value for name, state in sections.items() for key, value in state.items()}


def _is_safetensors(path: Path, stream: IO[bytes] | None) -> bool:
    """By what a file holds, since the blobs of a cache have no ending: the length of a header in JSON, and that."""
    if stream is not None:
        start, _ = stream.read(9), stream.seek(0)
    else:
        with path.open("rb") as file:
            start = file.read(9)
    return start[8:] == b"{" or (path.suffix == ".safetensors" and start[:2] != b"PK")


def _is_torchscript(path: Path) -> bool:
    try:
        torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception as error:  # of a damaged file, anything
        return TORCHSCRIPT in str(error)
    return False


def _read_torch(path: Path, stream: IO[bytes] | None) -> Any:
    if stream is None:  # of a path, PyTorch goes by the ending of the name
        with path.open("rb") as file:
            return _read_torch(path, file)
    with torch.serialization.safe_globals(NUMPY), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kinds of files that are refused
        return torch.load(stream, map_location="cpu", weights_only=True)


def _read_safetensors(path: Path, stream: IO[bytes] | None) -> dict[str, Tensor]:
    from safetensors.torch import load

    return load(stream.read() if stream is not None else path.read_bytes())


def _objects(path: Path) -> str:
    """The kinds of objects in a file of torch.save that are refused, in words; empty where there are none."""
    try:
        with torch.serialization.safe_globals(NUMPY):
            found = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # damaged, or of the older format
        return ""
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")


def _object_in(error: Exception) -> str:
    """The first object that PyTorch refused, by its message, which is all that an older file tells."""
    match = REFUSED.search(str(error))
    return (match[1] or match[2]) if match else ""


def _sections(content: Any, depth: int = MAX_DEPTH) -> dict[str, dict[str, Tensor]]:
    """The state dicts in a file by the name of their section, such as `state_dict`, or `student` and `teacher`.

    "" are the tensors at the top, beside which an epoch number or a section may stand. Arrays of NumPy are tensors too,
    and a state dict in a list is named by its place there; tensors in a list have no names.
    """
    is_named = isinstance(content, Mapping)
    items = list(content.items()) if is_named else list(enumerate(content)) if isinstance(content, list | tuple) else []
    tensors = {str(key): _tensor(value) for key, value in items if is_named and _is_tensor(value)}
    found = {"": tensors} if tensors else {}
    for name, value in items:
        if isinstance(value, Mapping | list | tuple) and depth > 0 and not NO_WEIGHTS.search(str(name)):
            inner = _sections(value, depth - 1)
            found |= {f"{name}.{below}".rstrip("."): state for below, state in inner.items()}
    return found


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "fiub")


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))  # which may be written to
