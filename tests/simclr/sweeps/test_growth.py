"""What a group lacks of its sweep, and what further seeds, values and labels make of it."""

import shutil

import pytest
from dashboard_fixtures import find, group_of

from simclr import runs
from simclr.config import ConfigError
from simclr.hardware import devices
from simclr.launch import queue, spawn
from simclr.sweeps import growth, start, sweep_file
from simclr.sweeps.growth import More

TINY = {"recipe": "quick", "epochs": 1, "limit_images": 40, "batch_size": 20, "accelerator": "cpu"}
SWEEP = {"title": "Which?", "base": TINY, "axes": {"temperature": [0.1, 0.5]}, "seeds": [0, 3]}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_gpus", list)
    monkeypatch.setattr(spawn, "begin", lambda run, device: None)
    monkeypatch.setattr(queue, "ensure_scheduler", lambda runs_dir: None)
    return tmp_path


def lacking(folder):
    group = group_of(folder)
    sweep = growth.sweep_of_group(group, find(folder))
    return growth.missing(group, sweep)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"arms": ["full", "scratch"], "label_fractions": [0.1], "labels_per_class": [1, 5]},
        {"arms": ["frozen"], "labels_per_class": [2], "subset_seeds": 2, "axes": {}},
    ],
)
def test_it_lacks_what_was_never_created_and_no_more_once_completed(folder, more):
    group_id = start.start(sweep_file.parse(SWEEP | more), folder)
    assert lacking(folder) == 0
    newest_first = start.runs_of(group_id, folder)
    for run in newest_first[1:4]:
        shutil.rmtree(run.path)
    assert lacking(folder) == 3
    assert len(start.complete(group_id, folder)) == 3
    assert lacking(folder) == 0


def test_an_extension_that_was_killed_after_its_first_run_lacks_the_others(folder):
    group_id = start.start(sweep_file.parse(SWEEP), folder)
    sweep = growth.sweep_of_group(group_of(folder), find(folder))
    assert growth.missing(group_of(folder), growth.grown(sweep, More(2))) == 4
    for run in start.complete(group_id, folder, more=growth.grown(sweep, More(2)))[1:]:
        shutil.rmtree(run.path)
    assert lacking(folder) == 3


def test_a_group_without_a_sweep_has_none(folder):
    start.start(sweep_file.parse(SWEEP), folder)
    for run in runs.run_folders(folder):
        entry = run.meta["group"]
        runs.add_meta(run.path, group={name: entry[name] for name in ("id", "title", "setting")})
    assert growth.sweep_of_group(group_of(folder), find(folder)) is None


def test_further_seeds_values_arms_and_labels():
    sweep = sweep_file.parse(SWEEP)
    assert growth.option_axes(sweep) == ["temperature"]
    after = growth.grown(sweep, More(2, {"temperature": ["1", "0.5"]}))
    assert after.seeds == (0, 3, 1, 2)
    assert [value.label for value in after.axes[0].values] == ["0.1", "0.5", "1"]
    assert growth.grown(sweep, More()) == sweep
    after = growth.grown(sweep, More(0, {}, ["scratch"], [0.1], ["5", "1"]))
    assert (after.arms, after.label_fractions, after.labels_per_class) == (("scratch",), (0.1,), (1, 5))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (More(0, {"temperature": ["warm"]}), "temperature is warm; allowed"),
        (More(0, {}, ["full"], [], ["none"]), "labels_per_class is none; allowed"),
        (More(0, {"temperature": ["0.50"]}), r"temperature has 0\.5 twice"),
    ],
)
def test_what_makes_no_sense_is_said(more, sentence):
    with pytest.raises(ConfigError, match=sentence):
        growth.grown(sweep_file.parse(SWEEP), more)


def test_values_are_not_added_to_names_and_choices_by_chance():
    pairs = {"axes": {"operations": {"pairs": {"a": {"temperature": 0.1}, "b": {"epochs": 2}}}}}
    assert growth.option_axes(sweep_file.parse(SWEEP | pairs)) == []
    assert growth.option_axes(sweep_file.parse(SWEEP | {"method": "random", "limit": 2})) == []
