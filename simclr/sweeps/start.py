"""Starts the runs of a sweep, adds what is missing, stops and resumes them together (no torch).

The run folders are all there is: each run's `meta.json` names its group, its place on the axes, and the whole sweep. So
a sweep is found, shown, completed and extended from whatever runs are left of it.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shlex
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.files.names import folded
from simclr.hardware import devices
from simclr.launch import control, duplicates, queue, slurm_runs, spawn
from simclr.lifecycle import counts
from simclr.results import index
from simclr.results.group_wording import setting_name
from simclr.results.index import LabelShare
from simclr.runs import Run, slurm_state
from simclr.sweeps import on_slurm, sweep_file
from simclr.sweeps.on_slurm import OnSlurm
from simclr.sweeps.settings import Limit, Member, Sweep, extended, to_plain

LOCK = ".sweeps"  # beside the run folders: one start or extension at a time
Target = str | OnSlurm  # a device of this machine, or Slurm
Key = tuple[tuple[tuple[str, str], ...], int, str | None, LabelShare | None, int | None]


class Stopped(NamedTuple):
    """What a stop did: runs that waited, and runs that were asked to save and end."""

    waiting: list[Run]
    running: list[Run]


def new_group_id(title: str) -> str:
    """`which-temperature-x7k2`: words of the title, and signs by chance that make it unique."""
    plain = unicodedata.normalize("NFKD", title.lower())
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign))  # é is e, and no gap
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "sweep"
    return f"{words}-{runs.random_suffix()}"


def member_key(member: Member) -> Key:
    """What tells a member of a sweep from the others."""
    labels = tuple(sorted(member.labels.items()))
    return labels, member.seed, member.arm, member.share, member.subset_seed


def key_of(run: Run) -> Key | None:
    """The same of a run; None of one that is in no group, or whose options cannot be read."""
    place, brief = run.group, run.brief
    seed = brief.get("seed")
    if place is None or type(seed) is not int:
        return None
    if run.kind == "pretrain":
        return tuple(sorted(place.setting.items())), seed, None, None, None
    draw = index.whole_number(brief.get("subset_seed"))
    return tuple(sorted(place.setting.items())), seed, index.arm_of(brief, run.kind), index.share_of(brief), draw


def runs_of(group_id: str, runs_dir: Path) -> list[Run]:
    """The runs of a group, newest first.

    Raises:
        ConfigError: if there is none.
    """
    found, ids, titled = [], set(), ""
    for run in runs.list_runs(runs_dir):
        if (place := run.group) is not None:
            ids.add(place.id)
            if not titled and folded(place.title) == folded(group_id):
                titled = f"; that is the title of {shlex.quote(place.id)}, which is allowed."
            if place.id == group_id:
                found.append(run)
    if not found:
        hint = cfg.nearest_name(group_id, ids)
        raise ConfigError(
            f"GROUP is {group_id}, which has no runs in {runs_dir}{titled or hint or '; allowed: the id of a group.'}"
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


def start(sweep: Sweep, runs_dir: Path, target: Target = devices.ANY, num_settings: int | None = None) -> str:
    """Queues or submits all runs of a sweep and returns the id of their group; a second click gives the first's.

    Args:
        sweep: checked.
        target: the device that each run waits for, or Slurm.
        num_settings: of a random choice; None: as its limit of runs allows.

    Raises:
        ConfigError: if a run is not valid, there is no such device, Slurm refuses or does not answer, or the folder
            cannot be written. What was queued or submitted before stays, and `complete` adds the rest.
    """
    if num_settings is not None:
        sweep = replace(sweep, limit=Limit(num_settings * sweep.members_per_setting, "runs"))
    if (same := _recent_duplicate(sweep, runs_dir)) is not None:  # which may take minutes to be submitted
        return same
    with spawn.locked(runs_dir / LOCK):
        if (same := _recent_duplicate(sweep, runs_dir)) is not None:
            return same
        group_id = new_group_id(sweep.title)
        _add_missing(sweep, group_id, [], runs_dir, target)
    return group_id


def _recent_duplicate(sweep: Sweep, runs_dir: Path) -> str | None:
    """The group that the same sweep was started as within the last seconds."""
    plain = to_plain(sweep)
    for run in duplicates.recent_runs(runs_dir):
        group = run.meta.get("group")
        if (place := run.group) is not None and isinstance(group, dict) and group.get("sweep") == plain:
            return place.id
    return None


def complete(group_id: str, runs_dir: Path, target: Target | None = None, more: Sweep | None = None) -> list[Run]:
    """Queues or submits the runs that a group lacks, as after a kill between two of them.

    Args:
        target: the device that each run waits for, or Slurm; None: Slurm with the same options if the group's newest
            run went there, else any device.
        more: the same sweep with further seeds, values, arms or label fractions.

    Returns:
        The new runs.

    Raises:
        ConfigError: if there is no such group, or `more` is another sweep; or as `start`.
    """
    with spawn.locked(runs_dir / LOCK):
        return _complete(group_id, runs_dir, target, more)


def extension(group_id: str, runs_dir: Path, more: Sweep) -> tuple[Sweep, list[Member]]:
    """A group's sweep with what it is to get, and the runs that the group lacks of it.

    Raises:
        ConfigError: as `complete`.
    """
    found = runs_of(group_id, runs_dir)
    sweep = _extended(found, more)
    return sweep, _missing(sweep, {key for run in found if (key := key_of(run)) is not None})


def _extended(found: Iterable[Run], more: Sweep) -> Sweep:
    sweep = extended(sweep_of(found), more)
    sweep.check()
    return sweep


def _missing(sweep: Sweep, there: Container[Key]) -> list[Member]:
    return [member for member in sweep.members() if member_key(member) not in there]


def _complete(group_id: str, runs_dir: Path, target: Target | None, more: Sweep | None = None) -> list[Run]:
    """The same as `complete`, under the lock."""
    found = runs_of(group_id, runs_dir)
    sweep = sweep_of(found) if more is None else _extended(found, more)
    return _add_missing(sweep, group_id, found, runs_dir, target or on_slurm.target_of(found) or devices.ANY)


def _add_missing(sweep: Sweep, group_id: str, found: Iterable[Run], runs_dir: Path, target: Target) -> list[Run]:
    """Queues or submits the members that are not among `found`, each supervised run behind its pre-training."""
    there: dict[Key, Run] = {}
    for run in found:
        if (key := key_of(run)) is not None:
            there.setdefault(key, run)  # the newest of several
    members = list(sweep.members())
    missing = _missing(sweep, there)
    for member in missing:  # whatever is wrong is said before one is queued
        config = sweep.pretraining(member.setting, member.seed)
        if isinstance(target, str):
            devices.resolve_device(target, config)
        if member.arm is not None:
            sweep.supervised(cfg.to_dict(config), "0", member)
            _check_followed(there.get(member_key(member.pretraining)), target)
    if isinstance(target, str):  # what is not here may be on the machines of Slurm
        check_data(sweep, missing)
    added: list[Run] = []
    if not missing:
        return added
    plain = to_plain(sweep)
    compared_with = dict(sweep.variants()[0].labels)
    baseline = {"baseline": compared_with} if compared_with else {}
    limit = target.max_running if isinstance(target, OnSlurm) else None
    pretrainings = {member_key(member): there[member_key(member)] for member in members if member_key(member) in there}
    with _opened(sweep, there.values(), runs_dir, target) as add:
        for member in missing:
            place: dict[str, Any] = {"id": group_id, "title": sweep.title, "sweep": plain}
            place |= {"setting": dict(member.labels)} | baseline | ({} if limit is None else {on_slurm.LIMIT: limit})
            more: dict[str, Any] = {"recipe": sweep.recipe, "group": place}
            if member.arm is None:
                config = sweep.pretraining(member.setting, member.seed)
                options: cfg.RunConfig = config.model_copy(update={"name": _name(sweep, member)})
            else:
                first = pretrainings[member_key(member.pretraining)]
                options = sweep.supervised(first.config, first.id, member)
                options = options.model_copy(update={"name": _name(sweep, member)})
                more |= {"experiment": first.id, "after": first.id}
            try:
                run = add(member_key(member), options, **more)
            except ConfigError as error:
                if not added:
                    raise
                raise ConfigError(
                    f"{error} {len(added)} of {len(missing)} runs were added to the group {group_id}; the others: "
                    f"python -m simclr sweep {shlex.quote(group_id)} --resume."
                ) from None
            if member.arm is None:
                pretrainings[member_key(member)] = run
            added.append(run)
    return added


def check_data(sweep: Sweep, members: Iterable[Member]) -> None:
    """Raises ConfigError, in one sentence, if the data of these members is not there or too little.

    What is wrong would else be said by each run in turn, after all of them have been queued.
    """
    seen = set()
    for member in members:
        config = sweep.pretraining(member.setting, member.seed)
        key = config.dataset, config.limit_images, config.val_fraction, config.batch_size
        if key not in seen:
            seen.add(key)
            counts.check_data(config, labelled_only=bool(sweep.arms))


@contextlib.contextmanager
def _opened(sweep: Sweep, found: Iterable[Run], runs_dir: Path, target: Target) -> Iterator[Callable[..., Run]]:
    """Gives a function that queues or submits a run of a sweep: key, options, entries of `meta.json`."""
    if isinstance(target, str):
        with queue.submit_several(runs_dir, target) as add:
            yield lambda key, config, **meta: add(config, **meta)
        return
    submission = _submission(sweep, found, target)
    yield lambda key, config, **meta: submission.add(key, config, runs_dir, **meta)


def _submission(sweep: Sweep, found: Iterable[Run], target: OnSlurm) -> on_slurm.Submission:
    number = target.max_running
    return on_slurm.Submission(target, {} if number is None else on_slurm.lanes_of(sweep, number, member_key), found)


def _check_followed(first: Run | None, target: Target) -> None:
    """Raises ConfigError if a job in Slurm would have to wait for a run that goes on elsewhere."""
    if first is not None and isinstance(target, OnSlurm) and first.status.backend != "slurm" and first.status.is_active:
        raise ConfigError(
            f"{first.id} is not finished and does not run in Slurm, so no job there can wait for it; allowed: its "
            "supervised runs in the queue, or in Slurm once it is finished."
        )


def _name(sweep: Sweep, member: Member) -> str:
    """What to call a run: where it stands in the sweep."""
    parts = [setting_name(member.labels) or sweep.title, f"seed {member.seed}"]
    if member.arm is not None and member.share is not None:
        parts.append(f"{member.arm} {member.share.text}")
    if member.subset_seed is not None:
        parts.append(f"draw {member.subset_seed}")
    return ", ".join(parts)[:120]


def add_seeds(
    group_id: str, number: int, runs_dir: Path, target: Target | None = None, num_before: int | None = None
) -> list[Run]:
    """Queues or submits all settings of a group with `number` seeds that it does not have yet: the lowest ones.

    Args:
        target: as of `complete`.
        num_before: seeds that it had when this was asked for; with more by now, as after a double click, none is added.

    Raises:
        ConfigError: if there is no such group, or it cannot be extended.
    """
    sweep = sweep_of(runs_of(group_id, runs_dir))
    if num_before is not None and len(sweep.seeds) > num_before:
        return []
    free = (seed for seed in itertools.count() if seed not in sweep.seeds)
    more = replace(sweep, seeds=(*sweep.seeds, *itertools.islice(free, number)))
    return complete(group_id, runs_dir, target, more)


def stop(group_id: str, runs_dir: Path) -> Stopped:
    """Takes those that wait out of the queue, here or in Slurm, and asks those that train to save and end.

    All can be resumed.

    Raises:
        ConfigError: if there is no such group, or one cannot be stopped; the others are.
    """
    errors: list[ConfigError] = []
    waiting, running = _stop_jobs(group_id, runs_dir, errors)
    found = runs_of(group_id, runs_dir)
    waiting += queue.hold([run for run in found if run.status.state == "queued"], runs_dir)
    for run in found:
        if not run.status.is_active or run in running or run in waiting:
            continue
        try:
            control.request_stop(run.path)
            running.append(run)
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return Stopped(waiting, running)


def _stop_jobs(group_id: str, runs_dir: Path, errors: list[ConfigError]) -> Stopped:
    """The same for those that were submitted to Slurm; what is wrong is added to `errors`."""

    def active_jobs() -> dict[Run, str]:
        found = [run for run in runs_of(group_id, runs_dir) if run.status.backend == "slurm"]
        return {run: status.state for run in found if (status := run.status).is_active}

    if not active_jobs():
        return Stopped([], [])
    with spawn.locked(runs_dir / LOCK):  # what is just being submitted is stopped with the others
        active = active_jobs()
        waiting = [run for run, state in active.items() if state == "queued"]
        for run in waiting:
            if slurm_state.is_unsent(runs.read_status(run.path)):
                slurm_runs.stop_unsent(run)
        try:
            slurm_runs.cancel_several([run for run in active if run.status.is_active])
        except ConfigError as error:
            errors.append(error)
    return Stopped(waiting, [run for run in active if run not in waiting])


def resume(group_id: str, runs_dir: Path, target: Target | None = None) -> list[Run]:
    """Queues or submits those that were stopped or failed, from their last checkpoints, and those that are missing.

    Args:
        target: a device of this machine, or Slurm; None: each where it was, and what is missing as `complete` says.

    Returns:
        The runs that wait or have begun again, and the new ones.

    Raises:
        ConfigError: if there is no such group, or one cannot be resumed; those before it are.
    """
    with spawn.locked(runs_dir / LOCK):
        slurm_runs.refresh(runs_dir)  # what has ended there meanwhile
        found = runs_of(group_id, runs_dir)
        again = _in_order([run for run in found if _is_resumable(run)], found)
        # Slurm cancels, within some seconds, what waits for a job that will not end well any more
        doomed = [run for run in found if run.status.backend == "slurm" and run.waits_for in again and run not in again]
        doomed = [run for run in doomed if run.status.state == "queued"]
        slurm_runs.cancel_several(doomed)
        again = _in_order(again + doomed, found)
        slurm = target if isinstance(target, OnSlurm) else on_slurm.target_of(found)
        submission = None if slurm is None else _submission(sweep_of(found), found, slurm)
        for run in again:
            is_job = run.status.backend == "slurm" if target is None else isinstance(target, OnSlurm)
            if not is_job:
                queue.resubmit(run, target if isinstance(target, str) else None)
            elif submission is None:
                control.resume(run)
            else:
                spawn.check_exited(run)
                submission.resubmit(key_of(run), run)
        return again + _complete(group_id, runs_dir, target)


def _in_order(chosen: Iterable[Run], found: Iterable[Run]) -> list[Run]:
    """Runs of a group in the order in which its sweep starts them."""
    order = {member_key(member): place for place, member in enumerate(sweep_of(found).members())}
    return sorted(chosen, key=lambda run: order.get(key_of(run), len(order)))  # type: ignore[arg-type]


def _is_resumable(run: Run) -> bool:
    """Whether a run was stopped or failed, or its submission to Slurm was killed half-way."""
    if run.is_example:
        return False
    return run.status.state in ("stopped", "failed") or slurm_state.is_unsent(runs.read_status(run.path))
