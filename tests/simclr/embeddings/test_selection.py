"""Which images two encoders are shown: those that both can be shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import make_folder
from dashboard_fixtures import make_run
from trainings import trained_run

from simclr import runs
from simclr.config import ConfigError
from simclr.embeddings import embed, selection, stored
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection


@pytest.mark.parametrize("own_test", [True, False])
@pytest.mark.parametrize("split", ["auto", "test", "val", "train"])
def test_two_seeds_on_a_folder_are_shown_its_own_test_images_and_no_others(
    tmp_path: Path, own_test: bool, split: str
) -> None:
    """The seed decides which images are held out; test images in a folder of their own are the same for all."""
    layout = {f"train/{name}": 30 for name in "ab"} | ({f"test/{name}": 10 for name in "ab"} if own_test else {})
    photos = make_folder(tmp_path / "photos", layout)
    models = [EncoderRef(trained_run(tmp_path / "runs", seed=seed, dataset=str(photos))) for seed in (1, 2)]
    choice = ImageSelection(split=split, num_images=None)
    if own_test and split in ("auto", "test"):
        first, second = embed.compute(models, choice, ["pca"])
        assert stored.same_images(first, second) and stored.find_pair(first, second) is not None
        assert first.num_images == 20 and not np.allclose(first.features, second.features)
    else:
        with pytest.raises(
            ConfigError, match=r"^seed is 2 in .* and 1 in .*; allowed: runs that can be shown the same"
        ):
            embed.compute(models, choice, ["pca"])


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({}, {}),
        ({"test_fraction": 0.2, "value_min": None, "value_max": None}, {}),  # as what was kept before has it
        ({"test_fraction": 0.5}, {"test_fraction": 0.5}),
        ({"value_min": 0.0, "value_max": 4095.0}, {"value_min": 0.0, "value_max": 4095.0}),
    ],
)
def test_images_of_a_folder_are_told_by_what_is_not_usual(tmp_path, options, more):
    run = make_run(tmp_path / "runs", dataset=str(tmp_path), image_size=16, seed=3)
    path = run.path / runs.CONFIG
    new = ("test_fraction", "value_min", "value_max")
    kept = {name: value for name, value in run.config.items() if name not in new}
    path.write_text(yaml.safe_dump(kept | options))
    usual = {"dataset": str(tmp_path.resolve()), "image_size": 16, "seed": 3}
    assert selection.data_identity(runs.Run(run.path), "test") == usual | more
