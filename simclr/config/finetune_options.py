"""Options of a supervised run: a head on a frozen encoder, fine-tuning, or training from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, field_validator, model_validator
from pydantic_core import PydanticCustomError

from simclr.config.augmentation import CROP_AND_FLIP, JITTER, Augmentation
from simclr.config.common_options import CommonOptions, check_batch, check_compile, check_schedule, check_value_range
from simclr.config.fields import option
from simclr.config.names import DATASETS, Kind
from simclr.config.spellings import Backbone, Dataset, Experiment, Optimizer, lowercase


class FinetuneConfig(CommonOptions):
    """One supervised run: a head on a frozen encoder, fine-tuning of all weights, or training from scratch."""

    experiment_version: Experiment | None = option(
        None,
        "The pre-training to start from: its version number, a run's id, prefix or folder, or a weights file.",
        group="Experiment",
        common=True,
    )
    random_weight_init: bool = option(
        False,
        "Train from scratch: load nothing; the experiment is then the run it is compared with.",
        group="Experiment",
        common=True,
    )
    freeze_encoder: bool = option(
        False, "Train the head only, on features of the frozen encoder.", group="Experiment", common=True
    )
    dataset: Dataset | None = option(
        None,
        f"{', '.join(DATASETS)}, or a folder with classes; unset: the experiment's.",
        group="Data",
        common=True,
        label="Data set",
        min_length=1,
    )
    label_fraction: float = option(
        1.0,
        "Share of the training labels used, the same images for every arm with the same seed.",
        group="Data",
        common=True,
        gt=0,
        le=1,
    )
    labels_per_class: int | None = option(
        None,
        "Labelled training images of each class, the same for every arm with the same seed; unset: by label_fraction.",
        group="Data",
        unit="images",
        ge=1,
        le=1_000_000,
    )
    subset_seed: int | None = option(
        None,
        "Draws which images are the labelled ones, and nothing else; unset: the seed.",
        group="Data",
        ge=0,
        le=2**31 - 1,
    )
    image_size: int | None = option(
        None,
        "Side of an image; unset: the experiment's, else the data set's own.",
        group="Data",
        unit="pixels",
        ge=8,
        le=1024,
    )
    num_classes: int | None = option(
        None,
        "Must agree with the data; unset: taken from it.",
        group="Data",
        label="Number of classes",
        unit="classes",
        ge=2,
    )
    backbone: Backbone | None = option(None, "Unset: the experiment's.", group="Model")
    head: Annotated[Literal["linear", "mlp"], BeforeValidator(lowercase)] = option(
        "linear", "The classifier: one linear layer, or one hidden layer before it.", group="Model", common=True
    )
    hidden_dim: int = option(
        512,
        "Width of the hidden layer of an mlp head.",
        group="Model",
        label="Hidden width",
        unit="features",
        ge=1,
        le=65_536,
    )
    images_per_epoch: int | None = option(
        None,
        "Images that count as one epoch: few labelled ones are passed over as often as that takes; unset: each once.",
        group="Training",
        unit="images",
        ge=1,
        le=10**9,
    )
    match_experiment: bool = option(
        False,
        "Train for as many epochs as the experiment, with as many images in each; sets epochs, max_steps and "
        "images_per_epoch.",
        group="Training",
    )
    batch_size: int = option(64, "Images in a batch.", group="Training", common=True, unit="images", ge=1, le=65_536)
    early_stopping_patience: int | None = option(
        None,
        "Stop after this many epochs without a better validation accuracy; unset: never.",
        group="Training",
        label="Early stopping after",
        unit="epochs",
        ge=1,
    )
    optimizer: Optimizer = option("adam", "Optimizer of the head, and of the encoder unless frozen.", group="Optimizer")
    learning_rate: float = option(1e-3, "Peak learning rate.", group="Optimizer", common=True, gt=0, le=100)
    augmentation: Augmentation | None = option(
        None,
        "Unset: none with a frozen encoder (features are computed once), else crop and flip. What is not "
        "set below it is as with these.",
        group="Augmentation",
    )
    mixup_alpha: float = option(
        0.0,
        "MixUp: each image and its target are blended with another's of the batch, with a weight from Beta(alpha, "
        "alpha); 0: off.",
        group="Augmentation",
        label="MixUp alpha",
        ge=0,
        le=100,
    )
    cutmix_alpha: float = option(
        0.0,
        "CutMix: a box of each image is taken from another of the batch, targets by area, from Beta(alpha, alpha); "
        "0: off.",
        group="Augmentation",
        label="CutMix alpha",
        ge=0,
        le=100,
    )
    mix_probability: float = option(
        1.0,
        "Share of batches that are mixed, where mixup_alpha or cutmix_alpha is above 0; with both, each batch by "
        "either, half and half.",
        group="Augmentation",
        label="Share of batches mixed",
        gt=0,
        le=1,
    )

    @field_validator("augmentation", mode="before")
    @classmethod
    def _add_crop_and_flip(cls, value: Any) -> Any:
        """A policy alone is crop, flip and policy: what is set is added to what supervised runs have without it."""
        if not isinstance(value, Mapping):
            return value
        if "jitter_probability" not in value and (name := next((name for name in JITTER if name in value), None)):
            raise PydanticCustomError(
                "order",
                f"augmentation.{name} is {value[name]} and augmentation.jitter_probability is not set; allowed: both, "
                "since a supervised run has no jitter of its own.",
            )
        return CROP_AND_FLIP.model_dump() | dict(value)

    @model_validator(mode="after")
    def _check_processes(self) -> Self:
        if self.trains_on_features and self.devices * self.num_nodes > 1:
            raise PydanticCustomError(
                "order",
                f"devices is {self.devices} and num_nodes is {self.num_nodes}; allowed: 1 and 1 with freeze_encoder "
                "true and no augmentation, since the head is trained on features computed once.",
            )
        return self

    @model_validator(mode="after")
    def _check_mixing(self) -> Self:
        if not self.mixes:
            return self
        name, value = ("mixup_alpha", self.mixup_alpha) if self.mixup_alpha else ("cutmix_alpha", self.cutmix_alpha)
        if self.trains_on_features:
            raise PydanticCustomError(
                "order",
                f"{name} is {value:g}; allowed: 0 with freeze_encoder true and no augmentation, since the head is "
                "trained on features computed once, and images are mixed.",
            )
        if self.batch_size < 2:
            raise PydanticCustomError(
                "order",
                f"batch_size is {self.batch_size} and {name} is {value:g}; allowed: at least 2, since the images of a "
                "batch are mixed with each other.",
            )
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        if self.labels_per_class is not None and self.label_fraction < 1:
            raise PydanticCustomError(
                "labels",
                f"labels_per_class is {self.labels_per_class} and label_fraction is {self.label_fraction:g}; allowed: "
                "one of them, since both say how many labels are used.",
            )
        return self

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.experiment_version is None and not self.random_weight_init:
            raise PydanticCustomError(
                "source",
                "experiment_version is not set and random_weight_init is false; allowed: the version, id or weights "
                "file of a pre-training, or random_weight_init true to train from scratch.",
            )
        return self

    @model_validator(mode="after")
    def _check_match(self) -> Self:
        if self.match_experiment and self.experiment_version is None:
            raise PydanticCustomError(
                "source",
                "match_experiment is true and experiment_version is not set; allowed: the pre-training to be matched.",
            )
        return self

    @model_validator(mode="after")
    def _check_batch_and_compile(self) -> Self:
        return check_batch(check_compile(self))

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        return check_schedule(check_value_range(self))

    @property
    def kind(self) -> Kind:
        return "scratch" if self.random_weight_init else "finetune"

    @property
    def trains_on_features(self) -> bool:
        """Whether the head is trained on features that are computed once, without the encoder."""
        return self.freeze_encoder and self.augmentation is None

    @property
    def mixes(self) -> bool:
        """Whether batches are mixed, by MixUp, CutMix or either."""
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0

    @property
    def peak_learning_rate(self) -> float:
        return self.learning_rate

    def resolved(self) -> FinetuneConfig:
        """The same options; what stays unset is the experiment's, and is filled in when the run is prepared."""
        return self
