"""add_embeddings: arrays, tensors and files from Python become sets, and bad input is one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_folder

import simclr
from simclr.added import sets

NUM = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data") / "photos", {"a": NUM // 2, "b": NUM // 2}, side=8)


def values() -> np.ndarray[Any, Any]:
    return np.arange(NUM * 3).reshape(NUM, 3)


def test_arrays_tensors_lists_and_files_give_the_same_set(photos: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", values().astype(np.float32))
    given = {
        "array": values(),
        "tensor": torch.tensor(values(), dtype=torch.bfloat16, requires_grad=True),
        "rows": [list(map(float, row)) for row in values()],
        "path": tmp_path / "x.npy",
        "text": str(tmp_path / "x.npy"),
    }
    found = {name: simclr.add_embeddings(x, photos, name, runs_dir=tmp_path / "runs") for name, x in given.items()}
    assert {(item.num_rows, item.num_features, item.dataset) for item in found.values()} == {(NUM, 3, str(photos))}
    for name, item in found.items():
        assert isinstance(item, simclr.AddedSet) and sets.find(name, tmp_path / "runs") == item
        np.testing.assert_array_equal(item.features_of("train", np.arange(NUM)), values())
    assert len({item.digest for item in found.values()}) == 1


def test_paths_say_which_image_a_row_is_of(photos: Path, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(NUM)
    paths = np.array(sorted(photos.rglob("*.png")))
    mixed = simclr.add_embeddings(
        values()[order], str(photos), "mixed", paths=list(paths[order]), runs_dir=tmp_path / "runs"
    )
    np.testing.assert_array_equal(mixed.features_of("train", np.arange(NUM)), values())
    (tmp_path / "order.txt").write_text("\n".join(map(str, paths[order])))
    again = simclr.add_embeddings(
        values()[order], photos, "again", paths=tmp_path / "order.txt", runs_dir=tmp_path / "runs"
    )
    assert again.digest == mixed.digest


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.full((NUM, 3), np.nan), "embeddings is an array, whose row 1 holds a value that is no finite number"),
        (np.zeros(NUM), r"embeddings is an array of float64 of shape \(12,\); allowed: a row of numbers"),
        (np.zeros((0, 3)), "a row of numbers for each image"),
        (np.array([["a", "b"]] * NUM), "a row of numbers for each image"),
        ([[1.0, 2.0], [3.0]], "embeddings has rows of different lengths"),
        (np.zeros((NUM, 1)), "has 1 value for each image"),
        (np.zeros((NUM + 1, 3)), "embeddings is an array, which has 13 rows"),
        ("nowhere.npy", "embeddings is nowhere.npy, which does not exist"),
    ],
)
def test_bad_input_is_one_sentence(photos: Path, tmp_path: Path, given: Any, sentence: str) -> None:
    with pytest.raises(simclr.ConfigError, match=sentence) as caught:
        simclr.add_embeddings(given, photos, "x", runs_dir=tmp_path / "runs")
    assert "\n" not in str(caught.value)
    assert sets.find_all(tmp_path / "runs") == []


def test_a_list_that_does_not_fit_is_said(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(simclr.ConfigError, match="paths is a list, which names 1 images, and an array has 12 rows"):
        simclr.add_embeddings(values(), photos, "x", paths=["a/000.png"], runs_dir=tmp_path / "runs")
    with pytest.raises(simclr.ConfigError, match="name is pixels, which means another model"):
        simclr.add_embeddings(values(), photos, "pixels", runs_dir=tmp_path / "runs")
