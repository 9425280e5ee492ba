"""What a run can hold: this machine's GPUs, as NVIDIA's driver lists them, and its CPU (no torch).

A device is named `cpu` or `gpu:0`; a run on several GPUs holds `gpu:0,1`, and one that takes any waits for `auto`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import psutil

from simclr.config import ConfigError, RunConfig

CPU, ANY = "cpu", "auto"


@dataclass(frozen=True)
class Device:
    """One place where a run can train; memory in bytes. `uuid` is the driver's own name of a GPU."""

    name: str
    title: str
    free: int
    total: int
    uuid: str = ""


def list_devices() -> list[Device]:
    """The GPUs that this process may use, then the CPU."""
    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    title = f"CPU, {cores} core{'s' if cores > 1 else ''}"
    return [*_gpus(), Device(CPU, title, memory.available, memory.total)]


@lru_cache(maxsize=1)
def nvml() -> Any:
    """NVIDIA's management library, ready to be asked; None where there is no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no library, no driver, or one that does not answer: all mean that no GPU can be seen
        return None
    return pynvml


def _gpus() -> list[Device]:
    library = nvml()
    if library is None:
        return []
    found: list[Device] = []
    try:
        for index in range(library.nvmlDeviceGetCount()):
            handle = library.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(library.nvmlDeviceGetUUID(handle))
            if _is_visible(index, uuid):
                memory = library.nvmlDeviceGetMemoryInfo(handle)
                title = _text(library.nvmlDeviceGetName(handle))
                found.append(Device(f"gpu:{len(found)}", title, int(memory.free), int(memory.total), uuid))
    except library.NVMLError:  # a GPU that fell off the bus, or a driver being changed
        return []
    return found


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _is_visible(index: int, uuid: str) -> bool:
    """Whether `CUDA_VISIBLE_DEVICES`, by number or by a unique beginning of the uuid, leaves this GPU to us."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return True
    return any(entry == str(index) or (entry and uuid.startswith(entry)) for entry in map(str.strip, chosen.split(",")))


def parts(device: str) -> list[str]:
    """The single devices in a name: `gpu:0,2` is `gpu:0` and `gpu:2`; none in `auto` or an empty name."""
    if device == CPU:
        return [CPU]
    return [f"gpu:{number}" for number in re.findall(r"\d+", device)] if device.startswith("gpu:") else []


def join(names: list[str]) -> str:
    """The reverse of `parts`."""
    return CPU if CPU in names else "gpu:" + ",".join(name.removeprefix("gpu:") for name in names)


def settle(device: str, config: RunConfig) -> str:
    """The device a run is to have: `auto` stays so only where there are GPUs to choose from.

    Raises:
        ConfigError: if there is no such device, or the options ask for another one.
    """
    known = [found.name for found in list_devices()]
    gpus = known[:-1]
    if device == ANY:
        if config.accelerator == "cpu" or (not gpus and config.accelerator == "auto"):
            return CPU
        if config.devices > len(gpus):
            have = f"the {len(gpus)} GPUs of this machine" if gpus else "no GPU here, so accelerator cpu or auto"
            raise ConfigError(
                f"accelerator is {config.accelerator} and devices is {config.devices}; allowed: up to {have}."
            )
        return ANY
    wanted = parts(device)
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
    return device


def environment(device: str) -> dict[str, str]:
    """What to add to a process's environment so that it sees the GPUs of `device` and no others."""
    wanted = parts(device)
    if not wanted or wanted == [CPU]:
        return {}
    uuids = {found.name: found.uuid for found in _gpus()}
    return {"CUDA_VISIBLE_DEVICES": ",".join(uuids.get(name) or name.removeprefix("gpu:") for name in wanted)}
