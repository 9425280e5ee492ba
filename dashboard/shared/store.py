"""The index of the runs folder in use, kept by the server, and a colour for each run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import streamlit as st

from dashboard.shared.palette import PALETTE
from simclr import runs
from simclr.results import arms, groups
from simclr.results.groups import Group
from simclr.results.index import RunIndex, Summary
from simclr.run_table.late_values import LateValues
from simclr.runs import Run

ROOT = Path(__file__).resolve().parents[2]


def runs_dir() -> Path:
    """The runs folder as an absolute path: `$SIMCLR_RUNS_DIR`, else `runs` in the repository."""
    folder = runs.default_runs_dir()
    return folder if folder.is_absolute() else ROOT / folder


@st.cache_resource(max_entries=4, show_spinner=False)
def _open(folder: str) -> RunIndex:
    return RunIndex(Path(folder))


def get() -> RunIndex:
    """The index of the runs folder in use, shared by all browser sessions."""
    return _open(str(runs_dir()))


@st.cache_resource(max_entries=4, show_spinner=False)
def _late(folder: str) -> LateValues:
    return LateValues(Path(folder))


def late_values() -> LateValues:
    """Options and figures that summaries do not hold, of the runs folder in use."""
    return _late(str(runs_dir()))


def find(run_id: str) -> Run | None:
    """The run with exactly this id; None if there is none. Never a path: ids come from addresses."""
    if not run_id or Path(run_id).name != run_id or run_id.startswith("."):
        return None
    for folder in (runs_dir(), runs_dir() / runs.EXAMPLES):
        if runs.is_run_folder(folder / run_id):
            return Run(folder / run_id)
    return None


def num_active() -> int:
    return sum(summary.is_active for summary in get().summaries())


def colors(run_ids: Iterable[str]) -> dict[str, str]:
    """A colour per run id, the same on every page and after a restart.

    Runs take the palette's colours in the order they were made. Deleted runs keep their place as long as they lie
    in the trash, so that deleting one does not repaint the others.
    """
    folder = runs_dir()
    known = {run.id for run in runs.run_folders(folder)}
    with contextlib.suppress(OSError):  # there may be none, or no more
        known |= set(os.listdir(folder / runs.TRASH))
    order = {run_id: index for index, run_id in enumerate(sorted(known))}
    return {run_id: PALETTE[order.get(run_id, 0) % len(PALETTE)] for run_id in run_ids}


def partners(run_id: str) -> list[Summary]:
    """Supervised runs of one pre-training, newest first."""
    return arms.partners_of(run_id, get().summaries())


def all_groups() -> list[Group]:
    """The groups of the runs folder, that with the newest run first."""
    return groups.groups(get().summaries())


def find_group(group_id: str | None) -> Group | None:
    """The group with exactly this id; None if there is none."""
    return groups.find_group(group_id, get().summaries()) if group_id else None


def with_members(names: Sequence[str]) -> list[str]:
    """Ids of runs, where the id of a group stands for those of its runs that its question is about."""
    known = {group.id: group for group in all_groups()}
    found: list[str] = []
    for name in names:
        group = known.get(name)
        found += [item.id for item in groups.curves_of(group, find)] if group is not None else [name]
    return list(dict.fromkeys(found))
