"""What a report is about: groups, pre-trainings with what was trained on them, and runs alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.curves import colors
from simclr.curves.curve_sources import Source
from simclr.results import arms, groups, tables, wording
from simclr.results.groups import Find, Group
from simclr.results.index import LabelShare, RunIndex, Summary, finder
from simclr.results.tables import Results
from simclr.runs import Run

KIND_NAMES = {"pretrain": "pre-training", "finetune": "fine-tuning", "scratch": "training from scratch"}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


@dataclass(frozen=True)
class Subject:
    """One of the ids that a report was asked for.

    Attributes:
        summaries: its runs, a pre-training before what was trained on it.
        group: of a group.
        results: of a pre-training that has a table of results.
    """

    id: str
    title: str
    summaries: tuple[Summary, ...]
    find: Find
    group: Group | None = None
    results: Results | None = None

    @property
    def own(self) -> Summary:
        """The run that gives the subject its name; of a group its newest."""
        return self.summaries[0]


@dataclass(frozen=True)
class Line:
    """Runs that differ in nothing but the seed: one line in curves, one colour.

    Attributes:
        label: what it is called in the report, unlike any other.
        kind: `pretrain`, or `supervised`.
    """

    label: str
    kind: str
    color: str
    dash: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Member:
    """A run of a report.

    Attributes:
        label: what it is called in the report, unlike any other.
    """

    summary: Summary
    run: Run
    label: str
    subject: Subject

    def source(self, color: str = "") -> Source:
        """The run as curves and comparisons take it."""
        item, options = self.summary, self.run.path / runs.CONFIG
        return Source(item.id, self.label, "", item.kind, self.run.metrics_path, options, color, item.is_active)


def resolve(names: Sequence[str], folder: Path) -> list[Subject]:
    """What ids, unique beginnings of ids, or folders stand for; each thing once.

    Raises:
        ConfigError: with one sentence, for one that stands for nothing here.
    """
    found: dict[str, Subject] = {}
    summaries, find = RunIndex(folder).summaries(max_age=0), finder(folder)
    for name in names:
        subject = _resolve(name, folder, summaries, find)
        found.setdefault(subject.id, subject)
    return list(found.values())


def _resolve(name: str, folder: Path, summaries: list[Summary], find: Find) -> Subject:
    if (group := groups.find_group(name, summaries)) is not None:
        members = sorted(group.members, key=lambda item: item.kind != "pretrain")
        return Subject(group.id, group.title, tuple(members), find, group)
    try:
        run = runs.find(name, folder)
    except ConfigError as error:
        if "begin with" in str(error):
            raise
        known = {item.id for item in summaries} | {item.group.id for item in summaries if item.group is not None}
        hint = cfg.nearest_name(name, sorted(known))
        allowed = f"a run's folder, id or unique prefix, or the id of a group, in {folder}"
        raise ConfigError(f"RUN is {name}; allowed: {allowed}{hint or '.'}") from None
    if run.path.parent.resolve() not in (folder.resolve(), (folder / runs.EXAMPLES).resolve()):
        folder = run.path.parent
        summaries, find = RunIndex(folder).summaries(max_age=0), finder(folder)
    own = next((item for item in summaries if item.id == run.id), None)
    if own is None:
        raise ConfigError(f"RUN is {name}, which cannot be read; allowed: a whole run folder.")
    if own.kind != "pretrain":
        return Subject(own.id, title_of(own), (own,), find)
    results = tables.results(own, summaries, find)
    together = {own.id: own}
    for trial in results.trials:
        together.setdefault(trial.pretraining.id, trial.pretraining)
        for item in trial.runs.values():
            together.setdefault(item.id, item)
    found = results if results.rows else None
    return Subject(own.id, title_of(own), tuple(together.values()), find, results=found)


def title_of(item: Summary) -> str:
    """The name that its user gave, else what the run is, with the end of its id, which tells it apart."""
    if item.name != item.id:
        return item.name
    kind = KIND_NAMES.get(item.kind, "run")
    return f"{kind[:1].upper()}{kind[1:]} on {item.dataset or 'unknown data'} ({item.id.rpartition('-')[2]})"


# --- lines ------------------------------------------------------------------------------------------------------------


class _Key(NamedTuple):
    """What the runs of a line share; `subject` is its place among all."""

    subject: int
    setting: tuple[tuple[str, str], ...]
    is_pretraining: bool
    arm: str | None
    share: LabelShare | None

    @property
    def order(self) -> tuple[object, ...]:
        """Pre-trainings first, settings rising, then by share of the labels and way of training."""
        arm = arms.ARMS.index(self.arm) if self.arm in arms.ARMS else -1
        labels = tuple(_rank(label) for _, label in self.setting)
        return (self.subject, not self.is_pretraining, labels, self.share.order if self.share is not None else (), arm)


_Together = dict[_Key, list[tuple[Subject, Summary, Run]]]


def lines_of(subjects: Sequence[Subject]) -> list[Line]:
    """All runs of the subjects, those that differ in nothing but the seed together, each with a name and a colour.

    A supervised run has the colour of its way of training and the dash of its share of the labels, where that tells
    all lines apart; else each line has a colour of its own.
    """
    together: _Together = {}
    seen: set[str] = set()
    for number, subject in enumerate(subjects):
        for item in subject.summaries:
            run = subject.find(item.id)
            if run is None or item.id in seen:
                continue
            seen.add(item.id)
            setting = tuple(item.group.setting.items()) if subject.group is not None and item.group else ()
            key = _Key(number, setting, item.kind == "pretrain", item.arm, item.labels)
            together.setdefault(key, []).append((subject, item, run))
    keys = sorted(together, key=lambda key: key.order)
    names = _names(keys, together, subjects)
    with_arms = [key for key in keys if key.arm is not None]
    by_arm = len({(key.arm, key.share) for key in with_arms}) == len(with_arms)
    known = {key.share for key in with_arms if key.share is not None}
    shares = [*sorted(known, key=lambda share: share.order, reverse=True), None]
    counted = {True: 0, False: 0}
    found = []
    for key in keys:
        place = counted[key.is_pretraining]
        counted[key.is_pretraining] += 1
        color = colors.PALETTE[place % len(colors.PALETTE)]
        dash = DASHES[place // len(colors.PALETTE) % len(DASHES)]
        if by_arm and key.arm in colors.ARM_COLORS:
            color, dash = colors.ARM_COLORS[key.arm], DASHES[shares.index(key.share) % len(DASHES)]
        rows = sorted(together[key], key=lambda row: str(row[1].seed).zfill(12))
        members = tuple(
            Member(item, run, f"{names[key]}, seed {item.seed}" if len(rows) > 1 else names[key], subject)
            for subject, item, run in rows
        )
        found.append(Line(names[key], "pretrain" if key.is_pretraining else "supervised", color, dash, members))
    return found


def _rank(label: str) -> tuple[float, str]:
    """Numbers rise, words follow in the order of the alphabet."""
    try:
        return (float(label), "")
    except ValueError:
        return (math.inf, label)


def _names(keys: Sequence[_Key], together: _Together, subjects: Sequence[Subject]) -> dict[_Key, str]:
    """What each line is called: what it is, in the words of tables, with as much more as tells it from all others."""
    names = {}
    for key in keys:
        subject, item, _ = together[key][0]
        parts = [f"{axis} {label}" for axis, label in key.setting]
        if key.arm is not None:
            share = "" if key.share is None else f", {key.share.phrase}"
            parts.append(f"{wording.ARM_NAMES[key.arm]}{share}")
        elif not parts and (key.is_pretraining and len(subjects) == 1):
            parts.append("Pre-training")
        elif not parts and subject.group is not None:
            parts.append(title_of(item))
        own = ", ".join(parts)
        names[key] = " · ".join(part for part in (subject.title if len(subjects) > 1 or not own else "", own) if part)
    for key in keys:
        if sum(name == names[key] for name in names.values()) > 1:
            names[key] = f"{names[key]} ({together[key][0][1].id.rpartition('-')[2]})"
    return names
