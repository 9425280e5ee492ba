"""Reading weights that others have saved: files of torch.save and safetensors, without running code that they carry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy._core import multiarray
from torch import Tensor

from simclr.config import ConfigError

RULE = "allowed: a file that torch.save made of a state dict, such as a run's model.pt, or a .safetensors file"
MAX_DEPTH = 4  # of sections within sections
# Sections of a checkpoint that hold tensors, but no weights.
NO_WEIGHTS = re.compile("optim|sched|scaler|rng|callback|loops|hyper_parameters", re.IGNORECASE)
SECTIONS = ("state_dict", "model", "model_state_dict")  # that hold the weights where a file has several
NETWORKS = ("torch.nn.modules.", "torchvision.models.")  # what whole networks are made of
REFUSED = re.compile(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)")
# Numbers of NumPy, which stand for a best accuracy or a seed: values, no code. Older files name the older module.
NUMPY: list[Any] = [
    np.ndarray,
    np.dtype,
    multiarray.scalar,
    multiarray._reconstruct,
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    (multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
    *{type(np.dtype(letter)) for letter in "?bBhHiIlLqQefd"},
]


def read_state(path: Path, stream: IO[bytes] | None = None) -> dict[str, Tensor]:
    """The tensors of a weights file, loaded without running any code that it might carry.

    Args:
        stream: the file, where it is open already.

    Raises:
        ConfigError: if it is not a weights file.
    """
    try:
        if path.suffix == ".safetensors":
            content = _read_safetensors(path, stream)
        else:
            with torch.serialization.safe_globals(NUMPY):
                content = torch.load(stream or path, map_location="cpu", weights_only=True)
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
        raise ConfigError(f"experiment_version is {path}, which is not a weights file; {RULE}.") from None
    sections = _sections(content) if isinstance(content, Mapping) else {}
    if not sections:
        raise ConfigError(f"experiment_version is {path}, which holds no weights; {RULE}.")
    for name in (*SECTIONS, *(sections if len(sections) == 1 else ())):
        if name in sections:
            return sections[name]
    return {f"{name}.{key}".lstrip("."): value for name, state in sections.items() for key, value in state.items()}


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
    return match[1] if match else ""


def _sections(content: Mapping[Any, Any], depth: int = MAX_DEPTH) -> dict[str, dict[str, Tensor]]:
    """The state dicts in a file by the name of their section, such as `state_dict`, or `student` and `teacher`.

    "" are the tensors at the top, beside which an epoch number or a section may stand.
    """
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    found = {"": tensors} if tensors else {}
    for name, value in content.items():
        if isinstance(value, Mapping) and depth > 0 and not NO_WEIGHTS.search(str(name)):
            inner = _sections(value, depth - 1)
            found |= {f"{name}.{below}".rstrip("."): state for below, state in inner.items()}
    return found
