"""Test figures that can be repeated: the same from `model.pt` alone, and test images that decide nothing."""

import dataclasses
import json
import math
import shutil

import pytest
import torch
from conftest import TINY, TINY_PRETRAIN, make_folder

from simclr import config as cfg
from simclr import runs
from simclr.cli.main import main
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig
from simclr.data.loading import load_data
from simclr.evaluation import knn, linear_probe, protocols
from simclr.hardware import processes
from simclr.lifecycle.train import train
from simclr.models import backbones, state_dicts, weight_reading
from simclr.objectives import metrics
from simclr.runs import Run

CPU = torch.device("cpu")
ARMS = {
    "frozen": {"freeze_encoder": True},
    "augmented": {
        "freeze_encoder": True,
        "augmentation": {"jitter_probability": 0.8, "hue": 0.1},
        "head": "mlp",
        "hidden_dim": 24,
    },
    "full": {"label_fraction": 0.5},
    "scratch": {"random_weight_init": True},
}


@pytest.fixture(scope="module")
def trained(finished_run, finished_runs_dir):
    """A run of each kind, just as it was trained; read-only."""
    found = {"pretrain": finished_run}
    for name, options in ARMS.items():
        values = TINY | {"experiment_version": finished_run.id, "batch_size": 8} | options
        found[name] = train(cfg.build(FinetuneConfig, values), runs_dir=finished_runs_dir)
        assert found[name].status.state == "finished"
    return found


@pytest.fixture
def copy(trained, tiny_runs):
    """Copies a trained run into an empty runs folder, with or without its evaluation."""

    def copy_of(name, *, evaluated=True):
        run = Run(shutil.copytree(trained[name].path, tiny_runs / trained[name].id))
        if not evaluated:
            (run.path / runs.EVALUATION).unlink(missing_ok=True)
        return run

    return copy_of


def data_and_state(run):
    config = runs.load_config(run)
    data = load_data(
        config.dataset,
        image_size=config.image_size,
        seed=config.seed,
        limit_images=config.limit_images,
        val_fraction=config.val_fraction,
    )
    return config, data, weight_reading.read_state(run.model_path)


def features_and_labels(run, split):
    """h of a split's images in one plain forward pass, without anything of `evaluate`."""
    from simclr.views import augment

    config, data, state = data_and_state(run)
    encoder = backbones.build_encoder(config.backbone, config.image_size)
    state_dicts.load_encoder(encoder, state, run.model_path)
    chosen = getattr(data, split)
    images = augment.normalize(augment.to_float(chosen.images_at(range(chosen.num_images))))
    with torch.no_grad():
        return encoder.network.eval()(images).flatten(1), getattr(data, split).labels


# --- the figures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pretrain", *ARMS])
def test_what_training_stored_is_repeated_to_the_bit(trained, copy, capsys, name):
    stored = trained[name].evaluation
    assert stored, "training has written no figures"
    copied = copy(name)
    before = (copied.path / runs.EVALUATION).read_bytes()
    assert main(["evaluate", copied.id]) == 0
    out = capsys.readouterr().out
    assert "same" in out and "differs" not in out
    assert (copied.path / runs.EVALUATION).read_bytes() == before
    found = protocols.evaluate_run(copied)
    for key in [key for key in stored if key.startswith("test/")] + ["confusion", "per_class", "classes", "num_labels"]:
        assert found[key] == stored[key]


def test_a_pre_trainings_figures_are_those_of_a_slow_count(copy):
    run = copy("pretrain", evaluated=False)
    found = protocols.evaluate_run(run)
    (h, y), (test, test_y) = (features_and_labels(run, split) for split in ("train", "test"))
    h, test = (torch.nn.functional.normalize(x, dim=1).tolist() for x in (h, test))
    right = 0
    for row, label in zip(test[:150], test_y[:150].tolist(), strict=True):
        near = sorted(
            ((sum(a * b for a, b in zip(row, other, strict=True)), int(k)) for other, k in zip(h, y, strict=True)),
            reverse=True,
        )[: knn.NUM_NEIGHBORS]
        votes = [0.0] * 10
        for similarity, k in near:
            votes[k] += math.exp(similarity / knn.KNN_TEMPERATURE)
        right += votes.index(max(votes)) == label
    config, data, state = data_and_state(run)
    some = dataclasses.replace(data, test=data.test.take(range(150)))
    assert protocols.pretrain_figures(config, state, some, CPU)["test/knn_top1"] == pytest.approx(right / 150, abs=0.01)

    val = features_and_labels(run, "val")
    probe = linear_probe.fit_linear_probe(*features_and_labels(run, "train"), val, 10)
    logits = probe(features_and_labels(run, "test")[0])
    assert found["test/linear_top1"] == pytest.approx(metrics.accuracy(logits.argmax(dim=1), test_y), abs=0.002)
    about = found["protocols"]["linear"]
    assert about["l2"] == probe.l2
    assert about["C"] == pytest.approx(1 / (probe.l2 * 58))
    assert (about["num_train"], about["num_val"], about["num_test"]) == (58, 6, 2000)
    assert torch.tensor(found["confusion"]).diagonal().sum() / 2000 == pytest.approx(found["test/linear_top1"])
    assert found["test/linear_top1"] <= found["test/linear_top5"] <= 1


def test_test_images_choose_nothing(copy):
    """With other test labels the figures change, and nothing that was fitted or chosen does."""
    config, data, state = data_and_state(copy("pretrain"))
    found = protocols.pretrain_figures(config, state, data, CPU)
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    shuffled = dataclasses.replace(data.test, labels=data.test.labels[order])
    other = protocols.pretrain_figures(config, state, dataclasses.replace(data, test=shuffled), CPU)
    assert other["test/linear_top1"] != found["test/linear_top1"]
    assert other["protocols"] == found["protocols"]
    answers = [torch.tensor(figures["confusion"]).sum(dim=0).tolist() for figures in (found, other)]
    assert answers[0] == answers[1]


def test_validation_labels_do_choose(copy):
    config, data, state = data_and_state(copy("pretrain"))
    found = protocols.pretrain_figures(config, state, data, CPU)["protocols"]["linear"]
    flipped = dataclasses.replace(data.val, labels=9 - data.val.labels)
    other = protocols.pretrain_figures(config, state, dataclasses.replace(data, val=flipped), CPU)["protocols"][
        "linear"
    ]
    assert other["tried"] != found["tried"]
    without = protocols.pretrain_figures(config, state, dataclasses.replace(data, val=None), CPU)["protocols"]["linear"]
    assert (without["l2"], without["tried"], without["num_val"]) == (linear_probe.DEFAULT_L2, {}, 0)


def test_the_random_state_is_left_as_it_was(copy):
    config, data, state = data_and_state(copy("pretrain"))
    torch.manual_seed(7)
    before = torch.get_rng_state()
    protocols.pretrain_figures(config, state, data, CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_progress_is_told_and_may_end_the_work(copy):
    config, data, state = data_and_state(copy("pretrain"))
    told = []
    protocols.pretrain_figures(config, state, data, CPU, lambda what, share: told.append((what, share)))
    words = list(dict.fromkeys(what for what, _ in told))
    assert words == [
        "features of the training images",
        "features of the test images",
        "features of the validation images",
        "fitting the linear probe",
    ]
    assert all(0 < share <= 1 for _, share in told)

    def stop(what, share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        protocols.pretrain_figures(config, state, data, CPU, stop)


def test_images_without_labels_have_no_figures(copy, tmp_path):
    config, data, state = data_and_state(copy("pretrain"))
    assert protocols.pretrain_figures(config, state, dataclasses.replace(data, test=None), CPU) == {}
    assert protocols.pretrain_figures(config, state, dataclasses.replace(data, probe=None), CPU) == {}


def test_a_network_that_diverged_has_no_figures(copy):
    config, data, state = data_and_state(copy("pretrain"))
    state["conv1.weight"][:] = math.nan
    with pytest.raises(
        ConfigError, match=r"72 tensors in model.pt \(such as conv1.weight\) hold values that are not finite"
    ):
        protocols.pretrain_figures(config, state, data, CPU)


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pretrain", "full"])
def test_with_nothing_stored_it_writes_the_file_and_says_when_and_how(copy, capsys, name):
    run = copy(name, evaluated=False)
    assert main(["evaluate", run.id]) == 0
    assert "added to evaluation.json" in capsys.readouterr().out
    written = run.evaluation
    for about in written["protocols"].values():
        assert about["seen_by"] == f"python -m simclr evaluate {run.id}"
        assert about["seen_at"][:2] == "20"
        assert about["text"].endswith(".")
        assert about["weights"] == "model.pt"
        assert about["precision"] == "32-true"
    assert main(["evaluate", run.id, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["same"] is True and shown["added"] == []
    assert shown["figures"] == shown["stored"] == {key: written[key] for key in shown["figures"]}
    assert run.evaluation == written


def test_a_figure_that_differs_is_told_and_kept(copy, capsys):
    run = copy("full")
    stored = run.evaluation
    changed = stored | {"test/top1": stored["test/top1"] - 0.25}
    changed["protocols"]["full"]["device"] = "a GPU"
    runs.write_evaluation(run.path, changed)
    assert main(["evaluate", run.id]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "The stored figures of full are from a GPU; these are from CPU."
    assert next(line for line in lines if line.startswith("top1")).endswith("differs by +0.25")
    assert next(line for line in lines if line.startswith("top5")).endswith("same")
    assert run.evaluation == changed
    assert main(["evaluate", run.id, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["same"] is False


def test_other_weights_give_other_figures(copy):
    run = copy("full")
    state = weight_reading.read_state(run.model_path)
    torch.save({key: value * 0.5 if key == "fc.weight" else value for key, value in state.items()}, run.model_path)
    assert main(["evaluate", run.id]) == 1


def test_the_encoder_of_a_supervised_run_is_measured_on_request(copy, capsys):
    run = copy("full")
    before = run.evaluation
    assert main(["evaluate", run.id, "--protocol", "linear, knn,classifier"]) == 0
    after = run.evaluation
    new = {"test/knn_top1", "test/linear_top1", "test/linear_top5", "test/linear_loss"}
    assert {key for key in after if key.startswith("test/")} == new | {"test/top1", "test/top5", "test/loss"}
    assert all(after[key] == before[key] for key in before if key != "protocols")
    assert set(after["protocols"]) == {"knn", "linear", "full"}
    assert after["protocols"]["knn"]["num_train"] == 29  # the half that the run was given labels of
    assert main(["evaluate", run.id, "--protocol", "knn"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("name", ["frozen", "augmented", "full", "scratch"])
def test_each_arm_has_a_sentence_of_its_own(trained, name):
    config = runs.load_config(trained[name])
    arm = "frozen" if name == "augmented" else name
    assert protocols.arm_of(config) == arm
    text = protocols.protocol_of(config, arm)["text"]
    assert {"frozen": "stays as pre-trained", "full": "from the pre-trained ones", "scratch": "from random ones"}[
        arm
    ] in text
    assert ("one random view" in text) == (name != "frozen")


def refused(capsys, *arguments):
    assert main(["evaluate", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_bad_input_is_one_sentence(copy, capsys, tiny_runs, tmp_path):
    run = copy("pretrain", evaluated=False)
    assert "protocol is linaer; allowed for this run: knn, linear, fewshot; did you mean linear?" in refused(
        capsys, run.id, "--protocol", "linaer"
    )
    assert "protocol is classifier; allowed for this run: knn, linear" in refused(
        capsys, run.id, "--protocol", "knn,classifier"
    )
    assert "protocol is empty" in refused(capsys, run.id, "--protocol", "")
    assert "RUN is nothing" in refused(capsys, "nothing")
    other = copy("scratch")
    state = weight_reading.read_state(other.model_path)
    torch.save({key: value for key, value in state.items() if key != "fc.bias"}, other.model_path)
    assert "whose classifier is not the one" in refused(capsys, other.id)
    torch.save({key: value for key, value in state.items() if key != "conv1.weight"}, other.model_path)
    assert refused(capsys, other.id).startswith("RUN has the weights")
    run.model_path.unlink()
    assert "has no final weights yet" in refused(capsys, run.id)
    assert not (run.path / runs.EVALUATION).exists()


def test_a_run_that_is_going_on_is_refused(copy, capsys):
    run = copy("pretrain")
    runs.update_status(run.path, state="running", pid=1, process_start=processes.process_start(1))
    assert "which is running" in refused(capsys, run.id)


def test_a_run_on_images_without_labels_is_refused(tiny_runs, tmp_path, capsys):
    folder = make_folder(tmp_path / "images", {"all": 12})
    (folder / "all").rename(tmp_path / "plain")
    values = TINY_PRETRAIN | {"dataset": str(tmp_path / "plain"), "limit_images": None, "batch_size": 8, "epochs": 1}
    run = train(cfg.build(PretrainConfig, values), runs_dir=tiny_runs)
    assert run.status.state == "finished", run.status.error
    assert run.evaluation == {}
    capsys.readouterr()
    assert "have no labelled test images" in refused(capsys, run.id)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "on one random view of each image. The"),
        ({"mixup_alpha": 0.2}, "each image, mixed by MixUp (alpha 0.2). The"),
        (
            {"mixup_alpha": 0.2, "cutmix_alpha": 1, "mix_probability": 0.5},
            "each image, mixed by MixUp (alpha 0.2) or CutMix (alpha 1) in 50 % of the batches. The",
        ),
    ],
)
def test_a_protocol_says_how_batches_were_mixed(options, words):
    config = cfg.build(cfg.FinetuneConfig, {"random_weight_init": True} | options)
    assert words in protocols.protocol_of(config, "scratch")["text"]
