"""Options of a training with captions: what is allowed, and that combinations held out are seen nowhere."""

import numpy as np
import pytest

from simclr import config as cfg
from simclr.config import ConfigError, PretrainConfig
from simclr.curves import metric_info
from simclr.data.loading import load_run_data
from simclr.data.shape_facts import facts_of, is_held_out
from simclr.embeddings.selection import data_identity
from simclr.evaluation import health
from simclr.lifecycle import counts
from simclr.runs import Run

HELD_OUT = "red star, blue circle"


def build(**values):
    return cfg.build(PretrainConfig, {"text_encoder": "mean"} | values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"text_encoder": "lstm"}, "text_encoder is lstm; allowed: mean, transformer, or unset."),
        ({"dataset": "digits"}, "text_encoder is mean and dataset is digits; allowed: shapes, of which captions are"),
        ({"micro_batch_size": 8}, "text_encoder is mean and micro_batch_size is 8; allowed: micro_batch_size unset."),
        ({"devices": 2}, "text_encoder is mean and devices is 2; allowed: one process."),
        ({"num_nodes": 2}, "text_encoder is mean and num_nodes is 2; allowed: one process."),
        ({"temperature": 0.005}, "text_encoder is mean and temperature is 0.005; allowed: 0.01 or more."),
        ({"text_encoder": None, "held_out": HELD_OUT}, "held_out is red star, blue circle and text_encoder is unset"),
        ({"held_out": "red stra"}, "held_out is red stra; allowed: a colour (red, yellow, green, cyan, blue, magenta)"),
        ({"held_out": "red stra"}, "; did you mean red star?"),
        ({"held_out": "star"}, "held_out is star; allowed: a colour"),
        ({"held_out": "a red star"}, "held_out is a red star; allowed: a colour"),
        (
            {"held_out": ",".join(f"{color} star" for color in ("red", "yellow", "green", "cyan", "blue", "magenta"))},
            "held_out leaves no image with star; allowed: combinations that leave some of each word.",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(values, sentence):
    with pytest.raises(ConfigError) as caught:
        build(**values)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_spellings():
    config = build(text_encoder=" Transformer", held_out="[Red STAR,  blue circle]")
    assert config.text_encoder == "transformer" and config.held_out == ("Red STAR", "blue circle")
    assert build(text_encoder="null").text_encoder is None
    assert (build().views_per_image, cfg.build(PretrainConfig, {}).views_per_image) == (1, 2)


@pytest.mark.parametrize("limit", [None, 100, 5000])
def test_no_image_of_training_or_validation_shows_what_is_held_out(limit):
    config = build(held_out=HELD_OUT, limit_images=limit, image_size=8)
    data = load_run_data(config)
    for split in (data.train, data.val):
        facts = facts_of(split.factors)
        assert len(facts) == split.num_images and not is_held_out(facts, config.held_out).any()
        assert (np.bincount(facts[:, 2], minlength=10) > 0).all()
    assert is_held_out(facts_of(data.test.factors), config.held_out).any() and data.test.num_images == 2000
    assert counts.num_train_images(config) == data.train.num_images
    whole = load_run_data(build(limit_images=limit, image_size=8))
    if limit is None:
        shown = np.concatenate([facts_of(part.factors) for part in (whole.train, whole.val)])
        left_out = is_held_out(shown, config.held_out).sum()
        assert data.train.num_images + data.val.num_images == len(shown) - left_out


def test_images_of_maps_are_told_apart_by_what_was_held_out(tmp_path):
    def identity(split, **values):
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(cfg.to_yaml(build(**values)))
        return data_identity(Run(folder), split)

    assert identity("val") != identity("val", held_out=HELD_OUT)
    assert identity("test") == identity("test", held_out=HELD_OUT)
    assert "held_out" not in identity("train")  # as it was before there was such an option


def test_chance_is_one_caption_in_a_batch():
    words, views = ({"batch_size": 128, "temperature": 0.1, "text_encoder": kind} for kind in ("mean", None))
    assert metric_info.chance_level("loss", words) == pytest.approx(np.log(128))
    assert metric_info.chance_level("mean_rank", words) == 64.5
    assert metric_info.chance_level("top1", words) == pytest.approx(100 / 128)
    assert metric_info.chance_level("loss", views) == pytest.approx(np.log(255))


def test_health_judges_by_these_candidates_and_knows_no_fixed_temperature():
    rank, epochs = 64.5, np.arange(1, 7.0)
    records = {"epoch": epochs, "step": epochs, "train/mean_rank": np.full(6, rank), "train/loss": np.full(6, 4.85)}
    config = {"batch_size": 128, "temperature": 0.07, "epochs": 20}
    found = health.verdict([], records, config | {"text_encoder": "mean"})
    assert "of 128 in training" in found.sentence and found.state == "chance"
    assert health.verdict([], records, config).state != "chance"  # among 255 it would be none
    # a loss that no embeddings of length 1 could have at the first temperature is possible at a learned one
    records |= {"train/loss": np.full(6, 60.0), "train/mean_rank": np.full(6, 3.0)}
    assert health.verdict([], records, config).state == "not normalised"
    assert health.verdict([], records, config | {"text_encoder": "mean"}).state != "not normalised"
