"""NVIDIA GPUs, as the two libraries of the driver report them (no torch).

NVML knows memory, load and processes of all GPUs of the machine. CUDA decides which of them a process may use and how
they are numbered, by CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER. A process that queries CUDA keeps the driver open as
long as it lives, so a short-lived one does it, and only if NVML cannot tell.

    python -m simclr.hardware.nvidia      what CUDA lets a process of this environment use, as JSON
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

CUDA_LIBRARY = "libcuda.so.1"  # of the driver itself, wherever there is one
ASK_SECONDS = 60.0  # CUDA may have to wake many GPUs
ASK_AGAIN_SECONDS = 300.0  # if it saw none

_answers: dict[tuple[str | None, str | None], tuple[float, list[Unit]]] = {}  # of CUDA, by both variables
_asking = threading.Lock()


@dataclass(frozen=True)
class Unit:
    """What a process can compute on: a GPU, or a slice of one (MIG), which CUDA takes for a GPU."""

    uuid: str  # GPU-... or MIG-...
    title: str
    handle: Any = None  # of NVML; None if only CUDA knows it
    alias: str = ""  # the older name of a slice, MIG-GPU-.../1/0
    total: int = 0  # bytes, if only CUDA knows it

    @property
    def is_slice(self) -> bool:
        return self.uuid.startswith("MIG-")

    def memory(self) -> tuple[int | None, int]:
        """Free and total bytes; free is None where that cannot be told.

        Raises:
            NVMLError: if the GPU does not answer.
        """
        library = nvml()
        if self.handle is None or library is None:
            return None, self.total
        try:
            found = library.nvmlDeviceGetMemoryInfo(self.handle)
        except library.NVMLError as error:
            if getattr(error, "value", None) != getattr(library, "NVML_ERROR_NOT_SUPPORTED", 3):
                raise
            return None, self.total  # a GPU that shares the machine's memory
        return int(found.free), int(found.total)


@lru_cache(maxsize=1)
def nvml() -> Any:
    """NVIDIA's management library, ready to be asked; None where there is no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no library, no driver, or no answer: no GPU can be seen
        return None
    return pynvml


def cards() -> list[list[Unit]]:
    """The usable units of each GPU of the machine, in the order of the PCI bus: the GPU itself, or its slices.

    A GPU that does not answer has none; it must not hide the others.
    """
    library = nvml()
    if library is None:
        return []
    try:
        number = library.nvmlDeviceGetCount()
    except library.NVMLError:
        return []
    found: list[list[Unit]] = []
    for index in range(number):
        try:
            found.append(_units(library, library.nvmlDeviceGetHandleByIndex(index)))
        except library.NVMLError:
            found.append([])
    return found


def _units(library: Any, card: Any) -> list[Unit]:
    whole = Unit(_text(library.nvmlDeviceGetUUID(card)), _text(library.nvmlDeviceGetName(card)), card)
    try:
        is_cut = library.nvmlDeviceGetMigMode(card)[0] == 1
    except (library.NVMLError, AttributeError):  # most GPUs cannot be cut, and old libraries do not know of it
        is_cut = False
    if not is_cut:
        return [whole]
    found = []
    for place in range(library.nvmlDeviceGetMaxMigDeviceCount(card)):
        with contextlib.suppress(library.NVMLError):  # no slice there, or one that is another's
            piece = library.nvmlDeviceGetMigDeviceHandleByIndex(card, place)
            name, title = _text(library.nvmlDeviceGetUUID(piece)), _text(library.nvmlDeviceGetName(piece))
            alias = ""
            with contextlib.suppress(library.NVMLError):
                instances = library.nvmlDeviceGetGpuInstanceId(piece), library.nvmlDeviceGetComputeInstanceId(piece)
                alias = f"MIG-{whole.uuid}/{instances[0]}/{instances[1]}"
            found.append(Unit(name, title, piece, alias))
    return found


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


# --- what CUDA may use ----------------------------------------------------------------------------------------------


def usable_units() -> list[Unit]:
    """The GPUs and slices that a process of this environment may use."""
    chosen, order = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER")
    if chosen == "":
        return []
    found = cards()
    units = visible_units(found, chosen, order) if any(found) else None
    if units is None:
        known = {unit.uuid: unit for card in found for unit in card}
        units = [known.get(unit.uuid, unit) for unit in query_cuda()]
    return units


def visible_units(found: Sequence[Sequence[Unit]], chosen: str | None, order: str | None) -> list[Unit] | None:
    """The units that CUDA_VISIBLE_DEVICES selects, by the rules of the driver; None if only CUDA can tell.

    - Numbers and uuids are not mixed: the first entry decides. What is not of its kind, names nothing, or is negative
      hides itself and all that follows.
    - A uuid may be cut short as long as one device alone begins so.
    - A device that is named twice hides all of them.
    - A GPU that is cut into slices stands for the first one. A process may use one slice at a time; each that is named
      counts here, since each run is given one.
    - Numbers are NVML's where CUDA_DEVICE_ORDER is PCI_BUS_ID, or all GPUs are alike and answer. Else the fastest is 0.

    Args:
        found: as `cards` gives it.
        chosen: CUDA_VISIBLE_DEVICES; None: unset.
        order: CUDA_DEVICE_ORDER; None: unset.
    """
    if chosen is None:
        return [unit for card in found for unit in card]
    if chosen.startswith(("GPU-", "MIG-")):
        return _by_uuid(found, chosen.split(","), chosen[:4])
    numbers = [_number(entry) for entry in chosen.split(",")]
    numbers = numbers[: next((place for place, number in enumerate(numbers) if number < 0), len(numbers))]
    if len(set(numbers)) < len(numbers):
        return []
    if not numbers:
        return []
    titles = {card[0].title.partition(" MIG ")[0] for card in found if card}
    if not all(found) or (order != "PCI_BUS_ID" and len(titles) > 1):
        return None
    numbers = numbers[: next((place for place, number in enumerate(numbers) if number >= len(found)), len(numbers))]
    return [found[number][0] for number in numbers]


def _number(entry: str) -> int:
    """The number as C's `strtol` reads it: `1gpu` is 1; -1 if there is none."""
    match = re.match(r"\s*([+-]?\d+)", entry, re.ASCII)
    return int(match[1]) if match else -1


def _by_uuid(found: Sequence[Sequence[Unit]], entries: list[str], kind: str) -> list[Unit]:
    if kind == "MIG-":
        names = {name: unit for card in found for unit in card if unit.is_slice for name in (unit.uuid, unit.alias)}
    else:  # the name of a GPU that is cut is in the alias of its slices
        names = {
            (card[0].alias[4:].partition("/")[0] if card[0].is_slice else card[0].uuid): card[0]
            for card in found
            if card
        }
    units: list[Unit] = []
    for place, entry in enumerate(entries):
        if entry in entries[:place]:
            return []
        fitting = [unit for name, unit in names.items() if name.startswith(entry)]
        if not entry.startswith(kind) or len({unit.uuid for unit in fitting}) != 1:
            break
        if fitting[0] in units:
            return []
        units.append(fitting[0])
    return units


def query_cuda() -> list[Unit]:
    """The units that CUDA sees in this environment, in its order; the answer is cached."""
    with contextlib.suppress(OSError), _asking:
        ctypes.CDLL(CUDA_LIBRARY)  # no driver, no process to ask it
        key = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER")
        at, units = _answers.get(key, (-ASK_AGAIN_SECONDS, []))
        if not units and time.monotonic() - at >= ASK_AGAIN_SECONDS:
            with contextlib.suppress(subprocess.SubprocessError, ValueError):
                output = subprocess.run(
                    [sys.executable, "-I", __file__, CUDA_LIBRARY], capture_output=True, timeout=ASK_SECONDS, check=True
                ).stdout
                units = [Unit(**values) for values in json.loads(output)]
            _answers[key] = time.monotonic(), units
        return units
    return []


def read_cuda(library: Any) -> list[dict[str, Any]]:
    """Uuid, title and memory of each device that CUDA sees, without making a context on any.

    Args:
        library: the driver's own, loaded by ctypes.
    """
    number = ctypes.c_int()
    if library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(number)):
        return []
    ask_uuid = getattr(library, "cuDeviceGetUuid_v2", None) or library.cuDeviceGetUuid  # the first knows slices
    found = []
    for ordinal in range(number.value):
        device, total = ctypes.c_int(), ctypes.c_size_t()
        title, name = ctypes.create_string_buffer(256), (ctypes.c_ubyte * 16)()
        if (
            library.cuDeviceGet(ctypes.byref(device), ordinal)
            or library.cuDeviceGetName(title, len(title), device)
            or library.cuDeviceTotalMem_v2(ctypes.byref(total), device)
            or ask_uuid(ctypes.byref(name), device)
        ):
            continue
        text = title.value.decode(errors="replace")
        kind = "MIG" if " MIG " in text else "GPU"
        found.append({"uuid": f"{kind}-{uuid.UUID(bytes=bytes(name))}", "title": text, "total": total.value})
    return found


if __name__ == "__main__":
    print(json.dumps(read_cuda(ctypes.CDLL((*sys.argv[1:], CUDA_LIBRARY)[0]))))
