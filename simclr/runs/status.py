"""What `status.json` of a run or job holds (no torch)."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, get_args

from simclr.files import safe_read
from simclr.runs.file_names import STATUS

State = Literal["queued", "starting", "running", "stopping", "stopped", "finished", "failed"]
STATES: tuple[State, ...] = get_args(State)
ACTIVE: tuple[State, ...] = ("queued", "starting", "running", "stopping")

STOPPED_EXIT_CODE = 75
BAD_INPUT_EXIT_CODE = 2
STOP_GRACE_SECONDS = 60.0  # from a stop request to SIGKILL


# Told what is going on, in words, and the share done, 0..1; may raise to end the work.
Report = Callable[[str, float], None]


def no_report(what: str, share: float) -> None:
    """Where nobody wants to know."""


@dataclass(frozen=True)
class Status:
    """What `status.json` holds. Times are seconds since the epoch, durations seconds, memory bytes.

    Each field has one writer at a time: the process that creates or queues the run, its supervisor, its main process,
    or (the `job_` fields) the process that queries Slurm.
    """

    state: State = "starting"
    reason: str = ""
    phase: str = ""
    backend: str = "local"  # or slurm
    device: str = ""  # cpu, gpu:0, gpu:0,1: what it uses or waits for; auto: any that is free
    queued: float | None = None
    job_id: str = ""
    job_state: str = ""  # Slurm's latest answer, in its own words; UNKNOWN: it knows no such job
    job_reason: str = ""
    pid: int | None = None
    process_start: float | None = None
    supervisor_pid: int | None = None
    supervisor_start: float | None = None
    host: str = ""
    boot: str = ""
    created: float | None = None
    started: float | None = None
    ended: float | None = None
    heartbeat: float | None = None
    progressed: float | None = None  # when step or phase last changed
    seconds_before: float = 0.0  # of training before it was resumed
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    images_per_second: float | None = None  # now
    mean_images_per_second: float | None = None  # of all training steps, before and after each resume
    epoch_images_per_second: float | None = None  # of the last whole epoch
    wait_share: float | None = None  # of the seconds of these steps: reading images and drawing views, 0..1
    eta_seconds: float | None = None
    loss: float | None = None  # the newest validation loss, else training loss
    accuracy: float | None = None  # the best on validation images: kNN for a pre-training
    cpu_percent: float | None = None  # of one core, all processes of the run together
    held_up: float | None = None  # share of the time that its threads wait for a core that others hold, 0..1
    memory: int | None = None
    gpu_percent: float | None = None
    gpu_memory: int | None = None
    gpu_scope: str | None = None  # whose these two are: the run's, or the whole gpu's
    # over the training since the process began
    usage_samples: int = 0
    mean_held_up: float | None = None
    mean_gpu_percent: float | None = None
    peak_gpu_memory: int | None = None
    peak_memory: int | None = None
    stop_requested: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    error: str = ""

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def progress(self) -> float:
        """Share of the steps done, 0..1."""
        if self.state == "finished":
            return 1.0
        return min(1.0, self.step / self.steps) if self.steps else 0.0

    @property
    def elapsed_seconds(self) -> float | None:
        """Seconds of training, before and after each resume; of a running one up to the last heartbeat."""
        if self.started is None:
            return self.seconds_before or None
        return self.seconds_before + max(0.0, (self.ended or self.heartbeat or self.started) - self.started)


DAMAGED = Status(state="failed", reason="unreadable status", error="status.json is damaged and cannot be read.")


def _types_of(annotation: str) -> tuple[type, ...]:
    """The types that a value of JSON may have, for a field declared as, for instance, `float | None`."""
    kind, _, other = annotation.partition(" | ")
    found: tuple[type, ...] = {"int": (int,), "float": (int, float)}.get(kind, (str,))
    return (*found, type(None)) if other == "None" else found


FIELD_TYPES = {item.name: _types_of(str(item.type)) for item in fields(Status)}


def read_status(folder: Path) -> Status:
    """The status as it was written; a missing or damaged file gives a failed status that says so."""
    try:
        return load_status(folder)
    except FileNotFoundError:
        return Status(state="failed", reason="no status", error="The run folder has no status.json.")
    except OSError as error:
        return replace(DAMAGED, error=f"status.json cannot be read: {error.strerror}.")
    except ValueError:
        return DAMAGED


def load_status(folder: Path) -> Status:
    """The status; raises OSError if the file cannot be read, ValueError if it is damaged."""
    try:
        values = safe_read.read_json(f"{folder}/{STATUS}")  # a Path takes longer, which 5,000 runs notice
        known = {key: value for key, value in values.items() if key in FIELD_TYPES}
        for name, value in known.items():
            kind = type(value)  # exactly: to isinstance, yes and no are numbers
            if kind not in FIELD_TYPES[name] or (kind is float and not math.isfinite(value)):
                raise ValueError(value)
        status = Status(**known)
        if status.state not in STATES or not re.fullmatch("[0-9]{0,18}", status.job_id):
            raise ValueError(status.state, status.job_id)
        return status
    except (TypeError, AttributeError) as error:
        raise ValueError(error) from None


def has_supervisor(folder: Path) -> bool:
    """True if the process that started this one is the run's supervisor, and so writes the log."""
    status = read_status(folder)
    return status.supervisor_pid is not None and status.supervisor_pid == os.getppid()
