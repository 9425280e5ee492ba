"""Encoders h = f(x): torchvision's classifiers with the classifier taken off, and small networks for CPUs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import ResNet

from simclr.config import BACKBONES, ConfigError
from simclr.models import own_networks
from simclr.models.small_networks import SMALL_NETWORKS

SMALL_IMAGE_SIDE = 64  # up to here a ResNet gets the 3x3 stem without pooling (Chen et al. 2020, section B.9)
OWN_HEADS = ("fc", "head", "simclr_head")  # where the head of an encoder of one's own may stand in `model.pt`
SIDES = (32, 64, 96, 128, 160, 224, 256, 299, 384, 512)  # that are tried for one that a network can take


class Backbone(NamedTuple):
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


def build_encoder(name: str, image_size: int, *, small_stem: bool | None = None) -> Backbone:
    """Returns the encoder called `name` with random weights.

    Args:
        name: one of `config.BACKBONES`, or what `own_networks.remember` gave: then a copy, with its weights.
        image_size: side of the images, in pixels.
        small_stem: whether a ResNet gets the small-image stem; None: up to 64 px.

    Raises:
        ConfigError: if the network cannot take images of this size, with the reason.
    """
    if own_networks.is_own(name):
        return backbone_of(own_networks.copy_of(name), image_size)
    check_size(name, image_size, small_stem=small_stem)
    if small_stem is None:
        small_stem = image_size <= SMALL_IMAGE_SIDE
    network = build_network(name, image_size, small_stem)
    classifier_name = find_classifier(network)
    classifier = network.get_submodule(classifier_name)
    if isinstance(classifier, nn.Linear):
        num_features = classifier.in_features
        network.set_submodule(classifier_name, nn.Identity())
    else:  # squeezenet classifies by a convolution: its features are the averaged maps before it
        num_features = next(m for m in classifier.modules() if isinstance(m, nn.Conv2d)).in_channels
        network.set_submodule(classifier_name, nn.AdaptiveAvgPool2d(1))
    return Backbone(network, num_features, classifier_name)


def backbone_of(network: nn.Module, image_size: int) -> Backbone:
    """An encoder of one's own as this package's are: (N, 3, S, S) to (N, num_features), which is tried on zeros.

    Args:
        network: gives features, without a classifier; it is not copied.
        image_size: side of the images, in pixels.

    Raises:
        ConfigError: if it does not take such images, or gives anything but one row of features for each.
    """
    name, rule = type(network).__name__, "allowed: a module that turns images (N, 3, S, S) into features (N, D)"
    device = next((value.device for value in network.parameters()), torch.device("cpu"))
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            h = network.eval()(torch.zeros(2, 3, image_size, image_size, device=device))
    except Exception as error:  # whatever code that is not ours may raise
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise ConfigError(
            f"backbone is {name}, which cannot take images of {image_size} x {image_size} pixels: {why}; {rule}."
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode
    if not isinstance(h, Tensor) or h.ndim < 2 or h[0].numel() != h.shape[1] or len(h) != 2:
        what = f"a tensor of shape {tuple(h.shape)}" if isinstance(h, Tensor) else f"a {type(h).__name__}"
        raise ConfigError(f"backbone is {name}, which gives {what} for 2 images; {rule}.")
    taken = {key.partition(".")[0] for key in network.state_dict()}
    return Backbone(network, h.shape[1], next(word for word in OWN_HEADS if word not in taken))


def check_size(name: str, image_size: int, initial_size: int | None = None, *, small_stem: bool | None = None) -> None:
    """Checks that an encoder for images of `image_size` pixels can be built, and also takes smaller first views.

    Raises:
        ConfigError: if not, with the reason. A ViT, for instance, takes one size alone.
    """
    if own_networks.is_own(name):
        network = own_networks.copy_of(name)
        for side in filter(None, (image_size, initial_size)):
            backbone_of(network, side)
        return
    if name not in BACKBONES:
        raise ConfigError(f"backbone is {name}; allowed: one of {', '.join(BACKBONES)}.")
    asked = small_stem
    if small_stem is None:
        small_stem = image_size <= SMALL_IMAGE_SIDE
    if reason := _obstacle(name, image_size, small_stem, image_size):
        stems = {side: side <= SMALL_IMAGE_SIDE if asked is None else asked for side in SIDES if side != image_size}
        near = next((side for side, stem in stems.items() if not _obstacle(name, side, stem, side)), None)
        hint = "" if near is None else f"; allowed: image_size {near} or another backbone"
        raise ConfigError(
            f"backbone is {name}, which cannot take images of {image_size} x {image_size} pixels: {reason}{hint}."
        )
    if initial_size is not None and (reason := _obstacle(name, image_size, small_stem, initial_size)):
        raise ConfigError(
            f"initial_image_size is {initial_size}, and {name} for images of {image_size} pixels cannot take such "
            f"views: {reason}. Allowed: unset, or a convolutional backbone."
        )


def _obstacle(name: str, image_size: int, small_stem: bool, side: int) -> str:
    """Why a network built for images of `image_size` pixels cannot take some of `side` pixels; empty if it can."""
    try:
        # a RegNet computes its widths with tensors, so it is built for real and then emptied
        with torch.device("cpu" if name.startswith("regnet") else "meta"):
            trial = build_network(name, image_size, small_stem).eval()
        trial.to("meta")(torch.empty(2, 3, side, side, device="meta"))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        return " ".join(str(error).split())[:160] or "it is too small"
    return ""


def build_network(name: str, image_size: int, small_stem: bool) -> nn.Module:
    if name in SMALL_NETWORKS:
        return SMALL_NETWORKS[name]()
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
