"""Two networks side by side: on the same images, as many of them, in one place of a device."""

import pytest
from conftest import supervise_nothing
from dashboard_fixtures import make_run
from races import make_race

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.experiments import race
from simclr.launch import queue, spawn
from simclr.results import index


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(spawn, "_supervise", supervise_nothing)
    monkeypatch.setattr(queue, "ensure_scheduler", lambda runs_dir: None)  # it would start what waits, in earnest
    return tmp_path


@pytest.mark.parametrize("recipe", cfg.recipe_names())
def test_both_share_data_network_frames_and_budget(folder, recipe):
    found = race.start(recipe, folder, "cpu", label_fraction=0.05, changes={"precision": "32-true"})
    ours, theirs = (runs.load_config(run) for run in found)
    assert (ours.kind, theirs.kind) == ("pretrain", "scratch")
    same = ("dataset", "backbone", "seed", "val_fraction", "limit_images", "film_frames", "num_threads")
    assert [getattr(ours, name) for name in same] == [getattr(theirs, name) for name in same]
    assert theirs.match_experiment and theirs.experiment_version == found.simclr.id
    assert (theirs.label_fraction, theirs.max_steps, theirs.early_stopping_patience) == (0.05, None, None)
    assert found.scratch.meta["beside"] == found.scratch.meta["experiment"] == found.simclr.id
    assert race.find(found.scratch) == found and race.find(found.simclr) is None


def test_both_begin_at_once_and_others_wait_for_both(folder):
    found = race.start("quick", folder, "cpu")
    other = queue.submit(cfg.build(cfg.PretrainConfig, {"seed": 5}), folder, "cpu")
    assert [run.status.state for run in (*found, other)] == ["starting", "starting", "queued"]


def test_a_second_click_gives_the_first_race(folder):
    assert race.start("quick", folder, "cpu") == race.start("quick", folder, "cpu")
    assert len(runs.list_runs(folder)) == 2


def test_whatever_is_wrong_is_said_before_anything_starts(folder):
    for bad in ({"label_fraction": 0}, {"changes": {"epochs": 0}}, {"changes": {"dataset": "cifra10", "epochs": "x"}}):
        with pytest.raises(ConfigError, match="allowed:"):
            race.start("quick", folder, "cpu", **bad)
    with pytest.raises(ConfigError, match="device is gpu:7"):
        race.start("quick", folder, "gpu:7")
    assert runs.list_runs(folder) == []


def test_races_are_listed_newest_first_and_the_shipped_ones_apart(folder):
    first, second = (make_race(folder) for _ in range(2))
    make_run(folder, kind="scratch", experiment_version=first.simclr.id)  # trained by itself
    summaries = index.RunIndex(folder).summaries()
    assert {pair.scratch.id for pair in race.list_races(summaries, folder)} == {first.scratch.id, second.scratch.id}
    assert race.list_races(summaries, folder, shipped=True) == []


def test_stop_and_resume_are_for_those_that_can(folder):
    found = race.start("quick", folder, "cpu")
    queue.submit(cfg.build(cfg.PretrainConfig, {"seed": 5}), folder, "cpu")
    race.stop(found)
    for run, state in zip(found, ("finished", "running"), strict=True):
        runs.update_status(run.path, state=state, pid=None)
    with pytest.raises(ConfigError, match="Both runs are active or finished; allowed: a race of which one was stopped"):
        race.resume([found.simclr])
