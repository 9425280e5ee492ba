"""Encoders by data sets: what is kept of each pair, what is lacking, and the job that measures it (no torch).

Embeddings that were added are encoders here, too: on the data set whose images they are of.

RUNS/.jobs/JOB/cells.json    of a job: each pair that it measures, with its state
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from simclr import runs
from simclr.added import sets
from simclr.added.sets import AddedSet
from simclr.config import DATASETS, ConfigError
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef
from simclr.evaluation import few_shot, kept
from simclr.files import safe_read, writing
from simclr.files.locks import Lock
from simclr.files.user_paths import existing_folder
from simclr.hardware import devices
from simclr.launch import jobs
from simclr.results.statistics import image_interval
from simclr.results.wording import NOTHING
from simclr.runs.status import Report
from simclr.transfer import added_figures

JOB_NAME, CELLS, LOCK = "transfer", "cells.json", "transfer.lock"
PROTOCOLS = ("knn", "linear", "fewshot")
WAIT_SECONDS = 1.0
CLASSIFIERS = {"mean": "nearest class mean", "logistic": "logistic regression"}

State = Literal["empty", "queued", "running", "failed", "done", "none"]
Encoder = EncoderRef | AddedSet


@dataclass(frozen=True)
class Figure:
    """What is shown of each pair. name: in `evaluation.json`."""

    key: str
    protocol: str
    name: str
    label: str


def _few_label(shots: int, classifier: str) -> str:
    return f"{shots} label{'s' if shots > 1 else ''} per class, {CLASSIFIERS[classifier]}"


FIGURES = {
    figure.key: figure
    for figure in (
        Figure("linear", "linear", "test/linear_top1", "Linear probe"),
        Figure("knn", "knn", "test/knn_top1", "kNN"),
        *(
            Figure(f"{k}-{name}", "fewshot", few_shot.figure_name(k, name), _few_label(k, name))
            for name in few_shot.CLASSIFIERS
            for k in few_shot.SHOTS
        ),
    )
}
NAMES = {
    "knn": ["test/knn_top1"],
    "linear": ["test/linear_top1"],
    "fewshot": few_shot.figure_names(),
}


@dataclass(frozen=True)
class Value:
    """An accuracy, 0..1, with its 95 % interval.

    Attributes:
        low, high: of kNN and linear probe, where other test images would put it (Wilson); with few labels, where the
            mean over all draws may lie (Student's t). None where there is one draw.
        num: test images, or draws.
    """

    accuracy: float
    low: float | None
    high: float | None
    num: int
    unit: Literal["test images", "draws"]


@dataclass(frozen=True)
class Cell:
    """One encoder on one data set. sentence: why it failed, or why there can be none."""

    state: State
    value: Value | None = None
    sentence: str = ""


class Pair(NamedTuple):
    """An encoder, as its reference names it, and a data set."""

    encoder: str
    dataset: str


# --- encoders and data sets -----------------------------------------------------------------------------------------


def find_encoder(name: str, runs_dir: Path) -> Encoder:
    """Embeddings that were added by their name, a run by its id, a unique beginning or its folder, or `untrained:RUN`.

    Raises:
        ConfigError: if there is none of that name.
    """
    return sets.find(name, runs_dir) or references.run_or_untrained(name, runs_dir)


def reference(encoder: Encoder) -> str:
    """`RUN`, `untrained:RUN`, or the name of what was added, as `find_encoder` reads it."""
    if isinstance(encoder, AddedSet):
        return encoder.name
    is_untrained = encoder.what == references.UNTRAINED
    return f"{references.UNTRAINED}:{encoder.run.id}" if is_untrained else encoder.run.id


def name_of(encoder: Encoder) -> str:
    """For people: of an untrained network that of its run, `kind_text` tells them apart."""
    return encoder.name if isinstance(encoder, AddedSet) else encoder.run.name


def kind_text(encoder: Encoder) -> str:
    """Where its weights are from, in two words."""
    if isinstance(encoder, AddedSet):
        return "Another encoder"
    if encoder.what == references.UNTRAINED:
        return "Untrained"
    if encoder.run.kind == "pretrain":
        return "SimCLR"
    if encoder.run.kind == "scratch":
        return "From scratch"
    is_file = os.sep in str(encoder.run.config.get("experiment_version") or "")
    if encoder.run.config.get("freeze_encoder"):
        return "Another's" if is_file else "Frozen"
    return "Another's, fine-tuned" if is_file else "Fine-tuned"


def own_dataset(encoder: Encoder) -> str | None:
    """The data set that a run was trained on, or whose images a set is of; None where none is known."""
    if isinstance(encoder, AddedSet):
        return encoder.dataset
    own = encoder.run.config.get("dataset")
    return own if isinstance(own, str) else None


def dataset_labels(datasets: Sequence[str]) -> dict[str, str]:
    """What to call data sets: by name, folders by their last part, and by as much more as tells them apart."""
    found: dict[str, str] = {}
    for dataset in datasets:
        parts = Path(dataset).parts
        for count in range(1, len(parts) + 1):
            found[dataset] = "/".join(parts[-count:]).replace("//", "/")
            if not any(other != dataset and Path(other).parts[-count:] == parts[-count:] for other in datasets):
                break
    return found


def is_here(dataset: str) -> bool:
    """Whether it can be read on this machine, or downloaded."""
    return dataset in DATASETS or existing_folder(dataset) is not None


def is_own(encoder: EncoderRef, dataset: str) -> bool:
    """Whether a run was trained on a data set of this name."""
    return dataset in (encoder.run.config.get("dataset"), *encoder.run.moved_from)


def known_datasets(found: Sequence[Encoder]) -> list[str]:
    """Those that runs were trained on or encoders judged on already, first those of the first encoders."""
    names: list[str] = []
    for encoder in found:
        own = own_dataset(encoder)
        names += [own] if own is not None else []
        names += sorted(values["dataset"] for values in _others(encoder))
    return list(dict.fromkeys(names))


# --- what is kept ---------------------------------------------------------------------------------------------------


def _others(encoder: Encoder) -> list[dict[str, Any]]:
    return added_figures.others(encoder) if isinstance(encoder, AddedSet) else kept.others(encoder.run)


def figures_of(encoder: Encoder, dataset: str, others: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
    """What is kept of an encoder on a data set, under the keys of `evaluation.json`; the newest of each figure.

    Args:
        others: of `kept.others` of its run, where they are known already.
    """
    known = _others(encoder) if others is None else others
    found: dict[str, Any] = {}
    about: dict[str, Any] = {}
    own: list[dict[str, Any]] = []
    if isinstance(encoder, AddedSet):
        parts = [values for values in known if added_figures.is_of(encoder, dataset)]
    else:
        untrained = encoder.what == references.UNTRAINED
        parts = [values for values in known if values["dataset"] == dataset]
        parts = [values for values in parts if (values.get(kept.ENCODER) == kept.UNTRAINED) == untrained]
        if is_own(encoder, dataset) and encoder.run.kind != "pretrain":
            parts = [values for values in parts if values.get(kept.LABELS) == kept.ALL]
        elif is_own(encoder, dataset) and not untrained:
            own = [encoder.run.evaluation]
    for values in [*reversed(parts), *own]:
        found |= values
        about |= values["protocols"] if isinstance(values.get("protocols"), dict) else {}
    return found | {"protocols": about}


def why_not(encoder: Encoder, dataset: str) -> str:
    """Why an encoder can have no figures on a data set, in one sentence; empty where it can be measured."""
    return added_figures.why_not(encoder, dataset) if isinstance(encoder, AddedSet) else ""


def value_of(figures: dict[str, Any], figure: Figure) -> Value | None:
    """The figure with its interval; None where it is not kept."""
    accuracy = safe_read.finite_number(figures.get(figure.name))
    about = figures["protocols"].get(figure.protocol)
    about = about if isinstance(about, dict) else {}
    if accuracy is None or not 0 <= accuracy <= 1:
        return None
    if figure.protocol == "fewshot":
        numbers = about.get("figures")
        numbers = numbers.get(figure.name) if isinstance(numbers, dict) else None
        numbers = numbers if isinstance(numbers, dict) else {}
        low, high, num = (safe_read.finite_number(numbers.get(name)) for name in ("low", "high", "num_tasks"))
        return Value(accuracy, low, high, int(num or 1), "draws")
    num = safe_read.finite_number(about.get("num_test")) or safe_read.finite_number(figures.get("num_test_images"))
    if not num or num < 1:
        return Value(accuracy, None, None, 0, "test images")
    return Value(accuracy, *image_interval(accuracy, int(num)), int(num), "test images")


def lacking(encoder: Encoder, dataset: str, protocols: Sequence[str] = PROTOCOLS) -> list[str]:
    """The protocols of which no figure is kept."""
    figures = figures_of(encoder, dataset)
    return [name for name in protocols if any(figure not in figures for figure in NAMES[name])]


def cells(
    encoders: Sequence[Encoder], datasets: Sequence[str], figure: Figure, runs_dir: Path | None = None
) -> dict[Pair, Cell]:
    """The matrix of one figure. runs_dir: whose jobs say what is measured now, and what failed; None: none does."""
    working = _job_states(runs_dir) if runs_dir is not None else {}
    others: dict[Path, list[dict[str, Any]]] = {}
    for encoder in encoders:
        if (folder := _folder(encoder)) not in others:  # a run and its untrained network have the same
            others[folder] = _others(encoder)
    found = {}
    for encoder in encoders:
        for dataset in datasets:
            pair = Pair(reference(encoder), dataset)
            value = value_of(figures_of(encoder, dataset, others[_folder(encoder)]), figure)
            state, sentence = working.get(pair, ("empty", ""))
            if reason := why_not(encoder, dataset):
                state, sentence = "none", reason
            found[pair] = Cell("done", value) if value is not None else Cell(state, None, sentence)
    return found


def _folder(encoder: Encoder) -> Path:
    return encoder.folder if isinstance(encoder, AddedSet) else encoder.run.path


def table(
    encoders: Sequence[Encoder], datasets: Sequence[str], figure: Figure, found: dict[Pair, Cell]
) -> list[list[str]]:
    """The matrix as texts, head first: each accuracy in per cent with the ends of its interval."""
    labels = dataset_labels(datasets)
    head = [figure.label, "Weights", *(f"{labels[dataset]}{_counts(found, dataset)}" for dataset in datasets)]
    rows = [
        [
            name_of(encoder),
            kind_text(encoder),
            *(value_text(found[Pair(reference(encoder), dataset)].value) for dataset in datasets),
        ]
        for encoder in encoders
    ]
    return [head, *rows]


def _counts(found: dict[Pair, Cell], dataset: str) -> str:
    """` (n 2,000)`: what the intervals of a column stand on, where that is the same for all."""
    numbers = {cell.value.num for pair, cell in found.items() if pair.dataset == dataset and cell.value is not None}
    return f" (n {numbers.pop():,})" if len(numbers) == 1 else ""


def value_text(value: Value | None) -> str:
    """`71.2 % (70.3–72.1)`."""
    if value is None:
        return NOTHING
    interval = "" if value.low is None or value.high is None else f" ({interval_text(value)})"
    return f"{100 * value.accuracy:.1f} %{interval}"


def interval_text(value: Value) -> str:
    """`70.3–72.1`."""
    assert value.low is not None and value.high is not None
    return f"{100 * value.low:.1f}–{100 * value.high:.1f}"


# --- measuring ------------------------------------------------------------------------------------------------------


class Work(NamedTuple):
    """One pair to be measured by some protocols."""

    encoder: Encoder
    dataset: str
    protocols: tuple[str, ...]

    @property
    def pair(self) -> Pair:
        return Pair(reference(self.encoder), self.dataset)


def work_of(encoders: Sequence[Encoder], datasets: Sequence[str], protocols: Sequence[str] = PROTOCOLS) -> list[Work]:
    """What is lacking and can be measured, encoder by encoder; data sets that are not on this machine are left out."""
    found = [
        Work(encoder, dataset, tuple(lacking(encoder, dataset, protocols)))
        for encoder in encoders
        for dataset in datasets
        if is_here(dataset) and not why_not(encoder, dataset)
    ]
    return [item for item in found if item.protocols]


def measure(
    work: Sequence[Work], report: Report, note: Callable[[Pair, State, str], None] = lambda pair, state, text: None
) -> dict[Pair, str]:
    """Measures and keeps one pair after the other; one that cannot be measured costs only itself.

    Args:
        report: told what is going on, and the share of all that is done.
        note: told the state of a pair when it changes, and why it failed.

    Returns:
        Why pairs failed, by pair.
    """
    failed: dict[Pair, str] = {}
    labels = dataset_labels([item.dataset for item in work])
    for number, item in enumerate(work):

        def tell(phase: str, share: float, number: int = number, item: Work = item) -> None:
            name = f"{name_of(item.encoder)} on {labels[item.dataset]}"
            report(f"{name}: {phase}", (number + share) / len(work))

        note(item.pair, "running", "")
        tell("reading images", 0.0)
        try:
            if isinstance(item.encoder, AddedSet):
                added_figures.measure(item.encoder, item.protocols, tell)
            else:
                _measure_network(item.encoder, item, tell)
        except ConfigError as error:
            failed[item.pair] = str(error)
        except (RuntimeError, MemoryError, OSError, ValueError) as error:
            first = (str(error).strip().splitlines() or [""])[0][:300]
            out = devices.is_out_of_memory(error)
            failed[item.pair] = "There was not enough memory." if out else f"{type(error).__name__}: {first}"
        if item.pair in failed:
            note(item.pair, "failed", failed[item.pair])
        else:
            note(item.pair, "done", "")
    return failed


def _measure_network(encoder: EncoderRef, item: Work, report: Report) -> None:
    """Judges a network and keeps the figures."""
    from simclr.data import identity  # loads torch
    from simclr.evaluation import protocols as judging

    run = encoder.run
    place = identity.find_place([run], item.dataset)
    untrained = encoder.what == references.UNTRAINED
    # with all labels, whatever a supervised run was trained with: the figures of its own evaluation have its labels
    apart = place.is_own and (run.is_example or run.kind != "pretrain")
    found = judging.evaluate_run(run, item.protocols, report, place, untrained=untrained, apart=apart)
    kept.keep(run, found, f"python -m simclr {JOB_NAME} {shlex.quote(item.pair.encoder)}")


# --- jobs -----------------------------------------------------------------------------------------------------------


def start_job(encoders: Sequence[Encoder], datasets: Sequence[str], runs_dir: Path) -> Path:
    """Queues the measuring of what is lacking, or returns the job that does so already.

    Jobs measure one after the other, and each leaves out what is kept by then.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    names = [reference(encoder) for encoder in encoders]
    request = {"encoders": names, "datasets": list(datasets)}
    arguments = [JOB_NAME, *names, "--dataset", *datasets, "--runs_dir", str(runs_dir.resolve())]
    return jobs.start(JOB_NAME, request, arguments, runs_dir, devices.ANY)


def active_job(runs_dir: Path) -> Path | None:
    """The job that measures, or waits to, the newest first."""
    return next((job for job in jobs.all_of(JOB_NAME, runs_dir) if runs.current_status(job).is_active), None)


@contextlib.contextmanager
def turn(runs_dir: Path, report: Report) -> Iterator[None]:
    """Waits until no other job measures: two at once would only take each other's time and memory."""
    folder = runs_dir / runs.JOBS
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder / LOCK)
    while not lock.acquire():
        report("Waiting for the measurement before", 0.0)
        time.sleep(WAIT_SECONDS)
    try:
        yield
    finally:
        lock.release()


class JobCells:
    """The states of a job's pairs, written beside its status whenever one changes."""

    def __init__(self, job: Path | None, work: Sequence[Work]) -> None:
        self._job = job
        self._states: dict[Pair, tuple[State, str]] = {item.pair: ("queued", "") for item in work}
        self._write()

    def note(self, pair: Pair, state: State, sentence: str) -> None:
        self._states[pair] = state, sentence
        self._write()

    def _write(self) -> None:
        if self._job is not None:
            cells = [[*pair, *state] for pair, state in self._states.items()]
            writing.write_atomically(self._job / CELLS, json.dumps({"cells": cells}))


def _job_states(runs_dir: Path) -> dict[Pair, tuple[State, str]]:
    """What jobs say of pairs, the newest job of each: queued, running or failed."""
    found: dict[Pair, tuple[State, str]] = {}
    for job in jobs.all_of(JOB_NAME, runs_dir):
        status = runs.current_status(job)
        for pair, (state, sentence) in _cells_of(job).items():
            if state in ("queued", "running") and not status.is_active:
                # it ended before: stopped by somebody, or failed
                is_failed = status.state == "failed"
                state, sentence = ("failed", status.error or "The job failed.") if is_failed else ("empty", "")
            found.setdefault(pair, (state, sentence))
    return {pair: entry for pair, entry in found.items() if entry[0] in ("queued", "running", "failed")}


def _cells_of(job: Path) -> dict[Pair, tuple[State, str]]:
    """Of one that has not begun all that it was asked for; what is kept already is shown instead."""
    kept_cells = safe_read.json_dict(job / CELLS).get("cells")
    if isinstance(kept_cells, list):
        whole = [item for item in kept_cells if isinstance(item, list) and len(item) == 4]
        return {Pair(str(item[0]), str(item[1])): (item[2], str(item[3])) for item in whole}
    asked = safe_read.json_dict(job / jobs.REQUEST)
    encoders, datasets = asked.get("encoders"), asked.get("datasets")
    if not (isinstance(encoders, list) and isinstance(datasets, list)):
        return {}
    return {Pair(str(encoder), str(dataset)): ("queued", "") for encoder in encoders for dataset in datasets}
