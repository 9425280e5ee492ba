"""What is shown of a running training: a bar or lines, and what is read or downloaded."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import lightning as L
from tqdm import tqdm

from simclr.runs import StatusWriter
from simclr.runs.status import Report
from simclr.training.callbacks import Recorder
from simclr.training.checkpoints import StopRequested
from simclr.training.time_left import rate_text

WORTH_SAYING_SECONDS = 1.0  # what is over sooner needs no line in the log


def reporter(status: StatusWriter | None, stop: threading.Event) -> Report:
    """Tells what is read or downloaded, in the run's status or on the terminal, and ends it where a stop is asked."""
    since: dict[str, float] = {}
    said: set[str] = set()

    def report(what: str, share: float) -> None:
        if stop.is_set():
            raise StopRequested
        if status is not None:
            status.set(phase=f"{what} {share:.0%}" if share < 1 else "")
        elif sys.stderr.isatty():
            print(f"\r{what} {share:4.0%}", end="\n" if share >= 1 else "", file=sys.stderr, flush=True)
        elif time.monotonic() - since.setdefault(what, time.monotonic()) > WORTH_SAYING_SECONDS and what not in said:
            said.add(what)
            print(what, flush=True)

    return report


def terminal_bar(num_steps: int, done: int = 0) -> Any:
    """A progress bar on a terminal; None elsewhere. The log keeps the lines, not every frame of a bar."""
    if not sys.stderr.isatty():
        return None
    terminal = getattr(sys.stderr, "terminal", sys.stderr)
    return tqdm(total=num_steps, initial=done, unit="step", dynamic_ncols=True, file=terminal)


class Progress(L.Callback):
    """A bar on a terminal, one line per epoch elsewhere."""

    def __init__(self, recorder: Recorder, num_steps: int, images_name: str = "images") -> None:
        self.recorder = recorder
        self.num_steps = num_steps
        self.bar: Any = None
        self.images_name = images_name

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.bar = terminal_bar(self.num_steps, trainer.global_step)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if self.bar is not None:
            self.bar.update(trainer.global_step - self.bar.n)
            if "train/loss" in self.recorder.last:
                self.bar.set_postfix_str(
                    f"epoch {trainer.current_epoch + 1}, loss {self.recorder.last['train/loss']:.3f}"
                )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        line = epoch_line(trainer.current_epoch + 1, trainer.max_epochs or 0, self.recorder.last)
        if self.bar is not None:
            self.bar.write(line)
        else:
            print(line, flush=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.bar is not None:
            self.bar.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()


def epoch_line(epoch: int, epochs: int, last: Mapping[str, float]) -> str:
    """What a log says of an epoch: "epoch 3/20  loss 4.213  val 4.305  kNN 61.3 %  1,940 images/s"."""
    parts = [f"epoch {epoch}/{epochs}"]
    for name, key, text in (
        ("loss", "train/loss", "{:.3f}"),
        ("val", "val/loss", "{:.3f}"),
        ("kNN", "val/knn_top1", "{:.1%}"),
        ("val top-1", "val/top1", "{:.1%}"),
    ):
        if key in last and not (key == "val/top1" and "val/mean_rank" in last):
            parts.append(f"{name} {text.format(last[key])}")
    if "perf/images_per_second" in last:
        parts.append(rate_text(last["perf/images_per_second"]))
    return "  ".join(parts)
