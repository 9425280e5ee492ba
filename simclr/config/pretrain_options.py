"""Options of a contrastive pre-training."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from simclr.config.augmentation import Augmentation
from simclr.config.common_options import CommonOptions, check_batch, check_compile, check_schedule, check_value_range
from simclr.config.fields import option
from simclr.config.names import DATASETS, Kind
from simclr.config.spellings import Backbone, Dataset, Experiment, Optimizer, Scaling, Tags, lowercase
from simclr.config.words import LEAST_TEMPERATURE, check_held_out


class PretrainConfig(CommonOptions):
    """One contrastive pre-training run (SimCLR, Chen et al. 2020)."""

    version: int | None = option(
        None,
        "Number by which fine-tuning can name this pre-training; unset: the next free one.",
        group="Experiment",
        ge=0,
        le=10**9,
    )
    dataset: Dataset = option(
        "shapes",
        f"{', '.join(DATASETS)}, or a folder of images.",
        group="Data",
        common=True,
        label="Data set",
        min_length=1,
    )
    image_size: int | None = option(
        None, "Side of a view; unset: the data set's own.", group="Data", unit="pixels", ge=8, le=1024
    )
    held_out: Tags = option(
        (),
        "Combinations of colour and shape whose images are left out of training with captions, separated by commas: "
        "red star, blue circle.",
        group="Data",
        label="Left out combinations",
    )
    initial_image_size: int | None = option(
        None,
        "Side of a view in the first part of the training, which small views make quicker (progressive resizing); "
        "unset: image_size all the time.",
        group="Data",
        label="Initial image size",
        unit="pixels",
        ge=8,
        le=1024,
    )
    initial_size_share: float = option(
        0.7,
        "Share of the training steps with views of initial_image_size, if that is set. With 1, images have image_size "
        "only where the encoder is judged (Touvron et al. 2019).",
        group="Data",
        gt=0,
        le=1,
    )
    backbone: Backbone = option(
        "resnet_tiny", "Encoder network; resnet_tiny and cnn_tiny are made for CPUs.", group="Model", common=True
    )
    init_weights: Experiment | None = option(
        None,
        "Weights that the encoder begins with: a run, or a file of weights; unset: random ones.",
        group="Model",
        label="Begin with weights of",
    )
    text_encoder: Annotated[Literal["mean", "transformer"], BeforeValidator(lowercase)] | None = option(
        None,
        "Compares one view of an image with its caption, read by this encoder (CLIP), on shapes: the mean of word "
        "vectors, or a transformer. Unset: two views are compared.",
        group="Model",
    )
    hidden_dim: int = option(
        256,
        "Width of the projection head's hidden layer.",
        group="Model",
        label="Hidden width",
        unit="features",
        ge=1,
        le=65_536,
    )
    projection_dim: int = option(
        128,
        "Width of the projection head's output, in which views are compared.",
        group="Model",
        label="Projection width",
        unit="features",
        ge=2,
        le=65_536,
    )
    temperature: float = option(
        0.5,
        "Divides the cosine similarities in the loss; lower weighs the hardest negatives more. A text encoder "
        "learns it, beginning here.",
        group="Training",
        common=True,
        ge=0.005,
        le=100,
    )
    batch_size: int = option(
        256,
        "Images in a batch; each gives two views, so each view has 2 x this - 2 negatives.",
        group="Training",
        common=True,
        unit="images",
        ge=2,
        le=65_536,
    )
    micro_batch_size: int | None = option(
        None,
        "Images at once through the network of each process, for batches beyond memory (BatchNorm sees only "
        "these); unset: all.",
        group="Training",
        unit="images",
        ge=1,
        le=65_536,
    )
    optimizer: Optimizer | None = option(
        None, "Unset: lars when the learning rate is scaled with the batch, else adam.", group="Optimizer"
    )
    learning_rate: float | None = option(
        None,
        "Before scaling; unset: 0.3 for linear, 0.075 for square-root, 0.0005 for none.",
        group="Optimizer",
        common=True,
        gt=0,
        le=100,
    )
    lr_scaling_method: Scaling = option(
        "none",
        "linear: learning_rate x batch / 256; square-root: learning_rate x sqrt(batch).",
        group="Optimizer",
        label="Learning rate scaling",
    )
    augmentation: Augmentation = option(Augmentation(), "How views are drawn.", group="Augmentation")
    knn_every_epochs: int = option(
        1,
        "How often the kNN accuracy is measured; 0: never.",
        group="Monitoring",
        label="kNN every",
        unit="epochs",
        ge=0,
        le=100_000,
    )
    checkpoint_every_epochs: int = option(
        0,
        "Keep a checkpoint this often besides the last and the best; 0: only those two.",
        group="Monitoring",
        label="Epochs to a kept checkpoint",
        unit="epochs",
        ge=0,
        le=100_000,
    )

    @model_validator(mode="after")
    def _check_batch_and_compile(self) -> Self:
        return check_batch(check_compile(self))

    @model_validator(mode="after")
    def _check_image_sizes(self) -> Self:
        if self.image_size is not None and (problem := self.initial_size_problem(self.image_size)):
            raise PydanticCustomError("order", problem)
        return self

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        return check_schedule(check_value_range(self))

    @model_validator(mode="after")
    def _check_micro_batch(self) -> Self:
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_per_process:
            raise PydanticCustomError(
                "order",
                f"micro_batch_size is {self.micro_batch_size}; allowed: at most the images of a batch that a process "
                f"holds, {self.batch_per_process}.",
            )
        return self

    @model_validator(mode="after")
    def _check_words(self) -> Self:
        if self.text_encoder is None:
            if self.held_out:
                raise PydanticCustomError(
                    "order",
                    f"held_out is {', '.join(self.held_out)[:80]} and text_encoder is unset; allowed: a text_encoder, "
                    "or held_out unset.",
                )
            return self
        named = f"text_encoder is {self.text_encoder}"
        if self.dataset != "shapes":
            raise PydanticCustomError(
                "order", f"{named} and dataset is {self.dataset}; allowed: shapes, of which captions are known."
            )
        if self.micro_batch_size is not None:
            raise PydanticCustomError(
                "order", f"{named} and micro_batch_size is {self.micro_batch_size}; allowed: micro_batch_size unset."
            )
        if self.devices * self.num_nodes > 1:
            name = "devices" if self.devices > 1 else "num_nodes"
            raise PydanticCustomError("order", f"{named} and {name} is {getattr(self, name)}; allowed: one process.")
        if self.temperature < LEAST_TEMPERATURE:
            raise PydanticCustomError(
                "order", f"{named} and temperature is {self.temperature:g}; allowed: {LEAST_TEMPERATURE:g} or more."
            )
        check_held_out(self.held_out)
        return self

    @property
    def views_per_image(self) -> int:
        """Views of an image in a batch that go through the encoder."""
        return 2 if self.text_encoder is None else 1

    @property
    def batch_per_process(self) -> int:
        """Images of a batch that each process holds."""
        return self.batch_size // (self.devices * self.num_nodes)

    @property
    def kind(self) -> Kind:
        return "pretrain"

    def initial_size_problem(self, image_size: int) -> str:
        """A sentence if first views would not be smaller than the later ones of `image_size` pixels; else empty."""
        if self.initial_image_size is None or self.initial_image_size < image_size:
            return ""
        return (
            f"initial_image_size is {self.initial_image_size} and image_size is {image_size}; allowed: an initial size "
            "below the later one, or unset."
        )

    def images_in_epoch(self, num_images: int) -> int:
        """Images that an epoch over so many sees: an incomplete last batch is dropped unless it is the only one."""
        return max(num_images // self.batch_size, 1) * self.batch_size

    def num_initial_steps(self, num_steps: int) -> int:
        """How many of a training's steps see views of `initial_image_size`; they are the first."""
        return round(self.initial_size_share * num_steps) if self.initial_image_size is not None else 0

    @property
    def _base_learning_rate(self) -> float:
        """Learning rate before scaling with the batch."""
        return self.learning_rate or {"linear": 0.3, "square-root": 0.075, "none": 5e-4}[self.lr_scaling_method]

    @property
    def peak_learning_rate(self) -> float:
        """Learning rate after scaling with the batch (Chen et al. 2020, sections 2.2 and B.1)."""
        base = self._base_learning_rate
        if self.lr_scaling_method == "linear":
            return base * self.batch_size / 256
        if self.lr_scaling_method == "square-root":
            return base * math.sqrt(self.batch_size)
        return base

    def resolved(self) -> PretrainConfig:
        """The same options with optimizer and learning rate filled in, as `config.yaml` shows them."""
        scaled = self.lr_scaling_method != "none"
        return self.model_copy(
            update={
                "optimizer": self.optimizer or ("lars" if scaled else "adam"),
                "learning_rate": self._base_learning_rate,
            }
        )
