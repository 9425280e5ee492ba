"""Images changed step by step: the operations, and figures equal to the lab's, on the shipped runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from trainings import SMALL, trained_run

from simclr import runs
from simclr.analysis import encoders, invariance, placing, tugs
from simclr.analysis.placing import Layout, Space
from simclr.config import ConfigError
from simclr.data import shapes
from simclr.embeddings import embed, neighbors, references, stored
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection, open_split
from simclr.views import blur, color, resampling

EXAMPLES = Path(__file__).resolve().parents[3] / "runs" / "examples"
SIMCLR, SCRATCH = "20261125-150748-pretrain-shapes-resnet_tiny-zbwp", "20261125-151223-scratch-shapes-resnet_tiny-9g44"


def space_of(features: np.ndarray) -> Space:
    return Space.of(features, neighbors.nearest(neighbors.unit_rows(features), 5))


def shipped(run_id: str) -> tuple[EncoderRef, stored.Embedding, encoders.MapEncoder]:
    (model,) = references.resolve_encoders([run_id], EXAMPLES)
    embedding = stored.find_embedding(model, ImageSelection())
    assert embedding is not None
    return model, embedding, encoders.load_map_encoder(model, embedding)


# --- operations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", tugs.OPERATIONS.values(), ids=lambda item: item.name)
def test_each_operation_has_as_many_strengths_and_one_at_which_nothing_changes(operation: tugs.Operation) -> None:
    images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    assert len(operation.strengths) == tugs.NUM_STRENGTHS
    assert list(operation.strengths) == sorted(operation.strengths)
    rest = tugs.change(images, operation.name, operation.strengths[operation.rest])
    assert torch.equal(rest, images)
    for strength in operation.strengths:
        found = tugs.change(images, operation.name, strength)
        assert found.shape == images.shape and found.min() >= 0 and found.max() <= 1
        assert operation.text(strength)
    assert not torch.allclose(
        tugs.change(images, operation.name, operation.strengths[operation.mark]), images, atol=0.01
    )
    texts = [operation.text(strength) for strength in operation.strengths]
    assert len(set(texts)) == len(texts)


def test_operations_are_the_trainers_own() -> None:
    images = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    full = torch.ones(3)
    assert torch.equal(tugs.change(images, "hue", 0.25), color.adjust_hue(images, 0.25 * full))
    assert torch.equal(tugs.change(images, "hue", 0.75), color.adjust_hue(images, -0.25 * full))
    assert torch.equal(tugs.change(images, "brightness", 0.5), color.adjust_brightness(images, 0.5 * full))
    box = torch.tensor([[6, 6, 12, 12]]).expand(3, 4)
    assert torch.equal(tugs.change(images, "crop", 0.75), resampling.resized_crop(images, box, 24))
    assert torch.equal(tugs.change(images, "blur", 0.1), blur.gaussian_blur(images, 2.4 * full, 15))
    with pytest.raises(ValueError, match="operation is sharpen; allowed: hue, brightness"):
        tugs.change(images, "sharpen", 1)


def test_rotation_and_shift_go_where_they_say() -> None:
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(tugs.change(image, "rotation", 90.0), image.rot90(1, (2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(tugs.change(image, "rotation", -90.0), image.rot90(-1, (2, 3)), atol=1e-5, rtol=0)
    right = tugs.change(image, "shift", 0.25)
    torch.testing.assert_close(right[..., 4:], image[..., :-4], atol=1e-5, rtol=0)
    torch.testing.assert_close(right[..., :4], image[..., :4].flip(3), atol=1e-5, rtol=0)  # its mirror image comes in
    left = tugs.change(image, "shift", -0.25)
    torch.testing.assert_close(left[..., :-4], image[..., 4:], atol=1e-5, rtol=0)


# --- figures --------------------------------------------------------------------------------------------------------


def test_how_far_images_move_equals_the_lab_to_a_thousandth() -> None:
    """The lab measures many images at one strength, a tug one image at many; both changes lie in `STRENGTHS`."""
    images = shapes.generate("test", 24, 32).images
    _, _, encoder = shipped(SIMCLR)
    frozen = encoders.FrozenEncoder(encoder.network, None, 32)
    lab = invariance.invariance(frozen, images)["layers"]["h"]["moved"]
    features = encoder.of_pixels(torch.from_numpy(images).float() / 255)
    space = space_of(features)
    layout = placing.layout_of("umap", features[:, :2], features)
    moved = np.stack(
        [tugs.tug(tugs.change_image(image, [encoder]).features[0], space, layout).moved for image in images]
    )
    names = list(tugs.OPERATIONS)

    def mean(operation: str, strengths: list[float]) -> float:
        """Of images of which each has its own strength, as the lab lets brighter and darker alternate."""
        places = [tugs.OPERATIONS[operation].strengths.index(round(strength, 6)) for strength in strengths]
        return float(moved[np.arange(len(images)), names.index(operation), places].mean())

    def of_lab(operation: str, strength: float) -> float:
        return lab[operation][invariance.STRENGTHS[operation].index(strength)]

    assert mean("hue", [0.5] * 24) == pytest.approx(of_lab("hue", 0.5), abs=1e-3)
    assert of_lab("hue", 0.5) > 0.1
    for strength in (0.2, 0.4, 0.6):
        both_ways = [1 + strength * (1 - 2 * (number % 2)) for number in range(24)]
        assert mean("brightness", both_ways) == pytest.approx(of_lab("brightness", strength), abs=1e-3)
    for sigma in (0.01, 0.02, 0.04, 0.07, 0.1):
        assert mean("blur", [sigma] * 24) == pytest.approx(of_lab("blur", sigma), abs=1e-3)


@pytest.mark.parametrize(("run_id", "expected"), [(SIMCLR, 0.22), (SCRATCH, 0.99)])
def test_half_a_turn_of_hue_moves_images_as_far_as_was_measured(run_id: str, expected: float) -> None:
    model, embedding, encoder = shipped(run_id)
    images = tugs.pixels_at(open_split(model.run, ImageSelection()), embedding.ids[:200].tolist())
    found = tugs.average_moved(encoder, Space.of(embedding.features, embedding.near), images)
    assert found["hue"] == pytest.approx(expected, abs=0.02)
    assert set(found) == set(tugs.OPERATIONS)


def test_an_image_of_the_map_begins_where_it_stands_and_has_the_neighbours_that_are_kept() -> None:
    model, embedding, encoder = shipped(SIMCLR)
    row = 40
    image = tugs.pixels_at(open_split(model.run, ImageSelection()), [int(embedding.ids[row])])[0]
    changed = tugs.change_image(image, [encoder, encoder])
    space = Space.of(embedding.features, embedding.near)
    tugs.check_same(changed.features[0], space, row, "SimCLR")
    np.testing.assert_array_equal(changed.features[0], changed.features[1])
    np.testing.assert_array_equal(changed.tiles[0, 0], image)
    for method in ("pca", "umap"):
        points = embedding.map(method)
        layout = placing.layout_of(method, points, embedding.features)
        found = tugs.tug(changed.features[0], space, layout, row)
        assert found.is_exact == (method == "pca")
        for number, operation in enumerate(tugs.OPERATIONS.values()):
            assert found.moved[number, operation.rest] == pytest.approx(0, abs=1e-3)
            np.testing.assert_allclose(found.points[number, operation.rest], points[row], atol=2e-3)
        assert found.neighbors[0, 0].tolist() == embedding.neighbors[row, : tugs.NUM_NEIGHBORS].tolist()
        np.testing.assert_allclose(
            found.similarities[0, 0], embedding.similarities[row, : tugs.NUM_NEIGHBORS], atol=1e-4
        )
        assert found.moved[0, 16] > 0.1
        assert row not in found.neighbors


# --- what does not fit ----------------------------------------------------------------------------------------------


@pytest.fixture
def computed(tiny_runs: Path) -> tuple[EncoderRef, stored.Embedding]:
    model = EncoderRef(trained_run(tiny_runs))
    return model, embed.compute([model], SMALL, ["pca"])[0]


def test_other_weights_and_other_images_are_noticed(computed: tuple[EncoderRef, stored.Embedding]) -> None:
    model, embedding = computed
    encoder = encoders.load_map_encoder(model, embedding)
    split = open_split(model.run, SMALL)
    images = tugs.pixels_at(split, embedding.ids[:2].tolist())
    space = Space.of(embedding.features, embedding.near)
    features = [tugs.change_image(image, [encoder]).features[0] for image in images]
    tugs.check_same(features[1], space, 1, "X")
    with pytest.raises(ConfigError, match="X gives this image other features now"):
        tugs.check_same(-features[1], space, 1, "X")
    with pytest.raises(ConfigError, match="Image 987654 is not among the images"):
        tugs.pixels_at(split, [int(embedding.ids[0]), 987654])
    other = trained_run(model.run.path.parent / "others", 2)
    shutil.copy(other.model_path, model.run.model_path)
    with pytest.raises(ConfigError, match="other weights than these maps were drawn of"):
        encoders.load_map_encoder(model, embedding)
    model.run.model_path.unlink()
    with pytest.raises(ConfigError, match="has no weights"):
        encoders.load_map_encoder(model, embedding)


@pytest.mark.parametrize("what", ["weights", "untrained", "pixels"])
@pytest.mark.parametrize("layer", ["h", "z"])
def test_every_kind_of_encoder_gives_the_features_that_are_kept(tiny_runs: Path, what: str, layer: str) -> None:
    if (what, layer) == ("pixels", "z"):
        pytest.skip("pixels have no projector")
    run = trained_run(tiny_runs)
    if what == "weights" and layer == "z":
        pytest.skip("these weights hold no projector")
    model = EncoderRef(run, what, None, layer)
    embedding = embed.compute([model], SMALL, [])[0]
    encoder = encoders.load_map_encoder(model, embedding)
    images = tugs.pixels_at(open_split(run, SMALL), embedding.ids.tolist())
    found = encoder.of_pixels(torch.from_numpy(images).float() / 255)
    np.testing.assert_allclose(found, embedding.features, atol=1e-4)


def test_a_classifier_gives_probabilities() -> None:
    _, embedding, encoder = shipped(SCRATCH)
    assert encoder.classes == tuple(embedding.classes)
    x = encoder.preprocess.batch(torch.from_numpy(shapes.generate("test", 8, 32).images))
    _, probabilities = encoder.of_prepared([x[:5], x[5:]])
    assert probabilities is not None and probabilities.shape == (8, len(encoder.classes))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert shipped(SIMCLR)[2].of_prepared([x])[1] is None


def test_a_layout_of_neighbours_needs_no_axes() -> None:
    assert not Layout(np.zeros((3, 2), dtype=np.float32)).is_exact
    assert runs.is_run_folder(EXAMPLES / SIMCLR)
