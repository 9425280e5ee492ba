"""All runs of a folder in one line each, quick enough to be asked every two seconds with 5,000 run folders."""

from __future__ import annotations

import contextlib
import math
import operator
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from simclr import runs
from simclr.files import safe_read
from simclr.runs import GroupPlace, Run, extensions, metrics_csv
from simclr.runs.status import Status

# What a summary is made of; it is made again when one of these has another size or time.
SUMMARY_FILES = (runs.STATUS, runs.CONFIG, runs.META, runs.EVALUATION, runs.METRICS)
# One look at the folder serves all parts of all pages for so long; what a click has changed is looked for again.
SCAN_SECONDS = 1.0
# Before files are read in the background: the page comes first.
FILL_DELAY_SECONDS = 1.0
# Among more folders than this, one that has ended is looked into when it changed: its files are replaced, which changes
# the time of the folder. What was changed without, as by an editor, is found by looking into a share of them each time.
MANY, SHARES = 800, 24
# The time of a folder that is younger may be that of two changes.
NEW_SECONDS = 2.0


Signature = tuple[tuple[int, int] | None, ...]  # of each of `SUMMARY_FILES`


class LabelShare(NamedTuple):
    """How many labels a supervised run uses: a number of each class, or a share of all.

    Attributes:
        per_class: labelled images of each class; 0 where a share is meant.
        fraction: of the training labels, above 0, up to 1; 0 where a number of each class is.
    """

    per_class: int
    fraction: float

    @property
    def text(self) -> str:
        """`5 %`, or `5 per class`."""
        return f"{self.per_class:,} per class" if self.per_class else f"{100 * self.fraction:g} %"

    @property
    def phrase(self) -> str:
        """`5 % of the labels`, or `5 labels per class`."""
        if self.per_class:
            return f"{self.per_class:,} label{'s' if self.per_class > 1 else ''} per class"
        return f"{self.text} of the labels"

    @property
    def key(self) -> str:
        """As an address says it: `0.05`, or `5pc`."""
        return f"{self.per_class}pc" if self.per_class else f"{self.fraction:g}"

    @property
    def order(self) -> tuple[bool, int, float]:
        """Numbers of each class before shares of all, rising."""
        return (not self.per_class, self.per_class, self.fraction)

    @property
    def amount(self) -> float:
        """What two shares of one kind are compared by."""
        return float(self.per_class or self.fraction)


@dataclass(frozen=True)
class Summary:
    """One run in one line of a table. Times are seconds since the epoch, accuracies fractions 0..1.

    label_fraction: None where a number of labels of each class is set. brief: the options among `runs.BRIEF_OPTIONS`.
    beside: id of the pre-training that it trains beside, in a race.
    """

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
    beside: str | None
    seed: Any
    best_knn: float | None
    test_accuracy: float | None
    test_knn: float | None
    test_linear: float | None
    loss: float | None
    created: float
    is_example: bool = False
    group: GroupPlace | None = None
    notes: str = ""
    brief: dict[str, Any] = field(default_factory=dict, hash=False)
    labels_per_class: int | None = None
    subset_seed: int | None = None
    num_labels: int | None = None
    end: str = ""  # what of its id tells it from others of the folder that are called the same
    start_weights: str = ""  # hash of the weights that a supervised run started from
    earlier_weights: tuple[str, ...] = ()  # hashes of those that this run had before it was trained longer

    @property
    def labels(self) -> LabelShare | None:
        """How many labels it uses; None of a pre-training, and where it is not known."""
        if self.labels_per_class is not None:
            return LabelShare(self.labels_per_class, 0.0)
        return None if self.label_fraction is None else LabelShare(0, self.label_fraction)

    @property
    def title(self) -> str:
        """What to call it on screen, as no other run is: its name, with the end of its id where another has the same,
        or all of it where the ends are the same too, as of copies; without a name its id without the date."""
        if self.name == self.id:
            return self.end or short_id(self.id)
        return f"{self.name} · {self.end}" if self.end else self.name

    # Kept, as each page asks every run for them several times.
    @cached_property
    def state(self) -> str:
        return self.status.state

    @cached_property
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


class RunIndex:
    """The summaries of one runs folder, for any number of threads.

    A run is read again only when one of its files changed, and one look at the folder serves all who ask within a
    second.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scan_lock = threading.Lock()
        self._scan: tuple[float, list[Summary]] = (-math.inf, [])
        self._looked_at: list[Summary] = []  # of that scan, in the order of the folder
        self._num_scans = 0
        self._times: dict[str, int] = {}  # of each folder, when it was looked into
        self._summaries: dict[str, tuple[Any, Summary]] = {}
        self._unread: dict[str, tuple[Run, Any]] = {}
        self._fill_lock = threading.Lock()
        self._filler: threading.Thread | None = None

    def summaries(self, max_age: float = SCAN_SECONDS) -> list[Summary]:
        """One line per run, newest first.

        Args:
            max_age: an answer that was found at most so many seconds ago will do.
        """
        with self._scan_lock:
            if time.monotonic() - self._scan[0] >= max_age:
                looked_at = self._look()
                if len(looked_at) == len(self._looked_at) and all(map(operator.is_, looked_at, self._looked_at)):
                    self._scan = time.monotonic(), self._scan[1]  # as it mostly is: no news
                else:
                    self._looked_at = looked_at
                    self._scan = time.monotonic(), self._arranged(looked_at)
                self._fill_later()
            return list(self._scan[1])

    def _arranged(self, looked_at: list[Summary]) -> list[Summary]:
        """The same, newest first, with those marked that are called as another is."""
        newest_first = sorted(
            looked_at, key=lambda item: (item.id[: runs.STAMP_LENGTH], item.created, item.id), reverse=True
        )
        found = self._told_apart(newest_first)
        if len(self._summaries) > 2 * len(found) + 50:  # folders that were deleted
            self._summaries.clear()
            self._times.clear()
        return found

    def _told_apart(self, found: list[Summary]) -> list[Summary]:
        """The same with those marked that are called as another is."""
        called = [short_id(item.id) if item.name == item.id else item.name for item in found]
        counts = Counter(called)
        ends = Counter((name, last_part(item.id)) for name, item in zip(called, found, strict=True))
        marked = []
        for name, item in zip(called, found, strict=True):
            end = ""
            if counts[name] > 1:
                is_told = item.name != item.id and ends[name, last_part(item.id)] == 1
                end = last_part(item.id) if is_told else item.id
            if item.end != end:
                item = replace(item, end=end)
                known = self._summaries.get(item.id)
                if known is not None:
                    self._summaries[item.id] = known[0], item
            marked.append(item)
        return marked

    def summary(self, run: Run) -> Summary:
        """The line of one run."""
        summary = self._summary(run, signature := _signature(str(run.path)))
        self._fill(run.id)
        known = self._summaries.get(run.id)
        return known[1] if known is not None and known[0] == signature else summary

    def _look(self) -> list[Summary]:
        """One line per run, in no order."""
        entries: list[os.DirEntry[str]] = []
        for folder in (self.folder, self.folder / runs.EXAMPLES):
            with contextlib.suppress(OSError), os.scandir(folder) as listing:
                entries += [entry for entry in listing if not entry.name.startswith(".")]
        self._num_scans += 1
        latest = time.time_ns() - int(NEW_SECONDS * 1e9)
        are_many = len(entries) > MANY
        found = []
        for place, entry in enumerate(entries):
            try:
                changed = entry.stat().st_mtime_ns
            except OSError:
                continue
            known = self._summaries.get(entry.name)
            if (
                are_many
                and known is not None
                and self._times.get(entry.path) == changed < latest
                and place % SHARES != self._num_scans % SHARES
                and not known[1].is_active
            ):
                found.append(known[1])
                continue
            signature = _signature(entry.path)
            if known is not None and (known[0] != signature or not any(signature[:2])):
                known = None
            if known is not None and not known[1].is_active:
                self._times[entry.path] = changed
                found.append(known[1])
            elif known is not None or runs.is_run_folder(Path(entry.path)):
                self._times[entry.path] = changed
                found.append(self._summary(Run(Path(entry.path)), signature))
        return found

    def _summary(self, run: Run, signature: Signature) -> Summary:
        """The same, perhaps without figures that only `metrics.csv` tells."""
        known = self._summaries.get(run.id)
        if known is not None and known[0] == signature:
            status = known[1].status
            if not status.is_active or (status.state, status.backend) == ("queued", "local"):
                return known[1]
            # Nothing was written, but the process may have gone.
            return replace(known[1], status=run.status)
        summary = _read(_Glance(run.path), signature[SUMMARY_FILES.index(runs.EVALUATION)] is not None)
        if summary.status.loss is None and summary.status.accuracy is None and signature[-1] is not None:
            if known is not None:  # for a moment longer
                summary = replace(summary, loss=known[1].loss, best_knn=known[1].best_knn)
            self._unread[run.id] = run, signature
        self._summaries[run.id] = signature, summary
        return summary

    def _fill(self, run_id: str) -> None:
        """Reads the figures that a run's status does not tell from its `metrics.csv`, or waits until that is done."""
        with self._fill_lock:
            run, signature = self._unread.pop(run_id, (None, None))
            if run is None:
                return
            loss, best_knn = metrics_csv.newest_figures(run.metrics_path)
            known = self._summaries.get(run_id)
            if known is not None and known[0] == signature:
                self._summaries[run_id] = signature, replace(known[1], loss=loss, best_knn=best_knn)

    def _fill_later(self) -> None:
        """Reads the missing figures in the background: many runs from elsewhere must not hold up the page."""

        def work() -> None:
            time.sleep(FILL_DELAY_SECONDS)
            while unread := list(self._unread):  # a copy, since others take from it
                for run_id in unread:
                    start = time.monotonic()
                    self._fill(run_id)
                    time.sleep(time.monotonic() - start)  # half of the time is the page's

        if self._unread and (self._filler is None or not self._filler.is_alive()):
            self._filler = threading.Thread(target=work, name="figures", daemon=True)
            self._filler.start()


def _signature(folder: str) -> Signature:
    """What changes with the files of a run folder."""
    return tuple(metrics_csv.signature(f"{folder}/{name}") for name in SUMMARY_FILES)


def _read(run: Run, has_evaluation: bool = True) -> Summary:
    status, config, meta = run.status, run.brief, run.meta
    evaluation = run.evaluation if has_evaluation else {}
    share = share_of(config)
    per_class = share.per_class or None if share is not None else None
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
        label_fraction=None if share is None else share.fraction or None,
        labels_per_class=per_class,
        subset_seed=whole_number(config.get("subset_seed")),
        num_labels=whole_number(evaluation.get("num_labels")),
        start_weights=str(meta.get("weights_sha256") or ""),
        earlier_weights=tuple(entry.weights_sha256 for entry in extensions.recorded(meta) if entry.weights_sha256),
        beside=run.beside,
        seed=config.get("seed"),
        best_knn=status.accuracy if run.kind == "pretrain" else None,
        test_accuracy=safe_read.finite_number(evaluation.get("test/top1")),
        test_knn=safe_read.finite_number(evaluation.get("test/knn_top1")),
        test_linear=safe_read.finite_number(evaluation.get("test/linear_top1")),
        loss=status.loss,
        created=run.created,
        is_example=run.is_example,
        group=run.group,
        notes=run.notes,
        brief={name: config[name] for name in runs.BRIEF_OPTIONS if name in config},
    )


def finder(folder: Path) -> Callable[[str], Run | None]:
    """A function that gives a run of the folder, or of those that ship with it, by its id."""
    places = {run.id: run.path for run in runs.list_runs(folder)}

    def find(run_id: str) -> Run | None:
        return Run(places[run_id]) if run_id in places else None

    return find


# --- small readers of values that files may hold -------------------------------------------------------------------


def whole_number(value: Any) -> int | None:
    """A whole number that is not negative, else None."""
    return value if type(value) is int and value >= 0 else None


def share_of(config: dict[str, Any]) -> LabelShare | None:
    """How many labels a supervised run's options ask for; None where they say nothing."""
    if number := whole_number(config.get("labels_per_class")):
        return LabelShare(number, 0.0)
    fraction = safe_read.finite_number(config.get("label_fraction"))
    return LabelShare(0, fraction) if fraction else None


def short_id(run_id: str) -> str:
    """A run's id without date and time: `pretrain-shapes-resnet_tiny-x7k2`."""
    date, _, rest = run_id.partition("-")
    return rest.partition("-")[2] if len(date) == 8 and date.isdigit() and rest.partition("-")[2] else run_id


def last_part(run_id: str) -> str:
    """The end of a run's id, which is drawn at random: `x7k2`."""
    return run_id.rpartition("-")[2]


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


def elapsed(status: Status) -> float | None:
    """Seconds that a run went on in all its parts; of one that is going on, up to now."""
    if status.started is not None and status.is_active and status.state != "queued":
        return status.seconds_before + max(0.0, time.time() - status.started)
    return status.elapsed_seconds
