"""How long the rest of a group takes: as long as runs like it took, as many at once as now."""

import time

import pytest
from dashboard_fixtures import group_of, make_group, make_run

from simclr import runs
from simclr.results import group_progress


def left(folder):
    return group_progress.seconds_left(group_of(folder))


def took(run, seconds):
    runs.update_status(run.path, state="finished", started=100.0, ended=100.0 + seconds)


def waits(run, **more):
    runs.update_status(run.path, state="queued", started=None, ended=None, seconds_before=0.0, **more)


def test_what_waits_takes_as_long_as_what_is_done(tmp_path):
    made = make_group(tmp_path, {"0.1": [0.8, 0.8], "0.5": [0.8, 0.8]})
    assert left(tmp_path) is None  # all is done
    for run, seconds in zip(made, (100, 200), strict=False):
        took(run, seconds)
    for run in made[2:]:
        waits(run)
    assert left(tmp_path) == pytest.approx(300)


def test_of_what_goes_on_its_own_estimate_counts_and_places_share_the_rest(tmp_path):
    made = make_group(tmp_path, {"0.1": [0.8] * 4})
    took(made[0], 100)
    waits(made[1])
    here = {"pid": None, "started": time.time() - 60, "ended": None, "eta_seconds": 40.0, "backend": "slurm"}
    for run in made[2:]:
        runs.update_status(run.path, state="running", heartbeat=time.time(), **here)
    assert left(tmp_path) == pytest.approx((100 + 40 + 40) / 2, abs=5)


def test_ways_of_training_are_told_apart(tmp_path):
    (first,) = make_group(tmp_path, {"": [0.8]}, axis="")
    took(first, 500)
    for kind, seconds in (("finetune", 10), ("scratch", 30), ("scratch", None)):
        run = make_run(tmp_path, kind=kind, experiment_version=first.id, seed=0, label_fraction=0.1)
        runs.add_meta(run.path, group={"id": "which-x7k2", "setting": {}})
        took(run, seconds) if seconds else waits(run)
    assert left(tmp_path) == pytest.approx(30)


def test_nothing_is_said_where_no_run_tells(tmp_path):
    for run in make_group(tmp_path, {"0.1": [0.8, 0.8]}):
        waits(run)
    assert left(tmp_path) is None
