"""What can be asked for and read: names of models, keys, folders, damaged files, tables to take along."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from trainings import SMALL, trained_run

from simclr.config import ConfigError
from simclr.embeddings import compare, embed, embed_job, neighbors, projections, references, stored, tables
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import Embedding
from simclr.runs import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def pair(folder: Path) -> list[Run]:
    return [trained_run(folder, 1), trained_run(folder, 2)]


@pytest.fixture(scope="module")
def embedded(pair: list[Run]) -> list[Embedding]:
    return embed.compute([EncoderRef(run) for run in pair], SMALL, ["pca", Projection("pca", 3)])


def test_reading_needs_no_torch() -> None:
    heavy = {"torch", "umap", "sklearn", "scipy", "pandas", "numba"}
    modules = ", ".join(
        f"simclr.embeddings.{name}" for name in ("stored", "embed", "projections", "compare", "umap_server")
    )
    text = f"import sys; import {modules}; print(*{heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_model_is_found_again_by_its_reference(pair: list[Run], folder: Path) -> None:
    asked = [
        EncoderRef(pair[0]),
        EncoderRef(pair[1], checkpoint="epoch-12", layer="z"),
        EncoderRef(pair[0], checkpoint="best"),
        EncoderRef(pair[0], "untrained", layer="z"),
        EncoderRef(pair[0], "pixels"),
    ]
    texts = [model.reference for model in asked]
    assert texts[1:] == [f"{pair[1].id}@epoch-12@z", f"{pair[0].id}@best", "untrained@z", "pixels"]
    assert references.resolve_encoders(texts, folder) == asked
    assert references.resolve_encoders([pair[0].id], folder, "last", "z") == [
        EncoderRef(pair[0], "weights", "last", "z")
    ]
    assert asked[1].name == f"{pair[1].name}, epoch 12, layer z"
    assert asked[2].name == f"{pair[0].name}, best checkpoint"


def test_what_is_no_checkpoint_stays_part_of_a_name(folder: Path) -> None:
    with pytest.raises(ConfigError, match="RUN is x@epoch-0"):
        references.resolve_encoders(["x@epoch-0"], folder)


def test_the_checkpoints_that_a_run_has_are_listed_in_order(tmp_path: Path) -> None:
    run = trained_run(tmp_path)
    for name in ("epoch-10", "epoch-2", "best", "last", "previous", "epoch-x"):
        (run.path / "checkpoints" / f"{name}.ckpt").write_bytes(b"")
    assert references.checkpoints_of(run) == ["best", "last", "epoch-2", "epoch-10"]
    assert references.weights_path(run, "epoch-10").name == "epoch-10.ckpt"
    with pytest.raises(ConfigError, match=r"epoch-3, which .* does not have; .* \(best, last, epoch-2, epoch-10\)"):
        references.weights_path(run, "epoch-3")


def test_a_frozen_encoder_is_taken_from_the_final_weights(tmp_path: Path) -> None:
    import torch

    run = trained_run(tmp_path, kind="finetune", experiment_version="0", freeze_encoder=True)
    torch.save({"head": {}}, run.path / "checkpoints" / "last.ckpt")  # what such a run keeps: the head alone
    assert [references.weights_path(run, name).name for name in (None, "best", "last")] == ["model.pt"] * 3
    assert references.checkpoints_of(run) == []
    run.model_path.unlink()
    assert not references.has_weights(run)


def test_only_pretrainings_have_a_projector(pair: list[Run], tmp_path: Path) -> None:
    scratch = trained_run(tmp_path, kind="scratch", experiment_version="0")
    assert references.layers_of(EncoderRef(pair[0])) == ("h", "z")
    for model in (
        EncoderRef(scratch, layer="z"),
        EncoderRef(scratch, "untrained", layer="z"),
        EncoderRef(pair[0], "pixels"),
    ):
        model = dataclasses.replace(model, layer="z")
        with pytest.raises(ConfigError, match=r"layer is z, which .* not have; allowed: h"):
            stored.embedding_folder(model, SMALL)


# --- keys -----------------------------------------------------------------------------------------------------------


def test_the_key_follows_what_matters(pair: list[Run]) -> None:
    choices = (
        SMALL,
        ImageSelection(num_images=61),
        ImageSelection(num_images=60, seed=1),
        ImageSelection("val", 60),
        ImageSelection(num_images=None),
    )
    folders = {stored.embedding_folder(EncoderRef(pair[0]), choice) for choice in choices}
    others = (
        EncoderRef(pair[0], "pixels"),
        EncoderRef(pair[0], "untrained"),
        EncoderRef(pair[0], layer="z"),
        EncoderRef(pair[1]),
    )
    folders |= {stored.embedding_folder(model, SMALL) for model in others}
    assert len(folders) == len(choices) + len(others)


def test_the_name_of_a_map_follows_method_dimensions_and_options(embedded: list[Embedding]) -> None:
    asked = [
        "pca",
        "umap",
        "tsne",
        Projection("pca", 3),
        Projection("umap", 3),
        Projection("umap", n_neighbors=30),
        Projection("umap", min_dist=0.5),
        Projection("tsne", perplexity=10),
    ]
    paths = {embedded[0].map_path(projection) for projection in asked}
    assert len(paths) == len(asked)
    default = projections.OPTIONS["umap"]["n_neighbors"].default
    assert embedded[0].map_path(Projection("umap", n_neighbors=int(default))) == embedded[0].map_path("umap")


# --- reading --------------------------------------------------------------------------------------------------------


def test_maps_on_a_plane_and_in_space_lie_side_by_side(embedded: list[Embedding]) -> None:
    plane, space = embedded[0].map("pca"), embedded[0].map(Projection("pca", 3))
    assert plane is not None
    assert space is not None
    np.testing.assert_allclose(space[:, :2], plane, atol=1e-5)
    about = embedded[0].map_provenance(Projection("pca", 3))
    assert (about["method"], about["dims"], about["anchors"]) == ("pca", 3, 60)
    assert 0.5 < about["trustworthiness"] <= 1
    assert about["features_sha256"] == embedded[0].provenance["features_sha256"]


def test_neighbours_are_those_of_brute_force(embedded: list[Embedding]) -> None:
    unit = neighbors.unit_rows(np.array(embedded[0].features))
    for row in (0, 31, 59):
        found, similarity = neighbors.neighbors(unit, row, 59)
        assert set(embedded[0].neighbors[row].tolist()) == set(found.tolist())
        np.testing.assert_allclose(embedded[0].similarities[row], similarity, atol=1e-5)


@pytest.mark.parametrize(
    "name", [stored.NEIGHBORS, stored.SIMILARITIES, stored.PREDICTIONS, stored.FACTORS, stored.IDS]
)
@pytest.mark.parametrize("content", [b"", b"torn", None])
def test_a_folder_that_is_not_whole_is_no_embedding(
    name: str, content: bytes | None, embedded: list[Embedding], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in embedded[0].folder.iterdir():
        (copy / path.name).hardlink_to(path)
    assert stored.load_embedding(copy) is not None
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    assert stored.load_embedding(copy) is None


def test_a_pair_is_the_same_from_both_sides_and_damage_costs_the_pair_only(embedded: list[Embedding]) -> None:
    first, second = embedded
    found = stored.find_pair(first, second)
    other_way = stored.find_pair(second, first)
    assert found is not None
    assert other_way is not None
    np.testing.assert_array_equal(found.neighbor_jaccard, compare.neighbor_jaccard(first.neighbors, second.neighbors))
    np.testing.assert_array_equal(found.neighbor_jaccard, other_way.neighbor_jaccard)
    assert found.mean_jaccard == pytest.approx(found.neighbor_jaccard.mean())
    assert found.linear_cka == compare.linear_cka(np.array(first.features), np.array(second.features))
    about = stored.pair_path(first, second).with_suffix(".json")
    text = about.read_text()
    for damaged in ("{", "[]", "{}"):
        about.write_text(damaged)
        assert stored.find_pair(first, second) is None
    about.write_text(text)
    assert stored.find_pair(first, second) is not None


def test_features_that_change_make_another_pair(embedded: list[Embedding]) -> None:
    first, second = embedded
    changed = dataclasses.replace(second, provenance=second.provenance | {"features_sha256": "0123"})
    assert stored.pair_path(first, changed).name != stored.pair_path(first, second).name


# --- tables ---------------------------------------------------------------------------------------------------------


def test_a_table_holds_what_the_maps_show(embedded: list[Embedding]) -> None:
    first, second = embedded
    turned = projections.align(first.map("pca"), second.map("pca"))  # type: ignore[arg-type]
    frame = tables.table(embedded, "pca", ["SimCLR", "scratch"], [first.map("pca"), turned])  # type: ignore[list-item]
    assert frame["id"].tolist() == first.ids.tolist()
    assert frame["class"].tolist() == [first.classes[label] for label in first.labels]  # type: ignore[union-attr]
    np.testing.assert_array_equal(frame["factor:hue"], first.factors["hue"])
    np.testing.assert_array_equal(frame[["scratch x", "scratch y"]], turned)
    assert frame["SimCLR knn class"].tolist() == [first.classes[label] for label in first.predictions["knn"]]
    assert frame["SimCLR knn right"].mean() == pytest.approx(first.knn_accuracy)
    np.testing.assert_array_equal(frame["agreement"], stored.find_pair(first, second).neighbor_jaccard)  # type: ignore[union-attr]
    space = tables.table(embedded[:1], Projection("pca", 3))
    assert {"model_1 x", "model_1 y", "model_1 z"} < set(space)
    assert "agreement" not in space
    assert not [name for name in tables.table(embedded, "umap") if name.endswith((" x", " y"))]  # not drawn yet


def test_a_table_is_the_same_as_csv_and_as_parquet(embedded: list[Embedding], tmp_path: Path) -> None:
    import pandas

    frame = tables.table(embedded, "pca")
    tables.write_csv(frame, tmp_path / "table.csv")
    tables.write_parquet(frame, tmp_path / "table.parquet")
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "table.parquet"), frame)
    pandas.testing.assert_frame_equal(pandas.read_csv(tmp_path / "table.csv"), frame, check_dtype=False)
    stream = io.BytesIO()
    tables.write_csv(frame, stream)
    assert stream.getvalue() == (tmp_path / "table.csv").read_bytes()


def test_a_request_is_plain_and_tells_options_apart(pair: list[Run], folder: Path) -> None:
    names = [run.id for run in pair]
    asked = ("pca", Projection("umap", 3, n_neighbors=30))
    request = embed_job.request_of(names, SMALL, asked, folder)
    assert request["methods"] == ["pca", "umap:dims=3:n_neighbors=30"]
    assert json.loads(json.dumps(request)) == request
    assert request != embed_job.request_of(names, SMALL, ("pca", "umap"), folder)
