"""Backbones of one's own: modules that this process was given, by the names that options have for them."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from simclr.config import OWN_BACKBONE, ConfigError, own_backbone_problem

MAX_TEXT = 4000  # signs of a module's own description that are kept

_known: dict[str, nn.Module] = {}  # copies as they were given, by name


def is_own(name: str) -> bool:
    """Whether a backbone is a module that somebody gave in Python."""
    return name.startswith(OWN_BACKBONE)


def shown(name: str) -> str:
    """The module's class, as in `mypackage.networks.Net`."""
    return name.removeprefix(OWN_BACKBONE)


def remember(network: nn.Module) -> str:
    """Keeps a copy of a module, and returns the name that options have for it: of its class, the newest counts."""
    name = f"{OWN_BACKBONE}{_class_of(network)}"
    _known[name] = copy.deepcopy(network).cpu()
    return name


def copy_of(name: str) -> nn.Module:
    """A copy of a module that this process was given, with the weights that it had, in train mode.

    Raises:
        ConfigError: if it was given none of that name.
    """
    check_known(name)
    return copy.deepcopy(_known[name]).train()


def check_known(name: str) -> None:
    """Raises ConfigError if a backbone is a module of one's own that this process was not given."""
    if name not in _known and (problem := own_backbone_problem(name)):
        raise ConfigError(problem)


def about(network: nn.Module) -> dict[str, Any]:
    """What a run's `meta.json` keeps of a module: its class, how it describes itself, and its number of weights."""
    return {
        "class": _class_of(network),
        "description": repr(network)[:MAX_TEXT],
        "num_parameters": sum(value.numel() for value in network.parameters()),
    }


def _class_of(network: nn.Module) -> str:
    kind = type(network)
    return f"{kind.__module__}.{kind.__qualname__}".replace("<locals>.", "").replace("<", "").replace(">", "")
