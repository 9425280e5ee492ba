"""Copies of what users give: only images, never over another file or outside, and nothing is left of what failed."""

import io
import os
import time
import zipfile
from collections import Counter, namedtuple

import numpy as np
import pytest
from PIL import Image

from simclr.config import ConfigError
from simclr.data.own_images import given_files, uploads
from simclr.data.own_images.given_files import HIDDEN, OTHER, OUTSIDE, of_bytes
from simclr.data.own_images.uploads import DAMAGED, NOT_READABLE, TOO_LARGE


def png(color=(200, 30, 30), side=12):
    stream = io.BytesIO()
    Image.new("RGB", (side, side), color).save(stream, "png")
    return stream.getvalue()


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def left(root):
    """All that lies where uploads go."""
    return sorted(os.listdir(root / uploads.FOLDER)) if (root / uploads.FOLDER).exists() else []


def test_images_are_copied_with_their_folders_and_put_in_place(tmp_path):
    shares = []
    files = [of_bytes("cat/1.png", png()), of_bytes("dog/1.png", png((0, 0, 9)))]
    draft = uploads.copy_images(files, "my photos", tmp_path, shares.append)
    assert draft.num_images == 2
    assert draft.left_out_text == ""
    assert shares[-1] == 1.0
    folder = uploads.keep(draft, tmp_path)
    assert folder == tmp_path / "uploads" / "my photos"
    assert tree(folder) == ["cat/1.png", "dog/1.png"]
    assert (folder / "cat/1.png").read_bytes() == png()
    assert left(tmp_path) == ["my photos"]


def test_what_is_no_image_or_leads_out_is_left_out_and_counted(tmp_path):
    files = [
        of_bytes("1.png", png()),
        of_bytes("../2.png", png()),
        of_bytes("/tmp/3.png", png()),
        of_bytes("words.jpg", b"words"),
        of_bytes("empty.png", b""),
        of_bytes("a.txt", b"words"),
        of_bytes(".DS_Store", b""),
        of_bytes("val_annotations.txt", b"1.png\tcat"),
    ]
    draft = uploads.copy_images(files, "x", tmp_path)
    assert tree(draft.folder) == ["1.png", "val_annotations.txt"]
    assert draft.num_images == 1
    assert draft.left_out == Counter({OUTSIDE: 2, NOT_READABLE: 2, OTHER: 1, HIDDEN: 1})
    assert draft.left_out_text == (
        "Not copied: 1 file (hidden), 1 file (no image), 2 files (not readable as an image), "
        "2 files (the path leads out of the folder)."
    )
    assert tree(tmp_path) == sorted(f"uploads/{draft.folder.name}/{name}" for name in tree(draft.folder))


def test_files_of_one_name_all_stay(tmp_path):
    shades = [png((shade, 0, 0)) for shade in (1, 2, 3, 4)]
    names = ["a/1.png", "a/1.png", "A/1.PNG", "a/1-2.png"]
    draft = uploads.copy_images([of_bytes(*pair) for pair in zip(names, shades, strict=True)], "x", tmp_path)
    assert draft.num_images == 4
    assert sorted(path.read_bytes() for path in draft.folder.rglob("*.*")) == sorted(shades)


def test_a_file_and_a_folder_of_one_name_both_stay(tmp_path):
    files = [of_bytes(name, png()) for name in ("a.png", "a.png/1.png", "b.png/1.png", "b.png")]
    draft = uploads.copy_images(files, "x", tmp_path)
    assert tree(draft.folder) == ["a-2.png/1.png", "a.png", "b-2.png", "b.png/1.png"]


@pytest.mark.parametrize("files", [[], [of_bytes("a.txt", b"x")], [of_bytes("1.png", b"x"), of_bytes("2.png", b"")]])
def test_without_an_image_it_is_a_sentence_and_nothing_is_left(tmp_path, files):
    with pytest.raises(ConfigError, match=r"^There is no image among what was given; allowed: whole image files\."):
        uploads.copy_images(files, "x", tmp_path)
    assert left(tmp_path) == []


def test_what_is_too_much_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "MAX_FILES", 1)
        with pytest.raises(ConfigError, match=r"^2 files were given; allowed: up to 1\.$"):
            uploads.copy_images([of_bytes("1.png", png())] * 2, "x", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "MAX_BYTES", 100)
        with pytest.raises(ConfigError, match=r"^The files have"):
            uploads.copy_images([of_bytes("1.png", png())] * 2, "x", tmp_path)
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(uploads.shutil, "disk_usage", lambda path: usage(9, 9, uploads.FREE_BYTES + 10))
        with pytest.raises(ConfigError, match="has room for 0 MiB"):
            uploads.copy_images([of_bytes("1.png", png())], "x", tmp_path)
    assert left(tmp_path) == []
    monkeypatch.setattr(uploads, "MAX_FILE_BYTES", 100)
    draft = uploads.copy_images([of_bytes("big.png", png(side=400)), of_bytes("1.png", png(side=1))], "x", tmp_path)
    assert draft.left_out == Counter({TOO_LARGE: 1})


def lying_archive():
    """An entry of a megabyte whose list of files says that it has a hundred bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("bomb.png", b"\0" * (1 << 20))
        target.writestr("1.png", png())
    content = bytearray(stream.getvalue())
    at = content.find(b"PK\x01\x02")
    content[at + 24 : at + 28] = (100).to_bytes(4, "little")
    return io.BytesIO(content)


def test_an_entry_that_lies_about_its_size_or_is_damaged_is_left_out(tmp_path):
    draft = uploads.copy_images(given_files.of_archive("x.zip", lying_archive()), "x", tmp_path)
    assert tree(draft.folder) == ["1.png"]
    assert draft.left_out == Counter({DAMAGED: 1})
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as target:
        target.writestr("bad.png", png(side=64))
        target.writestr("1.png", png())
    content = bytearray(stream.getvalue())
    content[content.find(b"IDAT") + 8] ^= 0xFF  # its checksum differs
    draft = uploads.copy_images(given_files.of_archive("x.zip", io.BytesIO(content)), "x", tmp_path)
    assert draft.left_out == Counter({DAMAGED: 1})


def test_the_bytes_are_counted_whatever_is_said_of_their_number(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_FILE_BYTES", 2000)
    files = [given_files.GivenFile("big.png", 5, lambda: io.BytesIO(png(side=900))), of_bytes("1.png", png(side=1))]
    assert len(files[0].open().read()) > 2000
    draft = uploads.copy_images(files, "x", tmp_path)
    assert (tree(draft.folder), draft.left_out) == (["1.png"], Counter({TOO_LARGE: 1}))


def test_a_copy_that_breaks_off_leaves_nothing(tmp_path):
    def fail(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        uploads.copy_images([of_bytes("1.png", png())], "x", tmp_path, fail)
    assert left(tmp_path) == []


def test_a_data_root_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        uploads.copy_images([of_bytes("1.png", png())], "x", tmp_path / "file")


def test_no_folder_is_written_over_and_a_lost_copy_is_a_sentence(tmp_path):
    first, second = (uploads.copy_images([of_bytes("1.png", png())], "x", tmp_path) for _ in range(2))
    assert uploads.keep(first, tmp_path).name == "x"
    assert uploads.keep(second, tmp_path).name == "x-2"
    third = uploads.copy_images([of_bytes("1.png", png())], "x", tmp_path)
    uploads.discard(third)
    with pytest.raises(ConfigError, match="not there any more"):
        uploads.keep(third, tmp_path)
    assert left(tmp_path) == ["x", "x-2"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [("../../etc", "etc"), ("", "images"), ("...", "images"), (".ssh", "ssh"), ("a/b", "a_b"), ("字" * 99, "字" * 20)],
)
def test_the_folder_is_called_as_no_path_is(name, kept):
    assert uploads.clean_name(name) == kept


def test_copies_that_nobody_uses_are_removed_later(tmp_path):
    home = tmp_path / uploads.FOLDER
    host, free_pid = uploads._host(), 2**22 + 1  # above what Linux gives out
    mine = uploads.copy_images([of_bytes("1.png", png())], "x", tmp_path)
    old, dead, elsewhere = (
        home / f".draft-{name}-aaaaaaaa"
        for name in (f"{host}-{os.getpid()}", f"{host}-{free_pid}", f"other-{free_pid}")
    )
    for folder in (old, dead, elsewhere, home / ".draft-words", home / "kept"):
        folder.mkdir()
        (folder / "1.png").write_bytes(png())
    past = time.time() - uploads.OLD_SECONDS - 60
    os.utime(old, (past, past))
    uploads.remove_stale(tmp_path)
    assert left(tmp_path) == sorted([mine.folder.name, elsewhere.name, ".draft-words", "kept"])


def test_a_picture_of_too_many_pixels_is_no_image(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(np.zeros((1, 1), dtype=np.uint8)).save(stream, "png")
    content = bytearray(stream.getvalue())
    at = content.find(b"IHDR")
    content[at + 4 : at + 12] = (60_000).to_bytes(4, "big") * 2
    import zlib

    content[at + 17 : at + 21] = zlib.crc32(content[at : at + 17]).to_bytes(4, "big")
    draft = uploads.copy_images([of_bytes("bomb.png", bytes(content)), of_bytes("1.png", png())], "x", tmp_path)
    assert draft.left_out == Counter({NOT_READABLE: 1})
