"""How many images train, before any is read: of a named data set, and of a folder by its names alone (no torch).

And how many steps an epoch of a run has, by what the run has recorded.
"""

from __future__ import annotations

from simclr.config import DATASETS, ConfigError, FinetuneConfig, PretrainConfig, RunConfig, num_batches
from simclr.data import shapes
from simclr.data.folders import folder_layout
from simclr.data.folders.folder_layout import Layout, num_val_images
from simclr.data.shape_facts import facts_of, is_held_out
from simclr.runs import Run

LOOK_SECONDS = 3.0  # for the files of a folder; with more of them the run says what is wrong
# Training images and classes. STL-10 is left out: most of its images have no class.
TRAINING_LISTS = {
    "shapes": (4096, 10),
    "digits": (1438, 10),
    "cifar10": (50_000, 10),
    "cifar100": (50_000, 100),
    "svhn": (73_257, 10),
    "fashion_mnist": (60_000, 10),
}


def num_train_images(config: RunConfig, layout: Layout | None = None) -> int | None:
    """How many images train after `limit_images` and the validation images are cut off; None if it cannot be told.

    Args:
        layout: of the folder, where the data is one.
    """
    if layout is not None:
        return layout.split_sizes(config.val_fraction, config.limit_images)["train"]
    if config.dataset not in TRAINING_LISTS:
        return None
    number, num_classes = TRAINING_LISTS[config.dataset]
    limit = config.limit_images or number
    if isinstance(config, PretrainConfig) and config.held_out:
        facts = facts_of(shapes.factors_of("train", max(number, limit)))
        left = int((~is_held_out(facts, config.held_out)).sum())
        limit, number = min(config.limit_images or left, left), left
    number = limit if config.dataset == "shapes" else min(number, limit)  # as many are drawn as are asked for
    if not config.val_fraction:
        return number
    return number - max(0, min(num_val_images(number, config.val_fraction), number - num_classes))


def check(config: RunConfig, layout: Layout | None = None) -> None:
    """Refuses options for which there are too few images, as far as their number is known.

    Raises:
        ConfigError: as reading the images would.
    """
    known = TRAINING_LISTS.get(config.dataset or "")
    num_classes = len(layout.classes) if layout is not None else known[1] if known is not None else 0
    limit = config.limit_images
    if limit is not None and limit < num_classes:
        raise ConfigError(
            f"limit_images is {limit}; allowed: at least {num_classes}, one for each class of {config.dataset}, or "
            "unset."
        )
    if isinstance(config, FinetuneConfig):
        if num_classes and config.num_classes not in (None, num_classes):
            raise ConfigError(f"num_classes is {config.num_classes}; allowed: {num_classes}, as {config.dataset} has.")
        return
    number = num_train_images(config, layout)
    if number is not None and config.batch_size > number:
        raise ConfigError(f"batch_size is {config.batch_size}; allowed: at most the {number:,} training images.")


def check_data(config: RunConfig, labelled_only: bool) -> None:
    """Refuses a folder that is not there or cannot be read, and options for which there are too few images.

    Args:
        labelled_only: refuse a folder without classes.

    Raises:
        ConfigError: as reading the images would.
    """
    layout = None
    if config.dataset is not None and config.dataset not in DATASETS:
        try:
            layout = folder_layout.read(
                config.dataset, labelled_only=labelled_only, test_fraction=config.test_fraction, seconds=LOOK_SECONDS
            )
        except TimeoutError:
            return
    check(config, layout)


def steps_in_epoch(run: Run, config: RunConfig) -> int:
    """Optimizer steps of an epoch, as `lifecycle.prepare` counts them, from what the run has recorded.

    Raises:
        ConfigError: if it has not recorded on how many images it trained.
    """
    number = run.meta.get("num_train_images")
    if isinstance(config, FinetuneConfig) and config.images_per_epoch is not None:
        number = config.images_per_epoch
    if type(number) is not int or number < 1:
        raise ConfigError(f"{run.id} does not say on how many images it trained; allowed: a run whose meta.json does.")
    num_ranks = config.devices * config.num_nodes
    drop_last = isinstance(config, PretrainConfig)
    return num_batches(number, config.batch_size // num_ranks, drop_last=drop_last, num_ranks=num_ranks)
