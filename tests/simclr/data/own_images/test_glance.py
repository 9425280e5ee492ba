"""A few images of a folder: of all classes, without waiting for what is no file or takes long."""

import os

import numpy as np
import pytest
from conftest import make_folder
from PIL import Image

from simclr.data.folders import folder_layout
from simclr.data.folders.folder_layout import SplitFiles
from simclr.data.folders.pixel_values import PixelValues
from simclr.data.own_images import glance


def split(**counts):
    paths = [f"{name}/{number}" for name, count in counts.items() for number in range(count)]
    return SplitFiles("", paths, [path.split("/")[0] for path in paths])


def test_each_class_is_shown_as_far_as_there_is_room():
    assert [label for _, label in glance.chosen(split(a=9, b=9, c=9), 8)] == list("aaabbbcc")
    assert [label for _, label in glance.chosen(split(a=1, b=9), 8)] == list("abbbb")
    many = glance.chosen(split(**{f"c{number:02d}": 5 for number in range(40)}), 8)
    assert len({label for _, label in many}) == 8
    assert many[0][1] == "c02"
    assert len(set(glance.chosen(split(a=30, b=30), 8))) == 8


def test_images_without_classes_are_spread_over_all():
    paths = [str(number) for number in range(100)]
    found = [int(path) for path, label in glance.chosen(SplitFiles("", paths, None), 4)]
    assert found == [12, 37, 62, 87]
    assert glance.chosen(SplitFiles("", ["0"], None), 4) == [("0", "")]


def test_what_is_shown_is_what_is_in_the_files(tmp_path):
    make_folder(tmp_path, {"cat": 2, "dog": 2}, side=96)
    found = glance.glance(folder_layout.read(str(tmp_path)))
    assert [(item.path, item.label) for item in found] == [
        ("cat/000.png", "cat"),
        ("cat/001.png", "cat"),
        ("dog/000.png", "dog"),
        ("dog/001.png", "dog"),
    ]
    for item in found:
        np.testing.assert_array_equal(item.pixels, np.asarray(Image.open(tmp_path / item.path)))


@pytest.mark.timeout(20)
def test_broken_huge_and_odd_files_are_passed_over(tmp_path, monkeypatch):
    make_folder(tmp_path, {"a": 1}, side=32)
    (tmp_path / "a" / "bad.png").write_bytes(b"bad")
    Image.new("RGB", (300, 300)).save(tmp_path / "a" / "large.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a" / "pipe.png").symlink_to(tmp_path / "pipe")  # opening it would wait for ever
    (tmp_path / "a" / "gone.png").symlink_to("nowhere")
    monkeypatch.setattr(glance, "MAX_PIXELS", 50_000)
    layout = folder_layout.read(str(tmp_path))
    assert len(layout.splits["train"].paths) == 5
    assert [item.path.rsplit("/", 1)[-1] for item in glance.glance(layout)] == ["000.png"]


def test_deep_values_are_shown_in_the_range_that_they_use_or_that_is_given(tmp_path):
    ramp = np.linspace(0, 4095, 96 * 96).reshape(96, 96).astype(np.uint16)
    for number in range(2):
        Image.fromarray(ramp).save(tmp_path / f"{number}.png")
    layout = folder_layout.read(str(tmp_path))
    assert glance.glance(layout)[0].pixels.max() == 255
    assert glance.glance(layout, PixelValues(0, 65535))[0].pixels.max() == 16


def test_it_ends_when_its_time_is_over(tmp_path):
    make_folder(tmp_path, {"a": 5})
    assert glance.glance(folder_layout.read(str(tmp_path)), seconds=0) == []
