"""Figures of runs that a lesson may name, computed from the files of the run (no torch).

accuracy of frozen-1                  a figure of a run
chance loss of 256 images             what guessing gives; no run is asked
chance loss of 256 images at 0.1      the same as SupCon's code prints it, at temperature 0.1
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import config as cfg
from simclr.analysis import factors, stored
from simclr.config import ConfigError
from simclr.curves.chance_loss import BASE_TEMPERATURE
from simclr.embeddings.references import EncoderRef
from simclr.files import safe_read
from simclr.runs import Run, metrics_csv

LAYER = "h"
_CHANCE = re.compile(r"chance loss of (\d{1,6}) images(?: at (\d{1,3}(?:\.\d{1,4})?))?")
_OF_RUN = re.compile(r"(.+) of ([a-z0-9-]+)")


@dataclass(frozen=True)
class Figure:
    """A figure of a run. digits: behind the point. unit: `%`, or nothing. needs_job: it is there after a job only."""

    of: Callable[[Run], float | None]
    unit: str = ""
    digits: int = 2
    needs_job: bool = False


# --- what runs keep ---------------------------------------------------------------------------------------------------


def _column(run: Run, name: str) -> NDArray[np.float64]:
    found = metrics_csv.read_columns(run.metrics_path, (name, "epoch"))
    if name not in found or "epoch" not in found:
        return np.empty((0, 2))
    rows = np.stack([found["epoch"], found[name]], axis=1)
    return rows[np.isfinite(rows).all(axis=1)]


def _first(name: str, scale: float = 1.0) -> Callable[[Run], float | None]:
    def of(run: Run) -> float | None:
        rows = _column(run, name)
        return scale * float(rows[0, 1]) if len(rows) else None

    return of


def _last(name: str, scale: float = 1.0) -> Callable[[Run], float | None]:
    """The mean of the last epoch."""

    def of(run: Run) -> float | None:
        rows = _column(run, name)
        return scale * float(rows[rows[:, 0] == rows[-1, 0], 1].mean()) if len(rows) else None

    return of


def _tested(name: str) -> Callable[[Run], float | None]:
    def of(run: Run) -> float | None:
        value = safe_read.finite_number(run.evaluation.get(name))
        return None if value is None else 100 * value

    return of


def chance_loss(num_images: int, temperature: float | None = None) -> float:
    """NT-Xent where all similarities are equal: ln(2N - 1); with a temperature, times this / 0.07 (`curves`)."""
    value = math.log(2 * num_images - 1)
    return value if temperature is None else value * temperature / BASE_TEMPERATURE


def _chance(run: Run) -> float | None:
    size = run.config.get("batch_size")
    return chance_loss(size) if type(size) is int and size > 1 else None


def _as_supcon(run: Run) -> float | None:
    """The last validation loss as the code of SupCon (Khosla et al. 2020) prints it."""
    loss, temperature = _last("val/loss")(run), _temperature(run)
    return None if loss is None or temperature is None else loss * temperature / BASE_TEMPERATURE


def _num_labels(run: Run) -> float | None:
    return safe_read.finite_number(run.evaluation.get("num_labels"))


def _temperature(run: Run) -> float | None:
    return safe_read.finite_number(run.config.get("temperature"))


def _guessing(run: Run) -> float | None:
    """What guessing one of the classes gets right."""
    number = run.meta.get("num_classes")
    return 100 / number if type(number) is int and number > 0 else None


def _readout(factor: str) -> Callable[[Run], float | None]:
    def of(run: Run) -> float | None:
        found = readouts(run)
        layer = (found or {}).get("layers", {}).get(LAYER)
        value = safe_read.finite_number(layer.get(factor)) if isinstance(layer, dict) else None
        return None if value is None else 100 * value if factor == "shape" else value

    return of


def readouts(run: Run) -> dict[str, Any] | None:
    """What can be read from the features of a run, as the page Augmentations shows it; None until it is computed."""
    try:
        return stored.load(stored.result_path(EncoderRef(run), "factors"))
    except (ConfigError, OSError):  # it has no weights, or not any more
        return None


FIGURES = {
    "first loss": Figure(_first("train/loss")),
    "last loss": Figure(_last("train/loss")),
    "validation loss": Figure(_last("val/loss")),
    "validation loss in SupCon's code": Figure(_as_supcon),
    "chance loss": Figure(_chance),
    "contrastive top-1": Figure(_last("val/top1", 100), "%", 1),
    "effective rank": Figure(_last("val/effective_rank"), "", 1),
    "kNN accuracy": Figure(_tested("test/knn_top1"), "%", 1),
    "linear accuracy": Figure(_tested("test/linear_top1"), "%", 1),
    "accuracy": Figure(_tested("test/top1"), "%", 1),
    "number of labels": Figure(_num_labels, "", 0),
    "temperature": Figure(_temperature),
    "guessing": Figure(_guessing, "%", 1),
    **{
        f"{name.replace('_', ' ')} readout": Figure(
            _readout(name), "%" if name == "shape" else "", 1 if name == "shape" else 2, needs_job=True
        )
        for name in factors.FACTORS
    },
}


# --- figures as a lesson names them -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spec:
    """A figure as a lesson names it. figure, run: empty where it is the loss of guessing with `num_images`."""

    text: str
    figure: str = ""
    run: str = ""
    num_images: int = 0
    temperature: float | None = None

    @property
    def is_readout(self) -> bool:
        return bool(self.figure) and FIGURES[self.figure].needs_job

    @property
    def unit(self) -> str:
        return FIGURES[self.figure].unit if self.figure else ""

    def value(self, known: Mapping[str, Run]) -> float | None:
        """The figure now, in its unit; None where a run or what it needs is not there.

        Args:
            known: the runs by the names that the lesson gives them.
        """
        if not self.figure:
            return chance_loss(self.num_images, self.temperature)
        run = known.get(self.run)
        value = None if run is None else FIGURES[self.figure].of(run)
        return value if value is not None and math.isfinite(value) else None

    def shown(self, value: float | None) -> str:
        """A value with its unit, as the page shows it."""
        if value is None:
            return "–"
        digits = FIGURES[self.figure].digits if self.figure else 3
        text = f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")
        return f"{text} {self.unit}" if self.unit else text


def parse(text: str, where: str, run_names: Mapping[str, object]) -> Spec:
    """A figure from its words.

    Args:
        where: what the lesson says it for, which begins the sentence of an error.
        run_names: of the lesson.

    Raises:
        ConfigError: with one sentence where there is no such figure or run.
    """
    if found := _CHANCE.fullmatch(text):
        size = int(found[1])
        if size < 2:
            raise ConfigError(f"{where} is {text}; allowed: at least 2 images.")
        return Spec(text, num_images=size, temperature=float(found[2]) if found[2] else None)
    parts = _OF_RUN.fullmatch(text)
    if parts is None:
        raise ConfigError(f"{where} is {text[:60] or 'empty'}; allowed: a figure such as accuracy of RUN.")
    name, run = parts[1], parts[2]
    if name not in FIGURES:
        hint = cfg.nearest_name(name, FIGURES)
        raise ConfigError(f"{where} is {name[:60]} of {run}; allowed: {', '.join(FIGURES)}{hint or '.'}")
    if run not in run_names:
        hint = cfg.nearest_name(run, run_names)
        allowed = ", ".join(run_names) or "a run of this lesson, of which it has none"
        raise ConfigError(f"{where} is {name} of {run}, which is no run of the lesson; allowed: {allowed}{hint or '.'}")
    return Spec(text, name, run)
