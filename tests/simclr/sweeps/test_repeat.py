"""A run and its supervised runs are repeated with other seeds, as one group."""

import os

import pytest
from dashboard_fixtures import make_experiment, make_run

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.hardware import devices
from simclr.launch import queue, spawn
from simclr.results.index import RunIndex
from simclr.sweeps import repeat, start


@pytest.fixture(autouse=True)
def nothing_begins(monkeypatch):
    monkeypatch.setattr(devices, "_gpus", list)
    monkeypatch.setattr(spawn, "begin", lambda run, device: None)
    monkeypatch.setattr(queue, "ensure_scheduler", lambda runs_dir: None)


def summaries(folder):
    return RunIndex(folder).summaries(max_age=0)


def test_a_run_and_its_partners_become_a_group_with_further_seeds(tmp_path):
    run, partners = make_experiment(tmp_path, (0.01,), seed=3)
    group = repeat.repeat(run, 2, tmp_path, summaries(tmp_path))
    found = start.runs_of(group, tmp_path)
    assert len(found) == 12
    assert {run.id, *(partner.id for partner in partners.values())} < {each.id for each in found}
    assert {each.config["seed"] for each in found} == {3, 0, 1}
    new = [each for each in found if each.config["seed"] == 0]
    assert sorted(each.kind for each in new) == ["finetune", "finetune", "pretrain", "scratch"]
    first = next(each for each in new if each.kind == "pretrain")
    before, after = (cfg.to_dict(runs.load_config(each)) for each in (run, first))
    differing = {name for name in before if before[name] != after[name]}
    assert differing <= {"seed", "name", "version"}
    assert start.complete(group, tmp_path) == []


def test_options_of_its_own_are_repeated_too(tmp_path):
    run = make_run(tmp_path, temperature=0.7, augmentation={"hue": 0.05}, epochs=3)
    group = repeat.repeat(run, 1, tmp_path, summaries(tmp_path))
    new = next(each for each in start.runs_of(group, tmp_path) if each.id != run.id)
    assert (new.config["temperature"], new.config["augmentation"]["hue"], new.config["epochs"]) == (0.7, 0.05, 3)


def test_one_that_is_in_a_group_is_repeated_with_it(tmp_path):
    run = make_run(tmp_path)
    group = repeat.repeat(run, 1, tmp_path, summaries(tmp_path))
    assert repeat.repeat(runs.Run(run.path), 2, tmp_path, summaries(tmp_path)) == group
    assert len(start.runs_of(group, tmp_path)) == 4


def test_an_example_stays_as_it_is_and_its_seed_is_trained_again(tmp_path):
    run = make_run(tmp_path, seed=5)
    (tmp_path / "examples").mkdir()
    os.rename(run.path, tmp_path / "examples" / run.id)
    example = runs.Run(tmp_path / "examples" / run.id)
    group = repeat.repeat(example, 1, tmp_path, summaries(tmp_path))
    assert {each.config["seed"] for each in start.runs_of(group, tmp_path)} == {5, 0}
    assert example.group is None


def test_a_run_whose_data_is_gone_stays_alone(tmp_path):
    run = make_run(tmp_path, dataset=str(tmp_path / "photos"))
    with pytest.raises(ConfigError, match="photos, which is neither a data set nor a folder that exists"):
        repeat.repeat(run, 2, tmp_path, summaries(tmp_path))
    assert run.group is None
    assert len(runs.run_folders(tmp_path)) == 1


def test_a_supervised_run_alone_is_refused_in_a_sentence(tmp_path):
    _, partners = make_experiment(tmp_path)
    with pytest.raises(ConfigError, match="is a scratch run; allowed: a pre-training"):
        repeat.repeat(partners["scratch-0.01"], 2, tmp_path, summaries(tmp_path))
