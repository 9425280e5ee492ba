"""Embeddings of other encoders: read from files of every kind, matched to images, refused in one sentence."""

from __future__ import annotations

import csv
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_folder
from dashboard_fixtures import make_run

from simclr import runs
from simclr.added import adding, reading, sets
from simclr.added.sets import AddedSet
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.embeddings import references

LAYOUT = {f"{split}/{name}": 5 for split in ("train", "test") for name in "ab"}
NUM, WIDTH = 20, 6


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data") / "photos", LAYOUT)


def names_of(photos: Path) -> list[str]:
    """All images sorted by path: those of test come first."""
    return sorted(str(path.relative_to(photos)) for path in photos.rglob("*.png"))


def values(num: int = NUM, width: int = WIDTH) -> np.ndarray:
    """Each number says where it stood."""
    return (np.arange(num)[:, None] * 100 + np.arange(width)).astype(np.float32)


def write(path: Path, names: list[str] | None, x: np.ndarray) -> Path:
    """A file of embeddings as its ending says."""
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".npz":
        np.savez(path, embeddings=x, **({} if names is None else {"paths": np.array(names)}))
    elif path.suffix == ".parquet":
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1])
        pq.write_table(pa.table({"image": names, "class": ["a"] * len(x), "h": vectors}), path)
    else:
        with path.open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["label", "path", *(f"h_{number}" for number in range(x.shape[1]))])
            rows.writerows([7, name, *row] for name, row in zip(names or [], x.tolist(), strict=True))
    return path


def rows_found(added: AddedSet, photos: Path) -> dict[str, float]:
    """The first number of each image's row, by its path below the folder, read as the comparison reads it."""
    found = {}
    for split, (number, _) in added.num_images.items():
        ids = np.arange(number)
        rows = added.rows_of(split, ids)
        having = ids[rows >= 0]
        paths = [name for name in names_of(photos) if name.startswith(split)]
        features = added.features_of(split, having)
        found |= {paths[place]: float(row[0]) for place, row in zip(having, features, strict=True)}
    return found


# --- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".npz", ".parquet", ".csv"])
@pytest.mark.parametrize(
    "form",
    [
        lambda name, photos: name,
        lambda name, photos: str(photos / name),
        lambda name, photos: f"./{name}",
        lambda name, photos: f"photos/{name}",
        lambda name, photos: f"/another/machine/photos/{name}",
        lambda name, photos: os.path.splitext(name)[0],
    ],
    ids=["relative", "absolute", "dotted", "with the folder", "of another machine", "without ending"],
)
def test_rows_find_their_images_by_name_in_any_order(
    tmp_path: Path, photos: Path, ending: str, form: Callable[[str, Path], str]
) -> None:
    names, order = names_of(photos), np.random.default_rng(1).permutation(NUM)
    file = write(tmp_path / f"x{ending}", [form(names[row], photos) for row in order], values()[order])
    added, _ = adding.add(file, str(photos), "dino", tmp_path / "runs")
    assert added.num_images == {"train": (10, 10), "test": (10, 10)} and added.num_features == WIDTH
    assert rows_found(added, photos) == {name: row * 100.0 for row, name in enumerate(names)}


def test_rows_without_names_stand_in_the_order_of_the_paths_or_of_a_list(tmp_path: Path, photos: Path) -> None:
    names, folder = names_of(photos), tmp_path / "runs"
    file = write(tmp_path / "x.npy", None, values())
    added, said = adding.add(file, str(photos), "sorted", folder)
    assert rows_found(added, photos) == {name: row * 100.0 for row, name in enumerate(names)}
    assert said == ["The file names no images: row 1 is taken for test/a/000.png, row 20 for train/b/004.png."]
    order = np.random.default_rng(2).permutation(NUM)
    (tmp_path / "order.txt").write_text("\r\n".join(names[row] for row in order) + "\n")
    added, said = adding.add(file, str(photos), "listed", folder, paths=str(tmp_path / "order.txt"))
    assert rows_found(added, photos) == {names[image]: row * 100.0 for row, image in enumerate(order)} and not said


def test_one_split_alone(tmp_path: Path, photos: Path) -> None:
    file = write(tmp_path / "x.npy", None, values(10))
    added, _ = adding.add(file, str(photos), "tested", tmp_path / "runs", split="test")
    assert added.num_images == {"train": (10, 0), "test": (10, 10)}
    assert [added.is_whole(split) for split in ("auto", "test", "train", "val")] == [True, True, False, False]
    assert list(rows_found(added, photos)) == names_of(photos)[:10]


@pytest.mark.parametrize("kind", ["<f8", "<f2", ">f4", "u1", "<i8", "?"])
def test_numbers_of_every_kind_become_float32(tmp_path: Path, photos: Path, kind: str) -> None:
    x = np.random.default_rng(0).integers(0, 2, (NUM, WIDTH)).astype(kind)
    added, _ = adding.add(write(tmp_path / "x.npy", None, np.asfortranarray(x)), str(photos), "n", tmp_path / "runs")
    kept = np.load(added.folder / sets.FEATURES)
    assert kept.dtype == np.float32 and np.array_equal(kept, x.astype(np.float32))


def test_a_large_file_is_copied_block_by_block(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK_VALUES", 3 * WIDTH)
    monkeypatch.setattr(reading, "CSV_ROWS", 3)
    for ending in reading.ENDINGS:
        file = write(tmp_path / f"x{ending}", names_of(photos), values())
        added, _ = adding.add(file, str(photos), f"n{ending}", tmp_path / "runs")
        assert np.array_equal(np.load(added.folder / sets.FEATURES), values())


def test_columns_of_a_table_that_are_no_features_are_named(tmp_path: Path, photos: Path) -> None:
    """A label is no feature, though it is a number."""
    added, said = adding.add(write(tmp_path / "x.csv", names_of(photos), values()), str(photos), "n", tmp_path / "runs")
    assert added.num_features == WIDTH and said == ["Columns that are no features are left out: label."]


def test_what_embed_writes_can_be_read(tmp_path: Path, photos: Path) -> None:
    """The table of `embed --out`: full paths, classes, h as a list in Parquet and as columns in CSV."""
    from simclr.encoders import table_files

    for ending in (".csv", ".parquet"):
        with table_files.writer(tmp_path / f"h{ending}") as append:
            append({"image": [str(photos / name) for name in names_of(photos)], "class": ["a"] * NUM, "h": values()})
        added, _ = adding.add(tmp_path / f"h{ending}", str(photos), f"n{ending}", tmp_path / "runs")
        assert rows_found(added, photos)["train/a/000.png"] == 1000.0


def test_a_named_data_set_has_rows_by_number(tmp_path: Path) -> None:
    added, _ = adding.add(write(tmp_path / "x.npy", None, values(2000)), "shapes", "n", tmp_path / "runs", split="test")
    assert added.num_images == {"train": (4096, 0), "test": (2000, 2000)} and added.dataset == "shapes"
    assert added.features_of("test", np.array([7, 3]))[:, 0].tolist() == [700.0, 300.0]
    file = write(tmp_path / "x.csv", ["1999", "0"], values(2))
    added, _ = adding.add(file, "shapes", "m", tmp_path / "runs", split="test")
    assert added.rows_of("test", np.array([0, 1, 1999])).tolist() == [1, -1, 0]
    with pytest.raises(ConfigError, match=r"^split is unset, and rows name images of shapes by number; allowed: "):
        adding.add(file, "shapes", "k", tmp_path / "runs")


# --- what is refused ------------------------------------------------------------------------------------------------


class Boom:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


def spoiled(x: np.ndarray, value: float) -> np.ndarray:
    x = x.astype(np.float64)
    x[13, 2] = value
    return x


BAD_ARRAYS = {
    "objects": (np.array([[Boom()] * 2] * NUM, dtype=object), "holds Python objects, and these are never unpick"),
    "one dimension": (np.zeros(NUM), r"has 1 dimension \(20,\); allowed: 2, a row for each image"),
    "three dimensions": (np.zeros((NUM, 2, 2)), r"has 3 dimensions \(20, 2, 2\); allowed: 2"),
    "texts": (np.full((NUM, 2), "x"), "holds <U1 values; allowed: real numbers"),
    "complex": (np.zeros((NUM, 2), complex), "holds complex128 values; allowed: real numbers"),
    "no number": (spoiled(values(), np.nan), "whose row 14 holds a value that is no finite number"),
    "infinite": (spoiled(values(), -np.inf), "whose row 14 holds a value that is no finite number"),
    "too large for 32 bits": (spoiled(values(), 1e39), "whose row 14 holds a value that is no finite number in 32"),
    "too few rows": (values(19), r"has 19 rows, and .*photos has 20 images \(10 train, 10 test\); allowed: a row"),
    "a split's rows": (values(10), r"has 10 rows, and .*photos has 20 images \(10 train, 10 test\); .*split set"),
    "no rows": (np.zeros((0, 4)), "holds no rows; allowed: a row for each image"),
    "one value each": (np.zeros((NUM, 1)), "has 1 value for each image; allowed: 2 to"),
}


@pytest.mark.parametrize("ending", [".npy", ".npz"])
@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_are_no_embeddings(
    tmp_path: Path, photos: Path, case: str, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    array, sentence = BAD_ARRAYS[case]
    file = write(tmp_path / f"x{ending}", None, array)
    with pytest.raises(ConfigError, match=sentence) as caught:
        adding.add(file, str(photos), "n", tmp_path / "runs")
    assert str(caught.value).startswith(f"FILE is {file}") and str(caught.value).count("\n") == 0
    assert not (tmp_path / "unpickled").exists()
    assert os.listdir(sets.home(tmp_path / "runs")) == [] if sets.home(tmp_path / "runs").exists() else True


def test_files_that_are_not_what_they_are_called(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps([1.0]))
    (tmp_path / "cut.npy").write_bytes(write(tmp_path / "x.npy", None, values()).read_bytes()[:-4])
    for name in ("a.npz", "a.parquet", "a.csv"):
        (tmp_path / name).write_bytes(b"\xff\x00" * 50)
    (tmp_path / "x.pt").write_bytes(b"")
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")  # would be waited for
    sentences = {
        "pickle.npy": "no whole .npy file",
        "cut.npy": "no whole .npy file",
        "a.npz": "no whole .npz file",
        "a.parquet": "no whole Parquet file",
        "a.csv": "no CSV in UTF-8",
        "x.pt": "allowed: a file that ends in .npy, .npz, .parquet or .csv",
        "folder.npy": "cannot be read: it is not a regular file",
        "pipe.npy": "cannot be read: it is not a regular file",
        "absent.npy": "does not exist; allowed: a file that ends in",
    }
    for name, sentence in sentences.items():
        with pytest.raises(ConfigError, match=rf"^FILE is {tmp_path / name}[;,] .*{sentence}"):
            adding.add(tmp_path / name, str(photos), "n", tmp_path / "runs")


def test_a_file_of_more_than_is_read(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for ending in reading.ENDINGS:
        file = write(tmp_path / f"x{ending}", names_of(photos), values())
        with monkeypatch.context() as patch:
            patch.setattr(reading, "MAX_FILE_BYTES", 100)
            with pytest.raises(ConfigError, match=r"larger than 0\.0001 MB"):
                adding.add(file, str(photos), "n", tmp_path / "runs")
        with monkeypatch.context() as patch:
            patch.setattr(reading, "MAX_ROWS", 19)
            with pytest.raises(ConfigError, match=r"more than .*19 rows"):
                adding.add(file, str(photos), "n", tmp_path / "runs")


BAD_TABLES = {
    "path,a,b\nx,1,2\n": "which has no columns of features; allowed: one group such as h_0",
    "path,h_0,h_2\nx,1,2\n": "which has h_2 and no h_1; allowed: columns numbered from 0 or 1 without a gap",
    "path,h_0,h_1,z_0,z_1\nx,1,2,3,4\n": r"several groups of columns \(h_, z_\)",
    "path,h_0,h_1\nx,1\n": "whose line 2 has 2 cells and whose head has 3",
    "path,h_0,h_1\nx,1,many\n": "whose row 1 holds many where a number is expected",
    "path,h_0,h_1\nx,1,\n": "whose row 1 holds nothing where a number is expected",
    "path,h_0,h_0\nx,1,2\n": "which has the column h_0 twice",
    "path,h_0,h_1\ntrain/a/000.png,1,nan\n": "whose row 1 holds a value that is no finite number",
    "path,h_0,h_1\n": "which holds no rows",
    "": "which has no columns of features",
    "path,h_0,h_1\nnowhere.png,1,2\n": r"one row names an image that .*photos does not have, such as nowhere.png ",
    "path,h_0,h_1\ntrain/a/000.png,1,2\nx.png,1,2\n\ny,1,2\n": r"2 of 3 rows name images .*such as x.png \(row 2\)",
    "path,h_0,h_1\ntrain/a/000.png,1,2\n./train/a/000.png,1,2\n": "twice, in the rows 1 and 2; allowed: each",
    "path,h_0,h_1\n000.png,1,2\n": "which names images as 000.png, and .*photos has several of one such name",
}


@pytest.mark.parametrize("text", BAD_TABLES)
def test_tables_that_say_no_embeddings(tmp_path: Path, photos: Path, text: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ConfigError, match=rf"^FILE is .*{BAD_TABLES[text]}"):
        adding.add(tmp_path / "x.csv", str(photos), "n", tmp_path / "runs")


def test_lists_of_different_lengths_in_parquet(tmp_path: Path, photos: Path) -> None:
    names = names_of(photos)[:3]
    for rows, sentence in (
        ([[1.0, 2.0], [1.0], [1.0, 2.0]], "whose row 2 has 1 values and whose first has 2"),
        ([[1.0, 2.0], None, [1.0, 2.0]], "whose row 2 has 0 values"),
        ([[1.0, 2.0], [1.0, None], [1.0, 2.0]], "whose row 2 holds a value that is no finite number"),
    ):
        pq.write_table(pa.table({"path": names, "v": pa.array(rows, pa.list_(pa.float32()))}), tmp_path / "x.parquet")
        with pytest.raises(ConfigError, match=sentence):
            adding.add(tmp_path / "x.parquet", str(photos), "n", tmp_path / "runs")


def test_an_order_that_programs_do_not_share_needs_a_list(tmp_path: Path) -> None:
    """`a-b/` stands before `a/` where paths are sorted as texts, and behind it where folders are."""
    photos = make_folder(tmp_path / "photos", {"a": 3, "a-b": 3})
    file = write(tmp_path / "x.npy", None, values(6))
    with pytest.raises(ConfigError, match=r"programs sort in different ways .*; allowed with paths set to a list"):
        adding.add(file, str(photos), "n", tmp_path / "runs")
    (tmp_path / "order.txt").write_text("\n".join(names_of(photos)))
    adding.add(file, str(photos), "n", tmp_path / "runs", paths=str(tmp_path / "order.txt"))


def test_lists_and_splits_that_do_not_fit(tmp_path: Path, photos: Path) -> None:
    folder, order = tmp_path / "runs", tmp_path / "order.txt"
    array, table = write(tmp_path / "x.npy", None, values()), write(tmp_path / "x.csv", names_of(photos), values())
    order.write_text("\n".join(names_of(photos)[:19]))
    for file, options, sentence in (
        (array, {"paths": str(order)}, "which names 19 images, and .* has 20 rows; allowed: as many"),
        (table, {"paths": str(order)}, "names its images itself; allowed: one of them"),
        (array, {"paths": str(tmp_path / "none")}, r"^paths is .*none, which cannot be read"),
        (array, {"split": "val"}, r"^split is val, which .*photos does not have; allowed: train, test"),
        (array, {"split": "all"}, r"^split is all; allowed: train, val, test, or unset"),
        (table, {"split": "test"}, r"10 of 20 rows name images that the test images of .*photos does not have"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            adding.add(file, str(photos), "n", folder, **options)
    with pytest.raises(ConfigError, match=r"^images is .*nowhere, which is neither a data set nor a folder"):
        adding.add(array, str(tmp_path / "nowhere"), "n", folder)


def test_names_are_unique_and_mean_nothing_else(tmp_path: Path, photos: Path) -> None:
    folder = tmp_path / "runs"
    file = write(tmp_path / "x.npy", None, values())
    (folder / "a-run").mkdir(parents=True)
    (folder / "a-run" / runs.STATUS).write_text("{}")
    adding.add(file, str(photos), "dino", folder)
    for name, sentence in (
        ("DINO", "there are embeddings of that name"),
        ("pixels", "which means another model already"),
        ("a-run", "which is a run's id"),
        *((name, "allowed: a letter, then up to 39 letters") for name in ("", "..", "a/b", "2dino", "x@h", "a" * 41)),
    ):
        with pytest.raises(ConfigError, match=rf"^name is .*{sentence}"):
            adding.add(file, str(photos), name, folder)


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_a_damaged_set_is_not_there_but_can_be_deleted(tmp_path: Path, photos: Path) -> None:
    folder, file = tmp_path / "runs", write(tmp_path / "x.npy", None, values())
    added, _ = adding.add(file, str(photos), "dino", folder)
    about = json.loads((added.folder / sets.ABOUT).read_text())
    for change in ({"num_images": {"train": [1]}}, {"dataset": 3}, {"created": "x"}, {"num_features": None}):
        (added.folder / sets.ABOUT).write_text(json.dumps(about | change))
        assert sets.find_all(folder) == [] and sets.find("dino", folder) is None
    (added.folder / sets.ABOUT).write_text(json.dumps(about))
    (added.folder / sets.rows_file("test")).write_bytes(b"no array")
    with pytest.raises(ConfigError, match=r"^The embeddings dino in .* are damaged; allowed: adding them again"):
        added.features_of("test", np.arange(3))
    (added.folder / sets.ABOUT).unlink()
    sets.delete("dino", folder)
    assert os.listdir(sets.home(folder)) == []


def test_images_that_changed_are_noticed(tmp_path: Path) -> None:
    photos = make_folder(tmp_path / "photos", LAYOUT)
    added, _ = adding.add(write(tmp_path / "x.npy", None, values()), str(photos), "dino", tmp_path / "runs")
    added.check_images()
    (photos / "test/a/000.png").rename(photos / "test/a/0000.png")  # all others keep their numbers here
    with pytest.raises(ConfigError, match=r"photos has other files than when the embeddings dino were added"):
        added.features_of("test", np.arange(3))


def test_the_commands(tmp_path: Path, photos: Path, tiny_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "x.npy", None, values())
    assert main(["embeddings"]) == 0 and "No embeddings were added" in capsys.readouterr().out
    assert main(["add-embeddings", str(file), "--images", str(photos), "--name", "dino"]) == 0
    said = capsys.readouterr().out
    assert f"dino: 10 of 10 train and 10 of 10 test images of {photos}, 6 features" in said
    assert runs.list_runs(tiny_runs) == []  # whoever lists runs does not meet it
    assert main(["embeddings"]) == 0 and "dino: 10 of 10 train" in capsys.readouterr().out
    assert main(["add-embeddings", str(file), "--images", str(photos), "--name", "dino"]) == 2
    assert main(["add-embeddings", str(file), "--name", "x"]) == 2
    assert "images is unset; allowed: the folder of the images." in capsys.readouterr().err
    assert main(["embeddings", "--delete", "dinо"]) == 2  # a Cyrillic o
    assert main(["embeddings", "--delete", "dino"]) == 0 and sets.find_all(tiny_runs) == []


def test_two_sets_need_a_run_on_their_images_but_none_beside_them(tmp_path: Path) -> None:
    photos = make_folder(tmp_path / "photos", {f"{split}/{name}": 6 for split in ("train", "test") for name in "ab"})
    folder = tmp_path / "runs"
    np.save(tmp_path / "file.npy", np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32))
    for name in ("dino", "clip"):
        adding.add(tmp_path / "file.npy", str(photos), name, folder, split="test")
    make_run(folder, dataset="shapes")
    with pytest.raises(ConfigError, match=r"^dino are embeddings of images of .*, on which no run was trained; "):
        references.resolve_encoders(["dino", "clip"], folder)
    first = make_run(folder, dataset=str(photos))
    models = references.resolve_encoders(["dino", "clip"], folder)
    assert [(model.name, model.run.id) for model in models] == [("dino", first.id), ("clip", first.id)]
    for names in (["dino"], ["dino", "clip", "untrained"]):  # one alone, and a network that nobody has named
        with pytest.raises(ConfigError, match="allowed: at least one run"):
            references.resolve_encoders(names, folder)
