"""Names that other programs give to the tensors of a network, as this package names them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor, nn

# ResNets of the library transformers, whose blocks it calls layers of stages.
TRANSFORMERS = (
    (r"embedder\.embedder\.convolution\.", "conv1."),
    (r"embedder\.embedder\.normalization\.", "bn1."),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.convolution\.", ("layer", 1, "downsample.0.")),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.normalization\.", ("layer", 1, "downsample.1.")),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.convolution\.", ("layer", 1, "conv")),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.normalization\.", ("layer", 1, "bn")),
)


def translations(network: nn.Module, state: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The same tensors under other names, for each way of naming that the file may follow."""
    yield from _by_position(network, state)
    if any("embedder.embedder." in key for key in state):
        yield {_of_transformers(key): value for key, value in state.items()}


def _by_position(network: nn.Module, state: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """As `nn.Sequential(*network.children())` names them: by the position of the child, as in `backbone.0.weight`.

    Children without tensors have positions too, but some leave them out (the pooling of a small-image stem), so the
    order of those that hold tensors decides. A classifier may come last.
    """
    children = [name for name, child in network.named_children() if child.state_dict()]
    found: dict[str, set[int]] = {}
    for key in state:
        parts = key.split(".")
        for place, part in enumerate(parts[:-1]):
            if part.isdecimal():
                found.setdefault("".join(f"{name}." for name in parts[:place]), set()).add(int(part))
    for prefix, indices in found.items():
        if len(indices) - len(children) in (0, 1):
            names = dict(zip(map(str, sorted(indices)), [*children, "fc"], strict=False))
            yield {_named(key, prefix, names): value for key, value in state.items()}


def _named(key: str, prefix: str, names: Mapping[str, str]) -> str:
    index, dot, rest = key.removeprefix(prefix).partition(".")
    return f"{prefix}{names[index]}{dot}{rest}" if key.startswith(prefix) and index in names else key


def _of_transformers(key: str) -> str:
    for pattern, name in TRANSFORMERS:
        if match := re.search(pattern, key):
            if isinstance(name, str):
                new = name
            else:
                stage, block, *number = (int(part) for part in match.groups())
                last = f"{name[2]}{number[0] + 1}." if number else name[2]
                new = f"{name[0]}{stage + name[1]}.{block}.{last}"
            return key[: match.start()] + new + key[match.end() :]
    return key


def first_layer(state: Mapping[str, Tensor]) -> Tensor | None:
    """The first convolution of a ResNet among tensors under any of these names; None where there is none."""
    by_position = any(re.search(r"\d+\.\d+\.conv1\.weight$", key) for key in state)
    names = re.compile(r"(^|\.)(conv1|embedder\.embedder\.convolution%s)\.weight$" % ("|0" if by_position else ""))
    for key, value in state.items():
        if names.search(key) and value.ndim == 4 and value.shape[1] == 3 and "layer" not in key:
            return value
    return None
