"""Folders that a user walks through: what is in them, whatever their names, links and rights are."""

import contextlib
import itertools
import os
import time
from pathlib import Path

import pytest
from conftest import make_folder

from simclr.data.own_images import browsing


def test_folders_are_sorted_and_hidden_ones_and_litter_left_out(tmp_path):
    for name in ("b", "A", "c", ".git", "__MACOSX", "lost+found", "found.000", "@GMT-2026.01.01-00.00.00"):
        (tmp_path / name).mkdir()
    make_folder(tmp_path, {".": 3})
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    found = browsing.look(tmp_path)
    assert found.folders == ["A", "b", "c"]
    assert (found.num_images, found.is_whole, found.problem) == (3, True, "")


def test_a_name_that_is_no_text_is_listed_and_entered(tmp_path):
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    (name,) = browsing.look(tmp_path).folders
    inner = browsing.enter(tmp_path, name)
    assert os.fsencode(inner.name) == b"caf\xe9"
    assert browsing.look(inner).problem == ""


def test_links_to_themselves_and_to_nowhere_are_no_folders_and_links_to_above_do_not_go_round(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("not-there")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "back").symlink_to(tmp_path)
    assert browsing.look(tmp_path).folders == ["inner"]
    folder = tmp_path
    for _ in range(50):
        folder = browsing.enter(browsing.enter(folder, "inner"), "back")
    assert folder == Path(os.path.realpath(tmp_path))


def test_what_cannot_be_read_is_a_sentence(tmp_path, monkeypatch):
    assert "cannot be read: No such file" in browsing.look(tmp_path / "gone").problem
    (tmp_path / "file").write_text("x")
    assert "cannot be read: Not a directory" in browsing.look(tmp_path / "file").problem
    assert browsing.look(Path("a\0b")).problem

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)  # root, who may run this, reads everything
    assert browsing.look(tmp_path).problem.endswith("cannot be read: Permission denied.")


class Entry:
    def __init__(self, number):
        self.name, self.path = f"{number:06d}", f"/big/{number:06d}"

    def is_dir(self):
        return True


@contextlib.contextmanager
def endless(path):
    """A folder whose entries never end."""
    yield map(Entry, itertools.count())


def test_a_folder_without_end_is_looked_at_for_a_moment_only(monkeypatch):
    monkeypatch.setattr(os, "scandir", endless)
    start = time.monotonic()
    found = browsing.look(Path("/big"), seconds=0.05)
    assert time.monotonic() - start < 2
    assert not found.is_whole
    assert found.folders[0] == "000000"


@pytest.mark.parametrize("text", ["", "  ", "/no/such", "a\0b", "x" * 5000, "~nobody-of-this-name/x"])
def test_what_is_typed_and_is_no_folder_is_none(text):
    assert browsing.typed(text) is None


def test_a_typed_path_is_full_and_has_no_way_back_in_it(tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path)
    assert browsing.typed(" inner ") == tmp_path / "inner"
    assert browsing.typed(f"{tmp_path}/inner/../inner/") == tmp_path / "inner"
    assert browsing.up(tmp_path / "inner") == tmp_path
    assert browsing.up(Path("/")) is None
    assert browsing.nearest(tmp_path / "inner" / "gone" / "x") == tmp_path / "inner"


def test_places_are_home_the_data_and_the_newest_runs_folders_once_each(tmp_path, monkeypatch):
    for name in ("home", "data", "one/photos", "two/photos", "three", "four", "five"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    datasets = [f"{tmp_path}/{name}" for name in ("one/photos", "home", "gone", "two/photos", "three", "four", "five")]
    found = browsing.places(tmp_path / "data", ["cifar10", "", "a\0b", *datasets])
    assert found == {
        "Home": tmp_path / "home",
        "Data folder": tmp_path / "data",
        "photos": tmp_path / "one/photos",
        f"{tmp_path}/two/photos": tmp_path / "two/photos",
        "three": tmp_path / "three",
    }
    assert "Data folder" not in browsing.places(tmp_path / "not-made-yet", [])
