"""pretrain, finetune, resume and evaluate from Python: the runs of the command line, their tables and figures."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import lightning as L
import numpy as np
import pandas
import pytest
import torch
from conftest import TINY, TINY_PRETRAIN, make_folder
from torch import nn

import simclr
from simclr import runs
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.models import own_networks

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = {name: value for name, value in TINY_PRETRAIN.items() if name != "dataset"}
SUPERVISED = {name: value for name, value in TINY.items() if name != "dataset"} | {"epochs": 1}


class Net(nn.Module):
    """An encoder of one's own, with a layer that does not train alike in both modes."""

    def __init__(self, width=12):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, x):
        return self.layers(x).mean((2, 3))


def stop_after(steps):
    class Stop(L.Callback):
        def on_train_batch_end(self, trainer, *arguments):
            if trainer.global_step == steps:
                os.kill(os.getpid(), signal.SIGINT)

    return Stop()


@pytest.fixture(scope="module")
def trained(finished_run):
    return simclr.Run(finished_run)


def test_a_pretraining_is_the_one_of_the_command_line(tiny_runs, finished_run):
    run = simclr.pretrain("shapes", **OPTIONS)
    assert run.path.parent == tiny_runs
    assert run.status.state == "finished"
    assert run.kind == "pretrain"
    assert run.path.joinpath("model.pt").read_bytes() == finished_run.model_path.read_bytes()
    assert run.config["hidden_dim"] == 16
    assert run.evaluation["test/knn_top1"] == finished_run.evaluation["test/knn_top1"]
    assert "--hidden_dim=16" in run.folder.meta["command"]
    assert "epoch 2/2" in run.log


def test_a_recipe_gives_what_is_not_said_and_arguments_win(tiny_runs):
    augmentation = simclr.Augmentation(hue=0.07)
    run = simclr.pretrain(recipe="quick", augmentation=augmentation, evaluate=False, **OPTIONS)
    assert run.folder.meta["recipe"] == "quick"
    assert run.config["augmentation"]["hue"] == 0.07
    assert run.config["backbone"] == "resnet_tiny"
    with pytest.raises(ConfigError, match=r"recipe is qick; allowed: quick, .*; did you mean quick"):
        simclr.pretrain(recipe="qick")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"temprature": 0.1}, "temprature is not an option; did you mean temperature"),
        ({"temperature": -1}, "temperature is -1; allowed: a number from 0.005"),
        ({"dataset": "nowhere"}, "dataset is nowhere"),
        ({"backbone": "resnet19"}, "backbone is resnet19; allowed: "),
        ({"dataset": 7}, "dataset is of type int; allowed: a name, a folder, a map-style Dataset"),
        ({"dataset": []}, "dataset is empty; allowed: at least one image"),
        ({"dataset": {"training": [1]}}, "dataset has the splits training; allowed: train, and val and test"),
    ],
    ids=str,
)
def test_bad_input_is_one_sentence_and_leaves_no_folder(tiny_runs, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        simclr.pretrain(**(OPTIONS | arguments))
    assert not runs.list_runs(tiny_runs)


def test_metrics_are_a_table(trained):
    table = trained.metrics
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == list(runs.PRETRAIN_METRICS)
    columns = trained.folder.metrics()
    assert len(table) == len(columns["epoch"])
    np.testing.assert_array_equal(table["train/loss"], columns["train/loss"])
    assert str(table["epoch"].dtype) == str(table["step"].dtype) == "Int64"
    assert table["epoch"].max() == 2 and table["step"].max() == 6
    assert table["val/knn_top1"].notna().sum() == 2


def test_curves_are_a_figure(trained):
    table = trained.metrics
    figure = trained.plot()
    assert [note.text for note in figure.layout.annotations][:3] == [
        "Loss",
        "Top-1 accuracy",
        "kNN accuracy, validation",
    ]
    lines = {trace.name: trace for trace in trained.plot("loss", x="step").data}
    assert set(lines) == {"Training", "Validation"}
    rows = table[table["train/loss"].notna()]
    np.testing.assert_allclose(lines["Training"].y, rows["train/loss"])
    np.testing.assert_allclose(lines["Training"].x, rows["step"].astype(float))
    top5 = trained.plot("top5").data[0]
    assert max(top5.y) > 1
    np.testing.assert_allclose(top5.y, 100 * table["train/top5"].dropna())
    assert trained.plot("loss").layout.shapes[0].y0 == pytest.approx(np.log(31))  # ln(2N - 1) of batches of 16
    with pytest.raises(ConfigError, match=r"metric is lss; allowed: loss, .*; did you mean loss"):
        trained.plot("lss")
    with pytest.raises(ConfigError, match="x is day; allowed: epoch, step or time"):
        trained.plot(x="day")


def test_a_run_is_opened_by_folder_id_and_itself(finished_run, finished_runs_dir, tmp_path):
    for way in (finished_run, finished_run.path, str(finished_run.path), finished_run.id, simclr.Run(finished_run)):
        assert simclr.Run(way, runs_dir=finished_runs_dir).path == finished_run.path
    assert repr(simclr.Run(finished_run)).endswith("pretrain, finished)")
    with pytest.raises(ConfigError, match="RUN is nothing; allowed"):
        simclr.Run("nothing", runs_dir=tmp_path)
    with pytest.raises(ConfigError, match="RUN is of type int; allowed"):
        simclr.Run(3)


def test_its_encoder_is_loaded_with_and_without_a_checkpoint(trained):
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    final = trained.encoder().embed(image, progress=False)
    np.testing.assert_array_equal(final, simclr.load_encoder(trained).embed(image, progress=False))
    np.testing.assert_array_equal(final, trained.encoder("last").embed(image, progress=False))


def test_fine_tuning_stands_on_a_run_and_lies_beside_it(tiny_runs, finished_run):
    pretrained = simclr.pretrain(evaluate=False, **OPTIONS)
    run = simclr.finetune(pretrained, label_fraction=0.5, freeze_encoder=True, **SUPERVISED)
    assert run.path.parent == tiny_runs
    assert run.kind == "finetune"
    assert run.folder.experiment == pretrained.id
    assert 0 <= run.evaluation["test/top1"] <= 1
    scratch = simclr.finetune(pretrained.id, random_weight_init=True, **SUPERVISED)
    assert scratch.kind == "scratch"


def test_evaluating_gives_the_stored_figures_and_those_of_other_images(tiny_runs, finished_run, tmp_path):
    run = simclr.pretrain(**OPTIONS)
    found = simclr.evaluate(run, protocols=["knn"])
    assert found["test/knn_top1"] == run.evaluation["test/knn_top1"]
    assert "test/linear_top1" not in found
    folder = make_folder(tmp_path / "photos", {"a": 20, "b": 20})
    other = simclr.evaluate(run, folder, protocols="knn")
    assert other["num_test_images"] == 8
    (kept,) = (run.path / "evaluations").iterdir()
    assert kept.name.startswith("photos-")
    with pytest.raises(
        ConfigError, match="protocol is kn; allowed for this run: knn, linear, fewshot; did you mean knn"
    ):
        simclr.evaluate(run, protocols=["kn"])


def test_ctrl_c_stops_a_run_and_resume_ends_it_with_the_same_bytes(tiny_runs, finished_run):
    run = simclr.pretrain(callbacks=[stop_after(2)], **OPTIONS)
    assert run.status.state == "stopped"
    assert not (run.path / "model.pt").exists()
    again = simclr.resume(run)
    assert again.path == run.path
    assert again.status.state == "finished"
    assert (run.path / "model.pt").read_bytes() == finished_run.model_path.read_bytes()
    with pytest.raises(ConfigError, match="is finished; allowed: a run that was stopped or failed"):
        simclr.resume(run)


def test_a_training_that_fails_says_so(tiny_runs):
    class Fail(L.Callback):
        def on_train_batch_end(self, *arguments):
            raise ValueError("pulled the plug")

    with pytest.raises(RuntimeError, match=r"failed \(error\): .*pulled the plug"):
        simclr.pretrain(callbacks=[Fail()], **OPTIONS)
    (run,) = runs.list_runs(tiny_runs)
    assert run.status.state == "failed"


# --- a module of one's own --------------------------------------------------------------------------------------------


@pytest.fixture
def forgotten():
    """What this process was given is not what another one knows."""
    before = dict(own_networks._known)
    own_networks._known.clear()
    yield
    own_networks._known.clear()
    own_networks._known.update(before)


def test_a_module_of_ones_own_is_trained_used_and_gone_on_with(tiny_runs, forgotten, capsys):
    torch.manual_seed(5)
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    whole = simclr.pretrain(backbone=net, **OPTIONS)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())  # a copy was trained
    assert net.training
    about = whole.folder.meta["own_backbone"]
    assert about["class"] == f"{Net.__module__}.Net"
    assert "Conv2d(3, 12" in about["description"]
    assert whole.config["backbone"] == f"own:{Net.__module__}.Net"
    assert "net" in whole.id and ":" not in whole.id
    state = torch.load(whole.path / "model.pt", weights_only=True)
    assert "layers.0.weight" in state and "fc.2.weight" in state
    assert simclr.evaluate(whole, protocols=["knn"])["test/knn_top1"] == whole.evaluation["test/knn_top1"]
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    features = whole.encoder().embed(image, progress=False)
    own = Net()
    own.load_state_dict({name: value for name, value in state.items() if name.startswith("layers")})
    with torch.no_grad():
        expected = own.eval()(whole.encoder().preprocess(image))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-6)

    torch.manual_seed(5)
    stopped = simclr.pretrain(backbone=Net(), callbacks=[stop_after(2)], **OPTIONS)
    own_networks._known.clear()  # as in another process
    sentence = (
        rf"backbone is {Net.__module__}.Net, a module whose weights a run keeps, but not its code; allowed: such a "
        r"module given in Python, simclr.resume\(RUN, backbone=module\)"
    )
    for way in (simclr.resume, simclr.load_encoder, simclr.evaluate):
        with pytest.raises(ConfigError, match=sentence):
            way(whole if way is not simclr.resume else stopped)
    capsys.readouterr()
    assert main(["resume", str(stopped.path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"backbone is {Net.__module__}.Net, a module whose weights") and error.count("\n") == 1
    assert stopped.status.state in ("stopped", "failed")

    done = simclr.resume(stopped, backbone=Net())
    assert (done.path / "model.pt").read_bytes() == (whole.path / "model.pt").read_bytes()
    own_networks._known.clear()
    np.testing.assert_array_equal(simclr.load_encoder(whole, backbone=Net()).embed(image, progress=False), features)
    run = simclr.finetune(whole, backbone=Net(), freeze_encoder=True, **SUPERVISED)
    assert run.encoder().predict(image, progress=False).probabilities.shape == (1, 10)
    with pytest.raises(ConfigError, match="allowed: weights of the same backbone"):
        simclr.load_encoder(whole, backbone=Net(13))


def test_what_is_kept_of_a_module_is_a_copy(forgotten):
    net = Net()
    before = net.layers[0].weight.clone()
    name = own_networks.remember(net)
    with torch.no_grad():
        net.layers[0].weight.zero_()
    assert torch.equal(own_networks.copy_of(name).layers[0].weight, before)
    assert own_networks.copy_of(name) is not own_networks.copy_of(name)


def test_a_module_of_ones_own_stays_in_one_process(tiny_runs):
    with pytest.raises(ConfigError, match="a module that other processes do not have, and devices is 2"):
        simclr.pretrain(backbone=Net(), **(OPTIONS | {"devices": 2}))
    with pytest.raises(ConfigError, match=r"backbone is Linear, which cannot take images of 16 x 16 pixels"):
        simclr.pretrain(backbone=nn.Linear(3, 4), **OPTIONS)
    assert not runs.list_runs(tiny_runs)


@pytest.mark.slow  # test_ddp does so by the command
@pytest.mark.timeout(400)
def test_two_processes_train_from_a_plain_script(tiny_runs, tmp_path):
    """One that does not guard its lines by its name, and trains twice."""
    script = tmp_path / "script.py"
    script.write_text(
        "import simclr\n"
        f"options = {OPTIONS | {'devices': 2, 'evaluate': False, 'epochs': 1}!r}\n"
        "first = simclr.pretrain(**options)\n"
        "second = simclr.pretrain(seed=1, **options)\n"
        "print(first.status.state, second.status.state, first.config['seed'], second.config['seed'])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=380
    )
    assert done.stdout.split() == ["finished", "finished", "42", "1"], done.stderr
    assert len(runs.list_runs(tiny_runs)) == 2
