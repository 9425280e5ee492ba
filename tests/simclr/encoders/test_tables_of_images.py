"""Features, predictions and neighbours of one's own images as tables, against what the encoder itself gives."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
import torch
from dashboard_fixtures import make_run
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from trainings import trained_run

from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.encoders import streaming, table_files
from simclr.encoders.load import load_encoder
from simclr.models import backbones

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve images of three classes."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir()
        for number in range(4):
            image = Image.fromarray(generator.integers(0, 256, (6, 6, 3)).astype(np.uint8))
            image.resize((24, 24), Image.Resampling.BICUBIC).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory):
    return trained_run(tmp_path_factory.mktemp("runs"), seed=3)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    run = make_run(
        tmp_path_factory.mktemp("runs"),
        kind="scratch",
        epochs=1,
        dataset="shapes",
        image_size=16,
        backbone="resnet_tiny",
        num_classes=4,
    )
    torch.manual_seed(0)
    encoder = backbones.build_encoder("resnet_tiny", 16)
    head = torch.nn.Linear(encoder.num_features, 4)
    state = encoder.network.state_dict() | {f"{encoder.classifier_name}.{k}": v for k, v in head.state_dict().items()}
    torch.save(state, run.model_path)
    return run


def rows_of(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_features_are_those_of_the_encoder(pretraining, photos, tmp_path, ending, capsys):
    out = tmp_path / f"features.{ending}"
    assert main(["embed", str(pretraining.path), "--dataset", str(photos), "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"{out}: 12 rows\n")
    expected, names = load_encoder(pretraining).embed_folder(photos, progress=False)
    frame = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
    assert frame["image"].tolist() == [str(photos / name) for name in names]
    assert frame["class"].tolist() == [name.split("/")[0] for name in names]
    found = frame.filter(regex="^h_").to_numpy() if ending == "csv" else np.stack(frame["h"].to_list())
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    z = tmp_path / f"z.{ending}"
    assert main(["embed", str(pretraining.path), "--dataset", str(photos), "--layer", "z", "--out", str(z)]) == 2
    assert "layer is z" in capsys.readouterr().err and not z.exists()  # these weights have no projector


def test_predictions_are_those_of_the_encoder(classifier, photos, capsys):
    encoder = load_encoder(classifier)
    expected = encoder.predict(photos, progress=False)
    rows = rows_of(capsys, "predict", classifier.path, photos)
    assert [row["predicted"] for row in rows] == expected.labels
    found = np.array([[float(row[f"p {name}"]) for name in expected.classes] for row in rows])
    np.testing.assert_allclose(found, expected.probabilities, rtol=1e-5)
    assert [float(row["probability"]) for row in rows] == pytest.approx(expected.probabilities.max(1).tolist())
    files = [photos / "owl" / "3.png", photos / "cat" / "0.png"]
    rows = rows_of(capsys, "predict", classifier.path, *files)
    assert [row["image"] for row in rows] == [str(path) for path in files] and "class" not in rows[0]
    assert [row["predicted"] for row in rows] == encoder.predict(files, progress=False).labels


def test_neighbours_are_exact(pretraining, photos, capsys):
    encoder = load_encoder(pretraining)
    features, names = encoder.embed_folder(photos, progress=False)
    reference = NearestNeighbors(n_neighbors=6, metric="cosine", algorithm="brute").fit(features)
    distances, indices = reference.kneighbors(features)
    rows = rows_of(capsys, "neighbors", pretraining.path, photos, "--among", photos, "--k", 5)
    assert len(rows) == 12 * 5
    for query, name in enumerate(names):
        own = [row for row in rows if row["query"] == str(photos / name)]
        assert [int(row["rank"]) for row in own] == [1, 2, 3, 4, 5]
        assert indices[query, 0] == query  # its own file, which is no neighbour
        assert [row["image"] for row in own] == [str(photos / names[place]) for place in indices[query, 1:]]
        assert [row["class"] for row in own] == [names[place].split("/")[0] for place in indices[query, 1:]]
        assert [float(row["similarity"]) for row in own] == pytest.approx((1 - distances[query, 1:]).tolist(), abs=1e-5)


def test_of_few_images_there_are_fewer_neighbours(pretraining, photos, tmp_path, capsys):
    inside, outside = photos / "cat" / "1.png", tmp_path / "other.png"
    Image.open(inside).save(outside)
    rows = rows_of(capsys, "neighbors", pretraining.path, inside, outside, "--among", photos / "cat", "--k", 9)
    assert [row["query"] for row in rows] == [str(inside)] * 3 + [str(outside)] * 4
    assert rows[3]["image"] == str(inside) and float(rows[3]["similarity"]) == pytest.approx(1)
    assert "class" not in rows[0]


def test_what_cannot_be_read_is_named_and_left_out(classifier, photos, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no image")
    arguments = ["predict", str(classifier.path), str(tmp_path / "broken.png"), str(photos / "cat" / "0.png")]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 2
    assert said.err.startswith(f"1 left out: The image {tmp_path}/broken.png cannot be read")
    assert main(arguments[:3]) == 2
    assert capsys.readouterr().err.startswith(f"No image could be read. The image {tmp_path}/broken.png")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_that_is_cut_short_is_not_there(tmp_path, ending):
    out = tmp_path / f"table.{ending}"
    out.write_text("of before")
    with pytest.raises(ConfigError, match="stop"), table_files.writer(out) as write:  # noqa: PT012
        write({"image": ["a"], "h": np.zeros((1, 3), np.float32)})
        raise ConfigError("stop")
    assert out.read_text() == "of before"
    assert list(tmp_path.iterdir()) == [out]


def test_bad_input_is_one_sentence(pretraining, classifier, photos, tmp_path, capsys):
    image, out = str(photos / "cat" / "0.png"), str(tmp_path / "t.csv")
    for arguments, sentence in (
        (["predict", pretraining.path, image], "has no classifier; allowed: a fine-tuned run, or one from scratch."),
        (["predict", classifier.path, "nowhere.png"], "nowhere.png does not exist; allowed"),
        (["predict", classifier.path, image, "--out", "t.xlsx"], "out is t.xlsx; allowed: a file that ends in .csv"),
        (["predict", classifier.path, image, "--out", "no/t.csv"], "out is no/t.csv; allowed: a file in a folder"),
        (["neighbors", pretraining.path, image], "among is unset; allowed: the folder"),
        (["neighbors", pretraining.path, image, "--among", photos, "--k", "0"], "k is 0; allowed: a whole number"),
        (["neighbors", pretraining.path, image, "--among", photos, "--k", "²"], "k is ²; allowed: a whole number"),
        (["embed", pretraining.path, "--out", out], "allowed with one RUN and the folder of images as dataset."),
        (["embed", pretraining.path, "--dataset", photos, "--out", out, "--method", "pca"], "and method is set"),
    ):
        assert main([str(argument) for argument in arguments]) == 2
        said = capsys.readouterr().err.strip()
        assert sentence in said and "\n" not in said
    assert not (tmp_path / "t.csv").exists()


def test_pixels_are_held_a_batch_at_a_time(pretraining, photos, monkeypatch):
    """However many images there are: what is decoded is let go of before the next batch."""
    monkeypatch.setattr(streaming, "BATCH_SIZE", 5)
    encoder = load_encoder(pretraining)
    sizes = []
    network = torch.nn.Module()
    network.forward = lambda x: sizes.append(len(x)) or encoder(x)
    images = streaming.OwnImages(encoder, sorted(photos.glob("*/*.png")))
    values = np.concatenate([rows.values for rows in images.rows(network)])
    assert sizes == [5, 5, 2]
    np.testing.assert_allclose(values, encoder.embed(photos, progress=False), rtol=1e-5, atol=1e-6)
