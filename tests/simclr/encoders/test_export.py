"""An export gives the features of its run, from PyTorch, timm and onnxruntime, or is refused."""

import json
import zipfile
from io import BytesIO

import numpy as np
import pytest
import torch
from dashboard_fixtures import make_run
from leaky_runs import leaky, pair
from PIL import Image
from trainings import trained_run

from simclr import runs
from simclr.cli.main import main
from simclr.config import BACKBONES, ConfigError
from simclr.encoders import export, exported, onnx_model
from simclr.encoders.encoder import Encoder
from simclr.encoders.images import Preprocessing
from simclr.encoders.load import load_encoder
from simclr.models import backbones
from simclr.views import augment

onnxruntime = pytest.importorskip("onnxruntime")

BOTH = ["safetensors", "onnx"]
REMOTE = "/home/somebody/photos of mine"


def onnx_outputs(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images}), strict=True))


def random_images(num, side):
    return np.random.default_rng(num).integers(0, 256, (num, 3, side, side)).astype(np.uint8)


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory):
    """A pre-training, and its export in both formats."""
    folder = tmp_path_factory.mktemp("export")
    run = trained_run(folder / "runs", seed=3)
    export.export(run, BOTH, folder / "out")
    return run, folder / "out"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The same of a supervised run with a hidden layer in its head."""
    folder = tmp_path_factory.mktemp("classifier")
    options = {"kind": "scratch", "head": "mlp", "hidden_dim": 9, "num_classes": 10}
    run = make_run(folder, epochs=1, dataset="shapes", image_size=16, backbone="resnet_tiny", **options)
    torch.manual_seed(0)
    encoder = backbones.build_encoder("resnet_tiny", 16)
    encoder.network.train()(torch.randn(64, 3, 16, 16))  # statistics that are not 0 and 1
    head = torch.nn.Sequential(torch.nn.Linear(encoder.num_features, 9), torch.nn.ReLU(), torch.nn.Linear(9, 10))
    state = encoder.network.state_dict() | {f"{encoder.classifier_name}.{k}": v for k, v in head.state_dict().items()}
    torch.save(state, run.model_path)
    export.export(run, BOTH, folder / "out")
    return run, folder / "out"


@pytest.mark.parametrize("number", [1, 7, 64])
def test_onnx_takes_any_number_of_images_as_they_are(pretraining, classifier, number):
    for run, folder in (pretraining, classifier):
        images = random_images(number, 16)
        encoder = load_encoder(run)
        x = augment.normalize(torch.from_numpy(images).float() / 255)
        with torch.no_grad():
            h = encoder(x)
        found = onnx_outputs(folder / exported.ONNX, images)
        assert found["h"].dtype == np.float32
        np.testing.assert_allclose(found["h"], h, atol=1e-4 * float(h.abs().max()), rtol=0)
        assert ("logits" in found) == (run is classifier[0])
        if "logits" in found:
            with torch.no_grad():
                logits = encoder.classifier(h)
            np.testing.assert_allclose(found["logits"], logits, atol=1e-4 * float(logits.abs().max()), rtol=0)


def test_an_exported_folder_loads_as_an_encoder(pretraining, classifier):
    image = Image.fromarray(random_images(1, 40)[0].transpose(1, 2, 0))
    for run, folder in (pretraining, classifier):
        own, again = load_encoder(run), load_encoder(folder)
        np.testing.assert_array_equal(again.embed(image, progress=False), own.embed(image, progress=False))
        assert again.classes == own.classes
    found, expected = (one.predict(image, progress=False) for one in (again, own))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert found.labels == expected.labels


def test_a_damaged_export_is_told_in_one_sentence(classifier, tmp_path):
    for name in (exported.WEIGHTS, exported.CONFIG):
        (tmp_path / name).write_bytes((classifier[1] / name).read_bytes())
    about = json.loads((tmp_path / exported.CONFIG).read_text())
    for damage, sentence in (
        ({"architecture": None}, "does not fit; allowed"),
        ({"simclr": {"image_size": "16"}}, "does not fit; allowed"),
        ({"label_names": ["a", "b"]}, "does not fit its weights, which hold no classifier of 2; allowed"),
        ({"architecture": "resnet_huge"}, "backbone is resnet_huge; allowed"),
        ({"architecture": "cnn_tiny"}, "allowed"),
    ):
        (tmp_path / exported.CONFIG).write_text(json.dumps(about | damage))
        with pytest.raises(ConfigError, match=sentence):
            load_encoder(tmp_path)


def test_model_pt_safetensors_and_onnx_agree_in_pytorch_timm_and_onnxruntime(tmp_path):
    """A ResNet-18 at 96 px, which torchvision and timm build alike."""
    timm = pytest.importorskip("timm")
    run = make_run(tmp_path / "runs", epochs=1, dataset="shapes", image_size=96, backbone="resnet18")
    torch.manual_seed(1)
    network = backbones.build_encoder("resnet18", 96).network
    torch.save(network.state_dict(), run.model_path)
    done = export.export(run, BOTH, tmp_path / "out")
    images = random_images(3, 96)
    x = augment.normalize(torch.from_numpy(images).float() / 255)
    about = json.loads((tmp_path / "out" / exported.CONFIG).read_text())["pretrained_cfg"]
    mean, std = (torch.tensor(about[name])[:, None, None] for name in ("mean", "std"))
    torch.testing.assert_close((torch.from_numpy(images).float() / 255 - mean) / std, x)
    other = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True, num_classes=0).eval()
    with torch.no_grad():
        h = load_encoder(run)(x)
        torch.testing.assert_close(other(x), h, rtol=0, atol=1e-5 * float(h.abs().max()))
    found = onnx_outputs(tmp_path / "out" / exported.ONNX, images)["h"]
    np.testing.assert_allclose(found, h, atol=1e-5 * float(h.abs().max()), rtol=0)
    assert "to the last bit" in done[0].said and "onnxruntime" in done[1].said


def test_what_comes_out_wrong_is_refused_and_leaves_nothing(pretraining, tmp_path, monkeypatch):
    """An exporter that forgets the normalization, as a wrong one would be."""
    run, _ = pretraining
    original = onnx_model._Deployed.forward

    def wrong(self, images):
        if torch.compiler.is_exporting() or torch.jit.is_tracing():
            return original(self, images // 2)
        return original(self, images)

    monkeypatch.setattr(onnx_model._Deployed, "forward", wrong)
    with pytest.raises(ConfigError, match=r"resnet_tiny does not come out right \(torch.export: values are up to"):
        export.export(run, ["onnx"], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_second_exporter_stands_in_for_the_first(pretraining, tmp_path, monkeypatch):
    run, _ = pretraining
    original = onnx_model._export

    def export_one(module, encoder, path, exporter):
        if exporter == "torch.export":
            raise RuntimeError("no such operator\nand much more")
        original(module, encoder, path, exporter)

    monkeypatch.setattr(onnx_model, "_export", export_one)
    (done,) = export.export(run, ["onnx"], tmp_path / "out")
    assert "written by TorchScript" in done.said
    monkeypatch.setattr(onnx_model, "_export", lambda *_: (_ for _ in ()).throw(RuntimeError("no such operator")))
    with pytest.raises(ConfigError, match=r"\(torch.export: no such operator; TorchScript: no such operator\)"):
        export.export(run, ["onnx"], tmp_path / "other")


def test_more_weights_than_a_file_takes_are_refused_before_anything_is_written(pretraining, tmp_path, monkeypatch):
    run, _ = pretraining
    monkeypatch.setattr(onnx_model, "_export", lambda *_: pytest.fail("it has begun to write"))
    monkeypatch.setattr(onnx_model, "MOST_BYTES", 100_000)
    sentence = r"^format is onnx, and resnet_tiny has \d\.\d GB of weights, more than the 0\.0001 GB of an ONNX file; "
    with pytest.raises(ConfigError, match=sentence + r"allowed: safetensors\.$"):
        export.export(run, BOTH, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_card_says_what_it_was_trained_on_and_how_it_was_measured(pretraining, tmp_path):
    _, folder = pretraining
    card = (folder / exported.CARD).read_text()
    assert "`resnet_tiny` for images of 16 x 16 pixels, with" in card
    assert "Pre-trained without labels by SimCLR (Chen et al. 2020)" in card
    assert "None: it was not tested." in card
    other = trained_run(tmp_path, seed=4)
    runs.write_evaluation(other.path, {"test/knn_top1": 0.4, "num_test_images": 1234})
    export.export(other, ["safetensors"], tmp_path / "out")
    card = (tmp_path / "out" / exported.CARD).read_text()
    assert "| kNN on frozen features | 20 nearest training images vote | 40.0 % | 1,234 |" in card
    assert "model.onnx" not in card and "Copies among" not in card  # nothing was looked for
    leaky(other, [pair(0, is_exact=True), pair(1)])
    export.export(other, ["safetensors"], tmp_path / "again")
    card = (tmp_path / "again" / exported.CARD).read_text()
    assert "Copies among the test images, by the features of this network: 2 of 500 test images (0.4 %) are" in card
    assert "Without them kNN accuracy is 85.00 % instead of 90.00 %." in card and "t0.png" not in card


@pytest.mark.parametrize(("width", "height"), [(90, 60), (13, 20), (16, 16)])
def test_the_lines_of_the_card_give_the_features_of_a_photo(pretraining, tmp_path, monkeypatch, width, height):
    """The example for onnxruntime as it stands: which square, which size, which normalization."""
    run, folder = pretraining
    coarse = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(tmp_path / "photo.jpg", quality=95)
    lines = (folder / exported.CARD).read_text().split("import numpy as np\n")[1].split("```")[0]
    (tmp_path / exported.ONNX).write_bytes((folder / exported.ONNX).read_bytes())
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec("import numpy as np\n" + lines, found)
    h = load_encoder(run).embed(tmp_path / "photo.jpg", progress=False)
    np.testing.assert_allclose(found["h"], h, rtol=0, atol=0.02 * np.abs(h).max())


def test_no_place_of_this_machine_is_in_it(tmp_path):
    run = trained_run(tmp_path / "runs", seed=5, notes="secret", data_dir=REMOTE)
    text = (run.path / runs.CONFIG).read_text().replace("dataset: shapes", f"dataset: {REMOTE}")
    (run.path / runs.CONFIG).write_text(text)
    (done,) = export.export(runs.Run(run.path), ["safetensors"], tmp_path / "out")
    for name in (exported.CONFIG, exported.CARD):
        text = (tmp_path / "out" / name).read_text()
        assert "photos of mine" in text
        assert "somebody" not in text and "secret" not in text and str(tmp_path) not in text
    assert "64 drawn images (the run's own cannot be read here)" in done.said


def told(capsys, *arguments):
    assert main(["export", *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    return said


def test_bad_input_is_one_sentence(pretraining, tmp_path, capsys, monkeypatch):
    run, _ = pretraining
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("mine")
    assert f"out is {full}, which holds other files (such as thesis.tex)" in told(
        capsys, str(run.path), "--out", str(full)
    )
    assert (full / "thesis.tex").read_text() == "mine"
    assert "which is a file; allowed: a folder." in told(capsys, str(run.path), "--out", str(full / "thesis.tex"))
    assert told(capsys, str(run.path), "--format", "gguf") == "format is gguf; allowed: safetensors, onnx."
    assert "allowed: a run, or a run and its checkpoint" in told(capsys, f"{run.path}@z")
    missing = told(capsys, str(run.path), "--dataset", str(tmp_path / "nowhere"), "--out", str(tmp_path / "o"))
    assert str(tmp_path / "nowhere") in missing
    monkeypatch.setattr(onnx_model, "PACKAGES", ("onnx", "a_package_of_nobody"))
    assert told(capsys, str(run.path), "--format", "onnx", "--out", str(tmp_path / "o")) == (
        "format is onnx, which needs a_package_of_nobody; allowed: safetensors, or onnx after pip install "
        '"simclr-explorer[export]".'
    )
    assert not (tmp_path / "o").exists()


def test_as_a_job_it_gives_an_archive(pretraining, tmp_path, capsys):
    run, _ = pretraining
    job = tmp_path / "job"
    job.mkdir()
    assert main(["export", str(run.path), "--job_dir", str(job)]) == 0
    assert "to the last bit" in capsys.readouterr().out
    packed = zipfile.ZipFile(BytesIO(exported.archive(exported.folder_of(job), "mine")))
    assert packed.namelist() == ["mine/README.md", "mine/config.json", "mine/model.safetensors"]
    packed.extractall(tmp_path)
    assert load_encoder(tmp_path / "mine").num_features == load_encoder(run).num_features
    assert main(["export", str(run.path), "--out", str(tmp_path / "mine")]) == 0  # an earlier export is replaced


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_backbone_comes_out_right_or_is_refused(tmp_path):
    """Prints the difference of each, for the document; a refusal is a sentence."""
    refused = []
    for name in BACKBONES:
        side = next(side for side in (32, *backbones.SIDES) if not _is_refused(name, side))
        torch.manual_seed(0)
        built = backbones.build_encoder(name, side)
        config = trained_run(tmp_path, seed=1).config | {"backbone": name, "image_size": side}
        encoder = Encoder(built.network, built.num_features, Preprocessing(side), config=_config(config))
        try:
            parity = onnx_model.write(encoder, tmp_path / "model.onnx", random_images(14, side))
        except ConfigError as error:
            refused.append(name)
            print(f"{name:<20} {side:>4} px  {error}")
            continue
        print(
            f"{name:<20} {side:>4} px  {parity.difference:.1e} of {parity.largest:.2g}  {parity.exporter}", flush=True
        )
        assert parity.difference <= onnx_model.TOLERANCE * parity.largest
    print(f"refused: {', '.join(refused) or 'none'}")


def _is_refused(name, side):
    try:
        backbones.check_size(name, side)
    except ConfigError:
        return True
    return False


def _config(values):
    from simclr import config as cfg

    return cfg.build(cfg.PretrainConfig, values)
