"""Folders whose images lie in files of many: what is said of them, wherever a folder of images is read."""

import pytest
from PIL import Image

from simclr.config import ConfigError
from simclr.data.folders import folder_layout
from simclr.views import sample_images

HUB = "datasets.load_dataset("
SAVED = "datasets.load_from_disk("
FOLDERS = {
    "parquet of the hub": (
        ["README.md", "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
        "2 Parquet files, as Hugging Face keeps data sets (such as data/train-00000-of-00002.parquet), which are not",
        HUB,
    ),
    "one parquet": (
        ["train.parquet"],
        "1 Parquet file, as Hugging Face keeps data sets (train.parquet), which is",
        HUB,
    ),
    "saved, of splits": (
        [
            "dataset_dict.json",
            *(f"{split}/{name}" for split in ("test", "train") for name in ("state.json", "data-00000-of-00001.arrow")),
        ],
        "2 Arrow files of a Hugging Face data set that was saved to disk (such as test/data-00000-of-00001.arrow)",
        SAVED,
    ),
    "saved, of one split": (
        ["dataset_info.json", "state.json", "data-00000-of-00001.arrow"],
        "1 Arrow file of a Hugging Face data set that was saved to disk (data-00000-of-00001.arrow), which is not",
        SAVED,
    ),
    "of the cache": (["default/0.0.0/ab/dataset_info.json", "default/0.0.0/ab/x-train.arrow"], "1 Arrow file, as", HUB),
    "TFRecord": (["a.tfrecord-00000-of-00002", "a.tfrecord-00001-of-00002"], "2 TFRecord files of", "of its own"),
    "TFRecord by its ending": (["train.tfrecords"], "1 TFRecord file of TensorFlow (train.tfrecords)", "of its own"),
    "WebDataset": (["shard-000000.tar", "shard-000001.tar"], "2 archives (such as shard-000000.tar)", "Unpack"),
    "an archive": (["images.tar.gz"], "1 archive (images.tar.gz)", "Unpack"),
    "LMDB": (["data.mdb", "lock.mdb"], "1 LMDB database (data.mdb)", "of its own"),
    "HDF5": (["Train.H5"], "1 HDF5 file (Train.H5)", "of its own"),
    "MNIST": (["train-images-idx3-ubyte.gz", "t10k-images.idx3-ubyte"], "2 idx files, as MNIST has", "of its own"),
    "CIFAR-10": (
        ["data_batch_1", "data_batch_2", "batches.meta"],
        "2 files of arrays (such as data_batch_1)",
        "of its",
    ),
    "arrays": (["x.npz"], "1 file of arrays (x.npz)", "of its own"),
    "a table beside parts": (["labels.npy", "train-00000-of-00001.parquet"], "1 Parquet file", HUB),
}


def make(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("read", [folder_layout.read, lambda folder: sample_images._from_folder(folder)])
@pytest.mark.parametrize("name", FOLDERS)
def test_what_it_is_and_what_to_do(tmp_path, name, read):
    names, what, remedy = FOLDERS[name]
    folder = make(tmp_path / 'my "set"', names)
    with pytest.raises(ConfigError) as caught:
        read(str(folder))
    text = str(caught.value)
    assert text.startswith(f"dataset is {folder}, a folder without images but with {what}")
    assert "allowed: image files, in train/<class>/" in text
    assert remedy in text.partition("allowed")[2]
    assert ('my \\"set\\"")' in text) == ("datasets." in remedy)  # as Python reads it
    assert "\n" not in text and text.endswith(".")


@pytest.mark.parametrize(
    ("name", "remedy"), [("data/a.parquet", f'{HUB}"{{folder}}/data")'), ("a.zip", "Unpack"), ("notes.txt", "")]
)
def test_a_file_that_is_named_as_a_data_set(tmp_path, name, remedy):
    make(tmp_path, [name])
    with pytest.raises(ConfigError) as caught:
        folder_layout.read(str(tmp_path / name))
    assert "is a file, not a folder" in str(caught.value)
    assert remedy.format(folder=tmp_path) in str(caught.value)
    assert remedy or str(caught.value).endswith("or a folder of images.")


def test_parts_beside_a_few_pictures_are_said(tmp_path):
    """As a clone from the hub has them: only the pictures of its documents would be learned from."""
    make(tmp_path, ["data/train-00000-of-00001.parquet", "labels.csv"])
    for number in range(4):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    layout = folder_layout.read(str(tmp_path))
    assert layout.notes == [
        "1 Parquet file, as Hugging Face keeps data sets (data/train-00000-of-00001.parquet) is not read."
    ]
    (tmp_path / "data" / "train-00000-of-00001.parquet").rename(tmp_path / "labels.parquet")  # a table of the images
    assert folder_layout.read(str(tmp_path)).notes == []


def test_a_folder_of_other_files_is_told_as_before(tmp_path):
    with pytest.raises(ConfigError, match=r"a folder without images \(left out: 1 file of other kinds \(\.doc\)\)"):
        folder_layout.read(str(make(tmp_path, ["a.doc"])))
