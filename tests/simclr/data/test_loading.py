"""Data sets, cuts and batches, on tiny files made here; nothing is fetched."""

import gzip
import hashlib
import http.server
import io
import logging
import os
import pickle
import tarfile
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.data import downloads, loading, shapes, splits
from simclr.data.batches import EpochBatches, SplitDataset, as_is
from simclr.data.folders import decoding, image_files
from simclr.lifecycle import prepare
from simclr.lifecycle import train as lifecycle_train
from simclr.models import compute


def picture(colour, size=(8, 8), mode="RGB"):
    return Image.new(mode, size, colour)


def make_folder(root, layout, size=(8, 8), suffix=".png"):
    """`layout`: folder -> number of images; every image has a colour of its own, and a white corner."""
    number = 0
    for folder, count in layout.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image = picture((number % 256, number // 256, 100), size)
            image.paste("white", (3 * size[0] // 4, 3 * size[1] // 4, *size))
            image.save(root / folder / f"{i:03d}{suffix}")
            number += 1
    return root


def load(dataset, tmp_path, **options):
    return loading.load_data(str(dataset), data_dir=str(tmp_path / "data_root"), **options)


def ids(split):
    return set(split.ids.tolist())


def pixels_of(split):
    """All images of a split, (N, 3, S, S)."""
    return split.images_at(range(split.num_images))


# --- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["shapes", "folder", "stl10"])
def test_images_are_in_memory_once(tmp_path, kind):
    """Whatever is taken of a set and wherever it is taken to, if it is there already."""
    if kind == "folder":
        make_folder(tmp_path / "set", {"a": 12, "b": 12})
    elif kind == "stl10":
        make_stl10(tmp_path / "data_root")
    loaded = load(tmp_path / "set" if kind == "folder" else kind, tmp_path, val_fraction=0.25)
    whole = sum(split.num_images for split in (loaded.train, loaded.val)) * 3 * loaded.train.image_size**2
    storage = loaded.train.images.untyped_storage()
    assert whole <= storage.nbytes() <= whole + loaded.test.num_images * 3 * loaded.train.image_size**2
    part = loaded.train.take([5, 1, 3])
    for split in (loaded.val, loaded.probe, part, part.take([2, 0]), part.to("cpu"), loaded.val.load(1 << 40)):
        assert split.images.untyped_storage().data_ptr() == storage.data_ptr()
    assert torch.equal(part.take([2, 0]).images_at([0, 1]), loaded.train.images_at([3, 5]))
    assert part.to("meta").images.shape[0] == 3  # elsewhere there are only the images that are asked for
    assert torch.equal(torch.cat(list(loaded.train.batches(7))), pixels_of(loaded.train))


def test_no_part_of_a_run_copies_more_than_a_batch(tmp_path, monkeypatch):
    """`memory_share` counts each image once."""
    from conftest import TINY, TINY_PRETRAIN

    from simclr.embeddings import embed
    from simclr.embeddings.references import EncoderRef
    from simclr.embeddings.selection import ImageSelection
    from simclr.evaluation import protocols

    most = []
    real = splits.Split.images_at
    monkeypatch.setattr(splits.Split, "images_at", lambda self, at: most.append(len(at)) or real(self, at))
    more = {"limit_images": 1300, "batch_size": 512, "epochs": 1}
    options = TINY | more | {"backbone": "resnet_tiny", "experiment_version": 0, "freeze_encoder": True}
    for config in (
        cfg.build(cfg.PretrainConfig, TINY_PRETRAIN | more | {"knn_every_epochs": 1, "film_frames": 1}),
        cfg.build(cfg.FinetuneConfig, options),
    ):
        run = lifecycle_train.train(config, runs_dir=tmp_path)
        assert run.status.state == "finished", run.status.error
        protocols.evaluate_run(run)
        embed.compute([EncoderRef(run)], ImageSelection("train", None), [])
    assert max(most) == 512
    prepared = prepare.prepare(cfg.build(cfg.FinetuneConfig, options), tmp_path)
    data_ptr = prepared.data.train.images.data_ptr()
    assert prepared.train.images.data_ptr() == data_ptr
    assert protocols.labelled_split(prepared.config, prepared.data).images.data_ptr() == data_ptr


# --- cuts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [[450] * 10, [1000, 100, 10, 1]])
def test_label_subset_is_nested_stratified_and_repeatable(counts):
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    sets = {share: splits.label_subset(labels, share, seed=3) for share in (0.01, 0.05, 0.1, 1.0)}
    for share, chosen in sets.items():
        assert (chosen.diff() > 0).all()
        assert len(chosen) == round(share * len(labels))
        found = labels[chosen].bincount(minlength=len(counts))
        assert (found >= 1).all()
        assert (found - share * torch.tensor(counts)).abs().max() <= 2
    assert set(sets[0.01].tolist()) < set(sets[0.05].tolist()) < set(sets[0.1].tolist())
    assert torch.equal(sets[0.05], splits.label_subset(labels, 0.05, seed=3))
    assert not torch.equal(sets[0.05], splits.label_subset(labels, 0.05, seed=4))


@pytest.mark.parametrize("counts", [[450] * 10, [1000, 100, 10, 1]])
def test_so_many_labels_of_each_class_are_nested_and_repeatable(counts):
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    sets = {number: splits.label_subset(labels, 1.0, 3, number) for number in (1, 5, 50)}
    for number, chosen in sets.items():
        assert (chosen.diff() > 0).all()
        assert labels[chosen].bincount().tolist() == [min(number, count) for count in counts]
    assert set(sets[1].tolist()) < set(sets[5].tolist()) < set(sets[50].tolist())
    assert torch.equal(sets[5], splits.label_subset(labels, 1.0, 3, 5))
    assert not torch.equal(sets[5], splits.label_subset(labels, 1.0, 4, 5))
    if len(set(counts)) == 1:  # one of each class is what the smallest share is, too
        assert torch.equal(sets[1], splits.label_subset(labels, 1e-9, 3))


def test_label_subset_has_one_of_each_class_at_least():
    labels = torch.arange(40) % 10
    assert sorted(labels[splits.label_subset(labels, 0.01, seed=0)].tolist()) == list(range(10))


def test_a_balanced_set_is_cut_exactly():
    labels = np.arange(50_000) % 10
    chosen = splits.val_indices(labels, 50_000, 0.1, seed=1)
    assert np.bincount(labels[chosen]).tolist() == [500] * 10


def test_shapes_splits():
    whole = loading.load_data("shapes", seed=5)
    assert (whole.train.num_images, whole.val.num_images, whole.test.num_images) == (3686, 410, 2000)
    assert whole.classes == shapes.CLASSES
    assert whole.image_size == whole.train.image_size == 32
    assert whole.probe is whole.train
    assert ids(whole.train) | ids(whole.val) == set(range(4096))
    assert whole.val.labels.bincount().tolist() == [41] * 10
    assert (whole.train.factors["shape"] == np.array(shapes.CLASSES)[whole.train.labels.numpy()]).all()
    again = loading.load_data("shapes", seed=5)
    assert torch.equal(again.train.ids, whole.train.ids)
    assert torch.equal(pixels_of(again.train), pixels_of(whole.train))
    assert ids(loading.load_data("shapes", seed=6).val) != ids(whole.val)


def test_an_id_names_the_same_image_whatever_the_cuts():
    drawn = shapes.generate("train", 5000)
    for options in ({"limit_images": 300}, {"val_fraction": 0.5}, {"limit_images": 5000}, {"seed": 9}):
        loaded = loading.load_data("shapes", **options)
        for split in (loaded.train, loaded.val):
            assert (pixels_of(split).numpy() == drawn.images[split.ids.numpy()]).all()
            assert (split.labels.numpy() == drawn.labels[split.ids.numpy()]).all()
    assert loaded.train.num_images + loaded.val.num_images == 4096


def test_limit_comes_before_the_validation_cut():
    loaded = loading.load_data("shapes", limit_images=100, val_fraction=0.2)
    assert (loaded.train.num_images, loaded.val.num_images) == (80, 20)
    assert loaded.train.labels.bincount().tolist() == [8] * 10
    assert not ids(loaded.train) & ids(loaded.val)
    assert loading.load_data("shapes", limit_images=5000).train.num_images == 4500
    assert loading.load_data("shapes", limit_images=100, val_fraction=0).val is None


def test_limit_below_the_number_of_classes_is_refused():
    with pytest.raises(ConfigError, match="limit_images is 9; allowed: at least 10"):
        loading.load_data("shapes", limit_images=9)


def test_limit_above_the_data_uses_all_and_warns(caplog):
    with caplog.at_level(logging.WARNING):
        loaded = loading.load_data("digits", limit_images=100_000, val_fraction=0)
    assert loaded.train.num_images == 1438
    assert "limit_images is 100000" in caplog.text


def test_digits():
    loaded = loading.load_data("digits", val_fraction=0)
    assert pixels_of(loaded.train).shape == (1438, 3, 32, 32)
    assert loaded.test.num_images == 359
    assert (loaded.test.labels.bincount() >= 34).all()
    assert torch.equal(loaded.train.images[:, 0], loaded.train.images[:, 2])
    other = loading.load_data("digits", val_fraction=0, seed=8)
    assert torch.equal(pixels_of(loaded.test), pixels_of(other.test))  # the test split is fixed


def test_split_take_and_images_at():
    train = loading.load_data("shapes", limit_images=50).train
    part = train.take([4, 2, 7])
    assert part.num_images == 3
    assert torch.equal(pixels_of(part), pixels_of(train)[[4, 2, 7]])
    assert torch.equal(part.ids, train.ids[[4, 2, 7]])
    assert part.factors["hue"].tolist() == train.factors["hue"][[4, 2, 7]].tolist()
    assert torch.equal(part.images_at(torch.tensor([1])), pixels_of(train)[2:3])
    moved = part.to("meta")
    assert {moved.images.device.type, moved.ids.device.type, moved.labels.device.type} == {"meta"}


# --- batches ------------------------------------------------------------------------------------------------------


def test_epoch_batches_are_a_permutation_of_their_own_per_epoch():
    batches = EpochBatches(103, 10, seed=1, drop_last=False)
    first = list(batches)
    assert len(first) == len(batches) == 11
    assert torch.cat(first).sort().values.tolist() == list(range(103))
    assert torch.equal(torch.cat(first), torch.cat(list(batches)))
    batches.set_epoch(1)
    assert not torch.equal(torch.cat(first), torch.cat(list(batches)))
    assert not torch.equal(torch.cat(first), torch.cat(list(EpochBatches(103, 10, seed=2, drop_last=False))))


def test_epoch_batches_drop_the_incomplete_one_unless_it_is_the_only_one():
    assert [len(batch) for batch in EpochBatches(25, 10)] == [10, 10]
    assert [len(batch) for batch in EpochBatches(7, 10)] == [7]
    assert len(EpochBatches(7, 10)) == 1
    assert torch.cat(list(EpochBatches(6, 4, shuffle=False, drop_last=False))).tolist() == list(range(6))


@pytest.mark.parametrize(
    ("num_images", "batch_size", "num_ranks", "sizes"),
    [
        (54, 53, 1, [54]),
        (21, 10, 1, [10, 11]),
        (5, 2, 1, [2, 3]),
        (22, 10, 1, [10, 10, 2]),
        (20, 10, 1, [10, 10]),
        (3, 1, 1, [1, 1, 1]),
        (1, 10, 1, [1]),
        (9, 4, 2, [5]),
        (10, 4, 2, [5]),
        (11, 4, 2, [4, 2]),
        (3, 1, 2, [1, 1]),
    ],
)
def test_a_last_batch_of_one_image_joins_the_one_before(num_images, batch_size, num_ranks, sizes):
    """BatchNorm cannot train on one value per channel, and one image is a noisy step at best."""
    of_ranks = [
        EpochBatches(num_images, batch_size, seed=1, drop_last=False, rank=rank, num_ranks=num_ranks)
        for rank in range(num_ranks)
    ]
    for batches in of_ranks:
        assert [len(batch) for batch in batches] == sizes
        assert len(batches) == len(sizes)
    assert torch.cat([torch.cat(list(batches)) for batches in of_ranks]).unique().tolist() == list(range(num_images))
    batches.skip = len(sizes) - 1
    assert [len(batch) for batch in batches] == sizes[-1:]


@pytest.mark.parametrize(("devices", "steps"), [(1, 7), (2, 6)])
def test_steps_are_counted_as_the_processes_take_them(devices, steps):
    """50 images in batches of 8: two are left, which two processes would train on alone."""
    config = cfg.build(cfg.FinetuneConfig, {"random_weight_init": True, "batch_size": 8, "epochs": 1})
    counted = prepare._count_steps(config.model_copy(update={"devices": devices}), 50, drop_last=False)
    batches = EpochBatches(50, 8 // devices, drop_last=False, num_ranks=devices)
    assert (counted[0], len(list(batches))) == (steps, steps)


def test_skip_holds_for_one_iteration():
    batches = EpochBatches(40, 10, seed=1)
    whole = list(batches)
    batches.skip = 3
    assert len(batches) == 4
    assert torch.equal(torch.cat(list(batches)), whole[3])
    assert torch.equal(torch.cat(list(batches)), torch.cat(whole))


@pytest.mark.parametrize(("num_images", "drop_last"), [(50, True), (53, False), (5, True)])
def test_ranks_share_each_batch_evenly(num_images, drop_last):
    options = {"seed": 4, "drop_last": drop_last}
    alone = list(EpochBatches(num_images, 8, **options))
    shared = [list(EpochBatches(num_images, 4, rank=rank, num_ranks=2, **options)) for rank in range(2)]
    assert len(shared[0]) == len(shared[1]) == len(alone)
    for whole, left, right in zip(alone, *shared, strict=True):
        assert len(left) == len(right)
        assert set(left.tolist()) | set(right.tolist()) >= set(whole.tolist())
        if len(whole) == 8:
            assert sorted([*left.tolist(), *right.tolist()]) == sorted(whole.tolist())


# --- folders ------------------------------------------------------------------------------------------------------


def test_folder_with_train_val_and_test(tmp_path):
    layout = {f"{part}/{name}": count for part, count in (("train", 5), ("val", 2), ("test", 3)) for name in "ab"}
    loaded = load(make_folder(tmp_path / "set", layout), tmp_path)
    assert loaded.classes == ("a", "b")
    assert [split.num_images for split in (loaded.train, loaded.val, loaded.test)] == [10, 4, 6]
    assert loaded.train.labels.tolist() == [0] * 5 + [1] * 5
    assert loaded.train.images[:, 0, 0, 0].tolist() == list(range(10))  # sorted order
    assert loaded.image_size == 8


def test_folder_of_classes_gives_a_fifth_to_test(tmp_path):
    folder = make_folder(tmp_path / "set", {"cat": 20, "dog": 10})
    loaded = load(folder, tmp_path, seed=1)
    assert loaded.test.num_images == 6
    assert loaded.test.labels.bincount().tolist() == [4, 2]
    assert ids(loaded.train) | ids(loaded.val) | ids(loaded.test) == set(range(30))
    assert loaded.train.num_images + loaded.val.num_images == 24
    for split in (loaded.train, loaded.val, loaded.test):
        assert split.images[:, 0, 0, 0].tolist() == split.ids.tolist()
    assert ids(load(folder, tmp_path, seed=2).test) != ids(loaded.test)


@pytest.mark.parametrize(
    "layout", [{".": 12}, {"train": 12}, {"00/0": 3, "00/1": 3, "01/2": 3, "01/3": 3}, {"only": 12}, {".": 6, "a": 6}]
)
def test_images_without_classes(tmp_path, layout):
    folder = make_folder(tmp_path / "set", layout)
    loaded = load(folder, tmp_path, val_fraction=0.25)
    assert loaded.classes is loaded.train.labels is loaded.test is loaded.probe is None
    assert (loaded.train.num_images, loaded.val.num_images) == (9, 3)
    assert load(folder, tmp_path, limit_images=5, val_fraction=0).train.num_images == 5
    with pytest.raises(ConfigError, match=r"(images without classes|only one class \(only\)).*; allowed: two or more"):
        load(folder, tmp_path, labelled_only=True)


def test_classes_may_be_nested_once_and_be_called_train(tmp_path):
    loaded = load(make_folder(tmp_path / "one", {"cat/images": 5, "dog/images": 5}), tmp_path)
    assert loaded.classes == ("cat", "dog")
    assert load(make_folder(tmp_path / "two", {"car": 5, "train": 5}), tmp_path).classes == ("car", "train")


def test_hidden_files_and_other_files_are_left_out(tmp_path):
    folder = make_folder(tmp_path / "set", {"a": 5, "b": 5, ".hidden": 5})
    (folder / "a" / "notes.txt").write_text("no image")
    picture("red").save(folder / "a" / ".thumbnail.png")
    picture("red").save(folder / "b" / "UPPER.JPG")
    loaded = load(folder, tmp_path, val_fraction=0)
    assert loaded.train.num_images + loaded.test.num_images == 11


def test_kinds_of_image_become_rgb(tmp_path):
    for name in "ab":
        (tmp_path / "set" / "train" / name).mkdir(parents=True)
    folder = tmp_path / "set" / "train" / "a"
    picture(90, mode="L").save(folder / "0.png")
    Image.fromarray(np.full((8, 8), 90 * 256, dtype=np.uint16)).save(folder / "1.png")
    picture((90, 90, 90, 255), mode="RGBA").save(folder / "2.webp", lossless=True)
    picture((0, 0, 0, 0), mode="RGBA").save(folder / "3.png")  # transparent: shown on white
    picture((90, 90, 90)).convert("P").save(folder / "4.gif")
    picture((90, 90, 90)).convert("CMYK").save(folder / "5.tiff")
    turned = Image.new("RGB", (8, 16))
    turned.paste((90, 90, 90), (0, 0, 8, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "6.jpg", exif=exif, quality=100)
    found = [decoding.decode_image(folder, name, 8) for name in sorted(os.listdir(folder))]
    assert all(image.shape == (3, 8, 8) and image.dtype == np.uint8 for image in found)
    values = [int(image.mean()) for image in found]
    assert values[3] == 255
    assert all(abs(value - 90) <= 3 for i, value in enumerate(values) if i != 3)


def test_resizing_keeps_the_middle(tmp_path):
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (10, 0, 30, 20))
    image.save(tmp_path / "wide.png")
    assert decoding.decode_image(tmp_path, "wide.png", 10).min() > 200


@pytest.mark.parametrize(
    ("own", "image_size", "seen", "stored"),
    [
        (64, None, 64, 64),
        (300, None, 224, 300),
        (400, None, 224, 336),
        (64, 64, 64, 64),
        (64, 32, 32, 48),
        (64, 60, 60, 64),
        (16, 32, 32, 16),
        (300, 224, 224, 300),
    ],
)
def test_sides_seen_and_stored(tmp_path, own, image_size, seen, stored):
    folder = make_folder(tmp_path / "set", {"a": 2, "b": 2}, size=(own + 7, own))
    loaded = load(folder, tmp_path, image_size=image_size)
    assert (loaded.image_size, loaded.train.images.shape[-1]) == (seen, stored)
    # what a run writes into its config.yaml repeats it
    again = load(folder, tmp_path, image_size=loaded.image_size)
    assert torch.equal(again.train.images, loaded.train.images)


@pytest.mark.parametrize(
    ("suffix", "own", "is_reduced"), [(".jpg", 97, True), (".jpg", 96, False), (".jpg", 500, True), (".png", 97, False)]
)
def test_large_jpeg_files_are_decoded_at_a_reduced_size_and_that_is_said(
    tmp_path, monkeypatch, suffix, own, is_reduced
):
    folder = make_folder(tmp_path / "set", {"a": 2, "b": 2}, size=(own + 7, own), suffix=suffix)
    decoded = []
    fit = decoding.ImageOps.fit
    monkeypatch.setattr(
        decoding.ImageOps, "fit", lambda image, *rest: decoded.append(min(image.size)) or fit(image, *rest)
    )
    loaded = load(folder, tmp_path, image_size=32)  # kept at 48 pixels
    said = "JPEG files larger than 96 px are decoded at a reduced size, never below 48."
    assert (said in loaded.reading) == is_reduced
    assert decoded and (max(decoded) < own) == is_reduced
    assert min(decoded) >= 48
    again = load(folder, tmp_path, image_size=32, memory_limit=0)  # streamed
    assert torch.equal(
        again.train.images_at(range(again.train.num_images)), loaded.train.images_at(range(loaded.train.num_images))
    )


def test_side_of_mixed_sizes_is_the_median(tmp_path):
    for i, side in enumerate((10, 20, 90)):
        make_folder(tmp_path / "set" / str(i), {".": 2}, size=(side, side + 5))
    assert load(tmp_path / "set", tmp_path).image_size == 20


def test_folder_errors(tmp_path):
    def sentence(folder, **options):
        with pytest.raises(ConfigError) as caught:
            load(folder, tmp_path, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert sentence("cifr10").endswith("; did you mean cifar10?")
    assert "neither a data set nor a folder" in sentence(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "without images" in sentence(tmp_path / "empty")
    assert "is a file" in sentence(__file__)
    make_folder(tmp_path / "few", {"a": 3, "b": 1})
    assert "class b has 1 image" in sentence(tmp_path / "few", labelled_only=True)


def test_decoded_folders_are_kept_outside_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "CACHE_WORTH_SECONDS", 0)
    folder = make_folder(tmp_path / "set", {"train/a": 6, "train/b": 6, "test/a": 2, "test/b": 2})
    before = sorted(folder.rglob("*"))
    first = load(folder, tmp_path)
    assert sorted(folder.rglob("*")) == before
    assert len(list((tmp_path / "data_root" / "decoded").glob("*.npy"))) == 2  # train and test
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "decode_image", lambda *_: pytest.fail("decoded again"))
        again = load(folder, tmp_path)
        part = load(folder, tmp_path, limit_images=4, val_fraction=0).train
    assert torch.equal(first.train.images, again.train.images)
    assert part.images[:, 0, 0, 0].tolist() == part.ids.tolist()
    picture((200, 0, 0)).save(folder / "train" / "a" / "000.png")  # a changed file is seen
    os.utime(folder / "train" / "a" / "000.png", (1, 1))
    assert 200 in load(folder, tmp_path, val_fraction=0).train.images[:, 0, 0, 0].tolist()


def test_large_sets_stream_and_agree_with_memory(tmp_path):
    folder = make_folder(tmp_path / "set", {"a": 60, "b": 60})
    memory = load(folder, tmp_path, seed=3)
    said = []
    streamed = load(
        folder, tmp_path, seed=3, memory_limit=1000, progress=lambda text, share: said.append((text, share))
    )
    assert memory.train.in_memory
    assert not streamed.train.in_memory
    assert said[-1][1] == 1.0
    assert streamed.train.images is None
    assert torch.equal(streamed.train.labels, memory.train.labels)
    everything = torch.arange(memory.train.num_images)
    assert torch.equal(streamed.train.images_at(everything), memory.train.images)
    assert torch.equal(streamed.train.take([5, 1]).images_at([1, 0]), memory.train.images[[1, 5]])
    assert streamed.train.to("meta") is streamed.train

    batches = EpochBatches(streamed.train.num_images, 32, seed=0)
    loader = torch.utils.data.DataLoader(
        SplitDataset(streamed.train), batch_sampler=batches, collate_fn=as_is, num_workers=1
    )
    seen = list(loader)
    assert len(seen) == len(batches)
    for (batch, positions, broken), expected in zip(seen, batches, strict=True):
        assert broken == {}
        positions = torch.from_numpy(positions)  # the images alone take a file of shared memory
        assert torch.equal(positions, expected)
        assert torch.equal(batch, memory.train.images[positions])


# --- downloaded sets ----------------------------------------------------------------------------------------------


def make_stl10(root, num_labelled=40, num_unlabelled=100, num_test=20):
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    start = 0
    for name, count in (("train", num_labelled), ("unlabeled", num_unlabelled), ("test", num_test)):
        images = np.zeros((count, 3, 96, 96), dtype=np.uint8)
        images[:] = (start + np.arange(count))[:, None, None, None]
        images[:, :, 0, 1] = 255  # files are column by column: this is row 1, column 0
        images.tofile(folder / f"{name}_X.bin")
        if name != "unlabeled":
            (np.arange(count) % 10 + 1).astype(np.uint8).tofile(folder / f"{name}_y.bin")
        start += count if name == "train" else 0
    return folder


@pytest.mark.parametrize("streamed", [False, True])
def test_stl10_pretrains_on_unlabelled_images_and_validates_on_labelled(tmp_path, streamed):
    make_stl10(tmp_path / "data_root")
    limit = 0 if streamed else None
    loaded = load("stl10", tmp_path, val_fraction=0.25, memory_limit=limit)
    assert loaded.train.in_memory is not streamed
    assert (loaded.train.num_images, loaded.val.num_images, loaded.test.num_images) == (130, 10, 20)
    assert loaded.train.labels is None
    assert loaded.val.labels.bincount().tolist() == [1] * 10
    assert loaded.probe.num_images == 30
    assert (loaded.probe.labels == loaded.probe.ids % 10).all()
    assert ids(loaded.probe) | ids(loaded.val) == set(range(40))
    assert set(range(40, 140)) <= ids(loaded.train)
    for split in (loaded.train, loaded.val, loaded.probe):
        images = split.images_at(torch.arange(split.num_images))
        assert images[:, 0, 5, 5].tolist() == split.ids.tolist()
        assert (images[:, :, 1, 0] == 255).all()
    labelled = load("stl10", tmp_path, val_fraction=0.25, labelled_only=True, memory_limit=limit)
    assert ids(labelled.val) == ids(loaded.val)  # never trained on by either
    assert ids(labelled.train) == ids(loaded.probe)
    cut = load("stl10", tmp_path, limit_images=60, val_fraction=0.5, memory_limit=limit)
    assert (cut.train.num_images, cut.val.num_images, cut.probe.num_images) == (45, 15, 15)


def test_the_validation_images_of_a_run_on_stl10_are_found_again(tmp_path):
    """With `limit_images` a supervised run cuts its labelled images another way than a pre-training its unlabelled."""
    from dashboard_fixtures import make_run

    from simclr.embeddings import selection
    from simclr.embeddings.references import EncoderRef
    from simclr.embeddings.selection import ImageSelection, check_same_data

    make_stl10(tmp_path / "data_root", num_labelled=200)
    options = {
        "dataset": "stl10",
        "data_dir": str(tmp_path / "data_root"),
        "limit_images": 60,
        "val_fraction": 0.5,
        "image_size": 16,
        "seed": 3,
    }
    found = {
        kind: make_run(tmp_path, kind=kind, epochs=1, **options | more)
        for kind, more in (
            ("pretrain", {}),
            ("finetune", {"experiment_version": "0"}),
        )
    }
    for kind, run in found.items():
        config = runs.load_config(run)
        expected = loading.load_data(**options, labelled_only=kind == "finetune")
        assert ids(compute.load_images(config, lambda *_: None).val) == ids(expected.val)
        assert ids(selection.load_selection(run, ImageSelection("val", None)).chosen) == ids(expected.val)
        shown = selection.load_selection(run, ImageSelection("train", None)).chosen
        assert ids(shown) == ids(expected.train)
        assert not ids(shown) & ids(expected.val)
    with pytest.raises(ConfigError, match=r"unlabelled_images is left out in .* and used in"):
        check_same_data([EncoderRef(run) for run in found.values()], ImageSelection("val"))
    check_same_data([EncoderRef(run) for run in found.values()], ImageSelection("test"))


def test_stl10_cut_short_is_reported(tmp_path):
    folder = make_stl10(tmp_path / "data_root")
    with (folder / "unlabeled_X.bin").open("ab") as file:
        file.truncate(1000)
    with pytest.raises(ConfigError, match=r"unlabeled_X\.bin are damaged or incomplete"):
        load("stl10", tmp_path)


def make_cifar10_archive(monkeypatch):
    """A tiny archive in CIFAR-10's format; torchvision is told its checksums."""
    from torchvision.datasets import CIFAR10

    generator, contents = np.random.default_rng(0), {}
    for name, count in (("data_batch_1", 40), ("test_batch", 20)):
        pixels = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
        contents[name] = pickle.dumps({"data": pixels, "labels": [i % 10 for i in range(count)]})
    contents["batches.meta"] = pickle.dumps({"label_names": [f"class {i}" for i in range(10)]})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(packed.getvalue()).hexdigest())
    first = pickle.loads(contents["data_batch_1"])["data"].reshape(-1, 3, 32, 32)
    return packed.getvalue(), first


def test_cifar10_from_an_archive_in_the_data_root(tmp_path, monkeypatch):
    archive, pixels = make_cifar10_archive(monkeypatch)
    root = tmp_path / "data_root"
    root.mkdir()
    (root / "cifar-10-python.tar.gz").write_bytes(archive)
    loaded = load("cifar10", tmp_path, val_fraction=0)
    assert (loaded.train.images.numpy() == pixels).all()
    assert loaded.test.num_images == 20
    assert loaded.classes[3] == "class 3"
    assert sorted(path.name for path in root.iterdir()) == ["cifar-10-batches-py", "cifar-10-python.tar.gz"]
    (root / "cifar-10-batches-py" / "test_batch").write_bytes(b"x")
    with pytest.raises(ConfigError, match="damaged or incomplete"):
        load("cifar10", tmp_path)


def test_a_damaged_archive_is_reported(tmp_path, monkeypatch):
    archive, _ = make_cifar10_archive(monkeypatch)
    (tmp_path / "data_root").mkdir()
    (tmp_path / "data_root" / "cifar-10-python.tar.gz").write_bytes(archive[:-10])
    with pytest.raises(ConfigError, match=r"cifar-10-python\.tar\.gz are damaged"):
        load("cifar10", tmp_path)


@pytest.fixture
def web_server(tmp_path):
    """A local server of `tmp_path/web`; its port."""
    (tmp_path / "web").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "web"))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_download_with_progress_and_checksum(tmp_path, monkeypatch, web_server):
    from torchvision.datasets import CIFAR10

    archive, pixels = make_cifar10_archive(monkeypatch)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{web_server}/cifar-10-python.tar.gz")
    with pytest.raises(ConfigError, match="the server answered 404"):
        load("cifar10", tmp_path)
    served = tmp_path / "web" / "cifar-10-python.tar.gz"
    served.write_bytes(archive[:-1])
    with pytest.raises(ConfigError, match="its checksum differs"):
        load("cifar10", tmp_path)
    assert not (tmp_path / "data_root").exists()  # nothing is left of either
    served.write_bytes(archive)
    said = []
    loaded = load("cifar10", tmp_path, val_fraction=0, progress=lambda text, share: said.append((text, share)))
    assert (loaded.train.images.numpy() == pixels).all()
    assert ("Downloading cifar-10-python.tar.gz", 1.0) in said
    assert [path.name for path in (tmp_path / "data_root").iterdir()] == ["cifar-10-batches-py"]


@pytest.mark.parametrize(
    ("dataset", "file"),
    [
        ("cifar10", "cifar-10-python.tar.gz"),
        ("cifar100", "cifar-100-python.tar.gz"),
        ("stl10", "stl10_binary.tar.gz"),
        ("svhn", "train_32x32.mat"),
        ("fashion_mnist", "-ubyte.gz"),
    ],
)
def test_no_network_is_said_at_once_with_what_to_do(tmp_path, monkeypatch, dataset, file):
    def unreachable(*_args, **_options):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(downloads.socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(downloads.urllib.request, "getproxies", dict)
    start = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        load(dataset, tmp_path)
    text = str(caught.value)
    assert f"dataset is {dataset}, which is not in {tmp_path / 'data_root'}" in text
    assert "no network" in text
    assert "shapes, digits" in text
    assert file in text
    assert time.monotonic() - start < 5
    assert not (tmp_path / "data_root").exists()


@pytest.mark.parametrize("place", ["FashionMNIST/raw", ".", "fashion_mnist"])
@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_originals(tmp_path, place, packed):
    folder = tmp_path / "data_root" / place
    folder.mkdir(parents=True)
    for name, count in (("train", 30), ("t10k", 10)):
        images = np.repeat(np.arange(count, dtype=np.uint8), 28 * 28).reshape(count, 28, 28)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            content = header + array.tobytes()
            path = folder / f"{name}-{kind}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)
    loaded = load("fashion_mnist", tmp_path, val_fraction=0)
    assert loaded.train.images.shape == (30, 3, 28, 28)
    assert loaded.train.images[:, 2, 3, 3].tolist() == list(range(30))
    assert loaded.test.labels.tolist() == list(range(10))
    path.write_bytes(path.read_bytes()[:12])
    with pytest.raises(ConfigError, match="damaged or incomplete"):
        load("fashion_mnist", tmp_path)


def test_svhn_calls_zero_zero(tmp_path, monkeypatch):
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    root = tmp_path / "data_root"
    root.mkdir()
    table = {}
    for name in ("train", "test"):
        path = root / f"{name}_32x32.mat"
        images = np.arange(20, dtype=np.uint8)[None, None, None].repeat(32, 0).repeat(32, 1).repeat(3, 2)
        savemat(path, {"X": images, "y": (np.arange(20) % 10 + 1)[:, None].astype(np.uint8)})
        table[name] = ["http://127.0.0.1:9/", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", table)
    loaded = load("svhn", tmp_path, val_fraction=0)
    assert loaded.train.images[:, 0, 0, 0].tolist() == list(range(20))
    assert loaded.train.labels.tolist() == [*range(1, 10), 0] * 2


def test_data_root(monkeypatch, tmp_path):
    monkeypatch.setenv("SIMCLR_DATA_DIR", str(tmp_path / "from_environment"))
    assert loading.data_root(None) == tmp_path / "from_environment"
    assert loading.data_root(str(tmp_path / "given")) == tmp_path / "given"
    monkeypatch.delenv("SIMCLR_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert loading.data_root(None) == tmp_path / ".cache" / "simclr"
