"""Embeddings of other encoders beside those of runs: paired by image, on shared images alone, told apart by content."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import make_folder
from trainings import trained_run

from simclr import runs
from simclr.added import adding, sets
from simclr.added.sets import AddedSet
from simclr.analysis import cards
from simclr.analysis.encoders import load_encoder
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.embeddings import compare, embed, embed_job, neighbors, references, selection, stored
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection, for_models
from simclr.embeddings.stored import Embedding
from simclr.runs import Run

LAYOUT = {f"{split}/{name}": 60 for split in ("train", "test") for name in "ab"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "photos", LAYOUT)


def add(tmp_path: Path, photos: Path, name: str, keep: slice = slice(None), seed: int = 0) -> AddedSet:
    """Random embeddings of some images, in an order of their own."""
    draws = np.random.default_rng(seed)
    paths = [str(path.relative_to(photos)) for path in sorted(photos.rglob("*.png"))][keep]
    paths = [paths[place] for place in draws.permutation(len(paths))]
    np.savez(tmp_path / f"{name}.npz", h=draws.normal(size=(len(paths), 8)), path=np.array(paths))
    return adding.add(tmp_path / f"{name}.npz", str(photos), name, tmp_path / "runs")[0]


def both(tmp_path: Path, run: Run, *names: str, choice: ImageSelection | None = None) -> list[Embedding]:
    models = references.resolve_encoders([run.id, *names], tmp_path / "runs")
    return embed.compute(models, choice or ImageSelection(), ["pca"])


def by_path(tmp_path: Path, name: str) -> dict[str, np.ndarray]:
    found = np.load(tmp_path / f"{name}.npz")
    return dict(zip(found["path"].tolist(), found["h"].astype(np.float32), strict=True))


def test_it_is_found_by_its_name_beside_a_run(tmp_path: Path, photos: Path) -> None:
    run = trained_run(tmp_path / "runs", dataset=str(photos))
    added = add(tmp_path, photos, "dino")
    ours, theirs = references.resolve_encoders([run.id, "dino"], tmp_path / "runs", "last", "z")
    assert ours == EncoderRef(run, "weights", "last", "z") and theirs == EncoderRef(run, "added", added=added)
    assert theirs.name == theirs.reference == "dino" and references.layers_of(theirs) == ("h",)
    for names, sentence in (
        (["dino"], "RUN is dino; allowed: at least one run"),
        ([run.id, "dino@z"], "RUN is dino@z; allowed: dino, which have neither checkpoints nor layers"),
        ([run.id, "din"], "RUN is din; allowed: a run's folder, id"),
    ):
        with pytest.raises(ConfigError, match=f"^{sentence}"):
            references.resolve_encoders(names, tmp_path / "runs")
    with pytest.raises(ConfigError, match=r"^RUN is dino; allowed: a run, or untrained"):
        load_encoder(theirs, None)


def test_rows_stand_beside_the_runs_features_of_the_same_image(tmp_path: Path, photos: Path) -> None:
    """What a run has stored is used as it is; nothing but the added rows is new, and each is its image's."""
    run = trained_run(tmp_path / "runs", dataset=str(photos))
    (alone,) = embed.compute([EncoderRef(run)], ImageSelection(), ["pca"])
    written = (alone.folder / stored.PROVENANCE).stat().st_mtime_ns
    add(tmp_path, photos, "dino")
    ours, theirs = both(tmp_path, run, "dino")
    assert ours.folder == alone.folder and (ours.folder / stored.PROVENANCE).stat().st_mtime_ns == written
    assert stored.same_images(ours, theirs) and theirs.num_images == 120 and theirs.shared_images is None
    assert theirs.folder.parent == tmp_path / "runs" / runs.ADDED / "dino" / runs.EMBEDDINGS
    expected = by_path(tmp_path, "dino")
    test_images = sorted(path for path in expected if path.startswith("test/"))
    for number, features in zip(theirs.ids, theirs.features, strict=True):
        np.testing.assert_array_equal(features, expected[test_images[number]])
    assert theirs.map("pca") is not None and theirs.labelled is None
    assert theirs.provenance["added"]["name"] == "dino" and theirs.provenance["backbone"] is None
    # agreement, from the definition
    near = [neighbors.nearest(neighbors.unit_rows(np.array(item.features)), 20).indices for item in (ours, theirs)]
    jaccard = [len({*one} & {*two}) / len({*one} | {*two}) for one, two in zip(*near, strict=True)]
    pair = stored.find_pair(ours, theirs)
    assert pair is not None and pair.neighbor_jaccard == pytest.approx(jaccard, abs=1e-6)
    assert pair.linear_cka == pytest.approx(compare.linear_cka(np.array(ours.features), np.array(theirs.features)))
    sides = cards.of_embeddings(ours, theirs)
    found = cards.compute(sides)
    again = cards.load(sides)
    assert found and again and [card.rows.tolist() for card in found] == [card.rows.tolist() for card in again]
    assert tmp_path / "runs" in sides.path.parents


@pytest.mark.parametrize("split", ["auto", "test"])
def test_only_shared_images_are_drawn(tmp_path: Path, photos: Path, split: str) -> None:
    run = trained_run(tmp_path / "runs", dataset=str(photos))
    added, other = add(tmp_path, photos, "few", slice(0, 100)), add(tmp_path, photos, "others", slice(10, None), 1)
    assert added.num_images["test"] == (120, 100) and other.num_images["test"] == (120, 110)
    ours, theirs = both(tmp_path, run, "few", choice=ImageSelection(split=split))
    assert theirs.shared_images == ours.shared_images == (100, 120) and ours.num_images == 100
    assert ours.ids.tolist() == theirs.ids.tolist() == list(range(100))
    assert ours.near.indices.max() < 100  # neighbours too are sought among these alone
    found = both(tmp_path, run, "few", "others", choice=ImageSelection(split=split))
    assert [item.ids.tolist() for item in found] == [list(range(10, 100))] * 3
    assert len({item.folder for item in (ours, theirs, *found)}) == 5
    (alone,) = embed.compute([EncoderRef(run)], ImageSelection(split=split), ["pca"])
    assert alone.num_images == 120


def test_a_split_without_any_embedding(tmp_path: Path, photos: Path) -> None:
    """`auto` shows the images that there are embeddings of."""
    run = trained_run(tmp_path / "runs", dataset=str(photos), val_fraction=0.25)
    add(tmp_path, photos, "train", slice(120, None))
    ours, theirs = both(tmp_path, run, "train")
    assert ours.provenance["split"] == theirs.provenance["split"] == "val" and ours.num_images == 30
    expected = by_path(tmp_path, "train")
    train = sorted(expected)
    np.testing.assert_array_equal(theirs.features[7], expected[train[theirs.ids[7]]])
    with pytest.raises(ConfigError, match=r"^split is test, and train have embeddings of none of its 120 images"):
        both(tmp_path, run, "train", choice=ImageSelection(split="test"))


def test_a_run_trained_on_other_images_looks_at_those_of_the_embeddings(tmp_path: Path, photos: Path) -> None:
    run = trained_run(tmp_path / "runs")
    added = add(tmp_path, photos, "dino")
    models = references.resolve_encoders([run.id, "dino"], tmp_path / "runs")
    choice = for_models(models, ImageSelection())
    assert choice.other is not None and choice.other.dataset == str(photos) == added.dataset and not choice.among
    ours, theirs = embed.compute(models, ImageSelection(), ["pca"])
    assert ours.num_images == theirs.num_images == 120 and ours.classes == ["a", "b"]
    assert (
        stored.find_embedding(models[0], choice) is not None
        and stored.find_embedding(models[0], ImageSelection()) is None
    )


def test_what_cannot_be_shown_together(tmp_path: Path, photos: Path) -> None:
    run = trained_run(tmp_path / "runs", dataset=str(photos))
    add(tmp_path, photos, "dino")
    elsewhere = make_folder(tmp_path / "elsewhere", LAYOUT)
    add(tmp_path, elsewhere, "clip")
    with pytest.raises(ConfigError, match=r"^clip are embeddings of images of .*elsewhere, and dino of .*photos"):
        both(tmp_path, run, "dino", "clip")
    models = references.resolve_encoders([run.id, "dino"], tmp_path / "runs")
    other = ImageSelection(other=selection.OtherData(str(elsewhere)))
    with pytest.raises(ConfigError, match=r"^dataset is .*elsewhere, and dino are embeddings of images of .*photos"):
        for_models(models, other)
    shutil.copy(photos / "train/a/000.png", photos / "train/a/more.png")
    with pytest.raises(ConfigError, match=r"photos has other files than when the embeddings dino were added"):
        embed.compute(models, ImageSelection(), ["pca"])


def test_added_again_under_the_same_name_they_are_others(tmp_path: Path, photos: Path) -> None:
    run = trained_run(tmp_path / "runs", dataset=str(photos))
    folder = tmp_path / "runs"
    add(tmp_path, photos, "dino")
    before = both(tmp_path, run, "dino")[1]
    features = np.array(before.features)
    request = embed_job.request_of([run.id, "dino"], ImageSelection(), ["pca"], folder)
    assert request["folders"][1] == str(before.folder)
    sets.delete("dino", folder)
    assert not before.folder.exists()
    with pytest.raises(ConfigError, match=r"^RUN is dino"):
        embed_job.request_of([run.id, "dino"], ImageSelection(), ["pca"], folder)
    add(tmp_path, photos, "dino", seed=5)
    assert embed_job.request_of([run.id, "dino"], ImageSelection(), ["pca"], folder) != request
    assert not np.array_equal(both(tmp_path, run, "dino")[1].features, features)


def test_the_commands_that_compare(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path / "runs"))
    run = trained_run(tmp_path / "runs", dataset=str(photos))
    add(tmp_path, photos, "few", slice(0, 110))
    assert main(["embed", run.id, "few"]) == 0
    said = capsys.readouterr().out
    assert "few: 110 images (of 110 that all have, of 120), 8 features, kNN accuracy" in said
    assert main(["disagree", run.id, "few"]) == 0
    folders = [line for line in said.splitlines() if line.startswith("/")]
    assert main(["disagree", *folders]) == 0  # as the page starts it
    for command in (["export", "few"], ["lab", "few"], ["embed", "few", "--dataset", str(photos), "--out", "x.csv"]):
        assert main(command) == 2
