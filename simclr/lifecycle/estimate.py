"""Before a run is started: will it fit, and how long will it take? (no torch)

A process of its own trains a few real steps (`measure`), and may be ended at any moment; what it finds is put together
here. It never takes more memory than is free: batches grow from small ones, and one that would not fit, by
extrapolation, is not tried. No run folder is made.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from simclr import PACKAGE, runs
from simclr import config as cfg
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig, RunConfig
from simclr.files import safe_read
from simclr.hardware import devices
from simclr.launch import jobs, queue, spawn
from simclr.runs.status import Report, no_report
from simclr.training.time_left import duration_text, rate_text

LONG_RUN = 1.05  # of the peak of a few steps is what a whole run comes to: memory gets scattered with time
SAFE_SHARE = 0.9  # of the free memory; others want some too
RESERVE_SHARE, RESERVE_BYTES = 0.02, 256 * 2**20  # free memory below which what measures is ended
CROWDED, MOST_CROWDED = 1.25, 3.0  # processes that want to work, for each core
ROUND_TO = 8  # suggested batch sizes are multiples of it
# How far off a prediction may be besides the spread of the steps: machines get warm, and others use them too.
STEP_MARGIN, FURTHER_STEP_MARGIN, PART_MARGIN = 0.05, 0.25, 0.25
JOB_NAME, ESTIMATE, REQUEST = "estimate", "estimate.json", "request.json"


class CannotMeasure(Exception):
    """The measuring process failed; the text says how."""


# --- what was measured, and what follows ----------------------------------------------------------------------------


@dataclass(frozen=True)
class CostItem:
    """Something a run does beside its steps: how long once, in seconds, and how many times."""

    name: str
    seconds: float
    times: int


@dataclass(frozen=True)
class Figures:
    """What one process measured. Seconds and bytes.

    peaks: images at once, with the peak memory then; the first is before any training.
    sharing: processes of the run that divide the same memory.
    images_per_step: of the whole run; measured_images: of the steps that were measured.
    num_initial_steps, initial_step_seconds: of the first steps, whose views are smaller, if any.
    is_whole: whether what is wanted was tried, or extrapolated from less.
    disk: bytes of what was written: weights, checkpoints and logs.
    num_workers: processes that read images, where the run is to choose that itself and has images to read.
    view_bytes: of the two views of one image.
    """

    device: str
    free: int
    sharing: int
    num_steps: int
    num_epochs: int
    images_per_step: int
    measured_images: int
    step_seconds: list[float]
    peaks: list[tuple[int, int]]
    need: int
    is_whole: bool
    view_bytes: int
    parts: list[CostItem]
    num_initial_steps: int = 0
    initial_step_seconds: Sequence[float] = ()
    disk: int = 0
    num_workers: int | None = None


@dataclass(frozen=True)
class Estimate:
    """The answer: memory and disk in bytes, of all processes together, times in seconds with their range.

    batch_size, micro_batch_size: what would fit where the wanted does not; None where nothing has to change, or nothing
    would help.
    parts: where the time goes, by name. notes: sentences on what could not be measured.
    """

    device: str
    memory: int
    free: int
    fits: bool
    batch_size: int | None
    micro_batch_size: int | None
    images_per_second: float
    seconds: float
    seconds_low: float
    seconds_high: float
    parts: dict[str, float]
    notes: list[str]
    measured: float
    disk: int = 0

    def sentences(self) -> list[str]:
        """The answer in words."""
        span = f"{duration_text(self.seconds_low)} to {duration_text(self.seconds_high)}"
        took = f"It takes about {duration_text(self.seconds)} ({span}), at {rate_text(self.images_per_second)}."
        return [self.memory_sentence(), took, *self.notes]

    def memory_sentence(self) -> str:
        """Whether it fits, and else what would."""
        need, free = size_text(self.memory), size_text(self.free)
        where = "memory" if self.device == "CPU" else f"memory of {self.device}"
        if self.fits:
            return f"It fits: it takes about {need} of {where}, and {free} are free."
        ways = [f"batch_size {self.batch_size}"] if self.batch_size else []
        if self.micro_batch_size:
            ways.append(f"micro_batch_size {self.micro_batch_size}, which keeps the batch")
        help_text = f"What would fit: {', or '.join(ways)}." if ways else "A smaller batch would not help."
        return f"It does not fit: it would take about {need} of {where}, and {free} are free. {help_text}"


def fits_in(found: Estimate, free: int | None) -> bool:
    """Whether what was measured fits into `free` bytes now, or did when it was measured."""
    return found.fits or (free is not None and found.memory <= SAFE_SHARE * free)


def size_text(size: float) -> str:
    """Bytes as GiB, or MiB where that is more telling."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"


def _slope(peaks: Sequence[tuple[int, int]]) -> float:
    """Bytes for one image more, by the last two trials."""
    if len(peaks) < 2:
        return 0.0
    (first, low), (second, high) = peaks[-2:]
    return max(0.0, (high - low) / max(1, second - first))


def grown(peaks: Sequence[tuple[int, int]], size: int) -> int:
    """Bytes that `size` images at once will take."""
    last, peak = peaks[-1]
    return round(peak + _slope(peaks) * (size - last))


def fitting(peaks: Sequence[tuple[int, int]], limit: float) -> int:
    """How many images at once fit into `limit` bytes; 0 if none do."""
    last, peak = peaks[-1]
    slope = _slope(peaks)
    if slope == 0:
        return 2**20 if peak <= limit else 0
    return max(0, int(last + (limit - peak) / slope))


def _rounded(size: int, multiple: int) -> int | None:
    """Down to a multiple; None where nothing of a use is left."""
    found = size // multiple * multiple
    return found or (size if size >= 2 and multiple == ROUND_TO else None)


def conclude(
    figures: Figures, config: RunConfig, start_seconds: float, *, has_company: bool = False, crowd: float = 0.0
) -> Estimate:
    """Puts together what was measured.

    Args:
        start_seconds: until training began: libraries loaded, images read.
        has_company: whether other runs held the device meanwhile.
        crowd: processes that wanted to work before, for each core. Who shares a core may be alone later, or have even
            more company, so that the range is that much wider.
    """
    scale = figures.images_per_step / figures.measured_images
    margin = STEP_MARGIN if figures.is_whole else FURTHER_STEP_MARGIN
    training = low = high = 0.0
    num_initial = figures.num_initial_steps
    for number, seconds in (
        (num_initial, figures.initial_step_seconds),
        (figures.num_steps - num_initial, figures.step_seconds),
    ):
        if number:
            ordered = sorted(seconds)
            step = sum(ordered) / len(ordered)
            training += number * scale * step
            low += number * scale * min(ordered[len(ordered) // 10], step) * (1 - margin)
            high += number * scale * max(ordered[-1 - len(ordered) // 10], step) * (1 + margin)
    is_crowded = figures.device == "CPU" and crowd > CROWDED
    wider = min(crowd, MOST_CROWDED) if is_crowded else 1.0
    parts = {"start": start_seconds, "training": training}
    parts |= {part.name: part.seconds * part.times for part in figures.parts}
    rest = sum(parts.values()) - parts["training"]
    memory, limit = round(figures.need * LONG_RUN) * figures.sharing, SAFE_SHARE * figures.free
    fits = memory <= limit
    batch_size = micro_batch_size = None
    if not fits:
        limit = limit / figures.sharing / LONG_RUN
        room = fitting(figures.peaks, limit)
        num_processes = config.devices * config.num_nodes
        batch_size = _rounded(room * num_processes, math.lcm(ROUND_TO, num_processes))
        if isinstance(config, PretrainConfig):
            whole = config.batch_per_process
            left = limit - figures.view_bytes * whole
            micro_batch_size = _rounded(fitting(figures.peaks, left), ROUND_TO)
            if config.micro_batch_size is not None and config.micro_batch_size < whole:
                batch_size = None  # it is the micro batch that has to be smaller
        if isinstance(config, FinetuneConfig) and config.trains_on_features:
            batch_size = None
    return Estimate(
        device=figures.device,
        memory=memory,
        free=figures.free,
        fits=fits,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        images_per_second=figures.images_per_step * figures.num_steps / training,
        seconds=sum(parts.values()),
        seconds_low=(low + rest * (1 - PART_MARGIN)) / wider,
        seconds_high=(high + rest * (1 + PART_MARGIN)) * wider,
        parts=parts,
        notes=_notes(figures, config, has_company, is_crowded),
        measured=time.time(),
        disk=figures.disk,
    )


def _notes(figures: Figures, config: RunConfig, has_company: bool, is_crowded: bool) -> list[str]:
    notes = []
    if is_crowded and not has_company:
        notes.append("The processor is busy with other work, so the time is uncertain.")
    if has_company:
        notes.append("Measured while other runs held the device: alone it is quicker, and more memory is free.")
    if not figures.is_whole:
        notes.append(f"Measured with steps of {figures.measured_images:,} images and extrapolated.")
    if figures.num_workers is not None:
        notes.append(f"Images are read from disk with num_workers {figures.num_workers}, chosen by measuring.")
    if (number := config.devices * config.num_nodes) > 1:
        notes.append(f"One process was measured; what {number} of them cost each other comes on top.")
    if config.compile != "false":
        notes.append("Measured without compile, which makes the start longer and the steps shorter.")
    if getattr(config, "early_stopping_patience", None) is not None:
        notes.append("Early stopping may end it sooner.")
    return notes


# --- asking ---------------------------------------------------------------------------------------------------------


def estimate_run(
    config: RunConfig, runs_dir: Path, *, device: str = devices.ANY, report: Report = no_report, free: int | None = None
) -> Estimate:
    """Trains a few steps in a process of its own and says what the whole run will take.

    Args:
        config: checked options.
        runs_dir: where experiments are looked up.
        device: as the queue takes it: `cpu`, `gpu:0`, `gpu:0,1`, or `auto`.
        free: bytes of the machine's memory that it may use; None: those that are free now.

    Raises:
        ConfigError: for bad input, as training would.
        CannotMeasure: if the process failed or had to be ended.
    """
    device = devices.resolve_device(device, config)
    if device == devices.ANY:  # it trains on the first that is free; where none is, it is measured beside others
        device = queue.emptiest_gpus(config.devices, runs_dir)
    options = cfg.to_dict(config) | ({"accelerator": "cpu"} if device == devices.CPU else {})
    request = {
        "kind": config.kind,
        "options": options,
        "runs_dir": str(runs_dir.resolve()),
        "free": devices.list_devices()[-1].free if free is None else free,
    }
    root = str(PACKAGE.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    others, crowd = _others(device, runs_dir), psutil.getloadavg()[0] / (os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="simclr-estimate-") as folder:
        file = Path(folder) / REQUEST
        file.write_text(json.dumps(request), encoding="utf-8")
        begin = time.monotonic()
        with _Measuring(
            [sys.executable, "-m", "simclr.measure", str(file)],
            os.environ | devices.environment(device) | {"PYTHONPATH": path},
        ) as lines:
            started = begin
            for line in lines:
                if "phase" in line:
                    report(line["phase"], line["share"])
                elif "prepared" in line:
                    started = time.monotonic()
                elif "bad_input" in line:
                    raise ConfigError(line["bad_input"])
                elif "error" in line:
                    raise CannotMeasure(line["error"])
                elif "figures" in line:
                    found = line["figures"]
                    found["parts"] = [CostItem(**part) for part in found["parts"]]
                    found["peaks"] = [(size, peak) for size, peak in found["peaks"]]
                    others = _others(device, runs_dir) or others
                    return conclude(Figures(**found), config, started - begin, has_company=others, crowd=crowd)
    raise CannotMeasure("The measuring process ended without an answer.")


def _others(device: str, runs_dir: Path) -> bool:
    """Whether other runs of the folder hold the device."""
    held = queue.device_usage(runs_dir)
    return any(held.get(name) for name in devices.names_in(device) or held)


class _Measuring:
    """The measuring process: gives its lines, and ends it when the memory runs out or nobody listens any more."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.command, self.environment = command, environment
        self.ran_out = False
        self._end = threading.Event()

    def __enter__(self) -> Iterator[dict[str, Any]]:
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            start_new_session=True,
        )
        self._said: list[str] = []
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._watch, self._listen)]
        for thread in self._threads:
            thread.start()
        return self._lines()

    def _lines(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)
        self.process.wait()
        self._threads[1].join()
        if self.ran_out:
            raise CannotMeasure("The memory ran out while it was measured; try a smaller batch_size.")
        last = next((text for text in reversed(self._said) if text.strip()), "no word").strip()
        raise CannotMeasure(f"The measuring process ended with exit status {self.process.returncode}: {last}")

    def _watch(self) -> None:
        reserve = max(RESERVE_BYTES, RESERVE_SHARE * psutil.virtual_memory().total)
        while not self._end.wait(0.1):
            if psutil.virtual_memory().available < reserve:
                self.ran_out = True
                self._kill()
                return

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._said = [*self._said[-20:], line]

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # and what reads images for it

    def __exit__(self, *_: Any) -> None:
        self._end.set()
        self._kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


# --- as a job -------------------------------------------------------------------------------------------------------


def _request(config: RunConfig, device: str) -> dict[str, Any]:
    told = {"name", "notes", "tags", "version"}  # what a run is called costs nothing
    return {"device": device, "options": {k: v for k, v in cfg.to_dict(config).items() if k not in told}}


def as_flags(config: RunConfig) -> list[str]:
    """The command line that gives these options: `pretrain --epochs=5`."""
    always = {"random_weight_init": config.random_weight_init} if isinstance(config, FinetuneConfig) else {}
    base = cfg.build(type(config), dict.fromkeys(always, True))
    values = cfg.differences(config, base) | always
    return [runs.command_name(config.kind), *(f"--{name}={cfg.option_text(value)}" for name, value in values.items())]


def start_job(config: RunConfig, device: str, runs_dir: Path) -> Path:
    """Starts measuring in the background, or returns the folder of the job that does so already.

    Raises:
        ConfigError: if there is no such device, or the folder cannot be written.
    """
    devices.resolve_device(device, config)
    config = spawn.with_absolute_paths(config)
    arguments = [JOB_NAME, *as_flags(config), "--device", device, "--runs_dir", str(runs_dir.resolve())]
    return jobs.start(JOB_NAME, _request(config, device), arguments, runs_dir, device="")


def find_job(config: RunConfig, device: str, runs_dir: Path) -> Path | None:
    """The newest job that was asked the same, whatever became of it."""
    return jobs.find(JOB_NAME, _request(spawn.with_absolute_paths(config), device), runs_dir)


def load(job: Path) -> Estimate | None:
    """What a job found; None while there is nothing."""
    try:
        return Estimate(**safe_read.json_dict(job / ESTIMATE))
    except TypeError:
        return None
