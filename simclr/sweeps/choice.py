"""The one look at test images that a sweep takes: for the setting that validation images chose, and for a baseline.

A sweep that compares settings trains without test images. What its choice is worth is then measured by one explicit
action, which writes into each tested run that it was, and among how many settings was chosen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.files.names import folded
from simclr.hardware import devices
from simclr.launch import jobs
from simclr.results import group_wording, groups, wording
from simclr.results.group_wording import setting_name
from simclr.results.groups import Cell, Find, Group, Measure
from simclr.results.index import Summary
from simclr.runs import Run
from simclr.runs.status import Report, no_report
from simclr.sweeps import start
from simclr.sweeps.settings import Setting

JOB_NAME = "test-choice"
Evaluate = Callable[[Run, Report], object]  # measures a run on the test images and keeps the figures


class Choice(NamedTuple):
    """What validation images chose, and what it is tested beside.

    Attributes:
        measure: by which was chosen.
        chosen, baseline: settings of the group, each with its seeds.
        others: settings that may be the baseline, in their order.
        num_settings: that were compared.
    """

    measure: Measure
    chosen: Cell
    baseline: Cell
    others: tuple[Cell, ...]
    num_settings: int

    @property
    def members(self) -> list[Summary]:
        """The runs that are tested: those that are finished."""
        return [item for cell in (self.chosen, self.baseline) for item in cell.runs if item.state == "finished"]

    def role_of(self, member: Summary) -> str:
        """What one of them is tested as."""
        return "chosen" if member in self.chosen.runs else "baseline"


def choose(
    group: Group,
    find: Find,
    measure: str | None = None,
    arm: str | None = None,
    labels: str | None = None,
    baseline: str | None = None,
) -> Choice:
    """What a group's validation images choose now.

    Args:
        find: gives a run by its id.
        measure: by which is chosen, a key of `groups.MEASURES`; None: the first that the group has.
        arm, labels: where supervised runs are compared, of which; None: the group's first.
        baseline: name of a setting as `cell_name` gives it, or its labels alone; None: that which was tested
            before, else that of the recipe itself, else the second best.

    Raises:
        ConfigError: if there is nothing to choose yet, or no such measure or setting.
    """
    if not group.is_choice:
        raise ConfigError(f"GROUP is {group.id}, which has one setting; allowed: a group that compares several.")
    if group.is_active:
        raise ConfigError(
            f"GROUP is {group.id}, of which {group.count('queued', *groups.ACTIVE):,} runs are not done; allowed: a "
            "group whose runs have ended, since a test before may look at what is not the choice."
        )
    by = _measure(group, find, measure)
    found = groups.cells(group, by, find)
    if groups.asks_which_arm(group, by):
        shares = {each.key: each for each in group.shares}
        wanted = _one_of("arm", arm, group.arms), shares[_one_of("labels", labels, list(shares))]
        found = [cell for cell in found if (cell.arm, cell.share) == wanted]
    chosen = groups.best(found)
    others = tuple(cell for cell in found if cell is not chosen and cell.spread is not None)
    if chosen is None or not others:
        raise ConfigError(f"GROUP is {group.id}, where fewer than two settings have a figure; allowed: two or more.")
    return Choice(by, chosen, _baseline(group, find, found, others, baseline), others, 1 + len(others))


def _one_of(name: str, value: str | None, known: Sequence[str]) -> str:
    """A value that the group has; unset its first."""
    if value is not None and value not in known:
        raise ConfigError(f"{name} is {value}; allowed: {', '.join(known)}.")
    return known[0] if value is None else value


def _measure(group: Group, find: Find, key: str | None) -> Measure:
    known = [item for item in groups.measures_of(group, find) if not item.is_test]
    if key is None and known:
        return known[0]
    if (named := next((item for item in known if item.key == key), None)) is None:
        allowed = ", ".join(item.key for item in known) or "none yet"
        raise ConfigError(f"measure is {key}; allowed: a figure of validation images that the group has ({allowed}).")
    return named


def _baseline(group: Group, find: Find, found: list[Cell], others: tuple[Cell, ...], name: str | None) -> Cell:
    if name is not None:
        names = [group_wording.cell_name(cell) for cell in others]
        for cell in others:
            said = (group_wording.cell_name(cell), ", ".join(cell.setting.values()), setting_name(cell.setting))
            if folded(name) in map(folded, said):
                return cell
        raise ConfigError(f"baseline is {name}; allowed: {'; '.join(names)}{cfg.nearest_name(name, names) or '.'}")
    before = groups.tested_choice(found)
    if before is not None and before.baseline in others:
        return before.baseline
    if group.has_variants and (plain := groups.rival(group, found)) in others:
        return plain
    own = _recipes_own(group, find)
    by_recipe = next((cell for cell in others if dict(cell.setting) == own), None)
    second = groups.runner_up(found)
    return by_recipe or second or others[0]


def _recipes_own(group: Group, find: Find) -> dict[str, str] | None:
    """The setting that changes nothing of the sweep's base; None where there is none."""
    try:
        sweep = start.sweep_of(run for item in group.members if (run := find(item.id)) is not None)
        base = sweep.pretraining(Setting({}, {}), 0)
        for setting in sweep.settings():
            if sweep.pretraining(setting, 0) == base:
                return dict(setting.labels)
    except ConfigError:
        pass  # it can be tested all the same
    return None


def test_measure(choice: Choice) -> Measure:
    """The figure of test images that answers it."""
    return next(item for item in groups.MEASURES if item.is_test and item.of == choice.measure.of)


def sentence(choice: Choice) -> str:
    """What a test would look at, before it does: `3 runs of temperature 0.2, the best of five, and 3 of ...`."""
    number = wording.number_word(choice.num_settings)
    return (
        f"{len(choice.members)} runs: {group_wording.cell_name(choice.chosen)}, the best of {number} settings by "
        f"{choice.measure.label}, and {group_wording.short_name(choice.baseline, choice.chosen)}."
    )


# --- the test ---------------------------------------------------------------------------------------------------------


def run_test(choice: Choice, find: Find, evaluate: Evaluate, report: Report = no_report) -> list[Run]:
    """Measures the runs of a choice on the test images and notes in each that it was tested as such.

    A run that has its test figures keeps them. What was killed in between is completed by the same call.

    Args:
        evaluate: measures a run and keeps the figures.
        report: is told phase and share done.

    Returns:
        The runs, the chosen ones first.

    Raises:
        ConfigError: if a run is not there any more, or cannot be measured.
    """
    figure = test_measure(choice)
    seen_at, tested = time.time(), []
    for number, item in enumerate(choice.members):
        if (run := find(item.id)) is None:
            raise ConfigError(f"{item.id} is not there any more; allowed: a group whose runs are there.")
        report(f"Testing {run.name}", number / len(choice.members))
        if groups.figure(item, figure, find) is None:
            evaluate(run, no_report)
        tested.append(run)
    for run, item in zip(tested, choice.members, strict=True):
        note = {
            "role": choice.role_of(item),
            "measure": choice.measure.key,
            "num_settings": choice.num_settings,
            "time": seen_at,
        }
        runs.add_meta(run.path, tested=note)
    return tested


def request_of(group_id: str, choice: Choice) -> dict[str, Any]:
    """What the job of a test is asked for, so that a second click finds it."""
    return {
        "group": group_id,
        "measure": choice.measure.key,
        "arm": choice.chosen.arm,
        "labels": choice.chosen.share.key if choice.chosen.share is not None else None,
        "baseline": setting_name(choice.baseline.setting),
        "runs": " ".join(item.id for item in choice.members),
    }


def start_job(group_id: str, choice: Choice, runs_dir: Path) -> Path:
    """Starts the test in the background, or returns the folder of the job that is at it already.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    arguments = ["sweep", group_id, "--test", "--measure", choice.measure.key]
    arguments += ["--baseline", setting_name(choice.baseline.setting), "--runs_dir", str(runs_dir.resolve())]
    if choice.chosen.arm is not None and choice.chosen.share is not None:
        arguments += ["--arm", choice.chosen.arm, "--labels", choice.chosen.share.key]
    return jobs.start(JOB_NAME, request_of(group_id, choice), arguments, runs_dir, devices.ANY)


def find_job(group_id: str, choice: Choice, runs_dir: Path) -> Path | None:
    """The newest job with this request, whatever became of it."""
    return jobs.find(JOB_NAME, request_of(group_id, choice), runs_dir)


def is_tested(group: Group, choice: Choice) -> bool:
    """Whether this choice is what was tested last, with all its runs."""
    last = max((note.time for note in group.tests), default=None)

    def holds(item: Summary) -> bool:
        note = item.group.tested if item.group is not None else None
        return note is not None and (note.role, note.time) == (choice.role_of(item), last)

    return all(map(holds, choice.members))
