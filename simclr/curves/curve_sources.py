"""What curves are drawn of: runs and logs of other programs, their options, and groups of seeds."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from simclr import config as cfg
from simclr.curves import other_logs
from simclr.files import safe_read
from simclr.runs import META, extensions, metrics_csv

Signature = tuple[int, int] | None
NOTHING = "–"
LOG = "log"  # the kind of a source that another program wrote
NAMING = ("name", "notes", "tags", "version")  # options that only name a run
WITHOUT_EFFECT = ("num_workers",)  # on what a run learns: who reads an image changes no byte of it
SEEDS = ("seed", "random_seed", "seed_everything")


@dataclass(frozen=True)
class Source:
    """A run, or a log that another program wrote."""

    id: str
    title: str
    sub: str
    kind: str  # pretrain, finetune, scratch, unknown, log
    metrics_path: Path
    options_path: Path | None
    color: str
    is_active: bool = False
    experiment: str | None = None
    words: str = ""  # what a search looks through, in lower case

    @property
    def options(self) -> dict[str, Any]:
        """Its options by dotted name."""
        if self.options_path is None:
            return {}
        meta = self.options_path.with_name(META)
        return options_of(self.options_path) | _extended(meta, metrics_csv.signature(meta))

    @property
    def seed(self) -> Any:
        return next((self.options[name] for name in SEEDS if name in self.options), None)


def options_of(path: Path) -> dict[str, Any]:
    """The options in a YAML file by dotted name, read again only when it has changed."""
    return _options(path, metrics_csv.signature(path))


@lru_cache(maxsize=2000)
def _options(path: Path, _signature: Signature) -> dict[str, Any]:
    return other_logs.flat(safe_read.yaml_dict(path))


def asked_options(path: Path) -> dict[str, Any]:
    """The options in a run's `config.yaml` as they were asked for: what the machine decided, such as the precision that
    `auto` became, is taken back, and a run that was trained longer than it was planned says so."""
    meta = path.with_name(META)
    signature = metrics_csv.signature(meta)
    return options_of(path) | _asked(meta, signature) | _extended(meta, signature)


@lru_cache(maxsize=2000)
def _asked(path: Path, _signature: Signature) -> dict[str, Any]:
    found = safe_read.json_dict(path).get("asked")
    return other_logs.flat(found) if isinstance(found, dict) else {}


@lru_cache(maxsize=2000)
def _extended(path: Path, _signature: Signature) -> dict[str, Any]:
    """How a run was trained longer, beside its options: its schedule was not that of one planned so."""
    found = extensions.recorded(safe_read.json_dict(path))
    return {extensions.EXTENDED: extensions.text_of(found)} if found else {}


@dataclass(frozen=True)
class Group:
    """Sources that are drawn as one: a run alone, or runs that differ in nothing but the seed."""

    id: str
    title: str
    color: str
    members: tuple[Source, ...]

    @property
    def revision(self) -> tuple[Signature, ...]:
        return tuple(metrics_csv.signature(source.metrics_path) for source in self.members)


def alone(sources: Sequence[Source]) -> list[Group]:
    return [Group(source.id, source.title, source.color, (source,)) for source in sources]


def by_seed(sources: Sequence[Source], every: Sequence[Source] = ()) -> list[Group]:
    """Groups of sources whose options agree in all but the seed and what only names them, in order.

    A supervised run names the pre-training it starts from: the names of two pre-trainings count as equal where those
    differ in nothing but the seed. `every` holds the sources in which such names are looked up.
    """
    known = {source.id: source for source in (*every, *sources)}
    found: dict[str, list[Source]] = {}
    for source in sources:
        found.setdefault(_same_but_seed(source, known), []).append(source)
    return [
        Group(
            f"group-{members[0].id}" if len(members) > 1 else members[0].id,
            _shared_title([member.title for member in members]),
            members[-1].color,
            tuple(members),
        )
        for members in found.values()
    ]


def _same_but_seed(source: Source, known: dict[str, Source], depth: int = 2) -> str:
    options = source.options if source.options_path is None else asked_options(source.options_path)
    start = known.get(str(options.get("experiment_version")))
    if start is not None and depth:
        options = options | {"experiment_version": _same_but_seed(start, known, depth - 1)}
    return same_but_seed(source.kind, options) or source.id


def same_but_seed(kind: str, options: Mapping[str, Any]) -> str:
    """A text that runs share which differ in nothing but the seed and what changes no result; empty without options.

    Args:
        options: by dotted name.
    """
    found = {
        name: option_text(value) for name, value in options.items() if name not in (*NAMING, *SEEDS, *WITHOUT_EFFECT)
    }
    if not found:
        return ""
    usual = _usual(kind)  # left out, so that a run from before an option came agrees with those that leave it alone
    return json.dumps([kind, {name: text for name, text in found.items() if usual.get(name) != text}], sort_keys=True)


@lru_cache(maxsize=8)
def _usual(kind: str) -> dict[str, str]:
    """The defaults of the options of a kind of run, as texts; none of a log."""
    model = cfg.MODELS.get(kind)
    names = cfg.option_names(model) if model is not None else {}
    return {name: option_text(info.default) for name, info in names.items() if not info.is_required()}


def _shared_title(titles: Sequence[str]) -> str:
    """What the titles begin with; the first with how many more, where that is next to nothing."""
    if len(set(titles)) == 1:
        return titles[0]
    shortest = min(titles, key=len)
    length = next((n for n, signs in enumerate(zip(*titles, strict=False)) if len(set(signs)) > 1), len(shortest))
    shared = re.sub(r"[\W_]*(seed)?[\W_]*$", "", shortest[:length], flags=re.IGNORECASE)
    return shared if len(shared) >= 4 else f"{titles[0]} and {len(titles) - 1} more"


def option_text(value: Any) -> str:
    """An option on screen, in one short line whatever a file holds."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, str | int):
        return str(value)
    return _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 3, 40, 20, 200, 200
