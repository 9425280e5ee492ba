"""Names and archives that users give: what is kept of hostile ones."""

import io
import stat
import struct
import zipfile

import pytest

from simclr.config import ConfigError
from simclr.data.own_images import given_files
from simclr.data.own_images.given_files import DEEP, HIDDEN, MAX_NAME_BYTES, OTHER, OUTSIDE, SafeNames


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("cat/1.png", "cat/1.png"),
        ("./photos//cat/1.PNG", "photos/cat/1.PNG"),
        ("a b/é.jpg", "a b/é.jpg"),
        ("a\nb/1\x00.png", "a_b/1_.png"),
        ("caf\udce9/1.png", "caf_/1.png"),
        ("con:/<x>.png", "con_/_x_.png"),
        ("cat. /1.png", "cat/1.png"),
        ("back\\slash.png", "back_slash.png"),
        ("val/val_annotations.txt", "val/val_annotations.txt"),
    ],
)
def test_a_name_is_kept_as_far_as_it_is_safe(name, path):
    assert SafeNames().path(name) == (path, "")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../1.png", OUTSIDE),
        ("a/../../1.png", OUTSIDE),
        ("/etc/1.png", OUTSIDE),
        ("C:/x/1.png", OUTSIDE),
        ("c:1.png", OUTSIDE),
        ("", OUTSIDE),
        ("/", OUTSIDE),
        (".", OUTSIDE),
        (".hidden.png", HIDDEN),
        ("a/.git/1.png", HIDDEN),
        ("__MACOSX/a/1.png", HIDDEN),
        ("a/notes.txt", OTHER),
        ("png", OTHER),
        ("x" * 99, OTHER),
        ("a/" * 13 + "1.png", DEEP),
    ],
)
def test_a_name_that_is_not_kept_says_why(name, why):
    assert SafeNames().path(name) == ("", why)


def test_a_long_name_is_cut_to_what_systems_take_and_keeps_its_ending():
    for sign in ("x", "字"):
        path, _ = SafeNames().path(f"{sign * 4000}/{sign * 4000}.jpeg")
        folder, name = path.split("/")
        assert len(folder.encode()) <= MAX_NAME_BYTES
        assert len(name.encode()) <= MAX_NAME_BYTES
        assert name.endswith(f"{sign}.jpeg")


def test_two_folders_stay_two_though_their_safe_names_are_one():
    """Else two classes would be one."""
    names = SafeNames()
    kept = [names.path(name)[0] for name in ("ca:ts/1.png", "ca?ts/1.png", "ca?ts/x/1.png", "CA_TS/1.png")]
    assert kept == ["ca_ts/1.png", "ca_ts-2/1.png", "ca_ts-2/x/1.png", "CA_TS-3/1.png"]


def given(*names):
    return [given_files.of_bytes(name, b"") for name in names]


def test_the_folder_around_all_files_is_taken_off_and_names_them():
    top, files = given_files.without_top(given("photos/cat/1.png", "photos/dog/1.png", "photos/.DS_Store"))
    assert top == "photos"
    assert [file.name for file in files] == ["cat/1.png", "dog/1.png", ".DS_Store"]
    for names in (("cat/1.png", "dog/1.png"), ("photos/1.png", "2.png"), ("../1.png", "../2.png"), ("/1.png",), ()):
        top, files = given_files.without_top(given(*names))
        assert top == ""
        assert [file.name for file in files] == list(names)


def archive(**contents):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in contents.items():
            target.writestr(name, content)
    stream.seek(0)
    return stream


def test_an_archive_gives_its_files_and_their_content():
    files = given_files.of_archive("x.zip", archive(**{"a/1.png": b"one", "b/": b"", "../2.png": b"two"}))
    assert [(file.name, file.size) for file in files] == [("a/1.png", 3), ("../2.png", 3)]
    assert [file.open().read() for file in files] == [b"one", b"two"]


def test_links_in_an_archive_are_left_out_and_backslashes_of_windows_are_folders():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        link = zipfile.ZipInfo("link.png")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        target.writestr(link, "/etc/passwd")
        for system in (0, 3):
            entry = zipfile.ZipInfo(f"cat\\{system}.png")
            entry.create_system = system
            target.writestr(entry, b"x")
    assert [file.name for file in given_files.of_archive("x.zip", stream)] == ["cat/0.png", "cat\\3.png"]


@pytest.mark.parametrize("content", [b"", b"words", b"PK\x05\x06", b"PK\x03\x04" + b"\0" * 500])
def test_what_is_no_archive_is_a_sentence(content):
    with pytest.raises(ConfigError, match=r"^x\.zip is no \.zip archive, or a damaged one; allowed: "):
        given_files.of_archive("x.zip", io.BytesIO(content))


def test_a_damaged_list_of_files_is_a_sentence():
    content = bytearray(archive(**{"1.png": b"x" * 100}).getvalue())
    at = content.rfind(b"PK\x01\x02")
    content[at : at + 4] = b"XXXX"
    with pytest.raises(ConfigError, match="damaged"):
        given_files.of_archive("x.zip", io.BytesIO(content))


def test_bombs_are_refused_before_anything_is_unpacked(monkeypatch):
    monkeypatch.setattr(given_files, "MAX_BYTES", 1 << 20)
    with pytest.raises(ConfigError, match=r"unpacks to .* GiB"):
        given_files.of_archive("x.zip", archive(**{f"{n}.png": b"\0" * (1 << 19) for n in range(3)}))
    monkeypatch.setattr(given_files, "MAX_FILES", 2)
    with pytest.raises(ConfigError, match="holds 3 files"):
        given_files.of_archive("x.zip", archive(**{f"{n}.png": b"" for n in range(3)}))
    stream = archive(**{"1.png": b""})
    content = bytearray(stream.getvalue())
    at = content.rfind(b"PK\x05\x06")
    content[at + 12 : at + 16] = struct.pack("<I", 1 << 30)  # a list of files of 1 GiB
    with pytest.raises(ConfigError, match="more than 2 files"):
        given_files.of_archive("x.zip", io.BytesIO(content))


def test_a_locked_archive_is_a_sentence():
    content = bytearray(archive(**{"1.png": b"x"}).getvalue())
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ConfigError, match="locked with a password"):
        given_files.of_archive("x.zip", io.BytesIO(content))


def test_what_uploads_are_called():
    assert given_files.name_of(["cats.zip"]) == "cats"
    assert given_files.name_of(["a.png"]) == "images"
    assert given_files.name_of(["a.zip", "b.zip"]) == "images"
