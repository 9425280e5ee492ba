"""Copies of chosen images: the right pixels under the right names, and nothing written over."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_folder
from PIL import Image
from trainings import trained_run

from simclr.config import ConfigError
from simclr.data import shapes
from simclr.embeddings import embed
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import Embedding
from simclr.image_sets import copies, files
from simclr.runs import Run

CHOICE = ImageSelection(num_images=40)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Embedding, Path]:
    root = tmp_path_factory.mktemp("photos")
    folder = make_folder(root / "photos", {f"{split}/{name}": 30 for split in ("train", "test") for name in "ab"})
    run = trained_run(root / "runs", dataset=str(folder))
    return run, embed.compute([EncoderRef(run)], CHOICE, [])[0], folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Embedding]:
    run = trained_run(tmp_path_factory.mktemp("drawn"))
    return run, embed.compute([EncoderRef(run)], CHOICE, [])[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_those_of_the_images_and_copied_by_class_as_they_are(
    photos: tuple[Run, Embedding, Path], tmp_path: Path
) -> None:
    run, embedding, folder = photos
    known = files.files_of(embedding, run)
    assert known is not None and known.folder is not None and len(known.paths) == 40
    assert embedding.labels is not None
    for row, path in enumerate(known.paths):
        assert path.startswith(f"test/{embedding.classes[embedding.labels[row]]}/")
    rows = np.array([0, 5, 39])
    seen: list[float] = []
    assert copies.copy_images(embedding, rows, tmp_path / "out", run, known, progress=seen.append) == 3
    expected = {
        f"{embedding.classes[embedding.labels[row]]}/{Path(known.paths[row]).name}": (
            folder / known.paths[row]
        ).read_bytes()
        for row in rows
    }
    assert contents(tmp_path / "out") == expected
    assert seen[-1] == 1 and seen == sorted(seen)
    assert os.listdir(tmp_path) == ["out"]


def test_links_lead_to_the_files_and_copies_of_one_name_are_both_there(
    photos: tuple[Run, Embedding, Path], tmp_path: Path
) -> None:
    run, embedding, folder = photos
    known = files.files_of(embedding, run)
    assert known is not None
    copies.copy_images(embedding, np.array([1, 2]), tmp_path / "links", run, known, links=True)
    found = sorted(path for path in (tmp_path / "links").rglob("*") if path.is_symlink())
    assert [path.resolve() for path in found] == sorted((folder / known.paths[row]).resolve() for row in (1, 2))
    twice = replace(known, paths=[known.paths[0]] * len(known.paths))
    lightness = np.full(40, embedding.measured["lightness"][0])
    same = replace(embedding, labels=np.zeros(40, np.int64), measured={**embedding.measured, "lightness": lightness})
    copies.copy_images(same, np.array([0, 1]), tmp_path / "twice", run, twice)
    name = Path(known.paths[0]).name
    assert sorted(contents(tmp_path / "twice")) == sorted([f"a/{name}", f"a/{int(embedding.ids[1])}-{name}"])


def test_images_of_a_named_data_set_are_written_as_png_with_their_own_pixels(
    drawn: tuple[Run, Embedding], tmp_path: Path
) -> None:
    run, embedding = drawn
    assert files.files_of(embedding, run) is None
    rows = np.arange(0, 40, 7)
    copies.copy_images(embedding, rows, tmp_path / "out", run, None)
    expected = shapes.generate("test", int(embedding.ids.max()) + 1, 16)
    assert embedding.labels is not None
    for row in rows:
        number = int(embedding.ids[row])
        found = list((tmp_path / "out" / embedding.classes[embedding.labels[row]]).glob(f"*{number}.png"))
        pixels = [np.asarray(Image.open(path)) for path in found if int(path.stem) == number]
        np.testing.assert_array_equal(pixels[0], expected.images[number].transpose(1, 2, 0))
    assert len(contents(tmp_path / "out")) == len(rows)
    with pytest.raises(ConfigError, match="Links need files"):
        copies.copy_images(embedding, rows, tmp_path / "links", run, None, links=True)


def test_nothing_that_is_there_is_written_over(photos: tuple[Run, Embedding, Path], tmp_path: Path) -> None:
    run, embedding, _ = photos
    known, rows = files.files_of(embedding, run), np.array([0])
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="which holds files already; allowed: the full path of a new or empty folder"):
        copies.target_of(str(taken))
    with pytest.raises(ConfigError, match="which holds files already"):  # also where it was filled meanwhile
        copies.copy_images(embedding, rows, taken, run, known)
    assert contents(taken) == {"mine.txt": b"mine"} and os.listdir(tmp_path) == ["taken"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert copies.target_of(f" {empty}/ ") == empty
    copies.copy_images(embedding, rows, empty, run, known)
    assert len(contents(empty)) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("chosen", "no full path"),
        ("../x", "no full path"),
        ("/a\0b", "no path"),
        ("/nowhere/x", "no folder"),
    ],
)
def test_a_path_that_cannot_be_gets_one_sentence(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"^folder is .*{why}.*; allowed: the full path of a new or empty folder"):
        copies.target_of(text)


def test_files_and_links_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name, what in (("file", "a file"), ("link", "a link")):
        with pytest.raises(ConfigError, match=f"which is {what}; allowed"):
            copies.target_of(str(tmp_path / name))


def test_a_folder_that_has_changed_is_noticed_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos", {f"{split}/{name}": 12 for split in ("train", "test") for name in "ab"})
    run = trained_run(tmp_path / "runs", dataset=str(folder))
    embedding = embed.compute([EncoderRef(run)], CHOICE, [])[0]
    known = files.files_of(embedding, run)
    assert known is not None
    Image.new("RGB", (20, 20), "white").save(folder / known.paths[3])
    with pytest.raises(ConfigError, match="missing, broken or another image than on the maps"):
        copies.copy_images(embedding, np.arange(8), tmp_path / "out", run, known)
    assert sorted(os.listdir(tmp_path)) == ["photos", "runs"]
    first = folder / known.paths[0]
    Image.new("RGB", (20, 20), "black").save(first.with_name("0-before.png"))  # every number of this class moves
    Image.new("RGB", (20, 20), "white").save(first.with_name("0-before2.png"))
    assert files.files_of(embedding, run) is None


@pytest.mark.parametrize(
    ("name", "folder"),
    [("a/b", "a_b"), ("..", "_"), ("", "_"), (" cat ", "cat"), ("a\nb", "a_b"), ("x" * 300, "x" * 100)],
)
def test_a_class_is_a_folder_whatever_its_name(
    drawn: tuple[Run, Embedding], name: str, folder: str, tmp_path: Path
) -> None:
    _, embedding = drawn
    named = replace(embedding, provenance=embedding.provenance | {"classes": [name] * 10})
    assert copies.class_folder(named, 0) == folder
    assert copies.class_folder(replace(named, labels=None), 0) == ""
    assert copies.class_folder(replace(named, labels=np.full(40, -1)), 0) == copies.NO_CLASS
