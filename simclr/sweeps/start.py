"""Starts the runs of a sweep, adds what is missing, stops and resumes them together (no torch).

The run folders are all there is: each run's `meta.json` names its group, its place on the axes, and the whole sweep. So
a sweep is found, shown, completed and extended from whatever runs are left of it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, FinetuneConfig
from simclr.files import safe_read
from simclr.hardware import devices
from simclr.launch import control, duplicates, queue, spawn
from simclr.results import arms
from simclr.results.index import arm_of
from simclr.runs import Run
from simclr.sweeps import sweep_file
from simclr.sweeps.settings import Limit, Member, Sweep, extended, to_plain

LOCK = ".sweeps"  # beside the run folders: one start or extension at a time
Key = tuple[tuple[tuple[str, str], ...], int, str | None, float | None]


class Stopped(NamedTuple):
    """What a stop did: runs that waited, and runs that were asked to save and end."""

    waiting: list[Run]
    running: list[Run]


def new_group_id(title: str) -> str:
    """`which-temperature-x7k2`: words of the title, and signs by chance that make it unique."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-") or "sweep"
    return f"{words}-{runs.random_suffix()}"


def member_key(member: Member) -> Key:
    """What tells a member of a sweep from the others."""
    return tuple(sorted(member.setting.labels.items())), member.seed, member.arm, member.label_fraction


def key_of(run: Run) -> Key | None:
    """The same of a run; None of one that is in no group, or whose options cannot be read."""
    place, brief = run.group, run.brief
    seed = brief.get("seed")
    if place is None or type(seed) is not int:
        return None
    if run.kind == "pretrain":
        return tuple(sorted(place.setting.items())), seed, None, None
    arm, fraction = arm_of(brief, run.kind), safe_read.finite_number(brief.get("label_fraction"))
    return tuple(sorted(place.setting.items())), seed, arm, fraction


def runs_of(group_id: str, runs_dir: Path) -> list[Run]:
    """The runs of a group, newest first.

    Raises:
        ConfigError: if there is none.
    """
    found, ids = [], set()
    for run in runs.list_runs(runs_dir):
        if (place := run.group) is not None:
            ids.add(place.id)
            if place.id == group_id:
                found.append(run)
    if not found:
        hint = cfg.nearest_name(group_id, ids)
        raise ConfigError(
            f"GROUP is {group_id}, which has no runs in {runs_dir}{hint or '; allowed: the id of a group.'}"
        )
    return found


def sweep_of(found: Iterable[Run]) -> Sweep:
    """The sweep that runs belong to, newest first, as the newest that can be read says it.

    Raises:
        ConfigError: if none says it.
    """
    error: ConfigError | None = None
    for run in found:
        group = run.meta.get("group")
        plain = group.get("sweep") if isinstance(group, dict) else None
        if isinstance(plain, dict):
            try:
                return sweep_file.parse(plain)
            except ConfigError as reason:
                error = reason
    raise error or ConfigError(
        "These runs keep no sweep, so nothing can be added to them; allowed: a group that was started by one."
    )


def start(sweep: Sweep, runs_dir: Path, device: str = devices.ANY, num_settings: int | None = None) -> str:
    """Queues all runs of a sweep and returns the id of their group at once; a second click gives the first's.

    Args:
        sweep: checked.
        device: that each run waits for.
        num_settings: of a random choice; None: as its limit of runs allows.

    Raises:
        ConfigError: if a run is not valid, there is no such device, or the folder cannot be written. What was queued
            before stays, and `complete` adds the rest.
    """
    if num_settings is not None:
        sweep = replace(sweep, limit=Limit(num_settings * sweep.members_per_setting, "runs"))
    with spawn.locked(runs_dir / LOCK):
        if (same := _recent_duplicate(sweep, runs_dir)) is not None:
            return same
        group_id = new_group_id(sweep.title)
        _add_missing(sweep, group_id, {}, runs_dir, device)
    return group_id


def _recent_duplicate(sweep: Sweep, runs_dir: Path) -> str | None:
    """The group that the same sweep was started as within the last seconds."""
    plain = to_plain(sweep)
    for run in duplicates.recent_runs(runs_dir):
        group = run.meta.get("group")
        if (place := run.group) is not None and isinstance(group, dict) and group.get("sweep") == plain:
            return place.id
    return None


def complete(group_id: str, runs_dir: Path, device: str = devices.ANY, more: Sweep | None = None) -> list[Run]:
    """Queues the runs that a group lacks, as after a kill between two of them.

    Args:
        more: the same sweep with further seeds, values, arms or label fractions.

    Returns:
        The new runs.

    Raises:
        ConfigError: if there is no such group, or `more` is another sweep.
    """
    with spawn.locked(runs_dir / LOCK):
        found = runs_of(group_id, runs_dir)
        sweep = sweep_of(found)
        if more is not None:
            sweep = extended(sweep, more)
            sweep.check()
        there: dict[Key, Run] = {}
        for run in found:
            if (key := key_of(run)) is not None:
                there.setdefault(key, run)  # the newest of several
        return _add_missing(sweep, group_id, there, runs_dir, device)


def _add_missing(sweep: Sweep, group_id: str, there: Mapping[Key, Run], runs_dir: Path, device: str) -> list[Run]:
    """Queues the members that are not there, each supervised run behind its pre-training."""
    members = list(sweep.members())
    missing = [member for member in members if member_key(member) not in there]
    for member in missing:  # whatever is wrong is said before one is queued
        config = sweep.pretraining(member.setting, member.seed)
        devices.resolve_device(device, config)
        if member.arm is not None:
            _partner(sweep, cfg.to_dict(config), "0", member)
    added: list[Run] = []
    if not missing:
        return added
    plain = to_plain(sweep)
    pretrainings = {member_key(member): there[member_key(member)] for member in members if member_key(member) in there}
    with queue.submit_several(runs_dir, device) as add:
        for member in missing:
            place = {"id": group_id, "title": sweep.title, "setting": dict(member.setting.labels), "sweep": plain}
            if member.arm is None:
                config = sweep.pretraining(member.setting, member.seed)
                config = config.model_copy(update={"name": _name(sweep, member)})
                run = add(config, recipe=sweep.recipe, group=place)
                pretrainings[member_key(member)] = run
            else:
                first = pretrainings[member_key(Member(member.setting, member.seed))]
                options = _partner(sweep, first.config, first.id, member)
                run = add(options, recipe=sweep.recipe, group=place, experiment=first.id, after=first.id)
            added.append(run)
    return added


def _partner(sweep: Sweep, pretraining: dict[str, Any], run_id: str, member: Member) -> FinetuneConfig:
    assert member.arm is not None and member.label_fraction is not None
    config = arms.partner_config(pretraining, run_id, member.arm, member.label_fraction, sweep.recipe)
    same = {name: pretraining[name] for name in ("num_threads", "accelerator") if pretraining.get(name) is not None}
    return config.model_copy(update={**same, "evaluate": not sweep.chooses, "name": _name(sweep, member)})


def _name(sweep: Sweep, member: Member) -> str:
    """What to call a run: where it stands in the sweep."""
    parts = [member.setting.title or sweep.title, f"seed {member.seed}"]
    if member.arm is not None and member.label_fraction is not None:
        parts.append(f"{member.arm} {100 * member.label_fraction:g} %")
    return ", ".join(parts)[:120]


def add_seeds(
    group_id: str, number: int, runs_dir: Path, device: str = devices.ANY, num_before: int | None = None
) -> list[Run]:
    """Queues all settings of a group with `number` seeds that it does not have yet: the lowest ones.

    Args:
        num_before: seeds that it had when this was asked for; with more by now, as after a double click, none is added.

    Raises:
        ConfigError: if there is no such group, or it cannot be extended.
    """
    sweep = sweep_of(runs_of(group_id, runs_dir))
    if num_before is not None and len(sweep.seeds) > num_before:
        return []
    free = (seed for seed in itertools.count() if seed not in sweep.seeds)
    more = replace(sweep, seeds=(*sweep.seeds, *itertools.islice(free, number)))
    return complete(group_id, runs_dir, device, more)


def stop(group_id: str, runs_dir: Path) -> Stopped:
    """Takes those that wait out of the queue, and asks those that train to save and end; all can be resumed.

    Raises:
        ConfigError: if there is no such group, or one cannot be stopped; the others are.
    """
    found = runs_of(group_id, runs_dir)
    waiting = queue.hold([run for run in found if run.status.state == "queued"], runs_dir)
    running: list[Run] = []
    errors: list[ConfigError] = []
    for run in found:
        if not run.status.is_active:
            continue
        try:
            control.request_stop(run.path)
            running.append(run)
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return Stopped(waiting, running)


def resume(group_id: str, runs_dir: Path, device: str | None = None) -> list[Run]:
    """Queues those that were stopped or failed, from their last checkpoints, and those that are missing.

    Returns:
        The runs that wait or have begun again, and the new ones.

    Raises:
        ConfigError: if there is no such group, or one cannot be resumed; those before it are.
    """
    found = runs_of(group_id, runs_dir)
    again = [run for run in found if run.status.state in ("stopped", "failed") and not run.is_example]
    order = {member_key(member): place for place, member in enumerate(sweep_of(found).members())}
    again.sort(key=lambda run: order.get(key_of(run), len(order)))  # type: ignore[arg-type]
    for run in again:
        if run.status.backend == "slurm":
            control.resume(run)
        else:
            queue.resubmit(run, device)
    return again + complete(group_id, runs_dir, device or devices.ANY)
