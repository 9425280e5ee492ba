"""What `status.json` of a run or job holds (no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["queued", "starting", "running", "stopping", "stopped", "finished", "failed"]
ACTIVE: tuple[State, ...] = ("queued", "starting", "running", "stopping")


@dataclass(frozen=True)
class Status:
    """What `status.json` holds. Times are seconds since the epoch, durations seconds, memory bytes.

    Each field has one writer at a time: whoever makes or queues the run, its supervisor, its main process, or (the
    `job_` fields) whoever asks Slurm.
    """

    state: State = "starting"
    reason: str = ""
    phase: str = ""
    backend: str = "local"  # or slurm
    device: str = ""  # cpu, gpu:0, gpu:0,1: what it holds or waits for; auto: any that is free
    queued: float | None = None
    job_id: str = ""
    job_state: str = ""  # the last that Slurm said, in its own words; UNKNOWN: it knows no such job
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
    seconds_before: float = 0.0  # that it went on before it was resumed
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    images_per_second: float | None = None
    eta_seconds: float | None = None
    loss: float | None = None  # the newest validation loss, else training loss
    accuracy: float | None = None  # the best on validation images: kNN for a pre-training
    cpu_percent: float | None = None  # of one core, all processes of the run together
    memory: int | None = None
    gpu_percent: float | None = None
    gpu_memory: int | None = None
    gpu_scope: str | None = None  # whose these two are: the run's, or the whole gpu's
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
        """Seconds that it went on in all its parts; of a part that goes on, up to the last heartbeat."""
        if self.started is None:
            return self.seconds_before or None
        return self.seconds_before + max(0.0, (self.ended or self.heartbeat or self.started) - self.started)
