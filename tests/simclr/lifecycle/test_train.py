"""Tiny real trainings: what they write, that they repeat, and that bad input leaves nothing behind."""

import csv
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from conftest import TINY, TINY_PRETRAIN, flags, make_folder
from trainings import rows_of

from simclr import config as cfg
from simclr import runs
from simclr.cli.main import main
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig
from simclr.embeddings import embed, references, selection
from simclr.evaluation import protocols
from simclr.lifecycle.failures import explain
from simclr.lifecycle.train import train
from simclr.models import compute
from simclr.models.compute import compile_network, resolve_precision

TINY_FINETUNE = TINY | {"batch_size": 16, "epochs": 2}


def pretrain(runs_dir, **options):
    return train(cfg.build(PretrainConfig, TINY_PRETRAIN | options), runs_dir=runs_dir)


def finetune(runs_dir, experiment, **options):
    values = {name: value for name, value in TINY_FINETUNE.items() if name not in ("dataset", "image_size")} | options
    if experiment is not None:
        values["experiment_version"] = str(experiment.path)
    run = train(cfg.build(FinetuneConfig, values), runs_dir=runs_dir)
    assert run.status.state == "finished", run.status.error
    return run


def weights(run):
    return torch.load(run.model_path, weights_only=True)


# --- pre-training ---------------------------------------------------------------------------------------------------


def test_a_pretraining_writes_everything(finished_run, capfd):
    run = finished_run
    status = run.status
    assert (status.state, status.error, status.epoch, status.epochs) == ("finished", "", 2, 2)
    assert status.step == status.steps == 6  # 57 images, batches of 16, the incomplete one dropped
    assert status.images_per_second > 0
    assert {path.name for path in run.path.iterdir() if not path.name.startswith(".")} == {
        "config.yaml",
        "status.json",
        "metrics.csv",
        "health.jsonl",
        "meta.json",
        "data.json",
        "log.txt",
        "checkpoints",
        "model.pt",
        "evaluation.json",
        "leaks.json",
        "embeddings",
    }
    assert {path.name for path in (run.path / "checkpoints").iterdir()} == {
        "last.ckpt",
        "previous.ckpt",
        "best.ckpt",
    }
    assert run.meta["device"] == "CPU"
    assert run.meta["num_train_images"] == 58
    assert "epoch 2/2" in run.log_tail()
    config = runs.load_config(run)
    assert (config.optimizer, config.learning_rate, config.image_size, config.version) == ("adam", 0.002, 16, 0)


def test_metric_columns_and_rows_are_complete(finished_run):
    with finished_run.metrics_path.open() as stream:
        rows = list(csv.reader(stream))
    assert tuple(rows[0]) == runs.PRETRAIN_METRICS
    assert all(len(row) == len(rows[0]) for row in rows)
    columns = finished_run.metrics()
    train_rows = [i for i, value in enumerate(columns["train/loss"]) if not math.isnan(value)]
    val_rows = [i for i, value in enumerate(columns["val/loss"]) if not math.isnan(value)]
    assert [columns["step"][i] for i in train_rows] == [1, 2, 3, 4, 5, 6]
    assert [columns["step"][i] for i in val_rows] == [3, 6]
    assert [columns["epoch"][i] for i in val_rows] == [1, 2]
    for name in runs.PRETRAIN_METRICS:
        at = val_rows if name.startswith("val/") else train_rows if name.startswith("train/") or name == "lr" else []
        assert all(math.isfinite(columns[name][i]) for i in at), name
    for clock in ("perf/seconds", "perf/cpu_seconds"):
        assert all(value > 0 for value in columns[clock]) and columns[clock].tolist() == sorted(columns[clock])
    for i in train_rows:
        assert 0 <= columns["train/top1"][i] <= columns["train/top5"][i] <= 1
        assert 1 <= columns["train/mean_rank"][i] <= 31
    for i in val_rows:
        assert 0 <= columns["val/knn_top1"][i] <= 1
        assert 0 <= columns["val/alignment"][i] <= 4
        assert 1 <= columns["val/effective_rank"][i] <= 128
        assert 1 <= columns["val/effective_rank_z"][i] <= 8
        # |a - b|^2 = 2 - 2 cos
        expected = 2 - 2 * columns["val/positive_similarity"][i]
        assert columns["val/alignment"][i] == pytest.approx(expected, abs=1e-4)


def test_model_pt_holds_encoder_and_projector_under_torchvisions_names(finished_run):
    state = weights(finished_run)
    content = torch.load(finished_run.model_path, weights_only=True)
    assert content.keys() == state.keys()  # the tensors by name, and nothing around them
    assert all(isinstance(value, torch.Tensor) for value in content.values())
    assert state["fc.0.weight"].shape == (16, 128)
    assert state["fc.2.weight"].shape == (8, 16)
    assert {"conv1.weight", "layer1.0.conv1.weight", "layer4.0.bn2.running_mean"} <= state.keys()
    assert all(value.device.type == "cpu" and torch.isfinite(value.float()).all() for value in state.values())
    assert not any(key.startswith(("encoder.", "head.", "module.")) for key in state)


def test_the_same_seed_gives_the_same_run_bit_for_bit(finished_run, tiny_runs):
    again, other = pretrain(tiny_runs), pretrain(tiny_runs, seed=1)
    assert rows_of(again) == rows_of(finished_run)
    assert again.model_path.read_bytes() == finished_run.model_path.read_bytes()
    assert rows_of(other) != rows_of(finished_run)


def test_a_run_repeats_from_its_own_config(finished_run, tiny_runs, capsys):
    assert main(["pretrain", "--config", str(finished_run.path / "config.yaml")]) == 0
    again = runs.Run(runs.list_runs(tiny_runs)[0].path)
    assert again.model_path.read_bytes() == finished_run.model_path.read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        {"val_fraction": 0},
        {"knn_every_epochs": 0},
        {"max_steps": 2},
        {"checkpoint_every_epochs": 1, "epochs": 1},
        {"optimizer": "lars", "lr_scaling_method": "linear", "learning_rate": None, "warmup_epochs": 1},
        {"optimizer": "sgd", "precision": "bf16-mixed"},
        {"batch_size": 57, "epochs": 1},
        {"dataset": "digits", "epochs": 1},
    ],
    ids=lambda options: " ".join(options),
)
def test_variants_run_to_the_end(tiny_runs, options):
    run = pretrain(tiny_runs, **options)
    status = run.status
    assert status.state == "finished", status.error
    assert status.step == status.steps
    columns = run.metrics()
    assert not any(math.isnan(value) for value in columns["step"])
    if "val_fraction" in options:
        assert all(math.isnan(value) for value in columns["val/loss"])
        assert (run.path / "checkpoints" / "last.ckpt").is_file()
    if "checkpoint_every_epochs" in options:
        assert (run.path / "checkpoints" / "epoch-1.ckpt").is_file()
    if "max_steps" in options:
        assert max(columns["step"]) == 2


def test_knn_is_measured_as_often_as_asked_and_at_the_end(tiny_runs):
    columns = pretrain(tiny_runs, epochs=3, knn_every_epochs=2).metrics()
    measured = [e for e, k in zip(columns["epoch"], columns["val/knn_top1"], strict=True) if not math.isnan(k)]
    assert measured == [2, 3]


def test_images_without_classes_train_without_knn(tiny_runs, tmp_path):
    folder = make_folder(tmp_path / "plain", {".": 40})
    run = pretrain(tiny_runs, dataset=str(folder))
    assert run.status.state == "finished"
    assert all(math.isnan(value) for value in run.metrics()["val/knn_top1"])


def test_the_learning_rate_column_follows_the_schedule(tiny_runs):
    columns = pretrain(tiny_runs, epochs=4, warmup_epochs=1, eta_min=0.0001).metrics()
    rates = [lr for lr in columns["lr"] if not math.isnan(lr)]
    assert max(rates) == pytest.approx(0.002)
    assert rates[-1] == pytest.approx(0.0001)


@pytest.mark.parametrize("epochs", [20, 1], ids=["in training", "in the last steps, seen by validation"])
def test_a_training_that_explodes_is_failed_with_the_likely_causes(tiny_runs, capsys, epochs):
    options = {"learning_rate": 100, "eta_min": 100, "optimizer": "sgd", "epochs": epochs, "weight_decay": 10}
    code = main(["pretrain", *flags(TINY_PRETRAIN | options)])
    run = runs.list_runs(tiny_runs)[0]
    status = run.status
    assert (code, status.state, status.reason) == (1, "failed", "diverged")
    assert "learning rate" in status.error
    assert "Traceback" not in capsys.readouterr().err
    assert not run.model_path.exists()


# --- fine-tuning ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def arms(finished_run, finished_runs_dir):
    """The three arms after one pre-training, on the same half of the labels."""
    options = {"label_fraction": 0.5, "epochs": 2}
    return {
        "frozen": finetune(finished_runs_dir, finished_run, freeze_encoder=True, **options),
        "full": finetune(finished_runs_dir, finished_run, **options),
        "scratch": finetune(finished_runs_dir, finished_run, random_weight_init=True, **options),
    }


@pytest.mark.parametrize("arm", ["frozen", "full", "scratch"])
def test_every_arm_writes_its_evaluation(arms, finished_run, arm):
    run = arms[arm]
    found = run.evaluation
    assert found["arm"] == arm
    assert run.kind == ("scratch" if arm == "scratch" else "finetune")
    assert found["num_labels"] == 29
    assert found["num_test_images"] == 2000
    assert found["best_epoch"] in (1, 2)
    assert found["budget"].endswith(".")
    confusion = torch.tensor(found["confusion"])
    assert confusion.shape == (10, 10)
    assert confusion.sum() == 2000
    assert found["test/top1"] == pytest.approx(confusion.diagonal().sum().item() / 2000)
    assert found["per_class"] == pytest.approx((confusion.diagonal() / confusion.sum(dim=1)).tolist())
    assert found["test/top1"] <= found["test/top5"] <= 1
    assert len(found["classes"]) == 10
    assert found["test/loss"] > 0
    assert run.experiment == finished_run.id
    config = runs.load_config(run)
    assert (config.backbone, config.image_size, config.num_classes) == ("resnet_tiny", 16, 10)
    assert config.experiment_version == finished_run.id
    assert json.loads((run.path / "evaluation.json").read_text()) == found


@pytest.mark.parametrize("arm", ["frozen", "full", "scratch"])
def test_finetuning_metrics_are_complete(arms, arm):
    columns = arms[arm].metrics()
    assert tuple(columns) == runs.FINETUNE_METRICS
    for name in ("train/loss", "train/top1", "val/loss", "val/top1", "val/top5", "lr"):
        assert any(math.isfinite(value) for value in columns[name]), name
    assert all(value > 0 for value in columns["perf/cpu_seconds"])
    assert max(columns["epoch"]) == 2


def test_a_frozen_encoder_stays_as_it_was_and_the_others_move(arms, finished_run):
    before = {key: value for key, value in weights(finished_run).items() if not key.startswith("fc.")}
    frozen, full, scratch = (weights(arms[arm]) for arm in ("frozen", "full", "scratch"))
    assert all(torch.equal(value, frozen[key]) for key, value in before.items())
    assert not all(torch.equal(value, full[key]) for key, value in before.items() if "running_mean" in key)
    assert not torch.equal(before["conv1.weight"], full["conv1.weight"])
    # few steps: fine-tuning stays near its start, training from scratch never was there
    near = (full["conv1.weight"] - before["conv1.weight"]).norm()
    assert near < (scratch["conv1.weight"] - before["conv1.weight"]).norm() / 2
    assert full["fc.weight"].shape == frozen["fc.weight"].shape == (10, 128)


def test_a_frozen_encoder_with_augmentation_stays_as_it_was_too(finished_run, finished_runs_dir):
    run = finetune(finished_runs_dir, finished_run, freeze_encoder=True, augmentation={"crop_scale_min": 0.6}, epochs=1)
    before, after = weights(finished_run), weights(run)
    assert all(torch.equal(value, after[key]) for key, value in before.items() if not key.startswith("fc."))
    assert run.evaluation["arm"] == "frozen"


def test_an_mlp_head(finished_run, finished_runs_dir):
    run = finetune(finished_runs_dir, finished_run, freeze_encoder=True, head="mlp", hidden_dim=24, epochs=1)
    state = weights(run)
    assert (state["fc.0.weight"].shape, state["fc.2.weight"].shape) == ((24, 128), (10, 24))


def test_early_stopping_ends_before_the_last_epoch(finished_run, finished_runs_dir):
    for freeze in (True, False):
        run = finetune(
            finished_runs_dir,
            finished_run,
            freeze_encoder=freeze,
            epochs=30,
            early_stopping_patience=1,
            learning_rate=1e-12,
            optimizer="sgd",
            weight_decay=0,
        )
        assert max(run.metrics()["epoch"]) < 30
        assert "ended after 1 epochs" in run.evaluation["budget"]


def test_a_last_batch_of_one_image_ends_no_training(tmp_path, capsys):
    """58 images of 16 px, of which this network's last layers see one value per channel."""
    options = TINY | {"random_weight_init": True, "backbone": "mobilenet_v3_small", "epochs": 1}
    run = train(cfg.build(FinetuneConfig, options | {"batch_size": 57}), runs_dir=tmp_path)
    assert (run.status.state, run.status.step) == ("finished", 1), run.status.error
    alone = train(cfg.build(FinetuneConfig, options | {"batch_size": 1}), runs_dir=tmp_path)
    assert (alone.status.state, alone.status.reason) == ("failed", "bad input")
    assert alone.status.error.startswith("A batch had a single image for each process (batch_size 1), which ")


def test_labels_are_the_same_in_every_arm_and_a_class_is_never_left_out(arms, finished_run, finished_runs_dir):
    assert {arms[arm].meta["num_train_images"] for arm in arms} == {29}
    run = finetune(finished_runs_dir, finished_run, freeze_encoder=True, label_fraction=0.01, epochs=1)
    assert run.evaluation["num_labels"] == 10


def test_a_weights_file_made_elsewhere_is_an_experiment(finished_run, tiny_runs, tmp_path):
    state = {f"module.{key}": value for key, value in weights(finished_run).items()}
    torch.save({"state_dict": state}, tmp_path / "elsewhere.pth")
    values = TINY_FINETUNE | {
        "experiment_version": str(tmp_path / "elsewhere.pth"),
        "backbone": "resnet_tiny",
        "freeze_encoder": True,
        "epochs": 1,
    }
    run = train(cfg.build(FinetuneConfig, values), runs_dir=tiny_runs)
    assert run.status.state == "finished"
    after = weights(run)
    assert torch.equal(after["layer3.0.conv2.weight"], weights(finished_run)["layer3.0.conv2.weight"])


def test_finetuning_repeats_bit_for_bit(arms, finished_run, finished_runs_dir):
    again = finetune(finished_runs_dir, finished_run, label_fraction=0.5)
    assert rows_of(again) == rows_of(arms["full"])
    assert again.model_path.read_bytes() == arms["full"].model_path.read_bytes()


def test_the_head_of_best_validation_is_the_one_tested(finished_run, finished_runs_dir):
    """A rate so high that later epochs are worse: the kept head must be that of the best epoch."""
    run = finetune(finished_runs_dir, finished_run, freeze_encoder=True, epochs=6, learning_rate=3, optimizer="sgd")
    columns = run.metrics()
    scores = list(zip(columns["val/top1"], [-loss for loss in columns["val/loss"]], strict=True))
    assert run.evaluation["best_epoch"] == 1 + scores.index(max(scores))


# --- bad input ------------------------------------------------------------------------------------------------------


def bad(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert "Traceback" not in captured.err
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].endswith((".", "?"))
    return lines[0]


PRETRAIN_PROBLEMS = {
    "unknown option": (["--epochz", "3"], "epochz is not an option; did you mean epochs?"),
    "out of range": (["--temperature", "0"], "temperature is 0; allowed: a number from 0.005 to 100."),
    "no value": (["--epochs"], "epochs has no value; allowed: a whole number from 1 to 100,000 epochs."),
    "stray word": (["quick"], "quick belongs to no option"),
    "no data set": (["--dataset", "nowhere"], "dataset is nowhere, which is neither a data set nor a folder"),
    "typo in data set": (["--dataset", "cifra10"], "did you mean cifar10?"),
    "batch too large": (
        ["--limit_images", "64", "--batch_size", "64"],
        "batch_size is 64; allowed: at most the 58 training images.",
    ),
    "image too small": (
        ["--backbone", "inception_v3", "--image_size", "32"],
        "backbone is inception_v3, which cannot take images of 32 x 32",
    ),
    "vit side": (["--backbone", "vit_b_16", "--image_size", "33"], "cannot take images of 33 x 33 pixels"),
    "no gpu": (["--accelerator", "gpu"], "accelerator is gpu"),
    "half precision": (["--precision", "16", "--accelerator", "cpu"], "precision is 16-mixed, which needs a GPU"),
    "CUDA graphs": (
        ["--compile", "max-autotune", "--accelerator", "cpu"],
        "compile is max-autotune, which needs a GPU",
    ),
    "no config": (["--config", "nowhere.yaml"], "config is nowhere.yaml; allowed: a YAML file that exists"),
    "no run folder": (["--run_dir", "nowhere"], "run_dir is nowhere; allowed: an existing run folder."),
    "too few images": (["--limit_images", "5"], "limit_images is 5; allowed: at least 10"),
}


@pytest.mark.parametrize("name", PRETRAIN_PROBLEMS)
def test_bad_input_to_pretrain_is_one_sentence_and_leaves_nothing(tiny_runs, capsys, name):
    if name == "no gpu" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    arguments, expected = PRETRAIN_PROBLEMS[name]
    assert expected in bad(capsys, "pretrain", *arguments)
    assert list(tiny_runs.iterdir()) == []


@pytest.mark.parametrize(
    ("how", "expected"),
    [("false", []), ("true", [{}]), ("reduce-overhead", [{"mode": "reduce-overhead", "dynamic": False}])],
)
def test_a_network_is_compiled_as_the_option_says(monkeypatch, how, expected):
    found = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: found.append(options))
    compile_network(torch.nn.Linear(2, 2), how)
    assert found == expected


FINETUNE_PROBLEMS = {
    "no source": ([], "experiment_version is not set and random_weight_init is false"),
    "unknown version": (["--experiment_version", "99"], "experiment_version is 99; allowed: the version of"),
    "unknown run": (["--experiment_version", "nothing"], "experiment_version is nothing; allowed:"),
    "no weights file": (
        ["--experiment_version", "{text}", "--backbone", "resnet18", "--dataset", "shapes"],
        "which is not a weights file",
    ),
    "no backbone": (["--random_weight_init", "true", "--dataset", "shapes"], "backbone is not set"),
    "no data set": (["--random_weight_init", "true", "--backbone", "resnet18"], "dataset is not set"),
    "wrong classes": (["--experiment_version", "{run}", "--num_classes", "7"], "num_classes is 7; allowed: 10"),
    "other backbone": (
        ["--experiment_version", "{run}", "--backbone", "resnet18"],
        "backbone is resnet18; allowed: resnet_tiny, as in the pre-training",
    ),
    "other size": (["--experiment_version", "{run}", "--image_size", "32"], "image_size is 32; allowed: 16"),
    "weights of another": (
        ["--experiment_version", "{model}", "--backbone", "resnet18", "--dataset", "shapes"],
        "weights of the same backbone",
    ),
    "patience for nothing": (
        ["--experiment_version", "{run}", "--early_stopping_patience", "3", "--val_fraction", "0"],
        "early_stopping_patience is 3 and there are no validation images; allowed: unset, or a val_fraction above 0.",
    ),
    "one class": (["--experiment_version", "{run}", "--dataset", "{one}"], "which has only one class (cat)"),
    "no classes": (["--experiment_version", "{run}", "--dataset", "{plain}"], "which has images without classes"),
    "broken image": (
        ["--experiment_version", "{run}", "--dataset", "{broken}", "--broken_images", "refuse"],
        "1 of whose 6 images cannot be read: b/001.png (it is not an image)",
    ),
}


@pytest.mark.parametrize("name", FINETUNE_PROBLEMS)
def test_bad_input_to_finetune_is_one_sentence_and_leaves_nothing(finished_run, tiny_runs, tmp_path, capsys, name):
    (tmp_path / "text.pt").write_text("no weights")
    broken = make_folder(tmp_path / "broken", {"a": 3, "b": 3})
    (broken / "b" / "001.png").write_bytes(b"\x89PNG broken")
    places = {
        "{text}": tmp_path / "text.pt",
        "{run}": finished_run.path,
        "{model}": finished_run.model_path,
        "{one}": make_folder(tmp_path / "one", {"cat": 4}),
        "{plain}": make_folder(tmp_path / "plain", {".": 4}),
        "{broken}": broken,
    }
    arguments, expected = FINETUNE_PROBLEMS[name]
    arguments = [str(places.get(argument, argument)) for argument in arguments]
    assert expected in bad(capsys, "finetune", *arguments)
    assert list(tiny_runs.iterdir()) == []


def test_a_broken_image_is_left_out_or_stops_a_pretraining_before_it_starts(tiny_runs, tmp_path, capsys):
    folder = make_folder(tmp_path / "images", {"a": 20, "b": 20})
    (folder / "a" / "007.png").write_bytes((folder / "a" / "007.png").read_bytes()[:100])
    options = ["--dataset", folder, "--batch_size", 8, "--epochs", 1, "--evaluate", "false"]
    text = bad(capsys, "pretrain", *options, "--broken_images", "refuse")
    assert "1 of whose 40 images cannot be read: a/007.png (it is cut short or damaged)" in text
    assert list(tiny_runs.iterdir()) == []
    assert main(["pretrain", *map(str, options)]) == 0
    (run,) = runs.list_runs(tiny_runs)
    assert run.meta["num_skipped_images"] == 1
    reading = (
        "Read as 2 classes (a 20, b 20): 28 images train, 3 validate and 8 test. Left out: 1 broken image: a/007.png "
        "(it is cut short or damaged)."
    )
    assert run.meta["data_reading"] == reading
    assert reading in run.log_tail()


def test_only_a_finished_pretraining_is_an_experiment(arms, tiny_runs, capsys):
    unfinished = runs.create(PretrainConfig(), tiny_runs)
    assert "has no final weights yet" in bad(capsys, "finetune", "--experiment_version", unfinished.id)
    text = bad(capsys, "finetune", "--experiment_version", arms["frozen"].path)
    assert "which is a finetune run; allowed: a pre-training." in text
    assert [path.name for path in tiny_runs.iterdir() if not path.name.startswith(".")] == [unfinished.id]


def test_bad_input_in_an_existing_run_folder_is_told_there_too(tiny_runs, capsys):
    run = runs.create(cfg.build(PretrainConfig, {"dataset": "nowhere"}), tiny_runs)
    assert "dataset is nowhere" in bad(capsys, "pretrain", "--config", run.path / "config.yaml", "--run_dir", run.path)
    status = run.status
    assert (status.state, status.reason) == ("failed", "bad input")
    assert "dataset is nowhere" in status.error


def test_train_raises_config_errors_for_callers():
    with pytest.raises(ConfigError, match="batch_size is 60"):
        train(cfg.build(PretrainConfig, TINY_PRETRAIN | {"batch_size": 60}), runs_dir=None)  # type: ignore[arg-type]


# --- GPUs that are not there: what would be asked of them -----------------------------------------------------------


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ([(9, 0)], "bf16-mixed"),
        ([(8, 0)], "bf16-mixed"),
        ([(7, 5)], "16-mixed"),
        ([(7, 0)], "16-mixed"),
        ([(6, 1)], "32-true"),
        ([(8, 6), (7, 5)], "16-mixed"),
    ],
)
def test_auto_takes_the_precision_that_tensor_cores_are_made_for(monkeypatch, capabilities, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)
    found = resolve_precision("auto", torch.device("cuda", 0), len(capabilities))
    assert found == precision
    assert found in compute.AUTOCAST  # known wherever features are computed
    assert resolve_precision("32-true", torch.device("cuda", 0)) == "32-true"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_whoever_says_that_memory_ran_out_the_batch_to_try_is_named(error):
    reason, sentence = explain(error, 512)
    assert reason == "out of memory" and "try batch_size 256" in sentence


@pytest.mark.parametrize("text", ["CUDA error: an illegal memory access was encountered", "CUDNN_STATUS_BAD_PARAM"])
def test_other_errors_of_cuda_are_not_for_want_of_memory(text):
    assert explain(RuntimeError(text), 512)[0] == "error"


def test_a_run_on_the_cpu_never_touches_cuda(tiny_runs, monkeypatch):
    """Lightning asks it too; commands hide the GPUs from it, see `devices.hide_unused_gpus`."""

    def refuse(*_):
        assert Path(sys._getframe(1).f_code.co_filename).parent.name != "simclr"
        return False

    for name in ("_lazy_init", "is_available", "get_device_properties", "mem_get_info"):
        monkeypatch.setattr(torch.cuda, name, refuse)
    run = train(cfg.build(PretrainConfig, TINY_PRETRAIN | {"accelerator": "cpu"}), runs_dir=tiny_runs)
    assert run.status.state == "finished"
    models = references.resolve_encoders([run.id], tiny_runs)
    (found,) = embed.compute(models, selection.ImageSelection(num_images=40), ())
    assert found.num_images == 40
    protocols.evaluate_run(run, ["knn"])


def test_what_was_asked_for_is_kept_where_the_machine_decided(tiny_runs):
    options = TINY_PRETRAIN | {"precision": "auto", "num_threads": None, "epochs": 1, "knn_every_epochs": 0}
    run = train(cfg.build(PretrainConfig, options), runs_dir=tiny_runs)
    complete = runs.load_config(run)
    assert complete.precision != "auto" and complete.num_threads is not None
    assert run.meta["asked"] == {"precision": "auto", "num_threads": None}
    train(complete, runs_dir=tiny_runs, run_dir=run.path)  # begins again with what was decided
    assert runs.Run(run.path).meta["asked"] == {"precision": "auto", "num_threads": None}
