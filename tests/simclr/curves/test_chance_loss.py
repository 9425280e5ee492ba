"""Losses that stand where guessing has them, and those that do not."""

import math

import numpy as np
import pytest

from simclr.curves import chance_loss
from simclr.curves.curve_sources import LOG, Source

generator = np.random.default_rng(0)


def still(level, noise=0.002, n=60):
    return level + noise * generator.standard_normal(n)


@pytest.mark.parametrize(
    ("level", "size", "temperature"),
    [
        (8.909, 256, 0.1),  # three values that people have asked about
        (6.920, 64, 0.1),
        (5.560, 25, 0.1),
        (math.log(511), 256, None),
        (math.log(1023), 512, None),
        (math.log(2 * 24 - 1), 24, None),
        (math.log(255) * 0.5 / 0.07, 128, 0.5),
    ],
)
def test_the_value_names_batch_and_scale(level, size, temperature):
    found = chance_loss.guess_of(np.where(np.arange(60) % 7 == 3, np.nan, still(level)))
    assert found is not None and found[1:] == (size, temperature)


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(6.24, 3.0, 60),  # it learns
        still(5.9),  # still, but where no guessing has it
        still(math.log(511), n=9),  # too few to tell
        still(math.log(511), noise=0.2),
        np.full(60, np.nan),
        np.zeros(60),
    ],
    ids=["learns", "elsewhere", "few", "noisy", "none", "zero"],
)
def test_other_losses_say_nothing(values):
    assert chance_loss.guess_of(values) is None


def test_a_sentence_for_a_log_of_another_program_alone(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,train_loss,acc\n" + "".join(f"{step},8.909,0.1\n" for step in range(30)))
    log = Source("x", "my log", "", LOG, path, None, "#000000")
    run = Source("y", "a run", "", "pretrain", path, None, "#000000")
    assert list(chance_loss.sentences([run, log])) == [
        "my log: train_loss stands at 8.909. A contrastive loss has that value as long as nothing is learned: "
        "ln(2 x 256 - 1) with 256 images in a batch, times 0.1 / 0.07 as SupCon's code has it."
    ]
