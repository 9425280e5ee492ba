"""The diagram of a run: what its own network makes of its own images, kept with it."""

import base64
import shutil

import numpy as np
import pytest
import torch
from conftest import TINY

from simclr import config as cfg
from simclr import runs
from simclr.analysis import diagram
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.embeddings import references
from simclr.lifecycle.train import train
from simclr.objectives.nt_xent import nt_xent
from simclr.views import augment, sample_images


def is_picture(address):
    kind, _, content = address.partition(",")
    return kind == "data:image/png;base64" and base64.b64decode(content)[:4] == b"\x89PNG"


@pytest.fixture
def own_run(tmp_path, finished_run):
    """A copy of a finished pre-training, to be written to."""
    shutil.copytree(finished_run.path, tmp_path / finished_run.path.name)
    return runs.Run(tmp_path / finished_run.path.name)


def test_a_pretraining_is_drawn_from_image_to_loss(own_run, monkeypatch):
    run = own_run
    config = runs.load_config(run)
    found = diagram.compute(run)
    assert is_picture(found["image"]) and [is_picture(view) for view in found["views"]] == [True, True]
    assert found["dims"]["z"] == config.projection_dim and found["dims"]["h"] >= diagram.NUM_VALUES
    matrix = np.array(found["similarities"])
    assert matrix.shape == (2 * found["num_images"],) * 2
    assert matrix == pytest.approx(matrix.T) and matrix.diagonal() == pytest.approx(1)
    for name in ("h", "z"):
        assert np.abs(found[name]).max() == pytest.approx(1) and len(found[name]) == 2

    # the loss is that of its own views, drawn as in its first epoch
    batch = sample_images.TrainingImages(config).samples(0, 0)
    places = slice(0, found["num_images"])
    with torch.inference_mode():
        views = augment.two_views(
            torch.from_numpy(batch.images[places]),
            torch.from_numpy(batch.ids[places]),
            config.augmentation,
            seed=config.seed,
            epoch=0,
            size=found["side"],
        )
        model = diagram.EncoderRef(run, layer="z")
        with references.open_weights(model) as weights:
            encoder = diagram.load_encoder(model, weights)
        z1, z2 = (torch.from_numpy(encoder(view)["z"]) for view in views)
    assert found["loss"] == pytest.approx(float(nt_xent(z1, z2, config.temperature)), rel=1e-4)
    expected = {"encoder": encoder.network, "head": encoder.projector}
    assert found["parameters"] == {
        name: sum(value.numel() for value in module.parameters()) for name, module in expected.items()
    }

    # it is kept, and computed once
    assert diagram.load(diagram.path_of(run)) == found
    monkeypatch.setattr(diagram, "load_encoder", None)
    assert diagram.compute(run) == found
    path = diagram.path_of(run)
    path.write_text('{"format": 1, "views"')
    assert diagram.load(path) is None
    path.write_text('{"format": 0, "views": [], "h": []}')
    assert diagram.load(path) is None


def test_a_supervised_run_is_drawn_from_image_to_classes(tmp_path, capsys):
    options = TINY | {"random_weight_init": True, "backbone": "resnet_tiny", "limit_images": 60, "film_frames": 0}
    run = train(cfg.build(cfg.FinetuneConfig, options), runs_dir=tmp_path)
    assert main(["lab", str(run.path), "--what", "diagram", "--runs_dir", str(tmp_path)]) == 0
    assert '"classes": 10' in capsys.readouterr().out
    found = diagram.load(diagram.path_of(run))
    shares = [share for _, share in found["classes"]]
    assert shares == sorted(shares, reverse=True) and len(shares) == diagram.MOST_CLASSES and 0 < sum(shares) <= 1
    assert len(found["views"]) == len(found["h"]) == 1 and found["title"]
    assert "similarities" not in found


def test_without_weights_or_images_it_is_one_sentence(tmp_path, own_run):
    changed = runs.load_config(own_run).model_copy(update={"dataset": str(tmp_path / "gone")})
    runs.write_config(own_run.path, changed)
    run = runs.Run(own_run.path)
    with pytest.raises(ConfigError, match="gone"):
        diagram.compute(run)
    shutil.rmtree(run.path / runs.CHECKPOINTS, ignore_errors=True)
    run.model_path.unlink()
    with pytest.raises(ConfigError):
        diagram.path_of(run)
