"""A loaded encoder gives the features that `evaluate` and `embed` compute, whatever kind of image it is given."""

import shutil

import numpy as np
import pytest
import torch
from conftest import TINY
from PIL import Image
from trainings import trained_run

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.data.loading import OWN_SIDES, load_data, load_run_data
from simclr.embeddings import embed
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection, OtherData
from simclr.encoders.encoder import Encoder
from simclr.encoders.load import load_encoder
from simclr.evaluation import protocols
from simclr.lifecycle.train import train
from simclr.models import weight_reading
from simclr.views import augment, resampling


@pytest.fixture(scope="module")
def encoder(finished_run):
    return load_encoder(finished_run)


@pytest.fixture(scope="module")
def test_images(finished_run):
    """(12, 3, 16, 16) uint8 test images of the run."""
    data = load_run_data(runs.load_config(finished_run))
    return data.test.take(range(12))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of one size that is not the network's, and wider than high: 40 x 28 pixels."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for i in range(70):
        low = generator.integers(0, 256, (7, 10, 3)).astype(np.uint8)
        Image.fromarray(low).resize((40, 28), Image.Resampling.BICUBIC).save(folder / f"{i:02d}.png")
    return folder


def arrays_of(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])  # (N, H, W, 3)


def kinds_of(folder):
    """The same images as users hold them, by a word."""
    paths, arrays = sorted(folder.glob("*.png")), arrays_of(folder)
    tensor = torch.from_numpy(arrays).permute(0, 3, 1, 2)
    return {
        "paths": paths,
        "texts": [str(path) for path in paths],
        "pil": [Image.open(path) for path in paths],
        "array": arrays,
        "arrays": list(arrays),
        "tensor": tensor,
        "tensors": list(tensor),
        "generator": (image for image in arrays),
        "labelled": [(Image.open(path), 3) for path in paths],
        "mixed": [arrays[0], *paths[1:-1], tensor[-1]],
    }


def test_it_gives_what_evaluate_computes_of_the_same_images(finished_run, encoder, test_images):
    config = runs.load_config(finished_run)
    state = weight_reading.read_state(finished_run.model_path)
    network = protocols.encoder_of(config, state).network
    expected = protocols.outputs(network, test_images, config, torch.device("cpu"), lambda share: None).numpy()
    pixels = test_images.images_at(range(12))
    assert encoder.num_features == expected.shape[1] == 128
    found = encoder.embed(pixels, progress=False)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    as_arrays = encoder.embed(pixels.permute(0, 2, 3, 1).numpy(), progress=False)
    np.testing.assert_array_equal(as_arrays, expected)
    # by itself, in a batch of its own, and through the module: other blocks of a matrix product, so other last digits
    one = encoder.embed(pixels[3], batch_size=1, progress=False)
    np.testing.assert_allclose(one, expected[3:4], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        np.testing.assert_allclose(encoder(encoder.preprocess(pixels)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["h", "z"])
def test_every_kind_of_image_gives_what_embed_computes_of_the_folder(finished_run, encoder, photos, layer):
    copy = photos.parent / f"run-{layer}"
    shutil.copytree(finished_run.path, copy)
    other = OtherData(str(photos), "1")
    (expected,) = embed.compute(
        [EncoderRef(runs.Run(copy), layer=layer)], ImageSelection(other=other, num_images=None), methods=()
    )
    features, names = encoder.embed_folder(photos, layer, batch_size=32, progress=False)
    assert names == [f"{i:02d}.png" for i in range(70)]
    assert expected.features.shape == features.shape == (70, 128 if layer == "h" else 8)
    np.testing.assert_allclose(features, expected.features, rtol=1e-4, atol=1e-5)
    for images in (photos, str(photos), *kinds_of(photos).values()):
        np.testing.assert_array_equal(encoder.embed(images, layer, batch_size=32, progress=False), features)


@pytest.mark.parametrize("size", [(16, 16), (33, 21), (100, 130), (200, 16)], ids=str)
def test_images_of_other_sizes_are_made_what_a_folder_of_them_is(encoder, tmp_path, size):
    width, height = size
    generator = np.random.default_rng(1)
    for i in range(3):
        low = generator.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        Image.fromarray(low).resize((width, height), Image.Resampling.BICUBIC).save(tmp_path / f"{i}.png")
    data = load_data(str(tmp_path), data_dir=str(tmp_path / "data"), image_size=16, val_fraction=0)
    expected = augment.normalize(resampling.resize(augment.to_float(data.train.images_at(range(3))), 16))
    for images in kinds_of(tmp_path).values():
        found = encoder.preprocess(images)
        assert found.shape == (3, 3, 16, 16)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_single_and_grey_images_and_those_with_transparency(encoder):
    grey = np.random.default_rng(2).integers(0, 256, (20, 24), dtype=np.uint8)
    expected = encoder.preprocess(np.repeat(grey[..., None], 3, axis=2))
    assert expected.shape == (1, 3, 16, 16)
    for same in (grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[None], Image.fromarray(grey)):
        torch.testing.assert_close(encoder.preprocess(same), expected, rtol=0, atol=0)
    clear = np.zeros((16, 16, 4), dtype=np.uint8)  # black, and nothing of it shows
    torch.testing.assert_close(encoder.preprocess(clear), torch.full((1, 3, 16, 16), 2.0))


def test_what_is_trained_on_a_larger_set_is_resized_in_one_step_as_that_is(tmp_path):
    """Digits are kept at 32 pixels, and a network for 16 sees them resized from there."""
    run = trained_run(tmp_path, dataset="digits", image_size=16)
    data = load_run_data(runs.load_config(run))
    assert OWN_SIDES["digits"] == data.test.image_size == 32
    pixels = data.test.images_at(range(5))
    expected = augment.normalize(resampling.resize(augment.to_float(pixels), 16))
    torch.testing.assert_close(load_encoder(run).preprocess(pixels), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ([], "images is empty; allowed: at least one image."),
        (np.zeros((4, 4, 3), dtype=np.float32), "images is an array of float32; allowed: uint8"),
        (np.zeros((4, 4, 5), dtype=np.uint8), r"images is an array of shape \(4, 4, 5\); allowed"),
        (torch.zeros(3, 3, 0, 4, dtype=torch.uint8), r"shape \(3, 3, 0, 4\); allowed: images of at least one pixel"),
        (7, "images is of type int; allowed: a path"),
        (["nowhere.png"], r"nowhere.png.*\(No such file or directory\)"),
    ],
    ids=lambda value: None,
)
def test_what_is_no_image_is_refused_in_one_sentence(encoder, images, sentence):
    with pytest.raises(ConfigError, match=sentence):
        encoder.embed(images, progress=False)


def test_a_damaged_file_is_named(encoder, tmp_path):
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"x.png.*\(it is not an image\)"):
        encoder.embed(tmp_path / "x.png", progress=False)


def test_pixels_of_a_folder_are_in_memory_batch_by_batch(encoder, photos, monkeypatch):
    held, shares = [], []
    original = type(encoder._preprocess).batch
    monkeypatch.setattr(
        type(encoder._preprocess),
        "batch",
        lambda self, pixels, device: held.append(len(pixels)) or original(self, pixels, device),
    )
    encoder.embed(photos, batch_size=16, progress=shares.append)
    assert held == [16, 16, 16, 16, 6]
    assert shares == [16 / 70, 32 / 70, 48 / 70, 64 / 70, 1.0]


def test_it_is_a_module_that_can_be_trained_and_keeps_its_mode(finished_run, photos):
    encoder = load_encoder(finished_run)
    before = encoder.embed(photos, progress=False)
    assert not encoder.training
    encoder.train()
    statistics = {name: value.clone() for name, value in encoder.named_buffers()}
    np.testing.assert_array_equal(encoder.embed(photos, progress=False), before)
    assert encoder.training and all(module.training for module in encoder.modules())
    assert all(torch.equal(value, statistics[name]) for name, value in encoder.named_buffers())
    loss = encoder(encoder.preprocess(photos / "00.png").repeat(4, 1, 1, 1)).square().mean()
    loss.backward()
    torch.optim.SGD(encoder.parameters(), 0.1).step()
    assert np.abs(encoder.embed(photos, progress=False) - before).max() > 0


def test_loading_leaves_the_random_numbers_as_they_are(finished_run):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load_encoder(finished_run)
    assert torch.equal(torch.rand(3), expected)


def test_runs_are_found_by_folder_id_beginning_checkpoint_and_file(finished_run, finished_runs_dir, photos, tmp_path):
    expected = load_encoder(finished_run).embed(photos, progress=False)
    ways = [finished_run.path, str(finished_run.path), finished_run.id, finished_run.id[:-1], finished_run.model_path]
    for way in ways:
        found = load_encoder(way, runs_dir=finished_runs_dir)
        assert isinstance(found, Encoder)
        np.testing.assert_array_equal(found.embed(photos, progress=False), expected)
    last = finished_run.path / "checkpoints" / "last.ckpt"
    for way in (last, f"{finished_run.id}@last"):
        found = load_encoder(way, runs_dir=finished_runs_dir)
        np.testing.assert_array_equal(found.embed(photos, progress=False), expected)
        assert found.projector is not None
    alone = tmp_path / "weights.pt"
    shutil.copy(finished_run.model_path, alone)
    found = load_encoder(alone, backbone="resnet_tiny", image_size=16)
    np.testing.assert_array_equal(found.embed(photos, progress=False), expected)
    with pytest.raises(ConfigError, match=r"backbone is unset, and .*weights.pt lies in no run folder"):
        load_encoder(alone)
    with pytest.raises(ConfigError, match=r"weights.pt, which .*; allowed: weights of the same backbone and stem"):
        load_encoder(alone, backbone="cnn_tiny", image_size=16)
    with pytest.raises(ConfigError, match="RUN is nothing; allowed: a run's folder, id or unique prefix"):
        load_encoder("nothing", runs_dir=finished_runs_dir)


def test_weights_without_a_projector_have_h_alone(tmp_path, photos):
    run = trained_run(tmp_path)
    encoder = load_encoder(run)
    assert encoder.projector is None
    assert encoder.embed(photos, progress=False).shape == (70, 128)
    with pytest.raises(ConfigError, match=f"layer is z; allowed: h, since {run.id} has no projector"):
        encoder.embed(photos, "z", progress=False)


@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "scratch"])
def test_predictions_are_those_of_the_test(finished_run, finished_runs_dir, tmp_path, is_frozen):
    more = {"freeze_encoder": True} if is_frozen else {"random_weight_init": True}
    options = TINY | {"experiment_version": str(finished_run.path), "epochs": 1} | more
    run = train(cfg.build(cfg.FinetuneConfig, options), runs_dir=tmp_path)
    assert run.status.state == "finished", run.status.error
    encoder = load_encoder(run)
    data = load_run_data(runs.load_config(run))
    found = encoder.predict(data.test.images_at(range(data.test.num_images)), progress=False)
    assert found.classes == data.classes
    assert found.probabilities.shape == (2000, 10)
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-5)
    right = np.array(found.labels) == np.array(data.classes)[data.test.labels]
    assert right.mean() == pytest.approx(run.evaluation["test/top1"], abs=1e-7)
    with pytest.raises(ConfigError, match="has no projector"):
        encoder.embed(data.test.images_at([0]), "z")


def test_a_pretraining_predicts_nothing(encoder, finished_run, photos):
    with pytest.raises(ConfigError, match=f"{finished_run.id} has no classifier; allowed: a fine-tuned run"):
        encoder.predict(photos)


def test_values_that_are_no_numbers_are_refused(tmp_path, photos):
    run = trained_run(tmp_path)
    encoder = load_encoder(run)
    with torch.no_grad():
        next(encoder.parameters()).fill_(float("nan"))
    with pytest.raises(ConfigError, match="values that are no numbers"):
        encoder.embed(photos, progress=False)


def test_every_own_side_is_of_a_named_set():
    assert set(OWN_SIDES) == set(cfg.DATASETS) - {"shapes"}
