"""What a run computes on: device, precision, compiled or not, and the images in as much memory as there is."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from simclr.config import CUDA_GRAPHS, ConfigError, RunConfig
from simclr.data.loading import load_run_data
from simclr.data.memory import memory_limit
from simclr.data.splits import ImageData

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16, "32-true": None}
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # each of cuBLAS's streams has its own memory, so that sums keep their order


@functools.cache
def has_native_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 natively; emulated, it is up to 30 times as slow as float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text()
        return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))
    return False


def device_here(accelerator: str | None) -> torch.device:
    """The first GPU that this process may use, else the CPU, also for a run that was made elsewhere to use one."""
    is_gpu = accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda", 0) if is_gpu else torch.device("cpu")


def find_device(accelerator: str, devices: int = 1) -> torch.device:
    """The device to train on; with several `devices`, the first.

    Raises:
        ConfigError: if a GPU is asked for and there is none, or more are asked for than there are.
    """
    found = device_here(accelerator)
    if found.type == "cpu" and accelerator == "gpu":
        raise ConfigError("accelerator is gpu, and no GPU can be used here; allowed: auto or cpu.")
    if found.type == "cuda" and devices > torch.cuda.device_count():
        raise ConfigError(
            f"devices is {devices}; allowed: up to {torch.cuda.device_count()}, the GPUs of this machine, or "
            "accelerator cpu. A run that had more is resumed with --devices."
        )
    return found


def compile_network(network: torch.nn.Module, how: str) -> None:
    """Has a network compiled when it first runs, as the option `compile` says; CUDA graphs want fixed shapes."""
    if how in CUDA_GRAPHS:
        network.compile(mode=how, dynamic=False)
    elif how == "true":
        network.compile()


def resolve_precision(precision: str, device: torch.device, num_devices: int = 1) -> str:
    """What `auto` means on this device, by capability: a timing would differ from one start to the next."""
    if precision == "auto" and device.type == "cuda":
        capability = min(torch.cuda.get_device_capability(index) for index in range(num_devices))
        # tensor cores: of 7.0 and 7.5 for float16, from 8.0 on for bfloat16, whose range needs no scaling
        return "bf16-mixed" if capability >= (8, 0) else "16-mixed" if capability >= (7, 0) else "32-true"
    if precision == "auto":
        return "bf16-mixed" if has_native_bfloat16(device) else "32-true"
    if precision == "16-mixed" and device.type == "cpu":
        raise ConfigError("precision is 16-mixed, which needs a GPU; allowed here: auto, 32-true, bf16-mixed.")
    return precision


def load_images(config: RunConfig, report: Callable[[str, float], None]) -> ImageData:
    """The images of a run, in as much memory as this machine and its GPU leave to each of the run's processes."""
    device = find_device(config.accelerator, config.devices)
    device_bytes = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None
    max_bytes = memory_limit(config.memory_share, config.devices, device_bytes)
    return load_run_data(config, progress=report, max_bytes=max_bytes)


@contextlib.contextmanager
def deterministic_algorithms(config: RunConfig) -> Iterator[None]:
    """Has PyTorch take what gives the same bytes each time, and refuse the rest, where the options ask that of a GPU.

    On a CPU nothing has to be set. To be entered before anything is computed on the GPU.
    """
    if not is_deterministic(config):
        yield
        return
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark, os.environ.get(CUBLAS)
    os.environ[CUBLAS] = ":4096:8"
    cudnn.deterministic, cudnn.benchmark = True, False
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        cudnn.deterministic, cudnn.benchmark = before[:2]
        os.environ.pop(CUBLAS) if before[2] is None else os.environ.update({CUBLAS: before[2]})


def is_deterministic(config: RunConfig) -> bool:
    return config.deterministic == "true" and device_here(config.accelerator).type == "cuda"
