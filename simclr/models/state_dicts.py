"""Weights as tensors by name: finding the encoder among what a file holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision import models

from simclr.config import BACKBONES, ConfigError
from simclr.models.backbones import Backbone, build_network, find_classifier
from simclr.models.foreign_names import first_layer, translations
from simclr.models.small_networks import SMALL_NETWORKS, TinyResNet

MIN_TENSORS = 10  # of a file that may be of another family: the smallest network there has more
GUESS_SIDE = 224  # pixels that every network can take


def join_state(encoder: Backbone, head: nn.Module) -> dict[str, Tensor]:
    """The plain state dict of `model.pt`: the encoder's keys, and the head's where the classifier was."""
    state = {key: value.detach().cpu().contiguous().clone() for key, value in encoder.network.state_dict().items()}
    for key, value in head.state_dict().items():
        state[f"{encoder.classifier_name}.{key}"] = value.detach().cpu().contiguous().clone()
    return state


def has_small_stem(state: Mapping[str, Tensor]) -> bool | None:
    """Whether the weights are of a ResNet with the small-image stem; None if they do not tell."""
    first = first_layer(state)
    return None if first is None else first.shape[-1] == 3


class _Fit(NamedTuple):
    """How the tensors under one prefix of a file compare with those of a network, by name."""

    prefix: str
    missing: list[str]
    leftover: list[str]  # of the encoder, which this network does not have
    differing: list[str]  # in shape

    @property
    def is_whole(self) -> bool:
        return not (self.missing or self.leftover or self.differing)


def load_encoder(encoder: Backbone, state: Mapping[str, Tensor], path: Path, *, any_stem: bool = False) -> None:
    """Loads the encoder's weights, all of them; the head's are left out, and a common prefix is taken off.

    Where a file holds two encoders, as those of MoCo, BYOL and DINO do, the one that was trained by gradients is
    taken, not its moving average, and a printed line says so.

    Args:
        any_stem: see `pick_weights`.

    Raises:
        ConfigError: if the weights are not of this network: some are missing, of another shape, or left over; or if
            they are not finite.
    """
    chosen = pick_weights(encoder, state, path, any_stem=any_stem)
    broken = [key for key, value in chosen.items() if not torch.isfinite(value).all()]
    if broken:
        raise ConfigError(
            f"{len(broken)} of the {len(chosen)} tensors in {path} (such as {broken[0]}) hold values that are not "
            "finite; allowed: weights of a training that did not diverge."
        )
    encoder.network.load_state_dict(chosen, strict=False)


def pick_weights(
    encoder: Backbone, state: Mapping[str, Tensor], path: Path, *, any_stem: bool = False
) -> dict[str, Tensor]:
    """The encoder's tensors among those of a file, under its own names; values are not checked.

    Args:
        any_stem: leave out the first layer where it alone has another shape, as the stems for small and large images
            do, and say so in a printed line.

    Raises:
        ConfigError: if the weights are not of this network; see `load_encoder`.
    """
    wanted = encoder.network.state_dict()
    fits = _compare(wanted, encoder.classifier_name, state)
    if not any(fit.is_whole for fit in fits):
        for renamed in translations(encoder.network, state):
            tried = _compare(wanted, encoder.classifier_name, renamed)
            if any(fit.is_whole for fit in tried):
                state, fits = renamed, tried
                break
            if len(tried[0].missing) < len(fits[0].missing):  # closer: what is wrong is told by it
                state, fits = renamed, tried
    whole = sorted((fit for fit in fits if fit.is_whole), key=lambda fit: _averaged(fit.prefix))
    first = next(iter(wanted))
    if not whole and any_stem:
        whole = [fit for fit in fits if fit.differing == [first] and not (fit.missing or fit.leftover)]
    if not whole:
        raise ConfigError(_mismatch(encoder, state, path, fits))
    prefix = whole[0].prefix
    chosen = {key: state[prefix + key] for key in wanted if prefix + key in state}
    if whole[0].differing:
        theirs = tuple(chosen.pop(first).shape)
        print(
            f"{path}: all weights are taken but those of the first layer, {first}, which is {theirs} there and "
            f"{tuple(wanted[first].shape)} here",
            flush=True,
        )
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


def _mismatch(encoder: Backbone, state: Mapping[str, Tensor], path: Path, fits: list[_Fit]) -> str:
    """Why the weights are not those of this network, from the prefix that comes closest, and whose they seem to be."""
    wanted = encoder.network.state_dict()
    best = min(fits, key=lambda fit: (len(fit.missing), len(fit.differing), len(fit.leftover)))
    if best.missing:
        what = f"lacks {len(best.missing)} of the {len(wanted)} tensors of this backbone (such as {best.missing[0]})"
        if len(best.missing) > len(wanted) // 2:
            what += f" and holds {len(state)} named {', '.join(list(state)[:3])}{', ...' if len(state) > 3 else ''}"
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


def _guess(encoder: Backbone, state: Mapping[str, Tensor]) -> str:
    """The network whose tensors a file holds, by names and shapes, first of the same family; empty where none fits."""
    family = models.resnet.__name__ if isinstance(encoder.network, TinyResNet) else type(encoder.network).__module__
    return _nearest(family, tuple((key, value.shape) for key, value in state.items()))


@lru_cache(maxsize=8)  # building all networks takes seconds, and a page asks with each click
def _nearest(family: str, shapes: tuple[tuple[str, torch.Size], ...]) -> str:
    with torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in shapes}

    def is_other(name: str) -> bool:
        return name not in SMALL_NETWORKS and models.get_model_builder(name).__module__ != family

    for name in sorted(BACKBONES, key=is_other):  # which keeps their order
        if is_other(name) and len(state) < MIN_TENSORS:
            break
        if name.startswith("regnet"):  # cannot be built without memory for its weights
            continue
        with torch.device("meta"):
            network = build_network(name, GUESS_SIDE, small_stem=False)
        classifier = find_classifier(network)
        network.set_submodule(classifier, nn.Identity())
        # the stem of a ResNet and the position embedding of a ViT go by the size of the images
        fits = _compare(network.state_dict(), classifier, state)
        if any(not (fit.missing or fit.leftover) and len(fit.differing) <= 1 for fit in fits):
            return name
    return ""
