"""Images that are read batch by batch: the same to the byte as in memory; broken files; processes that die."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import control_group_files
import numpy as np
import psutil
import pytest
import torch
from conftest import TINY, TINY_PRETRAIN, flags
from PIL import Image
from trainings import assert_equal_ends, interrupted, rows_of, run_and_find, stop_at  # noqa: F401

from simclr import config as cfg
from simclr import runs
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.data import batches, identity, loading
from simclr.data import memory as data_memory
from simclr.data.folders import decoding, folder_files, folder_layout, image_files
from simclr.lifecycle.train import train
from simclr.training import checkpoints, datamodule

IN_MEMORY = 1 << 40  # bytes


def load(folder, tmp_path, **options):
    return loading.load_data(str(folder), data_dir=str(tmp_path / "data_root"), **options)


def noise(seed, size, mode="RGB"):
    """A picture that differs from pixel to pixel in no regular way, yet not so fast that JPEG loses it."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, channels)).astype(np.uint8).squeeze()
    return Image.fromarray(pixels, mode="L" if channels == 1 else mode).resize(size, Image.Resampling.BICUBIC)


def many_kinds(folder, count=24):
    """Images of all kinds that occur: sizes, formats, grey, alpha, palette, 16 bits, CMYK, turned by EXIF."""
    folder.mkdir(parents=True)
    first = zlib.crc32("/".join(folder.parts[-2:]).encode())  # no two folders have the same
    for i in range(count):
        seed = first + i
        size = (20 + 3 * (i % 5), 24 + 2 * (i % 7))
        kind, path = i % 9, folder / f"{i:03d}"
        if kind == 0:
            noise(seed, size, "L").save(path.with_suffix(".png"))
        elif kind == 1:
            noise(seed, size, "RGBA").save(path.with_suffix(".webp"), lossless=True)
        elif kind == 2:
            noise(seed, size).convert("P").save(path.with_suffix(".gif"))
        elif kind == 3:
            deep = np.random.default_rng(seed).integers(0, 1 << 16, size[::-1]).astype(np.uint16)
            Image.fromarray(deep).save(path.with_suffix(".png"))
        elif kind == 4:
            noise(seed, size, "CMYK").save(path.with_suffix(".jpg"))
        elif kind == 5:
            exif = Image.Exif()
            exif[0x0112] = 1 + i % 8
            noise(seed, size).save(path.with_suffix(".jpeg"), exif=exif)
        elif kind == 6:
            noise(seed, (300, 200)).save(path.with_suffix(".jpg"))  # much larger: halved by the decoder
        elif kind == 7:
            noise(seed, size).save(path.with_suffix(".bmp"))
        else:
            noise(seed, size).save(path.with_suffix(".tiff"), compression="tiff_lzw")


LAYOUTS = {
    "classes": ["a", "b"],
    "split folders": ["train/a", "train/b", "val/a", "val/b", "test/a", "test/b"],
    "no classes": ["."],
    "nested, no classes": ["00/0", "00/1", "01/2"],
}


def break_inside(path):
    """Damages a JPEG between beginning and end, so that only decoding it tells."""
    content = path.read_bytes()
    path.write_bytes(content[:3] + b"\x00" * (len(content) - 5) + content[-2:])


# --- the same images, however they are read -------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_streamed_images_are_those_in_memory(tmp_path, layout):
    for name in LAYOUTS[layout]:
        many_kinds(tmp_path / "set" / name)
    memory = load(tmp_path / "set", tmp_path, image_size=16, seed=3, memory_limit=IN_MEMORY)
    streamed = load(tmp_path / "set", tmp_path, image_size=16, seed=3, memory_limit=0)
    for name in ("train", "val", "test"):
        kept, read = getattr(memory, name), getattr(streamed, name)
        if kept is None:
            assert read is None
            continue
        assert kept.in_memory and not read.in_memory
        assert torch.equal(kept.ids, read.ids)
        everything = torch.arange(kept.num_images)
        assert torch.equal(kept.images_at(everything), read.images_at(everything))
        assert len(np.unique(kept.images.numpy().reshape(kept.num_images, -1), axis=0)) == kept.num_images
    assert memory.skipped == streamed.skipped == memory.replaced == streamed.replaced == ()


@pytest.mark.parametrize(
    ("layout", "broken"),
    [
        ("classes", True),
        ("nested, no classes", False),
        pytest.param("classes", False, marks=pytest.mark.slow),
        pytest.param("nested, no classes", True, marks=pytest.mark.slow),
    ],
)
def test_a_streamed_training_equals_one_in_memory(tmp_path, caplog, layout, broken):
    """Same rows of metrics and the same weights, whatever `num_workers`; images broken in two ways included."""
    for name in LAYOUTS[layout]:
        many_kinds(tmp_path / "set" / name, 27)
    if broken:
        first = tmp_path / "set" / LAYOUTS[layout][0]
        (first / "002.gif").write_text("no image")
        for number in (6, 15, 24):
            break_inside(first / f"{number:03d}.jpg")
    options = TINY_PRETRAIN | {"dataset": str(tmp_path / "set"), "limit_images": 60, "data_dir": str(tmp_path / "root")}

    def trained(share, num_workers):
        chosen = cfg.build(cfg.PretrainConfig, options | {"num_workers": num_workers, "memory_share": share})
        run = train(chosen, runs_dir=tmp_path / "runs")
        assert run.status.state == "finished", run.status.error
        return run

    expected = trained(0.5, 0)
    for num_workers in (0, 1, 2):
        caplog.clear()
        run = trained(0, num_workers)
        assert rows_of(run) == rows_of(expected)
        assert run.model_path.read_bytes() == expected.model_path.read_bytes()
        if broken:
            assert caplog.text.count("002.gif (it is not an image)") == 1
            assert 1 <= caplog.text.count("cannot be read (it is not an image)") <= 3


def test_streamed_fine_tuning_equals_one_in_memory(tmp_path):
    for name in "ab":
        many_kinds(tmp_path / "set" / name)
    options = TINY | {
        "dataset": str(tmp_path / "set"),
        "limit_images": 30,
        "data_dir": str(tmp_path / "root"),
        "num_workers": 1,
        "backbone": "resnet_tiny",
        "random_weight_init": True,
        "label_fraction": 0.5,
    }

    def trained(share):
        run = train(cfg.build(cfg.FinetuneConfig, options | {"memory_share": share}), runs_dir=tmp_path / "runs")
        assert run.status.state == "finished", run.status.error
        return run

    kept, read = trained(0.5), trained(0)
    assert rows_of(kept) == rows_of(read)
    assert kept.model_path.read_bytes() == read.model_path.read_bytes()
    figures = [{key: value for key, value in run.evaluation.items() if key != "protocols"} for run in (kept, read)]
    assert figures[0] == figures[1]
    assert figures[0]["test/top1"] > 0


@pytest.mark.parametrize("step", [8, 14], ids=["middle", "end"])  # of the second epoch of three
def test_a_stopped_streamed_training_goes_on(tiny_runs, stop_at, monkeypatch, tmp_path, step):
    many_kinds(tmp_path / "set" / "a", 40)
    many_kinds(tmp_path / "set" / "b", 40)
    damage(tmp_path / "set" / "b" / "006.jpg", "cut")
    options = TINY_PRETRAIN | {"dataset": str(tmp_path / "set"), "batch_size": 8, "epochs": 3}
    expected = run_and_find(tiny_runs, "pretrain", options)
    streamed = options | {"memory_share": 0, "num_workers": 2, "version": 0}
    run = interrupted(tiny_runs, "pretrain", streamed, stop_at, monkeypatch, step)
    assert main(["resume", run.id]) == 0
    assert_equal_ends(run, expected)


# --- batches that do not come ---------------------------------------------------------------------------------------


def without_shared_memory(monkeypatch):
    def refuse(*_):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    for name in ("_share_fd_cpu_", "_share_filename_cpu_"):
        monkeypatch.setattr(torch.UntypedStorage, name, refuse)


def test_a_training_needs_no_shared_memory(tmp_path, monkeypatch):
    """A full /dev/shm, 64 MB in many containers, makes it slower and no more."""
    for name in "ab":
        many_kinds(tmp_path / "set" / name)
    options = TINY_PRETRAIN | {"dataset": str(tmp_path / "set"), "memory_share": 0, "num_workers": 1, "epochs": 1}
    options |= {"evaluate": False}
    found = []
    for is_full in (False, True):
        if is_full:
            without_shared_memory(monkeypatch)
        run = train(cfg.build(cfg.PretrainConfig, options), runs_dir=tmp_path / "runs")
        assert run.status.state == "finished", run.status.error
        found.append(run)
    assert rows_of(found[0]) == rows_of(found[1])
    assert found[0].model_path.read_bytes() == found[1].model_path.read_bytes()


def test_a_batch_that_cannot_be_handed_over_ends_the_training(tmp_path, monkeypatch):
    folder = numbered(tmp_path / "set", {"a": 30, "b": 30})
    monkeypatch.setattr(batches.SplitDataset, "__getitems__", lambda *_: lambda: None)  # what cannot be pickled
    options = TINY_PRETRAIN | {"dataset": str(folder), "memory_share": 0, "num_workers": 1}
    run = train(cfg.build(cfg.PretrainConfig, options), runs_dir=tmp_path / "runs")
    assert run.status.state == "failed"
    assert "A process that reads images was ended" in run.status.error


@pytest.mark.parametrize(
    ("split", "batch"),
    [
        pytest.param("train", 0, id="the first", marks=pytest.mark.slow),
        pytest.param("train", 2, id="middle"),
        pytest.param("train", 5, id="last of an epoch"),
        pytest.param("train", 6, id="first of the next", marks=pytest.mark.slow),
        pytest.param("val", 0, id="validation", marks=pytest.mark.slow),
    ],
)
def test_a_stop_is_obeyed_while_a_batch_does_not_come(tiny_runs, monkeypatch, tmp_path, split, batch):
    """Six batches in an epoch; and then it goes on as if nothing had been."""
    folder = numbered(tmp_path / "set", {"a": 35, "b": 35})
    options = TINY_PRETRAIN | {"dataset": str(folder), "batch_size": 8, "epochs": 2, "memory_share": 0}
    options |= {"num_workers": 1, "evaluate": False, "version": 0}
    expected = run_and_find(tiny_runs, "pretrain", options)
    real_batch, real_wait = batches.SplitDataset.__getitems__, checkpoints.StopAndTimedCheckpoints.while_waiting
    counts = {}

    def withholding(self, positions):  # in a reading process, of which each split has one
        counts[self.split.name] = counts.get(self.split.name, -1) + 1
        while (self.split.name, counts[self.split.name]) == (split, batch):
            (tmp_path / "withheld").touch()
            time.sleep(0.1)
        return real_batch(self, positions)

    def stopping(self, trainer, seconds):
        if (tmp_path / "withheld").exists():  # else it is a slow machine
            os.kill(os.getpid(), signal.SIGTERM)
        real_wait(self, trainer, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(batches.SplitDataset, "__getitems__", withholding)
        patch.setattr(checkpoints.StopAndTimedCheckpoints, "while_waiting", stopping)
        patch.setattr(checkpoints, "STOP_WAIT_SECONDS", 0.0)
        patch.setattr(datamodule, "WAIT_SECONDS", 0.3)
        run = run_and_find(tiny_runs, "pretrain", options, runs.STOPPED_EXIT_CODE)
    assert (run.status.state, run.status.reason) == ("stopped", "on request")
    assert (run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).is_file() == (split == "train")
    assert main(["resume", run.id]) == 0
    assert_equal_ends(run, expected)


# --- how much may lie in memory -------------------------------------------------------------------------------------


def test_memory_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 1000}))
    monkeypatch.setattr(data_memory, "_cgroup_limits", list)
    assert data_memory.memory_limit(0.5) == 500
    assert data_memory.memory_limit(0) == 0
    assert data_memory.memory_limit(0.5, num_processes=4) == 125
    assert data_memory.memory_limit(0.5, device_bytes=100) == 50
    assert data_memory.memory_limit(0.5, device_bytes=4000) == 500
    assert data_memory.memory_limit(0.5, num_processes=2, device_bytes=400) == 200  # each process has a GPU of its own
    monkeypatch.setattr(data_memory, "_cgroup_limits", lambda: [600, 1 << 60])
    assert data_memory.memory_limit(0.5) == 300


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        ("0::/job/step", {"job/memory.max": "500", "job/step/memory.max": "max"}, [500]),
        ("0::/job/step", {"memory.max": "700", "job/step/memory.max": "300"}, [300, 700]),
        ("0::/", {"memory.max": "400"}, [400]),  # a container sees its own group as the root
        ("5:cpu:/x\n4:memory:/docker/1", {"memory/memory.limit_in_bytes": "900"}, [900]),  # the group is not visible
        ("0::/job", {}, []),
        ("", {}, []),
    ],
)
def test_memory_limits_of_control_groups(tmp_path, monkeypatch, lines, files, expected):
    control_group_files.pretend(tmp_path, monkeypatch, lines, files)
    assert data_memory._cgroup_limits() == expected


def test_splits_in_memory_are_views_of_one_tensor(tmp_path):
    many_kinds(tmp_path / "set" / "a")
    many_kinds(tmp_path / "set" / "b")
    loaded = load(tmp_path / "set", tmp_path, memory_limit=IN_MEMORY)
    storages = {split.images.untyped_storage().data_ptr() for split in (loaded.train, loaded.val, loaded.test)}
    assert len(storages) == 1


def handed_over(module, loader):
    """Batches as Lightning gives them to the model."""
    return (module.transfer_batch_to_device(batch, torch.device("cpu"), 0) for batch in loader)


# --- broken images --------------------------------------------------------------------------------------------------


def numbered(folder, layout, suffix=".jpg"):
    """`layout`: folder -> number of images, each of a grey of its own with a bright corner."""
    number = 0
    for name, count in layout.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = Image.new("RGB", (64, 64), (number * 4, number * 4, number * 4))
            image.paste((255 - number, 0, 0), (48, 48, 64, 64))
            image.save(folder / name / f"{i:03d}{suffix}")
            number += 1
    return folder


KINDS = ("cut", "empty", "text", "gone", "link", "folder")


def damage(path, kind):
    content = path.read_bytes()
    path.unlink()
    if kind == "cut":
        path.write_bytes(content[:400])
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("no image\n" * 100)
    elif kind == "link":
        path.symlink_to(path.parent / "nowhere.jpg")
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize("limit", [0, IN_MEMORY])
@pytest.mark.parametrize("kind", KINDS)
def test_broken_images_are_left_out_named_and_counted(tmp_path, caplog, monkeypatch, kind, limit):
    folder = numbered(tmp_path / "set", {"a": 20, "b": 20})
    whole = load(folder, tmp_path, seed=2, val_fraction=0.2)
    if kind == "gone":  # after the folder was listed
        found = folder_layout.read(str(folder))
        monkeypatch.setattr(folder_layout, "read", lambda *_, **__: found)
    for name in ("a/003.jpg", "b/007.jpg"):
        damage(folder / name, kind)
    loaded = load(folder, tmp_path, seed=2, val_fraction=0.2, memory_limit=limit)
    splits = [loaded.train, loaded.val, loaded.test]
    ids = torch.cat([split.ids for split in splits]).sort().values.tolist()
    if kind == "folder":  # a folder with an image's name is a folder, an empty one here
        assert loaded.skipped == ()
        assert ids == list(range(38))
        return
    assert loaded.skipped == ("a/003.jpg", "b/007.jpg")
    assert loaded.replaced == ()
    assert ids == sorted(set(range(40)) - {3, 27})  # the others keep their ids
    for split in splits:
        seen = split.images_at(torch.arange(split.num_images))[:, 0, 32, 32]
        assert (seen.int() - 4 * split.ids).abs().max() <= 1
        assert (split.labels == (split.ids >= 20)).all()
    reason = {"cut": "it is cut short or damaged", "empty": "it is empty", "text": "it is not an image"}
    reason = reason.get(kind, "No such file or directory")
    assert f"2 of 40 train images cannot be read and are left out: a/003.jpg ({reason}), b/007.jpg" in caplog.text
    assert whole.train.num_images + whole.val.num_images + whole.test.num_images == 40


def test_files_that_may_not_be_read_are_left_out(tmp_path, monkeypatch):
    folder = numbered(tmp_path / "set", {"a": 10})
    original = os.open

    def refusing(path, *arguments, **options):
        if str(path).endswith("004.jpg"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return original(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refusing)
    monkeypatch.setattr(image_files, "CACHE_WORTH_SECONDS", 0)
    assert load(folder, tmp_path).skipped == ("a/004.jpg",)
    monkeypatch.undo()
    assert load(folder, tmp_path).skipped == ()  # rights get mended: such a finding is not kept


def test_errors_of_the_machine_are_not_taken_for_broken_images(tmp_path, monkeypatch):
    folder = numbered(tmp_path / "set", {"a": 10})
    loaded = load(folder, tmp_path, memory_limit=0)

    def exhausted(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(decoding.Image, "open", exhausted)
    with pytest.raises(OSError, match="Too many open files"):
        loaded.train.images_at([0])
    assert isinstance(batches.SplitDataset(loaded.train).__getitems__([0]), OSError)


@pytest.mark.parametrize("limit", [0, IN_MEMORY])
def test_an_image_that_breaks_while_decoded_gives_its_place_to_the_next_of_its_split_and_class(tmp_path, caplog, limit):
    folder = numbered(tmp_path / "set", {"train/a": 8, "train/b": 8, "test/a": 3, "test/b": 3})
    for name in ("train/b/006.jpg", "train/b/007.jpg", "test/a/001.jpg"):
        break_inside(folder / name)
    loaded = load(folder, tmp_path, val_fraction=0, memory_limit=limit)
    assert loaded.skipped == ()
    assert loaded.train.num_images == 16
    train = loaded.train.take([15, 14, 13]).images_at([0, 1, 2])[:, 0, 0, 0]  # a part knows its whole
    assert (train.int() - torch.tensor([4 * 8, 4 * 8, 4 * 13])).abs().max() <= 1
    test = loaded.test.images_at(torch.arange(6))[:, 0, 0, 0]
    assert (test.int() - 4 * torch.tensor([16, 18, 18, 19, 20, 21])).abs().max() <= 1
    assert sorted(loaded.replaced) == ["test/a/001.jpg", "train/b/006.jpg", "train/b/007.jpg"]
    assert caplog.text.count("train/b/006.jpg cannot be read") == 1


def test_what_reading_processes_find_broken_is_told_once(tmp_path, caplog):
    folder = numbered(tmp_path / "set", {".": 20})
    loaded = load(folder, tmp_path, val_fraction=0, memory_limit=0)
    break_inside(folder / "005.jpg")
    (folder / "011.jpg").unlink()
    module = datamodule.PretrainData(loaded, cfg.Augmentation(), batch_size=4, seed=0, size=16, num_workers=2)
    loader = module.train_dataloader()
    for _ in range(2):
        assert len(list(handed_over(module, loader))) == 5
    assert loaded.replaced == ("005.jpg", "011.jpg")
    assert caplog.text.count("005.jpg cannot be read (it is not an image): 006.jpg is shown in its place") == 1
    assert caplog.text.count("011.jpg cannot be read (No such file or directory)") == 1


@pytest.mark.parametrize("limit", [0, IN_MEMORY])
def test_broken_images_are_refused_by_option(tmp_path, limit):
    folder = numbered(tmp_path / "set", {"a": 20, "b": 20})
    for number in range(5):
        damage(folder / "a" / f"{number:03d}.jpg", "text")
    sentence = (
        f"dataset is {folder}, 5 of whose 40 images cannot be read: a/000.jpg, a/001.jpg, a/002.jpg and 2 "
        "more (it is not an image); "
        "allowed: whole image files, or broken_images skip."
    )
    with pytest.raises(ConfigError) as caught:
        load(folder, tmp_path, memory_limit=limit, broken_images="refuse")
    assert str(caught.value) == sentence


@pytest.mark.parametrize("num_workers", [0, 2])
def test_refusing_holds_for_images_that_break_while_decoded(tmp_path, num_workers):
    folder = numbered(tmp_path / "set", {".": 20})
    break_inside(folder / "005.jpg")
    sentence = r"1 of whose 20 images cannot be read: 005\.jpg \(it is not an image\); allowed: whole image files, or"
    with pytest.raises(ConfigError, match=sentence):
        load(folder, tmp_path, memory_limit=IN_MEMORY, broken_images="refuse")
    loaded = load(folder, tmp_path, val_fraction=0, memory_limit=0, broken_images="refuse")
    module = datamodule.PretrainData(loaded, cfg.Augmentation(), batch_size=4, seed=0, size=16, num_workers=num_workers)
    with pytest.raises(ConfigError, match=sentence) as caught:
        list(handed_over(module, module.train_dataloader()))
    assert "\n" not in str(caught.value)


def test_too_many_broken_images_are_refused(tmp_path):
    folder = numbered(tmp_path / "set", {"a": 10, "b": 10})
    for number in range(10):
        damage(folder / "a" / f"{number:03d}.jpg", "empty")
    with pytest.raises(
        ConfigError, match=r"whose train images of class a are all broken: a/000\.jpg, .*\(it is empty\)"
    ):
        load(folder, tmp_path, labelled_only=True)
    data = load(folder, tmp_path, val_fraction=0)  # a pre-training needs no label
    assert data.classes == ("a", "b") and data.train.labels.unique().tolist() == [1]
    assert {name.split("/")[0] for name in data.skipped} == {"a"}
    damage(folder / "b" / "000.jpg", "empty")
    with pytest.raises(ConfigError, match=r"11 of whose 20 images cannot be read: .*; allowed: whole image files\.$"):
        load(folder, tmp_path)


@pytest.mark.parametrize("limit", [0, IN_MEMORY])
def test_too_many_that_break_while_decoded_are_refused(tmp_path, limit):
    folder = numbered(tmp_path / "set", {".": 20})
    for number in range(11):
        break_inside(folder / f"{number:03d}.jpg")
    with pytest.raises(ConfigError, match=r"11 of whose 20 images cannot be read: 000\.jpg"):
        load(folder, tmp_path, val_fraction=0, memory_limit=limit).train.images_at(torch.arange(20))


def test_a_broken_image_found_by_a_long_search_is_kept_with_its_print(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "CACHE_WORTH_SECONDS", 0)
    folder = numbered(tmp_path / "set", {"a": 10})
    damage(folder / "a" / "004.jpg", "cut")
    assert load(folder, tmp_path, val_fraction=0).skipped == ("a/004.jpg",)
    (kept,) = (tmp_path / "data_root" / "decoded").glob("*.json")
    assert json.loads(kept.read_text()) == {"4": "it is cut short or damaged"}
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "looks_whole", lambda *_: pytest.fail("searched again"))
        patch.setattr(decoding, "decode_image", lambda *_: pytest.fail("decoded again"))
        again = load(folder, tmp_path, val_fraction=0, memory_limit=IN_MEMORY)
    assert again.skipped == ("a/004.jpg",)
    assert (again.train.images[:, 0, 0, 0].int() - 4 * again.train.ids).abs().max() <= 1
    Image.new("RGB", (64, 64)).save(folder / "a" / "004.jpg")
    assert load(folder, tmp_path).skipped == ()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_files_never_crash(tmp_path):
    """Bytes changed or cut off at random: an image, or an error that names the file."""
    generator = np.random.default_rng(0)
    many_kinds(tmp_path / "set", 18)
    sentences = []
    for path in sorted((tmp_path / "set").iterdir()):
        content = bytearray(path.read_bytes())
        for number in range(12):
            changed = content.copy()
            for place in generator.integers(0, min(len(content), 50 * 4**number), 3):
                changed[place] = generator.integers(256)
            path.write_bytes(changed[: generator.integers(len(changed))] if number % 3 == 0 else changed)
            try:
                found = decoding.decode_image(path.parent, path.name, 16)
                assert found.shape == (3, 16, 16)
            except decoding.BrokenImageError as error:
                sentences.append((str(error), f"whose file {path.name} cannot be read ({error.reason})"))
    assert len(sentences) > 50
    assert all(expected in sentence for sentence, expected in sentences)


# --- large folders --------------------------------------------------------------------------------------------------


def test_paths_are_a_compact_sequence():
    names = ["a/b.png", "", "ä/ö.jpg", "x" * 300, "\udcff.png"]
    paths = image_files.Paths(names)
    assert list(paths) == names
    assert paths[-1] == names[-1]
    assert len(image_files.Paths([])) == 0
    with pytest.raises(IndexError):
        paths[5]


def test_chunks_of_paths_are_those_of_the_whole():
    names = [f"class {number // 300}/é{number}.jpg" for number in range(700)]  # two chunks and a part of one
    paths = image_files.Paths(names)
    assert list(paths) == names
    assert paths.names(slice(256, 512)) == [os.fsencode(name) for name in names[256:512]]


def test_the_fingerprint_of_a_folder_is_that_of_its_files_one_by_one(tmp_path):
    folder = numbered(tmp_path / "set", {"a": 300, "b-ä": 3})
    names = [*folder_files.find(folder, None).images, "b-ä/gone.jpg"]
    source = image_files.FileSource(folder, names, 16, tmp_path / "kept")
    digest = hashlib.sha256(f"{folder.resolve()}|16|{source.values}|5".encode())
    for name in names:
        if (folder / name).exists():
            found = (folder / name).stat()
            digest.update(f"{found.st_mode}|{found.st_size}|{found.st_mtime_ns}|".encode())
        digest.update(f"{name}\n".encode())
    assert source._fingerprint == digest.hexdigest()[:24]


def test_what_a_folder_is_known_by_names_its_files(tmp_path):
    folder = numbered(tmp_path / "set", {"a": 300, "b": 8})
    data = load(folder, tmp_path, test_fraction=0, val_fraction=0)
    names = hashlib.sha256("".join(f"{name}\n" for name in data.folders[0].paths).encode())
    assert identity.fingerprint(data)["files"] == names.hexdigest()[:24]


def test_listing_follows_links_but_not_in_circles_and_waits_for_no_pipe(tmp_path):
    folder = numbered(tmp_path / "set", {"a": 2, "b-c/d": 1, "b/e": 1})
    (folder / "a" / "up").symlink_to(folder)
    os.mkfifo(folder / "a" / "pipe.jpg")
    (tmp_path / "aside").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "aside" / "x.PNG")
    (folder / "z").symlink_to(tmp_path / "aside")
    assert folder_files.find(folder, None).images == [
        "a/000.jpg",
        "a/001.jpg",
        "b-c/d/000.jpg",
        "b/e/000.jpg",
        "z/x.PNG",
    ]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    folder = numbered(tmp_path / "set", {"a": 2, "b": 2})
    original = os.scandir

    def refusing(path):
        if str(path).rstrip("/").endswith("set/b"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ConfigError, match=r"whose folder b cannot be read: Permission denied\."):
        load(folder, tmp_path)


# --- processes that die ---------------------------------------------------------------------------------------------


class Streaming:
    """A streamed pre-training in a process of its own, which has reached its first steps, and its readers."""

    def __init__(self, tmp_path: Path) -> None:
        folder = numbered(tmp_path / "set", {"a": 30, "b": 30})
        self.runs_dir = tmp_path / "runs"
        options = TINY_PRETRAIN | {"dataset": str(folder), "epochs": 10_000, "num_workers": 2, "memory_share": 0}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simclr", "pretrain", *flags(options), "--runs_dir", str(self.runs_dir)],
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.readers: list[psutil.Process] = []
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self.process.poll() is None:
            self.readers = psutil.Process(self.process.pid).children(recursive=True)
            if self.run is not None and (self.run.status.step or 0) > 0 and len(self.readers) == 4:
                return  # two for training and two for validation
            time.sleep(0.1)
        self.kill()
        raise AssertionError(f"it did not begin: {self.process.stdout.read()}")

    @property
    def run(self):
        return next(iter(runs.list_runs(self.runs_dir)), None) if self.runs_dir.is_dir() else None

    def left(self, seconds: float) -> list[psutil.Process]:
        """Readers that are alive after so long."""
        _, alive = psutil.wait_procs(self.readers, timeout=seconds)
        return [reader for reader in alive if reader.status() != psutil.STATUS_ZOMBIE]

    def kill(self) -> None:
        for process in [self.process, *self.readers]:
            if process.is_running() if isinstance(process, psutil.Process) else process.poll() is None:
                process.kill()
        self.process.wait(30)


@pytest.fixture
def streaming(tmp_path):
    started = Streaming(tmp_path)
    yield started
    started.kill()


def test_readers_end_when_the_trainer_is_killed(streaming):
    streaming.process.kill()
    streaming.process.wait(10)
    assert streaming.left(20) == []


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [
        (signal.SIGTERM, False),
        pytest.param(signal.SIGTERM, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, True, marks=pytest.mark.slow),
    ],
)
def test_a_stop_request_ends_a_streamed_training_cleanly(streaming, number, whole_group):
    if whole_group:  # as a terminal's Ctrl-C or a batch system does: the readers must not go before their trainer
        os.killpg(streaming.process.pid, number)
    else:
        streaming.process.send_signal(number)
    assert streaming.process.wait(60) == runs.STOPPED_EXIT_CODE, streaming.process.stdout.read()
    assert streaming.left(5) == []
    assert streaming.run.status.state == "stopped"
    assert (streaming.run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).is_file()


def test_a_killed_reader_ends_the_training_with_a_sentence(streaming):
    streaming.readers[0].kill()
    assert streaming.process.wait(60) == 1
    assert streaming.left(20) == []
    status = streaming.run.status
    assert status.state == "failed"
    assert "reads images" in status.error


def test_a_reader_obeys_its_trainer_only():
    """SIGTERM from its parent ends it, from elsewhere not."""
    reader = os.fork()
    if reader == 0:
        datamodule._init_worker(0)
        time.sleep(30)
        os._exit(3)
    try:
        time.sleep(0.5)
        for name in ("SIGTERM", "SIGINT"):
            subprocess.run([sys.executable, "-c", f"import os, signal; os.kill({reader}, signal.{name})"], check=True)
        time.sleep(0.5)
        assert os.waitpid(reader, os.WNOHANG) == (0, 0)
        os.kill(reader, signal.SIGTERM)
        time.sleep(0.5)
        assert os.waitpid(reader, os.WNOHANG) == (reader, 0)
        reader = 0
    finally:
        if reader:
            os.kill(reader, signal.SIGKILL)
            os.waitpid(reader, 0)
