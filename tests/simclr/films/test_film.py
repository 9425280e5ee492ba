"""The training film: what is kept while a run trains, and maps that belong together."""

import itertools

import numpy as np
import pytest
from conftest import TINY, TINY_PRETRAIN

from simclr import config as cfg
from simclr import runs
from simclr.embeddings import neighbors, projections
from simclr.films import film
from simclr.lifecycle.train import train
from simclr.runs import film_frames


@pytest.mark.parametrize(
    ("num_epochs", "num_frames", "epochs"),
    [(20, 20, list(range(21))), (200, 4, [0, 50, 100, 150, 200]), (3, 20, [0, 1, 2, 3]), (7, 2, [0, 4, 7]), (5, 0, [])],
)
def test_the_epochs_kept_are_evenly_spread_from_the_start_to_the_end(num_epochs, num_frames, epochs):
    assert film_frames.planned_epochs(num_epochs, num_frames) == epochs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film")
    values = TINY_PRETRAIN | {"epochs": 4, "film_frames": 2, "evaluate": False, "limit_images": 120}
    pretraining = train(cfg.build(cfg.PretrainConfig, values), runs_dir=folder)
    scratch = train(
        cfg.build(
            cfg.FinetuneConfig,
            TINY
            | {
                "epochs": 4,
                "random_weight_init": True,
                "backbone": "resnet_tiny",
                "limit_images": 120,
                "film_frames": 2,
            },
        ),
        runs_dir=folder,
    )
    return pretraining, scratch


def test_a_training_keeps_the_features_of_the_same_images(trained):
    films = [film.load(run) for run in trained]
    for found in films:
        assert found.epochs == (0, 2, 4)
        assert found.about["epochs"] == [0, 2, 4]
        assert found.num_images == 12 == len(found.labels)
        assert found.about["split"] == "val"
        assert len(found.classes) == 10
        assert all(path.is_file() for path in found.sheets)
        assert not np.array_equal(found.features(0), found.features(4))
    assert np.array_equal(films[0].ids, films[1].ids)  # the same seed and data: the two can be laid side by side
    assert np.array_equal(films[0].features(0), films[1].features(0))  # and the same network at the start
    assert not np.array_equal(films[0].features(4), films[1].features(4))


def test_the_last_frame_is_what_the_final_weights_give(trained):
    import torch

    from simclr.data import loading
    from simclr.evaluation.features import features_of
    from simclr.models import backbones, state_dicts, weight_reading

    run = trained[0]
    config = runs.load_config(run)
    encoder = backbones.build_encoder("resnet_tiny", 16)
    state_dicts.load_encoder(encoder, weight_reading.read_state(run.model_path), run.model_path)
    loaded = loading.load_data("shapes", image_size=16, seed=config.seed, limit_images=120, val_fraction=0.1)
    with torch.inference_mode():
        expected = features_of(encoder.network.eval(), loaded.val, 16, device=torch.device("cpu")).numpy()
    found = film.load(run)
    rows = [loaded.val.ids.tolist().index(number) for number in found.ids]
    np.testing.assert_allclose(found.features(4), expected[rows], rtol=2e-3, atol=2e-3)  # half precision


def test_no_frames_no_folder(tmp_path):
    values = TINY_PRETRAIN | {"epochs": 1, "film_frames": 0, "evaluate": False}
    run = train(cfg.build(cfg.PretrainConfig, values), runs_dir=tmp_path)
    assert film.load(run) is None
    assert not film_frames.folder_of(run).exists()


def moving_cloud(num_frames=6, num_images=60, turn=1.0, seed=0):
    """Frames of one cloud that slowly changes, each turned as a whole in feature space by chance."""
    generator = np.random.default_rng(seed)
    start, end = generator.normal(size=(2, num_images, 16))
    frames = []
    for share in np.linspace(0, 1, num_frames):
        rotation = np.linalg.qr(generator.normal(size=(16, 16)))[0] if turn else np.eye(16)
        frames.append(((1 - share) * start + share * end).astype(np.float32) @ rotation.astype(np.float32))
    return [neighbors.unit_rows(frame) for frame in frames]


def test_turned_maps_are_the_pca_of_each_frame_up_to_a_turn():
    frames = moving_cloud()
    maps = film.aligned_pca(frames)
    for frame, points in zip(frames, maps, strict=True):
        own = projections.pca(frame)
        distances = [np.linalg.norm(cloud[:, None] - cloud[None], axis=2) for cloud in (own, points)]
        np.testing.assert_allclose(*distances, atol=1e-4)


def test_turned_maps_move_no_more_than_any_other_turn_and_less_than_the_maps_as_they_come():
    frames = moving_cloud()
    maps = film.aligned_pca(frames)
    as_they_come = np.stack([projections.pca(frame) for frame in frames])
    assert sum(film.motion(maps)) < sum(film.motion(as_they_come))
    for before, after in itertools.pairwise(maps):
        least = ((before - after) ** 2).sum()
        for angle in np.linspace(0, 2 * np.pi, 73):
            rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            for mirror in (1, -1):
                assert least <= ((before @ rotation * [mirror, 1] - after) ** 2).sum() + 1e-3


def test_a_cloud_that_only_turns_stands_still():
    generator = np.random.default_rng(1)
    cloud = generator.normal(size=(40, 16)).astype(np.float32) * np.linspace(3, 0.1, 16)
    turned = [neighbors.unit_rows(cloud @ np.linalg.qr(generator.normal(size=(16, 16)))[0]) for _ in range(4)]
    assert max(film.motion(film.aligned_pca([frame.astype(np.float32) for frame in turned]))) < 1e-3


def test_maps_are_kept_and_made_anew_when_a_frame_changed(trained, tmp_path):
    import shutil

    run = runs.Run(shutil.copytree(trained[0].path, tmp_path / trained[0].id))
    found = film.load(run)
    assert found.maps("pca") is None
    made = film.make_maps(found, "pca")
    assert made.shape == (3, 12, 2)
    assert np.array_equal(film.load(run).maps("pca"), made)
    film_frames.write_frame(found.folder, 4, found.features(4) + 1)
    again = film.load(run)
    assert again.maps("pca") is None
    film.make_maps(again, "pca")
    assert len(list(found.folder.glob("pca-*.npy"))) == 1


@pytest.mark.parametrize("damage", ["", "torn", "foreign", "missing"])
def test_a_damaged_frame_costs_that_frame(trained, tmp_path, damage):
    import shutil

    run = runs.Run(shutil.copytree(trained[0].path, tmp_path / trained[0].id))
    path = film_frames.frame_path(film_frames.folder_of(run), 2)
    content = {"": b"", "torn": path.read_bytes()[:-40], "foreign": b"\x93NUMPY nonsense"}.get(damage)
    path.unlink() if content is None else path.write_bytes(content)
    assert film.load(run).epochs == (0, 4)


@pytest.mark.slow
def test_umap_aligns_the_epochs():
    """Groups that drift a little: drawn one by one they land anywhere, drawn together they stay where they are."""
    generator = np.random.default_rng(0)
    centres, drift = generator.normal(size=(2, 5, 16))
    places, noise = np.arange(100) % 5, generator.normal(size=(100, 16))
    frames = [
        neighbors.unit_rows((centres[places] + 0.05 * number * drift[places] + 0.1 * noise).astype(np.float32))
        for number in range(4)
    ]
    maps = film.aligned_umap(frames, **film.parameters("umap", 100, 0))
    assert maps.shape == (4, 100, 2)
    alone = np.stack([projections.reduce("umap", frame, seed) for seed, frame in enumerate(frames)])
    assert max(film.motion(maps)) < 0.1
    assert max(film.motion(maps)) < 0.5 * max(film.motion(alone))
