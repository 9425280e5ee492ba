"""A pre-training that begins with weights: of a run or a file, with another stem, refused, and resumed."""

import pytest
import torch
import torchvision
from conftest import TINY_PRETRAIN
from trainings import assert_equal_ends, interrupted, run_and_find, stop_at  # noqa: F401  (a fixture)

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, PretrainConfig
from simclr.lifecycle import prepare


def prepared(runs_dir, **options):
    return prepare.prepare(cfg.build(PretrainConfig, TINY_PRETRAIN | options), runs_dir)


@pytest.mark.parametrize("by", ["id", "version", "file"])
def test_the_encoder_begins_with_the_weights_of_a_run(tmp_path, finished_run, finished_runs_dir, by):
    named = {"id": finished_run.id, "version": 0, "file": str(finished_run.model_path)}[by]
    found = prepared(finished_runs_dir, init_weights=named, seed=5)
    state = torch.load(finished_run.model_path, weights_only=True)
    mine = found.encoder.network.state_dict()
    assert all(torch.equal(mine[key], state[key]) for key in mine)
    assert found.config.init_weights == (str(finished_run.model_path.resolve()) if by == "file" else finished_run.id)
    assert found.weights_sha256 is not None


def test_a_stem_for_images_of_another_size_is_left_out_and_said(tmp_path, capsys):
    torch.manual_seed(3)
    network = torchvision.models.resnet18()
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    found = prepared(tmp_path, backbone="resnet18", init_weights=str(tmp_path / "resnet18.pth"))
    mine = found.encoder.network.state_dict()
    assert mine["conv1.weight"].shape == (64, 3, 3, 3)
    assert torch.equal(mine["layer4.1.conv2.weight"], network.layer4[1].conv2.weight)
    assert (
        "resnet18.pth: all weights are taken but those of the first layer, conv1.weight, which is (64, 3, 7, 7) there "
        "and (64, 3, 3, 3) here" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("nowhere.pt", r"^init_weights is nowhere\.pt; allowed: a version number, a run's id, .* or a weights file"),
        (7, r"^init_weights is 7; allowed: the version of a pre-training"),
        ("text.pt", r"^init_weights is .*text\.pt, which is not a weights file; allowed: "),
        ("other.pt", r"^init_weights is .*other\.pt, which lacks .*; they seem to be weights of resnet34; allowed: "),
    ],
)
def test_what_is_no_weights_of_this_network_is_one_sentence(tmp_path, wanted, sentence):
    (tmp_path / "text.pt").write_text("hello")
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "other.pt")
    named = str(tmp_path / wanted) if wanted in ("text.pt", "other.pt") else wanted
    backbone = "resnet18" if wanted != "other.pt" else "resnet50"
    with pytest.raises(ConfigError, match=sentence):
        prepared(tmp_path, init_weights=named, backbone=backbone)


def test_it_is_resumed_exactly_and_differs_from_one_with_random_weights(tiny_runs, finished_run, stop_at, monkeypatch):
    options = TINY_PRETRAIN | {"init_weights": str(finished_run.model_path)}
    expected = run_and_find(tiny_runs, "pretrain", options)
    assert runs.load_config(expected).init_weights == str(finished_run.model_path.resolve())
    plain = run_and_find(tiny_runs, "pretrain", TINY_PRETRAIN)
    assert plain.model_path.read_bytes() != expected.model_path.read_bytes()
    run = interrupted(tiny_runs, "pretrain", options, stop_at, monkeypatch, step=4)
    from simclr.cli.main import main

    assert main(["resume", run.id]) == 0
    assert_equal_ends(run, expected)
