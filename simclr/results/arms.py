"""The arms of a comparison: supervised runs that start from a pre-training, or are compared with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simclr import config as cfg
from simclr.config import ConfigError
from simclr.results.index import LabelShare, Summary

LABEL_FRACTIONS = (0.01, 0.05, 0.1, 1.0)
ARMS = ("frozen", "full", "scratch")
# What a supervised run has to share with a pre-training to be compared with it: data, split and network.
SHARED = (
    *("seed", "dataset", "data_dir", "broken_images", "value_min", "value_max", "extra_channels", "limit_images"),
    *("val_fraction", "test_fraction", "image_size", "backbone"),
)
OF_ARM = ("experiment_version", "random_weight_init", "freeze_encoder")
OF_LABELS = ("label_fraction", "labels_per_class", "subset_seed")
GIVEN = (*SHARED, *OF_ARM, *OF_LABELS, "name")  # options that its pre-training, its arm and its labels decide


def guess_recipe(config: dict[str, Any], recipe: object = None) -> str:
    """The recipe a pre-training came from: as recorded, else the one with its data and backbone, else the first."""
    names = cfg.recipe_names()
    if recipe in names:
        return str(recipe)
    for name in names:
        values = cfg.recipe(name)
        if values.get("dataset") == config.get("dataset") and values.get("backbone") == config.get("backbone"):
            return name
    return names[0] if names else ""


def shared_options(pretraining: dict[str, Any]) -> dict[str, Any]:
    """The values of those options that a supervised run shares with its pre-training."""
    return {option: pretraining[option] for option in SHARED if pretraining.get(option) is not None}


def partner_config(
    pretraining: dict[str, Any],
    run_id: str,
    arm: str,
    labels: LabelShare | float | str,
    recipe: object = None,
    subset_seed: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> cfg.FinetuneConfig:
    """The supervised run that belongs to a pre-training: the partner recipe's values on the same data and network.

    Args:
        pretraining: the options of the pre-training.
        run_id: its id; a from-scratch partner names it as the run it is compared with.
        arm: `frozen`, `full` or `scratch`.
        labels: how many are used; a number is the share of the training labels.
        recipe: the recipe it came from, where known; else guessed from data set and backbone.
        subset_seed: draws the labelled images; None: the pre-training's seed.
        options: in place of the recipe's, by dotted name; none of `GIVEN`.

    Raises:
        ConfigError: if the values do not make a valid run.
    """
    if arm not in ARMS:
        raise ConfigError(f"arm is {arm}; allowed: {', '.join(ARMS)}.")
    name = guess_recipe(pretraining, recipe)
    values: dict[str, Any] = cfg.arm_recipe(name, arm)[1] if name else {}
    if options:
        values = cfg.overlaid(values, cfg.nest(options))
    values |= shared_options(pretraining)
    values |= {
        "experiment_version": run_id,
        "random_weight_init": arm == "scratch",
        "freeze_encoder": arm == "frozen",
        "label_fraction": labels,
        "subset_seed": subset_seed,
        "name": None,
    }
    if isinstance(labels, LabelShare):
        values |= {"label_fraction": labels.fraction or 1.0, "labels_per_class": labels.per_class or None}
    config = cfg.build(cfg.FinetuneConfig, values)
    assert isinstance(config, cfg.FinetuneConfig)
    return config


# Two runs of an arm are the same comparison where these agree: data, network, labels and steps. How an arm is tuned
# (its learning rate, say) and where it runs are its own affair.
COMPARED = (
    "seed",
    "dataset",
    "limit_images",
    "val_fraction",
    "test_fraction",
    "image_size",
    "backbone",
    "head",
    "label_fraction",
    "labels_per_class",
    "subset_seed",
    "epochs",
    "max_steps",
    "batch_size",
    "images_per_epoch",
    "match_experiment",
    "early_stopping_patience",
)


def same_comparison(wanted: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a run's options `other` are those of a partner that is `wanted`; what that leaves unset may be anything
    of the data and the network, which a run fills in."""
    filled_in = ("dataset", "image_size", "backbone", "limit_images")
    return all(
        wanted.get(name) == other.get(name) or (wanted.get(name) is None and name in filled_in) for name in COMPARED
    )


def belongs_to(summary: Summary, pretraining: Summary) -> bool:
    """True if a supervised run starts from, or is compared with, this pre-training as it is now.

    One that started from its weights before it was trained longer says nothing about those of now.
    """
    return summary.start_weights not in pretraining.earlier_weights and (
        summary.kind in ("finetune", "scratch")
        and summary.experiment is not None
        and (summary.experiment == pretraining.id or Path(summary.experiment).name == pretraining.id)
    )


def partners_of(run_id: str, summaries: Sequence[Summary]) -> list[Summary]:
    """Supervised runs of one pre-training, in the order of the summaries."""
    own = next((summary for summary in summaries if summary.id == run_id), None)
    return [summary for summary in summaries if own is not None and belongs_to(summary, own)]


def newest_partner(found: Iterable[Summary], arm: str, label_fraction: float) -> Summary | None:
    """The newest partner of this arm at this label fraction, one that has not failed before one that has."""
    same = [
        item
        for item in found
        if item.arm == arm and item.label_fraction is not None and math.isclose(item.label_fraction, label_fraction)
    ]
    return next((item for item in same if item.state not in ("failed", "stopped")), same[0] if same else None)
