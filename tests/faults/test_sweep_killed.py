"""A sweep whose every process is killed, twice, and resumed: its table is that of one that nobody disturbed."""

import contextlib
import os
import signal

import pytest
from conftest import TINY_PRETRAIN
from waiting import schedulers, wait_for

from simclr import runs
from simclr.hardware import processes
from simclr.launch import queue
from simclr.results import group_wording, groups
from simclr.results.index import RunIndex
from simclr.sweeps import start, sweep_file

pytestmark = pytest.mark.slow
SWEEP = {
    "title": "Which temperature?",
    "base": {**TINY_PRETRAIN, "recipe": "quick", "epochs": 6},
    "axes": {"temperature": [0.1, 1.0]},
    "seeds": [0, 1],
    "arms": ["frozen"],
    "label_fractions": [0.5],
}
for own in ("name", "seed", "evaluate", "version"):
    SWEEP["base"].pop(own, None)


def kill_everything(folder):
    """Ends the scheduler, supervisors and trainers of a folder at once, as a power cut does."""
    victims = [process.pid for process in schedulers(folder)]
    for run in runs.run_folders(folder):
        status = runs.read_status(run.path)
        for pid, begin in ((status.supervisor_pid, status.supervisor_start), (status.pid, status.process_start)):
            if pid is not None and processes.is_alive(pid, begin):
                victims.append(pid)
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(victims)


def states_of(group, folder):
    return [run.status.state for run in start.runs_of(group, folder)]


def done(folder, group):
    return set(states_of(group, folder)) == {"finished"}


def table(folder, group_id):
    group = groups.find_group(group_id, RunIndex(folder).summaries(max_age=0))
    found = []
    for measure in groups.MEASURES[:2]:
        cells = groups.cells(group, measure, lambda run_id: runs.Run(folder / run_id))
        found += [*group_wording.table(group, cells), [str(cell.values) for cell in cells]]
    return found


def test_killed_twice_and_resumed_it_says_the_same(tmp_path):
    quiet, disturbed = tmp_path / "quiet", tmp_path / "disturbed"
    sweep = sweep_file.parse(SWEEP)
    one = start.start(sweep, quiet, "cpu")
    wait_for(lambda: done(quiet, one), "the undisturbed sweep", 600)
    other = start.start(sweep, disturbed, "cpu")
    for finished in (1, 4):
        wait_for(
            lambda: (
                sum(run.status.state == "finished" for run in start.runs_of(other, disturbed)) >= finished  # noqa: B023
                and any(
                    run.status.step > 0 and run.status.state == "running" for run in start.runs_of(other, disturbed)
                )
            ),
            "a run in the middle of its training",
            600,
        )
        assert kill_everything(disturbed) >= 2
        wait_for(lambda: not schedulers(disturbed), "the scheduler's end")
        wait_for(lambda: "failed" in states_of(other, disturbed), "the run that was cut off to be called so")
        assert "queued" in states_of(other, disturbed)
        start.resume(other, disturbed, "cpu")
    wait_for(lambda: done(disturbed, other), "the disturbed sweep", 600)
    assert table(disturbed, other) == table(quiet, one)
    assert len(start.runs_of(other, disturbed)) == 8  # none was lost, none made twice
    assert queue.entries(disturbed) == []
