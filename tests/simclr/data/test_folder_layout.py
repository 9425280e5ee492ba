"""How folders of images are read, what is said of it, and those that hold nothing to learn from."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from simclr.config import ConfigError, PretrainConfig
from simclr.data import loading
from simclr.data.folders import decoding, folder_files, folder_layout
from simclr.lifecycle import prepare

generator = np.random.default_rng(0)


def make(root, layout, side=8):
    """`layout`: path of a file, or of a folder with its number of images."""
    for name, count in layout.items():
        names = (
            [name]
            if name.endswith((".png", ".csv", ".txt"))
            else [f"{name}/{number:03d}.png" for number in range(count)]
        )
        for path in names:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / path) if path.endswith(".png") else (root / path).touch()
    return root


CASES = {
    "training and testing": (
        {"Training/glioma": 12, "Training/none": 8, "Testing/glioma": 3, "Testing/none": 2},
        "Read as 2 classes (glioma 12, none 8): 18 images from Training/ train, 2 from Training/ validate and 5 "
        "from Testing/ test.",
    ),
    "three letters": (
        {"trn/a": 5, "trn/b": 5, "validate/a": 2, "validate/b": 2, "tst/a": 1, "tst/b": 1},
        "Read as 2 classes (a 5, b 5): 10 images from trn/ train, 4 from validate/ validate and 2 from tst/ test.",
    ),
    "beside plain words": (
        {"training_set/a": 5, "training_set/b": 5, "TestImages/a": 2, "TestImages/b": 2, "readme.txt": 1},
        "Read as 2 classes (a 5, b 5): 8 images from training_set/ train, 2 from training_set/ validate and 4 from "
        "TestImages/ test. Left out: 1 file of other kinds (.txt).",
    ),
    "beside one word in all, and twice": (
        {"seg_train/seg_train/a": 5, "seg_train/seg_train/b": 5, "seg_test/seg_test/a": 4, "seg_pred/seg_pred": 3}
        | {"seg_test/seg_test/b": 1},
        "Read as 2 classes (a 5, b 5): 8 images from seg_train/seg_train/ train, 2 from seg_train/seg_train/ validate "
        "and 5 from seg_test/seg_test/ test. Left out: 3 images in seg_pred/, which is no folder of a split.",
    ),
    "a folder for images in each split": (
        {"train/images/a": 5, "train/images/b": 5, "val/images/a": 2, "test/a": 2, "test/b": 1},
        "Read as 2 classes (a 5, b 5): 10 images from train/images/ train, 2 from val/images/ validate and 3 from "
        "test/ test. No validation image is of b.",
    ),
    "archives in archives": (
        {"archive/data set/train/a": 5, "archive/data set/train/b": 5, "archive/data set/test/a": 2},
        "Read as 2 classes (a 5, b 5): 8 images from train/ train, 2 from train/ validate and 2 from test/ test. No "
        "test image is of b.",
    ),
    "a folder around the classes": (
        {"PetImages/Cat": 10, "PetImages/Dog": 10, "PetImages/x.png": 1, "notes.txt": 1},
        "Read as 2 classes (Cat 10, Dog 10): 14 images train, 2 validate and 4 test. Left out: 1 image beside the "
        "class folders (such as x.png) and 1 file of other kinds (.txt). The classes are the folders in PetImages/.",
    ),
    "a folder around several sets": (
        {"all/cam1/train/a": 5, "all/cam1/train/b": 5, "all/cam2/train/a": 5, "all/cam2/test/a": 2},
        "Read as 2 classes (a 10, b 5): 13 images from */train/ train, 2 from */train/ validate and 2 from */test/ "
        "test. The 2 folders cam1/ and cam2/ are one set.",
    ),
    "several sets of one class": (
        {"cam1/train/a": 5, "cam2/train/a": 5},
        "Read as images without classes: 8 images from */train/ train, 2 from */train/ validate and none test. No "
        "classes, since there is only one class (a). The 2 folders cam1/ and cam2/ are one set.",
    ),
    "numbers beside them": (
        {"train2017": 10, "val2017": 4},
        "Read as images without classes: 10 images from train2017/ train, 4 from val2017/ validate and none test. No "
        "classes, since all images lie in train2017/ itself.",
    ),
    "classes that begin so": (
        {"train_station": 10, "test_tube": 10},
        "Read as 2 classes (test_tube 10, train_station 10): 14 images train, 2 validate and 4 test.",
    ),
    "two parts of a set": (
        {"train_1": 10, "train_2": 10},
        "Read as 2 classes (train_1 10, train_2 10): 14 images train, 2 validate and 4 test.",
    ),
    "all three, in other words": (
        {"TRAIN/a": 5, "TRAIN/b": 5, "Validation/a": 2, "Validation/b": 1, "test/a": 1, "test/b": 1},
        "Read as 2 classes (a 5, b 5): 10 images from TRAIN/ train, 3 from Validation/ validate and 2 from test/ test.",
    ),
    "patients in classes": (
        {
            "train/sick/p1": 5,
            "train/sick/p2": 5,
            "train/well/p3": 6,
            "train/well/p4": 4,
            "test/sick/p9": 2,
            "test/well/p8/left": 1,
            "test/well/p8/right": 1,
        },
        "Read as 2 classes (sick 10, well 10): 18 images from train/ train, 2 from train/ validate and 4 from "
        "test/ test.",
    ),
    "several sets side by side": (
        {
            "cam1/train/cat": 10,
            "cam1/train/dog": 10,
            "cam1/test/cat": 2,
            "cam2/train/cat": 5,
            "cam2/train/owl": 5,
            "cam2/train/x.png": 1,
        },
        "Read as 3 classes (cat 15, dog 10, owl 5): 27 images from */train/ train, 3 from */train/ validate and 2 from "
        "*/test/ test. Left out: in cam2/ 1 image beside the class folders (such as train/x.png). The 2 folders cam1/ "
        "and cam2/ are one set. cam1/: No test image is of dog.",
    ),
    "several sets, one of them without classes": (
        {"a/train/cat": 8, "a/train/dog": 8, "b/train": 4},
        "Read as images without classes: 18 images from */train/ train, 2 from */train/ validate and none test. No "
        "classes, since in b/ all images lie in train/ itself. The 2 folders a/ and b/ are one set.",
    ),
    "one image beside the class folders": (
        {"cat": 10, "dog": 10, "overview.png": 1},
        "Read as 2 classes (cat 10, dog 10): 14 images train, 2 validate and 4 test. Left out: 1 image beside the "
        "class folders (such as overview.png).",
    ),
    "images beside the class folders of a split, and beside the splits": (
        {
            "train/cat": 10,
            "train/dog": 10,
            "train/x.png": 1,
            "test/cat": 2,
            "test/dog": 2,
            "logo.png": 1,
            "docs/old": 3,
            "train/notes.txt": 1,
            "labels.csv": 1,
        },
        "Read as 2 classes (cat 10, dog 10): 18 images from train/ train, 2 from train/ validate and 4 from test/ "
        "test. Left out: 1 image beside the class folders (such as train/x.png), 3 images in docs/, which is no "
        "folder of a split, 1 image beside train/ (such as logo.png) and 2 files of other kinds (.csv, .txt).",
    ),
    "many classes": (
        {f"c{number}": number + 4 for number in range(8)},
        "Read as 8 classes (c0, c1, c2, c3, c4, c5, ...; 4 to 11 images each): 43 images train, 5 validate and 12 "
        "test.",
    ),
    "a folder around them": (
        {"brain/Training/a": 6, "brain/Training/b": 4, "brain/Testing/a": 1, "brain/Testing/b": 1},
        "Read as 2 classes (a 6, b 4): 8 images from Training/ train, 2 from Training/ validate and 2 from "
        "Testing/ test.",
    ),
    "images alone": (
        {".": 10},
        "Read as images without classes: 8 images train, 2 validate and none test. No classes, since all images "
        "lie in the folder itself.",
    ),
    "one class": (
        {"only": 10},
        "Read as images without classes: 8 images train, 2 validate and none test. No classes, since there is "
        "only one class (only).",
    ),
    "more images beside the folders than in them": (
        {".": 10, "a": 3, "b": 3},
        "Read as images without classes: 14 images train, 2 validate and none test. No classes, since 10 images "
        "of 16 lie beside the folders.",
    ),
    "shelves": (
        {"00/0": 3, "00/1": 3, "01/test": 4},
        "Read as images without classes: 8 images train, 2 validate and none test. No classes, since 00/ holds no "
        "images but 2 folders of them; to have 00 read as a class, put it into a folder train/. The images in "
        "test/ train too.",
    ),
    "test images without classes": (
        {"train/a": 5, "train/b": 5, "test": 3},
        "Read as 2 classes (a 5, b 5): 6 images from train/ train, 2 from train/ validate and 2 from train/ test. "
        "Left out: 3 images in test/, whose classes are not given.",
    ),
    "a folder of validation images that is no class": (
        {"train/a": 10, "train/b": 10, "val/images": 4, "test/a": 1, "test/b": 1},
        "Read as 2 classes (a 10, b 10): 18 images from train/ train, 2 from train/ validate and 2 from test/ test. "
        "Left out: 4 images in val/, whose classes are not given.",
    ),
    "a class without test images": (
        {"train/a": 5, "train/b": 5, "train/c": 5, "Test/a": 3, "Test/c": 1},
        "Read as 3 classes (a 5, b 5, c 5): 13 images from train/ train, 2 from train/ validate and 4 from Test/ test. "
        "No test image is of b.",
    ),
    "a class of test images alone": (
        {"train/a": 5, "train/b": 5, "test/a": 3, "test/b": 1, "test/yeti": 2},
        "Read as 2 classes (a 5, b 5): 8 images from train/ train, 2 from train/ validate and 4 from test/ test. "
        "Left out: 2 test images of a class without training images (yeti).",
    ),
    "a class of one image": (
        {"a": 10, "b": 1},
        "Read as 2 classes (a 10, b 1): 7 images train, 2 validate and 2 test.",
    ),
    "classes of one image each": (
        {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1},
        "Read as 5 classes (a 1, b 1, c 1, d 1, e 1): 5 images train and none validate or test.",
    ),
    "folders of storage devices": (
        {"a": 10, "b": 10, "@tmp/a": 4, "@sharebin": 1, "@GMT-2026.01.01-00.00.00/a": 9, "~snapshot/a": 9}
        | {"RECYCLED": 2, "found.000": 2, "a/@SynoResource": 1},
        "Read as 2 classes (a 10, b 10): 14 images train, 2 validate and 4 test. Left out: what systems keep in "
        "folders of their own (@GMT-2026.01.01-00.00.00, @SynoResource, @sharebin, ...).",
    ),
    "litter of systems": (
        {
            "a": 10,
            "b": 10,
            "@eaDir": 3,
            "a/@eaDir": 10,
            "__MACOSX/a": 10,
            "$RECYCLE.BIN": 1,
            "System Volume Information": 1,
            "lost+found": 1,
        },
        "Read as 2 classes (a 10, b 10): 14 images train, 2 validate and 4 test. Left out: what systems keep in "
        "folders of their own ($RECYCLE.BIN, @eaDir, System Volume Information, ...).",
    ),
    "a class called train": (
        {"car": 10, "train": 10},
        "Read as 2 classes (car 10, train 10): 14 images train, 2 validate and 4 test.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_folder_is_read_and_the_reading_said(tmp_path, name):
    """Before a run, by names alone, and by the run itself: the same words."""
    layout, sentence = CASES[name]
    folder = make(tmp_path / "set", layout)
    found = folder_layout.read(str(folder))
    assert found.sentence(found.split_sizes(0.1, None)) == sentence
    loaded = loading.load_data(str(folder), data_dir=str(tmp_path / "root"))
    assert loaded.reading == sentence
    assert loaded.classes == (found.classes or None)
    if loaded.classes:
        names = [loaded.folders[0].paths[row].split("/") for row in loaded.train.ids.tolist()]
        where = found.splits["train"].where
        depth = where.count("/") + 1 if where else 0
        assert [loaded.classes[label] for label in loaded.train.labels] == [pieces[depth] for pieces in names]


@pytest.mark.parametrize("val_fraction", [0, 0.1, 0.5])
@pytest.mark.parametrize("limit", [None, 3, 7])
@pytest.mark.parametrize("layout", [{"a": 3, "b": 2}, {"a": 40, "b": 2, "c": 9}, {"train": 1}, {"train": 5}])
def test_the_numbers_said_before_a_run_are_those_of_the_run(tmp_path, layout, limit, val_fraction):
    folder = make(tmp_path / "set", layout)
    loaded = loading.load_data(
        str(folder), data_dir=str(tmp_path / "root"), limit_images=limit, val_fraction=val_fraction
    )
    found = folder_layout.read(str(folder))
    assert found.sentence(found.split_sizes(val_fraction, limit)) == loaded.reading


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ({"Testing/a": 3, "Testing/b": 3}, "which has Testing/ and no train folder; allowed: train/ beside them"),
        ({"test/a": 3, "val/a": 3}, "which has test/ and val/ and no train folder"),
        ({"train_1/a": 3, "train_2/a": 3, "test/a": 3}, "which has 2 folders for one split (train_1, train_2)"),
        ({"train/a": 3, "train/b": 3, "Training/a": 3}, "which has 2 folders for one split (Training, train)"),
        ({"train/a": 3, "train/b": 3, "val/a": 3, "valid/b": 3}, "which has 2 folders for one split (val, valid)"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path, layout, words):
    with pytest.raises(ConfigError) as caught:
        folder_layout.read(str(make(tmp_path / "set", layout)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_what_has_no_classes_is_refused_for_labels_with_the_reason(tmp_path):
    folder = make(tmp_path / "set", {"00/0": 3, "00/1": 3, "01/2": 4})
    with pytest.raises(
        ConfigError, match="has images without classes, since 00/ holds no images but 2 folders of them;"
    ):
        folder_layout.read(str(folder), labelled_only=True)


def test_names_that_cannot_be_shown_are_said_all_the_same(tmp_path):
    make(tmp_path / "set", {"line\nbreak": 4, os.fsdecode(b"\xff"): 4})
    found = folder_layout.read(str(tmp_path / "set"))
    sentence = found.sentence(found.split_sizes(0.1, None))
    assert sentence.isprintable()
    assert r"(line?break 4, \xff 4)" in sentence


def test_a_list_that_takes_too_long_is_given_up(tmp_path):
    make(tmp_path / "set", {"a": 3})
    with pytest.raises(TimeoutError):
        folder_layout.read(str(tmp_path / "set"), seconds=-1)


def test_two_hundred_thousand_files_are_read_within_a_few_units_of_listing_them(tmp_path, monkeypatch):
    """The names alone, beside the time that sorting them takes."""
    names = [f"train/{number % 100:03d}/p{number % 7}/{number}.png" for number in range(200_000)]
    start = time.process_time()
    names.sort(key=lambda name: name[::-1])
    names.sort()
    unit = time.process_time() - start
    monkeypatch.setattr(folder_files, "find", lambda folder, seconds: folder_files.FoundFiles(names))
    start = time.process_time()
    found = folder_layout.read(str(tmp_path))
    found.sentence(found.split_sizes(0.1, None))
    assert time.process_time() - start < 40 * unit
    assert len(found.classes) == 100


# --- links, lists, and what is no folder ------------------------------------------------------------------------------


def told(folder):
    found = folder_layout.read(str(folder))
    return found.sentence(found.split_sizes(0.1, None))


def test_a_validation_folder_that_is_the_test_folder_leaves_the_test_images_alone(tmp_path):
    folder = make(tmp_path / "set", {"train/a": 10, "train/b": 10, "test/a": 2, "test/b": 2})
    (folder / "val").symlink_to("test")
    assert told(folder) == (
        "Read as 2 classes (a 10, b 10): 18 images from train/ train, 2 from train/ validate and 4 from test/ test. "
        "Left out: val/, which is test/ under another name."
    )


@pytest.mark.parametrize("name", ["test/a", "test", "val/b"])
def test_images_of_two_splits_are_refused(tmp_path, name):
    folder = make(tmp_path / "set", {"train/a": 3, "train/b": 3, "test/b": 2, "val/a": 2})
    if name == "test":
        os.rename(folder / "test", tmp_path / "away")
    (folder / name).symlink_to(folder / "train" / name.removeprefix("test").removeprefix("val").strip("/"))
    with pytest.raises(ConfigError, match="are the same folder; allowed: images of its own in each split"):
        folder_layout.read(str(folder))


def test_a_class_that_is_a_link_is_a_class_and_links_that_go_round_end(tmp_path):
    folder = make(tmp_path / "set", {"train/a": 10, "shelf/b": 10, "test/a": 2, "test/b": 2})
    (folder / "train" / "b").symlink_to("../shelf/b")
    for name, target in (("self", "."), ("above", ".."), ("loop", "loop"), ("nowhere", "gone")):
        (folder / "train" / name).symlink_to(target)
    assert told(folder) == (
        "Read as 2 classes (a 10, b 10): 18 images from train/ train, 2 from train/ validate and 4 from test/ test. "
        "Left out: 2 links that lead nowhere (train/loop, train/nowhere) and 10 images in shelf/, which is no folder "
        "of a split."
    )


def test_links_that_lead_nowhere_are_counted_and_named(tmp_path):
    """What a container does not mount: a class, a split, and files, which are broken images."""
    folder = make(tmp_path / "set", {"train/a": 10, "train/b": 10})
    for name in ("train/c", "test", "train/list"):
        (folder / name).symlink_to("/nowhere/at/all")
    (folder / "train" / "b" / "x.png").symlink_to("/nowhere/x.png")
    loaded = loading.load_data(str(folder), data_dir=str(tmp_path / "root"))
    assert loaded.reading == (
        "Read as 2 classes (a 10, b 11): 14 images from train/ train, 2 from train/ validate and 4 from train/ test. "
        "Left out: 3 links that lead nowhere (test, train/c, train/list) and 1 broken image: train/b/x.png (No such "
        "file or directory)."
    )


@pytest.mark.parametrize(
    ("links", "layout", "words"),
    [
        (
            ("train/a", "train/b"),
            {},
            "a folder without images (left out: 2 links that lead nowhere (train/a, train/b))",
        ),
        (("train",), {"test/a": 3}, "has test/ and no train folder (left out: 1 link that leads nowhere (train))"),
        (("",), {}, "a folder that exists ({folder} is a link to /nowhere, which is not there); allowed: "),
        (("a.png", "b.png"), {}, "2 of whose 2 images cannot be read: a.png (No such file or directory), b.png"),
    ],
)
def test_where_nothing_else_is_there_the_sentence_names_them(tmp_path, links, layout, words):
    folder = make(tmp_path / "set", layout)
    for link in links:
        (folder / link).parent.mkdir(parents=True, exist_ok=True)
        (folder / link).symlink_to("/nowhere")
    with pytest.raises(ConfigError) as caught:
        loading.load_data(str(folder), data_dir=str(tmp_path / "root"))
    assert words.format(folder=folder) in str(caught.value)


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    folder = make(tmp_path / "set", {"a/x.csv": 1, "a/y.txt": 1, "a/z.txt": 1})
    with pytest.raises(ConfigError, match=r"without images \(left out: 3 files of other kinds \(\.csv, \.txt\)\)"):
        folder_layout.read(str(folder))


def test_folders_that_all_link_to_each_other_are_read_soon(tmp_path):
    folder = make(tmp_path / "set", {f"{number:02d}": 2 for number in range(12)})
    for one in range(12):
        for other in range(12):
            (folder / f"{one:02d}" / f"to{other}").symlink_to(f"../{other:02d}")
    assert len(folder_files.find(folder, 20).images) <= 2 * 24


def test_a_list_gives_validation_images_their_classes(tmp_path):
    """As Tiny ImageNet has it."""
    folder = make(tmp_path / "set", {"train/n01/images": 10, "train/n02/images": 10, "val/images": 5, "test/images": 4})
    rows = [f"00{number}.png\tn0{number % 2 + 1}\t0\t0\t7\t7" for number in range(4)]
    (folder / "val" / "val_annotations.txt").write_text("\n".join(rows))
    loaded = loading.load_data(str(folder), data_dir=str(tmp_path / "root"), labelled_only=True)
    assert loaded.val.labels.tolist() == [0, 1, 0, 1]
    assert loaded.reading == told(folder)
    assert "16 images from train/ train, 4 from val/ validate and 4 from train/ test" in loaded.reading
    assert "Left out: 1 image that val_annotations.txt does not name (such as val/images/004.png)" in loaded.reading
    assert "4 images in test/, whose classes are not given" in loaded.reading


def test_labels_need_a_class_of_two_images_unless_nothing_is_cut_to_test(tmp_path):
    folder = str(make(tmp_path / "set", {"a": 10, "b": 1}))
    with pytest.raises(ConfigError) as caught:
        loading.load_data(folder, data_dir=str(tmp_path), labelled_only=True)
    assert str(caught.value).endswith(
        "whose class b has 1 image; allowed: at least 2 images per class, so that one can be used for testing, a test "
        "folder, or test_fraction 0."
    )
    loaded = loading.load_data(folder, data_dir=str(tmp_path), labelled_only=True, test_fraction=0)
    assert loaded.test is None and loaded.train.num_images + loaded.val.num_images == 11
    assert loaded.reading == "Read as 2 classes (a 10, b 1): 9 images train, 2 validate and none test."
    loaded = loading.load_data(folder, data_dir=str(tmp_path), test_fraction=0.5)
    assert loaded.test.num_images == 6


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000, "~nobody-of-this-name/x", "nul\0byte", "", " "])
def test_what_is_no_folder_is_one_sentence(name):
    with pytest.raises(ConfigError, match="which is neither a data set nor a folder that exists; allowed: "):
        folder_layout.read(name)


@pytest.mark.parametrize(
    "suffix",
    [*(".ppm", ".pgm", ".pbm", ".jp2", ".avif", ".jfif", ".tga", ".qoi", ".PPM"), *(".apng", ".im", ".rgb", ".jpf")],
)
def test_more_kinds_of_image_files_are_read(tmp_path, suffix):
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(4):
            pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            image = Image.fromarray(pixels).convert({".pgm": "L", ".pbm": "1"}.get(suffix, "RGB"))
            image.save(tmp_path / "set" / label / f"{number}{suffix}", "JPEG" if suffix == ".jfif" else None)
    loaded = loading.load_data(str(tmp_path / "set"), data_dir=str(tmp_path / "root"), val_fraction=0)
    assert loaded.train.num_images + loaded.test.num_images == 8 and not loaded.skipped


def test_as_many_shapes_as_memory_has_no_room_for_are_refused():
    with pytest.raises(ConfigError, match=r"limit_images is 1,000,000,000,000; allowed: up to [\d,]+, as many shapes"):
        loading.load_data("shapes", limit_images=10**12)


# --- contrast -----------------------------------------------------------------------------------------------------


def deep(top, dtype=np.uint16):
    return lambda: Image.fromarray((generator.random((16, 16)) * top).astype(dtype))


FLAT = {
    "8 bits of which few are used": (
        lambda: Image.fromarray(generator.integers(100, 106, (16, 16), dtype=np.uint8)),
        ".png",
        "of 0 to",
    ),
    "black": (lambda: Image.new("RGB", (16, 16)), ".png", "(values 0 to 0, of 0 to 255)"),
    "white": (lambda: Image.new("L", (16, 16), 255), ".jpg", "(values 255 to 255, of 0 to 255)"),
    "one colour each": (lambda: Image.new("RGB", (16, 16), tuple(generator.integers(256, size=3))), ".png", "of 0 to"),
}


@pytest.mark.parametrize("name", FLAT)
def test_images_that_come_out_without_contrast_are_refused(tmp_path, name):
    make_image, suffix, words = FLAT[name]
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(20):
            make_image().save(tmp_path / "set" / label / f"{number}{suffix}")
    config = PretrainConfig(dataset=str(tmp_path / "set"), data_dir=str(tmp_path / "root"), backbone="resnet_tiny")
    with pytest.raises(ConfigError) as caught:
        prepare.prepare(config, tmp_path)
    text = str(caught.value)
    assert "where 32 of 32 images looked at are nearly of one colour, such as " in text
    assert words in text
    assert text.endswith(
        "; allowed: images whose values fill their range, or value_min and value_max set to those that are to become "
        "black and white."
    )


@pytest.mark.parametrize(
    ("num_flat", "num_good", "refused"), [(8, 12, False), (10, 10, False), (12, 8, True), (1, 0, True), (0, 1, False)]
)
def test_some_black_images_do_no_harm(tmp_path, num_flat, num_good, refused):
    (tmp_path / "set").mkdir()
    for number in range(num_flat + num_good):
        image = Image.new("L", (16, 16)) if number < num_flat else deep(255, np.uint8)()
        image.save(tmp_path / "set" / f"{number:02d}.png")
    options = {"data_dir": str(tmp_path / "root"), "val_fraction": 0}
    if refused:
        with pytest.raises(ConfigError, match=f"{num_flat} of {num_flat + num_good} images looked at"):
            loading.load_data(str(tmp_path / "set"), **options)
    else:
        assert loading.load_data(str(tmp_path / "set"), **options).train.num_images == num_flat + num_good


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_sixteen_bits_that_are_used_and_broken_images_are_no_reason(tmp_path, suffix):
    (tmp_path / "set").mkdir()
    for number in range(12):
        deep(65535)().save(tmp_path / "set" / f"{number:02d}{suffix}")
    (tmp_path / "set" / f"03{suffix}").write_bytes(b"")
    assert loading.load_data(str(tmp_path / "set"), data_dir=str(tmp_path), val_fraction=0).train.num_images == 11


def test_the_look_at_contrast_opens_few_images(tmp_path, monkeypatch):
    folder = make(tmp_path / "set", {"a": 150, "b": 150})
    opened = []
    original = decoding.decode_image
    monkeypatch.setattr(
        "simclr.data.folders.reading.decode_image", lambda *args: opened.append(args[1]) or original(*args)
    )
    for _ in range(2):
        loading.load_data(str(folder), data_dir=str(tmp_path / "root"))
    assert len(opened) == 32 and opened[:16] == opened[16:]  # half of 32 show enough, the same ones each time
