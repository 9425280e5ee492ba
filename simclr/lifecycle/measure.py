"""Few real steps of the real training: the memory they take and how fast they go. The working half of `estimate`.

It runs in a process of its own, which may be ended at any moment, and says what it finds line by line. Batches grow
from small ones; before each step up, what it will take is extrapolated, and what would not fit is not tried.

    python -m simclr.measure REQUEST.json
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import psutil
import torch

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig
from simclr.data.batches import EpochBatches
from simclr.data.readers import NUM_STEPS, STEPS_SECONDS, ReaderChoice
from simclr.data.splits import Split
from simclr.evaluation.features import EVALUATION_BATCH_SIZE
from simclr.hardware.cores import usable_cores
from simclr.lifecycle import failures, prepare, train
from simclr.lifecycle.estimate import SAFE_SHARE, CostItem, Figures, fitting, grown
from simclr.models import compute
from simclr.runs import StatusWriter
from simclr.runs.status import Report
from simclr.training.knn_probe import MAX_BANK_IMAGES
from simclr.training.prepared import Prepared

# Two small batches tell what one image more takes, apart from what any training takes; then larger steps up.
FIRST_BATCHES, GROWTH = (8, 16), 8
FEW_STEPS = 3
STEP_SECONDS = 3.0  # spent on steps of the whole batch
MOST_STEPS = 50
PASS_SECONDS = 1.0  # spent at most, about, on a pass over validation, training or test images
LONGEST_STEP_SECONDS = 8.0  # a batch that would take longer is not tried
HEAD_STEPS, FEW_IMAGES = 500, 32
FEATURE_COPIES = 5  # that the linear probe makes of the training images' features
VIEW_COPIES = 3  # of a batch's views in memory at once: drawn, normalized, and in the order the network wants
# Nothing may come to harm whatever the options say: the weights stay as they are, so that nothing diverges.
NO_LEARNING: dict[str, Any] = {"learning_rate": 1e-9, "eta_min": 0.0}
ONE_PROCESS: dict[str, Any] = {"devices": 1, "num_nodes": 1, "strategy": "auto", "compile": "false"}
NO_EXTRAS: dict[str, Any] = {
    "checkpoint_every_epochs": 0,
    "checkpoint_every_minutes": 0.0,
    "early_stopping_patience": None,
    "initial_image_size": None,  # measured by itself
}


# Of trials that show what steps take: images pass through the network for these too, many more at once than in a step.
STEPS_ALONE: dict[str, Any] = {"evaluate": False, "knn_every_epochs": 0, "film_frames": 0}


class OutOfMemory(Exception):
    """A batch was too large after all."""


# --- clocks and gauges ----------------------------------------------------------------------------------------------


@dataclass
class Laps:
    """Seconds of each step, validation, kNN probe and checkpoint of a training.

    reading_memory: bytes that the processes that read images have for themselves.
    """

    steps: list[float] = field(default_factory=list)
    validations: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    checkpoints: list[float] = field(default_factory=list)
    reading_memory: int = 0


class Clock(L.Callback):
    """Measures the `laps` of a training, which outlive it: a callback knows the model, and that the optimizer's state.

    It has to stand before the training's own callbacks: what they do lies between its calls.
    """

    def __init__(self) -> None:
        self.laps = Laps()
        self._mark = 0.0
        self._saves = False

    def _lap(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        before, self._mark = self._mark, time.perf_counter()
        return self._mark - before

    def _after_checkpoint(self) -> None:
        lap = self._lap()
        if self._saves:
            self.laps.checkpoints.append(lap)
        self._saves = False

    def on_train_epoch_start(self, *_: Any) -> None:
        self._after_checkpoint()

    def on_train_batch_end(self, *_: Any) -> None:
        self.laps.steps.append(self._lap())
        self.laps.reading_memory = max(self.laps.reading_memory, sum(map(_own_memory, psutil.Process().children())))

    def on_validation_start(self, *_: Any) -> None:
        self._lap()

    def on_validation_end(self, *_: Any) -> None:
        self.laps.validations.append(self._lap())

    def on_train_epoch_end(self, *_: Any) -> None:
        self.laps.probes.append(self._lap())
        self._saves = True

    def on_train_end(self, *_: Any) -> None:
        self._after_checkpoint()


def _own_memory(process: psutil.Process) -> int:
    with suppress(psutil.Error, AttributeError):
        return int(process.memory_full_info().uss)
    return 0


class Phases(StatusWriter):
    """Notes when a training says what it does; writes nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.said: list[tuple[float, str]] = []

    def set(self, **changes: Any) -> None:
        if "phase" in changes:
            self.said.append((time.perf_counter(), changes["phase"]))

    def first(self, word: str, otherwise: float) -> float:
        """When a phase that begins with `word` was named first."""
        return next((moment for moment, phase in self.said if phase.startswith(word)), otherwise)

    def before(self, limit: float) -> float:
        """When the last phase before this moment was named."""
        return max((moment for moment, _ in self.said if moment < limit), default=limit)


class PeakMemory:
    """The peak of the memory that counts, in bytes: what PyTorch holds of the GPU, or what this process holds."""

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"
        self._can_reset = Path("/proc/self/clear_refs").exists()

    def begin(self) -> None:
        gc.collect()
        if sys.platform == "linux":  # what was freed goes back to the system, or it would count
            with suppress(AttributeError):  # another C library than glibc
                ctypes.CDLL(None).malloc_trim(0)
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        elif self._can_reset:
            Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here

    def peak(self) -> int:
        if self.on_gpu:
            return torch.cuda.max_memory_reserved()
        if self._can_reset:
            lines = Path("/proc/self/status").read_text().splitlines()
            return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
        # elsewhere the peak counts from the start: since batches grow, that is nearly the same
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# --- trials ---------------------------------------------------------------------------------------------------------


@dataclass
class Trial:
    """What one short training showed; moments and durations in seconds, memory in bytes."""

    clock: Laps
    phases: Phases
    rows: Mapping[str, Sequence[float]]
    begin: float
    end: float
    peak: int
    disk: int
    checkpoint: int  # of the disk, one


def _try(prepared: Prepared, gauge: PeakMemory) -> Trial:
    clock = Clock()
    prepared.callbacks = [clock]
    gauge.begin()
    with tempfile.TemporaryDirectory(prefix="simclr-estimate-") as name:
        phases = Phases(Path(name))
        begin = time.perf_counter()
        try:
            train.trial(prepared, Path(name), phases)
        except (MemoryError, RuntimeError) as error:
            if failures.explain(error, 2)[0] == "out of memory":
                raise OutOfMemory from None
            raise
        end = time.perf_counter()
        tail = runs.MetricsTail(Path(name) / runs.METRICS)
        tail.refresh()
        # the last and the best each, which are one file for a while
        disk = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file())
        last = Path(name) / runs.CHECKPOINTS / runs.LAST_CHECKPOINT
        checkpoint = last.stat().st_size if last.is_file() else 0
    peak = gauge.peak() + (0 if gauge.on_gpu else clock.laps.reading_memory)
    prepared.callbacks = ()
    prepared.encoder.network.zero_grad(set_to_none=True)  # the next trial begins as a run does
    return Trial(clock.laps, phases, tail.columns, begin, end, peak, disk, checkpoint)


def _cut(split: Split | None, num_images: int) -> Split | None:
    """A split of so many images at most, taken evenly."""
    if split is None or split.num_images <= num_images:
        return split
    return split.take(torch.arange(num_images) * split.num_images // num_images)


def _num(split: Split | None) -> int:
    return split.num_images if split is not None else 0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def sizes(wanted: int) -> list[int]:
    """Images at once of each trial, growing up to what is wanted."""
    found = [*FIRST_BATCHES]
    while found[-1] * GROWTH < wanted:
        found.append(found[-1] * GROWTH)
    return [*(size for size in found if size < wanted), wanted]


class Measurement:
    """The trials of one run, on this machine as it is now.

    Args:
        prepared: the run.
        free: bytes of this machine's memory that were free before; a GPU is asked for its own.
        say: told what is going on, and the share done, 0..1.
    """

    def __init__(self, prepared: Prepared, free: int, say: Report) -> None:
        self.prepared, self.say = prepared, say
        self.config = prepared.config
        self.device = compute.find_device(self.config.accelerator)
        self.gauge = PeakMemory(self.device)
        on_gpu = self.device.type == "cuda"
        # reading the images is part of the run
        self.start_peak = 0 if on_gpu else self.gauge.peak()
        self.sharing = 1 if on_gpu else self.config.devices  # processes that divide this memory
        self.free = torch.cuda.mem_get_info()[0] if on_gpu else free
        self.limit = SAFE_SHARE * self.free / self.sharing
        self.base = 0 if on_gpu else psutil.Process().memory_info().rss
        self.peaks: list[tuple[int, int]] = [(0, self.base)]
        self.disk = 0
        self.num_workers: int | None = None  # that the run will choose, once it is known
        self.train_split = prepared.train or prepared.data.train

    def figures(self) -> Figures:
        """What was found.

        Raises:
            OutOfMemory: if not even a few images fit.
        """
        is_head = isinstance(self.config, FinetuneConfig) and self.config.trains_on_features
        found = self._head() if is_head else self._network()
        return Figures(
            device=torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU",
            free=self.free,
            sharing=self.sharing,
            num_steps=self.prepared.num_steps,
            num_epochs=self.prepared.num_epochs,
            peaks=self.peaks,
            disk=self.disk,
            num_workers=self.num_workers,
            **found,
        )

    def _with(self, num_steps: int, options: dict[str, Any], **splits: Split | None) -> Prepared:
        """The run with these splits and options, and so many steps."""
        options = {"max_steps": num_steps, **NO_LEARNING, **ONE_PROCESS, **NO_EXTRAS, **options}
        train_split = splits.pop("train", self.train_split)
        batch_size = options.get("batch_size", self.config.batch_size)
        per_epoch = options.get("images_per_epoch", getattr(self.config, "images_per_epoch", None))
        options.setdefault("epochs", -(-num_steps // max(1, (per_epoch or _num(train_split)) // batch_size)))
        known = {name: value for name, value in options.items() if name in type(self.config).model_fields}
        prepared = replace(
            self.prepared,
            config=self.config.model_copy(update=known),
            num_steps=num_steps,
            warmup_steps=0,
            num_epochs=options["epochs"],
            data=replace(self.prepared.data, **splits),  # type: ignore[arg-type]
        )
        if prepared.train is not None:
            prepared.train = train_split
        return prepared

    # --- the encoder in training ---

    def _network(self) -> dict[str, Any]:
        config = self.config
        processes = config.devices * config.num_nodes
        batch = min(config.batch_size, self.prepared.images_per_epoch) // processes
        micro = config.micro_batch_size if isinstance(config, PretrainConfig) else None
        micro = micro if micro is not None and micro < batch else None
        wanted = micro or batch
        view_bytes = 2 * 3 * self.prepared.image_size**2 * 4 * VIEW_COPIES

        def images(size: int) -> int:
            """Of a step; with micro batches there have to be several."""
            return batch if size == wanted else size if micro is None else min(2 * size, batch)

        def options(size: int) -> dict[str, Any]:
            return {"batch_size": images(size), "micro_batch_size": size if micro is not None else None}

        def predicted(size: int) -> int:
            return grown(self.peaks, size) + (batch * view_bytes if micro is not None and size == wanted else 0)

        image_seconds = 0.0
        ladder = sizes(wanted)
        fits = ladder[0]
        for number, size in enumerate(ladder[:-1] or ladder):
            self.say(f"trying {images(size)} images at once", 0.3 + 0.3 * number / len(ladder))
            try:
                trial = _try(self._with(FEW_STEPS, options(size) | STEPS_ALONE, val=None, test=None), self.gauge)
            except OutOfMemory:
                if number == 0:
                    raise
                fits = ladder[number - 1]
                break
            self.peaks.append((size, trial.peak))
            image_seconds = min(trial.clock.steps[1:] or trial.clock.steps) / images(size)
            fits, following = size, ladder[min(number + 1, len(ladder) - 1)]
            if predicted(following) > self.limit or image_seconds * images(following) > LONGEST_STEP_SECONDS:
                break
            fits = following
        try:
            trial, parts = self._with_readers(options(fits), image_seconds)
        except OutOfMemory:
            fits = max(size for size in ladder if size < fits)
            trial, parts = self._with_readers(options(fits), image_seconds)
        initial = self._initial(options(fits) | STEPS_ALONE)
        need = max(trial.peak, self.start_peak) if fits == wanted else max(trial.peak, predicted(wanted))
        if isinstance(config, PretrainConfig) and config.evaluate:
            num_values = self.prepared.encoder.num_features * _num(self.prepared.data.probe)
            need = max(need, self.base + 4 * num_values * FEATURE_COPIES)
        return {
            "images_per_step": batch * processes,
            "measured_images": images(fits) * processes,
            "step_seconds": trial.clock.steps[1:],
            "need": need,
            "is_whole": fits == wanted,
            "parts": parts,
            "view_bytes": view_bytes,
            **initial,
        }

    def _with_readers(self, options: dict[str, Any], image_seconds: float) -> tuple[Trial, list[CostItem]]:
        """`_whole`, with as many reading processes from its first step on as the run itself will choose in its first.

        Args:
            image_seconds: of a step, for each of its images.
        """
        if self.config.num_workers is None and not self.train_split.in_memory:
            self.say("measuring how images are read", 0.5)
            found: list[ReaderChoice] = []
            is_long = image_seconds * options["batch_size"] > STEPS_SECONDS
            num_steps = FEW_STEPS + 1 if is_long else NUM_STEPS + 2
            prepared = self._with(num_steps, options | STEPS_ALONE, val=None, test=None)
            prepared.on_readers = found.append
            _try(prepared, self.gauge)
            # one process is measured here; in a run of several each has its share of the cores
            cores = usable_cores() / self.config.devices
            self.num_workers = found[0].cost.best(cores) if found and found[0].cost is not None else 0
            self.config = self.config.model_copy(update={"num_workers": self.num_workers})
        return self._whole(options, image_seconds)

    def _initial(self, options: dict[str, Any]) -> dict[str, Any]:
        """Steps with the smaller views that a training begins with; nothing where it has none."""
        if not self.prepared.num_initial_steps:
            return {}
        assert isinstance(self.config, PretrainConfig) and self.config.initial_image_size is not None
        self.say("training with smaller views", 0.9)
        smaller = replace(
            self._with(2 * FEW_STEPS, options, val=None, test=None), image_size=self.config.initial_image_size
        )
        steps = _try(smaller, self.gauge).clock.steps[1:]
        return {"num_initial_steps": self.prepared.num_initial_steps, "initial_step_seconds": steps}

    def _whole(self, options: dict[str, Any], image_seconds: float) -> tuple[Trial, list[CostItem]]:
        """A training with all that belongs to it, on parts of the validation and test images where there are many."""
        data, images = self.prepared.data, options["batch_size"]
        is_pretrain = isinstance(self.config, PretrainConfig)
        num_views = self.config.views_per_image if isinstance(self.config, PretrainConfig) else 1
        per_epoch = max(1, self.prepared.images_per_epoch // images)
        num_steps = round(min(max(STEP_SECONDS / (image_seconds * images), FEW_STEPS + 1), MOST_STEPS))
        num_steps = max(FEW_STEPS + 1, min(num_steps, 2 * per_epoch))
        # forward takes a third of forward and backward
        at_once = round(max(PASS_SECONDS / (image_seconds / num_views / 3), EVALUATION_BATCH_SIZE))
        at_once = max(2, min(at_once, num_views * fitting(self.peaks, self.limit)))
        val, test = _cut(data.val, max(images, at_once // num_views)), _cut(data.test, at_once)
        probe = _cut(data.probe, at_once)
        if is_pretrain and self.config.knn_every_epochs:  # type: ignore[union-attr]
            options = options | {"knn_every_epochs": 1}
        self.say(f"training {num_steps} steps", 0.6)
        trial = _try(self._with(num_steps, options, val=val, test=test, probe=probe), self.gauge)
        epochs = self.prepared.num_epochs
        kept = getattr(self.config, "checkpoint_every_epochs", 0)
        self.disk = trial.disk + (epochs // kept * trial.checkpoint if kept else 0)
        parts = [CostItem("checkpoints", _mean(trial.clock.checkpoints), epochs)]
        if val is not None and trial.clock.validations:
            parts.append(CostItem("validation", trial.clock.validations[-1] * _num(data.val) / _num(val), epochs))
        testing = trial.phases.first("testing", trial.end)
        if not is_pretrain:
            return trial, [*parts, CostItem("test", (trial.end - testing) * _num(data.test) / max(1, _num(test)), 1)]
        if every := self.config.knn_every_epochs:  # type: ignore[union-attr]
            there = min(MAX_BANK_IMAGES, _num(data.probe)) + _num(data.val)
            here = min(MAX_BANK_IMAGES, _num(probe)) + _num(val)
            times = epochs // every + (epochs % every > 0)
            parts.append(CostItem("kNN accuracy", trial.clock.probes[-1] * there / max(1, here), times))
        fit = trial.phases.before(trial.phases.first("fitting", trial.end))
        there, here = (sum(map(_num, splits)) for splits in ((data.probe, data.val, data.test), (probe, val, test)))
        seconds = max(0.0, fit - testing) * there / max(1, here)
        seconds += (trial.end - max(fit, testing)) * _num(data.probe) / max(1, _num(probe))
        return trial, [*parts, CostItem("test", seconds, 1)]

    # --- a head on features that are computed once ---

    def _head(self) -> dict[str, Any]:
        data, batch = self.prepared.data, min(self.config.batch_size, _num(self.train_split))
        splits = {"train": self.train_split, "val": data.val, "test": data.test}

        def trial_of(num_images: int, least: int) -> tuple[Trial, dict[str, Split | None], int]:
            cut = {name: _cut(split, num_images) for name, split in splits.items()}
            per_epoch = len(EpochBatches(_num(cut["train"]), batch, drop_last=False))
            epochs = max(least, min(HEAD_STEPS // per_epoch, HEAD_STEPS))
            options = {"epochs": epochs, "images_per_epoch": None}
            trial = _try(self._with(epochs * per_epoch, options, **cut), self.gauge)
            self.disk = trial.disk
            self.peaks.append((min(num_images, EVALUATION_BATCH_SIZE), trial.peak))
            return trial, cut, per_epoch

        def feature_seconds(trial: Trial) -> float:
            return trial.phases.first("training the head", trial.end) - trial.begin

        self.say("trying a few images", 0.3)
        trial, cut, _ = trial_of(FEW_IMAGES, 1)
        image_seconds = feature_seconds(trial) / (_num(cut["train"]) + _num(cut["val"]))
        num_images = round(max(PASS_SECONDS / image_seconds, EVALUATION_BATCH_SIZE))
        room = fitting(self.peaks, self.limit)
        num_images = num_images if room >= EVALUATION_BATCH_SIZE else max(FEW_IMAGES, room)
        self.say("training a head", 0.6)
        trial, cut, per_epoch = trial_of(num_images, FEW_STEPS)
        seconds = trial.rows["perf/seconds"]
        share = (_num(self.train_split) + _num(data.val)) / (_num(cut["train"]) + _num(cut["val"]))
        testing = trial.phases.first("testing", trial.end)
        left_out = sum(_num(split) - _num(cut[name]) for name, split in splits.items())
        need = (
            max(
                grown(self.peaks, EVALUATION_BATCH_SIZE) if room < EVALUATION_BATCH_SIZE else trial.peak,
                self.start_peak,
            )
            + 4 * left_out * self.prepared.encoder.num_features
        )
        return {
            "images_per_step": batch,
            "measured_images": batch,
            "need": need,
            "is_whole": True,
            "view_bytes": 0,
            "step_seconds": [(after - before) / per_epoch for before, after in pairwise(seconds)],
            "parts": [
                CostItem("features", feature_seconds(trial) * share, 1),
                CostItem("test", (trial.end - testing) * _num(data.test) / max(1, _num(cut["test"])), 1),
            ],
        }


# --- the process ----------------------------------------------------------------------------------------------------


def _end_with_parent() -> None:
    """Ends with its parent, and is what the system kills first when memory runs out."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def main(arguments: list[str]) -> int:
    """Measures what the request says, and tells it in lines of JSON; returns the exit status."""
    _end_with_parent()
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed on the way

    def tell(**what: Any) -> None:
        print(json.dumps(what), file=told, flush=True)

    def say(phase: str, share: float) -> None:
        tell(phase=phase, share=share)

    request = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        config = cfg.build(cfg.MODELS[request["kind"]], request["options"])
        prepared = prepare.prepare(config, Path(request["runs_dir"]), lambda what, share: say(what, 0.3 * share))
        tell(prepared=True)
        tell(figures=asdict(Measurement(prepared, request["free"], say).figures()))
    except ConfigError as error:
        tell(bad_input=str(error))
        return runs.BAD_INPUT_EXIT_CODE
    except OutOfMemory:
        tell(error="Not even a few images fit into the memory.")
        return 1
    return 0
