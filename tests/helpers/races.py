"""Races without a training: two run folders with films whose groups come apart in one, and never in the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dashboard_fixtures import CLASSES, make_run

from simclr import runs
from simclr.experiments.race import Race
from simclr.runs import Run, film_frames

NUM_IMAGES, NUM_FEATURES = 60, 8


def make_race(
    folder: Path,
    states: tuple[str, str] = ("finished", "finished"),
    frames: tuple[int, int] = (5, 5),
    epochs: int = 4,
    *,
    has_classes: bool = True,
) -> Race:
    """A race whose networks have kept so many frames each, of `epochs` epochs of 100 images."""
    pretraining = make_run(folder, states[0], epochs=epochs, done=max(0, frames[0] - 1))
    more = {"experiment_version": pretraining.id, "label_fraction": 0.01, "match_experiment": True}
    scratch = make_run(
        folder, states[1], kind="scratch", epochs=epochs, done=max(0, frames[1] - 1), images_per_epoch=100, **more
    )
    runs.add_meta(scratch.path, beside=pretraining.id)
    labels = np.arange(NUM_IMAGES) % len(CLASSES) if has_classes else None
    for run, learns, count in ((pretraining, True, frames[0]), (scratch, False, frames[1])):
        if count:
            begin_film(run, labels, epochs)
            for epoch in range(count):
                write_frame(run, epoch, epochs, learns=learns)
    return Race(pretraining, scratch)


def begin_film(run: Run, labels: np.ndarray | None, epochs: int) -> None:
    def sheets(folder: Path) -> dict[str, object]:
        (folder / "thumbnails-0.png").write_bytes(b"")
        return {"side": 16, "columns": 10, "per_sheet": 100, "sheets": ["thumbnails-0.png"]}

    film_frames.begin(
        run,
        range(epochs + 1),
        ids=1000 + np.arange(NUM_IMAGES),
        labels=labels,
        write_sheets=sheets,
        split="val",
        classes=CLASSES if labels is not None else [],
        images="digest",
        num_labels=0 if run.kind == "pretrain" else 6,
        images_seen=[100 * epoch for epoch in range(epochs + 1)],
    )


def write_frame(run: Run, epoch: int, epochs: int, *, learns: bool) -> None:
    """The features after an epoch; those of a network that learns hold its classes together more and more."""
    generator = np.random.default_rng(4)
    noise, middles = generator.normal(size=(NUM_IMAGES, NUM_FEATURES)), 3 * generator.normal(size=(3, NUM_FEATURES))
    share = epoch / epochs if learns else 0.0
    moved = np.random.default_rng(epoch).normal(size=noise.shape) * 0.1
    rows = middles[np.arange(NUM_IMAGES) % 3] * share + (noise + moved) * (1 - 0.8 * share)
    film_frames.write_frame(film_frames.folder_of(run), epoch, rows)
