"""Encoders h = f(x): torchvision's classifiers with the classifier taken off, and a small ResNet for CPUs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, ResNet

from simclr.config import BACKBONES, ConfigError

SMALL_IMAGE_SIDE = 64  # up to here a ResNet gets the 3x3 stem without pooling (Chen et al. 2020, section B.9)
TINY_WIDTHS = (16, 32, 64, 128)


class Encoder(NamedTuple):
    """A network without its classifier, (N, 3, S, S) to (N, num_features), and where the classifier was."""

    network: nn.Module
    num_features: int
    classifier_name: str  # such as `fc`: where the head's weights stand in `model.pt`


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
    if isinstance(content, Mapping):
        for section in ("state_dict", "model", "model_state_dict"):
            if isinstance(content.get(section), Mapping):
                content = content[section]
                break
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ConfigError(f"experiment_version is {path}, which holds no weights; {rule}.")
    return {str(key): value for key, value in content.items()}


def has_small_stem(state: Mapping[str, Tensor]) -> bool | None:
    """Whether the weights are of a ResNet with the small-image stem; None if they do not tell."""
    for key, value in state.items():
        if key.endswith("conv1.weight") and "layer" not in key and value.ndim == 4 and value.shape[1] == 3:
            return value.shape[-1] == 3
    return None


def load_encoder(encoder: Encoder, state: Mapping[str, Tensor], path: Path) -> None:
    """Loads the encoder's weights, all of them; the head's are left out, and a common prefix is taken off.

    Raises:
        ConfigError: if the weights are not of this network.
    """
    wanted = encoder.network.state_dict()
    first = next(iter(wanted))  # what wrappers put before this key, they put before all
    prefixes = dict.fromkeys(key.removesuffix(first) for key in state if key.endswith(first))
    candidates = [
        {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        for prefix in prefixes
    ] or [dict(state)]
    best = max(candidates, key=lambda found: sum(key in found for key in wanted))
    missing = [key for key in wanted if key not in best]
    if missing:
        raise ConfigError(
            f"experiment_version is {path}, which lacks {len(missing)} of the {len(wanted)} tensors of this backbone "
            f"(such as {missing[0]}); allowed: weights of the same backbone."
        )
    for key, value in wanted.items():
        if best[key].shape != value.shape:
            raise ConfigError(
                f"experiment_version is {path}, whose {key} is {tuple(best[key].shape)} where this backbone has "
                f"{tuple(value.shape)}; allowed: weights of the same backbone and stem."
            )
    encoder.network.load_state_dict({key: best[key] for key in wanted})
