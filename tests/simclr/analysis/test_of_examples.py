"""What is computed while one looks at a shipped example lies beside the user's runs, and the example stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from races import make_race
from trainings import SMALL, trained_run

from simclr import runs
from simclr.analysis import stored as lab
from simclr.cli.main import main
from simclr.embeddings import embed, stored
from simclr.embeddings.references import EncoderRef
from simclr.films import film
from simclr.runs import Run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def pair(tiny_runs: Path) -> list[Run]:
    return [trained_run(tiny_runs / runs.EXAMPLES, seed) for seed in (1, 2)]


def test_features_maps_and_comparisons(pair: list[Run], tiny_runs: Path) -> None:
    before = contents(tiny_runs / runs.EXAMPLES)
    models = [EncoderRef(run) for run in pair]
    found = embed.compute(models, SMALL, ["pca"])
    assert contents(tiny_runs / runs.EXAMPLES) == before
    assert [item.folder.parents[2] for item in found] == [tiny_runs / runs.OF_EXAMPLES] * 2
    again = [stored.find_embedding(model, SMALL) for model in models]
    assert [item.folder for item in again if item] == [item.folder for item in found]
    assert stored.find_pair(*found) is not None and found[0].map("pca") is not None
    assert {run.id for run in runs.list_runs(tiny_runs)} == {run.id for run in pair}


def test_an_example_that_came_with_features_gets_further_maps_beside(pair: list[Run], tiny_runs: Path) -> None:
    models = [EncoderRef(run) for run in pair]
    for item in embed.compute(models, SMALL, ["pca"]):
        run = Run(tiny_runs / runs.EXAMPLES / item.folder.parents[1].name)
        (run.path / runs.EMBEDDINGS).mkdir()
        item.folder.rename(run.path / runs.EMBEDDINGS / item.folder.name)
    before = contents(tiny_runs / runs.EXAMPLES)
    found = [stored.find_embedding(model, SMALL) for model in models]
    assert [item.folder.parents[1] for item in found if item] == [run.path for run in pair]
    found = embed.compute(models, SMALL, ["pca", "tsne"])
    assert contents(tiny_runs / runs.EXAMPLES) == before
    for item in found:
        assert item.map_path("pca").is_relative_to(tiny_runs / runs.EXAMPLES)
        assert item.map_path("tsne").is_relative_to(tiny_runs / runs.OF_EXAMPLES)
        assert item.map("pca") is not None and item.map("tsne") is not None
    assert stored.find_pair(found[0], found[1]) is not None


def test_images_that_have_changed_are_not_written_over_what_came_with_an_example(
    pair: list[Run], tiny_runs: Path
) -> None:
    (item,) = embed.compute([EncoderRef(pair[0])], SMALL, [])
    (pair[0].path / runs.EMBEDDINGS).mkdir()
    item.folder.rename(pair[0].path / runs.EMBEDDINGS / item.folder.name)
    path = pair[0].path / runs.EMBEDDINGS / item.folder.name / stored.PROVENANCE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"images": "others"}))
    before = contents(tiny_runs / runs.EXAMPLES)
    found = embed.compute([EncoderRef(run) for run in pair], SMALL, [])
    assert contents(tiny_runs / runs.EXAMPLES) == before
    assert stored.same_images(*found)


def test_films_profiles_and_figures(pair: list[Run], tiny_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = make_race(tiny_runs / runs.EXAMPLES)
    alone = trained_run(tiny_runs / runs.EXAMPLES, kind="scratch", experiment_version="0")  # has no projector
    before = contents(tiny_runs / runs.EXAMPLES)
    for run in found:
        item = film.load(run)
        assert item is not None
        made = film.make_maps(item, "pca")
        assert item.map_path("pca").is_relative_to(tiny_runs / runs.OF_EXAMPLES / run.id)
        np.testing.assert_array_equal(film.load(run).maps("pca"), made)
    model, images = EncoderRef(alone), np.zeros((4, 3, 16, 16), dtype=np.uint8)
    lab.compute(model, "profile", images)
    path = lab.result_path(model, "profile", lab.images_key(images))
    assert path.is_relative_to(tiny_runs / runs.OF_EXAMPLES) and lab.load(path)
    assert lab.keep_images(model, images).is_relative_to(tiny_runs / runs.OF_EXAMPLES)
    assert main(["evaluate", pair[0].id, "--protocol", "knn"]) == 0
    assert "not kept: an example" in capsys.readouterr().out
    assert contents(tiny_runs / runs.EXAMPLES) == before
