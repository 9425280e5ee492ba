"""A training on images and captions: its batches, its end, and the same after a stop."""

import math
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY_PRETRAIN
from trainings import assert_equal_ends, interrupted, run_and_find, stop_at  # noqa: F401

from simclr import config as cfg
from simclr import runs
from simclr.cli.main import main
from simclr.config.words import LEAST_TEMPERATURE
from simclr.data.loading import load_run_data
from simclr.data.shape_facts import facts_of
from simclr.models.backbones import build_encoder
from simclr.objectives.image_text import image_text_loss
from simclr.training.image_text.batches import CaptionedData
from simclr.training.image_text.module import ImageText
from simclr.words import text_encoder
from simclr.words.captions import PHRASINGS, Vocabulary, caption

OPTIONS = TINY_PRETRAIN | {
    "limit_images": 300,
    "epochs": 2,
    "text_encoder": "transformer",
    "held_out": "red star,blue ring",
    "temperature": 0.1,
}
COLORS_KEPT = {"augmentation.hue": 0, "augmentation.grayscale_probability": 0}


@pytest.fixture(scope="module")
def data():
    config = cfg.build(cfg.PretrainConfig, OPTIONS)
    return config, load_run_data(config)


def batch_of(data, epoch, positions, validating=False):
    config, images = data
    module = CaptionedData(images, config.augmentation, batch_size=16, seed=config.seed, size=16, num_workers=0)
    module.trainer = SimpleNamespace(current_epoch=epoch, validating=validating, sanity_checking=False, global_step=0)
    return module.transfer_batch_to_device(torch.tensor(positions), torch.device("cpu"), 0)


def test_captions_are_true_of_their_images_and_those_of_one_epoch_and_image(data):
    split, vocabulary = data[1].train, Vocabulary.of_captions()
    facts, phrasings = facts_of(split.factors).tolist(), set()
    for epoch in range(4):
        positions = list(range(0, 240, 7))
        batch = batch_of(data, epoch, positions)
        for position, numbers, number in zip(positions, batch.captions, batch.ids, strict=True):
            assert number == split.ids[position]
            sentences = [caption(phrasing, facts[position]) for phrasing in range(len(PHRASINGS))]
            matches = [numbers.tolist() == vocabulary.numbers(sentence).tolist() for sentence in sentences]
            assert sum(matches) == 1
            phrasings.add(matches.index(True))
    assert phrasings == set(range(len(PHRASINGS)))
    whole, part = batch_of(data, 1, [3, 8, 5]), batch_of(data, 1, [5])
    assert torch.equal(whole.captions[2], part.captions[0]) and torch.equal(whole.first[2], part.first[0])
    assert not torch.equal(batch_of(data, 2, list(range(40))).captions, batch_of(data, 1, list(range(40))).captions)
    one, other = (batch_of(data, epoch, [0, 4, 9], validating=True) for epoch in (0, 5))
    assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))  # validation is the same every time


def test_a_step_is_the_loss_of_image_and_text_with_the_learned_scale(data):
    config, _ = data
    torch.manual_seed(3)
    model = ImageText(config.resolved(), build_encoder("resnet_tiny", 16), num_steps=10, warmup_steps=0)
    batch = batch_of(data, 0, list(range(16)))
    loss = model.training_step(batch, 0)
    model.eval()
    images, texts = model.head(model(batch.first)), model.text(batch.captions)
    model.train()
    again = model.head(model(batch.first))
    expected, _ = image_text_loss(again, texts, torch.tensor(10.0), batch.said)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert images.shape == texts.shape == (16, config.projection_dim)
    loss.backward()
    parameters = {id(p) for module in model.trained_modules() for p in module.parameters()}
    assert parameters == {id(p) for p in model.parameters()}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.text.log_scale.grad != 0


def test_the_temperature_does_not_fall_below_its_least(data, monkeypatch):
    config, _ = data
    model = ImageText(config.resolved(), build_encoder("resnet_tiny", 16), num_steps=10, warmup_steps=0)

    def step(*arguments, **more):
        model.text.log_scale.data.fill_(7.0)

    monkeypatch.setattr("lightning.LightningModule.optimizer_step", step)
    model.optimizer_step(0, 0, None)
    assert model.text.scale.item() == pytest.approx(1 / LEAST_TEMPERATURE)
    assert math.log(1 / LEAST_TEMPERATURE) < 7.0


def same_text(run, expected):
    assert (run.path / runs.TEXT_ENCODER).read_bytes() == (expected.path / runs.TEXT_ENCODER).read_bytes()
    for name in expected.evaluation:
        if name.startswith("test/"):
            assert run.evaluation[name] == expected.evaluation[name], name


def test_it_ends_with_a_text_encoder_and_figures_that_evaluate_repeats(tiny_runs, capsys):
    run = run_and_find(tiny_runs, "pretrain", OPTIONS | {"epochs": 4, "learning_rate": 0.005} | COLORS_KEPT)
    said = capsys.readouterr().out
    text = text_encoder.load(run.path / runs.TEXT_ENCODER)
    assert text.kind == "transformer" and text.scale.item() != pytest.approx(10.0, abs=1e-4)
    loss = [value for value in run.metrics()["train/loss"].tolist() if value == value]
    assert sum(loss[-5:]) < 0.9 * sum(loss[:5])
    about = run.evaluation["protocols"]["words"]
    assert about["temperature"] == pytest.approx(1 / text.scale.item())
    assert f"zero-shot {run.evaluation['test/zeroshot_top1']:.2%} (chance 10.00%)" in said
    assert run.evaluation["test/zeroshot_color"] > 1.5 / 6  # the first thing that is learned
    assert {"held_out_pair", "seen_pair", "color_order", "text_to_image_r10"} <= about["chance"].keys()
    assert main(["evaluate", run.id]) == 0
    said = capsys.readouterr().out
    assert "differs" not in said and "  zeroshot_color: " in said and ", by guessing 16.67%" in said
    (run.path / runs.TEXT_ENCODER).write_bytes(b"torn")
    assert main(["evaluate", run.id]) == 2
    assert "text_encoder.pt is not a text encoder; allowed: the file that" in capsys.readouterr().err


def test_words_are_a_protocol_of_runs_with_a_text_encoder_alone(finished_run, capsys):
    assert main(["evaluate", str(finished_run.path), "--protocol", "words"]) == 2
    assert "protocol is words; allowed for this run: knn, linear, fewshot." in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        {},
        pytest.param({"text_encoder": "mean", "held_out": "", "optimizer": "muon"}, marks=pytest.mark.slow),
        pytest.param({"precision": "bf16-mixed", "val_fraction": 0}, marks=pytest.mark.slow),
        pytest.param({"memory_share": 0, "num_workers": 1}, marks=pytest.mark.slow),
    ],
    ids=["transformer", "mean", "bfloat16", "streamed"],
)
def test_a_stopped_training_goes_on_as_if_nothing_had_been(tiny_runs, stop_at, monkeypatch, more):
    options = OPTIONS | more
    expected = run_and_find(tiny_runs, "pretrain", options)
    run = interrupted(tiny_runs, "pretrain", options | {"version": 0}, stop_at, monkeypatch, 5)
    assert not (run.path / runs.TEXT_ENCODER).exists()
    assert main(["resume", run.id]) == 0
    assert_equal_ends(run, expected)
    same_text(run, expected)
