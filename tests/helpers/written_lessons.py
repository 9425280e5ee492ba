"""A lesson in a folder, as a teacher writes one, and runs that answer it."""

from __future__ import annotations

from pathlib import Path

TEXT = """---
title: Which temperature?
question: Does a low temperature give better features?
minutes: 5
runs:
  low:
    title: Temperature 0.05
    options: {epochs: 2, temperature: 0.05}
  high:
    title: Temperature 1
    options: {epochs: 2, temperature: 1}
  few:
    title: From scratch
    arm: scratch
    of: low
    labels: 0.01
predictions:
  better:
    ask: Which encoder is better?
    options: {low: Temperature 0.05, high: Temperature 1, same: Both alike}
    largest: {low: linear accuracy of low, high: linear accuracy of high}
    same_within: 2
  loss:
    ask: What is the validation loss at 0.05?
    figure: validation loss of low
    low: 0
    high: 20
shown:
  Chance: chance loss of low
claims:
  - {text: the loss of guessing is 6.236, figure: chance loss of 256 images, number: 6.236, within: 0.0005}
  - {text: A low one is better, larger: linear accuracy of low, than: linear accuracy of high, by: 1}
---

## Question

Why one might want to know.

## Prediction

With 256 images the loss of guessing is 6.236.

## Experiment

Press **Start the experiment**.

## What happened

A low one is better. [Their curves](curves?runs={low},{high}&metric=loss), and
[one of them](https://example.org/x).

## The paper

Chen et al. 2020, section 5.1, where it is 99.9 %.
"""


def write(folder: Path, name: str = "which-temperature", old: str = "", new: str = "") -> Path:
    """The lesson with some of its text replaced; returns its folder."""
    assert old in TEXT
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "lesson.md").write_text(TEXT.replace(old, new, 1) if old else TEXT, encoding="utf-8")
    return path


TINY = """---
title: A tiny one
question: What is the loss after one pass?
minutes: 1
runs:
  one:
    title: One pass
    options: {epochs: 1, limit_images: 64, image_size: 16, batch_size: 16, hidden_dim: 16, projection_dim: 8,
      num_threads: 1, accelerator: cpu, warmup_epochs: 0, film_frames: 0, evaluate: false}
predictions:
  loss:
    ask: What is the validation loss?
    figure: validation loss of one
    low: 0
    high: 10
---
## Question
What is it?
## Prediction
Sixteen images in a batch.
## Experiment
Press the button.
## What happened
It stood at the loss of guessing. [Its curve](curves?runs={one}).
## The paper
Chen et al. 2020.
"""


def write_tiny(folder: Path) -> Path:
    """A lesson whose one run trains in seconds; returns its folder."""
    path = folder / "a-tiny-one"
    path.mkdir(parents=True)
    (path / "lesson.md").write_text(TINY, encoding="utf-8")
    return path
