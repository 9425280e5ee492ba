"""Options that all kinds of runs share, and the checks that concern several of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from simclr.config.fields import Options, option
from simclr.config.names import CUDA_GRAPHS
from simclr.config.spellings import Compile, Precision, Readers, Tags, boolean_word, lowercase


class CommonOptions(Options):
    """Options that pre-training and fine-tuning share."""

    name: str | None = option(
        None, "A name for the run; unset: its id is shown.", group="Experiment", common=True, max_length=120
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
    test_fraction: float = option(
        0.2,
        "Share of a folder's images kept aside for testing where it has no test folder; 0: none.",
        group="Data",
        label="Test share",
        ge=0,
        le=0.9,
    )
    broken_images: Annotated[Literal["skip", "refuse"], BeforeValidator(lowercase)] = option(
        "skip",
        "Images of a folder that cannot be read: skip names, counts and leaves them out; refuse ends the run.",
        group="Data",
    )
    value_min: float | None = option(
        None,
        "Pixel value of a folder's images that becomes black; unset: found in them.",
        group="Data",
        label="Black value",
        ge=-1e9,
        le=1e9,
    )
    value_max: float | None = option(
        None,
        "Pixel value of a folder's images that becomes white; unset: found in them.",
        group="Data",
        label="White value",
        ge=-1e9,
        le=1e9,
    )
    extra_channels: Annotated[Literal["refuse", "drop", "alpha"], BeforeValidator(lowercase)] = option(
        "refuse",
        "A fourth channel of TIFF files that is not surely transparency: refuse, drop it, or take it for that.",
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
    evaluate: bool = option(
        True,
        "Measure on the labelled test images once training is done; false: while settings are still being chosen.",
        group="Monitoring",
        label="Test when done",
    )
    num_threads: int | None = option(
        None,
        "CPU threads of each process; unset: one for each core. Results repeat exactly for the same number.",
        group="Hardware",
        label="CPU threads",
        ge=1,
        le=1024,
    )
    num_workers: Readers = option(
        None,
        "Processes that read images which are not kept in memory; unset: chosen by measuring the first steps (also: "
        "auto). Results are the same for any number.",
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


def num_batches(num_images: int, batch_size: int, *, drop_last: bool, num_ranks: int = 1) -> int:
    """How many batches an epoch has, at least one, each with `batch_size` images for each of `num_ranks` processes.

    A last batch of one image (for each process) joins the one before, unless `batch_size` is 1.
    """
    count, rest = divmod(num_images, batch_size * num_ranks)
    is_batch = rest > 0 if batch_size == 1 else rest > num_ranks
    return max(1, count + (is_batch and not drop_last))


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


def check_value_range(config: Any) -> Any:
    """Refuses one end of a range of pixel values without the other, or above it."""
    low, high = config.value_min, config.value_max
    if (low is None) != (high is None):
        name, value = ("value_min", low) if high is None else ("value_max", high)
        other = "value_max" if high is None else "value_min"
        raise PydanticCustomError("order", f"{name} is {value:g} and {other} is unset; allowed: both, or neither.")
    if low is not None and low >= high:
        raise PydanticCustomError("order", f"value_min is {low:g}; allowed: below value_max, which is {high:g}.")
    return config


def check_schedule(config: Any) -> Any:
    """Refuses a cosine that would rise: `eta_min` above the peak learning rate."""
    if config.eta_min > config.peak_learning_rate:
        raise PydanticCustomError(
            "order",
            f"eta_min is {config.eta_min:g}; allowed: at most the peak learning rate, {config.peak_learning_rate:g}.",
        )
    return config
