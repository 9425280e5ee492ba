"""Runs whose test images are not to be looked at yet: settings are still being chosen on validation images."""

import json

import pytest
from conftest import TINY, TINY_PRETRAIN

from simclr import config as cfg
from simclr.cli.main import main
from simclr.config import FinetuneConfig, PretrainConfig
from simclr.evaluation import protocols
from simclr.lifecycle.train import train

ARMS = {
    "frozen": {"freeze_encoder": True},
    "full": {},
    "scratch": {"random_weight_init": True},
}


def run_of(arm, folder, experiment, **more):
    if arm == "pretrain":
        return train(cfg.build(PretrainConfig, TINY_PRETRAIN | more), runs_dir=folder)
    own = {name: value for name, value in TINY.items() if name not in ("dataset", "image_size")}
    options = own | {"batch_size": 16, "epochs": 2, "experiment_version": str(experiment.path)} | ARMS[arm] | more
    return train(cfg.build(FinetuneConfig, options), runs_dir=folder)


@pytest.mark.parametrize("arm", ["pretrain", *ARMS])
def test_no_test_image_is_seen_until_it_is_asked_for(finished_run, tiny_runs, monkeypatch, capsys, arm):
    tested = run_of(arm, tiny_runs, finished_run)
    for name in ("pretrain_figures", "classifier_figures", "evaluation_of"):
        with monkeypatch.context() as patch:
            patch.setattr(protocols, name, lambda *_: pytest.fail("looked at test images"))
            run = run_of(arm, tiny_runs, finished_run, evaluate=False)
    assert run.status.state == "finished"
    assert not [name for name in run.evaluation if name.startswith("test/") or name in ("confusion", "per_class")]
    assert "evaluate is false, so nothing was tested" in run.log_tail(50)
    assert main(["evaluate", run.id, "--json"]) == 0
    printed = capsys.readouterr().out
    found = json.loads(printed[printed.index("{\n") :])
    assert found["added"] == sorted(found["figures"])
    stored = {name: value for name, value in tested.evaluation.items() if name.startswith("test/")}
    assert {name: run.evaluation[name] for name in stored} == stored  # as if they had been measured at its end
    assert main(["evaluate", run.id, "--json"]) == 0
