"""Encoders h = f(x): torchvision's classifiers with the classifier taken off, and a small ResNet for CPUs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, ResNet

from simclr.config import BACKBONES, ConfigError

SMALL_IMAGE_SIDE = 64  # up to here a ResNet gets the 3x3 stem without pooling (Chen et al. 2020, section B.9)
TINY_WIDTHS = (16, 32, 64, 128)
GUESS_SIDE = 224  # pixels that every network can take


class Encoder(NamedTuple):
    """A network without its classifier, (N, 3, S, S) to (N, num_features), and where the classifier was."""

    network: nn.Module
    num_features: int
    classifier_name: str  # such as `fc`: where the head's weights stand in `model.pt`


class AveragePool(nn.Module):
    """`nn.AdaptiveAvgPool2d(size)` as two products of matrices, whose gradient is the same each time on a GPU too."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[-2:]) == self.size:
            return x
        with torch.autocast(x.device.type, enabled=False):
            rows, columns = (self._weights(*sizes, x.device) for sizes in zip(x.shape[-2:], self.size, strict=True))
            pooled = rows.mT @ (x.float() @ columns)  # (N, C, H, W) to (N, C, *size)
        return pooled.to(x.dtype)

    @staticmethod
    def _weights(side: int, size: int, device: torch.device) -> Tensor:
        """(side, size): how much of each row goes into each mean."""
        return nn.functional.adaptive_avg_pool1d(torch.eye(side, device=device)[None], size)[0]


def make_deterministic(network: nn.Module) -> None:
    """Replaces in place what has no deterministic gradient on a GPU: of all backbones, the pooling of AlexNet and VGG.

    Averaging to one pixel is a plain mean to PyTorch, and stays.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.AdaptiveAvgPool2d):
            size = module.output_size if isinstance(module.output_size, tuple) else (module.output_size,) * 2
            if size != (1, 1):
                network.set_submodule(name, AveragePool(size))  # type: ignore[arg-type]


class TinyResNet(nn.Module):
    """A ResNet of four basic blocks, 16 to 128 channels wide, under torchvision's key names; 0.3 M parameters."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, TINY_WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(TINY_WIDTHS[0])
        before = TINY_WIDTHS[0]
        for number, width in enumerate(TINY_WIDTHS, start=1):
            stride = 1 if number == 1 else 2
            shortcut = None
            if stride != 1 or before != width:
                shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
            setattr(self, f"layer{number}", nn.Sequential(BasicBlock(before, width, stride, shortcut)))
            before = width
        self.fc = nn.Linear(before, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))  # (N, 16, S, S)
        for number in range(1, len(TINY_WIDTHS) + 1):
            x = self.get_submodule(f"layer{number}")(x)  # at last (N, 128, S / 8, S / 8)
        out: Tensor = self.fc(x.mean(dim=(2, 3)))
        return out


def build_encoder(name: str, image_size: int, *, small_stem: bool | None = None) -> Encoder:
    """Returns the encoder called `name` with random weights.

    Args:
        name: one of `config.BACKBONES`.
        image_size: side of the images, in pixels.
        small_stem: whether a ResNet gets the small-image stem; None: up to 64 px.

    Raises:
        ConfigError: if the network cannot take images of this size, with the reason.
    """
    if name not in BACKBONES:
        raise ConfigError(f"backbone is {name}; allowed: one of {', '.join(BACKBONES)}.")
    if small_stem is None:
        small_stem = image_size <= SMALL_IMAGE_SIDE
    try:
        # a RegNet computes its widths with tensors, so it is built for real and then emptied
        with torch.device("cpu" if name.startswith("regnet") else "meta"):
            trial = _build_network(name, image_size, small_stem).eval()
        trial.to("meta")(torch.empty(2, 3, image_size, image_size, device="meta"))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        reason = " ".join(str(error).split())[:160] or "it is too small"
        raise ConfigError(
            f"backbone is {name}, which cannot take images of {image_size} x {image_size} pixels: {reason}."
        ) from None
    network = _build_network(name, image_size, small_stem)
    classifier_name = find_classifier(network)
    classifier = network.get_submodule(classifier_name)
    if isinstance(classifier, nn.Linear):
        num_features = classifier.in_features
        network.set_submodule(classifier_name, nn.Identity())
    else:  # squeezenet classifies by a convolution: its features are the averaged maps before it
        num_features = next(m for m in classifier.modules() if isinstance(m, nn.Conv2d)).in_channels
        network.set_submodule(classifier_name, nn.AdaptiveAvgPool2d(1))
    return Encoder(network, num_features, classifier_name)


def _build_network(name: str, image_size: int, small_stem: bool) -> nn.Module:
    if name == "resnet_tiny":
        return TinyResNet()
    options: dict[str, object] = {}
    if name.startswith("vit_"):
        options = {"image_size": image_size}
    elif name.startswith("maxvit"):
        options = {"input_size": (image_size, image_size)}
    elif name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": not torch.empty(0).is_meta}
    network: nn.Module = models.get_model(name, weights=None, **options)
    if small_stem and isinstance(network, ResNet):
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        network.maxpool = nn.Identity()
    return network


def find_classifier(network: nn.Module) -> str:
    """Name of the module that maps features to classes: the last linear layer, squeezenet's last block else."""
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else "classifier"


# --- weights --------------------------------------------------------------------------------------------------------


def join_state(encoder: Encoder, head: nn.Module) -> dict[str, Tensor]:
    """The plain state dict of `model.pt`: the encoder's keys, and the head's where the classifier was."""
    state = {key: value.detach().cpu().contiguous().clone() for key, value in encoder.network.state_dict().items()}
    for key, value in head.state_dict().items():
        state[f"{encoder.classifier_name}.{key}"] = value.detach().cpu().contiguous().clone()
    return state


def read_state(path: Path, stream: IO[bytes] | None = None) -> dict[str, Tensor]:
    """The tensors of a weights file, loaded without running any code that it might carry.

    Args:
        stream: the file, where it is open already.

    Raises:
        ConfigError: if it is not a weights file.
    """
    rule = "allowed: a file that torch.save made of a state dict, such as a run's model.pt"
    try:
        content = torch.load(stream or path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"experiment_version is {path}, which cannot be read: {error.strerror}.") from None
    except Exception:  # torch's reader raises whatever a damaged file leads it to
        raise ConfigError(f"experiment_version is {path}, which is not a weights file; {rule}.") from None
    sections = _sections(content) if isinstance(content, Mapping) else {}
    if not sections:
        raise ConfigError(f"experiment_version is {path}, which holds no weights; {rule}.")
    for name in ("state_dict", "model", "model_state_dict", *(sections if len(sections) == 1 else ())):
        if name in sections:
            return sections[name]
    return {f"{name}.{key}": value for name, state in sections.items() for key, value in state.items()}


def _sections(content: Mapping[Any, Any], depth: int = 2) -> dict[str, dict[str, Tensor]]:
    """The state dicts in a file by the name of their section, such as `state_dict`, or `student` and `teacher`."""
    if content and all(isinstance(value, Tensor) for value in content.values()):
        return {"": {str(key): value for key, value in content.items()}}
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in content.items():
        if isinstance(value, Mapping) and depth > 0:  # an optimizer's tensors lie deeper
            inner = _sections(value, depth - 1)
            found |= {f"{name}.{below}".rstrip("."): state for below, state in inner.items()}
    return found


def has_small_stem(state: Mapping[str, Tensor]) -> bool | None:
    """Whether the weights are of a ResNet with the small-image stem; None if they do not tell."""
    for key, value in state.items():
        if key.endswith("conv1.weight") and "layer" not in key and value.ndim == 4 and value.shape[1] == 3:
            return value.shape[-1] == 3
    return None


class _Fit(NamedTuple):
    """How the tensors under one prefix of a file compare with those of a network, by name."""

    prefix: str
    missing: list[str]
    leftover: list[str]  # of the encoder, which this network does not have
    differing: list[str]  # in shape

    @property
    def is_whole(self) -> bool:
        return not (self.missing or self.leftover or self.differing)


def load_encoder(encoder: Encoder, state: Mapping[str, Tensor], path: Path) -> None:
    """Loads the encoder's weights, all of them; the head's are left out, and a common prefix is taken off.

    Where a file holds two encoders, as those of MoCo, BYOL and DINO do, the one that was trained by gradients is
    taken, not its moving average, and a printed line says so.

    Raises:
        ConfigError: if the weights are not of this network: some are missing, of another shape, or left over; or if
            they are not finite.
    """
    chosen = pick_weights(encoder, state, path)
    broken = [key for key, value in chosen.items() if not torch.isfinite(value).all()]
    if broken:
        raise ConfigError(
            f"{len(broken)} of the {len(chosen)} tensors in {path} (such as {broken[0]}) hold values that are not "
            "finite; allowed: weights of a training that did not diverge."
        )
    encoder.network.load_state_dict(chosen, strict=False)


def pick_weights(encoder: Encoder, state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Of a file's tensors those of the encoder, under its own names; values are not looked at."""
    wanted = encoder.network.state_dict()
    fits = _compare(wanted, encoder.classifier_name, state)
    whole = sorted((fit for fit in fits if fit.is_whole), key=lambda fit: _averaged(fit.prefix))
    if not whole:
        raise ConfigError(_mismatch(encoder, state, path, fits))
    prefix = whole[0].prefix
    chosen = {key: state[prefix + key] for key in wanted if prefix + key in state}
    others = [fit.prefix for fit in whole[1:] if any(chosen[key] is not state[fit.prefix + key] for key in chosen)]
    if others:
        names = ", ".join((other or "(no prefix)") for other in others)
        print(f"{path} holds {len(others) + 1} encoders: {prefix or '(no prefix)'} is taken, not {names}", flush=True)
    return chosen


def _compare(wanted: Mapping[str, Tensor], classifier_name: str, state: Mapping[str, Tensor]) -> list[_Fit]:
    """One comparison for each prefix under which the network may stand; wrappers put it before all keys."""
    first = next(iter(wanted))
    prefixes = dict.fromkeys(key.removesuffix(first) for key in state if key.endswith(first))
    roots = {key.partition(".")[0] for key in wanted} - {classifier_name.partition(".")[0]}
    fits = []
    for prefix in prefixes or [""]:
        found = {key.removeprefix(prefix): value.shape for key, value in state.items() if key.startswith(prefix)}
        fits.append(
            _Fit(
                prefix,
                [key for key in wanted if key not in found and not _is_count(key)],
                [key for key in found if key not in wanted and key.partition(".")[0] in roots and not _is_count(key)],
                [key for key, value in wanted.items() if key in found and found[key] != value.shape],
            )
        )
    return fits


def _is_count(key: str) -> bool:
    return key.endswith("num_batches_tracked")  # older files lack it, and nothing here reads it


def _averaged(prefix: str) -> int:
    """By its name: 0 for an encoder that gradients trained beside its moving average, 2 for the average, 1 else."""
    words = set(re.split(r"[^a-z]+", prefix.lower()))
    if words & {"query", "q", "online", "student"}:
        return 0
    return 2 if words & {"momentum", "target", "teacher", "key", "k", "ema"} else 1


def _mismatch(encoder: Encoder, state: Mapping[str, Tensor], path: Path, fits: list[_Fit]) -> str:
    """Why the weights are not those of this network, from the prefix that comes closest, and whose they seem to be."""
    wanted = encoder.network.state_dict()
    best = min(fits, key=lambda fit: (len(fit.missing), len(fit.differing), len(fit.leftover)))
    if best.missing:
        what = f"lacks {len(best.missing)} of the {len(wanted)} tensors of this backbone (such as {best.missing[0]})"
    elif best.differing:
        key = best.differing[0]
        theirs, mine = tuple(state[best.prefix + key].shape), tuple(wanted[key].shape)
        what = f"has another shape in {len(best.differing)} tensors: {key} is {theirs} where this backbone has {mine}"
    else:
        named = ", ".join(best.leftover[:3]) + (", ..." if len(best.leftover) > 3 else "")
        number = f"{len(best.leftover)} tensor{'' if len(best.leftover) == 1 else 's'}"
        what = f"holds {number} of an encoder that this backbone does not have ({named})"
    guess = _guess(encoder, state)
    seems = f"; they seem to be weights of {guess}" if guess else ""
    return f"experiment_version is {path}, which {what}{seems}; allowed: weights of the same backbone and stem."


def _guess(encoder: Encoder, state: Mapping[str, Tensor]) -> str:
    """The network of the same family whose tensors a file holds, by names and shapes; empty where none fits."""
    family = models.resnet.__name__ if isinstance(encoder.network, TinyResNet) else type(encoder.network).__module__
    for name in BACKBONES:
        if name != "resnet_tiny" and models.get_model_builder(name).__module__ != family:
            continue
        if name.startswith("regnet"):  # cannot be built without memory for its weights
            continue
        with torch.device("meta"):
            network = _build_network(name, GUESS_SIDE, small_stem=False)
        classifier = find_classifier(network)
        network.set_submodule(classifier, nn.Identity())
        # the stem of a ResNet and the position embedding of a ViT go by the size of the images
        fits = _compare(network.state_dict(), classifier, state)
        if any(not (fit.missing or fit.leftover) and len(fit.differing) <= 1 for fit in fits):
            return name
    return ""
