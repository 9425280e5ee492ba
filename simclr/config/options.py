"""The options of a run: type, default, range, unit and help of each, declared once (no torch).

The command line, the YAML reader and the dashboard's forms are all built from the fields below. A value is
checked here and nowhere else. What depends on the data (class count, image size, how much fits) is checked when
a run is prepared, in `simclr.lifecycle`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from simclr.config.augmentation import Augmentation
from simclr.config.fields import Options, option
from simclr.config.names import CUDA_GRAPHS, DATASETS, Kind
from simclr.config.spellings import (
    Backbone,
    Compile,
    Dataset,
    Experiment,
    Optimizer,
    Precision,
    Scaling,
    Tags,
    boolean_word,
    lowercase,
)


class CommonOptions(Options):
    """Options that pre-training and fine-tuning share."""

    name: str | None = option(
        None, "A name for the run, shown in place of its id.", group="Experiment", common=True, max_length=120
    )
    notes: str = option("", "Free text kept with the run.", group="Experiment", max_length=10_000)
    tags: Tags = option((), "Words to find the run by, separated by commas.", group="Experiment")
    seed: int = option(
        42,
        "Seed of the split, the weights, the sample order and the augmentation.",
        group="Experiment",
        common=True,
        ge=0,
        le=2**31 - 1,
    )
    data_dir: str | None = option(
        None,
        "Folder of downloaded data sets; unset: $SIMCLR_DATA_DIR, else ~/.cache/simclr.",
        group="Data",
        label="Data folder",
    )
    limit_images: int | None = option(
        None,
        "Train on this many images only, drawn in class proportion; unset: all.",
        group="Data",
        common=True,
        unit="images",
        ge=2,
    )
    val_fraction: float = option(
        0.1,
        "Share of the training images kept aside for validation; 0: none.",
        group="Data",
        label="Validation share",
        ge=0,
        le=0.9,
    )
    broken_images: Annotated[Literal["skip", "refuse"], BeforeValidator(lowercase)] = option(
        "skip",
        "Images of a folder that cannot be read: skip names, counts and leaves them out; refuse ends the run.",
        group="Data",
    )
    memory_share: float = option(
        0.25,
        "Images are kept decoded in memory up to this share of it; larger sets are read batch by batch.",
        group="Data",
        ge=0,
        le=0.9,
    )
    epochs: int = option(
        20, "Passes over the training images.", group="Training", common=True, unit="epochs", ge=1, le=100_000
    )
    max_steps: int | None = option(
        None,
        "End after this many optimizer steps if the epochs are not over before; unset: no such limit.",
        group="Training",
        label="Steps at most",
        unit="steps",
        ge=1,
    )
    warmup_epochs: float = option(
        0,
        "The learning rate rises linearly for this long, then falls along a cosine; at most half of the training.",
        group="Optimizer",
        label="Warm-up",
        unit="epochs",
        ge=0,
        le=100_000,
    )
    eta_min: float = option(
        0.0, "Learning rate at the end of the cosine.", group="Optimizer", label="Final learning rate", ge=0, le=100
    )
    weight_decay: float = option(
        1e-6, "Weight decay; never applied to biases and normalization layers.", group="Optimizer", ge=0, le=10
    )
    precision: Precision = option(
        "auto",
        "Number format; auto: bfloat16 where the processor or GPU computes it natively, float16 on a GPU whose "
        "tensor cores know that alone (compute capability 7.0 to 7.5), else float32.",
        group="Hardware",
    )
    accelerator: Annotated[Literal["auto", "cpu", "gpu"], BeforeValidator(lowercase)] = option(
        "auto", "Where to train; auto: a GPU if there is one.", group="Hardware"
    )
    devices: int = option(
        1,
        "GPUs, or processes on a CPU, of each machine; the batch is divided among them.",
        group="Hardware",
        ge=1,
        le=1024,
    )
    num_nodes: int = option(
        1,
        "Machines; each needs the same command, as torchrun or srun give it.",
        group="Hardware",
        label="Machines",
        ge=1,
        le=1024,
    )
    strategy: Annotated[Literal["auto", "ddp"], BeforeValidator(lowercase)] = option(
        "auto", "How several processes work together; auto: DDP where there are several.", group="Hardware"
    )
    checkpoint_every_minutes: float = option(
        10,
        "A checkpoint within an epoch this often, besides the one after each epoch; 0: only that one.",
        group="Monitoring",
        label="Minutes to a checkpoint",
        unit="minutes",
        ge=0,
        le=100_000,
    )
    film_frames: int = option(
        20,
        "Epochs, evenly spread, after which the features of some validation images are kept for the training film; "
        "0: none.",
        group="Monitoring",
        label="Frames of the film",
        unit="epochs",
        ge=0,
        le=1000,
    )
    num_threads: int | None = option(
        None,
        "CPU threads of each process; unset: one for each core. Results repeat exactly for the same number.",
        group="Hardware",
        label="CPU threads",
        ge=1,
        le=1024,
    )
    num_workers: int = option(
        2,
        "Processes that read images, for data sets too large to be kept in memory.",
        group="Hardware",
        label="Reading processes",
        ge=0,
        le=256,
    )
    deterministic: Annotated[Literal["auto", "true", "false"], BeforeValidator(boolean_word)] = option(
        "auto",
        "Whether a seed gives the same bytes on a GPU too, which is slower; auto: no. On a CPU it always does.",
        group="Hardware",
        label="Same bytes on a GPU",
    )
    compile: Compile = option(
        "false",
        "Compile the network with torch.compile: slow to start, faster after. On a GPU, reduce-overhead "
        "replays it as a CUDA graph, and max-autotune tries out its kernels too.",
        group="Hardware",
    )


def check_batch(config: Any) -> Any:
    """Refuses a batch that cannot be divided evenly among the processes."""
    processes = config.devices * config.num_nodes
    if config.batch_size % processes:
        near = max(processes, round(config.batch_size / processes) * processes)
        raise PydanticCustomError(
            "order",
            f"batch_size is {config.batch_size}; allowed: a multiple of {processes}, the processes that share it, "
            f"such as {near}.",
        )
    return config


def check_compile(config: Any) -> Any:
    """Refuses CUDA graphs where a step runs several: one overwrites what the one before has returned."""
    if config.compile in CUDA_GRAPHS and getattr(config, "micro_batch_size", None) is not None:
        raise PydanticCustomError(
            "order",
            f"compile is {config.compile}, whose CUDA graph takes a batch as a whole; allowed with micro_batch_size: "
            "false or true.",
        )
    return config


def check_schedule(config: Any) -> Any:
    """Refuses a cosine that would rise: `eta_min` above the peak learning rate."""
    if config.eta_min > config.peak_learning_rate:
        raise PydanticCustomError(
            "order",
            f"eta_min is {config.eta_min:g}; allowed: at most the peak learning rate, {config.peak_learning_rate:g}.",
        )
    return config


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
    backbone: Backbone = option(
        "resnet_tiny", "Encoder network; resnet_tiny is made for CPUs.", group="Model", common=True
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
        "Divides the cosine similarities in the loss; lower weighs the hardest negatives more.",
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
    evaluate: bool = option(
        True,
        "After training, kNN and linear probe accuracy on the test images, where there are labels.",
        group="Monitoring",
        label="Test when done",
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
    def _check_schedule(self) -> Self:
        return check_schedule(self)

    @property
    def batch_per_process(self) -> int:
        """Images of a batch that each process holds."""
        return self.batch_size // (self.devices * self.num_nodes)

    @property
    def kind(self) -> Kind:
        return "pretrain"

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
        "Unset: none with a frozen encoder (features are computed once), else crop and flip.",
        group="Augmentation",
    )

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
    def _check_source(self) -> Self:
        if self.experiment_version is None and not self.random_weight_init:
            raise PydanticCustomError(
                "source",
                "experiment_version is not set and random_weight_init is false; allowed: the version, id or weights "
                "file of a pre-training, or random_weight_init true to train from scratch.",
            )
        return self

    @model_validator(mode="after")
    def _check_batch_and_compile(self) -> Self:
        return check_batch(check_compile(self))

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        return check_schedule(self)

    @property
    def kind(self) -> Kind:
        return "scratch" if self.random_weight_init else "finetune"

    @property
    def trains_on_features(self) -> bool:
        """Whether the head is trained on features that are computed once, without the encoder."""
        return self.freeze_encoder and self.augmentation is None

    @property
    def peak_learning_rate(self) -> float:
        return self.learning_rate

    def resolved(self) -> FinetuneConfig:
        """The same options; what stays unset is the experiment's, and is filled in when the run is prepared."""
        return self


RunConfig = PretrainConfig | FinetuneConfig
MODELS: dict[str, type[PretrainConfig] | type[FinetuneConfig]] = {
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "scratch": FinetuneConfig,
}
