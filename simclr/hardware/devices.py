"""Devices that a run can use: this machine's GPUs, as `nvidia` finds them, and its CPU (no torch).

A device is named `cpu` or `gpu:0`; a run on several GPUs uses `gpu:0,1`, and one that takes any waits for `auto`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from simclr.config import ConfigError, RunConfig
from simclr.hardware import nvidia
from simclr.hardware.cores import num_cores

CPU, ANY = "cpu", "auto"
# What CUDA, NCCL, cuBLAS, cuDNN (for the host and for a GPU) and PyTorch say when no memory is left.
OUT_OF_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "Cuda failure 2 'out of memory'",
    "ALLOCATION_FAILED",
    "can't allocate memory",
    "DefaultCPUAllocator",
)


@dataclass(frozen=True)
class Device:
    """One device that a run can use; memory in bytes, `free` is None if it is not known.

    `uuid` is the driver's own name of a GPU, or of a slice of one (MIG).
    """

    name: str
    title: str
    free: int | None
    total: int
    uuid: str = ""

    @property
    def is_slice(self) -> bool:
        return self.uuid.startswith("MIG-")


def list_devices() -> list[Device]:
    """The GPUs that this process may use, then the CPU."""
    memory = psutil.virtual_memory()
    cores = num_cores()
    title = f"CPU, {cores} core{'s' if cores > 1 else ''}"
    return [*_gpus(), Device(CPU, title, memory.available, memory.total)]


def _gpus() -> list[Device]:
    found: list[Device] = []
    for unit in nvidia.usable_units():
        try:
            free, total = unit.memory()
        except Exception:  # NVML's own exceptions: a GPU that was just lost
            continue
        found.append(Device(f"gpu:{len(found)}", unit.title, free, total, unit.uuid))
    return found


def hide_unused_gpus(accelerator: str | None) -> None:
    """Hides all GPUs from this process and its children if the option `accelerator` is `cpu`.

    So no library creates a context on one. Nothing is hidden if torch is loaded already: the caller may use the GPUs.
    """
    if accelerator == "cpu" and "torch" not in sys.modules:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def gpus_for(number: int, among: Sequence[Device] | None = None) -> list[str]:
    """The GPUs that a run on `number` of them can take: a process uses one slice (MIG) alone.

    Args:
        among: GPUs; unset: those of this machine, each of which is queried.
    """
    return [found.name for found in (_gpus() if among is None else among) if number < 2 or not found.is_slice]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that a GPU or the machine has no memory left, whichever library said so."""
    text = str(error)
    is_named_so = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's
    return is_named_so or any(words in text for words in OUT_OF_MEMORY)


def names_in(device: str) -> list[str]:
    """The single devices in a name: `gpu:0,2` is `gpu:0` and `gpu:2`; none in `auto` or an empty name."""
    if device == CPU:
        return [CPU]
    return [f"gpu:{number}" for number in re.findall(r"\d+", device)] if device.startswith("gpu:") else []


def join_names(names: list[str]) -> str:
    """The reverse of `names_in`."""
    return CPU if CPU in names else "gpu:" + ",".join(name.removeprefix("gpu:") for name in names)


def resolve_device(device: str, config: RunConfig) -> str:
    """The device a run will use: `auto` stays only if there are GPUs to choose from.

    Raises:
        ConfigError: if there is no such device, or the options ask for another one.
    """
    known = [found.name for found in list_devices()]
    gpus = known[:-1]
    if device == ANY:
        if config.accelerator == "cpu" or (not gpus and config.accelerator == "auto"):
            return CPU
        if config.devices > len(gpus_for(config.devices)):
            have = f"the {len(gpus)} GPUs of this machine" if gpus else "no GPU here, so accelerator cpu or auto"
            if config.devices <= len(gpus):
                have = f"{max(1, len(gpus_for(2)))}, since a run takes one slice of a GPU (MIG)"
            raise ConfigError(
                f"accelerator is {config.accelerator} and devices is {config.devices}; allowed: up to {have}."
            )
        return ANY
    wanted = names_in(device)
    if not wanted or len(set(wanted)) < len(wanted) or not set(wanted) <= set(known):
        raise ConfigError(f"device is {device}; allowed: auto, {', '.join(known)}, or several GPUs such as gpu:0,1.")
    if device == CPU:
        if config.accelerator == "gpu":
            raise ConfigError("device is cpu and accelerator is gpu; allowed: accelerator auto or cpu, or a GPU.")
        return CPU
    if config.accelerator == "cpu":
        raise ConfigError(f"device is {device} and accelerator is cpu; allowed: device cpu, or accelerator auto.")
    if config.devices != len(wanted):
        raise ConfigError(f"device is {device} and devices is {config.devices}; allowed: devices {len(wanted)}.")
    if len(wanted) > 1 and not set(wanted) <= set(gpus_for(len(wanted))):
        raise ConfigError(f"device is {device}; allowed: one slice of a GPU (MIG), or several whole GPUs.")
    return device


def environment(device: str) -> dict[str, str]:
    """Environment variables with which a process sees the GPUs of `device` and no others; for `cpu`, none.

    GPUs are named by uuid: their numbers are not the same for each library and each environment.

    Raises:
        ConfigError: if there is no such GPU now.
    """
    wanted = names_in(device)
    if not wanted:
        return {}
    uuids = {found.name: found.uuid for found in _gpus()} if wanted != [CPU] else {CPU: ""}
    if missing := [name for name in wanted if name not in uuids]:
        raise ConfigError(
            f"device is {device}, and {missing[0]} is not there now; allowed: {', '.join([*uuids, CPU])}."
        )
    return {"CUDA_VISIBLE_DEVICES": ",".join(uuids[name] for name in wanted)}
