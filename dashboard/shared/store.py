"""Cached readers over `simclr.runs`: what the pages show, read from run folders and from nowhere else.

Everything here is quick enough for a page that refreshes every two seconds with 500 run folders: a run is read again
only when one of its files changed, a growing `metrics.csv` by its new lines only, and one look at the folder serves all
parts of all pages that ask within a second.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import streamlit as st

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.launch import queue
from simclr.runs import Run
from simclr.runs.metrics_csv import newest_figures
from simclr.runs.status import Status
from simclr.training import time_left

ROOT = Path(__file__).resolve().parents[2]
MAX_TAILS = 64
# What a summary is made of; it is made again when one of these has another size or time.
SUMMARY_FILES = (runs.STATUS, runs.CONFIG, runs.META, runs.EVALUATION, runs.METRICS)
# One look at the folder serves all parts of all pages for so long; what a click has changed is looked for anew.
SCAN_SECONDS = 1.0
# Before files are read in the background: the page comes first.
FILL_DELAY_SECONDS = 1.0

KIND_LABELS = {"pretrain": "Pre-training", "finetune": "Fine-tuning", "scratch": "From scratch", "unknown": "Unknown"}
STATE_LABELS = {
    "queued": "Queued",
    "starting": "Starting",
    "running": "Running",
    "stopping": "Stopping",
    "stopped": "Stopped",
    "finished": "Finished",
    "failed": "Failed",
}
STATE_COLORS = {
    "queued": "gray",
    "starting": "blue",
    "running": "blue",
    "stopping": "orange",
    "stopped": "gray",
    "finished": "green",
    "failed": "red",
}
# Told apart with every common colour blindness, on white and on near-black alike.
PALETTE = ("#4c6ef5", "#e07b28", "#159a74", "#c75fa1", "#2f9fd0", "#d64f48", "#ad8f1c", "#8468d8")
LABEL_FRACTIONS = (0.01, 0.05, 0.1, 1.0)
ARMS = ("frozen", "full", "scratch")
# How a pre-training is judged by itself, and what that means.
PROBE_HELP = {
    "linear": "Test accuracy of a logistic regression on the features of the frozen encoder, with all training labels; "
    "its L2 strength is chosen on the validation images.",
    "knn": "Share of the test images whose class the 20 training images with the most similar features vote for. "
    "Nothing is trained.",
}
ARM_LABELS = {"frozen": "Frozen encoder + head", "full": "Fine-tune everything", "scratch": "From scratch"}


def runs_dir() -> Path:
    """The runs folder as an absolute path: `$SIMCLR_RUNS_DIR`, else `runs` in the repository."""
    folder = runs.default_runs_dir()
    return folder if folder.is_absolute() else ROOT / folder


@dataclass(frozen=True)
class Summary:
    """One run in one line of a table. Times are seconds since the epoch, accuracies fractions 0..1."""

    id: str
    name: str
    kind: str
    status: Status
    dataset: str
    backbone: str
    tags: tuple[str, ...]
    experiment: str | None
    arm: str | None
    label_fraction: float | None
    seed: Any
    best_knn: float | None
    test_accuracy: float | None
    test_knn: float | None
    test_linear: float | None
    loss: float | None
    created: float
    is_example: bool = False

    @property
    def title(self) -> str:
        """What to call it on screen: its name, else its id without the date, which still ends in the unique part."""
        return self.name if self.name != self.id else short_id(self.id)

    @property
    def state(self) -> str:
        return self.status.state

    @property
    def is_active(self) -> bool:
        return self.status.is_active

    @property
    def accuracy(self) -> float | None:
        """What the run is judged by: test accuracy, for a pre-training the best kNN accuracy."""
        return self.best_knn if self.kind == "pretrain" else self.test_accuracy


class _Glance(Run):
    """A run for one summary: each of its files is read once."""

    @cached_property
    def meta(self) -> dict[str, Any]:
        return super().meta


class Store:
    """Readers of one runs folder, shared by all browser sessions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._scan_lock = threading.Lock()
        self._scan: tuple[float, list[Summary]] = (-math.inf, [])
        self._summaries: dict[str, tuple[Any, Summary]] = {}
        self._tails: OrderedDict[Path, runs.MetricsTail] = OrderedDict()
        self._unread: dict[str, tuple[Run, Any]] = {}
        self._filler: threading.Thread | None = None

    def columns(self, run: Run) -> dict[str, list[float]]:
        """The columns of a run's `metrics.csv`, up to date; read by its new lines only."""
        with self._lock:
            tail = self._tails.pop(run.metrics_path, None) or runs.MetricsTail(run.metrics_path)
            self._tails[run.metrics_path] = tail
            while len(self._tails) > MAX_TAILS:
                self._tails.popitem(last=False)
        tail.refresh()
        # A row is appended column by column: a reader in another thread may see the last one half taken in.
        columns = dict(tail.columns)
        length = min((len(values) for values in columns.values()), default=0)
        return {name: values[:length] for name, values in columns.items()}

    def summaries(self, max_age: float = SCAN_SECONDS) -> list[Summary]:
        """One line per run, newest first.

        Args:
            max_age: an answer that was found at most so many seconds ago will do.
        """
        with self._scan_lock:
            if time.monotonic() - self._scan[0] >= max_age:
                found = [self._summary(run) for run in runs.list_runs(self.folder)]
                if len(self._summaries) > 2 * len(found) + 50:  # folders that were deleted
                    self._summaries.clear()
                self._scan = time.monotonic(), found
                self._fill_later()
            return list(self._scan[1])

    def summary(self, run: Run) -> Summary:
        """The line of one run."""
        summary = self._summary(run)
        if run.id in self._unread:
            self._fill(run.id)
            summary = self._summaries[run.id][1]
        return summary

    def _summary(self, run: Run) -> Summary:
        """The same, perhaps without figures that only `metrics.csv` tells."""
        folder = str(run.path)
        signature = tuple(_signature(f"{folder}/{name}") for name in SUMMARY_FILES)
        known = self._summaries.get(run.id)
        if known is not None and known[0] == signature:
            status = known[1].status
            if not status.is_active or (status.state, status.backend) == ("queued", "local"):
                return known[1]
            # Nothing was written, but the process may have gone.
            return replace(known[1], status=run.status)
        summary = _read(_Glance(run.path))
        if summary.status.loss is None and summary.status.accuracy is None and signature[-1] is not None:
            if known is not None:  # for a moment longer
                summary = replace(summary, loss=known[1].loss, best_knn=known[1].best_knn)
            self._unread[run.id] = run, signature
        self._summaries[run.id] = signature, summary
        return summary

    def _fill(self, run_id: str) -> None:
        """Reads the figures that a run's status does not tell from its `metrics.csv`."""
        run, signature = self._unread.pop(run_id, (None, None))
        if run is None:
            return
        loss, best_knn = newest_figures(run.metrics_path)
        known = self._summaries.get(run_id)
        if known is not None and known[0] == signature:
            self._summaries[run_id] = signature, replace(known[1], loss=loss, best_knn=best_knn)

    def _fill_later(self) -> None:
        """Sees to it that all figures are there soon: many runs from elsewhere must not hold up the page."""

        def work() -> None:
            time.sleep(FILL_DELAY_SECONDS)
            while self._unread:
                start = time.monotonic()
                self._fill(next(iter(self._unread)))
                time.sleep(time.monotonic() - start)  # half of the time is the page's

        if self._unread and (self._filler is None or not self._filler.is_alive()):
            self._filler = threading.Thread(target=work, name="figures", daemon=True)
            self._filler.start()


def _read(run: Run) -> Summary:
    status, config, evaluation, meta = run.status, run.brief, run.evaluation, run.meta
    return Summary(
        id=run.id,
        name=run.name,
        kind=run.kind,
        status=status,
        dataset=short_dataset(meta.get("dataset") or config.get("dataset")),
        backbone=str(meta.get("backbone") or config.get("backbone") or ""),
        tags=tuple(run.tags),
        experiment=run.experiment,
        arm=arm_of(config, run.kind),
        label_fraction=number(config.get("label_fraction")),
        seed=config.get("seed"),
        best_knn=status.accuracy if run.kind == "pretrain" else None,
        test_accuracy=number(evaluation.get("test/top1")),
        test_knn=number(evaluation.get("test/knn_top1")),
        test_linear=number(evaluation.get("test/linear_top1")),
        loss=status.loss,
        created=run.created,
        is_example=run.is_example,
    )


@st.cache_resource(max_entries=4, show_spinner=False)
def _open(folder: str) -> Store:
    return Store(Path(folder))


def get() -> Store:
    """The store of the runs folder in use."""
    return _open(str(runs_dir()))


def find(run_id: str) -> Run | None:
    """The run with exactly this id; None if there is none. Never a path: ids come from addresses."""
    if not run_id or Path(run_id).name != run_id or run_id.startswith("."):
        return None
    for folder in (runs_dir(), runs_dir() / runs.EXAMPLES):
        if runs.is_run_folder(folder / run_id):
            return Run(folder / run_id)
    return None


def num_active() -> int:
    return sum(summary.is_active for summary in get().summaries())


def _signature(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


# --- small readers of values that files may hold -------------------------------------------------------------------


def number(value: Any) -> float | None:
    """A finite number as a float; anything else a file may hold is None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def last(values: Iterable[float] | None) -> float | None:
    """The newest value that is there."""
    for value in reversed(list(values or [])):
        if math.isfinite(value):
            return value
    return None


def best(values: Iterable[float] | None) -> float | None:
    """The highest value that is there."""
    return max((value for value in values or [] if math.isfinite(value)), default=None)


def run_address(run_id: str) -> str:
    """The address of a run's page on this server."""
    return f"/run?id={quote(run_id, safe='')}"


def short_id(run_id: str) -> str:
    """A run's id without date and time: `pretrain-shapes-resnet_tiny-x7k2`."""
    date, _, rest = run_id.partition("-")
    return rest.partition("-")[2] if len(date) == 8 and date.isdigit() and rest.partition("-")[2] else run_id


def short_dataset(value: Any) -> str:
    """A data set's name; of a folder the last part."""
    text = str(value or "")
    return Path(text).name or text if "/" in text else text


def arm_of(config: dict[str, Any], kind: str) -> str | None:
    """Which arm of the comparison a supervised run is: `frozen`, `full` or `scratch`; None for others."""
    if kind == "scratch":
        return "scratch"
    if kind == "finetune":
        return "frozen" if config.get("freeze_encoder") else "full"
    return None


# --- colours -------------------------------------------------------------------------------------------------------


def colors(run_ids: Iterable[str]) -> dict[str, str]:
    """A colour per run id, the same on every page and after a restart.

    Runs take the palette's colours in the order they were made. Deleted runs keep their place as long as they lie
    in the trash, so that deleting one does not repaint the others.
    """
    folder = runs_dir()
    known = {run.id for run in runs.list_runs(folder)}
    trash = folder / runs.TRASH
    if trash.is_dir():
        known |= {path.name for path in trash.iterdir()}
    order = {run_id: index for index, run_id in enumerate(sorted(known))}
    return {run_id: PALETTE[order.get(run_id, 0) % len(PALETTE)] for run_id in run_ids}


# --- words ---------------------------------------------------------------------------------------------------------


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def decimal(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def duration(seconds: float | None) -> str:
    """`42 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`; a dash where there is none to tell."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "–"
    return time_left.duration_text(seconds)


def ago(moment: float, now: float | None = None) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 d ago`."""
    seconds = max(0.0, (time.time() if now is None else now) - moment)
    for limit, unit, name in ((60, 1, ""), (3600, 60, "min"), (86_400, 3600, "h"), (math.inf, 86_400, "d")):
        if seconds < limit:
            return f"{int(seconds // unit)} {name} ago" if name else "just now"
    return ""


def fraction_text(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:g} %"


def elapsed(status: Status) -> float | None:
    """Seconds that a run went on in all its parts; of one that is going on, up to now."""
    if status.started is not None and status.is_active and status.state != "queued":
        return status.seconds_before + max(0.0, time.time() - status.started)
    return status.elapsed_seconds


def speed(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}".replace(",", " ")


# --- the command that repeats a configuration ----------------------------------------------------------------------


def guess_recipe(config: dict[str, Any], recipe: object = None) -> str:
    """The recipe a pre-training came from: as recorded, else the one with its data and backbone, else the first."""
    names = cfg.recipe_names()
    if recipe in names:
        return str(recipe)
    for name in names:
        values = cfg.recipe(name)
        if values.get("dataset") == config.get("dataset") and values.get("backbone") == config.get("backbone"):
            return name
    return names[0] if names else ""


# --- partners: fine-tuning and from-scratch runs of a pre-training -------------------------------------------------


def shared_options(pretraining: dict[str, Any]) -> dict[str, Any]:
    """What a supervised run has to share with a pre-training to be compared with it: data, split and network."""
    same = ("seed", "dataset", "data_dir", "limit_images", "val_fraction", "image_size", "backbone")
    return {option: pretraining[option] for option in same if pretraining.get(option) is not None}


def partner_config(
    pretraining: dict[str, Any], run_id: str, arm: str, label_fraction: float, recipe: object = None
) -> cfg.FinetuneConfig:
    """The supervised run that belongs to a pre-training: the partner recipe's values on the same data and network.

    Args:
        pretraining: the options of the pre-training.
        run_id: its id; a from-scratch partner names it as the run it is compared with.
        arm: `frozen`, `full` or `scratch`.
        label_fraction: share of the training labels used.
        recipe: the recipe it came from, where known; else guessed from data set and backbone.

    Raises:
        ConfigError: if the values do not make a valid run.
    """
    if arm not in ARMS:
        raise ConfigError(f"arm is {arm}; allowed: {', '.join(ARMS)}.")
    name = guess_recipe(pretraining, recipe)
    values: dict[str, Any] = cfg.arm_recipe(name, arm)[1] if name else {}
    values |= shared_options(pretraining)
    values |= {
        "experiment_version": run_id,
        "random_weight_init": arm == "scratch",
        "freeze_encoder": arm == "frozen",
        "label_fraction": label_fraction,
        "name": None,
    }
    config = cfg.build(cfg.FinetuneConfig, values)
    assert isinstance(config, cfg.FinetuneConfig)
    return config


def start_partner(run: Run, arm: str, label_fraction: float) -> Run:
    """Starts a partner of a finished pre-training as soon as a device is free; a second click gives the first's run.

    Raises:
        ConfigError: if the values do not make a valid run, or the folder cannot be written.
    """
    recipe = run.meta.get("recipe")
    config = partner_config(run.config, run.id, arm, label_fraction, recipe)
    return queue.submit(config, runs_dir(), experiment=run.id, recipe=guess_recipe(run.config, recipe))


def belongs_to(summary: Summary, pretraining: Summary) -> bool:
    """True if a supervised run starts from, or is compared with, this pre-training."""
    return (
        summary.kind in ("finetune", "scratch")
        and summary.experiment is not None
        and (summary.experiment == pretraining.id or Path(summary.experiment).name == pretraining.id)
    )


def partners(run_id: str) -> list[Summary]:
    """Supervised runs of one pre-training, newest first."""
    found = get().summaries()
    own = next((summary for summary in found if summary.id == run_id), None)
    return [summary for summary in found if own is not None and belongs_to(summary, own)]


def newest_partner(found: Iterable[Summary], arm: str, label_fraction: float) -> Summary | None:
    """The newest partner of this arm at this label fraction, one that has not failed before one that has."""
    same = [
        item
        for item in found
        if item.arm == arm and item.label_fraction is not None and math.isclose(item.label_fraction, label_fraction)
    ]
    return next((item for item in same if item.state not in ("failed", "stopped")), same[0] if same else None)
