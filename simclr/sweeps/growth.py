"""What a group lacks of its sweep, and what it would get by further seeds, values and labels (no torch)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from simclr.config import ConfigError
from simclr.results.groups import Find, Group
from simclr.results.index import Summary
from simclr.sweeps import start, sweep_file
from simclr.sweeps.settings import Sweep, extended, to_plain

MOST_READ = 10  # runs that are asked for their sweep


@dataclass(frozen=True)
class More:
    """What a group is to get.

    Attributes:
        num_seeds: further ones, the lowest that it has not.
        values: of an axis that is an option, the further ones, as texts.
        arms: further supervised runs after each pre-training.
        label_fractions, labels_per_class: further numbers of labels of the supervised runs, as texts or numbers.
    """

    num_seeds: int = 0
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    arms: Sequence[str] = ()
    label_fractions: Sequence[Any] = ()
    labels_per_class: Sequence[Any] = ()


def sweep_of_group(group: Group, find: Find) -> Sweep | None:
    """The sweep that a group's newest run keeps, or one soon after it; None where none keeps one that can be read."""
    for item in group.members[:MOST_READ]:
        run = find(item.id)
        entry = None if run is None else run.meta.get("group")
        plain = entry.get("sweep") if isinstance(entry, dict) else None
        if isinstance(plain, dict):
            try:
                return _parsed(json.dumps(plain))
            except ConfigError:
                continue
    return None


@lru_cache(maxsize=64)
def _parsed(plain: str) -> Sweep:
    """A sweep that was checked; kept, since a page asks for it every few seconds."""
    return sweep_file.parse(json.loads(plain))


def missing(group: Group, sweep: Sweep) -> int:
    """How many runs of its sweep a group lacks: never created, as after a kill or on a full disk, or deleted."""
    return len(_keys(json.dumps(to_plain(sweep))) - {_key_of(item) for item in group.members})


@lru_cache(maxsize=64)
def _keys(plain: str) -> frozenset[start.Key]:
    """What tells the members of a sweep."""
    return frozenset(map(start.member_key, _parsed(plain).members()))


def _key_of(item: Summary) -> start.Key | None:
    if item.group is None or type(item.seed) is not int:
        return None
    member = (None, None, None) if item.kind == "pretrain" else (item.arm, item.labels, item.subset_seed)
    return tuple(sorted(item.group.setting.items())), item.seed, *member


def option_axes(sweep: Sweep) -> list[str]:
    """The axes that further values can be added to: options, of a sweep that takes all combinations."""
    if sweep.method != "grid":  # other combinations would be chosen by chance than those that are there
        return []
    return [
        axis.name
        for axis in sweep.axes
        if not axis.pairs and all(dict(value.options) == {axis.name: value.label} for value in axis.values)
    ]


def grown(sweep: Sweep, more: More) -> Sweep:
    """A sweep with what it is to get.

    Raises:
        ConfigError: with one sentence for what is wrong.
    """
    plain = to_plain(sweep)
    for axis, values in more.values.items():
        known = [value.label for item in sweep.axes if item.name == axis for value in item.values]
        plain["axes"][axis] = [*known, *(value for value in values if value not in known)]
    for name in ("arms", "label_fractions", "labels_per_class"):
        if wanted := getattr(more, name):
            plain[name] = [*plain.get(name, []), *wanted]
    free = (seed for seed in itertools.count() if seed not in sweep.seeds)
    seeds = (*sweep.seeds, *itertools.islice(free, more.num_seeds))
    return extended(sweep, replace(_parsed(json.dumps(plain)), seeds=seeds))
