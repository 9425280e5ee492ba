"""Maps that ship with an example: small, without features and photographs, which are read from the data set."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import NUM, pack_example
from PIL import Image

from simclr import runs
from simclr.analysis import cards
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.embeddings import embed, shipped, stored
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import Embedding
from simclr.runs import Run
from simclr.views import sheets

CHOICE = ImageSelection(num_images=NUM)
EXAMPLES = Path(__file__).resolve().parents[3] / "runs" / runs.EXAMPLES
SHAPES = (
    "20261125-150748-pretrain-shapes-resnet_tiny-zbwp",
    "20261125-151223-scratch-shapes-resnet_tiny-9g44",
)
CIFAR = (
    "20261129-125449-pretrain-cifar10_jpeg-cnn_tiny-wrwa",
    "20261130-133845-scratch-cifar10_jpeg-cnn_tiny-qftp",
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_example(tmp_path_factory.mktemp("packed"))


@pytest.fixture
def home(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it at another place, where nothing is found at the current folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(packed, tmp_path / "home"))


def models_of(home: Path) -> list[EncoderRef]:
    return [EncoderRef(run) for run in reversed(runs.list_runs(home / "runs"))]


def found_of(home: Path) -> list[Embedding]:
    found = [stored.find_embedding(model, CHOICE) for model in models_of(home)]
    return [item for item in found if item is not None]


def original_of(home: Path) -> list[Embedding]:
    folders = sorted((home / "own").glob(f"*/{runs.EMBEDDINGS}/*"))
    return [item for folder in folders if (item := stored.load_embedding(folder)) is not None]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_maps_numbers_and_cards_come_along_and_no_picture_does(home: Path) -> None:
    found, original = found_of(home), original_of(home)
    assert len(found) == 2 and all(item.is_shipped for item in found)
    for item, before in zip(found, original, strict=True):
        assert item.folder.is_relative_to(home / "runs" / runs.EXAMPLES)
        assert item.features.shape == (NUM, 0) and item.sheets == []
        np.testing.assert_array_equal(item.ids, before.ids)
        np.testing.assert_array_equal(item.labels, before.labels)
        np.testing.assert_array_equal(item.neighbors, before.neighbors[:, :20])
        np.testing.assert_allclose(item.similarities, before.similarities[:, :20], atol=1e-3)
        np.testing.assert_allclose(item.map("pca"), before.map("pca"), rtol=1e-3, atol=1e-3)
        for name, values in before.measured.items():
            np.testing.assert_array_equal(item.measured[name], values)
        for name, predicted in before.predictions.items():
            np.testing.assert_array_equal(item.predictions[name], predicted)
        assert item.map_provenance("pca") == before.map_provenance("pca") and item.numbers == before.numbers
        names = {path.suffix for path in item.folder.iterdir()}
        assert names <= {".npy", ".npz", ".json", ".txt"}
        for path in item.folder.iterdir():
            with pytest.raises(OSError, match="cannot identify"):
                Image.open(path)
    pair = stored.find_pair(*found)
    assert pair is not None and pair.linear_cka == stored.find_pair(*original).linear_cka  # type: ignore[union-attr]
    ours, theirs = cards.load(cards.of_embeddings(*found)), cards.load(cards.of_embeddings(*original))
    assert ours is not None and theirs is not None and len(ours) == len(theirs)


def test_photographs_are_read_from_the_data_set_and_kept_beside_the_users_runs(home: Path) -> None:
    before = contents(home / "runs" / runs.EXAMPLES)
    first, second = found_of(home)
    assert shipped.find_folder(first, [home / "nowhere", home]) == home / "photos"
    assert shipped.find_folder(first, [home / "runs"]) is None
    shares: list[float] = []
    shipped.make_pictures(first, home / "photos", shares.append)
    assert shares[-1] == 1 and shares == sorted(shares)
    assert contents(home / "runs" / runs.EXAMPLES) == before
    assert first.sheets == second.sheets != [] and first.sheets[0].is_relative_to(home / "runs" / runs.OF_EXAMPLES)
    tiles = sheets.read_tiles(first.sheets, first.provenance["thumbnails"], range(NUM))
    paths = shipped.paths_of(first)
    for row in (0, 7, NUM - 1):
        np.testing.assert_array_equal(tiles[row].transpose(1, 2, 0), Image.open(home / "photos" / paths[row]))


def change_all(folder: Path, change: Any) -> None:
    for path in folder.rglob("*.png"):
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: shutil.rmtree(folder), "which does not exist; allowed: the folder of photos."),
        (lambda folder: (folder / "test/b/001.png").unlink(), "which lacks 1 of 500 images, such as test/b/001.png"),
        (lambda folder: shutil.rmtree(folder / "test"), "which lacks 500 of 500 images"),
        (
            lambda folder: change_all(folder, lambda pixels: 255 - pixels),
            "100% of the images are not those of the maps",
        ),
        (lambda folder: (folder / "test/a/003.png").write_bytes(b"x"), "test/a/003.png cannot be read"),
    ],
)
def test_what_is_no_folder_of_these_photographs_is_refused_and_leaves_nothing(
    home: Path, damage: Any, sentence: str
) -> None:
    first, _ = found_of(home)
    damage(home / "photos")
    with pytest.raises(ConfigError, match=sentence):
        shipped.make_pictures(first, home / "photos")
    assert first.sheets == [] and not list((home / "runs").glob(f"{runs.OF_EXAMPLES}/*"))


def test_other_decoders_may_round_differently(home: Path) -> None:
    change_all(home / "photos", lambda pixels: np.clip(pixels.astype(int) + 2, 0, 255).astype(np.uint8))
    first, _ = found_of(home)
    shipped.make_pictures(first, home / "photos")
    assert first.sheets


@pytest.mark.parametrize("line", ["/etc/passwd", "../../secret.png", "", "test/a/\0"])
def test_a_list_of_files_that_leads_elsewhere_is_refused(home: Path, line: str) -> None:
    first, _ = found_of(home)
    lines = (first.folder / shipped.PATHS).read_text().splitlines()
    (first.folder / shipped.PATHS).write_text("\n".join([line, *lines[1:]]) + "\n")
    with pytest.raises(ConfigError, match="does not name a file for each image"):
        shipped.make_pictures(first, home / "photos")
    assert shipped.find_folder(first, [home]) is None


def test_what_is_asked_for_beyond_is_computed_from_the_data_set_beside_the_users_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(home / "runs" / runs.EXAMPLES)
    models = models_of(home)
    assert [item.folder for item in embed.compute(models, CHOICE, ["pca"])] == [item.folder for item in found_of(home)]
    with pytest.raises(ConfigError, match="dataset is photos, which is neither a data set nor a folder that exists"):
        embed.compute(models, CHOICE, ["pca", "tsne"])
    monkeypatch.chdir(home)  # now there is a folder of that name
    found = embed.compute(models, CHOICE, ["pca", "tsne"])
    assert contents(home / "runs" / runs.EXAMPLES) == before
    assert all(item.folder.is_relative_to(home / "runs" / runs.OF_EXAMPLES) for item in found)
    assert not any(item.is_shipped for item in found) and found[0].features.shape == (NUM, 128)
    assert [item.folder for item in found_of(home)] == [item.folder for item in found]  # these come first from now on


def test_cards_without_features_are_not_looked_for(home: Path) -> None:
    first, second = found_of(home)
    sides = cards.of_embeddings(first, second)
    sides.path.unlink()
    with pytest.raises(ConfigError, match="These maps came without features"):
        cards.compute(cards.of_embeddings(first, second))


def test_the_command_reads_them_for_an_example(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = found_of(home)
    run = first.folder.parents[1].name
    assert main(["pictures", run, str(home / "nowhere"), "--runs_dir", str(home / "runs")]) == 2
    assert "which does not exist" in capsys.readouterr().err
    assert main(["pictures", run, str(home / "photos"), "--runs_dir", str(home / "runs")]) == 0
    assert Path(capsys.readouterr().out.splitlines()[-1]) == first.pictures and first.sheets
    own = runs.list_runs(home / "own")[0]
    assert main(["pictures", str(own.path), str(home / "photos")]) == 2
    assert "allowed: an example whose maps came without pictures." in capsys.readouterr().err


# --- what the repository holds --------------------------------------------------------------------------------------


def test_the_examples_of_cifar10_ship_maps_and_cards_and_are_small() -> None:
    choice = ImageSelection()
    found = [stored.find_embedding(EncoderRef(Run(EXAMPLES / name)), choice) for name in CIFAR]
    first, second = found
    assert first is not None and second is not None and first.is_shipped and second.is_shipped
    assert stored.same_images(first, second) and first.num_images == choice.num_images
    for item in (first, second):
        for method in ("pca", "umap", "tsne"):
            points = item.map(method)
            assert points is not None and np.ptp(points, axis=0).min() > 0
        assert item.knn_accuracy is not None and 0.5 < item.knn_accuracy < 0.7
        assert set(item.measured) and len(shipped.paths_of(item)) == first.num_images
        assert sum(path.stat().st_size for path in item.folder.iterdir()) < 2_500_000
        assert not [path for path in item.folder.iterdir() if path.suffix in (".png", ".jpg", ".jpeg", ".webp")]
    assert stored.find_pair(first, second) is not None
    kept = cards.load(cards.of_embeddings(first, second))  # of the rules as they are: pack them again when these change
    assert kept and {card.together for card in kept} == {0, 1}


def test_the_examples_of_shapes_ship_maps_pictures_factors_and_cards() -> None:
    found = [stored.find_embedding(EncoderRef(Run(EXAMPLES / name)), ImageSelection()) for name in SHAPES]
    first, second = found
    assert first is not None and second is not None
    assert stored.same_images(first, second) and stored.find_pair(first, second) is not None
    for item in (first, second):
        assert EXAMPLES in item.folder.parents  # nothing was computed for it here
        for method in ("pca", "umap", "tsne"):
            assert item.map(method) is not None and item.map_path(method).parent == item.folder
        assert item.sheets and {"hue", "shape"} & set(item.factors) and item.features.shape == (2000, 128)
    kept = cards.load(cards.of_embeddings(first, second))
    assert kept and {card.together for card in kept} == {0, 1}
