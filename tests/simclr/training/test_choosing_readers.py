"""Trainings that choose themselves how many processes read their images: what is chosen changes no byte of them."""

import time

import pytest
from conftest import TINY, TINY_PRETRAIN, make_folder
from trainings import assert_equal_ends, interrupted, rows_of, run_and_find, stop_at  # noqa: F401  (a fixture)

from simclr import config as cfg
from simclr import runs
from simclr.cli.main import main
from simclr.curves.curve_sources import asked_options
from simclr.data import readers
from simclr.data.folders import decoding
from simclr.lifecycle.train import train

STREAMED = {"batch_size": 8, "limit_images": 80, "image_size": 16, "memory_share": 0, "evaluate": False}


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "set", {"a": 45, "b": 45})


@pytest.fixture
def slow(monkeypatch):
    """Images come slowly, from a disk that several can wait for, on a machine of three cores."""
    real = decoding.decode_image

    def decode(*arguments):
        time.sleep(0.02)
        return real(*arguments)

    def switch_on():
        monkeypatch.setattr(decoding, "decode_image", decode)
        monkeypatch.setattr(readers, "usable_cores", lambda: 3.0)

    switch_on()
    return switch_on


def trained(folder, tmp_path, model=cfg.PretrainConfig, **options):
    usual = TINY_PRETRAIN if model is cfg.PretrainConfig else TINY
    config = cfg.build(model, usual | STREAMED | {"dataset": str(folder)} | options)
    run = train(config, runs_dir=tmp_path / "runs")
    assert run.status.state == "finished", run.status.error
    return run


@pytest.mark.parametrize("model", [cfg.PretrainConfig, cfg.FinetuneConfig])
def test_the_choice_is_written_down_and_changes_nothing(folder, tmp_path, slow, model):
    more = {} if model is cfg.PretrainConfig else {"random_weight_init": True, "backbone": "resnet_tiny"}
    expected = trained(folder, tmp_path, model, num_workers=0, **more)
    run = trained(folder, tmp_path, model, num_workers="auto", **more)
    assert run.config["num_workers"] in (1, 2, 3)
    assert runs.load_config(run).num_workers == run.config["num_workers"]
    assert run.log_path.read_text().count(f"num_workers {run.config['num_workers']} was chosen by measuring") == 1
    assert run.meta["asked"] == {"num_workers": None}
    assert asked_options(run.path / runs.CONFIG)["num_workers"] is None
    assert rows_of(run) == rows_of(expected)
    assert run.model_path.read_bytes() == expected.model_path.read_bytes()


def test_images_that_come_quickly_are_read_by_the_training(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "WORTH", 0.99)  # whatever this machine does besides
    run = trained(folder, tmp_path)
    assert run.config["num_workers"] == 0 and "num_workers 0 was chosen" in run.log_path.read_text()


def test_nothing_is_measured_where_nothing_is_read_or_a_number_is_given(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "_sample", None)  # must not be called
    kept = trained(folder, tmp_path, memory_share=0.5)
    assert kept.config["num_workers"] is None and "num_workers" not in kept.log_path.read_text()
    given = trained(folder, tmp_path, num_workers=1)
    assert given.config["num_workers"] == 1 and "chosen" not in given.log_path.read_text()


@pytest.mark.parametrize("step", [2, 6, 12], ids=["while it is measured", "after that", "in the second epoch"])
def test_a_resumed_run_ends_in_the_same_bytes(tiny_runs, folder, slow, stop_at, monkeypatch, step):
    options = TINY_PRETRAIN | STREAMED | {"dataset": str(folder), "version": 0}
    expected = run_and_find(tiny_runs, "pretrain", options | {"num_workers": 0})
    run = interrupted(tiny_runs, "pretrain", options, stop_at, monkeypatch, step)
    first = run.config["num_workers"]
    assert (first is None) == (step == 2)
    slow()
    assert main(["resume", run.id]) == 0
    run = runs.Run(run.path)
    assert_equal_ends(run, expected)
    assert run.config["num_workers"] == first or first is None  # it goes on with the number that was chosen
    assert run.log_path.read_text().count("was chosen by measuring") == 1


def test_an_epoch_shorter_than_the_measurement_goes_on_in_the_next(folder, tmp_path, slow):
    short = {"limit_images": 20, "epochs": 6}  # two steps an epoch
    expected = trained(folder, tmp_path, num_workers=0, **short)
    run = trained(folder, tmp_path, **short)
    assert run.config["num_workers"] in (1, 2, 3)
    assert rows_of(run) == rows_of(expected)
    assert run.model_path.read_bytes() == expected.model_path.read_bytes()


@pytest.mark.parametrize("word", ["auto", "AUTO", "", "null", "none", None])
def test_it_is_left_open_by_a_word(word):
    assert cfg.build(cfg.PretrainConfig, TINY_PRETRAIN | {"num_workers": word}).num_workers is None
