"""Tags: kept beside the runs, found again on other maps, and never lost or mixed up."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from simclr.config import ConfigError
from simclr.image_sets import tags

IDS = np.array([3, 7, 11, 200])


def names(runs_dir: Path, dataset: str = "shapes") -> list[str]:
    return [tag.name for tag in tags.read(runs_dir, dataset)]


def test_a_tag_is_kept_for_its_data_set_and_chosen_again_on_maps_of_other_images(tmp_path: Path) -> None:
    tags.save(tmp_path, "shapes", "  odd   ones ", "test", IDS)
    tags.save(tmp_path, "shapes", "Another", "val", np.array([7]))
    tags.save(tmp_path, "cifar10", "odd ones", "test", IDS[:1])
    assert names(tmp_path) == ["Another", "odd ones"]
    assert names(tmp_path, "cifar10") == ["odd ones"]
    assert names(tmp_path, "stl10") == []
    another, odd = tags.read(tmp_path, "shapes")
    assert odd.num_images == 4
    assert odd.rows("test", np.array([200, 5, 3])).tolist() == [0, 2]
    assert odd.rows("train", np.array([200, 5, 3])).tolist() == []  # the same numbers of another list
    assert another.rows("train", np.array([1, 7])).tolist() == [1]  # validation images are cut off the training list
    assert another.rows("test", np.array([1, 7])).tolist() == []


def test_where_images_are_files_their_names_count_and_not_their_numbers(tmp_path: Path) -> None:
    paths = ["a/1.png", "b/2.png"]
    tag = tags.save(tmp_path, "/data/photos", "x", "test", np.array([0, 5]), paths)
    moved = ["a/0.png", "a/1.png", "b/1.png", "b/2.png"]  # a file was added before them
    assert tag.rows("test", np.arange(4), moved).tolist() == [1, 3]
    assert tag.rows("train", np.arange(4), moved).tolist() == [1, 3]
    assert tag.rows("test", np.arange(6)).tolist() == [0, 5]  # the folder is away: the numbers are all there is
    assert names(tmp_path, "/other/photos") == []


def test_renamed_and_deleted_tags_keep_their_images_and_leave_the_others(tmp_path: Path) -> None:
    for name in ("one", "two"):
        tags.save(tmp_path, "shapes", name, "test", IDS)
    before = tags.read(tmp_path, "shapes")[0]
    tags.rename(tmp_path, "shapes", "one", "three")
    assert names(tmp_path) == ["three", "two"]
    assert tags.read(tmp_path, "shapes")[0].images == before.images
    tags.rename(tmp_path, "shapes", "three", "THREE")  # the same tag may change its capitals
    tags.delete(tmp_path, "shapes", "two")
    assert names(tmp_path) == ["THREE"]
    with pytest.raises(ConfigError, match=r"tag is two, which is not there any more; allowed: THREE\."):
        tags.delete(tmp_path, "shapes", "two")


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, 'a "b"', "a\x00b", "\x1b[0m"])
def test_a_name_that_cannot_be_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^name is .*; allowed: 1 to 60 signs") as caught:
        tags.save(tmp_path, "shapes", name, "test", IDS)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200
    assert names(tmp_path) == []


def test_a_name_that_is_taken_or_no_images_are_refused(tmp_path: Path) -> None:
    tags.save(tmp_path, "shapes", "one", "test", IDS)
    with pytest.raises(ConfigError, match=r"name is ONE, which a tag of 4 images has; allowed: another name\."):
        tags.save(tmp_path, "shapes", "ONE", "test", IDS)
    tags.save(tmp_path, "shapes", "two", "test", IDS)
    with pytest.raises(ConfigError, match="which a tag of 4 images has"):
        tags.rename(tmp_path, "shapes", "two", "one")
    with pytest.raises(ConfigError, match="Nothing is selected"):
        tags.save(tmp_path, "shapes", "none", "test", IDS[:0])
    assert names(tmp_path) == ["one", "two"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2, "tags": []}', '{"format": 1, "tags": [{}]}', "null"])
def test_a_damaged_file_is_never_taken_for_no_tags_nor_written_over(tmp_path: Path, content: str) -> None:
    path = tags.path_of(tmp_path, "shapes")
    path.parent.mkdir()
    path.write_text(content)
    for act in (
        lambda: tags.read(tmp_path, "shapes"),
        lambda: tags.save(tmp_path, "shapes", "x", "test", IDS),
        lambda: tags.delete(tmp_path, "shapes", "x"),
    ):
        with pytest.raises(ConfigError, match="does not hold tags as they were written"):
            act()
    assert path.read_text() == content


def test_tags_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: tags.save(tmp_path, "shapes", f"tag {k}", "test", IDS + k), range(24)))
    found = tags.read(tmp_path, "shapes")
    assert len(found) == 24
    assert {tag.name: tag.images["test"][0] for tag in found} == {f"tag {k}": 3 + k for k in range(24)}
    assert [path.name for path in tags.path_of(tmp_path, "shapes").parent.glob("*.json")] == [
        tags.path_of(tmp_path, "shapes").name
    ]
    json.loads(tags.path_of(tmp_path, "shapes").read_text())


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / ".tags").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be written"):
        tags.save(tmp_path, "shapes", "x", "test", IDS)
