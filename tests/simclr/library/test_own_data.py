"""Data sets that exist in Python alone become folders that everything else reads."""

import numpy as np
import pytest
import torch
from conftest import TINY_PRETRAIN
from PIL import Image
from torch.utils.data import Dataset, Subset, TensorDataset

import simclr
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.data import shapes
from simclr.data.loading import load_data
from simclr.library import own_data

OPTIONS = {name: value for name, value in TINY_PRETRAIN.items() if name not in ("dataset", "limit_images")}


class Shapes(Dataset):
    """As data sets of torchvision are: `classes`, and items of an image and a class."""

    classes = shapes.CLASSES

    def __init__(self, number=64, kind="pil", split="train"):
        found = shapes.generate(split, number, 16)
        self.images, self.labels, self.kind = found.images[:number], found.labels[:number], kind

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        pixels = self.images[index]
        kinds = {
            "pil": lambda: Image.fromarray(pixels.transpose(1, 2, 0)),
            "array": lambda: pixels.transpose(1, 2, 0),
            "tensor": lambda: torch.from_numpy(pixels),
            "float": lambda: torch.from_numpy(pixels) / 255,
        }
        return kinds[self.kind](), int(self.labels[index])


def pixels_of(folder):
    """Images (N, 3, S, S) and class names of all images of the folder, sorted by what they show."""
    data = load_data(str(folder), data_dir=str(folder.parent / "data"), image_size=16, val_fraction=0, test_fraction=0)
    images = data.train.images_at(range(data.train.num_images)).numpy()
    labels = data.train.labels
    names = [data.classes[label] for label in labels] if labels is not None else [None] * len(images)
    return sorted(zip([image.tobytes() for image in images], names, strict=True))


@pytest.mark.parametrize("kind", ["pil", "array", "tensor", "float"])
def test_every_kind_of_item_keeps_its_pixels_and_its_class(tmp_path, kind):
    data = Shapes(kind=kind)
    folder = own_data.as_folder(data, tmp_path)
    expected = sorted(
        (image.tobytes(), Shapes.classes[label]) for image, label in zip(data.images, data.labels, strict=True)
    )
    assert pixels_of(folder) == expected
    # the same images again, however they come, are the same folder
    assert own_data.as_folder(Shapes(), tmp_path) == folder
    assert [path.name for path in (tmp_path / "own").iterdir()] == [folder.name]
    assert own_data.as_folder(Shapes(63), tmp_path) != folder


def test_images_alone_and_numbered_classes_and_parts(tmp_path):
    images = torch.from_numpy(Shapes().images)
    alone = own_data.as_folder(list(images), tmp_path)
    assert pixels_of(alone) == sorted((image.numpy().tobytes(), None) for image in images)
    numbered = own_data.as_folder(TensorDataset(images, torch.arange(64) % 11), tmp_path)
    assert {name for _, name in pixels_of(numbered)} == {f"{number:03d}" for number in range(11)}
    part = own_data.as_folder(Subset(Shapes(), range(0, 64, 2)), tmp_path)
    assert len(pixels_of(part)) == 32
    assert {name for _, name in pixels_of(part)} <= set(Shapes.classes)


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        (
            [torch.randn(3, 8, 8)],
            r"dataset has a tensor of float32 \(3, 8, 8\) at item 0 with values .*; allowed: 0 to 1",
        ),
        ([np.zeros((8, 8, 3))], r"dataset has an array of float64 \(8, 8, 3\) at item 0; allowed: a PIL image"),
        ([Image.new("RGB", (8, 8)), "x.png"], "dataset has a str at item 1; allowed: a PIL image"),
        ([(Image.new("RGB", (8, 8)), 0), Image.new("RGB", (8, 8))], "and none for item 1; allowed: all, or none"),
        ([(Image.new("RGB", (8, 8)), 0.5)], "dataset has the class 0.5 at item 0; allowed: a whole number from 0"),
        (7, "dataset is of type int; allowed: a name, a folder"),
    ],
    ids=["normalized", "doubles", "name", "some classes", "half a class", "number"],
)
def test_what_is_no_image_or_class_is_refused_and_leaves_nothing(tmp_path, items, sentence):
    with pytest.raises(ConfigError, match=sentence):
        own_data.as_folder(items, tmp_path)
    assert not list(tmp_path.rglob("*.p*"))


def test_a_class_without_a_name_is_refused(tmp_path):
    data = Shapes()
    data.classes = ["a", "b"]
    with pytest.raises(ConfigError, match=r"dataset has the class \d at item \d, and names 2 classes"):
        own_data.as_folder(data, tmp_path)


def test_names_of_classes_become_names_of_folders(tmp_path):
    data = Shapes(20)
    data.classes = ["a/b", "a_b", "A_B", "..", ".x", *"fghij"]
    names = own_data._class_names(data)
    assert len({name.lower() for name in names}) == 10
    assert not [name for name in names if "/" in name or name.startswith(".")]
    own_data.as_folder(data, tmp_path)
    assert sorted(path.name for path in (next((tmp_path / "own").iterdir()) / "train").iterdir()) <= sorted(names)


def test_a_disk_without_room_is_named_before_it_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(own_data.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(ConfigError, match=r"dataset takes some 0.0 GB as image files, and .*; allowed: a folder"):
        own_data.as_folder(Shapes(), tmp_path)


def test_a_dataset_trains_and_its_run_goes_on_without_it(tiny_runs, capsys):
    """Images of torch, then everything from the command line, which knows nothing of the Dataset."""
    run = simclr.pretrain(
        {"train": Shapes(64), "test": Shapes(40, split="test")}, data_dir=str(tiny_runs.parent / "own data"), **OPTIONS
    )
    assert run.status.state == "finished"
    about = run.folder.meta["own_dataset"]
    assert about["class"] == f"{Shapes.__module__}.Shapes"
    assert about["length"] == {"train": 64, "test": 40}
    assert run.config["dataset"] == about["folder"]
    assert run.folder.meta["num_train_images"] + run.folder.meta["num_val_images"] == 64
    assert run.evaluation["num_test_images"] == 40
    assert sorted(run.evaluation["classes"]) == sorted(Shapes.classes)
    assert main(["evaluate", run.id, "--protocol", "knn"]) == 0
    assert "same" in capsys.readouterr().out
    tuned = simclr.finetune(
        run, epochs=1, batch_size=16, freeze_encoder=True, num_threads=1, accelerator="cpu", precision="32-true"
    )
    assert tuned.encoder().predict(Shapes()[0][0], progress=False).labels[0] in Shapes.classes
