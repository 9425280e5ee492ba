"""Weights as other programs keep them: by position, in safetensors, in folders, beside numbers and under own names."""

import argparse
import copy
import json
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from simclr import runs
from simclr.config import ConfigError
from simclr.models.backbones import build_encoder
from simclr.models.foreign_names import first_layer
from simclr.models.state_dicts import has_small_stem, load_encoder
from simclr.models.weight_reading import read_state
from simclr.models.weights import Weights


@pytest.fixture(scope="module", params=[False, True], ids=["large stem", "small stem"])
def trained(request):
    torch.manual_seed(0)
    return build_encoder("resnet18", 32, small_stem=request.param)


def loads(path, trained):
    """Reads a file as a run does, into a network with the stem that the file tells."""
    state = read_state(path)
    stem = has_small_stem(state)
    assert stem == (trained.network.conv1.kernel_size == (3, 3))
    torch.manual_seed(99)
    encoder = build_encoder("resnet18", 32, small_stem=stem)
    load_encoder(encoder, state, path)
    mine, theirs = encoder.network.state_dict(), trained.network.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)


def by_position(network, *, prefix="", pooling=True, classifier=False):
    """The keys of `nn.Sequential(*network.children())`, as most code for self-supervision builds its backbone."""
    kept = [child for name, child in network.named_children() if name != "fc" and (pooling or name != "maxpool")]
    sequence = nn.Sequential(*kept, *([nn.Linear(512, 10)] if classifier else []))
    return {f"{prefix}{key}": value for key, value in sequence.state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.encoder.", "model.0."])
@pytest.mark.parametrize("pooling", [True, False])
@pytest.mark.parametrize("classifier", [True, False])
def test_tensors_named_by_position(tmp_path, trained, prefix, pooling, classifier):
    state = by_position(trained.network, prefix=prefix, pooling=pooling, classifier=classifier)
    state["projection_head.layers.0.weight"] = torch.zeros(2, 2)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.ckpt")
    loads(tmp_path / "w.ckpt", trained)


def of_transformers(state):
    """As the library transformers names a ResNet (its documentation of ResNetModel)."""
    found = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[0] == "conv1":
            name = "embedder.embedder.convolution"
        elif parts[0] == "bn1":
            name = "embedder.embedder.normalization"
        else:
            name = f"encoder.stages.{int(parts[0][-1]) - 1}.layers.{parts[1]}"
            if parts[2] == "downsample":
                name += f".shortcut.{['convolution', 'normalization'][int(parts[3])]}"
            else:
                kind = "convolution" if parts[2].startswith("conv") else "normalization"
                name += f".layer.{int(parts[2][-1]) - 1}.{kind}"
        found[f"resnet.{name}.{parts[-1]}"] = value
    return found


@pytest.mark.parametrize("named", ["as torchvision", "as transformers"])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_as_hugging_face_lays_it_out(tmp_path, trained, name, named):
    state = dict(trained.network.state_dict())
    if named == "as transformers":
        state = of_transformers(state) | {"classifier.1.weight": torch.zeros(10, 512)}
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"architectures": ["ResNet"]}))
    path = tmp_path / "model" / name
    save_file(state, path) if name.endswith("safetensors") else torch.save(state, path)
    assert runs.find_experiment(str(tmp_path / "model"), tmp_path / "runs") == path
    loads(path, trained)
    assert Weights(path).read_state().keys() == state.keys()


def test_a_damaged_safetensors_file_and_a_folder_without_weights_are_one_sentence(tmp_path):
    for content in (b"", b"\xff" * 100, b"\x10\0\0\0\0\0\0\0{}", b"\0" * 8):
        (tmp_path / "w.safetensors").write_bytes(content)
        with pytest.raises(ConfigError, match=r"which (is not a weights file|holds no weights); allowed: "):
            read_state(tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match="or a weights file or a folder with one"):
        runs.find_experiment(str(tmp_path), tmp_path / "runs")


BESIDE = {
    "an epoch number": lambda state: state | {"epoch": 3},
    "a number of NumPy": lambda state: {"state_dict": state, "best": np.float64(0.9), "seed": np.int64(3)},
    "half precision of NumPy": lambda state: {
        "net": state,
        "best": np.float32(0.9),
        "n": np.uint8(3),
        "ok": np.bool_(1),
    },
    "an array of NumPy": lambda state: {"state_dict": state, "mean": np.zeros(3)},
    "sections of own names": lambda state: {"payload": {"nets": {"encoder": state}}, "step": torch.tensor(3)},
    "texts and times of NumPy": lambda state: {
        "state_dict": state,
        "name": np.str_("x"),
        "classes": np.array(["cat", "dog"]),
        "begun": np.datetime64("2026-01-01"),
    },
    "all as arrays of NumPy": lambda state: {"model": {key: value.numpy() for key, value in state.items()}, "epoch": 3},
    "many levels": lambda state: {"a": {"b": {"c": {"d": {"e": {"f": {"g": state}}}}}}},
    "in a list": lambda state: [{"name": "encoder", "weights": state}, {"name": "head"}],
    "in a tuple": lambda state: (state, 3),
    "one more level": lambda state: {"a": {"b": {"c": {"d": state}}}},
    "an optimizer": lambda state: {
        "network": state,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": np.float64(1)}]},
    },
    "no counts of batches": lambda state: {key: value for key, value in state.items() if "num_batches" not in key},
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_stands_beside_the_weights_or_above_them(tmp_path, trained, name):
    torch.save(BESIDE[name](dict(trained.network.state_dict())), tmp_path / "w.pt")
    loads_without_counts = name == "no counts of batches"
    if not loads_without_counts:
        loads(tmp_path / "w.pt", trained)
        return
    encoder = build_encoder("resnet18", 32, small_stem=has_small_stem(read_state(tmp_path / "w.pt")))
    load_encoder(encoder, read_state(tmp_path / "w.pt"), tmp_path / "w.pt")
    assert torch.equal(encoder.network.conv1.weight, trained.network.conv1.weight)


class Trainer:
    """An object of a training program."""


@pytest.mark.parametrize(
    ("thing", "name"), [(argparse.Namespace(lr=1), "argparse.Namespace"), (Trainer(), "test_foreign_weights.Trainer")]
)
def test_an_object_in_a_file_is_named_and_what_to_do(tmp_path, trained, thing, name):
    path = tmp_path / "w.pt"
    torch.save({"state_dict": trained.network.state_dict(), "hparams": thing}, path)
    with pytest.raises(ConfigError) as caught:
        read_state(path)
    assert str(caught.value) == (
        f"experiment_version is {path}, which holds objects besides its weights ({name}), and reading them could run "
        "code; allowed: its state dict alone, which torch.save(torch.load(FILE, weights_only=False)['state_dict'], "
        "'weights.pt') makes where you trust the file."
    )
    torch.save(torch.load(path, weights_only=False)["state_dict"], tmp_path / "weights.pt")  # the advice works
    loads(tmp_path / "weights.pt", trained)


def test_an_object_in_a_file_of_an_older_pytorch_and_a_whole_network_are_named(tmp_path, trained):
    path = tmp_path / "old.pth.tar"
    content = {"state_dict": trained.network.state_dict(), "args": argparse.Namespace(lr=1)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ConfigError, match=r"holds objects besides its weights \(argparse\.Namespace\), and reading"):
        read_state(path)
    for is_new in (True, False):
        torch.save(trained.network, path, _use_new_zipfile_serialization=is_new)
        with pytest.raises(ConfigError, match=r"torch\.load\(FILE, weights_only=False\)\.state_dict\(\), ") as caught:
            read_state(path)
        assert "torch" in str(caught.value).split("(")[1]
    torch.save(torch.load(path, weights_only=False).state_dict(), tmp_path / "weights.pt")  # the advice works
    loads(tmp_path / "weights.pt", trained)


def test_the_content_tells_the_kind_of_a_file_not_its_name(tmp_path, trained):
    state = trained.network.state_dict()
    for name in ("0123abcd", "weights.pt", "weights.bin"):  # the first as the cache of Hugging Face names its blobs
        save_file(state, tmp_path / name)
        loads(tmp_path / name, trained)
        assert Weights(tmp_path / name).read_state().keys() == state.keys()
    torch.save(state, tmp_path / "weights.safetensors")
    loads(tmp_path / "weights.safetensors", trained)


def test_a_program_and_objects_in_arrays_are_named(tmp_path, trained):
    path = tmp_path / "w.pt"
    network = copy.deepcopy(trained.network).eval()
    torch.jit.trace(network, torch.zeros(1, 3, 32, 32)).save(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigError, match=r"is a TorchScript program; allowed: .*torch\.jit\.load\(FILE\)"):
            read_state(path)
    torch.save(torch.jit.load(str(path)).state_dict(), tmp_path / "weights.pt")  # the advice works
    loads(tmp_path / "weights.pt", trained)
    torch.save({"state_dict": trained.network.state_dict(), "log": np.array([{"a": 1}], dtype=object)}, path)
    with pytest.raises(ConfigError, match=r"holds objects besides its weights \(numpy\.dtypes\.ObjectDType\)"):
        read_state(path)


def test_the_nearest_network_may_be_of_another_family(tmp_path):
    state = build_encoder("mobilenet_v3_small", 224).network.state_dict()
    with pytest.raises(ConfigError, match="they seem to be weights of mobilenet_v3_small; allowed"):
        load_encoder(build_encoder("resnet18", 32), {f"module.{key}": value for key, value in state.items()}, "w.pt")


def test_where_nothing_fits_the_names_found_and_the_nearest_network_are_said(tmp_path, trained):
    with pytest.raises(ConfigError) as caught:
        load_encoder(build_encoder("resnet18", 32), {"a.w": torch.zeros(2), "b.w": torch.zeros(2)}, "w.pt")
    assert "lacks 100 of the" in str(caught.value) and "and holds 2 named a.w, b.w;" in str(caught.value)
    state = by_position(build_encoder("resnet34", 32).network, prefix="backbone.")
    with pytest.raises(ConfigError, match="they seem to be weights of resnet34"):
        load_encoder(build_encoder("resnet18", 32), state, "w.pt")
    assert first_layer({"x": torch.zeros(2)}) is None
