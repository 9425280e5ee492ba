"""A sentence colours the points by similarity, for runs that have a text encoder."""

import numpy as np
import pytest
import torch
from dashboard_fixtures import component_with, make_run, open_page, query, texts
from test_embeddings_page import maps_of

from simclr.config import ConfigError
from simclr.embeddings import embed
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.encoders import sentences
from simclr.models import backbones, heads, state_dicts
from simclr.words import text_encoder
from simclr.words.captions import Vocabulary
from simclr.words.text_encoder import TextEncoder

CHOICE = ImageSelection(num_images=500)
BLUE_STAR = "a blue star"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with a text encoder, with random weights, and one without; maps of both by PCA."""
    folder = tmp_path_factory.mktemp("runs")
    found = []
    for kind in ("mean", None):
        options = {"dataset": "shapes", "image_size": 16, "backbone": "resnet_tiny", "accelerator": "cpu", "seed": 1}
        run = make_run(folder, epochs=1, hidden_dim=16, projection_dim=8, text_encoder=kind, **options)
        torch.manual_seed(5)
        encoder, head = backbones.build_encoder("resnet_tiny", 16), heads.projection_head(128, 16, 8)
        torch.save(state_dicts.join_state(encoder, head), run.model_path)
        if kind:
            torch.save(TextEncoder(kind, Vocabulary.of_captions(), 8).content(), run.path / "text_encoder.pt")
        found.append(run)
    embed.compute([EncoderRef(run) for run in found], CHOICE, ["pca"])
    return folder, *found


@pytest.fixture
def page(folder, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(folder[0]))

    def opened(left=folder[1], right=folder[2], **more):
        app = open_page("embeddings", images="500", method="pca", left=left.id, right=right.id, **more)
        assert not app.exception, [item.value for item in app.exception]
        return app

    return opened


def similar(run, layer):
    """By the features of that layer, computed apart."""
    (item,) = embed.compute([EncoderRef(run, layer=layer)], CHOICE, ["pca"])
    z = sentences.projections_of(EncoderRef(run, layer=layer), item)
    return sentences.similarities(EncoderRef(run, layer=layer), z, BLUE_STAR)


def test_h_and_z_give_the_cosines_of_z_and_sentence(folder):
    run = folder[1]
    (item,) = embed.compute([EncoderRef(run, layer="z")], CHOICE, ["pca"])
    z = np.array(item.features)
    told = text_encoder.load(run.path / "text_encoder.pt").embed([BLUE_STAR])[0].numpy()
    slow = np.array([row @ told / np.sqrt((row**2).sum()) for row in z])
    for layer in ("h", "z"):
        assert np.allclose(similar(run, layer), slow, atol=1e-4), layer
    assert slow.std() > 1e-3


def test_points_are_coloured_where_there_is_a_text_encoder(page, folder):
    app = page(sentence=BLUE_STAR)
    color = maps_of(app)["color"]
    assert (color["label"], color["kind"]) == (f"Similarity to: {BLUE_STAR}", "number")
    left, right = color["values"]
    assert np.allclose(left, similar(folder[1], "h"), atol=1e-4) and np.isnan(right).all()
    assert color["low"] == pytest.approx(left.min()) and color["high"] == pytest.approx(left.max())
    assert query(app, "sentence") == BLUE_STAR


def test_typing_a_sentence_and_taking_it_away(page):
    app = page(sentence="")
    assert maps_of(app)["color"]["label"] == "Class"
    (field,) = [item for item in app.text_input if item.label == "Colour by a sentence"]
    app = field.input("A heart on red!").run()
    assert maps_of(app)["color"]["label"] == "Similarity to: A heart on red!"
    (field,) = [item for item in app.text_input if item.label == "Colour by a sentence"]
    assert maps_of(field.input("").run())["color"]["label"] == "Class"


def test_a_word_that_the_captions_do_not_have_is_named(page):
    app = page(sentence="a purple <b>star</b>")
    assert maps_of(app)["color"]["label"] == "Class"
    assert "The word purple is in no caption that this run was trained on; allowed: a, and, arrow" in texts(app)


def test_a_damaged_text_encoder_costs_the_colours_alone(page, folder):
    path = folder[1].path / "text_encoder.pt"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:100])
        app = page(sentence=BLUE_STAR)
        assert maps_of(app)["color"]["label"] == "Class" and "is not a text encoder" in texts(app)
    finally:
        path.write_bytes(whole)


def test_without_a_text_encoder_there_is_no_field(page, folder):
    app = page(left=folder[2], right=folder[2], sentence=BLUE_STAR)
    assert not [item for item in app.text_input if item.label == "Colour by a sentence"]
    assert "needs a run with a text encoder" in texts(app)
    assert component_with(app, "panels")


def test_which_models_know_words(folder, tmp_path):
    run = folder[1]
    assert sentences.knows_words(EncoderRef(run)) and sentences.knows_words(EncoderRef(run, layer="z"))
    for other in (EncoderRef(run, "untrained"), EncoderRef(run, checkpoint="last"), EncoderRef(folder[2])):
        assert not sentences.knows_words(other)
    with pytest.raises(ConfigError, match="The word grue is in no caption"):
        sentences.similarities(EncoderRef(run), np.ones((3, 8), dtype=np.float32), "a grue star")
