"""Every option: type, default, range, unit and help, declared once (no torch).

The command line, the YAML reader and the dashboard's forms are all built from the fields below. A value is
checked here and nowhere else; what depends on the data (class count, image size, how much fits) is checked when
a run is prepared, in `simclr.lifecycle.train`.
"""

from __future__ import annotations

import difflib
import errno
import math
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from simclr import PACKAGE
from simclr.files import safe_read

RECIPES_DIR = PACKAGE / "recipes"

BUILT_IN_DATASETS = ("shapes", "digits")
DOWNLOADED_DATASETS = ("cifar10", "cifar100", "stl10", "svhn", "fashion_mnist")
DATASETS = BUILT_IN_DATASETS + DOWNLOADED_DATASETS

# torchvision's classifiers, as `torchvision.models.list_models(module=torchvision.models)` names them; a test
# compares. Written out so that a configuration can be checked, and a form drawn, without importing torch.
BACKBONES: tuple[str, ...] = (
    "resnet_tiny", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "alexnet", "convnext_base",
    "convnext_large", "convnext_small", "convnext_tiny", "densenet121", "densenet161", "densenet169",
    "densenet201", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4",
    "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_l", "efficientnet_v2_m",
    "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0",
    "mnasnet1_3", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_16gf", "regnet_x_1_6gf",
    "regnet_x_32gf", "regnet_x_3_2gf", "regnet_x_400mf", "regnet_x_800mf", "regnet_x_8gf", "regnet_y_128gf",
    "regnet_y_16gf", "regnet_y_1_6gf", "regnet_y_32gf", "regnet_y_3_2gf", "regnet_y_400mf", "regnet_y_800mf",
    "regnet_y_8gf", "resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0", "squeezenet1_1", "swin_b",
    "swin_s", "swin_t", "swin_v2_b", "swin_v2_s", "swin_v2_t", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16",
    "vgg16_bn", "vgg19", "vgg19_bn", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32",
    "wide_resnet101_2", "wide_resnet50_2",
)  # fmt: skip

Kind = Literal["pretrain", "finetune", "scratch"]
Group = Literal["Experiment", "Data", "Model", "Training", "Optimizer", "Augmentation", "Monitoring", "Hardware"]
GROUPS: tuple[str, ...] = get_args(Group)


CUDA_GRAPHS = ("reduce-overhead", "max-autotune")  # values of `compile`


class ConfigError(ValueError):
    """Bad input from a user: the message is one complete sentence per problem, ready to be shown."""


def option(
    default: Any,
    description: str,
    *,
    group: Group,
    common: bool = False,
    unit: str = "",
    label: str = "",
    **constraints: Any,
) -> Any:
    """Returns a pydantic field; `group`, `common`, `unit` and `label` tell forms where and how to draw it."""
    extra: dict[str, Any] = {"group": group, "common": common, "unit": unit, "label": label}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def _plain_name(value: Any) -> Any:
    """`CIFAR-10`, `cifar10` and `Cifar10` are one data set; a path stays as it is written."""
    if not isinstance(value, str):
        return value
    squeezed = value.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    for name in DATASETS:
        if squeezed == name.replace("_", ""):
            return name
    return value.strip()


def _dashed(value: Any) -> Any:
    return value.strip().lower().replace("_", "-") if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _precision_name(value: Any) -> Any:
    aliases = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "fp32": "32-true", "fp16": "16-mixed"}
    return aliases.get(str(value).strip().lower(), value)


def _switch(value: Any) -> Any:
    """`true` and `false` are truth values in a YAML file, and words where there is a third."""
    word = option_text(value) if isinstance(value, bool) else _lower(value)
    return {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}.get(word, word)


def _none_word(value: Any) -> Any:
    """Text from a YAML file or a flag: `null`, `~`, `none` and nothing at all leave an option unset."""
    return None if isinstance(value, str) and value.strip().lower() in ("", "null", "none", "~") else value


def _integer_or_text(value: Any) -> Any:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value


def _tag_list(value: Any) -> Any:
    if _none_word(value) is None:
        return ()
    if isinstance(value, str):
        value = value.strip().removeprefix("[").removesuffix("]").split(",")
    if isinstance(value, (list, tuple)):
        return tuple(dict.fromkeys(str(tag).strip() for tag in value if str(tag).strip()))
    return value


def is_optional(info: FieldInfo) -> bool:
    """True where a field may be unset."""
    return type(None) in _union_members(info.annotation)


def _union_members(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def _inner(info: FieldInfo) -> tuple[Any, list[Any]]:
    """The field's type without None and Annotated, and all constraints found on the way."""
    metadata = list(info.metadata)
    members = [m for m in _union_members(info.annotation) if m is not type(None)]
    annotation = members[0] if len(members) == 1 else info.annotation
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata += more
    return annotation, metadata


def field_type(info: FieldInfo) -> Any:
    """The plain type of an option: int, float, bool, str, a Literal, tuple[str, ...] or an Options model."""
    return _inner(info)[0]


Optimizer = Annotated[Literal["adamw", "adam", "sgd", "lars"], BeforeValidator(_lower)]
Scaling = Annotated[Literal["none", "linear", "square-root"], BeforeValidator(_dashed)]
Precision = Annotated[Literal["auto", "32-true", "bf16-mixed", "16-mixed"], BeforeValidator(_precision_name)]
Compile = Annotated[Literal["false", "true", "reduce-overhead", "max-autotune"], BeforeValidator(_switch)]
Dataset = Annotated[str, BeforeValidator(_plain_name)]
Backbone = Annotated[Literal[BACKBONES], BeforeValidator(_lower)]  # type: ignore[valid-type]
Tags = Annotated[tuple[str, ...], BeforeValidator(_tag_list)]
# digits alone are the number of a pre-training, anything else a run or a file
Experiment = Annotated[int | str, BeforeValidator(_integer_or_text)]


class Options(BaseModel):
    """What all option models share: frozen, no unknown names, no infinity, numbers accepted where text is asked."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        validate_default=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _unset_words(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        cleaned = {}
        for name, value in data.items():
            info = cls.model_fields.get(str(name))
            cleaned[str(name)] = _none_word(value) if info is not None and is_optional(info) else value
        return cleaned


class Augmentation(Options):
    """How one view of an image is drawn (Chen et al. 2020, appendix A); every operation can be switched off.

    Defaults are the paper's for CIFAR-10 (section B.9): colour distortion at strength 0.5 and no blur.
    """

    crop_probability: float = option(
        1.0, "Share of views that are a random crop; the others show the whole image.", group="Augmentation", ge=0, le=1
    )
    crop_scale_min: float = option(
        0.08, "Smallest crop, as a share of the image's area.", group="Augmentation", common=True, gt=0, le=1
    )
    crop_scale_max: float = option(
        1.0, "Largest crop, as a share of the image's area.", group="Augmentation", common=True, gt=0, le=1
    )
    crop_ratio_min: float = option(
        0.75, "Narrowest crop, width divided by height.", group="Augmentation", ge=0.1, le=10
    )
    crop_ratio_max: float = option(4 / 3, "Widest crop, width divided by height.", group="Augmentation", ge=0.1, le=10)
    flip_probability: float = option(
        0.5, "Share of views mirrored left to right.", group="Augmentation", common=True, ge=0, le=1
    )
    jitter_probability: float = option(
        0.8, "Share of views with colour jitter.", group="Augmentation", common=True, ge=0, le=1
    )
    brightness: float = option(
        0.4, "Colour jitter: brightness is multiplied by 1 ± this.", group="Augmentation", common=True, ge=0, le=1
    )
    contrast: float = option(
        0.4, "Colour jitter: contrast is multiplied by 1 ± this.", group="Augmentation", common=True, ge=0, le=1
    )
    saturation: float = option(
        0.4, "Colour jitter: saturation is multiplied by 1 ± this.", group="Augmentation", common=True, ge=0, le=1
    )
    hue: float = option(
        0.1, "Colour jitter: hue is turned by ± this share of the colour circle; 0.5 is the whole circle.",
        group="Augmentation", common=True, ge=0, le=0.5,
    )  # fmt: skip
    grayscale_probability: float = option(
        0.2, "Share of views without colour.", group="Augmentation", common=True, ge=0, le=1
    )
    blur_probability: float = option(
        0.0, "Share of views with Gaussian blur.", group="Augmentation", common=True, ge=0, le=1
    )
    blur_kernel_size: int = option(
        3, "Width of the blur's window; odd.", group="Augmentation", unit="pixels", ge=1, le=63
    )
    blur_sigma_min: float = option(
        0.1, "Weakest blur: standard deviation of the Gaussian.", group="Augmentation", unit="pixels", gt=0, le=20
    )
    blur_sigma_max: float = option(
        2.0, "Strongest blur: standard deviation of the Gaussian.", group="Augmentation", unit="pixels", gt=0, le=20
    )

    @field_validator("blur_kernel_size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise PydanticCustomError("odd", "an odd number from 1 to 63")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("crop_scale", "crop_ratio", "blur_sigma"):
            low, high = getattr(self, f"{name}_min"), getattr(self, f"{name}_max")
            if low > high:
                raise PydanticCustomError(
                    "order",
                    f"augmentation.{name}_min is {low:g} and augmentation.{name}_max is {high:g}; "
                    "allowed: a smallest value that is not above the largest.",
                )
        return self


# Full fine-tuning and training from scratch: the crop and flip that supervised training uses on small images.
CROP_AND_FLIP = Augmentation(
    crop_scale_min=0.5, jitter_probability=0.0, grayscale_probability=0.0, blur_probability=0.0
)


class CommonOptions(Options):
    """Options that pre-training and fine-tuning share."""

    name: str | None = option(None, "A name for the run, shown in place of its id.", group="Experiment", common=True,
                              max_length=120)  # fmt: skip
    notes: str = option("", "Free text kept with the run.", group="Experiment", max_length=10_000)
    tags: Tags = option((), "Words to find the run by, separated by commas.", group="Experiment")
    seed: int = option(42, "Seed of the split, the weights, the sample order and the augmentation.",
                       group="Experiment", common=True, ge=0, le=2**31 - 1)  # fmt: skip
    data_dir: str | None = option(
        None,
        "Folder of downloaded data sets; unset: $SIMCLR_DATA_DIR, else ~/.cache/simclr.",
        group="Data",
        label="Data folder",
    )
    limit_images: int | None = option(
        None, "Train on this many images only, drawn in class proportion; unset: all.",
        group="Data", common=True, unit="images", ge=2,
    )  # fmt: skip
    val_fraction: float = option(
        0.1,
        "Share of the training images kept aside for validation; 0: none.",
        group="Data",
        label="Validation share",
        ge=0,
        le=0.9,
    )
    broken_images: Annotated[Literal["skip", "refuse"], BeforeValidator(_lower)] = option(
        "skip", "Images of a folder that cannot be read: skip names, counts and leaves them out; refuse ends the run.",
        group="Data",
    )  # fmt: skip
    memory_share: float = option(
        0.25,
        "Images are kept decoded in memory up to this share of it; larger sets are read batch by batch.",
        group="Data",
        ge=0,
        le=0.9,
    )
    epochs: int = option(20, "Passes over the training images.", group="Training", common=True, unit="epochs",
                         ge=1, le=100_000)  # fmt: skip
    max_steps: int | None = option(
        None, "End after this many optimizer steps if the epochs are not over before; unset: no such limit.",
        group="Training", label="Steps at most", unit="steps", ge=1,
    )  # fmt: skip
    warmup_epochs: float = option(
        0, "The learning rate rises linearly for this long, then falls along a cosine; at most half of the training.",
        group="Optimizer", label="Warm-up", unit="epochs", ge=0, le=100_000,
    )  # fmt: skip
    eta_min: float = option(
        0.0, "Learning rate at the end of the cosine.", group="Optimizer", label="Final learning rate", ge=0, le=100
    )
    weight_decay: float = option(
        1e-6, "Weight decay; never applied to biases and normalization layers.", group="Optimizer", ge=0, le=10
    )
    precision: Precision = option(
        "auto", "Number format; auto: bfloat16 where the processor or GPU computes it natively, float16 on a GPU whose "
        "tensor cores know that alone (compute capability 7.0 to 7.5), else float32.", group="Hardware",
    )  # fmt: skip
    accelerator: Annotated[Literal["auto", "cpu", "gpu"], BeforeValidator(_lower)] = option(
        "auto", "Where to train; auto: a GPU if there is one.", group="Hardware"
    )
    devices: int = option(
        1, "GPUs, or processes on a CPU, of each machine; the batch is divided among them.",
        group="Hardware", ge=1, le=1024,
    )  # fmt: skip
    num_nodes: int = option(
        1, "Machines; each needs the same command, as torchrun or srun give it.",
        group="Hardware", label="Machines", ge=1, le=1024,
    )  # fmt: skip
    strategy: Annotated[Literal["auto", "ddp"], BeforeValidator(_lower)] = option(
        "auto", "How several processes work together; auto: DDP where there are several.", group="Hardware"
    )
    checkpoint_every_minutes: float = option(
        10, "A checkpoint within an epoch this often, besides the one after each epoch; 0: only that one.",
        group="Monitoring", label="Minutes to a checkpoint", unit="minutes", ge=0, le=100_000,
    )  # fmt: skip
    film_frames: int = option(
        20, "Epochs, evenly spread, after which the features of some validation images are kept for the training film; "
        "0: none.", group="Monitoring", label="Frames of the film", unit="epochs", ge=0, le=1000,
    )  # fmt: skip
    num_threads: int | None = option(
        None, "CPU threads of each process; unset: one for each core. Results repeat exactly for the same number.",
        group="Hardware", label="CPU threads", ge=1, le=1024,
    )  # fmt: skip
    num_workers: int = option(
        2,
        "Processes that read images, for data sets too large to be kept in memory.",
        group="Hardware",
        label="Reading processes",
        ge=0,
        le=256,
    )
    deterministic: Annotated[Literal["auto", "true", "false"], BeforeValidator(_switch)] = option(
        "auto", "Whether a seed gives the same bytes on a GPU too, which is slower; auto: no. On a CPU it always does.",
        group="Hardware", label="Same bytes on a GPU",
    )  # fmt: skip
    compile: Compile = option(
        "false", "Compile the network with torch.compile: slow to start, faster after. On a GPU, reduce-overhead "
        "replays it as a CUDA graph, and max-autotune tries out its kernels too.", group="Hardware",
    )  # fmt: skip


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
        None, "Number by which fine-tuning can name this pre-training; unset: the next free one.",
        group="Experiment", ge=0, le=10**9,
    )  # fmt: skip
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
    backbone: Backbone = option("resnet_tiny", "Encoder network; resnet_tiny is made for CPUs.",
                                group="Model", common=True)  # fmt: skip
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
        0.5, "Divides the cosine similarities in the loss; lower weighs the hardest negatives more.",
        group="Training", common=True, ge=0.005, le=100,
    )  # fmt: skip
    batch_size: int = option(
        256, "Images in a batch; each gives two views, so each view has 2 x this - 2 negatives.",
        group="Training", common=True, unit="images", ge=2, le=65_536,
    )  # fmt: skip
    micro_batch_size: int | None = option(
        None, "Images at once through the network of each process, for batches beyond memory (BatchNorm sees only "
        "these); unset: all.", group="Training", unit="images", ge=1, le=65_536,
    )  # fmt: skip
    optimizer: Optimizer | None = option(
        None, "Unset: lars when the learning rate is scaled with the batch, else adam.", group="Optimizer"
    )
    learning_rate: float | None = option(
        None, "Before scaling; unset: 0.3 for linear, 0.075 for square-root, 0.0005 for none.",
        group="Optimizer", common=True, gt=0, le=100,
    )  # fmt: skip
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
        True, "After training, kNN and linear probe accuracy on the test images, where there are labels.",
        group="Monitoring", label="Test when done",
    )  # fmt: skip
    checkpoint_every_epochs: int = option(
        0, "Keep a checkpoint this often besides the last and the best; 0: only those two.",
        group="Monitoring", label="Epochs to a kept checkpoint", unit="epochs", ge=0, le=100_000,
    )  # fmt: skip

    @model_validator(mode="after")
    def _divides(self) -> Self:
        return check_batch(check_compile(self))

    @model_validator(mode="after")
    def _falls(self) -> Self:
        return check_schedule(self)

    @property
    def batch_per_process(self) -> int:
        """Images of a batch that each process holds."""
        return self.batch_size // (self.devices * self.num_nodes)

    @property
    def kind(self) -> Kind:
        return "pretrain"

    @property
    def peak_learning_rate(self) -> float:
        """Learning rate after scaling with the batch (Chen et al. 2020, sections 2.2 and B.1)."""
        base = self.learning_rate
        if base is None:
            base = {"linear": 0.3, "square-root": 0.075, "none": 5e-4}[self.lr_scaling_method]
        if self.lr_scaling_method == "linear":
            return base * self.batch_size / 256
        if self.lr_scaling_method == "square-root":
            return base * math.sqrt(self.batch_size)
        return base

    def resolved(self) -> PretrainConfig:
        """The same options with optimizer and learning rate filled in, as `config.yaml` shows them."""
        scaled = self.lr_scaling_method != "none"
        rates = {"linear": 0.3, "square-root": 0.075, "none": 5e-4}
        return self.model_copy(
            update={
                "optimizer": self.optimizer or ("lars" if scaled else "adam"),
                "learning_rate": self.learning_rate or rates[self.lr_scaling_method],
            }
        )


class FinetuneConfig(CommonOptions):
    """One supervised run: a head on a frozen encoder, fine-tuning of all weights, or training from scratch."""

    experiment_version: Experiment | None = option(
        None, "The pre-training to start from: its version number, a run's id, prefix or folder, or a weights file.",
        group="Experiment", common=True,
    )  # fmt: skip
    random_weight_init: bool = option(
        False, "Train from scratch: load nothing; the experiment is then the run it is compared with.",
        group="Experiment", common=True,
    )  # fmt: skip
    freeze_encoder: bool = option(
        False, "Train the head only, on features of the frozen encoder.", group="Experiment", common=True
    )
    dataset: Dataset | None = option(
        None, f"{', '.join(DATASETS)}, or a folder with classes; unset: the experiment's.", group="Data", common=True,
        label="Data set", min_length=1,
    )  # fmt: skip
    label_fraction: float = option(
        1.0, "Share of the training labels used, the same images for every arm with the same seed.",
        group="Data", common=True, gt=0, le=1,
    )  # fmt: skip
    image_size: int | None = option(
        None, "Side of an image; unset: the experiment's, else the data set's own.", group="Data", unit="pixels",
        ge=8, le=1024,
    )  # fmt: skip
    num_classes: int | None = option(
        None,
        "Must agree with the data; unset: taken from it.",
        group="Data",
        label="Number of classes",
        unit="classes",
        ge=2,
    )
    backbone: Backbone | None = option(None, "Unset: the experiment's.", group="Model")
    head: Annotated[Literal["linear", "mlp"], BeforeValidator(_lower)] = option(
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
    batch_size: int = option(64, "Images in a batch.", group="Training", common=True, unit="images", ge=1,
                             le=65_536)  # fmt: skip
    early_stopping_patience: int | None = option(
        None, "Stop after this many epochs without a better validation accuracy; unset: never.",
        group="Training", label="Early stopping after", unit="epochs", ge=1,
    )  # fmt: skip
    optimizer: Optimizer = option("adam", "Optimizer of the head, and of the encoder unless frozen.",
                                  group="Optimizer")  # fmt: skip
    learning_rate: float = option(1e-3, "Peak learning rate.", group="Optimizer", common=True, gt=0, le=100)
    augmentation: Augmentation | None = option(
        None, "Unset: none with a frozen encoder (features are computed once), else crop and flip.",
        group="Augmentation",
    )  # fmt: skip

    @model_validator(mode="after")
    def _in_one_process(self) -> Self:
        if self.trains_on_features and self.devices * self.num_nodes > 1:
            raise PydanticCustomError(
                "order",
                f"devices is {self.devices} and num_nodes is {self.num_nodes}; allowed: 1 and 1 with freeze_encoder "
                "true and no augmentation, since the head is trained on features computed once.",
            )
        return self

    @model_validator(mode="after")
    def _has_source(self) -> Self:
        if self.experiment_version is None and not self.random_weight_init:
            raise PydanticCustomError(
                "source",
                "experiment_version is not set and random_weight_init is false; allowed: the version, id or weights "
                "file of a pre-training, or random_weight_init true to train from scratch.",
            )
        return self

    @model_validator(mode="after")
    def _divides(self) -> Self:
        return check_batch(check_compile(self))

    @model_validator(mode="after")
    def _falls(self) -> Self:
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


# --- reading and writing ------------------------------------------------------------------------------------------


def choices(info: FieldInfo) -> tuple[str, ...]:
    """The words allowed for an option, empty where any value of its type may stand."""
    annotation = field_type(info)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def bounds(info: FieldInfo) -> dict[str, float]:
    """The numeric limits of an option: any of `ge`, `gt`, `le`, `lt`."""
    found: dict[str, float] = {}
    for constraint in _inner(info)[1]:
        for name, type_ in (("ge", Ge), ("gt", Gt), ("le", Le), ("lt", Lt)):
            if isinstance(constraint, type_):
                found[name] = getattr(constraint, name)
    return found


def allowed(info: FieldInfo) -> str:
    """What may be given for an option, in words: "a number above 0, up to 1 (or unset)"."""
    annotation, metadata = _inner(info)
    limits = bounds(info)
    if words := choices(info):
        text = ", ".join(words) if len(words) < 12 else f"one of {len(words)} names such as {', '.join(words[:5])}"
    elif annotation is bool:
        text = "true or false"
    elif annotation in (int, float):
        text = "a whole number" if annotation is int else "a number"
        low, high = limits.get("ge"), limits.get("le")
        if low is not None and high is not None:
            text += f" from {low:,g} to {high:,.10g}" if high < 1e6 else f", at least {low:,g}, up to {high:,.10g}"
        elif low is not None:
            text += f", at least {low:,g}"
        elif (above := limits.get("gt")) is not None:
            text += f" above {above:g}"
            text += f", up to {high:,.10g}" if high is not None else ""
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        text = "a section of named values"
    else:
        text = "text"
        for constraint in metadata:
            if (longest := getattr(constraint, "max_length", None)) is not None:
                text += f" of at most {longest:,} characters"
    unit = (info.json_schema_extra or {}).get("unit") if isinstance(info.json_schema_extra, dict) else ""
    if unit and annotation in (int, float):
        text += f" {unit}"
    return text + (", or unset" if is_optional(info) else "")


def extra(info: FieldInfo, key: str) -> Any:
    """What `option` recorded about a field for forms: `group`, `common`, `unit`, `label`."""
    return info.json_schema_extra.get(key) if isinstance(info.json_schema_extra, dict) else None


def label(name: str, info: FieldInfo) -> str:
    """An option's name as a form shows it: its own label, or the name in words, with the unit."""
    text = extra(info, "label") or name.replace("_", " ").capitalize()
    return f"{text} ({extra(info, 'unit')})" if extra(info, "unit") else text


def option_names(model: type[Options], prefix: str = "") -> dict[str, FieldInfo]:
    """Every option of a model by its dotted name, nested sections included: `temperature`, `augmentation.hue`."""
    found: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        inner = field_type(info)
        if isinstance(inner, type) and issubclass(inner, Options):
            found |= option_names(inner, f"{prefix}{name}.")
        else:
            found[prefix + name] = info
    return found


def nearest_name(name: str, known: Any) -> str:
    """A sentence that offers the most similar known name, or an empty text."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return f"{text[:77]}..." if len(text) > 80 else text or "empty"


def _sentence(model: type[Options], error: Any) -> str:
    """One pydantic error as one sentence: option, value, what is allowed."""
    path = [str(part) for part in error["loc"]]
    names = option_names(model)
    if error["type"] == "extra_forbidden":
        dotted = ".".join(path)
        return f"{dotted} is not an option{nearest_name(dotted, names) or '.'}"
    # pydantic appends the tried member of a union to the location: keep the part that names an option
    while path and ".".join(path) not in names and path[0] not in model.model_fields:
        path.pop()
    while len(path) > 1 and ".".join(path) not in names:
        path.pop()
    if not path or error["type"] in ("order", "source"):
        return str(error["msg"])
    dotted = ".".join(path)
    info = names.get(dotted) or model.model_fields[path[0]]
    rule = str(error["msg"]) if error["type"] == "odd" else allowed(info)
    hint = nearest_name(str(error["input"]), choices(info)) if len(choices(info)) >= 12 else ""
    return f"{dotted} is {_show(error['input'])}; allowed: {rule}{hint or '.'}"


def build(model: type[Options], values: Mapping[str, Any]) -> Any:
    """Returns the checked option model for `values` (text or typed values, nested sections as mappings).

    Raises:
        ConfigError: with one sentence per problem, each naming option, value and what is allowed.
    """
    try:
        return model(**values)
    except ValidationError as error:
        sentences = dict.fromkeys(_sentence(model, item) for item in error.errors(include_url=False))
        raise ConfigError("\n".join(sentences)) from None
    except TypeError:
        raise ConfigError(f"The options are {_show(values)}; allowed: names with values.") from None


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"augmentation.hue": 1}` becomes `{"augmentation": {"hue": 1}}`."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        section, _, rest = name.partition(".")
        if rest and not isinstance(nested.get(section, {}), dict):
            nested[section] = {}
        if rest:
            nested.setdefault(section, {})[rest] = value
        elif isinstance(value, Mapping) and isinstance(nested.get(name), dict):
            nested[name] |= value
        else:
            nested[name] = dict(value) if isinstance(value, Mapping) else value
    return nested


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Reads a YAML file of options; every value stays the text that was written, so that 0012 and no survive.

    Raises:
        ConfigError: where the file is missing, unreadable, not YAML, or not names with values.
    """
    path = Path(path)
    try:
        with open(path, "rb") as stream:  # its user named it: a link or a pipe will do
            text = stream.read(safe_read.MAX_YAML_BYTES + 1)
        if len(text) > safe_read.MAX_YAML_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {safe_read.MAX_YAML_BYTES / 1e6:g} MB")
        values = safe_read.parse_yaml(text.decode("utf-8"), as_text=True)
    except FileNotFoundError:
        hint = f"; recipes: {', '.join(recipe_names())}" if not path.parent.name else ""
        raise ConfigError(f"config is {path}; allowed: a YAML file that exists{hint}.") from None
    except OSError as error:
        raise ConfigError(f"config is {path}, which cannot be read: {error.strerror}.") from None
    except ValueError as error:
        why = f" ({error})" if isinstance(error, safe_read.NotYaml) and str(error) else ""
        raise ConfigError(
            f"config is {path}, which is not a YAML file{why}; allowed: lines such as epochs: 100."
        ) from None
    if values is None or values == "":
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"config is {path}, which holds no names with values; allowed: lines such as epochs: 100.")
    return nest(values)


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Plain values in declaration order, as they stand in `config.yaml`."""
    return config.model_dump(mode="json")


def to_yaml(config: RunConfig) -> str:
    """The text of `config.yaml`: complete, and readable by `--config`."""
    return str(yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True))


def recipe_names() -> list[str]:
    """Names of the shipped recipes, without their partners, `quick` first."""
    names = {path.stem for path in RECIPES_DIR.glob("*.yaml") if "-" not in path.stem}
    return sorted(names, key=lambda name: (name != "quick", name))


def recipe(name: str, kind: str = "pretrain") -> dict[str, Any]:
    """Values of a shipped recipe; `kind` `finetune` or `scratch` gives its partner."""
    return load_yaml(RECIPES_DIR / (f"{name}.yaml" if kind == "pretrain" else f"{name}-{kind}.yaml"))


def arm_recipe(name: str, arm: str) -> tuple[str, dict[str, Any]]:
    """The partner recipe (`finetune` or `scratch`) that an arm of the comparison starts from, and its values.

    Args:
        name: a shipped recipe.
        arm: `frozen`, `full` or `scratch`.

    Full fine-tuning follows the from-scratch partner where the fine-tuning partner is made for a frozen encoder: all
    weights are trained, so rates and budget have to be the ones of training all weights.
    """
    if arm == "scratch":
        return "scratch", recipe(name, "scratch")
    values = recipe(name, "finetune")
    if arm == "full" and values.get("freeze_encoder") == "true":
        others = ("random_weight_init", "dataset", "backbone", "image_size")  # the experiment's
        values = {key: value for key, value in recipe(name, "scratch").items() if key not in others}
        return "scratch", values | {"random_weight_init": "false", "freeze_encoder": "false"}
    return "finetune", values | {"freeze_encoder": "true" if arm == "frozen" else "false"}


def option_text(value: Any) -> str:
    """A value as it is written behind a flag."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    if isinstance(value, float):
        short = f"{value:.10g}"
        return short if float(short) == value else repr(value)
    return "null" if value is None else str(value)


def differences(config: RunConfig, base: RunConfig) -> dict[str, Any]:
    """Options of `config`, by dotted name, whose value is not that of `base`: what a command has to say."""

    def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, Mapping):
                flat |= flatten(value, f"{prefix}{name}.")
            else:
                flat[prefix + name] = value
        return flat

    before = flatten(to_dict(base))
    return {name: value for name, value in flatten(to_dict(config)).items() if before.get(name, ...) != value}
