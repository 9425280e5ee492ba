"""Features and maps on disk: what they are, when they are computed again, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainings import SMALL, trained_run

from simclr import PACKAGE, runs
from simclr.cli import main
from simclr.config import ConfigError
from simclr.embeddings import (
    compare,
    embed,
    embed_job,
    measures,
    networks,
    projections,
    references,
    selection,
    stored,
    umap_server,
)
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import Embedding
from simclr.launch import jobs
from simclr.models.weights import file_hash
from simclr.runs import Run
from simclr.runs.status import Status


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def command(*arguments: str | Path) -> list[str]:
    return ["embed", *map(str, arguments)]


@pytest.fixture(scope="module")
def pair(folder: Path) -> list[EncoderRef]:
    return [EncoderRef(trained_run(folder, 1)), EncoderRef(trained_run(folder, 2))]


@pytest.fixture(scope="module")
def embedded(pair: list[EncoderRef]) -> list[Embedding]:
    return embed.compute(pair, SMALL, ["pca"])


def test_features_are_those_of_the_encoder_on_the_plain_images(
    pair: list[EncoderRef], embedded: list[Embedding]
) -> None:
    import torch

    from simclr.data import shapes
    from simclr.models import backbones
    from simclr.views import augment

    first = embedded[0]
    encoder = backbones.build_encoder("resnet_tiny", 16)
    encoder.network.load_state_dict(torch.load(pair[0].run.model_path, weights_only=True))
    images = torch.from_numpy(shapes.generate("test", 2000, 16).images[first.ids])
    with torch.inference_mode():
        expected = encoder.network.eval()(augment.normalize(augment.to_float(images))).numpy()
    np.testing.assert_allclose(first.features, expected, rtol=1e-4, atol=1e-5)


def test_all_models_see_the_same_images_in_class_proportion(embedded: list[Embedding]) -> None:
    first, second = embedded
    np.testing.assert_array_equal(first.ids, second.ids)
    assert stored.same_images(first, second)
    assert first.labels is not None
    assert np.bincount(first.labels).tolist() == [6] * 10
    assert not np.allclose(first.features, second.features)


def test_another_seed_chooses_other_images(pair: list[EncoderRef], embedded: list[Embedding]) -> None:
    other = embed.compute(pair[:1], ImageSelection(num_images=60, seed=5), [])[0]
    assert set(other.ids.tolist()) != set(embedded[0].ids.tolist())
    assert not stored.same_images(other, embedded[0])


def test_provenance_says_what_was_computed_from_what(pair: list[EncoderRef], embedded: list[Embedding]) -> None:
    about = embedded[0].provenance
    assert about["run"] == pair[0].run.id
    assert about["weights"] == "model.pt"
    assert about["weights_sha256"] == file_hash(pair[0].run.model_path)
    assert (about["split"], about["layer"], about["num_images"], about["num_features"]) == ("test", "h", 60, 128)
    assert about["data"]["dataset"] == "shapes"
    assert about["versions"]["torch"]
    assert 0 <= about["numbers"]["knn_accuracy"] <= 1
    assert set(embedded[0].factors) >= {"hue", "size", "rotation"}
    made = embedded[0].map_provenance("pca")
    assert made["method"] == "pca"
    assert 0 <= made["neighbors_kept"] <= 1


def test_thumbnails_show_the_images(embedded: list[Embedding]) -> None:
    from PIL import Image

    from simclr.data import shapes

    first = embedded[0]
    tile = first.provenance["thumbnails"]
    sheet = np.asarray(Image.open(first.sheets[0]))
    images = shapes.generate("test", 2000, 16).images
    for place in (0, 51):
        row, column = divmod(place, tile["columns"])
        shown = sheet[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
        np.testing.assert_array_equal(shown, images[first.ids[place]].transpose(1, 2, 0))


def test_what_images_look_like_is_kept_beside_the_features_or_measured_from_the_thumbnails(
    pair: list[EncoderRef], embedded: list[Embedding], tmp_path: Path
) -> None:
    from simclr.data import shapes
    from simclr.views import appearance

    first = embedded[0]
    expected = appearance.measure(shapes.generate("test", 2000, 16).images[first.ids])
    for name in appearance.MEASURES:
        np.testing.assert_array_equal(first.measured[name], expected[name])
    older = tmp_path / "older"
    damages: list[Any] = [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"PK damaged"),
        lambda path: np.savez(path, version=np.array(1), lightness=np.zeros(60, np.float16)),
        lambda path: np.savez(path, version=np.array(0), **expected),
        lambda path: np.savez(path, version=np.array("x"), **expected),
        lambda path: np.savez(path, version=np.array(1), **{name: np.full(60, np.nan) for name in expected}),
    ]
    for damage in damages:
        shutil.copytree(first.folder, older)
        damage(older / stored.MEASURED)
        found = stored.load_embedding(older)
        assert found is not None and found.measured == {}
        again = stored.measured_of(found)
        for name in appearance.MEASURES:
            np.testing.assert_array_equal(again[name], expected[name])
        for sheet in found.sheets:
            sheet.write_bytes(b"no picture")
        assert stored.measured_of(found) == {}
        shutil.rmtree(older)


def test_a_second_time_computes_nothing(
    pair: list[EncoderRef], embedded: list[Embedding], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "load_selection", lambda *_: pytest.fail("images were read again"))
    monkeypatch.setattr(embed, "_make_map", lambda *_: pytest.fail("a map was made again"))
    again = embed.compute(pair, SMALL, ["pca"])
    assert [item.folder for item in again] == [item.folder for item in embedded]
    np.testing.assert_array_equal(again[0].map("pca"), embedded[0].map("pca"))


MOMENTS = ("folder_for", "load_selection", "features_of", "network_of", "measure", "save_embedding")


@pytest.mark.parametrize("moment", MOMENTS)
def test_features_are_of_the_weights_they_are_named_after(
    pair: list[EncoderRef], embedded: list[Embedding], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A training puts another checkpoint in its place at any moment."""
    run = trained_run(tmp_path, 1)
    model, last = EncoderRef(run, checkpoint="last"), run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT
    shutil.copyfile(pair[0].run.model_path, last)
    shutil.copyfile(pair[1].run.model_path, last.with_name("next"))
    module = networks if moment == "network_of" else embed
    real = getattr(module, moment)

    def replacing(*arguments: Any) -> Any:
        found = real(*arguments) if moment == "folder_for" else None  # this one after it was named
        if last.with_name("next").exists():
            os.replace(last.with_name("next"), last)
        return found or real(*arguments)

    monkeypatch.setattr(module, moment, replacing)
    (found,) = embed.compute([model], SMALL, [])
    monkeypatch.undo()
    assert found.provenance["weights_sha256"] == file_hash(pair[0].run.model_path)
    np.testing.assert_array_equal(found.features, embedded[0].features)
    (after,) = embed.compute([model], SMALL, [])
    assert after.folder != found.folder
    np.testing.assert_array_equal(after.features, embedded[1].features)


def test_weights_that_are_written_over_are_refused(
    pair: list[EncoderRef], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not put in its place as a training does, but into the very file that was opened."""
    model = EncoderRef(trained_run(tmp_path, 1))
    real = selection.load_selection

    def writing(*arguments: Any) -> Any:
        shutil.copyfile(pair[1].run.model_path, model.run.model_path)
        return real(*arguments)

    monkeypatch.setattr(embed, "load_selection", writing)
    with pytest.raises(ConfigError, match=r"RUN has the weights .*, which is being written to"):
        embed.compute([model], SMALL, [])
    assert not list(model.run.path.glob("embeddings/*"))


def test_a_file_is_hashed_again_when_another_takes_its_place(tmp_path: Path) -> None:
    """Also one of the same size and time."""
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    before, stat = file_hash(path), path.stat()
    (tmp_path / "other").write_bytes(b"two")
    os.utime(tmp_path / "other", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(tmp_path / "other", path)
    assert file_hash(path) != before
    before = file_hash(path)
    path.write_bytes(b"six")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file_hash(path) != before


def test_an_untrained_network_has_the_stem_of_the_weights_there_are(tmp_path: Path) -> None:
    """Before the first checkpoint its stem follows from the size alone: those features are not found later."""
    run = trained_run(tmp_path, backbone="resnet18")
    shutil.copyfile(run.model_path, tmp_path / "kept")
    run.model_path.unlink()
    before = stored.embedding_folder(EncoderRef(run, "untrained"), SMALL)
    shutil.copyfile(tmp_path / "kept", run.model_path)
    assert stored.embedding_folder(EncoderRef(run, "untrained"), SMALL) != before


def test_a_map_of_features_that_were_replaced_meanwhile_is_not_taken_for_one_of_the_new(tmp_path: Path) -> None:
    (old,) = embed.compute([EncoderRef(trained_run(tmp_path))], SMALL, [])
    about = old.provenance | {"features_sha256": "of the new"}
    assert dataclasses.replace(old, provenance=about).map_path("pca") != old.map_path("pca")


def test_features_of_the_test_images_are_found_by_either_name(
    pair: list[EncoderRef], embedded: list[Embedding], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert embedded[0].provenance["split"] == "test"
    by_name = dataclasses.replace(SMALL, split="test")
    assert SMALL.split == "auto"
    monkeypatch.setattr(embed, "load_selection", lambda *_: pytest.fail("images were read again"))
    assert [item.folder for item in embed.compute(pair, by_name, ["pca"])] == [item.folder for item in embedded]
    assert stored.find_embedding(pair[0], dataclasses.replace(SMALL, split="val")) is None


def test_a_network_that_was_trained_on_has_features_of_its_own(tmp_path: Path) -> None:
    import torch

    model = EncoderRef(trained_run(tmp_path))
    before = stored.embedding_folder(model, SMALL)
    embed.compute([model], SMALL, [])
    assert stored.find_embedding(model, SMALL) is not None
    state = torch.load(model.run.model_path, weights_only=True)
    state["conv1.weight"] += 1
    torch.save(state, model.run.model_path)
    assert stored.embedding_folder(model, SMALL) != before
    assert stored.find_embedding(model, SMALL) is None


def test_damaged_features_are_computed_again(tmp_path: Path) -> None:
    model = EncoderRef(trained_run(tmp_path))
    first = embed.compute([model], SMALL, ["pca"])[0]
    (first.folder / stored.FEATURES).write_bytes(b"\x93NUMPY torn")
    assert stored.find_embedding(model, SMALL) is None
    again = embed.compute([model], SMALL, ["pca"])[0]
    assert again.features.shape == (60, 128)
    first.map_path("pca").write_bytes(b"torn")
    assert again.map("pca") is None
    assert embed.compute([model], SMALL, ["pca"])[0].map("pca") is not None
    assert [path.name for path in first.folder.parent.iterdir()] == [first.folder.name]  # nothing half written is left


def test_images_that_changed_on_disk_are_looked_at_again_by_all(tmp_path: Path) -> None:
    from conftest import make_folder

    data = make_folder(
        tmp_path / "images", {f"{split}/{name}": 8 for split in ("train", "test") for name in ("a", "b")}
    )
    pair = [EncoderRef(trained_run(tmp_path / "runs", seed, dataset=str(data))) for seed in (1, 1)]
    first, _ = embed.compute(pair, SMALL, [])
    assert first.num_images == 16
    old = first.provenance["images"]
    make_folder(tmp_path / "images", {"test/b": 8, "test/a": 8})
    shutil.rmtree(stored.embedding_folder(pair[1], SMALL))
    first, second = embed.compute(pair, SMALL, [])
    assert first.provenance["images"] != old
    assert stored.same_images(first, second)


def test_images_without_classes_are_embedded_too(tmp_path: Path) -> None:
    from conftest import make_folder

    data = make_folder(tmp_path / "images", {"": 30})
    found = embed.compute(
        [EncoderRef(trained_run(tmp_path / "runs", dataset=str(data), val_fraction=0.5))], ImageSelection(), ["pca"]
    )[0]
    assert found.labels is None
    assert found.knn_accuracy is None
    assert found.provenance["split"] == "val"
    assert found.map("pca") is not None


def test_untrained_and_pixels_stand_beside_a_run(pair: list[EncoderRef]) -> None:
    import torch

    from simclr.models import backbones

    models = references.resolve_encoders([pair[0].run.id, "untrained", "pixels"], pair[0].run.path.parent)
    _, untrained, pixels = embed.compute(models, SMALL, ["pca"])
    assert pixels.features.shape == (60, 3 * 16 * 16)
    torch.manual_seed(pair[0].run.config["seed"])  # the weights that its training began with
    network = backbones.build_encoder("resnet_tiny", 16).network.eval()
    with torch.inference_mode():
        x = torch.from_numpy(np.array(pixels.features)).view(-1, 3, 16, 16)
        np.testing.assert_allclose(untrained.features, network(x).numpy(), rtol=1e-4, atol=1e-5)


def test_checkpoints_stand_in_for_a_run_without_final_weights(tmp_path: Path) -> None:
    import torch

    run = trained_run(tmp_path)
    state = torch.load(run.model_path, weights_only=True)
    checkpoint = {
        "state_dict": {f"encoder.{key}": value for key, value in state.items()} | {"head.0.weight": torch.ones(2)}
    }
    torch.save(checkpoint, run.path / "checkpoints" / "last.ckpt")
    expected = embed.compute([EncoderRef(run)], SMALL, [])[0].features
    run.model_path.unlink()
    assert references.weights_path(run).name == "last.ckpt"
    np.testing.assert_array_equal(embed.compute([EncoderRef(run)], SMALL, [])[0].features, expected)
    with pytest.raises(ConfigError, match="checkpoint is best, which"):
        references.weights_path(run, "best")


def test_a_stop_leaves_what_was_whole_and_nothing_half(tmp_path: Path) -> None:
    pair = [EncoderRef(trained_run(tmp_path, 1)), EncoderRef(trained_run(tmp_path, 2))]
    phases: list[str] = []

    def check() -> None:
        if sum(phase.startswith("Computing") for phase in dict.fromkeys(phases)) == 2:
            raise jobs.Stopped

    with pytest.raises(jobs.Stopped):
        embed.compute(pair, SMALL, ["pca"], report=lambda phase, share: phases.append(phase), check=check)
    assert stored.find_embedding(pair[0], SMALL) is not None
    assert stored.find_embedding(pair[1], SMALL) is None


def test_progress_never_goes_back(tmp_path: Path) -> None:
    shares: list[float] = []
    embed.compute([EncoderRef(trained_run(tmp_path))], SMALL, ["pca"], report=lambda phase, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


# --- layers, predictions, labels ------------------------------------------------------------------------------------


def with_head(run: Run, head: Any, path: Path | None = None) -> None:
    """Gives a run's weights a head: in `model.pt` under the classifier's name, in a checkpoint as `head`."""
    import torch

    state = torch.load(run.model_path, weights_only=True)
    if path is None:
        torch.save(state | {f"fc.{key}": value for key, value in head.state_dict().items()}, run.model_path)
    else:
        encoder = {f"encoder.{key}": value for key, value in state.items()}
        torch.save({"state_dict": encoder | {f"head.{key}": value for key, value in head.state_dict().items()}}, path)


def test_z_is_what_the_projector_makes_of_h(tmp_path: Path) -> None:
    import torch

    from simclr.models import heads

    run = trained_run(tmp_path, hidden_dim=24, projection_dim=8)
    heads_of = {name: heads.projection_head(128, 24, 8) for name in ("model", "epoch-3")}
    with_head(run, heads_of["epoch-3"], run.path / "checkpoints" / "epoch-3.ckpt")
    with_head(run, heads_of["model"])
    asked = [EncoderRef(run), EncoderRef(run, layer="z"), EncoderRef(run, "weights", "epoch-3", "z")]
    h, z, z_before = embed.compute(asked, SMALL, [])
    with torch.inference_mode():
        for found, name in ((z, "model"), (z_before, "epoch-3")):
            expected = heads_of[name](torch.from_numpy(np.array(h.features))).numpy()
            np.testing.assert_allclose(found.features, expected, rtol=1e-4, atol=1e-5)
    assert (z.provenance["layer"], z.provenance["num_features"]) == ("z", 8)
    assert z_before.provenance["weights"] == "checkpoints/epoch-3.ckpt"
    assert "classifier" not in h.predictions


def test_a_trained_classifier_says_what_it_sees(tmp_path: Path) -> None:
    import torch

    from simclr.models import heads

    for head in ("linear", "mlp"):
        run = trained_run(
            tmp_path, kind="scratch", experiment_version="0", num_classes=10, head=head, hidden_dim=24, seed=3
        )
        classifier = heads.classifier(128, 10, head, 24)  # type: ignore[arg-type]
        with_head(run, classifier)
        found = embed.compute([EncoderRef(run)], SMALL, [])[0]
        with torch.inference_mode():
            expected = classifier(torch.from_numpy(np.array(found.features))).argmax(dim=1).numpy()
        np.testing.assert_array_equal(found.predictions["classifier"], expected)
        assert found.numbers["classifier_accuracy"] == (expected == found.labels).mean()


def test_predictions_and_numbers_are_those_of_the_features(embedded: list[Embedding]) -> None:
    from sklearn.metrics import silhouette_score

    found = embedded[0]
    assert set(found.predictions) == {"knn", "linear"}
    np.testing.assert_array_equal(found.predictions["knn"], compare.knn_votes(found.near, found.labels))  # type: ignore[arg-type]
    for kind in found.predictions:
        assert found.numbers[f"{kind}_accuracy"] == (found.predictions[kind] == found.labels).mean()
    expected = silhouette_score(found.features, found.labels, metric="cosine")
    assert found.numbers["silhouette"] == pytest.approx(expected, abs=1e-5)
    assert len(found.numbers["silhouette_per_class"]) == 10
    assert found.labelled is None


def test_linear_votes_never_come_from_a_probe_that_saw_the_image() -> None:
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 400)
    # many features and no signal: a probe would know each image that it was fitted on
    noise = generator.normal(size=(400, 300)).astype(np.float32)
    assert np.mean(measures.linear_votes(noise, labels, 0, lambda _: None) == labels) < 0.4
    signal = noise[:, :8] + 2 * np.eye(4, 8, dtype=np.float32)[labels]
    votes = measures.linear_votes(signal, labels, 0, lambda _: None)
    half = np.arange(400) % 2 == 0
    reference = LogisticRegression(C=5.0).fit(signal[half], labels[half]).score(signal[~half], labels[~half])
    assert np.mean(votes == labels) == pytest.approx(reference, abs=0.05)


def test_the_training_images_whose_labels_a_run_used_are_marked(tmp_path: Path) -> None:
    from simclr.data import loading, splits

    options = {"limit_images": 100, "seed": 4, "experiment_version": "0"}
    run = trained_run(tmp_path, kind="finetune", label_fraction=0.2, **options)
    found = embed.compute([EncoderRef(run)], ImageSelection("train", None), [])[0]
    assert found.labelled is not None
    train = loading.load_data("shapes", image_size=16, seed=4, limit_images=100, val_fraction=0.1).train
    assert train.labels is not None
    used = train.ids[splits.label_subset(train.labels, 0.2, 4)].tolist()
    assert found.ids[found.labelled].tolist() == used
    assert len(used) == 18
    assert embed.compute([EncoderRef(run)], ImageSelection("val", None), [])[0].labelled is None


def test_umap_is_left_to_the_process_for_maps_and_drawn_here_where_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = EncoderRef(trained_run(tmp_path))
    marks = {"there": np.full((60, 2), 7, dtype=np.float32), "here": np.zeros((60, 3), dtype=np.float32)}
    asked: list[Any] = []

    def draw(projection: Any, features: Any, near: Any, seed: int, job: Path, progress: Any) -> Any:
        asked.append((projection, near.indices.shape, job))
        progress("drawing", 0.5)
        return marks["there"] if projection.dims == 2 else None

    monkeypatch.setattr(umap_server, "draw", draw)
    monkeypatch.setattr(projections, "umap", lambda *_, **__: marks["here"])
    space = Projection("umap", 3, n_neighbors=20)
    found = embed.compute([model], SMALL, ["umap", space], job=tmp_path)[0]
    np.testing.assert_array_equal(found.map("umap"), marks["there"])
    np.testing.assert_array_equal(found.map(space), marks["here"])
    assert asked == [(Projection("umap"), (60, 59), tmp_path), (space, (60, 59), tmp_path)]
    embed.compute([model], SMALL, [Projection("umap", 3)])  # without a job nothing is left running behind it
    assert len(asked) == 2


# --- the command ----------------------------------------------------------------------------------------------------


def test_command_computes_and_names_the_folder(pair: list[EncoderRef], capsys: pytest.CaptureFixture[str]) -> None:
    code = main.main(command(pair[0].run.path, "--num_images", "30", "--method", "none"))
    assert code == 0
    folder = Path(capsys.readouterr().out.strip().splitlines()[-1])
    assert stored.load_embedding(folder) is not None
    assert not list(folder.glob("pca*"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "RUN is nothing; allowed:"),
        (["pixels"], "RUN is pixels; allowed: at least one run"),
        (["{run}", "--split", "tset"], "split is tset; allowed: auto, test, val, train; did you mean test?"),
        (["{run}", "--num_images", "0"], "num_images is 0; allowed: a whole number from 2"),
        (["{run}", "--num_images", "many"], "num_images is many; allowed:"),
        (["{run}", "--num_images", "3"], "num_images is 3; allowed: at least 5"),
        (["{run}", "--method", "ump"], "method is ump; allowed: pca, umap, tsne, none; did you mean umap?"),
        (["{run}", "--seed", "-1"], "seed is -1; allowed:"),
        (["{run}", "--checkpoint", "first"], "checkpoint is first; allowed: best, last, epoch-N."),
        (["{run}", "--checkpoint", "epoch-7"], "checkpoint is epoch-7, which"),
        (["{run}", "--layer", "y"], "layer is y; allowed: h, z"),
        (["{run}", "pixels", "--layer", "z"], "layer is z, which raw pixels do not have"),
        (["{run}", "--layer", "z"], "layer is z, whose weights"),
        (["{scratch}@z"], "does not have; allowed: h, or a pre-training's projector"),
        (["{run}", "--dims", "4"], "dims is 4; allowed: 2 or 3"),
        (["{run}", "--dims", "flat"], "dims is flat; allowed: a number"),
        (["{run}", "--min_dist", "0.5"], "min_dist is 0.5 and method is pca; allowed: with method umap"),
        (["{run}", "--method", "tsne", "--perplexity", "1"], "perplexity is 1; allowed: a whole number from 2 to 200"),
        (["{run}", "--method", "umap:colour=3"], "method is umap:colour=3; allowed:"),
        (["{run}", "--checkpoint", "best"], "checkpoint is best, which"),
        (["{run}", "{other}"], "image_size is 32 in"),
        (["{run}", "{digits}"], "dataset is digits in"),
        (["{run}", "{unweighted}"], "has no weights yet"),
        (["{run}", "{broken}"], "is not a weights file"),
        (["{run}", "{narrow}"], "RUN has the weights"),
        (["{run}", "--job_dir", "/nowhere"], "job_dir is /nowhere; allowed: an existing folder."),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = {name: tmp_path / name for name in ("run", "other", "digits", "unweighted", "broken", "narrow", "scratch")}
    paths = dict.fromkeys(needed, "")
    for name in needed:
        if any(f"{{{name}}}" in text for text in arguments):
            options: dict[str, Any] = {
                "other": {"image_size": 32},
                "digits": {"dataset": "digits"},
                "scratch": {"kind": "scratch", "experiment_version": "0"},
            }.get(name, {})
            run = trained_run(tmp_path, **options)
            if name == "unweighted":
                run.model_path.unlink()
            if name == "broken":
                run.model_path.write_bytes(b"weights")
            if name == "narrow":
                import torch

                torch.save({"conv1.weight": torch.ones(3, 3, 3, 3)}, run.model_path)
            paths[name] = str(run.path)
    code = main.main(["embed", *(text.format(**paths) for text in arguments), "--runs_dir", str(tmp_path)])
    message = capsys.readouterr().err
    assert code == 2
    assert sentence in message
    assert "Traceback" not in message
    assert not list(tmp_path.glob("*/embeddings/.*"))


# --- jobs -----------------------------------------------------------------------------------------------------------


def wait_for(folder: Path, *states: str, seconds: float = 60) -> Status:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = runs.current_status(folder)
        if status.state in states:
            return status
        time.sleep(0.1)
    pytest.fail(f"{runs.current_status(folder)}; {runs.Run(folder).log_tail()}")


def test_a_job_tells_its_progress_and_is_found_by_what_it_was_asked(tmp_path: Path) -> None:
    pair = [trained_run(tmp_path, seed) for seed in (1, 2)]
    names = [run.id for run in pair]
    job = embed_job.start_job(names, SMALL, ["pca"], tmp_path)
    assert embed_job.start_job(names, SMALL, ["pca"], tmp_path) == job  # a second click
    request = embed_job.request_of(names, SMALL, ["pca"], tmp_path)
    assert embed_job.find_job(request, tmp_path) == job
    assert embed_job.find_job(request | {"methods": ["umap"]}, tmp_path) is None
    status = wait_for(job, "finished", "failed")
    assert (status.state, status.exit_code, status.progress) == ("finished", 0, 1.0), runs.Run(job).log_tail()
    assert all(stored.find_embedding(EncoderRef(run), SMALL).map("pca") is not None for run in pair)  # type: ignore[union-attr]


def test_a_failed_job_says_why_in_a_sentence(tmp_path: Path) -> None:
    run = trained_run(tmp_path)
    run.model_path.write_bytes(b"weights")
    job = embed_job.start_job([run.id], SMALL, ["pca"], tmp_path)
    status = wait_for(job, "finished", "failed")
    assert status.state == "failed"
    assert "is not a weights file" in status.error


def test_sigterm_stops_a_job_with_status_75(tmp_path: Path) -> None:
    run = trained_run(tmp_path, image_size=64)  # large enough to be caught in the middle
    job = tmp_path / "job"
    job.mkdir()
    runs.update_status(job, state="starting")
    arguments = command(run.path, "--num_images", "all", "--job_dir", job, "--runs_dir", tmp_path)
    process = subprocess.Popen(runs.python_command(*arguments), env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)})
    try:
        wait_for(job, "running")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == runs.STOPPED_EXIT_CODE
    finally:
        process.kill()
    status = json.loads((job / runs.STATUS).read_text())
    assert status["state"] == "stopped"
    assert not list(run.path.glob("embeddings/*"))
