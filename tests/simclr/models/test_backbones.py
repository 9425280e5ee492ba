"""Encoders of all families, sizes they refuse, and weights files of all sorts, malicious ones included."""

import contextlib
import functools
import os
import pickle
import zipfile

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import regnet

from simclr.config import BACKBONES, ConfigError
from simclr.models import backbones, heads, state_dicts
from simclr.models.backbones import build_encoder, find_classifier
from simclr.models.small_networks import SMALL_NETWORKS, TinyCNN
from simclr.models.state_dicts import has_small_stem, load_encoder, pick_weights
from simclr.models.weight_reading import read_state

# One of each family, the smallest.
FAMILIES = (
    "resnet_tiny",
    "cnn_tiny",
    "resnet18",
    "resnet50",
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11",
    "vgg11_bn",
    "vit_b_16",
    "wide_resnet50_2",
)


def side_of(name):
    return {"inception_v3": 96, "maxvit_t": 224}.get(name, 64)


def test_the_list_is_torchvisions_and_the_small_ones():
    expected = set(torchvision.models.list_models(module=torchvision.models)) | set(SMALL_NETWORKS)
    assert set(BACKBONES) == expected
    assert len(BACKBONES) == len(set(BACKBONES))


@pytest.mark.parametrize("name", FAMILIES)
def test_encoders_of_every_family_give_features(name):
    """On the meta device, where shapes are computed and numbers are not; a RegNet cannot be built there."""
    side = side_of(name)
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        encoder = build_encoder(name, side)
        features = encoder.network.eval()(torch.empty(2, 3, side, side)).flatten(1)
    assert features.shape == (2, encoder.num_features)
    assert not any("aux" in key.lower() for key in encoder.network.state_dict())
    assert encoder.classifier_name


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(BACKBONES) - set(FAMILIES)))
def test_all_other_encoders_give_features(name):
    side = {"vit_h_14": 224}.get(name, side_of(name))
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        encoder = build_encoder(name, side)
        features = encoder.network.eval()(torch.empty(2, 3, side, side)).flatten(1)
    assert features.shape == (2, encoder.num_features)


@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        ("resnet18", "fc"),
        ("resnet_tiny", "fc"),
        ("googlenet", "fc"),
        ("densenet121", "classifier"),
        ("vgg16", "classifier.6"),
        ("alexnet", "classifier.6"),
        ("mobilenet_v3_large", "classifier.3"),
        ("efficientnet_b0", "classifier.1"),
        ("convnext_tiny", "classifier.2"),
        ("vit_b_32", "heads.head"),
        ("swin_t", "head"),
        ("squeezenet1_0", "classifier"),
    ],
)
def test_the_classifier_is_found(name, classifier):
    with torch.device("meta"):
        network = SMALL_NETWORKS[name]() if name in SMALL_NETWORKS else torchvision.models.get_model(name)
    assert find_classifier(network) == classifier


@pytest.mark.parametrize(("side", "small"), [(32, True), (64, True), (65, False), (96, False)])
def test_resnets_get_the_small_stem_up_to_64_pixels(side, small):
    with torch.device("meta"):
        network = build_encoder("resnet18", side).network
    assert network.conv1.kernel_size == ((3, 3) if small else (7, 7))
    assert isinstance(network.maxpool, nn.Identity) == small
    assert has_small_stem(network.state_dict()) == small


def test_the_stem_can_be_asked_for():
    with torch.device("meta"):
        assert build_encoder("resnet18", 32, small_stem=False).network.conv1.kernel_size == (7, 7)
        assert build_encoder("resnet18", 128, small_stem=True).network.conv1.kernel_size == (3, 3)


def test_the_tiny_encoder_computes_on_the_cpu():
    encoder = build_encoder("resnet_tiny", 16)
    assert encoder.num_features == 128
    assert encoder.network(torch.randn(2, 3, 16, 16)).shape == (2, 128)
    count = sum(p.numel() for p in encoder.network.parameters())
    assert 250_000 < count < 350_000


def test_the_tiny_chain_is_convolutions_alone():
    encoder = build_encoder("cnn_tiny", 32)
    assert encoder.num_features == 1536
    kinds = [type(module) for module in encoder.network.features if not isinstance(module, (nn.ReLU, nn.BatchNorm2d))]
    assert kinds == [nn.Conv2d, nn.Conv2d, nn.MaxPool2d, nn.Conv2d, nn.MaxPool2d, nn.Conv2d]
    assert 830_000 < sum(p.numel() for p in encoder.network.parameters()) < 900_000
    for side in (8, 20, 32, 33):
        assert encoder.network(torch.randn(2, 3, side, side)).shape == (2, 1536)


def test_pooling_before_normalizing_is_the_same_function():
    network = TinyCNN(10).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    layers = list(network.features)
    for place, module in enumerate(network.features):  # conv, pool, norm, relu becomes conv, norm, relu, pool
        if isinstance(module, nn.MaxPool2d):
            layers[place : place + 3] = [*layers[place + 1 : place + 3], module]
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(nn.Sequential(*layers)(x), network.features(x))


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("inception_v3", 32),
        ("vit_b_16", 33),
        ("vit_b_16", 8),
        ("vgg11", 16),
        ("alexnet", 32),
        ("maxvit_t", 32),
        ("densenet121", 16),
    ],
)
def test_sizes_a_network_cannot_take_are_refused_in_a_sentence(name, side):
    with pytest.raises(ConfigError) as caught:
        build_encoder(name, side)
    text = str(caught.value)
    assert text.startswith(f"backbone is {name}, which cannot take images of {side} x {side} pixels: ")
    assert text.endswith(".")
    assert "\n" not in text


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="backbone is resnet; allowed: one of"):
        build_encoder("resnet", 32)


def test_the_same_seed_gives_the_same_weights():
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(build_encoder("resnet_tiny", 16).network.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


# --- weights ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resnet18():
    torch.manual_seed(0)
    encoder = build_encoder("resnet18", 32)
    for name, buffer in encoder.network.named_buffers():
        if "running_mean" in name:
            buffer.normal_()
    return encoder


def save(content, path):
    torch.save(content, path)
    return path


def fresh(name="resnet18", side=32, **options):
    torch.manual_seed(99)
    return build_encoder(name, side, **options)


def assert_same_weights(encoder, other):
    mine, theirs = encoder.network.state_dict(), other.network.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize(
    ("head", "fc"),
    [
        (heads.projection_head(512, 16, 8), lambda: nn.Sequential(nn.Linear(512, 16), nn.ReLU(), nn.Linear(16, 8))),
        (heads.classifier(512, 10, "linear", 1), lambda: nn.Linear(512, 10)),
    ],
)
def test_model_pt_loads_strictly_into_torchvisions_resnet18(tmp_path, resnet18, head, fc):
    path = save(state_dicts.join_state(resnet18, head), tmp_path / "model.pt")
    network = torchvision.models.resnet18()
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    network.fc = fc()
    network.load_state_dict(torch.load(path, weights_only=True), strict=True)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = head(resnet18.network.eval()(x))
        torch.testing.assert_close(network.eval()(x), expected)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.",
        "model.",
        "encoder.",
        "backbone.",
        "module.encoder_q.",
        "model.backbone.",
        "module.model.",
        "encoder.module.",
        "encoder._orig_mod.",
        "model.encoder.net.",
        "student.trunk.",
    ],
)
def test_prefixes_and_sections_of_other_programs_are_taken_off(tmp_path, resnet18, prefix):
    section = (None, "state_dict", "model")[len(prefix) % 3]
    state = {f"{prefix}{key}": value for key, value in resnet18.network.state_dict().items()}
    state["projector.0.weight"] = torch.zeros(3, 3)
    path = save(state if section is None else {"epoch": 3, section: state}, tmp_path / "weights.pth")
    encoder = fresh()
    load_encoder(encoder, read_state(path), path)
    assert_same_weights(encoder, resnet18)


def test_torchvisions_own_weights_load_with_the_large_stem(tmp_path):
    path = save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    state = read_state(path)
    assert has_small_stem(state) is False
    load_encoder(fresh(small_stem=has_small_stem(state)), state, path)


def test_the_stem_is_told_with_prefixes_and_not_told_by_others(resnet18):
    assert has_small_stem({f"module.{key}": value for key, value in resnet18.network.state_dict().items()}) is True
    with torch.device("meta"):
        for name in ("vit_b_16", "vgg11", "densenet121", "efficientnet_b0", "swin_t"):
            assert has_small_stem(torchvision.models.get_model(name).state_dict()) is None


def refused(path, encoder=None):
    with pytest.raises(ConfigError) as caught:
        load_encoder(encoder, read_state(path), path) if encoder is not None else read_state(path)
    text = str(caught.value)
    assert str(path) in text
    assert text.endswith(".")
    assert "\n" not in text
    return text


def test_weights_of_another_backbone_are_refused(tmp_path, resnet18):
    path = save(state_dicts.join_state(resnet18, nn.Linear(512, 3)), tmp_path / "model.pt")
    before = {key: value.clone() for key, value in fresh("resnet_tiny", 16).network.state_dict().items()}
    encoder = fresh("resnet_tiny", 16)
    assert "same backbone" in refused(path, encoder)
    assert all(torch.equal(value, before[key]) for key, value in encoder.network.state_dict().items())
    text = refused(path, fresh("resnet50", 32))
    assert "lacks" in text and "they seem to be weights of resnet18;" in text
    assert "conv1.weight is (64, 3, 3, 3) where this backbone has (64, 3, 7, 7)" in refused(
        path, fresh(small_stem=False)
    )


DEEPER = [
    ("resnet34", "resnet18", ""),
    ("resnet101", "resnet50", "module."),
    ("resnet152", "resnet50", "model.backbone."),
    ("wide_resnet101_2", "wide_resnet50_2", ""),
    ("convnext_small", "convnext_tiny", "module."),
    ("swin_s", "swin_t", ""),
    ("efficientnet_b1", "efficientnet_b0", "student."),
]


@functools.cache
def on_meta(name):
    """An encoder and the state of the whole torchvision network, both without numbers."""
    with torch.device("meta"):
        network = backbones.build_network(name, 224, small_stem=False)
        state = network.state_dict()
        classifier = find_classifier(network)
        network.set_submodule(classifier, nn.Identity())
    return backbones.Backbone(network, 0, classifier), state


@pytest.mark.parametrize(("theirs", "mine", "prefix"), DEEPER)
def test_a_deeper_network_of_the_same_family_is_refused(theirs, mine, prefix):
    """Its tensors hold all that the smaller one has, in the same shapes, and more."""
    encoder, state = on_meta(mine)[0], on_meta(theirs)[1]
    more = [key for key in on_meta(theirs)[0].network.state_dict() if key not in encoder.network.state_dict()]
    count = sum("num_batches_tracked" not in key for key in more)
    with pytest.raises(ConfigError) as caught:
        pick_weights(encoder, {prefix + key: value for key, value in state.items()}, "w.pt")
    assert str(caught.value) == (
        f"experiment_version is w.pt, which holds {count} tensors of an encoder that this backbone does not have "
        f"({', '.join(more[:3])}, ...); they seem to be weights of {theirs}; allowed: weights of the same backbone and "
        "stem."
    )


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "vgg11", "vit_b_16", "swin_t", "mobilenet_v3_small"])
def test_torchvisions_own_weights_load_with_their_classifiers(name):
    with torch.device("meta"):
        encoder = build_encoder(name, 224)
        whole = torchvision.models.get_model(name).state_dict()  # of GoogLeNet and Inception with auxiliary classifiers
    assert pick_weights(encoder, whole, "w.pt").keys() == encoder.network.state_dict().keys()


@pytest.mark.slow
def test_no_network_takes_the_weights_of_any_other(monkeypatch):
    """All ordered pairs; a RegNet's widths are computed with numbers, so that part is kept off the meta device."""
    original = regnet.BlockParams.from_init_params.__func__

    def with_numbers(cls, **options):
        with torch.device("cpu"):
            return original(cls, **options)

    monkeypatch.setattr(regnet.BlockParams, "from_init_params", classmethod(with_numbers))
    monkeypatch.setattr(state_dicts, "_guess", lambda encoder, state: "")
    for mine in BACKBONES:
        encoder = on_meta(mine)[0]
        for theirs in BACKBONES:
            state = on_meta(theirs)[1]
            if theirs == mine:
                assert pick_weights(encoder, state, "w.pt").keys() == encoder.network.state_dict().keys()
            else:
                with pytest.raises(ConfigError):
                    pick_weights(encoder, state, "w.pt")


# Beside the encoder: what other programs leave in a file, and under which names.
BESIDE = (
    "fc.weight",
    "fc.0.weight",
    "head.weight",
    "projector.0.weight",
    "projection_head.layers.0.weight",
    "classifier.weight",
    "prototypes.weight",
    "predictor.net.0.weight",
    "queue",
    "n_averaged",
    "momentum_projector.0.weight",
    "online_classifier.bias",
    "layer4.1.bn3.num_batches_tracked",
)


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_is_not_of_the_encoder_may_be_left_over(resnet18, prefix, name):
    state = {prefix + key: value for key, value in resnet18.network.state_dict().items()}
    encoder = fresh()
    load_encoder(encoder, state | {prefix + name: torch.zeros(2)}, "w.pt")
    assert_same_weights(encoder, resnet18)


@pytest.mark.parametrize("name", ["layer1.2.conv1.weight", "bn1.extra"])
def test_a_tensor_of_the_encoder_may_not(resnet18, name):
    state = {"module." + key: value for key, value in resnet18.network.state_dict().items()}
    with pytest.raises(ConfigError, match=rf"holds 1 tensor of an encoder .*\({name}\)"):
        load_encoder(fresh(), state | {"module." + name: torch.zeros(2)}, "w.pt")


# Of two encoders in one file: the names of the one that gradients train, and of the other.
PAIRS = [
    ("module.encoder_q.", "module.encoder_k."),
    ("backbone.", "momentum_backbone."),
    ("backbone.", "backbone_momentum."),
    ("base_encoder.", "momentum_encoder."),
    ("online_network.", "target_network."),
    ("online_encoder.net.", "target_encoder.net."),
    ("student.backbone.", "teacher.backbone."),
    ("student_backbone.", "teacher_backbone."),
    ("model.", "model_ema."),
    ("query_encoder.", "key_encoder."),
    ("encoder.", "target.encoder."),
    ("net.", "teacher.net."),
]


@pytest.mark.parametrize("trained_first", [True, False])
@pytest.mark.parametrize(("trained", "average"), PAIRS)
def test_of_two_encoders_the_trained_one_is_taken(capsys, resnet18, trained, average, trained_first):
    good = {trained + key: value for key, value in resnet18.network.state_dict().items()}
    other = {average + key: value * 0 for key, value in resnet18.network.state_dict().items()}
    encoder = fresh()
    load_encoder(encoder, good | other if trained_first else other | good, "w.pt")
    assert_same_weights(encoder, resnet18)
    assert capsys.readouterr().out == f"w.pt holds 2 encoders: {trained} is taken, not {average}\n"


@pytest.mark.parametrize(
    ("trained", "average"),
    [("student", "teacher"), ("online_network_state_dict", "target_network_state_dict"), ("encoder_q", "encoder_k")],
)
def test_two_encoders_may_stand_in_two_sections(tmp_path, capsys, resnet18, trained, average):
    state = resnet18.network.state_dict()
    sections = {
        average: {f"module.backbone.{key}": value * 0 for key, value in state.items()},
        "epoch": 3,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1.0}]},
        trained: {f"module.backbone.{key}": value for key, value in state.items()},
    }
    path = save(sections, tmp_path / "w.pth")
    encoder = fresh()
    load_encoder(encoder, read_state(path), path)
    assert_same_weights(encoder, resnet18)
    assert f"holds 2 encoders: {trained}.module.backbone. is taken" in capsys.readouterr().out


def test_the_same_encoder_under_two_names_is_one(capsys, resnet18):
    state = resnet18.network.state_dict()
    load_encoder(
        fresh(), {name + key: value for name in ("backbone.", "model.0.") for key, value in state.items()}, "w"
    )
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("key", ["layer3.1.conv2.weight", "bn1.running_var"])
def test_weights_that_are_not_finite_are_refused(tmp_path, resnet18, key, value):
    state = {name: tensor.clone() for name, tensor in resnet18.network.state_dict().items()}
    state[key].view(-1)[-1] = value
    path = save(state | {"fc.weight": torch.full((2, 2), value)}, tmp_path / "w.pt")
    encoder = fresh()
    assert f"1 of the 120 tensors in {path} (such as {key}) hold values that are not finite" in refused(path, encoder)
    assert all(tensor.isfinite().all() for tensor in encoder.network.state_dict().values())
    path = save(resnet18.network.state_dict() | {"fc.weight": torch.full((2, 2), value)}, path)
    load_encoder(encoder, read_state(path), path)  # a head is not loaded


FILES = {
    "empty": b"",
    "text": b"hello, this is not a file of weights\n",
    "json": b'{"conv1.weight": [1, 2, 3]}',
    "noise": bytes(range(256)) * 40,
    "zeros": bytes(5000),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "unfinished_pickle": pickle.dumps({"a": 1}, protocol=2)[:-3],
    "pickle_of_a_dict": pickle.dumps({"a": 1}, protocol=2),
    "pickle_of_a_list": pickle.dumps([1, 2, 3], protocol=4),
    "only_a_protocol": b"\x80\x02",
    "only_a_stop": b"\x80\x02.",
    "yaml": b"epochs: 3\n",
    "unknown_opcode": b"\x80\x02\xff.",
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_hold_no_weights_are_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILES[name])
    refused(path)


def test_archives_and_torch_files_that_hold_no_weights_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    refused(tmp_path / "archive.zip")
    whole = save({"conv1.weight": torch.zeros(100, 100)}, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes(whole.read_bytes()[:9000])
    refused(tmp_path / "cut.pt")
    for number, content in enumerate(
        (torch.zeros(3), [torch.zeros(3)], {}, {"a": 1}, {"state_dict": {}}, "text", None)
    ):
        refused(save(content, tmp_path / f"content{number}.pt"))
    refused(save(nn.Linear(2, 2), tmp_path / "module.pt"))  # a whole module carries code, so it is not loaded
    refused(tmp_path / "absent.pt")
    refused(tmp_path)


def test_random_bytes_never_end_in_anything_but_a_sentence(tmp_path):
    generator = torch.Generator().manual_seed(0)
    path = tmp_path / "random.pt"
    whole = bytearray(save({"weight": torch.zeros(4)}, tmp_path / "whole.pt").read_bytes())
    for number in range(300):
        noise = bytes(torch.randint(256, (60,), generator=generator).tolist())
        if number % 2:
            broken = bytearray(whole)
            for place in torch.randint(len(whole), (8,), generator=generator).tolist():
                broken[place] = noise[place % 60]
            path.write_bytes(broken)
        else:
            path.write_bytes((b"\x80\x02" if number % 4 else b"") + noise)
        with contextlib.suppress(ConfigError):
            read_state(path)


class Malicious:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (os.mkdir, (str(self.folder),))


def test_code_in_a_weights_file_is_not_run(tmp_path):
    victim = tmp_path / "made by the file"
    torch.save({"conv1.weight": Malicious(victim)}, tmp_path / "new.pt")
    torch.save({"conv1.weight": Malicious(victim)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Malicious(victim)))
    for name in ("new.pt", "old.pt", "bare.pt"):
        refused(tmp_path / name)
    assert not victim.exists()
    pickle.loads((tmp_path / "bare.pt").read_bytes())  # the trap itself works
    assert victim.exists()
